"""How far samples are from others: of the same noise, or of the same law."""

from __future__ import annotations

import torch
from torch import Tensor

from glass_cli.method.noise import generator


def sliced_w2(a: Tensor, b: Tensor, starts: int, directions: int = 32) -> float:
    """Root mean square over x_t and random directions of the projections' W2 distances.

    a, b: samples (N, ...), as many draws of each of ``starts`` x_t, x_t by x_t.
    starts: how many x_t, 1 or more; divides N.
    directions: how many, 1 or more; the same at every call.
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
    """Root mean square difference of ``a`` and ``b``, of one shape, over all elements."""
    return float((a - b).square().mean().sqrt())
