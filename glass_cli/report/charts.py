"""The charts of one run, drawn from its results."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

from glass_cli.output.results import Result, Run, StepRow
from glass_cli.report.plots import histogram, over_time
from glass_cli.report.quantities import Prompt, estimate, mean

Point = tuple[float, float, float, float]


class Chart(NamedTuple):
    """An inline drawing, and a description for those who do not see it.

    over_time: whether it shows means over t, with bands of their intervals where there are any.
    """

    title: str
    svg: str
    alt: str
    over_time: bool


def charts(run: Run) -> list[Chart]:
    """Rewards on the way, ESS and lineages, and the final rewards; what there is of these."""
    results = run.results
    drawn = []
    lines = {
        "best particle": _line(results, lambda s: _known(s, max)),
        "mean particle": _line(results, lambda s: _known(s, lambda r: sum(r) / len(r))),
    }
    if all(len(points) > 1 for points in lines.values()):
        svg = over_time(lines, "reward of x̂", None)
        drawn.append(Chart("Reward on the way", svg, _description("Reward", lines), True))
    shares = {
        "ESS": _line(results, lambda s: None if s.ess is None else s.ess / s.number),
        "lineages": _line(results, lambda s: None if s.lineages is None else s.lineages / s.number),
    }
    moved = any(step.ancestors is not None for result in results for step in result.steps)
    if moved and all(len(points) > 1 for points in shares.values()):
        svg = over_time(shares, "share of the particles", 1.0)
        alt = _description("Share", shares)
        drawn.append(Chart("Effective sample size, lineages", svg, alt, True))
    values = {
        "all particles": [r for result in results for r in result.known_rewards],
        "answers": [r for result in results if (r := result.reward) is not None],
    }
    values = {name: rewards for name, rewards in values.items() if rewards}
    if sum(map(len, values.values())) > 3:
        ranges = (f"{name} {min(r):.4g} to {max(r):.4g}" for name, r in values.items())
        svg = histogram(values, "final reward")
        drawn.append(Chart("Final rewards", svg, f"Final rewards: {', '.join(ranges)}.", False))
    return drawn


def _known(step: StepRow, of: Callable[[list[float]], float]) -> float | None:
    known = [r for r in step.rewards or () if r is not None]
    return of(known) if known else None


def _line(results: Sequence[Result], of: Callable[[StepRow], float | None]) -> list[Point]:
    """Means over prompts and their intervals at every time that steps have."""
    at: dict[float, dict[Prompt, list[float]]] = {}
    for result in results:
        for step in result.steps:
            value = of(step)
            if value is not None:
                here = at.setdefault(round(step.t, 6), {})
                here.setdefault((result.prompt_index, None), []).append(value)
    points = []
    for t, values in sorted(at.items()):
        average = estimate({prompt: mean(known) for prompt, known in values.items()})
        assert average is not None  # every time has a value
        low, high = average.interval or (average.mean, average.mean)
        points.append((t, average.mean, low, high))
    return points


def _description(what: str, lines: dict[str, list[Point]]) -> str:
    ends = [
        f"{name} from {points[0][1]:.3g} at t = {points[0][0]:.2g} to {points[-1][1]:.3g}"
        f" at t = {points[-1][0]:.2g}"
        for name, points in lines.items()
    ]
    return f"{what} over t: {'; '.join(ends)}."
