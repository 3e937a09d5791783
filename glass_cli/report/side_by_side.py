"""`glass sheet`: several runs' pictures on one contact sheet, prompt by prompt."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, writing_to
from glass_cli.common.messages import say
from glass_cli.output.results import Result, Run
from glass_cli.output.run_sheet import SHEET_PROMPTS, metric_lines, particle_row
from glass_cli.output.sheet import Row, contact_sheet
from glass_cli.report.labels import labels
from glass_cli.report.run_groups import Key, by_key, read_runs

# A sheet is looked at as a whole, whatever number of runs is on it.
MOST_ROWS = 96
COLUMNS = 8


def side_by_side(paths: Sequence[Path], out: Path) -> str:
    """Writes the sheet of the runs in ``paths`` to ``out``; returns a line that says so.

    Runs of ``glass sample`` have a row each for every prompt. Where an evaluation is among them, a
    prompt has one row with the answers of all runs, whose prompts must be the same. Runs that are
    not finished are passed over, with a line on standard error for each.

    Raises GlassError for folders without a whole run, for runs without pictures or without common
    prompts, and where ``out`` cannot be written.
    """
    runs, passed_over = read_runs(paths)
    for line in passed_over:
        say(f"warning: passing over a run: {line}")
    for run in runs:
        if not any(result.shown for result in run.results):
            raise GlassError(f"{run.folder} has no pictures; only runs of an image model have")
    evaluations = any(run.command == "eval" for run in runs)
    groups, columns = _answer_rows(runs) if evaluations else (_particle_rows(runs), COLUMNS)
    shown = groups[: max(1, min(SHEET_PROMPTS, MOST_ROWS // max(map(len, groups))))]
    rows = [row for group in shown for row in group]
    title = (
        None if len(shown) == len(groups) else f"The first {len(shown)} of {len(groups)} prompts"
    )
    with writing_to(out, "name another file with -o"):
        out.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(out) as part:
            contact_sheet(rows, columns, title).save(part)
    return f"wrote {out} ({len(rows)} row{'s' * (len(rows) > 1)})"


def _by_image(run: Run) -> dict[Key, Result]:
    return by_key(run.results, lambda result: result.image_index)


def _particle_rows(runs: Sequence[Run]) -> list[list[Row]]:
    """For each prompt, in the order of the runs that have it, a row of each run's particles."""
    names, tables = labels(runs, seeds=True), [_by_image(run) for run in runs]
    groups = []
    for key in dict.fromkeys(key for table in tables for key in table):
        group = []
        for name, table in zip(names, tables, strict=True):
            result = table.get(key)
            if result is None:
                continue
            cost = "" if result.nfe is None else f", {result.nfe:.0f} network calls"
            row = particle_row(result, f"{name}{cost}: {result.prompt}")
            if row is not None:
                group.append(row)
        groups.append(group)
    return groups


def _answer_rows(runs: Sequence[Run]) -> tuple[list[list[Row]], int]:
    """A row for each prompt that all runs have, with their answers, and the columns of a line.

    A line never ends between the images of a run where these fit on it.
    """
    names, tables = labels(runs, seeds=True), [_by_image(run) for run in runs]
    common = [key for key in tables[0] if all(key in table for table in tables)]
    if not common:
        raise GlassError("the runs have no prompt in common; name runs of the same prompts")
    images: dict[tuple[str, int], list[Key]] = {}
    for key in common:
        images.setdefault((key[0], key[2]), []).append(key)
    rows = []
    for (prompt, _), keys in images.items():
        pictures, captions = [], []
        for name, table in zip(names, tables, strict=True):
            for key in keys:
                path, caption = _answer(table[key])
                pictures.append(path)
                captions.append(f"{name}\n{caption}" if len(runs) > 1 else caption)
        rows.append([Row(prompt, pictures, captions)])
    most = max(map(len, images.values()))
    return rows, max(1, COLUMNS // most) * most if most <= COLUMNS else COLUMNS


def _answer(result: Result) -> tuple[Path, str]:
    """The picture of the answer, the first one's where none was chosen, and its caption."""
    particle, path = next(
        ((p, path) for p, path in result.shown if p.index == result.chosen), result.shown[0]
    )
    parts = [] if particle.reward is None else [f"{particle.reward:.3f}"]
    if result.correct is not None:
        parts.append("right" if result.correct else "wrong")
    return path, "\n".join([", ".join(parts), *metric_lines(particle)])
