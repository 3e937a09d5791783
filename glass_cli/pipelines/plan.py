"""A run of a sampler as a list of network calls, for whoever must name their times beforehand."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import torch
from greenlet import getcurrent
from torch import Tensor

from glass_cli.method.flow import Normal, Sampler
from glass_cli.method.path import Path
from glass_cli.pipelines.prediction import Prediction


class Call(NamedTuple):
    """A network call: the ``j``-th of transition ``k``, at time ``t``."""

    k: int
    j: int
    t: float


class Plan(NamedTuple):
    """The sampler of each transition, the K + 1 times between them, and every call."""

    samplers: list[Sampler]
    ends: tuple[float, ...]
    calls: list[Call]


class _Noting:
    """A flow that notes the times at which it is asked."""

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

    def again(self) -> Draws:
        return Draws(self._draw, tuple(self._drawn))


def plan(
    prediction: Prediction, sampler: Callable[[int, int], Sampler], transitions: int, calls: int
) -> Plan:
    """``calls`` network calls divided over ``transitions``, the first ones getting what is left.

    ``sampler(K, M)`` makes a sampler of K transitions of M calls. The times are found by running
    the transitions on a single number: they do not depend on what the network says.
    """
    k = min(transitions, calls)
    samplers = [sampler(k, calls // k + (i < calls % k)) for i in range(k)]
    ends = samplers[0].outer_times(_Noting(prediction))
    planned = []
    for i, of_transition in enumerate(samplers):
        noting, x = _Noting(prediction), torch.zeros(1, dtype=torch.float64)
        of_transition.transition(noting, x, x, ends[i], ends[i + 1], lambda x=x: x)  # type: ignore[misc]  # its default
        times = [ends[i], *noting.times]
        planned += [Call(i, j, t) for j, t in enumerate(times)]
    return Plan(samplers, ends, planned)
