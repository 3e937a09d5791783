"""Particles that do not interact: plain sampling, and best-of-N."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.steering.base import Steering
from glass_cli.steering.guidance import check_guidance
from glass_cli.steering.sizes import Sizes, changes, check_sizes, numbers

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.particles import Particles


@dataclass(frozen=True)
class Independent(Steering):
    """Rewards are asked for only at the end, and weigh nothing.

    guidance: strength of reward guidance, 0 or more, in units of 1/reward; 0 is off. With
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
    """Independent particles, of which the one with the highest final reward is the answer.

    sizes: how many make each transition: those whose x_hat has the highest reward go on, so that
        calls are not spent on the worst. "halving" is successive halving (arXiv 1603.06560's inner
        loop); null keeps all.
    guidance, guidance_window: see :class:`Independent`.
    """

    needs_reward = True

    sizes: Sizes = None

    def __post_init__(self) -> None:
        super().__post_init__()
        check_sizes(self.sizes)

    def sizes_of(self, transitions: int, particles: int) -> Sequence[int] | None:
        return numbers(self.sizes, transitions, particles)

    def scored(self, times: Sequence[float]) -> list[int]:
        """Before each transition that fewer may make; how many begin does not matter here."""
        many = 2 ** len(times)
        return changes(numbers(self.sizes, len(times) - 1, many))

    def weigh(self, particles: Particles, r: Tensor) -> Particles:
        return particles.scored(r)

    def ancestors(self, particles: Particles, u: Tensor, size: int) -> Tensor | None:
        """The ``size`` particles of the highest rewards, in their order."""
        r = particles.past[-1]
        if size >= len(r):
            return None
        return r.sort(descending=True, stable=True).indices[:size].sort().values

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        return None if r is None else int(r.argmax())
