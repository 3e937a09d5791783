"""`glass score`, once its command line is read."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.messages import say
from glass_cli.common.paths import from_here
from glass_cli.config.score_settings import ScoreSettings, model_of, score_settings
from glass_cli.engine.score import Scored, Scorer
from glass_cli.output.progress import Progress
from glass_cli.output.results import Run
from glass_cli.output.tables import text_table
from glass_cli.report import tables
from glass_cli.report.quantities import Estimate
from glass_cli.report.run_groups import read_runs


def score_runs(arguments: Sequence[str], config_dir: Path | None = None) -> str:
    """Scores the finished pictures of runs by further metrics; returns a table of their means.

    arguments: folders of runs, and of sweeps, which stand for their jobs; and settings, key=value.
    config_dir: a folder of the user's own yaml files.

    Runs that are not finished are passed over, with a line on standard error for each. Raises
    GlassError, before anything is loaded where a run or a metric cannot be.
    """
    folders, overrides = _folders_and_settings(arguments)
    if not folders:
        raise GlassError("glass score needs the folder of a run; name one, or several")
    settings = score_settings(overrides, config_dir)
    runs, passed_over = read_runs(folders)
    for line in passed_over:
        say(f"warning: passing over {line}")
    settings = _for_models(settings, runs, config_dir)
    scorer = Scorer(settings)
    pictures = 0
    for run in runs:
        _check_model(run, settings, config_dir)
        missing = scorer.missing(run)
        shown = {(r.prompt_index, r.image_index): len(r.shown) for r in run.results}
        pictures += sum(shown[unit] for unit in missing)
    scored: dict[Path, Scored] = {}
    with Progress(pictures, "picture") as progress:
        for run in runs:
            before = sum(each.pictures for each in scored.values())

            def watch(done: int, before: int = before) -> None:
                progress.update(before + done)

            scored[run.folder] = scorer.score(run, watch)
    return f"{_table(scored)}\n\n{_what(scored, settings)}"


def _folders_and_settings(arguments: Sequence[str]) -> tuple[list[Path], list[str]]:
    """A folder may have an equals sign in its name, as those of a sweep's jobs do."""
    folders, overrides = [], []
    for argument in arguments:
        if re.match(r"\+*[\w.]+=", argument) and not Path(argument).is_dir():
            overrides.append(argument)
        else:
            folders.append(Path(argument))
    return folders, overrides


def _for_models(
    settings: ScoreSettings, runs: Sequence[Run], config_dir: Path | None
) -> ScoreSettings:
    """Metrics with what the runs' model decides of them; runs of other models refuse theirs."""
    models = (model_of(run.config, config_dir) for run in runs)
    model = next((known for known in models if known is not None), None)
    if model is None:
        return settings
    metrics = {name: metric.for_model(model) for name, metric in settings.metrics.items()}
    return settings._replace(metrics=metrics)


def _check_model(run: Run, settings: ScoreSettings, config_dir: Path | None) -> None:
    """Raises GlassError where a metric cannot score what the run's model draws."""
    model = model_of(run.config, config_dir)
    for name, metric in settings.metrics.items():
        if model is None or metric.accepts != model.output:
            continue
        try:
            metric.check_model(model)
        except ValueError as error:
            raise GlassError(f"{run.folder}, metrics={name}: {one_line(error)}") from error


def _table(scored: Mapping[Path, Scored]) -> str:
    """A row a run: each metric of the answer, and of the mean particle where all were scored."""
    names = list(dict.fromkeys(name for each in scored.values() for name in each.means))
    cells = {
        folder: [_estimate(each.means.get(n)) for n in names] for folder, each in scored.items()
    }
    places = [tables.digits(column) for column in zip(*cells.values(), strict=True)]
    rows = [
        [
            from_here(folder),
            *(tables.estimate_text(c, p) for c, p in zip(row, places, strict=True)),
        ]
        for folder, row in cells.items()
    ]
    heads = [
        f"{name.removeprefix('mean ')}, mean particle" if name.startswith("mean ") else name
        for name in names
    ]
    return text_table(["", *heads], rows)


def _estimate(cell: Mapping[str, Any] | None) -> Estimate | None:
    if cell is None:
        return None
    interval = cell["interval95"]
    return Estimate(cell["mean"], None if interval is None else (*interval,), cell["prompts"])


def _what(scored: Mapping[Path, Scored], settings: ScoreSettings) -> str:
    pictures = sum(each.pictures for each in scored.values())
    names = ", ".join(settings.metrics)
    if not pictures:
        return f"nothing to do: every picture has its {names}"
    count = f"{pictures} picture{'s' * (pictures > 1)}"
    return f"{count} scored by {names}; compare, report and sheet show it"
