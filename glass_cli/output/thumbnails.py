"""Small pictures of what was scored on the way, for the tree of particles in a report.

::

    thumbs/00003/0000/step-002.webp  prompt 3, image 0, step 2: N tiles from left to right
"""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
from PIL import Image

from glass_cli.common.errors import GlassError
from glass_cli.output.pictures import load_picture

SIDE = 96
# WebP holds 16383 pixels a side.
_WIDEST = 16_000


def strip(pictures: np.ndarray) -> bytes:
    """WebP of small pictures side by side, each at most SIDE pixels long.

    pictures: (N, H, W, 3), uint8.
    """
    n, height, width, _ = pictures.shape
    scale = min(1.0, SIDE / max(height, width), _WIDEST / (n * width))
    size = (max(1, int(width * scale)), max(1, int(height * scale)))
    whole = Image.new("RGB", (n * size[0], size[1]))
    for i, picture in enumerate(pictures):
        tile = Image.fromarray(picture)
        if tile.size != size:
            tile = tile.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
        whole.paste(tile, (i * size[0], 0))
    out = io.BytesIO()
    whole.save(out, "WEBP", quality=80)
    return out.getvalue()


def name(step: int) -> str:
    """The file of a step's strip, within the folder of its prompt and image."""
    return f"step-{step:03d}.webp"


def find(folder: Path, step: int) -> Path | None:
    """A step's strip in the folder of its prompt and image, whatever its format."""
    return next(iter(sorted(folder.glob(f"step-{step:03d}.*"))), None)


def tiles(path: Path, count: int) -> list[Image.Image]:
    """The ``count`` tiles of a strip. Raises GlassError where it is not such a strip."""
    strip = load_picture(path).convert("RGB")
    width = strip.width // count
    if width < 1 or strip.width % count:
        raise GlassError(f"{path} is not {count} tiles wide")
    return [strip.crop((i * width, 0, (i + 1) * width, strip.height)) for i in range(count)]
