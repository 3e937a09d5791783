"""The steering that is chosen for the user: what stands in its place until it is."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.steering.base import Steering

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.particles import Particles


MOST = 1_000_000  # network calls that a reward call may count as


def check_reward_cost(cost: object, key: str) -> None:
    """Raises ValueError unless ``cost`` is "auto" or a number from 0 to MOST."""
    number = isinstance(cost, (int, float)) and not isinstance(cost, bool) and 0 <= cost <= MOST
    if cost != "auto" and not number:
        raise ValueError(f"{key} must be auto, or network calls from 0 to {MOST} (got {cost})")


@dataclass(frozen=True)
class Auto(Steering):
    """A plan for `budget=` chooses sampler, steering, numbers and calls, see
    :mod:`glass_cli.engine.auto_plan`; `sampler=` does not matter.

    prompts: of the run, on which a plan is made where none is cached, 1 or more.
    samples: draws a prompt and way of sampling in its table, 2 or more.
    reward_cost: network calls that decoding and scoring a sample counts as in the budget, 0 or
        more: 0 for a budget of network calls alone, "auto" for as many as take as long, measured.

    Raises ValueError for a value out of range.
    """

    needs_reward = True

    prompts: int = 8
    samples: int = 8
    reward_cost: float | Literal["auto"] = 0.0

    def __post_init__(self) -> None:
        check_reward_cost(self.reward_cost, "steering.reward_cost")
        for key, least in (("prompts", 1), ("samples", 2)):
            if getattr(self, key) < least:
                raise ValueError(
                    f"steering.{key} must be at least {least} (got {getattr(self, key)})"
                )

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        """Not asked: a plan takes its place."""
        return None
