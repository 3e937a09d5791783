"""The plot of ``benchmark=posterior``: distance and value estimates over network calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any


def draw_plot(at: Sequence[Mapping[str, Any]], methods: Sequence[str], file: Path) -> None:
    """Saves a row of two panels for each time ``at`` as a PNG."""
    import logging

    # matplotlib, when imported, tells of every font that it cannot read
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import NullLocator

    colours = dict(zip(methods, ("#7f7f7f", "#e69f00", "#56b4e9", "#0072b2"), strict=True))
    page = Figure(figsize=(9, 3.4 * len(at)), layout="constrained")
    FigureCanvasAgg(page)
    panels = page.subplots(len(at), 2, squeeze=False)
    for each, (left, right) in zip(at, panels, strict=True):
        calls = sorted({row["calls"] for row in each["rows"]})
        for method, colour in colours.items():
            rows = [row for row in each["rows"] if row["method"] == method]
            for axes, key in ((left, "w2"), (right, "value_correlation")):
                _line(axes, calls, [row[key] for row in rows], colour, method)
        left.axhline(each["floor"]["mean"], color="#333333", linestyle=":", label="floor")
        again = each["second_reference_correlation"]["mean"]
        if again is not None:
            right.axhline(again, color="#333333", linestyle=":", label="a second reference")
        hat = each["x_hat_correlation"]["mean"]
        if hat is not None:
            right.axhline(hat, color="#cc79a7", linestyle="--", label=r"$r(\hat x_1)$, one call")
        left.set_yscale("log")
        left.set_ylabel("sliced $W_2$ to the reference")
        right.set_ylabel("correlation of value estimates")
        for axes in (left, right):
            axes.set_title(f"$p(x_1 | x_t)$ at $t={each['t']:.3g}$", fontsize=10)
            axes.set_xscale("log")
            axes.set_xticks(calls, [str(m) for m in calls])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("network calls $M$")
            axes.grid(alpha=0.25)
            axes.legend(fontsize=7)
    page.savefig(file, dpi=140, format="png")


def _line(
    axes: Any, calls: Sequence[int], cells: Sequence[Mapping[str, Any]], colour: str, name: str
) -> None:
    means = [float("nan") if cell["mean"] is None else cell["mean"] for cell in cells]
    axes.plot(calls, means, color=colour, marker="o", markersize=3.5, label=name)
    around = [cell["interval95"] for cell in cells]
    if all(pair is not None for pair in around):
        axes.fill_between(calls, *zip(*around, strict=True), color=colour, alpha=0.12, linewidth=0)
