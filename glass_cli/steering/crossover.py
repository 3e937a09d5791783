"""Two pictures made one: what a search may try without a single network call."""

from __future__ import annotations

import math

import torch
from torch import Tensor


def has_sides(shape: tuple[int, ...]) -> bool:
    """Whether a particle of this shape is a picture that :func:`collage` can cut.

    shape: (channels, height, width), or (tokens, channels) of pipelines that pack their latents.
        A point (d,) has no sides.
    """
    return len(shape) >= 2


def cut(x: Tensor, share: float, down: bool, aspect: float = 1.0) -> tuple[float, bool]:
    """The cut of :func:`collage` that ``x`` allows: between two of its rows or columns, so that
    the same cut of the decoded picture has the same of it on either side."""
    height, width = _sides(x, aspect)
    down = down and width > 1
    size = width if down else height
    return round(share * size) / size, down


def collage(a: Tensor, b: Tensor, share: float, down: bool, aspect: float = 1.0) -> Tensor:
    """``a`` on one side of a straight cut and ``b`` on the other.

    a, b: clean particles of one shape, see :func:`has_sides`. Tokens are the rows of the picture,
        one below the other; where their number is not that of such a picture, the cut is across.
    share: of the picture that is of ``a``: its upper part, or its left one where ``down``.
    down: whether the cut runs from top to bottom, else from left to right.
    aspect: height over width, of tokens.
    """
    height, width = _sides(a, aspect)
    share, down = cut(a, share, down, aspect)
    size = width if down else height
    of_a = torch.arange(size, device=a.device) < round(share * size)
    of_a = (of_a[None, :] if down else of_a[:, None]).expand(height, width)
    return torch.where(of_a.reshape(-1, 1) if a.ndim == 2 else of_a, a, b)


def _sides(x: Tensor, aspect: float) -> tuple[int, int]:
    return _grid(len(x), aspect) if x.ndim == 2 else (int(x.shape[-2]), int(x.shape[-1]))


def _grid(tokens: int, aspect: float) -> tuple[int, int]:
    """Rows and columns; a column alone where there is no such picture of so many tokens."""
    rows = round(math.sqrt(tokens * aspect))
    fits = rows > 0 and tokens % rows == 0 and abs(rows * rows / tokens / aspect - 1.0) < 0.1
    return (rows, tokens // rows) if fits else (tokens, 1)
