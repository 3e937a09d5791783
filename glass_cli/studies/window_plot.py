"""The plot of ``benchmark=window``: the curves over time, and the times that they propose."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glass_cli.studies.base import of_prompts
from glass_cli.studies.figures import new_figure
from glass_cli.studies.window_summary import WindowSummary

_LOOKS = {
    "open": ("#d55e00", "still open: share of the final reward's variance within one $x_t$"),
    "agreement": ("#009e73", r"agreement: correlation of $r(\hat x_1)$ with the mean final reward"),
    "foretold": ("#0072b2", r"foretold: share of that variance that $r(\hat x_1)$ explains"),
}
_TICKS = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98)


def window_figure(summary: WindowSummary, times: Sequence[float] | None) -> Any:
    """A matplotlib figure; ``times`` are the proposed ends of transitions, None for none."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    figure = new_figure(7, 4.4)
    axes, t = figure.add_subplot(), summary.t
    lowest = 0.0  # an agreement can be negative
    for name, (colour, label) in _LOOKS.items():
        values = getattr(summary.curves, name).tolist()
        axes.plot(t, values, color=colour, marker="o", markersize=3.5, label=label)
        # as in the table, a number that is not known has no interval: a gap in curve and band
        nan = float("nan")
        bands = [
            (nan, nan) if band is None or value != value else band
            for value, band in zip(values, summary.intervals[name], strict=True)
        ]
        low, high = zip(*bands, strict=True)
        axes.fill_between(t, low, high, color=colour, alpha=0.15, linewidth=0)
        lowest = min([lowest, *(v for v in (*values, *low) if v == v)])
    for i, at in enumerate((times or ())[1:-1]):
        once = "proposed ends of transitions" if i == 0 else None
        axes.axvline(at, color="#555555", linestyle=":", linewidth=1.2, label=once)
    # a window near noise would be a sliver on a straight axis
    axes.set_xscale("logit")
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in _TICKS]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(t) * 0.9, 1.0 - (1.0 - max(t)) * 0.9)
    axes.set_ylim(lowest - 0.05, 1.05)
    axes.set_title(f"decision window over {of_prompts(summary.prompts)}", fontsize=10)
    axes.set_xlabel("$t$ (0 noise, 1 data)")
    axes.set_ylabel("share, or correlation")
    axes.grid(alpha=0.25)
    figure.legend(
        loc="outside upper center",
        fontsize=8,
        frameon=False,
        title="shaded: 95 % bootstrap intervals",
        title_fontsize=8,
    )
    return figure
