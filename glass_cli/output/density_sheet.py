"""The plots of a run's points, one a prompt, as one picture."""

from __future__ import annotations

import math
from collections.abc import Iterable
from pathlib import Path

from PIL import Image

from glass_cli.common.files import atomic_write, writing_to
from glass_cli.output.finished import Unit
from glass_cli.output.pictures import load_picture

# As of pictures: it is looked at as a whole, and every plot costs a tenth of a second.
DENSITY_PROMPTS = 24


def density_name(prompt_index: int) -> str:
    """The file, within the folder of the run, of one prompt's plot."""
    return f"density/{prompt_index:05d}.png"


def write_density(folder: Path, units: Iterable[Unit]) -> Path | None:
    """Writes density.png: the plots of ``units`` beside and below each other, in their order.

    Returns None, and writes nothing, where there are none. Raises GlassError where a plot is
    damaged, or the picture cannot be written.
    """
    files = [folder / density_name(unit.prompt_index) for unit in units]
    plots = [load_picture(file).convert("RGB") for file in files if file.is_file()]
    if not plots:
        return None
    columns = math.ceil(math.sqrt(len(plots)))
    width, height = max(p.width for p in plots), max(p.height for p in plots)
    rows = math.ceil(len(plots) / columns)
    page = Image.new("RGB", (columns * width, rows * height), "white")
    for i, plot in enumerate(plots):
        page.paste(plot, (i % columns * width, i // columns * height))
    path = folder / "density.png"
    with writing_to(folder), atomic_write(path) as part:
        page.save(part, format="PNG")
    return path
