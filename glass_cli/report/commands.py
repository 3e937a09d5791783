"""What `glass compare` and `glass report` do once their words are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, writing_to
from glass_cli.report import tables
from glass_cli.report.comparison import compare, names
from glass_cli.report.page import write_report
from glass_cli.report.plots import write_plots
from glass_cli.output.reader import read_run, read_runs


def compare_runs(
    folders: Sequence[Path],
    against: Path | None,
    labels: Sequence[str],
    show: Sequence[str],
    csv: Path | None,
    latex: Path | None,
    plots: Path | None,
) -> tuple[str, list[str]]:
    """The table of a comparison, with a line for each file written, and its warnings.

    Raises GlassError, of which Unreadable has a line for each folder that is no finished run.
    """
    folders = list(folders)
    base = 0
    if against is not None:
        same = [i for i, f in enumerate(folders) if f.resolve() == against.resolve()]
        if not same:
            folders.insert(0, against)
        base = same[0] if same else 0
    if len(folders) < 2:
        raise GlassError("one run has nothing to stand against; name two or more, or --against RUN")
    if len({f.resolve() for f in folders}) < len(folders):
        raise GlassError("a run is named twice; name each once")
    if labels and len(labels) != len(folders):
        raise GlassError(f"{len(labels)} labels for {len(folders)} runs; give one --label a run")
    found = compare(
        read_runs(folders), labels or names(folders), base, [k.strip() for k in show] or None
    )
    said = [tables.terminal(found)]
    for path, text in ((csv, tables.as_csv), (latex, tables.latex)):
        if path is not None:
            _write(path, text(found))
            said.append(f"wrote {path}")
    if plots is not None:
        with writing_to(plots, "name another folder"):
            said += [f"wrote {path}" for path in write_plots(found, plots)]
    return "\n".join(said), list(found.warnings)


def report(folder: Path, out: Path | None, megabytes: float, trees: int) -> str:
    """Writes the page of the run in ``folder``, there as report.html by default; says where."""
    return write_report(read_run(folder), out or folder / "report.html", megabytes, trees)


def _write(path: Path, text: str) -> None:
    with writing_to(path, "name another file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
