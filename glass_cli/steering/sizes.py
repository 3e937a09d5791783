"""How many particles make each transition."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from glass_cli.steering.base import Steering

Sizes = tuple[int, ...] | Literal["halving"] | None
"""A number for each transition; "halving", half of the one before; None, all particles always."""
AdaptiveSizes = Sizes | Literal["ess"]
"""Also "ess": as many as the weights say when they are known, see :func:`of_ess`."""


def check_sizes(sizes: object, words: Sequence[str] = ("halving",)) -> None:
    """Raises ValueError for a ``steering.sizes`` that is no list of numbers, none of ``words`` and
    not None."""
    if sizes is None or sizes in words:
        return
    if not isinstance(sizes, Sequence) or isinstance(sizes, str) or not sizes:
        known = ", ".join(["null", *words])
        raise ValueError(
            f"steering.sizes must be {known} or a list such as [16,10,6,4,3] (got {sizes})"
        )
    if min(sizes) < 1:
        raise ValueError(f"steering.sizes must be numbers of 1 or more (got {list(sizes)})")


def numbers(sizes: AdaptiveSizes, transitions: int, particles: int) -> tuple[int, ...] | None:
    """The number of particles of each transition; None where it stays, or is not known yet."""
    if sizes == "halving":
        return tuple(max(1, particles >> k) for k in range(transitions))
    return None if sizes == "ess" else sizes


def of_ess(ess: float, start: int) -> int:
    """Twice the effective sample size, and at most as many as began: where few particles have all
    the weight, so many copies of them would be drawn on in vain.

    ess: 1 or more. start: how many began.
    """
    return min(start, math.ceil(2.0 * ess - 1e-9))


def steering_sizes(steering: Steering, transitions: int, particles: int) -> Sequence[int] | None:
    """The checked numbers of a run by ``steering``; None where they stay.

    Raises ValueError where they are not one for each transition, beginning with ``particles``.
    """
    sizes = steering.sizes_of(transitions, particles)
    if sizes is None:
        return None
    if len(sizes) != transitions or sizes[0] != particles or min(sizes) < 1:
        raise ValueError(
            f"steering.sizes={list(sizes)} must be {transitions} numbers of 1 or more, one for each"
            f" transition, the first of them particles={particles}"
        )
    return sizes


def changes(sizes: Sequence[int] | None) -> list[int]:
    """The transitions before which the number of particles changes."""
    if sizes is None:
        return []
    return [k for k in range(1, len(sizes)) if sizes[k] != sizes[k - 1]]
