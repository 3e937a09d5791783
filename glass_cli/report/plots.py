"""Plots: of a comparison as files, of one run as SVG for its page."""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glass_cli.common.files import atomic_write
from glass_cli.common.letters import boxes_for_missing_letters
from glass_cli.report.comparison import ROUNDING, Cell, Comparison
from glass_cli.report.quantities import Estimate
from glass_cli.studies.figures import moved

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart by all; the yellow is left out, being faint on white.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#7f7f7f")
MARKS = "osD^vPX"
_POINTS_APART, _POINTS_WITHIN = 14.0, 5.0  # between runs of equal cost, between a run's two marks
_INK = "#010203"  # stands for the page's own text colour in SVG


def write_plots(comparison: Comparison, folder: Path) -> list[Path]:
    """Saves what the runs allow, as PNG and PDF: reward against calls, reward against judgement.

    Returns the files. Raises OSError.
    """
    folder.mkdir(parents=True, exist_ok=True)
    written = []
    figures = {
        "reward_against_nfe": reward_against_nfe(comparison),
        "reward_against_correct": reward_against_correct(comparison),
    }
    for name, figure in figures.items():
        if figure is None:
            continue
        # without the moment at which it was made, equal plots are equal files
        for suffix, metadata in (("png", {}), ("pdf", {"CreationDate": None})):
            path = folder / f"{name}.{suffix}"
            drawn = io.BytesIO()  # of a full disk matplotlib's own writer prints a traceback
            with boxes_for_missing_letters():
                figure.savefig(
                    drawn, format=suffix, dpi=160, bbox_inches="tight", metadata=metadata
                )
            with atomic_write(path) as part:
                part.write_bytes(drawn.getvalue())
            written.append(path)
    return written


def reward_against_nfe(comparison: Comparison) -> Figure | None:
    """Rewards of the best and the mean particle of each run over its network calls a picture.

    Runs of equal cost, which would hide each other's intervals, stand a few points of the page
    side by side about the tick of their calls; their data are those of the table.
    """
    cells = comparison.cells
    shown = [key for key in ("best", "mean") if key in cells]
    costs = [cost.nfe for cost in comparison.costs]
    known = sorted(cost for cost in costs if cost is not None)
    if not shown or not known:
        return None
    figure, axes = new_axes(6.4, 4.0)
    equal = _equal_costs(known)
    for i, cost in enumerate(costs):
        if cost is None:
            continue
        group = next(group for group in equal if cost in group)
        beside = [j for j, other in enumerate(costs) if other in group].index(i)
        for k, key in enumerate(shown):
            offset = _POINTS_APART * (beside - (len(group) - 1) / 2)
            offset += _POINTS_WITHIN * (k - (len(shown) - 1) / 2)
            value = cells[key][i].value
            if value is None:
                continue
            bar = axes.errorbar(
                cost,
                value.mean,
                yerr=bars(value),
                color=COLOURS[i % len(COLOURS)],
                marker=MARKS[i % len(MARKS)],
                markerfacecolor="white" if key == "mean" else None,
                capsize=2.5,
                linestyle="none",
                label=comparison.labels[i] if k == 0 else None,
            )
            for artist in bar.get_children():
                artist.set_transform(moved(axes, offset))
    calls_axis(axes, [group[len(group) // 2] for group in equal])
    drawn_anew = "prompts" if comparison.prompts > 1 else "its results"
    axes.set_ylabel(f"reward, 95 % interval over {drawn_anew}")
    notes = ["filled: best particle, hollow: mean particle"] * (len(shown) == 2)
    notes += ["runs of equal calls stand side by side"] * any(len(group) > 1 for group in equal)
    axes.set_title("; ".join(notes), fontsize=9)
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def _equal_costs(costs: Sequence[float]) -> list[list[float]]:
    """Rising numbers in groups that differ by the rounding of calls only."""
    groups: list[list[float]] = []
    for cost in costs:
        if groups and cost - groups[-1][0] <= ROUNDING * cost:
            groups[-1].append(cost)
        else:
            groups.append([cost])
    return groups


def calls_axis(axes: Axes, ticks: Sequence[float]) -> None:
    """Network calls across, a tick where runs are; logarithmic where they differ threefold."""
    from matplotlib.ticker import FixedLocator, NullLocator

    if ticks[-1] > 3 * ticks[0]:
        axes.set_xscale("log")
    axes.set_xlim(0.85 * ticks[0], 1.15 * ticks[-1])
    axes.xaxis.set_major_locator(FixedLocator(ticks, nbins=8))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(lambda value, _: f"{value:.0f}")
    axes.set_xlabel("network calls a picture")


def reward_against_correct(comparison: Comparison) -> Figure | None:
    """The judge's score of each run over its answers' reward; None where either is not known."""
    cells: Mapping[str, tuple[Cell, ...]] = comparison.cells
    reward = cells.get("answer")
    correct = cells.get("correct")
    if reward is None or correct is None:
        return None
    figure, axes = new_axes(6.4, 4.0)
    for i, (across, up) in enumerate(zip(reward, correct, strict=True)):
        if across.value is None or up.value is None:
            continue
        axes.errorbar(
            across.value.mean,
            up.value.mean,
            xerr=bars(across.value),
            yerr=bars(up.value),
            color=COLOURS[i % len(COLOURS)],
            marker=MARKS[i % len(MARKS)],
            capsize=3,
            linestyle="none",
            label=comparison.labels[i],
        )
    axes.set_xlabel("reward of the answer")
    axes.set_ylabel("judged correct, %, 95 % intervals")
    axes.legend(fontsize=8, loc="center left", bbox_to_anchor=(1.01, 0.5), frameon=False)
    return figure


def over_time(
    lines: Mapping[str, Sequence[tuple[float, float, float, float]]], label: str, top: float | None
) -> str:
    """SVG of lines over t.

    lines: name -> points (t, mean, low, high) by rising t, where low and high are a band's ends.
    label: what is shown upward.
    top: the largest value that is possible; None for as far as the lines go.
    """
    figure, axes = new_axes(4.6, 2.9, _INK)
    for i, (name, points) in enumerate(lines.items()):
        t, mean, low, high = zip(*points, strict=True)
        axes.fill_between(t, low, high, color=COLOURS[i], alpha=0.18, linewidth=0)
        axes.plot(t, mean, color=COLOURS[i], marker=MARKS[i], markersize=4, label=name)
    axes.set_xlabel("t (0 noise, 1 data)")
    axes.set_ylabel(label)
    axes.set_xlim(-0.03, 1.03)
    if top is not None:
        axes.set_ylim(0, 1.05 * top)
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure, label)


def histogram(values: Mapping[str, Sequence[float]], label: str) -> str:
    """SVG of distributions, as shares of each.

    values: name -> numbers, at least one.
    label: what is shown across.
    """
    import numpy as np

    figure, axes = new_axes(4.6, 2.9, _INK)
    together = [value for group in values.values() for value in group]
    edges = np.histogram_bin_edges(together, bins=min(24, max(4, round(len(together) ** 0.5))))
    for i, (name, group) in enumerate(values.items()):
        axes.hist(
            group,
            bins=edges.tolist(),
            weights=[1 / len(group)] * len(group),
            color=COLOURS[i],
            alpha=0.55,
            label=name,
        )
    axes.set_xlabel(label)
    axes.set_ylabel("share")
    axes.legend(fontsize=8, frameon=False)
    return _svg(figure, label)


def bars(estimate: Estimate) -> Any:
    """An interval as lengths below and above the mean, for `errorbar`; None without one."""
    if estimate.interval is None:
        return None
    low, high = estimate.interval
    # the interval of a skewed sample may lie off its mean by rounding
    return [[max(estimate.mean - low, 0.0)], [max(high - estimate.mean, 0.0)]]


def new_axes(width: float, height: float, ink: str = "#222222") -> tuple[Figure, Axes]:
    """An empty figure of so many inches, with one pair of axes."""
    # Not pyplot: it keeps global state and looks for a screen.
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    axes.grid(True, color=ink, alpha=0.15, linewidth=0.6)
    axes.set_axisbelow(True)
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    for side in ("bottom", "left"):
        axes.spines[side].set_color(ink)
    axes.tick_params(colors=ink, labelsize=8)
    for text in (axes.xaxis.label, axes.yaxis.label, axes.title):
        text.set_color(ink)
        text.set_fontsize(9)
    return figure, axes


def _svg(figure: Figure, salt: str) -> str:
    """The figure as an inline element in the page's colours, without a word of metadata."""
    from matplotlib import rc_context

    for legend in (axes.get_legend() for axes in figure.axes):
        for entry in legend.get_texts() if legend is not None else ():
            entry.set_color(_INK)
    out = io.StringIO()
    with rc_context({"svg.fonttype": "none", "svg.hashsalt": salt, "svg.id": None}):
        figure.savefig(
            out,
            format="svg",
            transparent=True,
            metadata={"Date": None, "Creator": None, "Format": None, "Type": None},
        )
    text = out.getvalue()
    text = text[text.index("<svg") :]
    # a style inside one drawing would hold for the whole page
    text = re.sub(r"<(metadata|style)\b.*?</\1>", "", text, flags=re.DOTALL)
    # ids are unique in a page only if each drawing has its own
    prefix = re.sub(r"\W+", "-", salt)
    text = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{prefix}-", text)
    text = re.sub(r"font-family: [^;\"]*;?", "", text)
    text = re.sub(r'<svg ([^>]*?)width="[^"]*" height="[^"]*"|<svg ', _strip_size, text, count=1)
    return text.replace(_INK, "currentColor")


def _strip_size(match: re.Match[str]) -> str:
    return '<svg class="chart" aria-hidden="true" ' + (match.group(1) or "")
