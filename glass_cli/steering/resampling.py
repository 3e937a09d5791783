"""Resampling schemes, all unbiased: E[offspring of i] = M W_i.

Each takes ``weights`` (N,), normalised, uniforms ``u`` in [0, 1), at least max(N, M) of them, both
float64 on the CPU, and the number of offspring ``size`` = M, any; it gives the ancestors (M,),
rising (Chopin & Papaspiliopoulos, An Introduction to Sequential Monte Carlo, 2020, chapter 9).
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


def systematic(weights: Tensor, u: Tensor, size: int) -> Tensor:
    """One uniform, M equally spaced positions: least variance, flat weights keep everyone."""
    return _pick(weights, (torch.arange(size, dtype=weights.dtype) + u[0]) / size)


def stratified(weights: Tensor, u: Tensor, size: int) -> Tensor:
    """One uniform in each of M equal strata."""
    return _pick(weights, (torch.arange(size, dtype=weights.dtype) + u[:size]) / size)


def multinomial(weights: Tensor, u: Tensor, size: int) -> Tensor:
    """M independent draws, as in the papers; flat weights keep only 63 % of the particles."""
    return _pick(weights, u[:size].sort().values)


def _copies(weights: Tensor, size: int) -> tuple[Tensor, Tensor]:
    """floor(M W_i) copies that everyone is sure of (N,), and what is left over of each (N,)."""
    expected = size * (weights / weights.sum())
    # a weight of 1/M must count as one copy whichever way its product with M was rounded
    copies = torch.floor(expected * (1.0 + 1e-12))
    return copies.long(), (expected - copies).clamp(min=0.0)


def residual(weights: Tensor, u: Tensor, size: int) -> Tensor:
    """floor(M W_i) copies of each, the rest multinomially from what is left over."""
    copies, rest = _copies(weights, size)
    sure = torch.repeat_interleave(torch.arange(len(weights)), copies)
    missing = size - len(sure)
    if missing == 0:
        return sure
    return torch.cat([sure, multinomial(rest / rest.sum(), u, missing)]).sort().values


def ssp(weights: Tensor, u: Tensor, size: int) -> Tensor:
    """Srinivasan sampling process: floor(M W_i) copies of each or one more, negatively correlated.

    Two left-over shares at a time are moved until one of them is 0 or 1, whichever way keeps their
    expectations (Gerber, Chopin & Whiteley, arXiv 1708.02230, section 3.4).
    """
    copies, rest = _copies(weights, size)
    shares, counts = rest.tolist(), copies.tolist()
    open_one = 0
    for other, draw in zip(range(1, len(shares)), u.tolist(), strict=False):
        a, b = shares[open_one], shares[other]
        # what a may gain of b and lose to it, until one of them is 0 or 1
        gain, loss = min(b, 1.0 - a), min(a, 1.0 - b)
        change = gain if draw * (gain + loss) < loss else -loss
        shares[open_one], shares[other] = a + change, b - change
        if 1e-12 < shares[other] < 1.0 - 1e-12:
            open_one = other
    for i in torch.tensor(shares).topk(min(size - sum(counts), len(shares))).indices.tolist():
        counts[i] += 1
    return torch.repeat_interleave(torch.arange(len(counts)), torch.tensor(counts))


Scheme = Callable[[Tensor, Tensor, int], Tensor]
SCHEMES: dict[str, Scheme] = {
    "systematic": systematic,
    "stratified": stratified,
    "multinomial": multinomial,
    "residual": residual,
    "ssp": ssp,
}
