"""What a steering is: who is weighed, copied and chosen at the ends of transitions.

Steerings are frozen dataclasses that inherit from :class:`Steering`, which holds the defaults of
everything optional. They import torch inside functions alone.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Protocol, runtime_checkable

from glass_cli.method.flow import Flow, Normal

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.particles import Particles

Reward = Callable[["Tensor"], "Tensor"]
"""Scores clean particles (N, *shape) -> (N,); decodes them first where the model has a decoder."""


@runtime_checkable
class SampleReward(Protocol):
    """A :data:`Reward` in its two halves: what it says of ``x`` is ``of(decode(x))``."""

    def __call__(self, x: Tensor) -> Tensor: ...

    def decode(self, x: Tensor) -> Tensor:
        """Samples (N, 3, H, W), or what else the model decodes to, of clean particles."""

    def of(self, samples: Tensor) -> Tensor:
        """The rewards (N,) of samples."""


class Steering(Protocol):
    """What becomes of the particles at the ends of transitions.

    By default nothing is scored on the way and nobody is weighed or copied.

    needs_reward: whether it cannot do without a reward.
    needs_noise: whether it makes no sense with a sampler that always goes on in the same way.
    adapts: whether it decides on the way how many particles go on, see :meth:`size_now`.
    guidance: strength of reward guidance, 0 or more, in units of 1/reward; 0 is off. See
        :mod:`glass_cli.steering.guidance`.
    guidance_window: the first and the last time at which guidance is applied, from 0 to 1.
    """

    needs_reward: bool = False
    needs_noise: bool = False
    adapts: bool = False
    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    def scored(self, times: Sequence[float]) -> list[int]:
        """The transitions, from 0, before which rewards are asked for; ``times`` has their K + 1
        ends."""
        return []

    def extra_calls(self) -> int:
        """Network calls a particle that :meth:`rewards` makes each time, beyond the sampler's."""
        return 0

    def sizes_of(self, transitions: int, particles: int) -> Sequence[int] | None:
        """How many particles make each of the ``transitions``, of which ``particles`` begin; None
        where their number stays. Where it changes, rewards must be asked for."""
        return None

    def size_now(self, particles: Particles, start: int) -> int | None:
        """How many of weighed particles go on, of which ``start`` began, where that is decided on
        the way; None where :meth:`sizes_of` says so before."""
        return None

    def rewards(
        self, flow: Flow, particles: Particles, t: float, reward: Reward, normal: Normal
    ) -> Tensor:
        """The rewards on the way (N,) of particles at time t; by default those of x_hat.

        normal: noise for draws of x_1 given x_t.
        """
        return reward(particles.x_hat)

    def weigh(self, particles: Particles, r: Tensor) -> Particles:
        """The particles after rewards ``r`` (N,) on the way."""
        return particles

    def ancestors(self, particles: Particles, u: Tensor, size: int) -> Tensor | None:
        """Whom each of the ``size`` = M particles that go on is a copy of (M,); None where the N
        go on as they are.

        u: uniforms in [0, 1), max(N, M) of them.
        """
        return None

    def finish(self, particles: Particles, r: Tensor) -> Particles:
        """The particles after the final rewards ``r`` (N,)."""
        return particles

    @abstractmethod
    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        """The answer's index; None where there is none.

        r: the final rewards (N,), None where there is no reward.
        u: a uniform number (1,) in [0, 1), for an answer that is drawn.
        """
