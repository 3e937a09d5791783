"""Studies as files of numbers: what they keep, what they refuse, `glass reproduce --earlier`."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import pytest
from invented_results import CALLS, LAW, study

from glass_cli.common.errors import GlassError
from glass_cli.output.study_file import (
    SUFFIX,
    FinishedStudy,
    read_study,
    read_study_file,
    write_study_file,
)
from glass_cli.reproduce.command import reproduce
from glass_cli.reproduce.plan import Scope

SCOPE = Scope(only=("posterior_mixture",), limit=12)
FILE = Path("runs", "posterior_mixture", "study", f"seed_0{SUFFIX}")


def drawn(runs: Path) -> Path:
    """The folder of a study whose numbers are invented."""
    folder = runs / "posterior_mixture/study/seed_0"
    (folder / "study").mkdir(parents=True)
    cell = {"mean": 0.25, "interval95": [0.125, 0.5]}
    row = {"method": "GLASS 1", "calls": 10, "w2_freed": cell}
    summary = {"posterior": [{"t": 0.15, "rows": [row]}], "versions": [{"glass": "0.2.0"}]}
    (folder / "summary.json").write_text(json.dumps(summary))
    for number, part in enumerate(study({**LAW, **CALLS})):
        (folder / f"study/{number:05d}.json").write_text(json.dumps({"settings": "x", **part}))
    return folder


def _never(words: Sequence[str], config: str) -> int:
    raise AssertionError(f"drawn again: {words}")


def _written(path: Path) -> dict[Path, bytes]:
    return {p.relative_to(path): p.read_bytes() for p in path.rglob("*") if p.is_file()}


def test_a_file_has_all_of_the_study(tmp_path: Path) -> None:
    found = read_study(drawn(tmp_path))
    assert len(found.parts) == 12
    file, twice = tmp_path / f"a{SUFFIX}", tmp_path / f"b{SUFFIX}"
    write_study_file(file, found, {"seed": 0})
    assert read_study_file(file) == FinishedStudy(file, found.summary, found.parts)
    write_study_file(twice, read_study_file(file), {"seed": 0})
    assert file.read_bytes() == twice.read_bytes()


def test_an_earlier_study_is_not_drawn_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """On a machine that has not its folder: the same table and claims, and the same file."""
    drawn(tmp_path / "drawn")
    first, second = tmp_path / "first", tmp_path / "second"
    assert reproduce("embedded", SCOPE, [], tmp_path / "drawn", first, draw=False) == 0
    assert "| 0.15 | GLASS 1 | 10 | 0.25" in (first / "embedded.md").read_text()
    claimed = (first / "claims.md").read_text()
    assert claimed.count("| posterior_mixture | ") == 5
    assert not any("posterior_mixture | - |" in line for line in claimed.splitlines())
    none, runs = tmp_path / "none", first / "runs"
    assert reproduce("embedded", SCOPE, [], none, second, run=_never, earlier=runs) == 0
    assert "not used" not in capsys.readouterr().err
    assert _written(first) == _written(second) and FILE in _written(first)


def test_a_study_that_is_not_what_is_asked_is_drawn(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    drawn(tmp_path / "drawn")
    out = tmp_path / "out"
    assert reproduce("embedded", SCOPE, [], tmp_path / "drawn", out, draw=False) == 0
    asked: list[Sequence[str]] = []

    def run(words: Sequence[str], config: str) -> int:
        asked.append(words)
        if not (tmp_path / "new").exists():
            drawn(tmp_path / "new")
        return 0

    def again(*overrides: str) -> str:
        new = (tmp_path / "new", tmp_path / "pages")
        code = reproduce("embedded", SCOPE, [*overrides], *new, run=run, earlier=out / "runs")
        assert code == 0
        return capsys.readouterr().err

    assert "it was drawn with another model.dim\n" in again("model.dim=4") and len(asked) == 1
    assert again().count("warning") == 0 and len(asked) == 1
    (out / FILE).write_text("{}")
    assert "is damaged" in again() and len(asked) == 2


def _first(change: Callable[[dict[str, Any]], Any]) -> Callable[[dict[str, Any]], Any]:
    return lambda content: change(content["parts"][0]["times"][0])


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda content: content.pop("summary"), "summary is not a table"),
        (lambda content: content["summary"].update(versions=["x"]), "versions is not a list of"),
        (lambda content: content.pop("parts"), "parts is not a list of records"),
        (lambda content: content["parts"].clear(), "it is of no parts"),
        (lambda content: content["parts"][0].pop("times"), "part 0 is not a list of records"),
        (_first(lambda at: at.pop("floor")), "part 0 at t=0.15 lacks a distance"),
        (_first(lambda at: at["rows"][0].update(w2="x")), "has w2 'x', not a number"),
        (_first(lambda at: at["rows"][0].update(calls=-1)), "has calls -1, not a whole number"),
        (_first(lambda at: at["rows"][0].pop("method")), "has method None, not a text"),
    ],
)
def test_a_damaged_file_is_one_line(
    tmp_path: Path, change: Callable[[dict[str, Any]], Any], says: str
) -> None:
    file = tmp_path / f"a{SUFFIX}"
    write_study_file(file, read_study(drawn(tmp_path)), {})
    content = json.loads(file.read_text())
    change(content)
    file.write_text(json.dumps(content))
    with pytest.raises(GlassError, match=says) as refused:
        read_study_file(file)
    assert "\n" not in str(refused.value)


def test_a_folder_that_was_cut_short_is_one_line(tmp_path: Path) -> None:
    folder = drawn(tmp_path / "drawn")
    file = folder / "study/00003.json"
    file.write_text(file.read_text()[:50])
    with pytest.raises(GlassError, match=r"study/00003.json is not what was written"):
        reproduce("embedded", SCOPE, [], tmp_path / "drawn", tmp_path / "out", draw=False)
