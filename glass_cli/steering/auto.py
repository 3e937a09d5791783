"""The steering that is chosen for the user: what stands in its place until it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.steering.base import Steering

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.particles import Particles


@dataclass(frozen=True)
class Auto(Steering):
    """A plan for `budget=` chooses sampler, steering, numbers and calls, see
    :mod:`glass_cli.engine.auto_plan`; `sampler=` does not matter.

    prompts: of the run, on which a plan is made where none is cached, 1 or more.
    samples: draws a prompt and way of sampling in its table, 2 or more.
    """

    needs_reward = True

    prompts: int = 8
    samples: int = 8

    def __post_init__(self) -> None:
        for key, least in (("prompts", 1), ("samples", 2)):
            if getattr(self, key) < least:
                raise ValueError(
                    f"steering.{key} must be at least {least} (got {getattr(self, key)})"
                )

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        """Not asked: a plan takes its place."""
        return None
