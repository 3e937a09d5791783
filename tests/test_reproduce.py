"""`glass reproduce`: its runs, its pages, and the verdicts on made-up results."""

from __future__ import annotations

import csv
import subprocess
import sys
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from conftest import REPOSITORY
from example_runs import CONFIG, eval_run

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight
from glass_cli.launch import launch
from glass_cli.output.results import Result, Run
from glass_cli.report.commands import compare_runs
from glass_cli.report.results_file import read_rows
from glass_cli.report.run_groups import RunGroup
from glass_cli.reproduce.claims import claims
from glass_cli.reproduce.command import reproduce
from glass_cli.reproduce.measured import Measured, run_folder
from glass_cli.reproduce.pages import write_pages
from glass_cli.reproduce.plan import Evaluation, Scope, command, evaluations, fewer_particles
from glass_cli.reproduce.verdicts import Kind, together, verdict

Row = tuple[float, int, float]
"""The share that is right, network calls a picture, and the mean reward."""

FILES = sorted(path.stem for path in (REPOSITORY / "conf/experiment/embedded").glob("*.yaml"))
STUDIES = [name for name in FILES if name.startswith("posterior")]


@pytest.mark.parametrize(
    ("kind", "interval", "margin", "said"),
    [
        ("above", (0.1, 2.0), 0.0, "holds"),
        ("above", (-2.0, -0.1), 0.0, "does not hold"),
        ("above", (-0.1, 2.0), 0.0, "undecided"),
        ("above", None, 0.0, "undecided"),
        ("below", (-2.0, -0.1), 0.0, "holds"),
        ("below", (0.1, 2.0), 0.0, "does not hold"),
        ("below", (-0.1, 2.0), 0.0, "undecided"),
        ("not below", (-1.9, 3.0), 2.0, "holds"),
        ("not below", (-1.9, -0.5), 2.0, "holds"),
        ("not below", (-2.1, -0.5), 2.0, "does not hold"),
        ("not below", (-2.1, 0.5), 2.0, "undecided"),
        ("equal", (-0.05, 0.1), 0.1, "holds"),
        ("equal", (0.05, 0.2), 0.1, "does not hold"),
        ("equal", (-0.2, -0.05), 0.1, "does not hold"),
        ("equal", (-0.2, 0.05), 0.1, "undecided"),
    ],
)
def test_verdicts(
    kind: Kind, interval: tuple[float, float] | None, margin: float, said: str
) -> None:
    assert verdict(kind, interval, margin) == said


def test_verdicts_together() -> None:
    assert together([]) == "undecided"
    assert together(["holds", "holds"]) == "holds"
    assert together(["holds", "undecided"]) == "undecided"
    assert together(["holds", "undecided", "does not hold"]) == "does not hold"


def test_the_runs_are_the_files() -> None:
    found = evaluations("embedded", Scope())
    assert sorted({each.name for each in found}) == FILES
    for each in found:
        assert (each.benchmark is None) == (each.name in STUDIES)
    assert len(found) == 2 * (len(FILES) - len(STUDIES)) + len(STUDIES)
    some = evaluations("embedded", Scope(only=("ode*",), benchmarks=("compose",)))
    assert [(each.name, each.benchmark) for each in some] == [
        ("ode1_50", "compose"),
        ("ode2_50", "compose"),
    ]


@pytest.mark.parametrize(
    ("name", "scope", "message"),
    [
        ("embeded", Scope(), "there is no comparison embeded; did you mean embedded"),
        ("embedded", Scope(only=("ode2",)), "--only ode2 is none of conf/experiment/embedded/"),
        ("embedded", Scope(benchmarks=("genevl",)), "unknown benchmark genevl; did you mean gene"),
        ("embedded", Scope(geneval=Path("nowhere")), "--geneval nowhere is not a file"),
    ],
)
def test_what_cannot_be_run_is_one_line(name: str, scope: Scope, message: str) -> None:
    with pytest.raises(GlassError, match=message) as refused:
        evaluations(name, scope)
    assert "\n" not in str(refused.value)


def test_where_a_list_lies_here_is_not_published(tmp_path: Path) -> None:
    """Neither in the command of a row nor in its settings."""
    file = tmp_path / "evaluation_metadata.jsonl"
    file.touch()
    scope = Scope(geneval=file)
    evaluation = Evaluation("ode2_50", "embedded/ode2_50", (), "geneval")
    assert f"benchmark.path={file}" in scope.settings("geneval")
    assert "benchmark.path=evaluation_metadata.jsonl" in command(evaluation, scope, (0,)).split()
    found = of({"ode2_50": (0.5, 50, 0.0)})
    for each in found.rows.values():
        benchmark = {"_target_": "glass_cli.benchmarks.geneval.GenEval", "path": str(file)}
        run = replace(each.runs[0], config={**CONFIG, "benchmark": benchmark})
        found.rows[each.label, "geneval"] = RunGroup(each.label, (run,))  # type: ignore[index]
        break
    write_pages(tmp_path, "embedded", found, lambda each: command(each, scope, (0, 1)))
    for page in ("embedded.csv", "embedded.md", "claims.md", "claims.csv"):
        assert str(tmp_path) not in (tmp_path / page).read_text()
    assert "evaluation_metadata.jsonl" in (tmp_path / "embedded.csv").read_text()


def test_a_smaller_budget_is_spent_whole() -> None:
    """Hand-made: as near to the calls a particle as a divisor allows."""
    assert fewer_particles(160, 20) == 8 and fewer_particles(80, 20) == 4
    assert fewer_particles(160, 10) == 16 and fewer_particles(80, 10) == 8
    assert fewer_particles(160, 50) == 4 and fewer_particles(80, 50) == 2
    for budget in (160, 80):
        for calls in (10, 20, 25, 50):
            assert budget % fewer_particles(budget, calls) == 0


def test_every_run_is_checked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be drawn, at smaller budgets too, passes all checks before a model is loaded."""
    monkeypatch.chdir(tmp_path)
    asked: list[list[str]] = []

    def pretend(words: Sequence[str], config: str) -> int:
        asked.append([*words])
        name, benchmark = Path(words[-1].partition("=")[2].strip("'")).parts[-3:-1]
        if benchmark != "study":
            calls = 400 if name[-1] != "0" or "x" in name else int(name.rpartition("_")[2])
            written(Path("runs"), name, benchmark, (0.5, calls, 0.0), prompts=1)
        return 0

    only = ("best_of_n_*", "fk_sde_auto_*", "fk_glass_uniform_*", "posterior")
    scope = Scope(seeds=1, only=only)
    assert reproduce("embedded", scope, ["device=cpu"], Path("runs"), Path("out"), run=pretend) == 0
    best = [words for words in asked if any(word.startswith("particles=") for word in words)]
    assert len(best) == 3 * 2 * 2, "three methods, two budgets, two benchmarks"
    for words in asked[::2]:  # one of the two benchmarks of each
        settings = preflight(read_arguments(words, False, "eval"), REPOSITORY / "conf").settings
        assert settings is not None and settings.root.seed == 0 and "device=cpu" in words
        if words in best:
            budget = int(Path(words[-1].strip("'")).parts[-3].rpartition("_")[2])
            assert settings.root.particles is not None and settings.root.calls is not None
            assert settings.root.particles * settings.root.calls == budget


def results(
    benchmark: str, right: float, calls: int, reward: float, prompts: int, seed: int
) -> tuple[Result, ...]:
    """Results of which that share is right. What one prompt asks is as hard in every run, whose
    luck is the same: a common number decides."""
    rng = np.random.default_rng([seed, 7])
    found = []
    for i in range(prompts):
        luck, score = rng.random(), float(rng.standard_normal()) + reward
        found.append(
            Result(
                i, 0, f"{benchmark} prompt {i}", seed, 0, score, (score,), {}, {}, (), float(calls),
                1.0, 1.0, {"correct": bool(luck < right)}, "one", (),
            )
        )  # fmt: skip
    return tuple(found)


def group(
    name: str, benchmark: str, row: Row, seeds: Sequence[int] = (0, 1), prompts: int = 150
) -> RunGroup:
    """Runs in memory."""
    runs = []
    for seed in seeds:
        config, summary = {**CONFIG, "seed": seed}, {"benchmark": benchmark}
        found = results(benchmark, *row, prompts, seed)
        runs.append(Run(Path(name), "eval", config, (), summary, {}, found))
    return RunGroup(name, tuple(runs))


def written(runs: Path, name: str, benchmark: str, row: Row, prompts: int = 4) -> None:
    """The same in a run's folder, of seed 0."""
    rows = [
        {
            "prompt": each.prompt,
            "rewards": each.rewards,
            "nfe": each.nfe,
            "judged": each.judged,
            "tag": "one",
        }
        for each in results(benchmark, *row, prompts, 0)
    ]
    folder = run_folder(runs, Evaluation(name, name, (), benchmark), 0)
    eval_run(folder, rows, config={**CONFIG, "seed": 0}, benchmark=benchmark)


def study(squares: Mapping[tuple[str, int], float]) -> list[dict[str, Any]]:
    """The parts of a study of two times and 12 prompts, of squared distances around those given."""
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(12):
        times = []
        for t in (0.15, 0.4):
            rows = [
                {"method": m, "calls": c, "w2": float(np.sqrt(s * (1 + 0.02 * rng.normal())))}
                for (m, c), s in squares.items()
            ]
            times.append({"t": t, "floor": 1.0, "rows": rows})
        parts.append({"times": times})
    return parts


PAPER = {
    "best_of_n_8x50": (0.55, 400, 0.0),
    "best_of_n_20x20": (0.60, 400, 0.1),
    "fk_sde_schedule_8x50": (0.40, 400, -0.5),
    "fk_glass_schedule_8x50": (0.75, 400, 0.4),
    "fk_glass_auto_20x20": (0.80, 400, 0.5),
    "fk_glass_guidance_8x50": (0.85, 400, 0.8),
    "ode1_50": (0.50, 50, 0.0),
    "ode2_50": (0.50, 50, 0.0),
    "glass1_50": (0.50, 50, 0.0),
    "glass2_50": (0.51, 50, 0.0),
    "sde_50": (0.30, 50, -1.0),
}
LAW = {("ancestral", 200): 1.0, ("SDE", 200): 1.0}
CALLS = {("GLASS 1", 10): 1.2, ("GLASS 2", 10): 1.1, ("SDE", 10): 2.0, ("SDE", 20): 1.5}


def of(rows: Mapping[str, Row], **studies: Mapping[tuple[str, int], float]) -> Measured:
    asked = {
        (name, benchmark): Evaluation(name, f"embedded/{name}", (), benchmark)
        for name in rows
        for benchmark in ("geneval", "compose")
    }
    groups = {key: group(*key, rows[key[0]]) for key in asked}
    return Measured(groups, asked, {name: study(given) for name, given in studies.items()}, {})


def test_results_as_in_the_paper() -> None:
    found = claims(of(PAPER, posterior_mixture={**LAW, **CALLS}, posterior=CALLS))
    assert [claim.verdict for claim in found] == ["holds"] * 6
    versus = found[2].findings[0]
    # the best split of each, by both benchmarks; 20 points between shares of common luck
    assert versus.what == "fk_glass_auto_20x20 less best_of_n_20x20, 400 calls, each at its best"
    assert versus.estimate is not None and 15 < versus.estimate.mean < 25
    assert versus.estimate.prompts == 150


def test_results_that_speak_against_it() -> None:
    turned = {name: (1 - right, calls, -reward) for name, (right, calls, reward) in PAPER.items()}
    turned["glass1_50"] = turned["glass2_50"] = (0.3, 50, 0.0)
    law = {("ancestral", 200): 1.5, ("SDE", 200): 1.0}
    calls = {**CALLS, ("GLASS 1", 10): 3.0}
    found = claims(of(turned, posterior_mixture={**law, **calls}, posterior=calls))
    assert [claim.verdict for claim in found] == ["does not hold"] * 6


def test_results_that_say_nothing() -> None:
    """Luck of their own with the same probability; and nothing measured at all."""
    rows = {name: (0.5, calls, 0.0) for name, (_, calls, _) in PAPER.items()}
    luck = of(rows)
    for number, (key, alone) in enumerate(luck.rows.items()):
        rng = np.random.default_rng(number)
        found = [
            replace(
                each,
                reward=float(rng.standard_normal()),
                judged={"correct": bool(rng.random() < 0.5)},
            )
            for each in alone.runs[0].results[:60]
        ]
        run = replace(alone.runs[0], results=tuple(found))
        luck.rows[key] = RunGroup(key[0], (run,))  # type: ignore[index]  # a dictionary
    assert [claim.verdict for claim in claims(luck)] == ["undecided"] * 6
    nothing = claims(Measured({}, {}, {}, {}))
    assert [claim.verdict for claim in nothing] == ["undecided"] * 6


def test_the_best_split_is_not_chosen_by_its_own_luck() -> None:
    """Two splits, each lucky with one seed: for each seed the results of the other one choose."""
    rows, asked = {}, {}
    for name, shares in (("fk_glass_a_20x20", (0.9, 0.5)), ("fk_glass_b_20x20", (0.5, 0.9))):
        runs = [
            run
            for seed, share in enumerate(shares)
            for run in group(name, "compose", (share, 400, 0.0), (seed,)).runs
        ]
        rows[name, "compose"] = RunGroup(name, tuple(runs))
        asked[name, "compose"] = Evaluation(name, name, (), "compose")
    found = Measured(rows, asked, {}, {})
    best = found.at_best("fk_glass", "compose")
    assert best is not None and best.label == "fk_glass_b_20x20 / fk_glass_a_20x20"
    right = sum(bool(result.correct) for result in best.results) / len(best.results)
    assert len(best.results) == 300 and 0.42 < right < 0.58
    # with a single seed there is nothing else to choose by
    alone = {key: RunGroup(key[0], each.runs[:1]) for key, each in rows.items()}
    best = replace(found, rows=alone).at_best("fk_glass", "compose")
    assert best is not None and best.label == "fk_glass_a_20x20" and len(best.results) == 150


def test_one_benchmark_against_it_is_enough() -> None:
    rows = {name: PAPER[name] for name in ("best_of_n_8x50", "fk_glass_schedule_8x50")}
    found = of(rows)
    assert claims(found)[2].verdict == "holds"
    other = group("best_of_n_8x50", "compose", (0.95, 400, 0.0))
    mixed = replace(found, rows={**found.rows, ("best_of_n_8x50", "compose"): other})
    assert claims(mixed)[2].verdict == "does not hold"


def test_one_split_against_the_best_of_several_decides_nothing() -> None:
    rows = {name: PAPER[name] for name in ("best_of_n_8x50", "best_of_n_20x20")}
    for right in (0.2, 0.9):
        few = of({**rows, "fk_glass_schedule_20x20": (right, 400, 0.0)})
        claim = claims(few)[2]
        assert claim.verdict == "undecided"
        assert claim.findings[0].verdict == ("holds" if right > 0.5 else "does not hold")
    kept = ("best_of_n", "fk_glass_schedule", "fk_glass_auto")
    as_many = of({name: row for name, row in PAPER.items() if name.startswith(kept)})
    assert claims(as_many)[2].verdict == "holds"


def test_a_planned_budget_is_a_claim_of_its_own() -> None:
    found = claims(of({"best_of_n_8x50": (0.5, 400, 0.0), "auto_400": (0.7, 400, 0.0)}))
    assert len(found) == 7 and found[-1].verdict == "holds"


def test_stopped_and_failed_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    scope = Scope(seeds=1, only=("ode*",), benchmarks=("compose",))
    stops = reproduce("embedded", scope, [], runs, out, run=lambda words, config: 130)
    assert stops == 130 and not out.exists()
    assert "glass reproduce embedded goes on from there" in capsys.readouterr().err
    with pytest.raises(GlassError, match="holds no finished run of embedded"):
        reproduce("embedded", scope, [], runs, out, run=lambda words, config: 2)
    written(runs, "ode2_50", "compose", (0.5, 50, 0.0))
    assert reproduce("embedded", scope, [], runs, out, run=lambda words, config: 2) == 1
    assert "2 runs failed, and are left out of the pages" in capsys.readouterr().err
    assert [row.run for row in read_rows(out / "embedded.csv")] == ["ode2_50"]
    with pytest.raises(GlassError, match="--fresh is not key=value"):
        reproduce("embedded", scope, ["--fresh"], runs, out)


def test_pages_of_made_up_results(tmp_path: Path) -> None:
    found = of(PAPER, posterior_mixture={**LAW, **CALLS})
    scope = Scope()
    write_pages(tmp_path, "embedded", found, lambda each: command(each, scope, (0, 1)))
    page, text = (tmp_path / "embedded.md").read_text(), (tmp_path / "claims.md").read_text()
    rows = {(row.run, row.benchmark): row for row in read_rows(tmp_path / "embedded.csv")}
    assert len(rows) == 2 * len(PAPER)
    row = rows["fk_glass_auto_20x20", "compose"]
    assert row.seeds == (0, 1) and (row.prompts, row.results) == (150, 300)
    assert row.command == (
        "glass eval -m experiment=embedded/fk_glass_auto_20x20 benchmark=compose"
        " benchmark.images=1 seed=0,1"
    )
    shown = f"{row.estimates['correct'].mean:.1f} ["
    assert any(shown in line for line in page.splitlines() if "fk_glass_auto_20x20" in line)
    assert "150 prompts, 2 seeds, one picture each" in page
    assert text.count("**holds** here.") == 5 and text.count("**undecided** here.") == 1
    assert "    glass eval -m experiment=embedded/best_of_n_20x20\n" in text
    with (tmp_path / "claims.csv").open(newline="") as file:
        findings = list(csv.DictReader(file))
    assert {each["claim_verdict"] for each in findings} == {"holds", "undecided"}
    deciding = [each for each in findings if each["decides"] == "True" and each["mean"]]
    for each in deciding:
        low, mean, high = (float(each[key]) for key in ("low", "mean", "high"))
        assert low - 1e-9 <= mean <= high + 1e-9


@pytest.mark.slow
def test_two_prompts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few real runs of the embedded model; the same again draws nothing."""
    monkeypatch.chdir(tmp_path)
    only = ("glass2_50", "fk_glass_schedule_40x10")
    scope = Scope(only=only, benchmarks=("compose",), seeds=1, limit=2)
    runs, out = Path("runs"), Path("out")
    assert reproduce("embedded", scope, ["device=cpu"], runs, out) == 0
    rows = {row.run: row for row in read_rows(out / "embedded.csv")}
    calls = {name: row.nfe for name, row in rows.items()}
    assert calls == {
        "glass2_50": 50,
        "fk_glass_schedule_40x10": 400,
        "fk_glass_160": 160,
        "fk_glass_80": 80,
    }
    for row in rows.values():
        assert (row.prompts, row.results, row.seeds) == (2, 2, (0,))
        assert row.versions[0]["weights"].keys() >= {"embedded:emoji", "embedded:detector"}
    assert (out / "claims.md").read_text().count("**undecided** here.") == 6
    before = {path: path.stat().st_mtime_ns for path in runs.rglob("results/*/*.json")}
    assert reproduce("embedded", scope, ["device=cpu"], runs, out) == 0 and len(before) == 8
    assert before == {path: path.stat().st_mtime_ns for path in runs.rglob("results/*/*.json")}
    # a run by a row's own command agrees with the file
    words = rows["fk_glass_80"].command.split()[2:]
    own = ["wandb.mode=disabled", "device=cpu", "benchmark.limit=2", "hydra.run.dir=own"]
    assert launch([*words, *own], config="eval") == 0
    text, _ = compare_runs([out / "embedded.csv", Path("own")], None, [], [], None, None, None)
    assert text.startswith("fk_glass_80 of ") and "they agree within" in text


def test_what_the_command_line_refuses() -> None:
    command = [sys.executable, "-m", "glass_cli", "reproduce", "embeded"]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 2 and done.stdout == ""
    assert done.stderr.startswith("glass: there is no comparison embeded; did you mean embedded")
