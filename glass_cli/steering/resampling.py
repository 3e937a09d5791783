"""Resampling schemes, all unbiased: E[offspring of i] = N W_i.

Each takes ``weights`` (N,), normalised, and uniforms ``u`` (N,) in [0, 1), both float64 on the CPU,
and gives the ancestors (N,), rising (Chopin & Papaspiliopoulos, An Introduction to Sequential Monte
Carlo, 2020, chapter 9).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor


def _pick(weights: Tensor, positions: Tensor) -> Tensor:
    """Index of the weight in whose share of [0, 1) each position falls."""
    cumulative = weights.cumsum(0)
    # rounding may leave the last cumulative weight below a position; zero weights are never picked
    index = torch.searchsorted(cumulative / cumulative[-1], positions, right=True)
    return index.clamp(max=int(weights.nonzero()[-1]))


def systematic(weights: Tensor, u: Tensor) -> Tensor:
    """One uniform, N equally spaced positions: least variance, flat weights keep everyone."""
    n = len(weights)
    return _pick(weights, (torch.arange(n, dtype=weights.dtype) + u[0]) / n)


def stratified(weights: Tensor, u: Tensor) -> Tensor:
    """One uniform in each of N equal strata."""
    n = len(weights)
    return _pick(weights, (torch.arange(n, dtype=weights.dtype) + u) / n)


def multinomial(weights: Tensor, u: Tensor) -> Tensor:
    """N independent draws, as in the papers; flat weights keep only 63 % of the particles."""
    return _pick(weights, u.sort().values)


def residual(weights: Tensor, u: Tensor) -> Tensor:
    """floor(N W_i) copies of each, the rest multinomially from what is left over."""
    n = len(weights)
    expected = n * (weights / weights.sum())
    # a weight of 1/N must count as one copy whichever way its product with N was rounded
    copies = torch.floor(expected * (1.0 + 1e-12))
    sure = torch.repeat_interleave(torch.arange(n), copies.long())
    missing = n - len(sure)
    if missing == 0:
        return sure
    rest = (expected - copies).clamp(min=0.0)
    return torch.cat([sure, multinomial(rest / rest.sum(), u[:missing])]).sort().values


Scheme = Callable[[Tensor, Tensor], Tensor]
SCHEMES: dict[str, Scheme] = {
    "systematic": systematic,
    "stratified": stratified,
    "multinomial": multinomial,
    "residual": residual,
}
