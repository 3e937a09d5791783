"""Which variable, grid and first step serve GLASS's inner ODE best: `--explore`, not the bench.

Every scheme integrates the same ODE from the same y_0, so its error is the root mean square
difference from the converged endpoint, without Monte-Carlo noise. The network calls are the same
for all: one a step.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

import torch
from numpy.polynomial.legendre import leggauss
from torch import Tensor

from glass_cli.bench.toy import TRANSITIONS, Case, make_case, toy
from glass_cli.method.distance import rms
from glass_cli.method.flow import Normal
from glass_cli.method.glass import Glass, InnerPath
from glass_cli.method.integrate import change_to_end
from glass_cli.method.noise import generator
from glass_cli.models.gaussian_mixture import LoadedMixture
from glass_cli.output.tables import Table, two_digits

_NODES, _WEIGHTS = (0.5 * v for v in leggauss(24))
CALLS = (3, 4, 6, 8, 10, 20)
CONVERGED = 1000


@dataclass(frozen=True)
class Scheme:
    """How the inner ODE is integrated.

    order: points of z_hat's interpolating polynomial in ``variable`` that a step looks back on.
    corrector: once z_hat at the end of a step is known, that step is done again, linear between
    its two ends (the idea of UniPC, arXiv 2302.04867; no further call) for the "first" step of the
    transition, for "all", or for "none". last: the order of a step that ends without noise
    (t' = 1), at most; in lambda, which is infinite there, it looks back in s. "noise" takes what
    is left of z_hat's change from its noise-to-signal ratio, as the sampler does.
    """

    variable: Literal["s", "time", "lambda"] = "s"
    grid: str = "s"
    order: int = 2
    corrector: Literal["none", "first", "all"] = "none"
    last: Literal[1, 2, "noise"] = 2

    @property
    def name(self) -> str:
        parts = [f"order {self.order}", f"in {self.variable}", f"grid {self.grid}"]
        parts += [] if self.corrector == "none" else [f"corrected: {self.corrector}"]
        ends = {1: ["end first order"], 2: [], "noise": ["end by noise-to-signal"]}
        return ", ".join(parts + ends[self.last])


def variable(inner: InnerPath, name: str) -> Callable[[float], float]:
    """The variable in which z_hat is interpolated, as a function of s."""
    if name == "time":
        return inner.effective_time
    if name == "lambda":
        return lambda s: inner.node(s).A / inner.node(s).S
    return s_itself


def s_itself(s: float) -> float:
    return s


def grid(inner: InnerPath, name: str, steps: int) -> list[float]:
    """Values of s: "s", "times" (effective times uniform in t), "s^p", or "1-(1-s)^p"."""
    if name in ("s", "times"):
        return inner.grid(steps, name, 1.0)
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

    In w = S'/S(s) the integral is abar/(1 - sbar) * that over w from S'/S to 1.
    """
    A, S, _ = inner.node(there)
    at = [v(s) for s in points]

    def basis(j: int, value: float) -> float:
        others = [at[i] for i in range(len(at)) if i != j]
        return math.prod((value - o) / (at[j] - o) for o in others)

    if S == 0.0:  # the whole weight lies on the end
        return [A * basis(j, v(there)) for j in range(len(at))]
    low = S / inner.node(here).S
    out = [0.0] * len(at)
    for node, weight in zip(_NODES, _WEIGHTS, strict=True):
        w = 0.5 * (1.0 + low) + (1.0 - low) * float(node)
        value = v(min(max((1.0 - S / w) / (1.0 - inner.sbar), here), there))
        for j in range(len(at)):
            out[j] += float(weight) * (1.0 - low) * basis(j, value)
    return [inner.abar / (1.0 - inner.sbar) * o for o in out]


def integrate(flow: LoadedMixture, case: Case, y: Tensor, scheme: Scheme, steps: int) -> Tensor:
    """x_t' (rows, d) from y_0 = ``y`` by ``steps`` network calls a row."""
    inner = case.inner
    ss = grid(inner, scheme.grid, steps)
    v = variable(inner, scheme.variable)
    points: list[float] = []
    z_hats: list[Tensor] = []

    def step(y: Tensor, i: int, points: Sequence[float], z_hats: Sequence[Tensor]) -> Tensor:
        here, there = inner.node(ss[i]), inner.node(ss[i + 1])
        back, along = len(points), v
        if there.S == 0.0 and scheme.last == "noise":
            rest = change_to_end(*map(inner.node, points[-2:])) if back > 1 else 0.0
            return there.A * (z_hats[-1] + rest * (z_hats[-1] - z_hats[max(-2, -back)]))
        if there.S == 0.0 and scheme.last == 1:
            back = 1
        if there.S == 0.0:
            along = s_itself if scheme.variable == "lambda" else v
        out = there.S / here.S * y
        for w, z in zip(
            weights(inner, along, ss[i], ss[i + 1], points[-back:]), z_hats[-back:], strict=True
        ):
            out = out + w * z
        return out

    before = y
    for i in range(steps):
        z = flow.denoise(*inner.query(case.x, y, ss[i])) if i else case.x_hat
        points, z_hats = [*points, ss[i]], [*z_hats, z]
        if (scheme.corrector == "all" and i > 0) or (scheme.corrector == "first" and i == 1):
            y = step(before, i - 1, points[-2:], z_hats[-2:])
        before = y
        y = step(y, i, points[-scheme.order :], z_hats[-scheme.order :])
        points, z_hats = points[-scheme.order :], z_hats[-scheme.order :]
    return inner.gamma * case.x + y


GRIDS = ("s", "times", "s^1.25", "s^1.5", "s^2", "s^0.75", "1-(1-s)^1.5")
OWN = Scheme(corrector="all", last="noise")  # the sampler's second order
VARIABLES: tuple[Literal["s", "time", "lambda"], ...] = ("s", "time", "lambda")
SCHEMES = (
    Scheme(order=1),
    OWN,
    *(Scheme(v, g) for v in VARIABLES for g in GRIDS),
    *(Scheme(v, last=1) for v in VARIABLES),
    *(Scheme("s", g, 3) for g in ("s", "s^1.5")),
    *(Scheme(v, "s", 2, "first", 1) for v in VARIABLES),
    *(Scheme(v, "s", 2, "all") for v in VARIABLES),
    *(Scheme(v, "s", 2, "all", 1) for v in VARIABLES),
    *(Scheme("s", g, 2, "all", 1) for g in GRIDS[1:]),
)


def errors(
    flow: LoadedMixture, schemes: Sequence[Scheme], calls: Sequence[int], rows: int, converged: int
) -> dict[Scheme, list[list[float]]]:
    """Endpoint error of each scheme: a list over transitions of a list over ``calls``."""
    results: dict[Scheme, list[list[float]]] = {scheme: [] for scheme in schemes}
    starts = max(1, math.isqrt(rows))
    for t, t_next in TRANSITIONS:
        case = make_case(flow, t, t_next, starts, rows // starts)
        y = torch.randn(case.x.shape, generator=generator("y_0"), dtype=torch.float64)
        best = Glass(1).transition(flow, case.x, case.x_hat, t, t_next, _always(y), converged)
        for scheme in schemes:
            results[scheme].append([rms(integrate(flow, case, y, scheme, m), best) for m in calls])
    return results


def _always(y: Tensor) -> Normal:
    return lambda: y


def geometric(values: Sequence[float]) -> float:
    return math.exp(sum(map(math.log, values)) / len(values))


MIXTURES: tuple[tuple[str, float, float], ...] = (
    ("of the bench", 1.0, 1.0),
    ("with components a third as wide", 1.0, 1 / 3),
    ("with means twice as far apart", 2.0, 1.0),
)


def explore(
    rows: int = 2025, calls: Sequence[int] = CALLS, converged: int = CONVERGED
) -> Iterator[Table]:
    """One table a mixture: errors as geometric means over the four transitions."""
    for title, spread, width in MIXTURES:
        results = errors(toy(spread, width), SCHEMES, calls, rows, converged)
        mean = {s: [geometric(e) for e in zip(*results[s], strict=True)] for s in SCHEMES}
        now = mean[OWN]
        lines = []
        for s in SCHEMES:
            ratios = [a / b for a, b in zip(mean[s], now, strict=True)]
            lines.append((s.name, *map(two_digits, mean[s]), *(f"{r:.2f}" for r in ratios)))
        yield Table(
            f"Inner ODE schemes, mixture {title}",
            ("scheme", *(f"M={m}" for m in calls), *(f"M={m}" for m in calls)),
            lines,
            "RMS endpoint error over network calls, geometric mean of four transitions; on the"
            f" right over that of the sampler's own, {OWN.name}.",
        )
