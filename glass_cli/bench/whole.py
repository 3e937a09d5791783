"""Error of the whole GLASS sampler by grid and order, on laws that are known in closed form."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import fmean, stdev

import torch
from torch import Tensor

from glass_cli.bench.laws import LAWS, Axes, mixture
from glass_cli.bench.schemes import BEFORE, integrate
from glass_cli.method.distance import sliced_w2
from glass_cli.method.glass import Glass, InnerPath, Rho, correlation
from glass_cli.method.noise import generator
from glass_cli.method.path import CondOT, Path, VariancePreserving
from glass_cli.method.times import outer_times
from glass_cli.output.tables import Table, two_digits

TRANSITIONS = (3, 5, 10)
CALLS = (2, 3, 4, 6, 10)
CONVERGED = 40
PATHS: dict[str, Path] = {"straight": CondOT(), "VP": VariancePreserving()}

Way = Callable[[Axes, Tensor, Tensor, float, float, Tensor, int], Tensor]
"""(flow, x, D_t(x), t, t', y_0, calls) -> x_t', one transition."""


def shipped(sampler: Glass) -> Way:
    """A transition of the sampler."""

    def way(
        flow: Axes, x: Tensor, x_hat: Tensor, t: float, t_next: float, y: Tensor, calls: int
    ) -> Tensor:
        return sampler.transition(flow, x, x_hat, t, t_next, lambda: y, calls)

    return way


def before(inner: str, rho: Rho = "ddpm") -> Way:
    """A transition as 0.2.0 has it at second order."""
    scheme = replace(BEFORE, grid=inner)

    def way(
        flow: Axes, x: Tensor, x_hat: Tensor, t: float, t_next: float, y: Tensor, calls: int
    ) -> Tensor:
        between = InnerPath.between(flow.path, t, t_next, correlation(flow.path, t, t_next, rho))
        return integrate(flow, between, x, x_hat, y, scheme, calls)

    return way


def draw(flow: Axes, way: Way, transitions: int, calls: int, draws: int, seed: int) -> Tensor:
    """x_1 (draws, d) by ``transitions`` of ``calls`` each along the model's schedule.

    The noise of a seed is the same for every way and number of calls.
    """
    g = generator("whole", seed)
    times = outer_times("schedule", transitions, flow.path, flow.shift)
    shape = (draws, flow.means.shape[-1])
    x = torch.randn(shape, generator=g, dtype=torch.float64)
    for t, t_next in itertools.pairwise(times):
        y = torch.randn(shape, generator=g, dtype=torch.float64)
        x = way(flow, x, flow.denoise(x, t), t, t_next, y, calls)
    return x


def errors(
    flow: Axes,
    ways: Mapping[str, Way],
    transitions: int,
    calls: Sequence[int],
    draws: int,
    seeds: int,
    converged: Way,
) -> dict[tuple[str, int], list[float]]:
    """Sliced W2 of each way and number of calls from the converged draws of the same noise.

    A list over seeds for each. Both sides share their noise, which leaves little of it.
    """
    errors_at: dict[tuple[str, int], list[float]] = {(w, m): [] for w in ways for m in calls}
    for seed in range(seeds):
        exact = draw(flow, converged, transitions, CONVERGED, draws, seed)
        for (name, m), of_seeds in errors_at.items():
            of_seeds.append(
                sliced_w2(draw(flow, ways[name], transitions, m, draws, seed), exact, 1)
            )
    return errors_at


def _with_error(values: Sequence[float]) -> str:
    """Mean and its standard error."""
    mean = two_digits(fmean(values))
    if len(values) < 2:
        return mean
    error = stdev(values) / math.sqrt(len(values))
    return f"{mean} ±{error:.1g}"


MIXTURE_WAYS: dict[str, Way] = {
    "order 1, s": shipped(Glass(order=1, inner="s")),
    "order 1, snr": shipped(Glass(order=1)),
    "0.2.0, s": before("s"),
    "0.2.0, times": before("times"),
    "s": shipped(Glass(inner="s")),
    "times": shipped(Glass(inner="times")),
    "snr": shipped(Glass()),
}


def by_calls(draws: int, seeds: int, transitions: Sequence[int], calls: Sequence[int]) -> Table:
    """The bench's mixture: every way, number of transitions and of calls."""
    lines = []
    for k in transitions:
        measured = errors(mixture(), MIXTURE_WAYS, k, calls, draws, seeds, MIXTURE_WAYS["snr"])
        for m in calls:
            cells = [_with_error(measured[name, m]) for name in MIXTURE_WAYS]
            lines.append((f"{k} x {m}", *cells))
    return Table(
        "Whole GLASS sampler: sliced W2 to converged draws of the same noise",
        ("K x M", *MIXTURE_WAYS),
        lines,
        "Mixture of six Gaussians in 8 dimensions, K transitions of M calls, times uniform, rho"
        f" ddpm. 0.2.0: z_hat linear in s; without a name: in the sine, by sampler.inner."
        f" {draws} draws, {seeds} seeds, mean and its standard error. Converged: snr at"
        f" M={CONVERGED}.",
    )


def _settings() -> list[tuple[tuple[str, ...], Axes, Rho]]:
    """Law, path, shift and rho by name; with shift 3 the data are of the shift's scale, or not."""
    chosen: list[tuple[tuple[str, ...], Axes, Rho]] = []
    for (law, make), (name, path) in itertools.product(LAWS.items(), PATHS.items()):
        flow = replace(make(), path=path)
        chosen += [
            ((law, name, "1", "ddpm"), flow, "ddpm"),
            ((law, name, "1", "0.4"), flow, 0.4),
            ((law, name, "3, data of 1", "ddpm"), replace(flow, shift=3.0), "ddpm"),
            ((law, name, "3, data of 3", "ddpm"), replace(flow.scaled(3.0), shift=3.0), "ddpm"),
        ]
    return chosen


def by_law(draws: int, seeds: int, transitions: Sequence[int], calls: Sequence[int]) -> Table:
    """Errors of the default over those of the better of the grids of 0.2.0, law by law."""
    lines = []
    for names, flow, rho in _settings():
        ours = shipped(Glass(rho=rho))
        ways = {"s": before("s", rho), "times": before("times", rho), "snr": ours}
        ratios: dict[int, list[float]] = {m: [] for m in calls}
        for k in transitions:
            measured = errors(flow, ways, k, calls, draws, seeds, ours)
            for m in calls:
                s, times, snr = (fmean(measured[way, m]) for way in ways)
                ratios[m].append(snr / min(s, times))
        cells = [f"{math.exp(fmean(map(math.log, ratios[m]))):.2f}" for m in calls]
        worst = max(max(of_m) for of_m in ratios.values())
        lines.append((", ".join(names[:2]), *names[2:], *cells, f"{worst:.2f}"))
    return Table(
        "sampler.inner=snr over the better of 0.2.0's s and times",
        ("law, path", "shift", "rho", *(f"M={m}" for m in calls), "worst"),
        lines,
        "Sliced W2 of the whole sampler as above, the ratio as a geometric mean over"
        f" K={', '.join(map(str, transitions))}; worst: of all K and M. {draws} draws, {seeds}"
        " seeds. Small clusters: standard deviations 0.05 to 0.6 by axis, three of eight components"
        " at most 0.1; Gaussian: 0.05 to 2 by axis.",
    )


def whole(
    draws: int = 2048,
    seeds: int = 3,
    transitions: Sequence[int] = TRANSITIONS,
    calls: Sequence[int] = CALLS,
) -> list[Table]:
    """Both tables; ``draws`` of each way, two ``seeds`` or more for an error; fewer for ratios."""
    few = (max(2, draws // 4), max(1, seeds - 1), transitions, calls)
    return [by_calls(draws, seeds, transitions, calls), by_law(*few)]
