"""Ways to integrate GLASS's inner ODE, for comparison: the sampler's own among others."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Literal

from numpy.polynomial.legendre import leggauss
from torch import Tensor

from glass_cli.method.flow import Flow
from glass_cli.method.glass import InnerPath
from glass_cli.method.integrate import change_to_end

_NODES, _WEIGHTS = (0.5 * v for v in leggauss(24))
Variable = Literal["s", "time", "lambda", "log lambda", "log precision", "sine"]


@dataclass(frozen=True)
class Scheme:
    """How the inner ODE is integrated.

    order: points of z_hat's interpolating polynomial in ``variable`` that a step looks back on.
    corrector: once z_hat at the end of a step is known, that step is done again with as many points
        (the idea of UniPC, arXiv 2302.04867; no further call) for the "first" step of the
        transition, for "all", or for "none".
    last: the order of a step that ends without noise (t' = 1), at most; in variables that are
        infinite there, it looks back in s. "noise" takes what is left of z_hat's change from its
        noise-to-signal ratio.
    """

    variable: Variable = "s"
    grid: str = "s"
    order: int = 2
    corrector: Literal["none", "first", "all"] = "none"
    last: Literal[1, 2, 3, "noise"] = 2

    @property
    def name(self) -> str:
        """In a few words."""
        parts = [f"order {self.order}", f"in {self.variable}", f"grid {self.grid}"]
        parts += [] if self.corrector == "none" else [f"corrected: {self.corrector}"]
        ends = {1: ["end first order"], "noise": ["end by noise-to-signal"]}
        return ", ".join(parts + ends.get(self.last, []))


OWN = Scheme("sine", "snr", corrector="all")  # the sampler's second order
BEFORE = Scheme("s", "s", corrector="all", last="noise")  # that of 0.2.0


def variable(inner: InnerPath, name: Variable, shift: float) -> Callable[[float], float]:
    """The variable in which z_hat is interpolated, as a function of s."""
    if name == "time":
        return inner.effective_time
    if name == "s":
        return _itself
    scale = inner.scale(shift)

    def of(s: float) -> float:
        A, S, _ = inner.node(s)
        if name == "sine":
            return scale * A / math.hypot(S, scale * A)
        lam = A / S if S > 0.0 else math.inf
        if name == "lambda":
            return lam
        if name == "log lambda":
            return math.log(lam) if lam > 0.0 else -math.inf
        return math.log(1.0 / shift**2 + inner.precision(s))

    return of


def _itself(s: float) -> float:
    return s


def grid(inner: InnerPath, name: str, steps: int, shift: float = 1.0) -> list[float]:
    """Values of s: "snr", "s", "times" (see :meth:`InnerPath.grid`), "s^p", or "1-(1-s)^p"."""
    if name in ("snr", "s", "times"):
        return inner.grid(steps, name, shift)  # type: ignore[arg-type]  # one of the three
    p = float(name.rpartition("^")[2])
    uniform = [i / steps for i in range(steps + 1)]
    return [1.0 - (1.0 - s) ** p if name.startswith("1-") else s**p for s in uniform]


def weights(
    inner: InnerPath,
    v: Callable[[float], float],
    here: float,
    there: float,
    points: Sequence[float],
) -> list[float]:
    """S' * integral of each Lagrange polynomial through ``points`` (in s) over d(A/S).

    In w = S'/S(s) the integral is abar/(1 - sbar) * that over w from S'/S to 1. Points at which
    ``v`` is infinite have no weight, but where there is no other.
    """
    finite = [s for s in points if math.isfinite(v(s))]
    if not finite:
        finite, v = [points[-1]], _itself
    A, S, _ = inner.node(there)
    at = [v(s) for s in finite]

    def basis(j: int, value: float) -> float:
        others = [at[i] for i in range(len(at)) if i != j]
        return math.prod((value - o) / (at[j] - o) for o in others)

    absent = [0.0] * (len(points) - len(finite))
    if S == 0.0:  # the whole weight lies on the end
        return absent + [A * basis(j, v(there)) for j in range(len(at))]
    low = S / inner.node(here).S
    out = [0.0] * len(at)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        w = 0.5 * (1.0 + low) + (1.0 - low) * float(node)
        value = v(min(max((1.0 - S / w) / (1.0 - inner.sbar), here), there))
        for j in range(len(at)):
            out[j] += float(weight) * (1.0 - low) * basis(j, value)
    return absent + [inner.abar / (1.0 - inner.sbar) * o for o in out]


def integrate(
    flow: Flow, inner: InnerPath, x: Tensor, x_hat: Tensor, y: Tensor, scheme: Scheme, steps: int
) -> Tensor:
    """x_t' (rows, d) from x_t, D_t(x_t) and y_0 = ``y`` by ``steps`` network calls a row."""
    ss = grid(inner, scheme.grid, steps, flow.shift)
    v = variable(inner, scheme.variable, flow.shift)
    points: list[float] = []
    z_hats: list[Tensor] = []

    def step(y: Tensor, i: int) -> Tensor:
        here, there = inner.node(ss[i]), inner.node(ss[i + 1])
        back, along = min(len(points), scheme.order), v
        if there.S == 0.0 and scheme.last == "noise":
            rest = change_to_end(*map(inner.node, points[-2:])) if back > 1 else 0.0
            return there.A * (z_hats[-1] + rest * (z_hats[-1] - z_hats[max(-2, -back)]))
        if there.S == 0.0 and scheme.last != "noise":
            back = min(back, scheme.last)
            along = v if math.isfinite(v(1.0)) else _itself
        out = there.S / here.S * y
        of_points = weights(inner, along, ss[i], ss[i + 1], points[-back:])
        for w, z in zip(of_points, z_hats[-back:], strict=True):
            out = out + w * z
        return out

    before = y
    for i in range(steps):
        points.append(ss[i])
        z_hats.append(flow.denoise(*inner.query(x, y, ss[i])) if i else x_hat)
        if (scheme.corrector == "all" and i > 0) or (scheme.corrector == "first" and i == 1):
            y = step(before, i - 1)
        before = y
        y = step(y, i)
    return inner.gamma * x + y
