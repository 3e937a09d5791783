"""Resampling schemes: unbiased, and right at the edges."""

from __future__ import annotations

import math

import pytest
import torch

from glass_cli.steering.resampling import SCHEMES, Scheme

each_scheme = pytest.mark.parametrize("scheme", SCHEMES.values(), ids=SCHEMES)
EDGES = (0.0, 1e-12, 0.5, 1.0 - 2.0**-53)


def uniforms(seed: int, *shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def weights(*values: float) -> torch.Tensor:
    w = torch.tensor(values, dtype=torch.float64)
    return w / w.sum()


WEIGHTS = {
    "uneven": weights(0.05, 0.4, 0.01, 0.24, 0.3),
    "one dominates": weights(1e-6, 1.0, 1e-3),
    "with zeros": weights(0.0, 0.3, 0.0, 0.7, 0.0),
    "whole copies": weights(1.0, 2.0, 1.0, 0.0),
}


@each_scheme
@pytest.mark.parametrize("w", WEIGHTS.values(), ids=WEIGHTS)
def test_expected_offspring(scheme: Scheme, w: torch.Tensor) -> None:
    n, draws = len(w), 4000
    counts = torch.stack(
        [torch.bincount(scheme(w, u, len(w)), minlength=n) for u in uniforms(1, draws, n)]
    ).double()
    # 1e-3: a particle that is expected less than once in all the draws has no measurable error
    error = 4.0 * counts.std(0) / draws**0.5 + 1e-3
    assert bool(((counts.mean(0) - n * w).abs() <= error).all())
    assert bool((counts.sum(1) == n).all())
    assert bool((counts[:, w == 0.0] == 0).all())


@each_scheme
def test_offspring_vary_no_more_than_the_scheme_allows(scheme: Scheme) -> None:
    w, n = WEIGHTS["uneven"], 5
    for u in uniforms(2, 500, n):
        counts = torch.bincount(scheme(w, u, len(w)), minlength=n)
        if scheme is SCHEMES["systematic"]:
            assert bool(((counts - n * w).abs() < 1.0).all())
        if scheme is SCHEMES["stratified"]:
            assert bool(((counts - n * w).abs() < 2.0).all())
        if scheme is SCHEMES["ssp"]:
            assert bool(((counts - n * w).abs() < 1.0).all())
        if scheme is SCHEMES["residual"]:
            assert bool((counts >= (n * w).floor()).all())


@each_scheme
@pytest.mark.parametrize("size", [1, 2, 4, 9, 23])
def test_any_number_of_offspring(scheme: Scheme, size: int) -> None:
    """Expected offspring are M W_i for M below and above N."""
    w, draws = WEIGHTS["uneven"], 4000
    found = [scheme(w, u, size) for u in uniforms(7, draws, max(size, len(w)))]
    assert {f.shape for f in found} == {(size,)}
    counts = torch.stack([torch.bincount(f, minlength=len(w)) for f in found]).double()
    error = 4.0 * counts.std(0) / draws**0.5 + 1e-3
    assert bool(((counts.mean(0) - size * w).abs() <= error).all())


@each_scheme
@pytest.mark.parametrize("n", [1, 3, 7, 8, 49, 1000])
def test_flat_weights(scheme: Scheme, n: int) -> None:
    flat = torch.full((n,), -math.log(n), dtype=torch.float64).exp()
    kept = [len(scheme(flat, u, n).unique()) for u in uniforms(3, 30, n)]
    if scheme is not SCHEMES["multinomial"]:
        assert set(kept) == {n}
    elif n == 1000:
        assert sum(kept) / len(kept) / n == pytest.approx(1.0 - 0.999**1000, abs=0.01)


@each_scheme
def test_ancestors_are_sorted_indices(scheme: Scheme) -> None:
    for w in WEIGHTS.values():
        for u in uniforms(4, 20, len(w)):
            found = scheme(w, u, len(w))
            assert found.dtype == torch.int64 and found.shape == w.shape
            assert bool((found.diff() >= 0).all())
            assert bool((found >= 0).all()) and bool((found < len(w)).all())


@each_scheme
@pytest.mark.parametrize("edge", EDGES)
def test_zero_weights_are_never_picked(scheme: Scheme, edge: float) -> None:
    w = weights(0.0, 0.0, 0.1, 0.0, 0.2, 0.7, 0.0, 0.0)
    found = scheme(w, torch.full((8,), edge, dtype=torch.float64), 8)
    assert set(found.tolist()) <= {2, 4, 5}


@each_scheme
@pytest.mark.parametrize("edge", EDGES)
@pytest.mark.parametrize("winner", [0, 3, 5])
def test_all_the_weight_on_one(scheme: Scheme, winner: int, edge: float) -> None:
    w = torch.zeros(6, dtype=torch.float64)
    w[winner] = 1.0
    found = scheme(w, torch.full((6,), edge, dtype=torch.float64), 6)
    assert found.tolist() == [winner] * 6


@each_scheme
@pytest.mark.parametrize("scale", [1e2, 1e4, 1e8])
def test_extreme_log_weights(scheme: Scheme, scale: float) -> None:
    log_w = torch.tensor([-3.0, 0.0, -1.0, 0.0, -2.0], dtype=torch.float64) * scale
    w = (log_w - log_w.logsumexp(0)).exp()
    counts = sum(torch.bincount(scheme(w, u, len(w)), minlength=5) for u in uniforms(5, 200, 5))
    assert isinstance(counts, torch.Tensor)
    assert counts[[0, 2, 4]].sum() == 0
    assert float(counts[1]) == pytest.approx(500, abs=4 * (1000 * 0.25) ** 0.5)


@each_scheme
def test_weights_whose_sum_is_rounded(scheme: Scheme) -> None:
    # as exp(log w - log sum w) is where the log-weights are large
    for excess in (-3e-10, -1e-15, 1e-15, 3e-10):
        w = weights(*[1.0] * 10) * (1.0 + excess)
        found = scheme(w, torch.full((10,), 0.5, dtype=torch.float64), 10)
        if scheme is not SCHEMES["multinomial"]:
            assert found.tolist() == list(range(10))
        last = scheme(w, torch.full((10,), 1.0 - 2.0**-53, dtype=torch.float64), 10)
        assert len(last) == 10 and int(last.max()) <= 9
