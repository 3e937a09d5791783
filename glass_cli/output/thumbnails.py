"""Small pictures of what was scored on the way, for the tree of particles in a report.

::

    thumbs/00003/0000/step-002.webp  prompt 3, image 0, step 2: N tiles from left to right

Their result names the digest of each, by which another result's strip is told.
"""

from __future__ import annotations

import hashlib
import io
import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np
from PIL import Image

from glass_cli.common.errors import GlassError
from glass_cli.output.pictures import load_picture

SIDE = 96
_NAME = re.compile(r"step-(\d{3,9})\..+")
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


class Strip(NamedTuple):
    """A file of equally wide tiles from left to right.

    sha256: its digest, as its result names it; None of runs that were drawn before results did.
    """

    path: Path
    sha256: str | None = None


def find(folder: str) -> dict[int, str]:
    """Step -> its strip's name in the folder of a prompt and image, whatever the format."""
    try:
        names = sorted(os.listdir(folder), reverse=True)
    except OSError:
        return {}
    return {int(match[1]): match[0] for n in names if (match := _NAME.fullmatch(n))}


def tiles(strip: Strip, count: int) -> list[Image.Image]:
    """The ``count`` tiles of a strip.

    Raises GlassError where it is not such a strip, or not the one that its result names.
    """
    whole = load_picture(strip.path).convert("RGB")
    width = whole.width // count
    if width < 1 or whole.width % count:
        raise GlassError(f"{strip.path} is not {count} tiles wide")
    digest = hashlib.sha256(strip.path.read_bytes()).hexdigest()
    if strip.sha256 not in (None, digest):
        raise GlassError(f"{strip.path} was not kept with its result")
    return [whole.crop((i * width, 0, (i + 1) * width, whole.height)) for i in range(count)]
