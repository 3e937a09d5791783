"""`glass compare` and `glass report`, once their command lines are read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, writing_to
from glass_cli.common.messages import say
from glass_cli.output.results import Run
from glass_cli.report import tables
from glass_cli.report.agreement import against_files, published, remarks
from glass_cli.report.comparison import Comparison, compare
from glass_cli.report.page import write_report
from glass_cli.report.plots import write_plots
from glass_cli.report.ranking import NOTE, rank, ranking_table
from glass_cli.report.run_groups import (
    RunGroup,
    Unreadable,
    group_seeds,
    read_runs,
    readable_runs,
)


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

    A single run stands beside what a paper reports of its settings; files of results (CSV) among
    the folders stand beside the runs of the same settings.

    folders: of runs, and of sweeps, which stand for their jobs. Runs of the same settings and
        different seeds are compared as one, averaged prompt by prompt.
    against: the run from which differences are taken; by default the first.
    labels: a name for each run, or group of seeds; by default what differs between them.
    show: keys of the quantities; all by default.
    csv, latex, plots: where to write the numbers, the table and the plots.

    Raises GlassError, of which Unreadable has a line for each folder that is no whole run.
    """
    files = [path for path in folders if path.suffix == ".csv"]
    if files:
        keys = [key.strip() for key in show]
        return against_files(files, [path for path in folders if path not in files], keys)
    base: list[Path] = []
    runs, passed_over = read_runs(folders, pictures=False)
    if against is not None:
        of_base, more = read_runs([against], pictures=False)
        base = [run.folder.resolve() for run in of_base]
        there = {run.folder.resolve() for run in runs}
        runs = [run for run in of_base if run.folder.resolve() not in there] + runs
        passed_over += [line for line in more if line not in passed_over]
    warnings = [f"passing over a run: {line}" for line in passed_over]
    if len(runs) < 2:
        known = published(group_seeds(runs, labels)[0])
        if known:
            return "\n".join(known).strip("\n"), warnings
        alone = "one run has nothing to stand against; name two or more, or --against RUN"
        raise Unreadable([*warnings, alone])
    groups = group_seeds(runs, labels)
    comparison = compare(groups, _index(groups, base), [key.strip() for key in show] or None)
    lines = [tables.terminal(comparison), *remarks(comparison)]
    lines += _written(comparison, csv, latex, plots)
    return "\n".join(lines), [*warnings, *comparison.warnings]


def rank_runs(
    folders: Sequence[Path],
    key: str,
    labels: Sequence[str],
    csv: Path | None,
    latex: Path | None,
    plots: Path | None,
) -> tuple[str, list[str]]:
    """A ranking of the runs of each benchmark by the quantity ``key``, and warnings.

    folders: of runs, and of sweeps; what holds none, such as a study, is passed over.

    The others are those of :func:`compare_runs`, for runs of one benchmark. Raises GlassError.
    """
    runs, passed_over = readable_runs(folders)
    if not runs:
        raise Unreadable(passed_over or ["no run is named"])
    warnings = [f"passing over a run: {line}" for line in passed_over]
    by_benchmark: dict[str, list[Run]] = {}
    for run in runs:
        by_benchmark.setdefault(str(run.summary.get("benchmark") or "glass sample"), []).append(run)
    several = len(by_benchmark) > 1
    if several and (labels or csv or latex or plots):
        raise GlassError(
            f"the runs are of several benchmarks ({', '.join(by_benchmark)}); --label, --csv,"
            " --latex and --plots are for those of one"
        )
    parts, refused = [], []
    for title, own in by_benchmark.items():
        try:
            ranking = rank(own, key.strip(), labels)
        except GlassError as error:
            if not several:
                raise
            refused.append(f"{title}: {error}")
            continue
        warnings += [f"{title}: {line}" if several else line for line in ranking.warnings]
        parts.append(ranking_table(ranking, title))
        parts += _written(ranking.comparison, csv, latex, plots)
    if not parts:
        raise Unreadable(refused)
    return "\n\n".join([*parts, NOTE]), [*warnings, *refused]


def _written(
    comparison: Comparison, csv: Path | None, latex: Path | None, plots: Path | None
) -> list[str]:
    """Writes what is asked for; a line for each file."""
    lines = []
    for path, text in ((csv, tables.as_csv), (latex, tables.latex)):
        if path is not None:
            _write(path, text(comparison))
            lines.append(f"wrote {path}")
    if plots is not None:
        with writing_to(plots, "name another folder"):
            lines += [f"wrote {path}" for path in write_plots(comparison, plots)]
    return lines


def _index(groups: Sequence[RunGroup], base: Sequence[Path]) -> int:
    """The group of the runs in the folders of ``base``; the first where there are none."""
    chosen = [
        i
        for i, group in enumerate(groups)
        if any(folder.resolve() in base for folder in group.folders)
    ]
    if len(chosen) > 1:
        raise GlassError(
            f"--against names {len(chosen)} runs of different settings; name one of them"
        )
    return chosen[0] if chosen else 0


def report(folder: Path, out: Path | None, megabytes: float, trees: int) -> str:
    """Writes the page of the run in ``folder``, or of each job of a sweep; says where.

    out: the page's file; by default report.html in the run's folder.
    megabytes, trees: see :func:`glass_cli.report.page.write_report`.

    Jobs of a sweep that are not finished are passed over, with a line on standard error for each.
    """
    runs, passed_over = read_runs([folder])
    if out is not None and len(runs) > 1:
        raise GlassError(f"{folder} holds {len(runs)} runs; name one of them to write to {out}")
    for line in passed_over:
        say(f"warning: passing over a run: {line}")
    pages = [(run, out or run.folder / "report.html") for run in runs]
    return "\n".join(write_report(run, page, megabytes, trees) for run, page in pages)


def _write(path: Path, text: str) -> None:
    with writing_to(path, "name another file"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
