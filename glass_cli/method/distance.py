"""How far samples are from others: of the same noise, or of the same law."""

from __future__ import annotations

import torch
from torch import Tensor

from glass_cli.method.noise import generator


def sliced_w2(a: Tensor, b: Tensor, starts: int, directions: int = 32) -> float:
    """Root mean square over x_t and random directions of the projections' W2 distances.

    Rows of ``a`` and ``b`` (N, ...) are ``starts`` x_t times as many draws of each; the directions
    are the same at every call.
    """
    a, b = a.flatten(1), b.flatten(1)
    d = a.shape[-1]
    along = torch.randn(d, directions, generator=generator("directions"), dtype=torch.float64)
    along = (along / along.norm(dim=0)).to(a)
    sorted_a, sorted_b = (
        (x @ along).reshape(starts, -1, directions).sort(1).values for x in (a, b)
    )
    return float((sorted_a - sorted_b).square().mean().sqrt())


def rms(a: Tensor, b: Tensor) -> float:
    """Root mean square difference over draws and coordinates."""
    return float((a - b).square().mean().sqrt())
