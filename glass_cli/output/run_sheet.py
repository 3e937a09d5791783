"""A run's pictures as the rows of a contact sheet."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from glass_cli.common.files import atomic_write, writing_to
from glass_cli.output.finished import Unit
from glass_cli.output.reader import read_results
from glass_cli.output.results import Particle, Result
from glass_cli.output.sheet import Row, contact_sheet

# A sheet is looked at as a whole; the folder has everything.
SHEET_PROMPTS = 24
SHEET_PARTICLES = 64


def write_sheet(folder: Path, units: Sequence[Unit]) -> Path | None:
    """Writes sheet.png, a row for each of the first SHEET_PROMPTS of ``units``.

    Returns None, and writes nothing, where there are no pictures. Raises GlassError where the
    sheet cannot be written, or a result is damaged.
    """
    results = read_results(folder, units[:SHEET_PROMPTS])
    rows = [row for result in results if (row := particle_row(result)) is not None]
    if not rows:
        return None
    title = f"The first {len(rows)} of {len(units)} prompts" if len(units) > len(rows) else None
    path = folder / "sheet.png"
    with writing_to(folder), atomic_write(path) as part:
        contact_sheet(rows, title=title).save(part)
    return path


def particle_row(result: Result, label: str | None = None) -> Row | None:
    """The pictures of a result's particles, at most SHEET_PARTICLES, the answer among them.

    label: replaces the prompt above the row.

    None for points.
    """
    shown = result.shown
    if not shown:
        return None
    best = next((i for i, (p, _) in enumerate(shown) if p.index == result.chosen), None)
    if best is not None and best >= SHEET_PARTICLES:
        shown[SHEET_PARTICLES - 1], best = shown[best], SHEET_PARTICLES - 1
    shown = shown[:SHEET_PARTICLES]
    text = result.prompt if label is None else label
    return Row(text, [picture for _, picture in shown], [_caption(p) for p, _ in shown], best)


def _caption(particle: Particle) -> str:
    reward = "-" if particle.reward is None else f"{particle.reward:.3f}"
    return "\n".join([reward, *metric_lines(particle)])


def metric_lines(particle: Particle) -> list[str]:
    """What further rewards say of a particle, a line each."""
    return [f"{name} {value:.4g}" for name, value in particle.metrics.items()]
