"""The plot of ``benchmark=posterior``: distance and value estimates over network calls."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glass_cli.studies.figures import moved, new_figure

COLOURS = ("#7f7f7f", "#e69f00", "#56b4e9", "#0072b2", "#009e73", "#d55e00")
_POINTS_APART = 3.5  # of the page, between methods at the same number of calls


def posterior_figure(summaries: Sequence[Mapping[str, Any]]) -> Any:
    """A matplotlib figure with a row of two panels a time (see ``posterior_summary.summarise``)."""
    from matplotlib.ticker import NullLocator

    figure = new_figure(9, 0.7 + 3.4 * len(summaries))
    panels = figure.subplots(len(summaries), 2, squeeze=False)
    for summary, (left, right) in zip(summaries, panels, strict=True):
        rows = summary["rows"]
        calls = sorted({row["calls"] for row in rows})
        methods = list(dict.fromkeys(row["method"] for row in rows))
        for i, method in enumerate(methods):
            own = sorted((row for row in rows if row["method"] == method), key=_calls)
            at = [row["calls"] for row in own]
            # side by side, so that no interval hides another
            beside = _POINTS_APART * (i - (len(methods) - 1) / 2)
            for axes, key in ((left, "w2"), (right, "value_correlation")):
                cells = [row[key] for row in own]
                _points(axes, at, cells, COLOURS[i % len(COLOURS)], method, beside)
        again = summary["second_reference_correlation"]["mean"]
        x_hat = summary["x_hat_correlation"]["mean"]
        _level(left, summary["floor"]["mean"], "#333333", ":", "a second reference (floor)")
        _level(right, again, "#333333", ":", "a second reference (floor)")
        _level(right, x_hat, "#cc79a7", "--", r"$r(\hat x_1)$, one call")
        left.set_ylim(bottom=0.0)
        left.set_ylabel("sliced $W_2$ to the reference")
        right.set_ylabel("correlation of value estimates")
        for axes in (left, right):
            axes.set_title(f"draws of $p(x_1 | x_t)$ at $t={summary['t']:.3g}$", fontsize=10)
            axes.set_xscale("log")
            axes.set_xlim(0.8 * calls[0], 1.25 * calls[-1])
            axes.set_xticks(calls, [str(m) for m in calls])
            axes.xaxis.set_minor_locator(NullLocator())
            axes.set_xlabel("network calls $M$ a draw")
            axes.grid(alpha=0.25)
    handles = {
        label: handle
        for axes in reversed(panels[0])
        for handle, label in zip(*axes.get_legend_handles_labels(), strict=True)
    }
    title = "bars: 95 % bootstrap intervals over prompts"
    figure.legend(
        handles.values(),
        handles.keys(),
        loc="outside upper center",
        ncols=3,
        fontsize=8,
        frameon=False,
        title=title if _has_intervals(summaries) else None,
        title_fontsize=8,
    )
    return figure


def _calls(row: Mapping[str, Any]) -> int:
    return int(row["calls"])


def _points(
    axes: Any,
    at: Sequence[float],
    cells: Sequence[Mapping[str, Any]],
    colour: str,
    label: str,
    beside: float,
) -> None:
    """A line of the means ``at`` x with a bar for each interval; NaN where one is not known.

    beside: how many points of the page it stands to the right of x.
    """
    nan = float("nan")
    means = [nan if cell["mean"] is None else cell["mean"] for cell in cells]
    ends = [cell["interval95"] or (nan, nan) for cell in cells]
    below = [max(mean - low, 0.0) for mean, (low, _) in zip(means, ends, strict=True)]
    above = [max(high - mean, 0.0) for mean, (_, high) in zip(means, ends, strict=True)]
    bars = axes.errorbar(
        at,
        means,
        yerr=(below, above),
        color=colour,
        marker="o",
        markersize=3.5,
        elinewidth=0.9,
        capsize=2,
        label=label,
    )
    for artist in bars.get_children():
        artist.set_transform(moved(axes, beside))


def _level(axes: Any, value: float | None, colour: str, style: str, label: str) -> None:
    if value is not None:
        axes.axhline(value, color=colour, linestyle=style, linewidth=1.2, label=label)


def _has_intervals(summaries: Sequence[Mapping[str, Any]]) -> bool:
    return any(row["w2"]["interval95"] for summary in summaries for row in summary["rows"])
