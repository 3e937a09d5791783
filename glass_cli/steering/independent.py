"""Particles that do not interact: plain sampling, and best-of-N."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from glass_cli.steering.guidance import check_guidance

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    from glass_cli.method.flow import Flow, Normal
    from glass_cli.steering.particles import Cloud


@dataclass(frozen=True)
class Independent(ABC):
    """Rewards are asked for only at the end, and weigh nothing.

    guidance: strength of reward guidance at times within ``guidance_window``, 0 for none (see
    :mod:`glass_cli.steering.guidance`); with it even unsteered particles need a reward.
    """

    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    def __post_init__(self) -> None:
        check_guidance(self)

    def scored(self, times: Sequence[float]) -> list[int]:
        return []

    def extra_calls(self, times: Sequence[float]) -> int:
        return 0

    def rewards(
        self,
        flow: Flow,
        cloud: Cloud,
        t: float,
        reward: Callable[[Tensor], Tensor],
        normal: Normal,
    ) -> Tensor:
        return reward(cloud.x_hat)

    def weigh(self, cloud: Cloud, r: Tensor) -> Cloud:
        return cloud

    def ancestors(self, cloud: Cloud, u: Tensor) -> Tensor | None:
        return None

    def finish(self, cloud: Cloud, r: Tensor) -> Cloud:
        return cloud

    @abstractmethod
    def choose(self, cloud: Cloud, r: Tensor | None, u: Tensor) -> int | None: ...


@dataclass(frozen=True)
class Unsteered(Independent):
    """Independent particles; no reward is needed, and where one is given it is only reported."""

    needs_reward: ClassVar[bool] = False

    def choose(self, cloud: Cloud, r: Tensor | None, u: Tensor) -> int | None:
        return None


@dataclass(frozen=True)
class BestOfN(Independent):
    """Independent particles, of which the one with the highest final reward is the answer."""

    needs_reward: ClassVar[bool] = True

    def choose(self, cloud: Cloud, r: Tensor | None, u: Tensor) -> int | None:
        return None if r is None else int(r.argmax())
