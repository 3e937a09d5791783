"""What a sampler needs of a model, and what it offers to steering."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from typing import TYPE_CHECKING, Protocol

from glass_cli.method.path import Path
from glass_cli.method.times import Times

if TYPE_CHECKING:
    from torch import Tensor

Normal = Callable[[], "Tensor"]
"""Draws standard normal noise shaped like x, each particle's part from its own generator."""


class Flow(Protocol):
    """A pre-trained model under one prompt."""

    @property
    def path(self) -> Path: ...

    @property
    def shift(self) -> float:
        """Time shift of the model's own schedule; 1 is uniform in t."""

    def denoise(self, x: Tensor, t: float) -> Tensor:
        """D_t(x) = E[z | x_t = x], (N, *shape) -> (N, *shape); one network call a particle."""


class Sampler(Protocol):
    """K transitions x_t -> x_t' of a fixed number of network calls each.

    Samplers inherit from it. Optional settings:

    times: how outer times are chosen; "auto" asks for a measured window. None: in its own way.
    transitions: K, and how many transitions a window proposes. None: not a setting.
    """

    times: Times | None = None
    transitions: int | None = None

    @property
    def calls(self) -> int:
        """Network calls a particle in each transition, the one that gives ``x_hat`` included."""

    @abstractmethod
    def outer_times(self, flow: Flow) -> tuple[float, ...]:
        """The K + 1 times between which the transitions run, rising to 1."""

    @abstractmethod
    def transition(
        self,
        flow: Flow,
        x: Tensor,
        x_hat: Tensor,
        t: float,
        t_next: float,
        normal: Normal,
        first: int = 0,
    ) -> Tensor:
        """A draw of x_t' given x_t = ``x`` (N, *shape) and ``x_hat`` = D_t(x).

        With ``first`` above 0 the transition is entered half-way: so many of its calls are left
        out, and ``x`` and ``x_hat`` belong to the time of the next one.
        """
