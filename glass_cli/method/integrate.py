"""One solver for d(y/S) = z_hat d(A/S): the probability-flow ODE and GLASS's inner ODE alike.

Along any Gaussian path y = A z + S eps the ODE reads d(y/S) = z_hat d(A/S), exact in its linear
part. First order holds z_hat over a step. Second order takes z_hat as linear in a variable v: a
step extrapolates from the last two evaluations (the idea of DPM-Solver++ 2M, arXiv 2211.01095),
and once the next evaluation is known the step is done again with it (the idea of UniPC, arXiv
2302.04867). Neither costs a network call. v is the variable that A and S are linear in, or the sine
of an angle, in which z_hat of Gaussian data is linear.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Literal, NamedTuple

if TYPE_CHECKING:
    from torch import Tensor


class Node(NamedTuple):
    """Where the path stands.

    A, S: of y = A z + S eps, 0 or more.
    v: the variable in which A and S are linear.
    """

    A: float
    S: float
    v: float


class Weights(NamedTuple):
    """The weights of a step ``y' = y * y + now * z_hat + slope * d z_hat/dv``.

    y: of the state.
    now: of z_hat, the denoiser at the start of the step.
    slope: of its derivative in v.
    """

    y: float
    now: float
    slope: float


class Step(NamedTuple):
    """A step between two nodes.

    weights: its weights.
    dv: by how much v grows on it.
    """

    weights: Weights
    dv: float


def solve(
    steps: Sequence[Step],
    y: Tensor,
    z: Tensor,
    z_hat: Callable[[int, Tensor], Tensor],
    order: Literal[1, 2],
) -> Tensor:
    """y after the last step.

    steps: one or more, of :func:`straight_steps` or :func:`sine_steps`.
    y: where the first begins, (N, *shape).
    z: z_hat there, (N, *shape).
    z_hat: ``z_hat(i, y)`` evaluates the denoiser where step i begins; called once for each but the
        first.
    order: 1 or 2.
    """
    y_before, z_before = y, z
    for i, (w, _) in enumerate(steps):
        if i > 0:
            z_before, z = z, z_hat(i, y)
        if order == 2 and i > 0:
            last, dv = steps[i - 1]
            slope = (z - z_before) / dv
            y = last.y * y_before + last.now * z_before + last.slope * slope
        y_before = y
        y = w.y * y + w.now * z
        if order == 2 and i > 0:
            y = y + w.slope * slope
    return y


def straight_steps(nodes: Sequence[Node]) -> list[Step]:
    """Steps that take z_hat as linear in the nodes' v.

    nodes: two or more; the last one's S may be 0. There z_hat goes on as :func:`change_to_end`
        tells: a straight line in v would overshoot threefold.
    """
    steps = [Step(step_weights(a, b), b.v - a.v) for a, b in itertools.pairwise(nodes)]
    if nodes[-1].S == 0.0 and len(steps) > 1:
        slope = nodes[-1].A * change_to_end(*nodes[-3:-1]) * steps[-2].dv
        steps[-1] = steps[-1]._replace(weights=steps[-1].weights._replace(slope=slope))
    return steps


def sine_steps(nodes: Sequence[Node], scale: float) -> list[Step]:
    """Steps that take z_hat as linear in sin(phi), where tan(phi) = scale A/S.

    Exact where z, given all that is known when A = 0, is Gaussian with standard deviation
    ``scale``. Towards S = 0 the sine nears 1 as (S/A)^2, as a posterior mean nears its limit, so
    the end is a step like any other (beyond the papers).

    nodes: two or more, A 0 or more; the last one's S may be 0.
    scale: above 0.
    """
    steps = []
    for here, there in itertools.pairwise(nodes):
        phi, phi_next = (math.atan2(scale * node.A, node.S) for node in (here, there))
        half, middle = 0.5 * (phi_next - phi), 0.5 * (phi_next + phi)
        r = there.S / here.S
        # S' times the integral of (v - v_here) d(A/S) = d(tan phi)/scale
        slope = 2.0 * math.hypot(there.S / scale, there.A) * math.sin(half) ** 2
        weights = Weights(r, there.A - here.A * r, slope)
        steps.append(Step(weights, 2.0 * math.cos(middle) * math.sin(half)))
    return steps


def change_to_end(before: Node, here: Node) -> float:
    """What z_hat still changes from ``here`` to the end at S = 0, over its last change.

    Towards the end z_hat nears its limit as (S/A)^2, the noise-to-signal ratio of y, by which a
    posterior mean is shrunk; so the last change tells the rest.
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
