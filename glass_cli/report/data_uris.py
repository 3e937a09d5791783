"""Pictures as data URIs, small enough for one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from glass_cli.output.pictures import load_picture

SIDES = (320, 224, 160, 112, 80, 56)
_SAMPLE = 24


def uri(data: bytes, kind: str) -> str:
    """``data`` of an image of some ``kind``, such as "webp", as a URI that holds it all."""
    return f"data:image/{kind};base64,{base64.b64encode(data).decode('ascii')}"


def embedded(image: Image.Image, side: int) -> str:
    """``image`` as a WebP data URI, made smaller where its longer side exceeds ``side``."""
    image = image.convert("RGB")
    scale = side / max(image.size)
    if scale < 1:
        size = (max(1, round(image.width * scale)), max(1, round(image.height * scale)))
        image = image.resize(size, Image.Resampling.LANCZOS, reducing_gap=2.0)
    out = io.BytesIO()
    image.save(out, "WEBP", quality=82)
    return uri(out.getvalue(), "webp")


def picture(path: Path, side: int) -> str:
    """The picture at ``path`` as a data URI. Raises GlassError where it is none."""
    return embedded(load_picture(path), side)


def fitting_side(paths: Sequence[Path], budget: int) -> int:
    """The largest of SIDES with which all ``paths`` take about ``budget`` characters or fewer.

    Measured on a few of them, evenly spread; the smallest where none fits.
    """
    if not paths:
        return SIDES[0]
    some = paths[:: max(1, len(paths) // _SAMPLE)]
    for side in SIDES[:-1]:
        mean = sum(len(picture(path, side)) for path in some) / len(some)
        if mean * len(paths) <= budget:
            return side
    return SIDES[-1]
