"""Ways to spend a budget, replayed on a stored table of rewards without any network call.

The table has, for a way of sampling with so many calls, the rewards of x_hat at the ends of
transitions and of the finished picture, of draws under several prompts. Of it are kept the final
rewards and the covariance within prompts of all of them together. A policy is replayed on normal
numbers of that covariance: dropping particles on whole rows, since an ODE's future is decided by
its past; copying them on a Markov chain with the same moments, since a stochastic transition draws
what is to come anew. The best final number then stands for the final reward of the same rank, so
that no reward is foretold beyond those that were seen. How far a replay is right can be seen by
checking it with real runs.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glass_cli.method.budget import picture_calls, spread_calls
from glass_cli.method.glass import Value, check_rho
from glass_cli.method.times import check_times

Numbers = NDArray[np.float64]

TRANSITIONS = 5  # of policies that look at particles on the way
SPLITS = (3, 5, 10, 20, 50)  # calls a particle
# numbers of particles that make each transition, as shares of those that begin
SHAPES = (
    (1.0, 1.0, 1.0, 1.0, 1.0),
    (1.0, 0.5, 0.25, 0.125, 0.0625),
    (1.0, 0.625, 0.375, 0.25, 0.1875),
    (1.0, 1.0, 0.5, 0.25, 0.125),
)
STRENGTHS = (1.0, 2.5, 5.0)  # of lam, in standard deviations of the first rewards
RHO = 0.4  # of GLASS beside the memoryless "ddpm": that of the paper's FLUX runs


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


class Way(NamedTuple):
    """A way of sampling: what a table holds the rewards of.

    calls: network calls of a particle.
    times: where its transitions end; None for the model's own schedule.
    rho: of GLASS, see :func:`glass_cli.method.glass.correlation`.
    """

    sampler: Literal["ode", "glass"]
    transitions: int
    calls: int
    times: tuple[float, ...] | None = None
    rho: Value = "ddpm"

    @property
    def name(self) -> str:
        """By which a table knows it, and a title."""
        more = (
            "" if self.times is None else f" at {', '.join(f'{t:.3g}' for t in self.times[1:-1])}"
        )
        more += "" if self.rho == "ddpm" else f" rho {self.rho}"
        return f"{self.sampler} {self.transitions}x{self.calls}{more}"


@dataclass(frozen=True)
class Policy:
    """One way to spend a budget.

    sampler: "ode" or "glass".
    calls: network calls of a particle that lives to the end.
    sizes: how many particles make each transition; of "ode" with equal numbers, one transition.
    steering: "best_of_n" drops the worst where numbers fall, "fk" resamples.
    lam_strength: of "fk", see :class:`glass_cli.steering.feynman_kac.FeynmanKac`.
    times, rho: see :class:`Way`.

    Raises ValueError for times or rho that no sampler takes.
    """

    sampler: Literal["ode", "glass"]
    calls: int
    sizes: tuple[int, ...]
    steering: Literal["best_of_n", "fk"]
    lam_strength: float = 2.5
    times: tuple[float, ...] | None = None
    rho: Value = "ddpm"

    def __post_init__(self) -> None:
        check_rho(self.rho)
        if self.times is not None:
            check_times(self.times, len(self.sizes))
            if len(self.times) != len(self.sizes) + 1:
                raise ValueError(f"{len(self.sizes)} transitions, {len(self.times) - 1} ends")

    @property
    def way(self) -> Way:
        """What it draws with."""
        return Way(self.sampler, len(self.sizes), self.calls, self.times, self.rho)

    @property
    def constant(self) -> bool:
        return len(set(self.sizes)) == 1

    def title(self) -> str:
        """In a few words: method, numbers and calls."""
        if len(self.sizes) == 1:
            return f"best-of-{self.sizes[0]}, {self.calls} ODE calls each"
        n = str(self.sizes[0]) if self.constant else ", ".join(map(str, self.sizes))
        if self.steering == "best_of_n":
            return f"the best of {n} go on, {self.calls} ODE calls to the end"
        more = "" if self.times is None else ", times of its own"
        more += "" if self.rho == "ddpm" else f", rho {self.rho}"
        strength = f"lam_strength {self.lam_strength}"
        return f"FK-GLASS, {n} particles, {self.calls} calls each, {strength}{more}"


def splits(budget: int) -> list[int]:
    """Calls a particle that leave two particles or more."""
    return [calls for calls in SPLITS if 2 * calls <= budget]


def ways(budget: int) -> list[Way]:
    """What the first table for ``budget`` is to hold."""
    found = [Way("ode", 1, calls) for calls in splits(budget)]
    for calls in splits(budget):
        if calls >= TRANSITIONS:
            found += [Way("ode", TRANSITIONS, calls), Way("glass", TRANSITIONS, calls)]
    return found


def further_ways(
    budget: int,
    table: Mapping[str, Draws],
    times_of: Callable[[Numbers], tuple[float, ...] | None],
) -> list[Way]:
    """What a second table is to hold: the best way of FK steering at other times and with RHO.

    times_of: outer times of TRANSITIONS whose ends decide equal shares, of how much x_hat's reward
        foretells of the final one's variance at the ends of the schedule's, (TRANSITIONS - 1,).
    """
    steered = [one for one in ranked(budget, table) if one.policy.steering == "fk"]
    if not steered:
        return []
    way = steered[0].policy.way
    cov = table[way.name].cov
    with np.errstate(divide="ignore", invalid="ignore"):
        foretold = np.square(cov[:-1, -1]) / (np.diag(cov)[:-1] * cov[-1, -1])
    times = times_of(foretold)
    found = [way._replace(rho=RHO)]
    if times is not None:
        found += [way._replace(times=times), way._replace(times=times, rho=RHO)]
    return found


def policies(budget: int, further: Sequence[Way] = ()) -> list[Policy]:
    """All that are compared for a ``budget`` of network calls, with :func:`ways` and those of
    ``further``; best-of-N first."""
    found = [Policy("ode", calls, (budget // calls,), "best_of_n") for calls in splits(budget)]
    for way in [*ways(budget), *further]:
        if way.transitions == 1:
            continue
        for shape in SHAPES:
            sizes = _sizes(shape, way.calls, budget)
            if sizes is None:
                continue
            if way.sampler == "glass":
                one = Policy("glass", way.calls, sizes, "fk", times=way.times, rho=way.rho)
                found += [replace(one, lam_strength=strength) for strength in STRENGTHS]
            elif shape != SHAPES[0]:
                found.append(Policy("ode", way.calls, sizes, "best_of_n"))
    return list(dict.fromkeys(found))


def _sizes(shape: Sequence[float], calls: int, budget: int) -> tuple[int, ...] | None:
    """The largest numbers of that shape with ``calls`` a particle; None where two are too many."""
    for begin in range(budget, 1, -1):
        sizes = tuple(max(1, round(begin * share)) for share in shape)
        least = picture_calls([1] * len(sizes), sizes)
        # spread_calls gives calls // transitions each, and what is left to the first
        if least <= budget and min(spread_calls(budget, sizes)) >= calls // len(sizes):
            return sizes
    return None


def expected(policy: Policy, draws: Draws, replicates: int = 400, seed: int = 0) -> float:
    """The mean final reward of a policy's answer, by so many replays."""
    rng = np.random.default_rng(seed)
    cov = draws.cov + 1e-9 * np.trace(draws.cov) * np.eye(len(draws.cov))
    if not draws.cov[-1, -1] > 0.0:
        return draws.mean
    if policy.steering == "fk":
        best = _resampled(policy, cov, replicates, rng)
    else:
        best = _dropped(policy, cov, replicates, rng)
    return draws.at(best)


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
    """The best final reward of a particle filter on a chain with these moments."""
    n = policy.sizes[0]
    r = math.sqrt(cov[0, 0]) * rng.standard_normal((replicates, n))
    lam = policy.lam_strength / np.maximum(r.std(1, keepdims=True), 1e-12)
    log_w = lam * r
    for k in range(1, len(cov)):
        weights = np.exp(log_w - log_w.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        few = 1.0 / np.square(weights).sum(1) < 0.5 * r.shape[1]
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
        log_w = log_w + lam * (following - r)
        r = following
    best: Numbers = r.max(1)
    return best


class Forecast(NamedTuple):
    """A policy with the mean reward of its answer that a replay foretells."""

    policy: Policy
    reward: float


def ranked(budget: int, table: Mapping[str, Draws], further: Sequence[Way] = ()) -> list[Forecast]:
    """All policies that the table can replay, the best first."""
    known = [policy for policy in policies(budget, further) if policy.way.name in table]
    found = [Forecast(policy, expected(policy, table[policy.way.name])) for policy in known]
    return sorted(found, key=lambda one: -one.reward)
