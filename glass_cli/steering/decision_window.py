"""The decision window: at which times a reward is still open, and already foretold by x_hat.

Beyond the papers. Resampling at time t can only help where r(x_hat) already tells something of the
final reward r, and r still varies given x_t. Of particles under one prompt, with D = E[r | x_t]:

    open        E Var(r | x_t) / Var r                    what is not yet decided at t
    agreement   corr(r(x_hat), D)                         how well x_hat tells what is decided
    foretold    corr(r(x_hat), r)^2 = agreement^2 (1 - open)

``foretold`` is the share of the final reward's variance that r(x_hat) explains; it rises from 0 to
1 and needs both. :func:`proposed_times` ends transitions where it reaches 1/K, 2/K, ...: each
resampling then decides an equal share, none before there is anything to go by, none after.

Estimates pool prompts: sums of variances and covariances within prompts, each unbiased, before any
ratio is taken.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal, NamedTuple

import numpy as np
from numpy.typing import NDArray

from glass_cli.common.statistics import statistic_intervals
from glass_cli.method.flow import Flow, Normal
from glass_cli.method.glass import Glass
from glass_cli.method.path import Path
from glass_cli.steering.base import Reward, Steering

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.particles import Particles

Numbers = NDArray[np.float64]

# Where the steps of a transition lie. On Gaussian data of standard deviation 0.5, draws of
# p(x_1 | x_0.8) by 4 and 6 calls have 0.89 and 1.01 of the exact variance with steps spread over
# effective times, 0.33 and 0.61 with steps uniform in s; too little would look decided too early.
INNER: Literal["times"] = "times"


def even_time(path: Path, t: float) -> float:
    """The time on the straight path with the noise-to-signal ratio of ``t``: 0 noise, 1 data."""
    alpha, sigma, _, _ = path.at(t)
    return alpha / (alpha + sigma)


def time_grid(path: Path, first: float, last: float, n: int) -> tuple[float, ...]:
    """n times evenly spaced in the logarithm of the noise-to-signal ratio, moved to the model's.

    first, last: on the straight path (:func:`even_time`), between 0 and 1.
    n: 1 or more.
    """
    low, high = math.log(first / (1.0 - first)), math.log(last / (1.0 - last))
    logs = [low + (high - low) * i / max(n - 1, 1) for i in range(n)]
    return tuple(path.snap([path.time_of(math.exp(-2.0 * v)) for v in logs], 0.0, 1.0))


@dataclass(frozen=True)
class RewardProbe(Steering):
    """Steers nothing: scores x_hat at the end of every transition, and draws of p(x_1 | x_t).

    draws: of x_1 given each x_t, 0 or more, by a second-order GLASS transition.
    calls: network calls of each, 1 or more; the first is x_hat's.
    finals: holds their rewards (N, draws) of each time, once the run is done; of one run alone.
    """

    draws: int = 0
    calls: int = 1
    finals: list[Tensor] = field(default_factory=list)

    def scored(self, times: Sequence[float]) -> list[int]:
        return list(range(1, len(times) - 1))

    def extra_calls(self) -> int:
        return self.draws * (self.calls - 1)

    def rewards(
        self, flow: Flow, particles: Particles, t: float, reward: Reward, normal: Normal
    ) -> Tensor:
        import torch

        posterior, x, x_hat = Glass(transitions=1, inner=INNER), particles.x, particles.x_hat
        drawn = [
            reward(posterior.transition(flow, x, x_hat, t, 1.0, normal, self.calls))
            for _ in range(self.draws)
        ]
        if drawn:
            self.finals.append(torch.stack(drawn, 1).detach().to("cpu", torch.float64))
        return reward(x_hat)

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        return None


class Moments(NamedTuple):
    """Of one prompt, arrays over times (T,): each an unbiased estimate.

    within: E Var(r | x_t).
    between: Var E[r | x_t].
    seen: Var r(x_hat).
    shared: Cov(r(x_hat), r).
    size: how many x_t.
    """

    within: Numbers
    between: Numbers
    seen: Numbers
    shared: Numbers
    size: int


def moments(seen: Numbers, finals: Numbers) -> Moments:
    """The moments of one prompt.

    seen: r(x_hat) of S x_t at T times, (T, S).
    finals: the final rewards of J draws given each, (T, S, J). With a single draw ``within`` is not
        known and counts as 0 (``between`` is then all of Var r).
    """
    count, draws = finals.shape[1:]
    means = finals.mean(2)
    within = finals.var(2, ddof=1).mean(1) if draws > 1 else np.zeros(len(finals))
    between = means.var(1, ddof=1) - within / draws
    centred = seen - seen.mean(1, keepdims=True)
    shared = (centred * means).sum(1) / (count - 1)
    return Moments(within, between, seen.var(1, ddof=1), shared, count)


class Curves(NamedTuple):
    """Arrays over times (T,), see above; NaN where the denominator is 0.

    open, foretold: from 0 to 1.
    agreement: from -1 to 1.
    """

    open: Numbers
    agreement: Numbers
    foretold: Numbers


def curves(prompts: Sequence[Moments]) -> Curves:
    """The three shares of all prompts together.

    ``agreement`` is freed of the noise of averaging only J draws, and ``foretold`` of what so few
    x_t explain by chance: R^2 -> 1 - (1 - R^2) n/(n - 1), n the x_t less the prompts.
    """
    within, between, seen, shared = (
        np.sum([getattr(p, name) for p in prompts], axis=0) for name in Moments._fields[:4]
    )
    n = sum(p.size - 1 for p in prompts)
    total = within + between
    with np.errstate(divide="ignore", invalid="ignore"):
        explained = np.where(shared > 0.0, shared**2 / (seen * total), 0.0)
        explained = np.where(seen * total > 0.0, explained, np.nan)
        agreement = np.where(between * seen > 0.0, shared / np.sqrt(between * seen), np.nan)
        still = np.where(total > 0.0, within / total, np.nan)
    explained = 1.0 - (1.0 - explained) * n / max(n - 1, 1)
    return Curves(np.clip(still, 0.0, 1.0), np.clip(agreement, -1.0, 1.0), explained.clip(0.0, 1.0))


def intervals(
    prompts: Sequence[tuple[Numbers, Numbers]], draws: int = 1000
) -> dict[str, list[tuple[float, float] | None]]:
    """95 % bootstrap intervals of the curves, from (seen, finals) of each prompt.

    Over prompts; over the x_t of a single one. None where all values are NaN.
    """
    if len(prompts) > 1:
        own = [moments(*p) for p in prompts]
        bounds = statistic_intervals(own, lambda some: np.concatenate(curves(some)), draws=draws)
    else:
        seen, finals = prompts[0]

        def of_points(pick: Sequence[int]) -> Numbers:
            return np.concatenate(curves([moments(seen[:, pick], finals[:, pick])]))

        bounds = statistic_intervals(range(seen.shape[1]), of_points, draws=draws)
    count = len(bounds) // len(Curves._fields)
    return {name: bounds[i * count : (i + 1) * count] for i, name in enumerate(Curves._fields)}


def proposed_times(
    path_times: Sequence[float],
    even: Sequence[float],
    foretold: Sequence[float] | Numbers,
    transitions: int,
) -> tuple[float, ...] | None:
    """K + 1 times from 0 to 1 whose inner ones are where ``foretold`` reaches 1/K, ..., (K-1)/K.

    The curve is levelled to a rising one (isotonic regression) and taken as linear in ``even``
    between 0 at noise and 1 at data. None where it is not known, as of a reward that does not vary.

    path_times: T rising times of the model.
    even: :func:`even_time` of each.
    foretold: the curve at each, NaN where it is not known.
    transitions: K, 1 or more.
    """
    from scipy.optimize import isotonic_regression

    values = np.asarray(foretold, dtype=np.float64)
    known = ~np.isnan(values)
    if not known.any():
        return None
    rising = isotonic_regression(values[known]).x
    # a rise of nothing at all would leave a level without a time of its own
    level = np.array([0.0, *rising, 1.0]) + 1e-9 * np.arange(len(rising) + 2)
    wanted = np.arange(1, transitions) / transitions
    at = np.array([0.0, *np.asarray(even)[known], 1.0])
    # back from even times to the model's own, between which they are monotone
    own = np.array([0.0, *np.asarray(path_times)[known], 1.0])
    inner = np.interp(np.interp(wanted, level, at), at, own)
    return (0.0, *(float(t) for t in inner), 1.0)
