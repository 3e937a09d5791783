"""Particles that do not interact: plain sampling, and best-of-N."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.cloud import Cloud


@dataclass(frozen=True)
class Unsteered:
    """Independent particles; no reward is needed, and where one is given it is only reported."""

    needs_reward: ClassVar[bool] = False

    def choose(self, cloud: Cloud, r: Tensor | None, u: Tensor) -> int | None:
        return None


@dataclass(frozen=True)
class BestOfN:
    """Independent particles, of which the one with the highest final reward is the answer."""

    needs_reward: ClassVar[bool] = True

    def choose(self, cloud: Cloud, r: Tensor | None, u: Tensor) -> int | None:
        return None if r is None else int(r.argmax())
