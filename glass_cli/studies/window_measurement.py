"""``benchmark=window``: curves over time, their plot, and the times that they propose."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from glass_cli.output.tables import Table
from glass_cli.common.files import atomic_write, writing_to
from glass_cli.common.statistics import statistic_intervals
from glass_cli.engine import window_cache as windows
from glass_cli.steering.decision_window import (
    Curves,
    Moments,
    curves,
    intervals,
    moments,
    proposed_times,
)
from glass_cli.studies.base import parts, prompts

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.output.writer import Store
    from glass_cli.studies.window import Window

_SHOWN = range(2, 9)  # numbers of transitions for which summary.json has times


def study(bench: Window, made: Settings, store: Store) -> dict[str, Any]:
    """See :class:`glass_cli.studies.window.Window`. Raises GlassError."""
    words = prompts(bench.path, bench.limit, made)
    found = list(parts(made, store, words, lambda: _measurer(bench, made)))
    t, even = found[0]["t"], found[0]["even"]
    arrays = [(np.asarray(p["x_hat"], float), np.asarray(p["finals"], float)) for p in found]
    of_prompts = [moments(*pair) for pair in arrays]
    shares, spread = curves(of_prompts), intervals(arrays)
    k = made.sampler.transitions or 5
    proposed = {n: proposed_times(t, even, shares.foretold, n) for n in sorted({*_SHOWN, k})}
    nfe = sum(part["nfe"] for part in found)
    window = windows.Window(t, even, shares.foretold.tolist(), nfe, len(found), "benchmark=window")
    kept = windows.save(made, window)
    plot = store.folder / "window.png"
    with writing_to(store.folder), atomic_write(plot) as part:
        _plot(t, shares, spread, proposed[k], part)
    print(_table(t, shares, spread, len(found)).text())
    shown = "none: the reward did not vary" if proposed[k] is None else _words(proposed[k] or ())
    print(f"\nsampler.times={shown} for sampler.transitions={k}")
    print(f"plot     {plot}\nkept     {kept}, for sampler.times=auto\n")
    return {
        "benchmark": bench.title,
        "score": None,
        "means": {
            "half is foretold from t": _half(t, even, of_prompts, len(found)),
            "network calls a prompt": {
                "mean": nfe / len(found),
                "interval95": None,
                "prompts": len(found),
            },
        },
        "curves": [
            {
                "t": at,
                **{name: getattr(shares, name)[i] for name in Curves._fields},
                **{f"{name}_interval95": spread[name][i] for name in Curves._fields},
            }
            for i, at in enumerate(t)
        ],
        "transitions": k,
        "times": proposed[k],
        "times_by_transitions": {str(n): times for n, times in proposed.items()},
        "prompts": len(found),
        "nfe": nfe,
        "reward_calls": sum(part["reward_calls"] for part in found),
        "seconds": sum(part["seconds"] for part in found),
    }


def _measurer(bench: Window, made: Settings) -> Callable[[str], dict[str, Any]]:
    """Loads model and reward; gives the function that measures one prompt."""
    from glass_cli.common.stages import Stages
    from glass_cli.engine.draw import draw
    from glass_cli.engine.sample import load
    from glass_cli.method.glass import Glass
    from glass_cli.steering.decision_window import INNER, RewardProbe, even_time, time_grid

    work, _ = load(made, Stages())

    def measured(prompt: str) -> dict[str, Any]:
        began = time.monotonic()
        flow = work.model.prompted(prompt, made.root.negative_prompt, work.micro_batch)
        path = flow.path
        flow.close()
        grid = time_grid(path, bench.first, bench.last, bench.times)
        watched = RewardProbe(bench.draws, bench.calls)
        chain = work._replace(
            sampler=Glass(steps=bench.chain_calls, times=(0.0, *grid, 1.0), inner=INNER),
            steering=watched,
            metrics={},
            calls=None,
        )
        steps = [
            drawn.step
            for drawn in draw(
                chain, prompt, made.root.negative_prompt, bench.samples, made.root.seed
            )
        ]
        seen = [s.rewards.tolist() for s in steps[:-1] if s.rewards is not None]
        return {
            "prompt": prompt,
            "t": list(grid),
            "even": [even_time(path, t) for t in grid],
            "x_hat": seen,
            "finals": [each.tolist() for each in watched.finals],
            "nfe": steps[-1].nfe,
            "reward_calls": bench.samples * (bench.times * (1 + bench.draws) + 1),
            "seconds": time.monotonic() - began,
        }

    return measured


def _half(
    t: Sequence[float], even: Sequence[float], own: Sequence[Moments], count: int
) -> dict[str, Any] | None:
    """The time at which r(x_hat) explains half of the final reward's variance."""

    def at(chosen: Sequence[Moments]) -> float:
        found = proposed_times(t, even, curves(chosen).foretold, 2)
        return float("nan") if found is None else found[1]

    mean = at(own)
    if mean != mean:
        return None
    (interval,) = statistic_intervals(own, lambda some: [at(some)], draws=1000)
    return {"mean": mean, "interval95": interval, "prompts": count}


def _words(times: Sequence[float]) -> str:
    return "[" + ",".join(f"{t:.4g}" for t in times) + "]"


def _table(t: Sequence[float], shares: Curves, spread: dict[str, Any], count: int) -> Table:
    def cell(name: str, i: int) -> str:
        value, around = getattr(shares, name)[i], spread[name][i]
        shown = "" if around is None else f" [{around[0]:.2f}, {around[1]:.2f}]"
        return "-" if value != value else f"{value:.2f}{shown}"

    rows = [(f"{at:.3f}", *(cell(name, i) for name in Curves._fields)) for i, at in enumerate(t)]
    return Table(
        f"Decision window over {count} prompts",
        ("t", "still open", "x_hat agrees", "foretold"),
        rows,
        "open: variance of the final reward within one x_t over all of it; agrees: correlation of"
        " r(x_hat)\nwith the mean final reward of its x_t; foretold: share of the final reward's"
        " variance that r(x_hat)\nexplains. Brackets: 95 % bootstrap over prompts (of a single"
        " one, over its x_t).",
    )


def _plot(
    t: Sequence[float],
    shares: Curves,
    spread: dict[str, Any],
    times: Sequence[float] | None,
    file: Path,
) -> None:
    import logging

    # matplotlib, when imported, tells of every font that it cannot read
    logging.getLogger("matplotlib").setLevel(logging.ERROR)
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure
    from matplotlib.ticker import FixedFormatter, FixedLocator, NullLocator

    figure = Figure(figsize=(7, 4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    looks = {
        "open": ("#d55e00", "still open given $x_t$"),
        "agreement": ("#009e73", r"$r(\hat x_1)$ agrees with the mean outcome (correlation)"),
        "foretold": ("#0072b2", r"foretold: $r(\hat x_1)$ explains of the final reward"),
    }
    for name, (colour, label) in looks.items():
        values = getattr(shares, name).tolist()
        known = [(at, *band) for at, band in zip(t, spread[name], strict=True) if band is not None]
        if name == "agreement":
            # before anything is decided there is nothing to agree with, only noise
            told = {at for at, low, high in known if high - low < 0.5}
            known = [row for row in known if row[0] in told]
            values = [v if at in told else float("nan") for at, v in zip(t, values, strict=True)]
        axes.plot(t, values, color=colour, marker="o", markersize=3.5, label=label)
        if known:
            where, low, high = zip(*known, strict=True)
            axes.fill_between(where, low, high, color=colour, alpha=0.15, linewidth=0)
    for i, at in enumerate((times or ())[1:-1]):
        axes.axvline(
            at,
            color="#555555",
            linestyle=":",
            linewidth=1.2,
            label="proposed ends of transitions" if i == 0 else None,
        )
    # a window near noise would be a sliver on a straight axis
    axes.set_xscale("logit")
    ticks = [0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5, 0.7, 0.8, 0.9, 0.95, 0.98]
    axes.xaxis.set_major_locator(FixedLocator(ticks))
    axes.xaxis.set_major_formatter(FixedFormatter([f"{tick:g}" for tick in ticks]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.set_xlim(min(t) * 0.9, 1.0 - (1.0 - max(t)) * 0.9)
    axes.set_ylim(-0.05, 1.05)
    axes.set_xlabel("$t$ (0 noise, 1 data)")
    axes.set_ylabel("share, or correlation")
    axes.grid(alpha=0.25)
    figure.legend(loc="outside upper center", ncols=2, fontsize=8, frameon=False)
    figure.savefig(file, dpi=140, format="png")
