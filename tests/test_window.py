"""The decision window against worlds in which it is known in closed form."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import CONDOT, DISCRETE, VP, GaussianFlow, fk, linear

from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.method.path import Path
from glass_cli.steering.decision_window import (
    INNER,
    Moments,
    RewardProbe,
    curves,
    even_time,
    intervals,
    moments,
    proposed_times,
    time_grid,
)
from glass_cli.steering.loop import steer

STD = 0.5


def posterior(flow: GaussianFlow, t: float) -> tuple[float, float]:
    """Variances of E[z | x_t] and of z given x_t."""
    alpha, sigma, _, _ = flow.path.at(t)
    within = STD**2 * sigma**2 / (alpha**2 * STD**2 + sigma**2)
    return STD**2 - within, within


def exact(flow: GaussianFlow, t: float, power: int) -> tuple[float, float, float]:
    """open, agreement and foretold of r(z) = z^power, power 1 or 3, for data N(0, STD^2).

    With m = E[z | x_t] ~ N(0, s) and v = Var(z | x_t), the mean of z^3 given x_t is m^3 + 3 m v.
    """
    s, v = posterior(flow, t)
    if power == 1:
        return v / STD**2, 1.0, s / STD**2
    total, seen = 15 * STD**6, 15 * s**3
    between = 15 * s**3 + 18 * v * s**2 + 9 * v**2 * s
    shared = 15 * s**3 + 9 * v * s**2
    agreement = shared / math.sqrt(seen * between)
    return 1.0 - between / total, agreement, shared**2 / (seen * total)


def watch(
    flow: GaussianFlow, grid: tuple[float, ...], power: int, prompts: int, draws: int, calls: int
) -> tuple[list[tuple[np.ndarray, np.ndarray]], int]:
    """(seen, finals) of each prompt, of 200 chains; from the chain's end where draws is 0."""
    found, nfe = [], 0
    for prompt in range(prompts):
        watched = RewardProbe(draws, 12)
        like = torch.empty(0, dtype=torch.float64)
        noise = ParticleNoise(0, str(prompt), 200, (1,), like)
        values = ParticleNoise(1, str(prompt), 200, (1,), like)
        sampler = Glass(steps=calls, times=(0.0, *grid, 1.0), inner=INNER)

        def reward(x: Tensor) -> Tensor:
            return x[:, 0] ** power

        run = list(steer(flow, sampler, watched, reward, noise, generator(0), values))
        seen = torch.stack([s.rewards for s in run[1:-1] if s.rewards is not None]).numpy()
        last = run[-1].rewards
        assert last is not None
        chain = np.broadcast_to(last.numpy()[:, None], (len(grid), 200, 1))
        finals = torch.stack(watched.finals).numpy() if draws else chain
        found.append((seen, finals))
        nfe += run[-1].nfe
        assert run[-1].nfe == 200 * (calls * (len(grid) + 1) + len(grid) * watched.extra_calls())
    return found, nfe


@pytest.mark.parametrize("power", [1, 3])
@pytest.mark.parametrize("path", [CONDOT, VP, DISCRETE], ids=["condot", "vp", "discrete"])
def test_curves_of_gaussian_data(path: Path, power: int) -> None:
    """Within four standard errors of the exact shares, estimated from eight groups of prompts."""
    flow = GaussianFlow(path=path, mean=0.0, std=STD)
    grid = time_grid(path, 0.45, 0.8, 3)
    found, _ = watch(flow, grid, power, prompts=8, draws=4, calls=6)
    own = [moments(*pair) for pair in found]
    pooled = curves(own)
    groups = [curves([one]) for one in own]
    for i, t in enumerate(grid):
        for name, right in zip(pooled._fields, exact(flow, t, power), strict=True):
            spread = np.nanstd([getattr(g, name)[i] for g in groups], ddof=1) / math.sqrt(
                len(groups)
            )
            # 0.015: what 6 and 12 calls leave of the transitions' own error
            assert getattr(pooled, name)[i] == pytest.approx(right, abs=4 * spread + 0.015), name


def test_chain_ends_tell_the_same_share() -> None:
    """The pilot's way: one final reward a chain is a draw given every x_t on its way."""
    flow = GaussianFlow(mean=0.0, std=STD)
    grid = time_grid(CONDOT, 0.35, 0.8, 4)
    found, nfe = watch(flow, grid, 3, prompts=8, draws=0, calls=6)
    assert nfe == 8 * 200 * 5 * 6
    own = [moments(*pair) for pair in found]
    shares = curves(own).foretold
    for i, t in enumerate(grid):
        spread = np.std([curves([one]).foretold[i] for one in own], ddof=1) / math.sqrt(8)
        right = exact(flow, t, 3)[2]
        assert shares[i] == pytest.approx(right, abs=4 * spread + 0.015)


def test_moments_are_unbiased_for_few_x_t_and_draws() -> None:
    """Normal rewards: D ~ N(0, 2), r = D + N(0, 3), r(x_hat) = D + N(0, 0.5); 3 x_t, 2 draws."""
    rng = np.random.default_rng(0)
    n = 40_000
    d = rng.normal(0, math.sqrt(2), (n, 3))
    seen = d + rng.normal(0, math.sqrt(0.5), (n, 3))
    finals = d[..., None] + rng.normal(0, math.sqrt(3), (n, 3, 2))
    # prompts stand in the place of times, for speed
    found = [moments(seen[:, [0, 1, 2]], finals)]
    means = [float(np.mean(getattr(found[0], name))) for name in Moments._fields[:4]]
    errors = [float(np.std(getattr(found[0], name))) / math.sqrt(n) for name in Moments._fields[:4]]
    for mean, right, error in zip(means, (3.0, 2.0, 2.5, 2.0), errors, strict=True):
        assert abs(mean - right) < 4 * error
    one = [
        Moments(*(np.array([getattr(found[0], name)[i]]) for name in Moments._fields[:4]), 3)
        for i in range(n)
    ]
    pooled = curves(one)
    assert pooled.open[0] == pytest.approx(3 / 5, abs=0.02)
    assert pooled.agreement[0] == pytest.approx(2 / math.sqrt(5), abs=0.02)
    assert pooled.foretold[0] == pytest.approx(4 / (2.5 * 5), abs=0.02)


def test_unrelated_rewards_foretell_nothing() -> None:
    """The correction for chance: without it few x_t would explain 1/(n - 1) on average."""
    rng = np.random.default_rng(1)
    shares = []
    for _ in range(400):
        pairs = [(rng.normal(size=(1, 4)), rng.normal(size=(1, 4, 1))) for _ in range(3)]
        shares.append(curves([moments(*p) for p in pairs]).foretold[0])
    assert np.mean(shares) < 0.08  # clipped at 0, of a mean of 0.11 uncorrected
    assert np.median(shares) == 0.0


def test_intervals_over_prompts_and_over_x_t() -> None:
    rng = np.random.default_rng(2)
    pairs = []
    for _ in range(6):
        d = rng.normal(size=(1, 30))
        pairs.append((d, d[..., None] + rng.normal(size=(1, 30, 4))))
    for some in (pairs, pairs[:1]):
        low, high = intervals(some, 300)["open"][0] or (0.0, 0.0)
        assert low < 0.5 < high, "half of the variance is within x_t"
        assert 0.02 < high - low < (0.3 if len(some) > 1 else 0.5)
    constant = [(np.zeros((1, 5)), np.zeros((1, 5, 2)))]
    assert intervals(constant, 20)["foretold"] == [None]
    assert np.isnan(curves([moments(*constant[0])]).foretold).all()


def test_proposed_times_end_equal_shares() -> None:
    grid = [0.1, 0.2, 0.3, 0.5]
    # 0 until 0.1, then straight to 1 at 0.5: shares of 1/4, 1/2, 3/4 at a quarter of the way each
    straight = [0.0, 0.25, 0.5, 1.0]
    assert proposed_times(grid, grid, straight, 4) == pytest.approx((0.0, 0.2, 0.3, 0.4, 1.0))
    assert proposed_times(grid, grid, straight, 1) == (0.0, 1.0)
    # what falls by noise is levelled: (0.6 + 0.4) / 2 at both of its times
    falling = proposed_times(grid, grid, [0.0, 0.6, 0.4, 1.0], 4)
    assert falling is not None and falling[1] == pytest.approx(0.15)
    for values in ([0.0] * 4, [1.0] * 4, [0.5] * 4, [math.nan, 0.3, math.nan, 0.9]):
        times = proposed_times(grid, grid, values, 6)
        assert times is not None and len(times) == 7
        assert all(a < b for a, b in itertools.pairwise(times))
    assert proposed_times(grid, grid, [math.nan] * 4, 3) is None


def test_times_of_exact_curves_share_out_what_is_foretold() -> None:
    """A linear reward of Gaussian data: foretold(t) has an inverse in closed form."""
    flow = GaussianFlow(mean=0.0, std=STD)
    grid = time_grid(CONDOT, 0.03, 0.97, 60)
    found = proposed_times(grid, grid, [exact(flow, t, 1)[2] for t in grid], 5)
    assert found is not None
    for k, t in enumerate(found[1:-1], 1):
        assert exact(flow, t, 1)[2] == pytest.approx(k / 5, abs=2e-3)


@pytest.mark.parametrize("path", [CONDOT, VP, DISCRETE], ids=["condot", "vp", "discrete"])
def test_grid_has_the_noise_of_the_straight_path(path: Path) -> None:
    grid = time_grid(path, 0.1, 0.9, 7)  # the discrete path begins at 0.064
    even = [even_time(path, t) for t in grid]
    logs = [math.log(e / (1 - e)) for e in even]
    assert even[0] == pytest.approx(0.1, abs=2e-3) and even[-1] == pytest.approx(0.9, abs=2e-3)
    # a discrete path's times are the nearest trained ones
    assert np.diff(logs) == pytest.approx(np.diff(logs).mean(), rel=0.02)
    assert path.snap(grid, 0.0, 1.0) == pytest.approx(list(grid))


def test_resampling_inside_the_window_finds_more() -> None:
    """Data N(0, 20^2), reward x: decided near t = 0.05, long before the first of uniform times.

    16 particles of 5 x 4 calls each way; the best of one world's particles is compared with the
    other's over 60 seeds.
    """
    flow = GaussianFlow(mean=0.0, std=20.0)
    grid = time_grid(CONDOT, 0.01, 0.9, 30)
    exactly = [(t * 20.0) ** 2 / ((t * 20.0) ** 2 + (1 - t) ** 2) for t in grid]
    inside = proposed_times(grid, grid, exactly, 5)
    assert inside is not None and inside[4] < 0.1

    def best(times: tuple[float, ...], seed: int) -> float:
        like = torch.empty(0, dtype=torch.float64)
        noise = ParticleNoise(seed, "p", 16, (1,), like)
        sampler = Glass(steps=4, times=times, inner=INNER)
        run = steer(flow, sampler, fk(lam=0.125), linear, noise, generator(seed))
        (*_, last) = run
        assert last.rewards is not None
        return float(last.rewards.max())

    uniform = (0.0, 0.2, 0.4, 0.6, 0.8, 1.0)
    gains = np.array([best(inside, seed) - best(uniform, seed) for seed in range(60)])
    assert gains.mean() > 4 * gains.std(ddof=1) / math.sqrt(len(gains))
