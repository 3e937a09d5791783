"""``glass score``: further metrics of the finished pictures in a run's folder.

The model is not loaded and nothing is drawn: pictures are read from their PNG files. Scores go into
the results, where those of ``metrics=`` stand that were computed while drawing, and nothing that
was there is changed. Results are rewritten one by one, so that an interrupted scoring goes on.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

from glass_cli.common.errors import GlassError, one_line
from glass_cli.config.score_settings import wandb_of
from glass_cli.engine.summary import with_metrics
from glass_cli.engine.tracked import track_results, track_summary
from glass_cli.output.finished import Unit, short
from glass_cli.output.identity import metric_settings, same_metrics
from glass_cli.output.pictures import load_picture
from glass_cli.output.run_sheet import write_sheet
from glass_cli.output.tracking import make_tracker
from glass_cli.output.writer import RunFolder

if TYPE_CHECKING:
    from pathlib import Path

    import torch
    from torch import Tensor

    from glass_cli.config.score_settings import ScoreSettings
    from glass_cli.output.results import Run
    from glass_cli.rewards.base import LoadedReward

Record = dict[str, Any]


class Scored(NamedTuple):
    """What a run's metrics are now.

    pictures: how many were scored by this call; 0 where all had been.
    means: name -> the cell of ``summary.json``: of the answer, and "mean <name>" of the particles.
    """

    pictures: int
    means: Mapping[str, Mapping[str, Any]]


class Scorer:
    """Metrics, loaded when the first picture lacks one of them, and kept for further runs."""

    def __init__(self, settings: ScoreSettings) -> None:
        self._settings = settings
        self._device: torch.device | None = None
        self._loaded: dict[str, LoadedReward] = {}

    def missing(self, run: Run) -> dict[Unit, list[str]]:
        """The metrics that pictures of each unit lack, in the order of the settings.

        Raises GlassError where a metric cannot score the run's pictures, or has scored some of
        them with other settings.
        """
        if not any(result.shown for result in run.results):
            raise GlassError(
                f"{run.folder} has no pictures to score; only runs of an image model have"
            )
        prompts = list(dict.fromkeys(result.prompt for result in run.results))
        for name, metric in self._settings.metrics.items():
            if metric.accepts != "images":
                raise GlassError(
                    f"metrics={name} scores {metric.accepts}, {run.folder} holds pictures"
                )
            try:
                metric.check_prompts(prompts)
            except ValueError as error:
                raise GlassError(f"{run.folder}: {one_line(error)}") from error
        lacking: dict[Unit, list[str]] = {}
        for result in run.results:
            shown = [particle for particle, _ in result.shown]
            names = [
                name
                for name in self._settings.metrics
                if any(name not in particle.metrics for particle in shown)
            ]
            if names:
                lacking[Unit(result.prompt_index, result.image_index)] = names
        return lacking

    def score(self, run: Run, progress: Callable[[int], None] = lambda done: None) -> Scored:
        """Scores what pictures of ``run`` lack, and brings its summary and tables up to date.

        progress: told how many pictures of this run are done.

        Raises GlassError; what was scored before is kept.
        """
        out = RunFolder(run.folder)
        with out.locked():
            missing = self.missing(run)
            wandb = wandb_of(run.config, self._settings)
            self._claim(run, missing)
            done = 0
            for unit, names in missing.items():
                done += self._unit(out, unit, names, run.command)
                progress(done)
            summary = self._finish(out, run)
            names = [n for name in self._settings.metrics for n in (name, f"mean {name}")]
            means = {name: summary["means"][name] for name in names if name in summary["means"]}
            if done:
                self._track(out, run, summary, means, wandb)
            return Scored(done, means)

    def _claim(self, run: Run, missing: Mapping[Unit, Sequence[str]]) -> None:
        """Notes the settings of each metric, before it scores the run's first picture."""
        metrics = self._settings.metrics
        shown = [particle for result in run.results for particle, _ in result.shown]
        lacking = {name for names in missing.values() for name in names}
        scored = {
            name: name not in lacking if any(name in p.metrics for p in shown) else None
            for name in metrics
        }
        now = {name: metric_settings(name, metric) for name, metric in metrics.items()}
        same_metrics(run.folder, now, scored)

    def _unit(self, out: RunFolder, unit: Unit, names: Sequence[str], command: str) -> int:
        """Scores the pictures of one unit; returns how many."""
        record = out.result(unit)
        if record is None:
            raise GlassError(
                f"{out.folder}/results/{unit.inside.as_posix()}.json is not of the pictures that"
                " lie there; the command of the run draws them again"
            )
        particles = [particle for particle in record["particles"] if "file" in particle]
        pictures = self._pictures([out.folder / particle["file"] for particle in particles])
        # a benchmark keeps the picture of its answer alone, also where the steering chooses none
        answer = particles[0]["particle"] if command == "eval" else record["chosen"]
        for name in names:
            scores = self._scores(name, pictures, record, particles)
            for particle, score in zip(particles, scores, strict=True):
                particle["metrics"].setdefault(name, score)
            _pooled(record, name, answer)
        out.rewrite(unit, record)
        return len(particles)

    def _pictures(self, files: Sequence[Path]) -> Tensor:
        """Images (N, 3, H, W) in [0, 1], on the CPU."""
        import numpy as np
        import torch

        arrays = np.stack([np.asarray(load_picture(file).convert("RGB")) for file in files])
        return torch.from_numpy(arrays).permute(0, 3, 1, 2).float() / 255.0

    def _scores(
        self, name: str, pictures: Tensor, record: Record, particles: Sequence[Record]
    ) -> list[float]:
        import torch

        metric = self._metric(name)
        with torch.no_grad():
            values = metric.score(pictures.to(self._device), str(record["prompt"]))
        bad = (~values.isfinite()).nonzero()
        if len(bad):
            where = particles[int(bad[0])]["file"]
            raise GlassError(f"metric {name} of {where} is not finite; nothing of it was kept")
        scores: list[float] = values.double().cpu().tolist()
        return scores

    def _metric(self, name: str) -> LoadedReward:
        from glass_cli.common.devices import choose_device, choose_dtype

        if name not in self._loaded:
            self._device = choose_device(self._settings.device)
            dtype = choose_dtype(self._settings.dtype, self._device)
            self._loaded[name] = self._settings.metrics[name].load(self._device, dtype)
        return self._loaded[name]

    def _finish(self, out: RunFolder, run: Run) -> dict[str, Any]:
        """Brings the tables, the sheet and, last, the summary up to date; returns the summary."""
        units = [Unit(result.prompt_index, result.image_index) for result in run.results]
        results = [short(result) for unit in units if (result := out.result(unit)) is not None]
        summary = with_metrics(run.summary, results, self._settings.metrics)
        if summary != run.summary:
            out.write_tables(units)
            if (out.folder / "sheet.png").exists():
                write_sheet(out.folder, units)
            out.finish(summary)
        return summary

    def _track(
        self,
        out: RunFolder,
        run: Run,
        summary: Mapping[str, Any],
        means: Mapping[str, Mapping[str, Any]],
        wandb: Mapping[str, Any],
    ) -> None:
        """Shows the scores in the W&B run of the folder, which goes on, or which begins here."""
        tracker = make_tracker(wandb, run.folder, run.config, run.folder.name)
        try:
            steps = sum(len(result.steps) for result in run.results)
            tracker.log({f"mean/{name}": cell["mean"] for name, cell in means.items()}, steps)
            units = [Unit(result.prompt_index, result.image_index) for result in run.results]
            track_results(tracker, out, out.finished(units))
            track_summary(tracker, summary)
        finally:
            tracker.finish()


def _pooled(record: Record, name: str, answer: int | None) -> None:
    """Adds a metric's score of the answer, and of the average particle where all have one."""
    scores = [particle["metrics"].get(name) for particle in record["particles"]]
    if answer is not None and scores[answer] is not None:
        record["metrics"].setdefault(name, scores[answer])
    if None not in scores:
        record["mean_metrics"].setdefault(name, sum(scores) / len(scores))
