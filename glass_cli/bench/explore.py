"""Which variable, grid and order serve GLASS's inner ODE best.

Every scheme integrates the same ODE from the same y_0, so its error is the root mean square
difference from the converged endpoint, without Monte-Carlo noise. The network calls are the same
for all: one a step.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch

from glass_cli.bench.schemes import BEFORE, OWN, Scheme, Variable, integrate
from glass_cli.bench.toy import TRANSITIONS, make_case, toy
from glass_cli.method.distance import rms
from glass_cli.method.noise import generator
from glass_cli.models.gaussian_mixture import LoadedMixture
from glass_cli.output.tables import Table, two_digits

CALLS = (2, 3, 4, 6, 10)
CONVERGED = 400
GRIDS = ("snr", "s", "times", "s^1.5", "1-(1-s)^1.5")
VARIABLES: tuple[Variable, ...] = ("s", "time", "lambda", "log lambda", "log precision", "sine")
SCHEMES = (
    OWN,
    BEFORE,
    *(Scheme("s", g, 1) for g in ("snr", "s")),
    *(Scheme("sine", g, corrector="all") for g in GRIDS[1:]),
    *(Scheme("s", g, corrector="all", last="noise") for g in GRIDS[2:]),
    *(Scheme(v, "snr", corrector="all", last="noise") for v in VARIABLES),
    *(Scheme(v, "snr", last="noise") for v in VARIABLES),
    *(Scheme(v, "snr", 3, "all", "noise") for v in VARIABLES),
    Scheme("sine", "snr", 3, "all", 3),
    Scheme("sine", "snr", corrector="first"),
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
        given = (flow, case.inner, case.x, case.x_hat, y)
        best = integrate(*given, OWN, converged)
        for scheme in schemes:
            results[scheme].append([rms(integrate(*given, scheme, m), best) for m in calls])
    return results


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
