"""What a sampler needs of a model, and what it offers to steering."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from glass_cli.method.path import Path
from glass_cli.method.times import Times

if TYPE_CHECKING:
    from torch import Tensor

Normal = Callable[..., "Tensor"]
"""Draws standard normal noise shaped like x, each particle's part from its own generator.

Where the number of particles changes it is called with their number.
"""


class Flow(Protocol):
    """A pre-trained model under one prompt."""

    @property
    def path(self) -> Path:
        """alpha_t and sigma_t that the model was trained with."""

    @property
    def shift(self) -> float:
        """Time shift of the model's own schedule, above 0; 1 is uniform in t."""

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """D_t(x) = E[z | x_t = x], (N, *shape) -> (N, *shape); one network call a particle."""


def aspect_of(flow: Flow) -> float:
    """Height over width of a model's pictures, which latents that are packed into tokens do not
    tell: what its flow has as ``aspect``, else 1."""
    return float(getattr(flow, "aspect", 1.0))


class FlowAround(Flow):
    """Another flow, whose network calls a subclass counts, times or changes.

    flow: has the path and the shift, and makes the calls.
    """

    def __init__(self, flow: Flow) -> None:
        self._flow = flow
        self.aspect = aspect_of(flow)

    @property
    def path(self) -> Path:
        return self._flow.path

    @property
    def shift(self) -> float:
        return self._flow.shift

    @abstractmethod
    def denoise(self, x: Tensor, t: float) -> Tensor:
        """By calls of ``flow``."""


class Sampler(Protocol):
    """Makes transitions x_t -> x_t' of as many network calls as it is given.

    Samplers are frozen dataclasses that inherit from it. Optional settings:

    times: how outer times are chosen; "auto" asks for a measured window. None: in its own way.
    transitions: K, and how many transitions a window proposes. None: not a setting.
    steps: M, network calls in each transition. None: they are given from outside, see
        :mod:`glass_cli.method.budget`.
    stochastic: whether two transitions from the same x_t differ.
    """

    times: Times | None = None
    transitions: int | None = None
    steps: int | None = None
    stochastic: bool = True

    @abstractmethod
    def outer_times(self, flow: Flow) -> tuple[float, ...]:
        """The K + 1 times between which the transitions run, rising from 0 (noise) to 1 (data)."""

    @abstractmethod
    def transition(
        self,
        flow: Flow,
        x: Tensor,
        x_hat: Tensor,
        t: float,
        t_next: float,
        normal: Normal,
        calls: int,
        first: int = 0,
    ) -> Tensor:
        """A draw of x_t' given x_t.

        x: x_t, (N, *shape).
        x_hat: D_t(x), (N, *shape), which counts as the first of the calls.
        t, t_next: the times between which the transition runs, 0 <= t < t_next <= 1.
        normal: standard normal noise like x.
        calls: network calls a particle, 1 or more; never more are made.
        first: above 0 the transition is entered half-way: so many of its calls are left out, and
            ``x`` and ``x_hat`` belong to the time of the next one.
        """

    def first_time(self, flow: Flow, t: float, t_next: float, calls: int) -> float:
        """Where the first transition, from ``t`` to ``t_next`` in ``calls`` calls, takes up the
        noise; by default at ``t``."""
        return t
