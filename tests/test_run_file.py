"""Runs as files of numbers: what they keep, what they refuse, and `glass reproduce --earlier`."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from comparisons import run_command
from example_runs import eval_run
from invented_results import written

from glass_cli.common.errors import GlassError
from glass_cli.output.reader import read_run
from glass_cli.output.run_file import SUFFIX, asked_for, read_run_file, write_run_file
from glass_cli.report.quantities import estimate_of, quantities
from glass_cli.report.results_file import read_rows
from glass_cli.reproduce import earlier as module
from glass_cli.reproduce.command import reproduce
from glass_cli.reproduce.measured import DrawnRun
from glass_cli.reproduce.plan import Evaluation, Scope

RESULTS = [
    {
        "prompt": f"a photo of {n} “cats”",
        "rewards": [0.1 * n, math.pi * n],
        "nfe": 50.0,
        "judged": {"correct": n > 1, "belief": n / 3, "reason": "two are there", "extra": {"a": 1}},
        "metrics": {"ocr": [0.5, n / 7]},
        "tag": "colors" if n % 2 else "position",
    }
    for n in range(1, 6)
]


def kept(tmp_path: Path) -> tuple[Path, Path]:
    """A run's folder and its file."""
    folder = eval_run(tmp_path / "a", RESULTS)
    file = tmp_path / f"b{SUFFIX}"
    write_run_file(file, read_run(folder), {"calls": 50})
    return folder, file


def test_a_file_has_all_numbers_of_the_answers(tmp_path: Path) -> None:
    folder, file = kept(tmp_path)
    whole, own = read_run(folder), read_run_file(file)
    assert own.config == whole.config and own.overrides == whole.overrides
    assert own.summary == whole.summary and own.scores == whole.scores
    assert asked_for(file) == {"calls": 50}
    of_particles = {"best", "mean", "lineages"}
    shared = [q for q in quantities([whole]) if q.key not in of_particles]
    assert {q.key for q in quantities([own])} == {q.key for q in shared}
    assert {"answer", "correct", "judged.belief", "metrics.ocr"} <= {q.key for q in shared}
    for quantity in shared:
        assert estimate_of(own.results, quantity) == estimate_of(whole.results, quantity)
    for a, b in zip(own.results, whole.results, strict=True):
        for name in ("prompt", "prompt_index", "image_index", "seed", "task", "nfe", "seconds"):
            assert getattr(a, name) == getattr(b, name), name
    twice = tmp_path / f"c{SUFFIX}"
    write_run_file(twice, own, {"calls": 50})
    assert twice.read_bytes() == file.read_bytes(), "nothing is lost on the way"


def test_a_file_stands_for_its_run_in_a_comparison(tmp_path: Path) -> None:
    folder, file = kept(tmp_path)
    code, said, _ = run_command("compare", file, folder, "--show", "answer", "--show", "correct")
    assert code == 0 and "+0 [+0, +0]" in said
    assert "have the same settings, and agree within their intervals" in said
    code, within, _ = run_command("compare", tmp_path, "--show", "answer", "--show", "correct")
    assert code == 0 and "b.run.json and a have the same settings" in within, "found in a folder"
    plots = tmp_path / "plots"
    code, said, _ = run_command("compare", file, folder, "--plots", plots)
    assert code == 0 and any(plots.iterdir())


@pytest.mark.parametrize("command", [("report",), ("sheet", "-o", "sheet.png"), ("score",)])
def test_where_pictures_are_needed_it_is_refused(tmp_path: Path, command: Sequence[str]) -> None:
    _, file = kept(tmp_path)
    words = [command[0], file, *command[1:]]
    if command == ("score",):
        words.append("metrics=[clip]")
    code, said, warned = run_command(*words)
    assert code == 2 and not said
    assert warned.count("\n") == 1 and "has a run's numbers alone, no pictures" in warned


def _without(key: str) -> Callable[[dict[str, Any]], None]:
    return lambda content: content.pop(key)


def _in_row(column: int, value: Any) -> Callable[[dict[str, Any]], None]:
    def change(content: dict[str, Any]) -> None:
        content["results"][1][column] = value

    return change


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (_without("columns"), "lacks columns"),
        (_without("results"), "no results"),
        (_without("config"), "config is not a table"),
        (_without("command"), "of the command None"),
        (lambda content: content["results"][1].pop(), "result 1 has not a value for each column"),
        (lambda content: content["summary"].update(versions=["x"]), "versions is not a list of"),
        (lambda content: content["summary"].update(versions=[{"weights": 1}]), "weights is not a"),
        (_in_row(0, -1), "result 1 has prompt_index -1"),
        (_in_row(2, 5), "result 1 has prompt 5"),
        (_in_row(5, "high"), "result 1 has reward 'high'"),
        (_in_row(10, [1]), r"result 1 has judged.belief \[1\]"),
    ],
)
def test_a_damaged_file_is_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], None], says: str
) -> None:
    _, file = kept(tmp_path)
    content = json.loads(file.read_text())
    assert content["columns"][10] == "judged.belief"
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(GlassError, match=f"{file.name} is damaged: .*{says}") as refused:
        read_run_file(file)
    assert "\n" not in str(refused.value)
    file.write_text(file.read_text()[:-40])
    with pytest.raises(GlassError, match="is damaged"):
        read_run_file(file)


SCOPE = Scope(seeds=1, only=("ode*",), benchmarks=("compose",))


def _never(words: Sequence[str], config: str) -> int:
    raise AssertionError(f"drawn again: {words}")


def _pages(tmp_path: Path) -> Path:
    """Pages of two rows, beside which their run files are."""
    for name in ("ode1_50", "ode2_50"):
        written(tmp_path / "runs", name, "compose", (0.5, 50, 0.0))
    out = tmp_path / "out"
    assert reproduce("embedded", SCOPE, [], tmp_path / "runs", out, draw=False) == 0
    return out


def test_earlier_runs_are_not_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine that has none of their folders; the pages are the same, and so are the files."""
    first = _pages(tmp_path)
    assert "wrote 2 run files into" in capsys.readouterr().out
    second = tmp_path / "second"
    code = reproduce(
        "embedded", SCOPE, [], tmp_path / "none", second, run=_never, earlier=first / "runs"
    )
    assert code == 0 and "not used" not in capsys.readouterr().err
    ours, theirs = (
        {p.relative_to(out): p.read_bytes() for p in out.rglob("*") if p.is_file()}
        for out in (first, second)
    )
    assert set(ours) == set(theirs) and len(ours) == 7
    for path, content in ours.items():
        assert path.suffix == ".csv" or theirs[path] == content, path
    a, b = (read_rows(out / "embedded.csv") for out in (first, second))
    for row, other in zip(a, b, strict=True):  # numbers of single particles are not kept
        shared = {key: row.estimates[key] for key in other.estimates}
        assert replace(row, estimates=shared) == other
        assert {"answer", "correct"} <= set(shared)


def test_an_earlier_run_that_is_not_what_is_asked_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = _pages(tmp_path) / "runs"
    asked: list[str] = []

    def run(words: Sequence[str], config: str) -> int:
        name = Path(words[-1].partition("=")[2].strip("'")).parts[-3]
        asked.append(name)
        written(tmp_path / "new", name, "compose", (0.5, 50, 0.0))
        return 0

    def again(*overrides: str) -> str:
        asked.clear()
        new = (tmp_path / "new", tmp_path / "pages")
        code = reproduce("embedded", SCOPE, [*overrides], *new, run=run, earlier=before)
        assert code == 0
        return capsys.readouterr().err

    said = again("model.guidance=2")
    assert asked == ["ode1_50", "ode2_50"]
    assert said.count("it was drawn with another model.guidance\n") == 2
    (before / "ode1_50/compose" / f"seed_0{SUFFIX}").write_text("{}")
    said = again()
    assert asked == ["ode1_50"] and "is damaged" in said
    file = before / "ode2_50/compose" / f"seed_0{SUFFIX}"
    content = json.loads(file.read_text())
    content["summary"]["versions"] = [{"weights": {"embedded:emoji": "of another day"}}]
    file.write_text(json.dumps(content))
    monkeypatch.setattr(module, "weights", lambda settings: {"embedded:emoji": "of today"})
    said = again()
    assert asked == ["ode1_50", "ode2_50"]
    assert "the weights of embedded:emoji have changed since" in said


@pytest.mark.parametrize(
    ("versions", "here", "warned"),
    [
        ([{"weights": {"model": "of today", "judge": None}}], {"judge": None}, ""),
        ([{"weights": {"model": "of today", "judge": None}}], {"judge": "since fetched"}, ""),
        ([{"weights": {"model": "of today", "judge": "old"}}], {"judge": None}, "of judge are"),
        ([], {}, "of model are"),
    ],
)
def test_weights_that_a_run_ended_without_are_not_its_own(
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    versions: list[dict[str, Any]],
    here: dict[str, str | None],
    warned: str,
) -> None:
    """GenEval names the published detector, which the embedded model's runs never load."""
    file = _pages(tmp_path) / "runs/ode1_50/compose" / f"seed_0{SUFFIX}"
    content = json.loads(file.read_text())
    content["summary"]["versions"] = versions
    file.write_text(json.dumps(content))
    monkeypatch.setattr(module, "weights", lambda settings: {"model": "of today", **here})
    asked = {**module.asked_for(file)}
    monkeypatch.setattr(module, "asked", lambda words: asked)
    capsys.readouterr()
    assert module.usable(file, [])
    said = capsys.readouterr().err
    assert (warned in said and "is not known" in said) if warned else not said


TARGETS = {"guidance_window": "rollover.RolloverBudget", "reward_cost": "auto.Auto"}


def test_a_setting_that_came_later_is_no_other_one(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """At its default; at another value the run was not drawn with it."""
    file = _pages(tmp_path) / "runs/ode1_50/compose" / f"seed_0{SUFFIX}"
    asked = {**module.asked_for(file)}
    content = json.loads(file.read_text())
    capsys.readouterr()
    for later, used in ((0, True), (0.0, True), ("auto", False), ([0.2, 0.7], True)):
        key = "guidance_window" if isinstance(later, list) else "reward_cost"
        asked["steering._target_"] = f"glass_cli.steering.{TARGETS[key]}"
        file.write_text(json.dumps({**content, "asked": asked}))
        now = {**asked, f"steering.{key}": later}
        monkeypatch.setattr(module, "asked", lambda words, now=now: now)
        assert module.usable(file, []) == used
        assert ("another steering.reward_cost" in capsys.readouterr().err) != used


def test_an_earlier_run_is_taken_whole(tmp_path: Path) -> None:
    """Also where a folder of the same name holds other results: they were not asked for."""
    before = _pages(tmp_path) / "runs"
    stale = tmp_path / "stale"
    for name in ("ode1_50", "ode2_50"):
        written(stale, name, "compose", (0.0, 50, 0.0))
    out = tmp_path / "pages"
    assert reproduce("embedded", SCOPE, [], stale, out, run=_never, earlier=before) == 0
    ours, theirs = (read_rows(p / "embedded.csv") for p in (tmp_path / "out", out))
    shown = [[row.estimates["correct"].mean for row in rows] for rows in (ours, theirs)]
    assert shown[0] == shown[1] != [0.0, 0.0]


def test_pages_alone_are_of_what_is_asked_for(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A folder whose settings are others would stand under a command that does not make it."""
    runs = tmp_path / "runs"
    for name in ("ode1_50", "ode2_50"):
        written(runs, name, "compose", (0.5, 50, 0.0))
    words = ["experiment=embedded/ode1_50", "benchmark=compose", "benchmark.images=1", "seed=0"]
    settings = module.asked(words)
    same = {k: v for k, v in settings.items() if k not in ("benchmark.images", "benchmark.limit")}
    file = runs / "ode1_50/compose/seed_0/identity.json"
    file.write_text(json.dumps({**same, "glass_version": "0.1.0"}))
    assert reproduce("embedded", SCOPE, [], runs, tmp_path / "a", draw=False) == 0
    assert len(read_rows(tmp_path / "a/embedded.csv")) == 2
    file.write_text(json.dumps({**same, "calls": 20}))
    capsys.readouterr()
    assert reproduce("embedded", SCOPE, [], runs, tmp_path / "b", draw=False) == 0
    assert "is left out: it has another calls" in capsys.readouterr().err
    assert [row.run for row in read_rows(tmp_path / "b/embedded.csv")] == ["ode2_50"]


def test_what_a_plan_chose_was_not_asked_for(tmp_path: Path) -> None:
    words = ["experiment=embedded/auto_160", "benchmark=compose", "seed=0"]
    drawn = {**module.asked(words), "steering._target_": "another", "steering.lam": 3, "calls": 5}
    (tmp_path / "identity.json").write_text(json.dumps(drawn))
    assert module.other_settings(tmp_path, words) == []
    drawn["model.path"] = "another"
    (tmp_path / "identity.json").write_text(json.dumps(drawn))
    assert module.other_settings(tmp_path, words) == ["model.path"]


def test_a_run_file_says_nothing_of_this_machine(tmp_path: Path) -> None:
    """And how many prompts it is of is what the run was of."""
    written(tmp_path / "runs", "ode1_50", "compose", (0.5, 50, 0.0))
    folder = tmp_path / "runs/ode1_50/compose/seed_0"
    run = read_run(folder)
    listed = {"_target_": "x", "path": f"{tmp_path}/list.jsonl", "limit": 4, "images": 1}
    config = {**run.config, "benchmark": listed, "wandb": {"entity": "somebody"}}
    typed = ("seed=0", f"benchmark.path={tmp_path}/list.jsonl", "wandb.entity=somebody")
    one = DrawnRun(
        Evaluation("ode1_50", "embedded/ode1_50", (), "compose"),
        0,
        replace(run, config=config, overrides=typed),
    )
    words = ["experiment=embedded/ode1_50", "benchmark=compose", "seed=0"]
    (file,) = module.keep(tmp_path / "out", [(one, words)])
    assert str(tmp_path) not in file.read_text() and "somebody" not in file.read_text()
    assert asked_for(file)["benchmark.limit"] == 4
    assert read_run_file(file).overrides == ("seed=0",)


def test_run_files_are_found_where_pictures_are_not_needed(tmp_path: Path) -> None:
    """A report of all runs below a folder passes over the pages that lie there too."""
    kept(tmp_path)
    code, said, _ = run_command("report", tmp_path)
    assert code == 0 and "report.html" in said


def test_a_wrong_folder_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(GlassError, match=r"--earlier .*nowhere is not a folder"):
        reproduce(
            "embedded", SCOPE, [], tmp_path, tmp_path, run=_never, earlier=tmp_path / "nowhere"
        )
