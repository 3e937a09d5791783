"""A run of a sampler as a list of network calls, for whoever must name their times beforehand."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import torch
from greenlet import getcurrent
from torch import Tensor

from glass_cli.method.budget import transition_calls
from glass_cli.method.flow import Normal, Sampler
from glass_cli.method.path import Path
from glass_cli.pipelines.prediction import Prediction


class Call(NamedTuple):
    """A network call.

    k: the number of its transition, from 0.
    j: its number within that, from 0.
    t: the time at which the network is asked.
    """

    k: int
    j: int
    t: float


class CallPlan(NamedTuple):
    """What a sampler will ask of the network.

    sampler: with times that are known.
    ends: the K + 1 times between its transitions, from 0 to 1.
    shares: the network calls of each of the K transitions.
    calls: every call, in its order.
    """

    sampler: Sampler
    ends: tuple[float, ...]
    shares: tuple[int, ...]
    calls: list[Call]


class _TimesOfCalls:
    """A flow that keeps the times at which it is asked."""

    def __init__(self, prediction: Prediction) -> None:
        self.path: Path = prediction.path
        self.shift = prediction.shift
        self.times: list[float] = []

    def denoise(self, x: Tensor, t: float) -> Tensor:
        self.times.append(t)
        return x


class Asking:
    """A flow whose ``denoise`` hands its question (x, t) to whoever switched to this greenlet."""

    def __init__(self, prediction: Prediction) -> None:
        self.path: Path = prediction.path
        self.shift = prediction.shift

    def denoise(self, x: Tensor, t: float) -> Tensor:
        parent = getcurrent().parent
        assert parent is not None
        answer: Tensor = parent.switch((x, t))
        return answer


class Draws:
    """Noise that can be drawn once more: ``again`` begins with what was drawn already."""

    def __init__(self, draw: Normal, before: tuple[Tensor, ...] = ()) -> None:
        self._draw, self._left, self._drawn = draw, list(before), list(before)

    def __call__(self) -> Tensor:
        if self._left:
            return self._left.pop(0)
        self._drawn.append(self._draw())
        return self._drawn[-1]

    def again(self, draw: Normal, particles: int) -> Draws:
        """The same for the first so many particles, and what follows from ``draw``."""
        return Draws(draw, tuple(drawn[:particles] for drawn in self._drawn))


def plan(prediction: Prediction, sampler: Sampler, calls: int) -> CallPlan:
    """``calls`` network calls shared among the transitions of ``sampler``.

    The times are found by running the transitions on a single number: they do not depend on what
    the network says. Raises ValueError for fewer calls than transitions.
    """
    ends = sampler.outer_times(_TimesOfCalls(prediction))
    if calls < len(ends) - 1:
        named = isinstance(sampler.times, str)
        raise too_few(calls, len(ends) - 1, f"transitions={calls}" if named else "fewer times")
    shares = transition_calls(sampler, len(ends) - 1, calls)
    ends = (sampler.first_time(_TimesOfCalls(prediction), ends[0], ends[1], shares[0]), *ends[1:])
    planned, x = [], torch.zeros(1, dtype=torch.float64)
    for k, (t, t_next) in enumerate(itertools.pairwise(ends)):
        asked = _TimesOfCalls(prediction)
        sampler.transition(asked, x, x, t, t_next, lambda: x, shares[k])
        planned += [Call(k, j, time) for j, time in enumerate([t, *asked.times])]
    return CallPlan(sampler, ends, shares, planned)


def too_few(calls: int, transitions: int, advice: str) -> ValueError:
    """The error of fewer calls than transitions."""
    return ValueError(
        f"num_inference_steps={calls} are fewer calls than the {transitions} transitions, which"
        f" take one each at least; make the GlassScheduler with {advice}"
    )
