"""The decision window of a model and a reward, measured over times (beyond the papers)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glass_cli.common.files import atomic_write, writing_to
from glass_cli.config.settings import Study
from glass_cli.engine import window_cache
from glass_cli.studies.base import (
    MeasurePrompt,
    check_settings,
    costs,
    mean_cell,
    measured_parts,
    study_prompts,
)

if TYPE_CHECKING:
    from pathlib import Path

    from glass_cli.config.settings import Settings
    from glass_cli.output.writer import RunFolder

_TRANSITIONS = 5  # of times that are proposed to a sampler that does not say how many
_PROPOSED_FOR = range(2, 9)  # numbers of transitions for which summary.json has times


@dataclass(frozen=True)
class WindowStudy(Study):
    """How much of the final reward is open at each time, and how well r(x_hat) foretells it.

    Chains of GLASS transitions run from noise to data. From every x_t on the way, draws of
    p(x_1 | x_t) are made by one second-order transition, and scored. See
    :mod:`glass_cli.steering.decision_window` for what is estimated.

    x_t is run to by transitions, not made by noising finished samples, because that is the law
    that steering meets: the two differ where a guided velocity is not that of any density.

    path: a list of prompts (text, CSV, JSON lines); None for twelve of GenEval's forms.
    limit: the first so many prompts, 1 or more.
    samples: chains a prompt, 2 or more.
    draws: of p(x_1 | x_t) for each x_t, 2 or more.
    calls: network calls of a draw, the shared first one included, 1 or more.
    chain_calls: network calls of a chain between two times, 1 or more.
    times: how many, 2 or more, evenly spaced in the logarithm of the noise-to-signal ratio.
    first, last: between which they lie, on the straight path, from 0 (noise) to 1 (data).

    Raises ValueError for a value out of range.
    """

    title = "decision window"

    path: str | None = None
    limit: int = 12
    samples: int = 6
    draws: int = 4
    calls: int = 6
    chain_calls: int = 2
    times: int = 10
    first: float = 0.03
    last: float = 0.85

    def __post_init__(self) -> None:
        check_settings(
            self.path,
            {
                "limit": (self.limit, 1),
                "samples": (self.samples, 2),
                "draws": (self.draws, 2),
                "calls": (self.calls, 1),
                "times": (self.times, 2),
                "chain_calls": (self.chain_calls, 1),
            },
        )
        if not 0.0 < self.first < self.last < 1.0:
            raise ValueError(
                "benchmark.first and benchmark.last must be times, 0 < first < last < 1 (got"
                f" {self.first}, {self.last})"
            )

    def study(self, settings: Settings, folder: RunFolder) -> dict[str, Any]:
        """Measures, prints a table, saves ``window.png``, and caches the window for
        ``sampler.times=auto``; returns the summary."""
        from glass_cli.studies.window_plot import window_figure
        from glass_cli.studies.window_summary import summarise

        prompts = study_prompts(self.path, self.limit, settings)
        parts = measured_parts(settings, folder, prompts, lambda: self._load(settings))
        summary, cost = summarise(parts), costs(parts)
        k = settings.sampler.transitions or _TRANSITIONS
        times = {n: summary.times(n) for n in sorted({*_PROPOSED_FOR, k})}
        plot = folder.folder / "window.png"
        with writing_to(folder.folder), atomic_write(plot) as file:
            window_figure(summary, times[k]).savefig(file, dpi=140, format="png")
        cached = window_cache.save(
            settings,
            window_cache.MeasuredWindow(
                summary.t,
                summary.even,
                summary.curves.foretold.tolist(),
                cost["nfe"],
                len(parts),
                "benchmark=window",
            ),
        )
        print(summary.table().text(), flush=True)
        print(f"\n{_proposal(times[k], k)}\nplot     {plot}\n{_cache_line(cached)}\n", flush=True)
        calls = mean_cell(cost["nfe"] / len(parts), None, len(parts))
        half = summary.half_foretold()
        means = {} if half is None else {"half is foretold from t": half}
        return {
            "benchmark": self.title,
            "score": None,
            "means": {**means, "network calls a prompt": calls},
            "curves": summary.rows(),
            "transitions": k,
            "times": times[k],
            "times_by_transitions": {str(n): proposed for n, proposed in times.items()},
            "prompts": len(parts),
            **cost,
        }

    def _load(self, settings: Settings) -> MeasurePrompt:
        from glass_cli.common.stages import Stages
        from glass_cli.engine.load import load
        from glass_cli.studies.window_measurement import WindowMeasurement

        work, _ = load(settings, Stages())
        return WindowMeasurement(
            work,
            settings.root.negative_prompt,
            settings.root.seed,
            samples=self.samples,
            draws=self.draws,
            calls=self.calls,
            chain_calls=self.chain_calls,
            times=self.times,
            first=self.first,
            last=self.last,
        )


def _proposal(times: tuple[float, ...] | None, transitions: int) -> str:
    if times is None:
        return "no times to propose: the reward did not vary"
    shown = ",".join(f"{t:.4g}" for t in times)
    return f"sampler.times=[{shown}] for sampler.transitions={transitions}"


def _cache_line(cached: Path | None) -> str:
    if cached is None:
        return "cached   no: the cache cannot be written; give the times as sampler.times=[...]"
    return f"cached   {cached}, for sampler.times=auto"
