"""Small comparisons, in memory and by the command."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from example_runs import sample_run
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.output.reader import read_run
from glass_cli.report.comparison import Comparison, compare
from glass_cli.report.run_groups import RunGroup


def compared(
    folders: Sequence[Path],
    labels: Sequence[str] = "abc",
    against: int = 0,
    show: Sequence[str] | None = None,
) -> Comparison:
    """The runs in ``folders``, each alone."""
    pairs = zip(labels, folders, strict=False)
    groups = [RunGroup(label, (read_run(folder),)) for label, folder in pairs]
    return compare(groups, against, show)


def two_runs(tmp_path: Path) -> list[Path]:
    a = {"one": [1.0, 3.0], "two": [2.0, 2.0], "three": [0.0, 4.0]}
    b = {"three": [5.0, 5.0], "one": [4.0, 6.0], "four": [9.0, 9.0]}
    return [sample_run(tmp_path / "a", a), sample_run(tmp_path / "b", b, nfe=32)]


def run_command(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.stdout, done.stderr
