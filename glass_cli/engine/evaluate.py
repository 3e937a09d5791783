"""``glass eval``: a benchmark's prompts, drawn and judged picture by picture.

Nothing heavy is imported here: a finished evaluation is said again, and a wrong one refused,
without loading anything.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glass_cli.benchmarks.base import Benchmark
from glass_cli.common.errors import GlassError
from glass_cli.common.paths import from_here
from glass_cli.config.settings import Settings, Study
from glass_cli.engine.run import Request, completed, identity_of, prepared
from glass_cli.engine.summary import table
from glass_cli.engine.tracked import track_summary
from glass_cli.output.identity import same_settings
from glass_cli.output.tracking import make_tracker
from glass_cli.output.versions import note_versions, read_versions
from glass_cli.output.writer import RunFolder


def run(settings: Settings, folder: Path) -> float | None:
    """Runs one configuration; returns the benchmark's score, which a sweeper may maximise."""
    if settings.study is not None:
        return _study(settings, settings.study, folder)
    benchmark = settings.benchmark
    if benchmark is None:
        raise GlassError("glass eval needs a benchmark; choose one (glass ls benchmark)")
    request = Request(_records(benchmark), benchmark.images)
    with completed(settings, folder, request) as done:
        path = done.finish()
    return _say(done.summary, path)


def _records(benchmark: Benchmark) -> dict[int, Mapping[str, Any]]:
    """The benchmark's records by their place in its whole list.

    A benchmark may take its first few from all its parts: they keep their places.
    """
    records: list[Mapping[str, Any]] = list(benchmark.records())
    for place, record in enumerate(records):
        if not isinstance(record.get("prompt"), str):
            kind, has = type(benchmark), ", ".join(map(str, record)) or "nothing"
            raise GlassError(
                f"benchmark: {kind.__module__}.{kind.__qualname__}.records()[{place}] has no text"
                f" as its prompt (it has {has})"
            )
    if benchmark.limit is None:
        return dict(enumerate(records))
    whole = dataclasses.replace(benchmark, limit=None)  # type: ignore[type-var]  # a dataclass
    left = dict(enumerate(whole.records()))
    by_number = {}
    for record in records:
        number = next(place for place, other in left.items() if other == record)
        by_number[number] = left.pop(number)
    return dict(sorted(by_number.items()))


def _study(settings: Settings, study: Study, folder: Path) -> float | None:
    """An experiment on the model itself instead of pictures that are judged one by one.

    ``study.study(settings, folder)`` draws what it likes, keeps what it needs to go on in the
    folder, and returns the summary, in which ``score`` is what a sweeper may maximise.
    """
    with RunFolder(folder).locked():
        out = prepared(settings, folder)
        decides = identity_of(settings)
        same_settings(folder, decides)
        out.settings(settings.config, settings.overrides)
        out.begin()
        note_versions(folder, decides)
        config = settings.config
        tracker = make_tracker(config["wandb"], folder, config, folder.name)
        ok = False
        try:
            summary = {**study.study(settings, out), "versions": read_versions(folder)}
            track_summary(tracker, summary)
            for plot in sorted(folder.glob("*.png")):
                tracker.images(plot.stem, [plot], [plot.name])
            ok = True
        finally:
            tracker.finish(ok=ok)
        path = out.finish(summary)
    return _say(summary, path)


def _say(summary: Mapping[str, Any], path: Path) -> float | None:
    """Prints the answer; returns the score in it."""
    print(table(summary))
    print(f"\nfolder   {from_here(path.parent)}\nsummary  {from_here(path)}")
    score = summary.get("score")
    return None if score is None else float(score)
