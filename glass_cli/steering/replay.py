"""Policies replayed on a stored table of rewards without any network call.

The table has, for a way of sampling with so many calls, the rewards of x_hat at the ends of
transitions and of the finished picture, of draws under several prompts. Of it are kept the final
rewards and the covariance within prompts of all of them together. A policy is replayed on normal
numbers of that covariance: dropping particles on whole rows, since an ODE's future is decided by
its past; copying them on a Markov chain with the same moments, since a stochastic transition draws
what is to come anew; children of finished pictures by what parent and child have in common. The
best final number then stands for the final reward of the same rank, so that no reward is foretold
beyond those that were seen. How far a replay is right can be seen by checking it with real runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from glass_cli.method.budget import share_calls
from glass_cli.method.glass import Rho
from glass_cli.steering.evolution import Evolution
from glass_cli.steering.policies import Policy, Way, generations, policies

Numbers = NDArray[np.float64]

FURTHER_WAYS = 6  # that a second table has at most, see further_ways
RHO = 0.4  # of GLASS beside the memoryless "ddpm": that of the paper's FLUX runs
# Others over time: little of the noise is kept, then much, or the other way round. "ddpm" lies
# between them in the middle of a run.
LOOSE, TIGHT = 0.0, 0.8


class Draws(NamedTuple):
    """Moments of the rewards of one way of sampling.

    mean: of the final reward over all draws and prompts.
    cov: within prompts, (K, K), of the rewards of x_hat at K - 1 times and of the final one.
    finals: how far final rewards lie from their prompt's mean, rising.
    """

    mean: float
    cov: Numbers
    finals: Numbers

    def at(self, best: Numbers) -> float:
        """The mean reward that normal numbers ``best``, of the final variance, stand for."""
        share = math.sqrt(2.0 * self.cov[-1, -1])
        ranks = [0.5 * (1.0 + math.erf(float(v) / share)) for v in best]
        return self.mean + float(np.quantile(self.finals, ranks).mean())


def moments_of(prompts: Sequence[Numbers]) -> Draws:
    """The moments of draws (S, K) under each of several prompts, S 2 or more."""
    centred = [rows - rows.mean(0) for rows in prompts]
    count = sum(len(rows) - 1 for rows in prompts)
    cov = sum((rows.T @ rows for rows in centred), np.zeros((prompts[0].shape[1],) * 2)) / count
    finals = np.sort(np.concatenate([rows[:, -1] for rows in centred]))
    return Draws(float(np.mean([rows[:, -1].mean() for rows in prompts])), cov, finals)


def expected(
    policy: Policy,
    draws: Draws,
    replicates: int = 400,
    seed: int = 0,
    reward_cost: float = 0.0,
) -> float:
    """The mean final reward of a policy's answer, by so many replays.

    reward_cost: with which it was made, see :func:`policies`.
    """
    rng = np.random.default_rng(seed)
    cov = draws.cov + 1e-9 * np.trace(draws.cov) * np.eye(len(draws.cov))
    if not draws.cov[-1, -1] > 0.0:
        return draws.mean
    if policy.steering == "evolution":
        return draws.at(_evolved(policy, cov, replicates, rng, reward_cost))
    replay = _dropped if policy.steering == "best_of_n" else _resampled
    return draws.at(replay(policy, cov, replicates, rng))


def _dropped(policy: Policy, cov: Numbers, replicates: int, rng: np.random.Generator) -> Numbers:
    """The best final reward where at each time those of the highest rewards go on."""
    root = np.linalg.cholesky(cov)
    r = rng.standard_normal((replicates, policy.sizes[0], len(cov))) @ root.T
    for k in range(1, len(policy.sizes)):
        order = np.argsort(-r[:, :, k - 1], axis=1)[:, : policy.sizes[k]]
        r = np.take_along_axis(r, order[:, :, None], axis=1)
    best: Numbers = r[:, :, -1].max(1)
    return best


def _resampled(policy: Policy, cov: Numbers, replicates: int, rng: np.random.Generator) -> Numbers:
    """The best final reward of a particle filter on a chain with these moments.

    Breadth-first search trusts rewards the more the later they are (lam t), looks at the highest so
    far and resamples each time; where its times are those of a schedule, equal ones stand for them.
    """
    n, rising = policy.sizes[0], policy.steering == "bfs"
    times = policy.times or tuple(k / len(cov) for k in range(len(cov) + 1))
    r = math.sqrt(cov[0, 0]) * rng.standard_normal((replicates, n))
    lam = policy.lam_strength / np.maximum(r.std(1, keepdims=True), 1e-12)
    seen, log_w = r, lam * r * (times[1] if rising else 1.0)
    for k in range(1, len(cov)):
        weights = np.exp(log_w - log_w.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        few = (1.0 / np.square(weights).sum(1) < 0.5 * r.shape[1]) | rising
        size = policy.sizes[k]
        positions = (np.arange(size) + rng.random((replicates, 1))) / size
        drawn = (positions[:, :, None] >= weights.cumsum(1)[:, None, :]).sum(2)
        drawn = np.minimum(drawn, r.shape[1] - 1)
        if size == r.shape[1]:
            drawn = np.where(few[:, None], drawn, np.arange(size))
            log_w = np.where(few[:, None], 0.0, log_w)
        else:
            log_w = np.zeros((replicates, size))
        r = np.take_along_axis(r, drawn, axis=1)
        slope = cov[k, k - 1] / cov[k - 1, k - 1]
        spread = math.sqrt(max(cov[k, k] - slope * cov[k, k - 1], 0.0))
        following = slope * r + spread * rng.standard_normal(r.shape)
        seen = np.maximum(np.take_along_axis(seen, drawn, axis=1), following)
        log_w = log_w + lam * (times[k + 1] * seen if rising else following - r)
        r = following
    best: Numbers = r.max(1)
    return best


def _evolved(
    policy: Policy,
    cov: Numbers,
    replicates: int,
    rng: np.random.Generator,
    reward_cost: float,
) -> Numbers:
    """The best final reward of an evolutionary search.

    A child that is noised to t has its final reward in common with its parent as far as x_t decides
    it, of which what x_hat foretells there is the lower bound that is known.
    """
    rules = Evolution()
    calls = share_calls(policy.calls, len(policy.sizes))
    budget = int(policy.sizes[0] * (policy.calls + reward_cost) + 1e-9)
    first, starts, counts = generations(budget, calls, policy.crossover, reward_cost)
    scale = math.sqrt(cov[-1, -1])
    r = scale * rng.standard_normal((replicates, first))
    for k, count in zip(starts, counts, strict=True):
        kept = -np.sort(-r, axis=1)[:, : rules.parents]
        parents = kept[:, np.arange(count) % kept.shape[1]]
        common = cov[k - 1, -1] ** 2 / (cov[k - 1, k - 1] * cov[-1, -1])
        new = scale * math.sqrt(max(1.0 - common**2, 0.0)) * rng.standard_normal(parents.shape)
        r = np.concatenate([r, common * parents + new], axis=1)
    best: Numbers = r.max(1)
    return best


class Forecast(NamedTuple):
    """A policy with the mean reward of its answer that a replay foretells."""

    policy: Policy
    reward: float


def ranked(
    budget: int,
    table: Mapping[str, Draws],
    further: Sequence[Way] = (),
    reward_cost: float = 0.0,
) -> list[Forecast]:
    """All policies that the table can replay, the best first; see :func:`policies`."""
    candidates = policies(budget, further, reward_cost)
    known = [policy for policy in candidates if policy.way.name in table]
    forecasts = [
        Forecast(policy, expected(policy, table[policy.way.name], reward_cost=reward_cost))
        for policy in known
    ]
    return sorted(forecasts, key=lambda one: -one.reward)


def further_ways(
    budget: int,
    table: Mapping[str, Draws],
    times_of: Callable[[Numbers], tuple[float, ...] | None],
    middle: float,
    reward_cost: float = 0.0,
) -> list[Way]:
    """What a second table is to hold: the best way of FK steering by the SDE, at other times, and
    with other rho, RHO and two that change on the way.

    times_of: outer times of TRANSITIONS whose ends decide equal shares, of how much x_hat's reward
        foretells of the final one's variance at the ends of the schedule's, (TRANSITIONS - 1,).
    middle: the time from which on rho is another.
    reward_cost: see :func:`policies`.
    """
    steered = [r for r in ranked(budget, table, (), reward_cost) if r.policy.steering == "fk"]
    if not steered:
        return []
    way = steered[0].policy.way
    cov = table[way.name].cov
    with np.errstate(divide="ignore", invalid="ignore"):
        foretold = np.square(cov[:-1, -1]) / (np.diag(cov)[:-1] * cov[-1, -1])
    times = times_of(foretold)
    pairs = ((LOOSE, TIGHT), (TIGHT, LOOSE))
    rhos: list[Rho] = [RHO, *(((0.0, early), (middle, late)) for early, late in pairs)]
    further = [way._replace(sampler="sde"), *(way._replace(rho=rho) for rho in rhos)]
    if times is not None:
        further += [way._replace(times=times), way._replace(times=times, rho=RHO)]
    return further
