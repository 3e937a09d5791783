"""Particles that do not interact: plain sampling, and best-of-N."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.steering.base import Steering
from glass_cli.steering.guidance import check_guidance

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.particles import Particles


@dataclass(frozen=True)
class Independent(Steering):
    """Rewards are asked for only at the end, and weigh nothing.

    guidance: strength of reward guidance, 0 or more, in one over the reward's unit; 0 is off. With
        it even unsteered particles need a reward.
    guidance_window: the first and the last time at which it is applied, from 0 to 1.
    """

    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    def __post_init__(self) -> None:
        check_guidance(self)


@dataclass(frozen=True)
class NoSteering(Independent):
    """Independent particles and no answer; where a reward is given it is only reported."""

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        return None


@dataclass(frozen=True)
class BestOfN(Independent):
    """Independent particles, of which the one with the highest final reward is the answer."""

    needs_reward = True

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        return None if r is None else int(r.argmax())
