"""A finished run's pictures as the rows of a contact sheet."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from glass_cli.common.files import atomic_write, writing_to
from glass_cli.output.reader import read_results
from glass_cli.output.results import Particle, Result
from glass_cli.output.sheet import Row, contact_sheet

# A sheet is looked at as a whole; the folder has everything.
SHEET_PROMPTS = 24
SHEET_PARTICLES = 64


def write_sheet(folder: Path) -> Path | None:
    """Writes sheet.png, a row for each of the first SHEET_PROMPTS prompts; None without pictures.

    Raises GlassError where it cannot be written.
    """
    rows, prompts = [], 0
    for result in read_results(folder):
        if row := row_of(result):
            prompts += 1
            if prompts <= SHEET_PROMPTS:
                rows.append(row)
    if not rows:
        return None
    title = f"The first {SHEET_PROMPTS} of {prompts} prompts" if prompts > len(rows) else None
    path = folder / "sheet.png"
    with writing_to(folder), atomic_write(path) as part:
        contact_sheet(rows, title=title).save(part)
    return path


def row_of(result: Result, label: str | None = None) -> Row | None:
    """The pictures of a result's particles, at most SHEET_PARTICLES, the answer among them.

    ``label`` replaces the prompt above the row. None for points.
    """
    shown = [particle for particle in result.particles if particle.picture is not None]
    if not shown:
        return None
    best = next((i for i, p in enumerate(shown) if p.index == result.chosen), None)
    if best is not None and best >= SHEET_PARTICLES:
        shown[SHEET_PARTICLES - 1], best = shown[best], SHEET_PARTICLES - 1
    shown = shown[:SHEET_PARTICLES]
    pictures = [particle.picture for particle in shown if particle.picture is not None]
    text = result.prompt if label is None else label
    return Row(text, pictures, list(_captions(shown)), best)


def _captions(particles: Iterable[Particle]) -> Iterable[str]:
    return ("-" if p.reward is None else f"{p.reward:.3f}" for p in particles)
