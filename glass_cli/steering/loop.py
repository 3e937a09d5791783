"""One steered run, as a generator of its steps: progress, logs and pictures are its consumers."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

import torch
from torch import Tensor

from glass_cli.method.flow import Flow, Normal, Sampler
from glass_cli.method.path import Path
from glass_cli.steering.particles import Cloud

Reward = Callable[[Tensor], Tensor]
"""Scores clean particles (N, *shape) -> (N,); decodes them first where the model has a decoder."""


class Steering(Protocol):
    """What becomes of the particles at the ends of transitions."""

    def scored(self, times: Sequence[float]) -> list[int]:
        """The transitions (from 0) between ``times`` before which rewards are asked for."""

    def extra_calls(self, times: Sequence[float]) -> int:
        """Network calls a particle beyond the sampler's, for rewards on the way."""

    def rewards(self, flow: Flow, cloud: Cloud, t: float, reward: Reward, normal: Normal) -> Tensor:
        """The rewards on the way (N,) of particles at time t."""

    def weigh(self, cloud: Cloud, r: Tensor) -> Cloud:
        """The cloud after rewards ``r`` (N,) on the way."""

    def ancestors(self, cloud: Cloud, u: Tensor) -> Tensor | None:
        """Ancestors (N,) drawn with uniforms ``u`` (N,), or None where nobody is resampled."""

    def finish(self, cloud: Cloud, r: Tensor) -> Cloud:
        """The cloud after the final rewards ``r`` (N,)."""

    def choose(self, cloud: Cloud, r: Tensor | None, u: Tensor) -> int | None:
        """The answer's index, with a uniform ``u`` (1,) where it is drawn; None where there is
        none."""


class NotFinite(ArithmeticError):
    """A reward or a particle became NaN or infinite."""


@dataclass(frozen=True)
class Step:
    """The state after everything that happens at time ``t``, before the next transition.

    ``rewards`` (N,) are those scored here, None where none were. ``ancestors`` (N,) is the
    resampling's choice, None where there was none; rewards and log_w are in the order before it.
    """

    k: int
    t: float
    cloud: Cloud
    rewards: Tensor | None
    log_w: Tensor
    ess: float
    ancestors: Tensor | None
    nfe: int
    chosen: int | None = None


class Counted:
    """A flow that counts its network calls, one for each particle."""

    def __init__(self, flow: Flow) -> None:
        self._flow, self.calls = flow, 0

    @property
    def path(self) -> Path:
        return self._flow.path

    @property
    def shift(self) -> float:
        return self._flow.shift

    def denoise(self, x: Tensor, t: float) -> Tensor:
        self.calls += len(x)
        return self._flow.denoise(x, t)


def finite(values: Tensor, what: str, k: int, t: float) -> Tensor:
    """``values`` (N,) on the CPU in float64. Raises NotFinite that says ``what`` they are."""
    values = values.detach().to("cpu", torch.float64)
    bad = (~values.isfinite()).nonzero()
    if len(bad):
        n = int(bad[0])
        raise NotFinite(f"{what} of particle {n} is {float(values[n])} at step {k} (t={t:.3g})")
    return values


def steer(
    flow: Flow,
    sampler: Sampler,
    steering: Steering,
    reward: Reward | None,
    normal: Normal,
    choice: torch.Generator,
    value_normal: Normal | None = None,
) -> Iterator[Step]:
    """Draws N particles from noise to data in K transitions and yields K + 1 steps.

    ``normal()`` (N, *shape) gives each particle's noise, ``choice`` the uniforms of resampling and
    of the final draw, ``value_normal`` the noise of posterior values (``normal`` where None). A
    step's network calls: N * K * M at the end, M the sampler's calls, plus those of posterior
    values; x_hat at the start of a transition is its first call, so scoring it costs none.

    Raises NotFinite for a NaN or infinite reward or particle.
    """
    counted = Counted(flow)
    times = sampler.outer_times(counted)
    scored = [] if reward is None else steering.scored(times)
    x = normal()
    cloud = Cloud.at_start(x, counted.denoise(x, times[0]))
    for k, (t, t_next) in enumerate(itertools.pairwise(times)):
        if k > 0:
            cloud = replace(cloud, x_hat=counted.denoise(cloud.x, t))
        r = ancestors = None
        if reward is not None and k in scored:
            r = steering.rewards(counted, cloud, t, reward, value_normal or normal)
            r = finite(r, "the reward", k, t)
            cloud = steering.weigh(cloud, r)
        log_w, ess = cloud.log_w, cloud.ess
        if r is not None:
            u = torch.rand(len(log_w), generator=choice, dtype=torch.float64)
            ancestors = steering.ancestors(cloud, u)
            if ancestors is not None:
                cloud = cloud.resampled(ancestors)
        yield Step(k, t, cloud, r, log_w, ess, ancestors, counted.calls)
        x = sampler.transition(counted, cloud.x, cloud.x_hat, t, t_next, normal)
        cloud = replace(cloud, x=x)
    yield _last(steering, reward, choice, cloud, len(times) - 1, counted.calls)


def _last(
    steering: Steering,
    reward: Reward | None,
    choice: torch.Generator,
    cloud: Cloud,
    k: int,
    nfe: int,
) -> Step:
    """The step at t=1: final rewards, weights and the answer."""
    cloud = replace(cloud, x_hat=cloud.x)
    finite(cloud.x.flatten(1).sum(1), "the sum of the values", k, 1.0)
    r = None if reward is None else finite(reward(cloud.x), "the reward", k, 1.0)
    if r is not None:
        cloud = steering.finish(cloud, r)
    u = torch.rand(1, generator=choice, dtype=torch.float64)
    chosen = steering.choose(cloud, r, u)
    return Step(k, 1.0, cloud, r, cloud.log_w, cloud.ess, None, nfe, chosen)
