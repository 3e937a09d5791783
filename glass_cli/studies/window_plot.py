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
# Before anything is decided there is nothing to agree with, only noise: an agreement whose interval
# is wider is not drawn.
_WIDEST = 0.5


def window_figure(summary: WindowSummary, times: Sequence[float] | None) -> Any:
    """A matplotlib figure; ``times`` are the proposed ends of transitions, None for none."""
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    figure = new_figure(7, 4.4)
    axes, t = figure.add_subplot(), summary.t
    for name, (colour, label) in _LOOKS.items():
        values = getattr(summary.curves, name).tolist()
        bands = list(summary.intervals[name])
        if name == "agreement":
            narrow = [band is not None and band[1] - band[0] < _WIDEST for band in bands]
            values = [v if n else float("nan") for v, n in zip(values, narrow, strict=True)]
            bands = [band if n else None for band, n in zip(bands, narrow, strict=True)]
        axes.plot(t, values, color=colour, marker="o", markersize=3.5, label=label)
        known = [(at, *band) for at, band in zip(t, bands, strict=True) if band is not None]
        if known:
            where, low, high = zip(*known, strict=True)
            axes.fill_between(where, low, high, color=colour, alpha=0.15, linewidth=0)
    for i, at in enumerate((times or ())[1:-1]):
        once = "proposed ends of transitions" if i == 0 else None
        axes.axvline(at, color="#555555", linestyle=":", linewidth=1.2, label=once)
    # a window near noise would be a sliver on a straight axis
    axes.set_xscale("logit")
    axes.xaxis.set_major_locator(FixedLocator(_TICKS))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in _TICKS]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(t) * 0.9, 1.0 - (1.0 - max(t)) * 0.9)
    axes.set_ylim(-0.05, 1.05)
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
