"""`glass reproduce`: its runs, their checks, its pages."""

from __future__ import annotations

import csv
import math
import shutil
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from conftest import REPOSITORY
from example_runs import CONFIG
from invented_results import CALLS, LAW, PAPER, of, written

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight
from glass_cli.launch import launch
from glass_cli.report.commands import compare_runs
from glass_cli.report.results_file import read_rows
from glass_cli.report.run_groups import RunGroup
from glass_cli.reproduce.command import reproduce
from glass_cli.reproduce.pages import write_pages
from glass_cli.reproduce.plan import Evaluation, Scope, command, evaluations, particles_of

FILES = sorted(path.stem for path in (REPOSITORY / "conf/experiment/embedded").glob("*.yaml"))
STUDIES = [name for name in FILES if name.startswith("posterior")]


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


def test_without_a_network_geneval_is_refused_before_anything_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")

    def run(words: list[str], config: str) -> int:
        raise AssertionError(words)

    with pytest.raises(GlassError, match=r"--geneval FILE, or .* --benchmark compose"):
        reproduce("embedded", Scope(("ode1_50",)), [], tmp_path / "runs", tmp_path / "out", run=run)


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
        own = {"benchmark": benchmark, "dtype": "bfloat16"}
        run = replace(each.runs[0], config={**CONFIG, **own})
        found.rows[each.label, "geneval"] = RunGroup(each.label, (run,))  # type: ignore[index]
        break
    write_pages(tmp_path, "embedded", found, lambda each: command(each, scope, (0, 1)))
    for page in ("embedded.csv", "embedded.md", "claims.md", "claims.csv"):
        assert str(tmp_path) not in (tmp_path / page).read_text()
    assert "evaluation_metadata.jsonl" in (tmp_path / "embedded.csv").read_text()
    assert "\n- dtype: bfloat16\n" in (tmp_path / "embedded.md").read_text()


def test_a_budget_is_spent_whole() -> None:
    """Hand-made: as near to the calls a particle as a divisor allows."""
    assert particles_of(160, 20) == 8 and particles_of(80, 20) == 4
    assert particles_of(160, 10) == 16 and particles_of(80, 10) == 8
    assert particles_of(160, 50) == 4 and particles_of(80, 50) == 2
    assert particles_of(400, 10) == 40 and particles_of(400, 5) == 80
    for budget in (400, 160, 80):
        for calls in (10, 20, 25, 50):
            assert budget % particles_of(budget, calls) == 0


@pytest.mark.slow
def test_every_run_is_checked_whole(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What would be drawn, at other budgets too, passes all checks before a model is loaded."""
    monkeypatch.chdir(tmp_path)
    asked: list[list[str]] = []

    def pretend(words: Sequence[str], config: str) -> int:
        asked.append([*words])
        name, benchmark = Path(words[-1].partition("=")[2].strip("'")).parts[-3:-1]
        if benchmark != "study":
            calls = math.prod(map(int, name.rpartition("_")[2].split("x")))
            written(Path("runs"), name, benchmark, (0.5, calls, 0.0), prompts=1)
        return 0

    only = ("best_of_n_*", "fk_sde_auto_*", "fk_glass_uniform_*", "bfs_*", "posterior")
    scope = Scope(seeds=1, only=only)
    monkeypatch.setattr("glass_cli.benchmarks.lists.public", lambda url, name: "")
    assert reproduce("embedded", scope, ["device=cpu"], Path("runs"), Path("out"), run=pretend) == 0
    best = [words for words in asked if any(word.startswith("particles=") for word in words)]
    assert len(best) == 4 * 2 * 2, "four methods, two more budgets, two benchmarks"
    budgets = {Path(words[-1].strip("'")).parts[-3] for words in best}
    assert {name for name in budgets if "bfs" in name} == {"bfs_400", "bfs_80"}
    for words in asked[::2]:  # one of the two benchmarks of each
        settings = preflight(read_arguments(words, False, "eval"), REPOSITORY / "conf").settings
        assert settings is not None and settings.root.seed == 0 and "device=cpu" in words
        if words in best:
            budget = int(Path(words[-1].strip("'")).parts[-3].rpartition("_")[2])
            assert settings.root.particles is not None and settings.root.calls is not None
            assert settings.root.particles * settings.root.calls == budget


def test_stopped_and_failed_runs(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    runs, out = tmp_path / "runs", tmp_path / "out"
    scope = Scope(seeds=1, only=("ode*",), benchmarks=("compose",))
    stops = reproduce("embedded", scope, [], runs, out, run=lambda words, config: 130)
    assert stops == 130 and not out.exists()
    assert "glass reproduce embedded goes on from there" in capsys.readouterr().err
    with pytest.raises(GlassError, match="holds no finished run of embedded"):
        reproduce("embedded", scope, [], runs, out, run=lambda words, config: 2)
    for name in ("ode1_50", "ode2_50"):
        written(runs, name, "compose", (0.5, 50, 0.0))

    def fails(words: Sequence[str], config: str) -> int:
        """The first: its folder holds results of other settings, say."""
        return 2 * any("ode1_50" in word for word in words)

    assert reproduce("embedded", scope, [], runs, out, run=fails) == 1
    assert "1 run failed and is left out of the pages" in capsys.readouterr().err
    assert [row.run for row in read_rows(out / "embedded.csv")] == ["ode2_50"]
    shutil.rmtree(runs / "ode1_50")
    words = ["dtype=bfloat16", "wandb.mode=offline"]
    assert reproduce("embedded", scope, words, runs, out, draw=False) == 0
    (row,) = read_rows(out / "embedded.csv")
    assert row.command.endswith(" dtype=bfloat16 seed=0") and "wandb" not in row.command
    assert [row.run for row in read_rows(out / "embedded.csv")] == ["ode2_50"]
    with pytest.raises(GlassError, match="--fresh is not key=value"):
        reproduce("embedded", scope, ["--fresh"], runs, out)


def test_what_a_plan_took_stands_below_the_table(tmp_path: Path) -> None:
    found = of({"auto_160": (0.9, 160, 0.0), "evolution_80x5": (0.9, 400, 0.0)})
    for key in [("auto_160", "compose"), ("auto_160", "geneval")]:
        first, *others = found.rows[key].runs
        plan = {"plan": {"title": "evolution"}, "plan_nfe": 35_052 * (key[1] == "compose")}
        first = replace(first, summary={**first.summary, **plan})
        found.rows[key] = RunGroup(key[0], (first, *others))  # type: ignore[index]
    write_pages(tmp_path, "embedded", found, lambda each: command(each, Scope(), (0, 1)))
    page = (tmp_path / "embedded.md").read_text()
    assert page.count("A plan is made once") == 1
    assert "had made before: `auto_160` 35,052 (evolution)." in page


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
    for row in rows.values():
        if row.run == "best_of_n_20x20":
            assert (
                f"    {row.command}\n" in text
                and f" benchmark={row.benchmark.lower()}" in row.command
            )
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
    assert (out / "claims.md").read_text().count("**not measured** here.") == 6
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
