"""Draws of the posterior p(x_1 | x_t), by SDE and GLASS, over numbers of network calls."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glass_cli.common.files import atomic_write, writing_to
from glass_cli.config.settings import Study
from glass_cli.method.glass import Inner
from glass_cli.studies.base import (
    MeasurePrompt,
    check_settings,
    costs,
    mean_cell,
    measured_parts,
    study_prompts,
)

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.output.writer import RunFolder


@dataclass(frozen=True)
class PosteriorStudy(Study):
    """The first experiment of the GLASS paper (arXiv 2509.25170), on any model.

    The model's own samples of a few prompts are noised to x_t. Of each x_t come draws of
    p(x_1 | x_t), by the SDE (Euler-Maruyama and ancestral) and GLASS (first and second order), at
    several numbers of network calls, against draws by second-order GLASS at many calls. Reported
    are

    * the endpoint error: root mean square against the reference of the same noise (GLASS only);
    * the sliced 2-Wasserstein distance to an independent reference, given x_t, freed of its floor
      (the distance between two references) in quadrature;
    * the correlation, within prompts, of value estimates (the mean reward of an x_t's draws) with
      the reference's, beside what a second reference has.

    path: a list of prompts (text, CSV, JSON lines); None for twelve of GenEval's forms.
    limit: the first so many prompts, 1 or more.
    samples: x_t a prompt and time, 2 or more.
    draws: of p(x_1 | x_t) for each x_t, 2 or more.
    times: above 0 (noise) and below 1 (data), on the straight path; another path takes the time of
        the same noise-to-signal ratio.
    calls: network calls of a draw, each 1 or more.
    reference: network calls of the reference's draws, more than any of ``calls``.
    sample_calls: network calls (ODE) of the samples that are noised; None for the model's number.
    inner: GLASS's own steps, as its sampler's setting; the reference's are at effective times.

    Raises ValueError for a value out of range.
    """

    title = "posterior"

    path: str | None = None
    limit: int = 4
    samples: int = 6
    draws: int = 6
    times: tuple[float, ...] = (0.3,)
    calls: tuple[int, ...] = (2, 4, 6, 10, 20)
    reference: int = 50
    sample_calls: int | None = None
    inner: Inner = "s"

    def __post_init__(self) -> None:
        check_settings(
            self.path,
            {
                "limit": (self.limit, 1),
                "samples": (self.samples, 2),
                "draws": (self.draws, 2),
                "calls": (min(self.calls, default=0), 1),
                "reference": (self.reference, 1 + max(self.calls, default=0)),
                "sample_calls": (1 if self.sample_calls is None else self.sample_calls, 1),
            },
        )
        if not self.times or not all(0.0 < t < 1.0 for t in self.times):
            raise ValueError(
                f"benchmark.times must be times between 0 and 1 (got {list(self.times)})"
            )

    def study(self, settings: Settings, folder: RunFolder) -> dict[str, Any]:
        """Measures, prints a table a time, and saves ``posterior.png``; returns the summary."""
        from glass_cli.studies.posterior_plot import posterior_figure
        from glass_cli.studies.posterior_summary import posterior_table, summarise

        prompts = study_prompts(self.path, self.limit, settings)
        parts = measured_parts(settings, folder, prompts, lambda: self._load(settings))
        by_time = zip(*(part["times"] for part in parts), strict=True)
        summaries = [summarise(records) for records in by_time]
        plot = folder.folder / "posterior.png"
        with writing_to(folder.folder), atomic_write(plot) as file:
            posterior_figure(summaries).savefig(file, dpi=140, format="png")
        for summary in summaries:
            print(f"{posterior_table(summary, len(parts)).text()}\n", flush=True)
        print(f"plot     {plot}\n", flush=True)
        cost = costs(parts)
        calls = mean_cell(cost["nfe"] / len(parts), None, len(parts))
        return {
            "benchmark": self.title,
            "score": None,
            "means": {"network calls a prompt": calls},
            "posterior": summaries,
            "prompts": len(parts),
            **cost,
        }

    def _load(self, settings: Settings) -> MeasurePrompt:
        from glass_cli.common.stages import Stages
        from glass_cli.engine.load import load
        from glass_cli.studies.posterior_measurement import PosteriorMeasurement

        work, _ = load(settings, Stages())
        return PosteriorMeasurement(
            work,
            settings.root.negative_prompt,
            settings.root.seed,
            samples=self.samples,
            draws=self.draws,
            times=self.times,
            calls=self.calls,
            reference=self.reference,
            sample_calls=self.sample_calls or work.model.calls,
            inner=self.inner,
        )
