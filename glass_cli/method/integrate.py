"""One solver for d(y/S) = z_hat d(A/S): the probability-flow ODE and GLASS's inner ODE alike.

Along any Gaussian path y = A z + S eps the ODE reads d(y/S) = z_hat d(A/S), exact in its linear
part. First order holds z_hat over a step. Second order extrapolates it linearly in a variable v
from the last two evaluations (the idea of DPM-Solver++ 2M, arXiv 2211.01095), at no extra call.
"""

from __future__ import annotations

import math
from typing import NamedTuple


class Node(NamedTuple):
    """Where the path stands: y = A z + S eps, and the variable v in which z_hat is extrapolated."""

    A: float
    S: float
    v: float


class Weights(NamedTuple):
    """A step is ``y' = y * y_next + now * z_hat + slope * (z_hat - z_hat_before)``."""

    y: float
    now: float
    slope: float


def step_weights(here: Node, there: Node, before: Node | None = None) -> Weights:
    """Weights of the step from ``here`` to ``there``; second order where ``before`` is given.

    ``there.S`` may be 0 (the end of a path): every term stays finite.
    """
    decay = there.S / here.S
    now = there.A - here.A * decay
    if before is None:
        return Weights(decay, now, 0.0)
    return Weights(decay, now, _moment(here, there) / (here.v - before.v))


def _moment(here: Node, there: Node) -> float:
    """S' * integral of (v - v_here) d(A/S) over the step, for A and S linear in v between nodes.

    With r = S'/S the integral is ``wronskian * h / S * (r log r + 1 - r)/(r - 1)^2``, finite at
    r = 0; the series about r = 1 stands in where S hardly changes.
    """
    h = there.v - here.v
    wronskian = there.A * here.S - here.A * there.S  # S^2 d(A/S)/dv, times h
    r = there.S / here.S
    if abs(r - 1.0) < 1e-4:
        shape = 0.5 - (r - 1.0) / 6.0
    else:
        shape = ((r * math.log(r) if r > 0.0 else 0.0) - (r - 1.0)) / (r - 1.0) ** 2
    return wronskian * h / here.S * shape
