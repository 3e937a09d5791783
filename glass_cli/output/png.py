"""PNG files that say how they were made."""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from glass_cli.common.files import plain

# On pictures of 1024 pixels zlib's default takes 4 times as long for a file 15 % smaller.
_COMPRESSION = 1


def png_bytes(picture: np.ndarray, texts: Mapping[str, str]) -> bytes:
    """A PNG file of ``picture``, uint8 (H, W, 3), with ``texts`` (UTF-8) inside.

    Raises ValueError for an array of another type or shape.
    """
    if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[-1] != 3:
        raise ValueError(f"a picture must be uint8 (H, W, 3), got {picture.dtype} {picture.shape}")
    info = PngInfo()
    for key, text in texts.items():
        info.add_itxt(key, plain(text))
    file = io.BytesIO()
    Image.fromarray(picture).save(file, "PNG", pnginfo=info, compress_level=_COMPRESSION)
    return file.getvalue()
