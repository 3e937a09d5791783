"""One solver for d(y/S) = z_hat d(A/S): the probability-flow ODE and GLASS's inner ODE alike.

Along any Gaussian path y = A z + S eps the ODE reads d(y/S) = z_hat d(A/S), exact in its linear
part. First order holds z_hat over a step. Second order takes z_hat as linear in a variable v: a
step extrapolates from the last two evaluations (the idea of DPM-Solver++ 2M, arXiv 2211.01095),
and once the next evaluation is known the step is done again with it (the idea of UniPC, arXiv
2302.04867). Neither costs a network call.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Node(NamedTuple):
    """Where the path stands: y = A z + S eps, and the variable v in which z_hat is linear."""

    A: float
    S: float
    v: float


class Weights(NamedTuple):
    """A step is ``y' = y * y + now * z_hat + slope * d z_hat/dv``."""

    y: float
    now: float
    slope: float


def solve(
    nodes: Sequence[Node],
    y: Tensor,
    z: Tensor,
    z_hat: Callable[[int, Tensor], Tensor],
    order: Literal[1, 2],
) -> Tensor:
    """y at the last node.

    nodes: two or more; the last one's S may be 0.
    y: at the first node, (N, *shape).
    z: z_hat at the first node, (N, *shape).
    z_hat: ``z_hat(i, y)`` evaluates the denoiser at node i; called once for each node between the
        ends, never for the last.
    order: 1 or 2.
    """
    y_before, z_before = y, z
    for i in range(len(nodes) - 1):
        if i > 0:
            z_before, z = z, z_hat(i, y)
        if order == 2 and i > 0:
            slope = (z - z_before) / (nodes[i].v - nodes[i - 1].v)
            w = step_weights(nodes[i - 1], nodes[i])
            y = w.y * y_before + w.now * z_before + w.slope * slope
        y_before = y
        w = step_weights(nodes[i], nodes[i + 1])
        y = w.y * y + w.now * z
        if order == 2 and i > 0:
            end = nodes[i + 1].S == 0.0
            y = y + (
                nodes[i + 1].A * change_to_end(nodes[i - 1], nodes[i]) * (z - z_before)
                if end
                else w.slope * slope
            )
    return y


def change_to_end(before: Node, here: Node) -> float:
    """What z_hat still changes from ``here`` to the end at S = 0, over its last change.

    Towards the end z_hat nears its limit as (S/A)^2, the noise-to-signal ratio of y, by which a
    posterior mean is shrunk; so the last change tells the rest. A straight line in v would
    overshoot threefold.
    """
    if before.A == 0.0:
        return 0.0
    g, g_before = (here.S / here.A) ** 2, (before.S / before.A) ** 2
    return g / (g_before - g)


def step_weights(here: Node, there: Node) -> Weights:
    """Weights of the step between two nodes for z_hat linear in v.

    With r = S'/S, the weight of the slope is S' times the integral of (v - v_here) d(A/S),
    ``wronskian * h / S * (r log r + 1 - r)/(r - 1)^2`` for A and S linear in v between the nodes;
    finite at r = 0. The series about r = 1 stands in where S hardly changes.
    """
    r = there.S / here.S
    h = there.v - here.v
    wronskian = there.A * here.S - here.A * there.S  # S^2 d(A/S)/dv, times h
    if abs(r - 1.0) < 1e-4:
        shape = 0.5 - (r - 1.0) / 6.0
    else:
        shape = ((r * math.log(r) if r > 0.0 else 0.0) - (r - 1.0)) / (r - 1.0) ** 2
    return Weights(r, there.A - here.A * r, wronskian * h / here.S * shape)
