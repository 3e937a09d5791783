"""The states that a search makes."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor


@dataclass(eq=False)
class Node:
    """One state of one particle.

    k: the number of the transition that begins here, K at the end.
    x: x_t, of one particle, without a batch dimension.
    slot: whose generator gives its noise, and that of its first child.
    parent: what it was drawn from; None for noise.
    x_hat: D_t(x), once it has been asked for.
    r: its reward: of x_hat, or the final one; None where it was not scored.
    children: those drawn from it, in their order.
    sample: at the end what the reward looks at, the decoded picture, where it was kept.
    """

    k: int
    x: Tensor
    slot: int
    parent: Node | None = None
    x_hat: Tensor | None = None
    r: float | None = None
    children: list[Node] = field(default_factory=list)
    sample: Tensor | None = None


def reward_of(node: Node) -> float:
    """The reward of a node that was scored."""
    assert node.r is not None
    return node.r
