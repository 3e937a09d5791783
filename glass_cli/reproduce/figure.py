"""What a comparison found, as a picture: right answers over network calls, a line a method."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping
from typing import Any, NamedTuple

from glass_cli.report.plots import COLOURS, MARKS, bars, calls_axis, new_axes
from glass_cli.report.quantities import Estimate
from glass_cli.report.results_file import Row
from glass_cli.reproduce.measured import CORRECT
from glass_cli.reproduce.plan import budget_of
from glass_cli.studies.figures import moved

# How rows' names begin -> the method; those of another reward, or guided by it, are left out.
METHODS: dict[str, str | None] = {
    "best_of_n": "best of N (ODE)",
    "fk_glass_guidance": None,
    "fk_glass": "FK steering, GLASS",
    "fk_sde": "FK steering, SDE",
    "bfs": "breadth-first search (GLASS)",
    "evolution": "evolutionary search (ODE)",
    "auto": "steering=auto",
    "svdd": "SVDD (GLASS)",
    "dfs": "depth-first search",
    "dts": "tree search",
    "rbf": "rollover budget forcing",
    "noise_search": "noise search",
    "ode": "one particle, ODE",
    "sde": "one particle, SDE",
    "glass": "one particle, GLASS",
}
_APART = 5.0  # points of the page between methods of the same budget


class Point(NamedTuple):
    """A method's best row of a budget.

    calls: network calls a picture.
    right: the share of right answers, in percent.
    """

    run: str
    calls: float
    right: Estimate


def points(rows: Mapping[str, Row]) -> dict[str, list[Point]]:
    """Method -> its best row of each budget, from the smallest on; of the rows of a benchmark."""
    found: dict[str, list[Point]] = {}
    for name, row in rows.items():
        start = next((s for s in METHODS if re.match(rf"{s}(_|\d|$)", name)), None)
        method = METHODS[start] if start is not None else None
        right = row.estimates.get(CORRECT)
        if method is None or right is None or row.nfe is None:
            continue
        own, point = found.setdefault(method, []), Point(name, row.nfe, right)
        same = [p for p in own if _budget(p) == _budget(point)]
        if not same or right.mean > same[0].right.mean:
            own[:] = [p for p in own if p not in same] + [point]
    order = [*METHODS.values()]
    return {
        method: sorted(found[method], key=lambda p: p.calls)
        for method in sorted(found, key=order.index)
    }


def _budget(point: Point) -> float:
    """The budget that a point's calls are of, or these where they are of none."""
    return float(budget_of(point.calls) or point.calls)


def right_over_calls(rows: Mapping[str, Row]) -> bytes | None:
    """The picture, a PNG; None where nothing was judged."""
    shown = points(rows)
    if not shown:
        return None
    figure, axes = new_axes(7.6, 4.2)
    budgets = dict.fromkeys(sorted(_budget(p) for own in shown.values() for p in own))
    beside = {b: [m for m, own in shown.items() if b in map(_budget, own)] for b in budgets}
    for i, (method, own) in enumerate(shown.items()):
        colour = COLOURS[i % len(COLOURS)]
        style: dict[str, Any] = {"color": colour, "marker": MARKS[i % len(MARKS)]}
        style["markerfacecolor"] = colour if i < len(COLOURS) else "white"
        for point in own:
            here = beside[_budget(point)]
            offset = moved(axes, _APART * (here.index(method) - (len(here) - 1) / 2))
            bar = axes.errorbar(
                _budget(point), point.right.mean, yerr=bars(point.right), capsize=2, **style
            )
            for artist in bar.get_children():
                artist.set_transform(offset)
        across, up = [_budget(p) for p in own], [p.right.mean for p in own]
        axes.plot(across, up, color=colour, linewidth=0.8, alpha=0.5)
        axes.plot([], [], label=method, linewidth=0.8, **style)
    calls_axis(axes, [*budgets])
    axes.set_ylabel("judged right, %, 95 % interval")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    out = io.BytesIO()
    figure.savefig(out, format="png", dpi=160, metadata={"Software": None})
    return out.getvalue()
