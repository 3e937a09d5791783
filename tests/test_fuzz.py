"""Random command lines: one line and exit 2, nothing written, nothing loaded; or a run that works.

`fuzz_lines` makes them. Their refusals name the key, the value and what to do.
"""

from __future__ import annotations

import random
import re
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from fuzz_contradictions import contradictions
from fuzz_lines import Line, lines, perhaps_right

from glass_cli import launch as launching
from glass_cli.cli import main

QUICK, ALL = 40, 300
ADVICE = re.compile(
    r"\b(must|use|choose|write|set|leave|name|see|shows|did you mean|known here|needs?|give|is not"
    r"|correct|close|install|unknown|cannot|missing|requires|takes|belongs|there is no|not a"
    r"|at most|at least|no such|raise|run)\b",
    re.IGNORECASE,
)
Run = Callable[[Line], tuple[int, str]]


@pytest.fixture
def fail_on_load(monkeypatch: pytest.MonkeyPatch) -> None:
    def loads(*_: Any, **__: Any) -> None:
        pytest.fail("a model was loaded")

    monkeypatch.setattr("glass_cli.engine.load.load", loads)
    monkeypatch.setattr("glass_cli.models.gaussian_mixture.GaussianMixture.load", loads)
    monkeypatch.setattr("glass_cli.models.diffusers_pipeline.DiffusersPipeline.load", loads)
    monkeypatch.setattr("glass_cli.rewards.clip.Clip.load", loads)


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Run]:
    """Runs a line in an empty folder; its exit code and what it said on standard error."""
    (tmp_path / "work" / "empty").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "work")
    Path("file.txt").write_text("no run\n")
    Path("table.csv").write_text("no,results\n1,2\n")

    def run(line: Line) -> tuple[int, str]:
        monkeypatch.setattr(sys, "argv", ["glass", line.command, *line.words])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    yield run


def wrong_with(line: Line, code: int, said: str) -> str | None:
    """What is wrong with the refusal of a line; None for nothing."""
    if code != 2:
        return f"exit code {code}"
    # of several folders each has its line
    if said.count("\n") != 1 and line.command not in ("compare", "sheet"):
        return f"{said.count(chr(10))} lines"
    if not all(text.startswith("glass: ") for text in said.splitlines()):
        return "a line without the program's name"
    if "Traceback" in said or any(ord(c) < 32 and c != "\n" for c in said):
        return "a traceback or a control character"
    if len(said) > 600:
        return f"{len(said)} characters"
    if not ADVICE.search(said):
        return "no word of what to do"
    for ways in line.named:
        if not any(way in said for way in ways):
            return f"does not name {ways[0]}"
    return None


def refusals(run: Run, monkeypatch: pytest.MonkeyPatch, wanted: list[Line]) -> list[str]:
    """What is wrong with the refusals of the lines that must be or may be refused."""
    begun: list[Path] = []

    def begins(engine: str, settings: Any, folder: Path) -> None:
        begun.append(folder)

    monkeypatch.setattr(launching, "_run", begins)
    there = sorted(Path().rglob("*"))
    found = []
    for line in wanted:
        begun.clear()
        code, said = run(line)
        if begun and not line.wrong:
            assert code == 0, (line, said)
        else:
            complaint = "it was begun" if begun else wrong_with(line, code, said)
            if complaint is None and sorted(Path().rglob("*")) != there:
                complaint = f"left {set(Path().rglob('*')) - set(there)}"
            if complaint is not None:
                found.append(f"{complaint}: glass {line.command} {line.words} said {said!r}")
        for path in sorted(set(Path().rglob("*")) - set(there), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()
    return found


def test_how_many() -> None:
    every = list(lines(ALL))
    pairs = {frozenset(words) for words, _ in contradictions()}
    assert len(every) == ALL and sum(line.wrong for line in every) > 0.9 * ALL
    assert sum(frozenset(line.words) in pairs for line in every) >= 50
    commands = ("sample", "sweep", "eval", "compare", "report", "sheet", "plan", "score")
    assert {line.command for line in every} == {*commands}


@pytest.mark.usefixtures("fail_on_load")
@pytest.mark.parametrize(
    ("first", "count"), [(0, QUICK), pytest.param(QUICK, ALL - QUICK, marks=pytest.mark.slow)]
)
def test_refused_in_one_line(
    run: Run, monkeypatch: pytest.MonkeyPatch, first: int, count: int
) -> None:
    chosen = list(lines(ALL))[first : first + count]
    found = refusals(run, monkeypatch, chosen)
    assert not found, "\n".join(found)


@pytest.mark.plots
@pytest.mark.parametrize(("seed", "count"), [(1, 4), pytest.param(2, 20, marks=pytest.mark.slow)])
def test_what_is_accepted_runs(run: Run, seed: int, count: int) -> None:
    """The first ``count`` lines that may be right and are accepted, run to their end."""
    rng, accepted = random.Random(seed), 0
    for number in range(10 * count):
        line = perhaps_right(rng)
        code, said = run(line._replace(words=[*line.words, f"hydra.run.dir=run{number}"]))
        if code == 0:
            assert (Path(f"run{number}") / "summary.json").is_file()
            accepted += 1
        else:
            complaint = wrong_with(line, code, said)
            assert complaint is None, (complaint, line, said)
            assert not Path(f"run{number}").exists(), (line, said)
        if accepted == count:
            return
    pytest.fail("nearly all was refused")
