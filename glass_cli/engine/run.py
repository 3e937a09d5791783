"""The one engine of ``glass sample`` and ``glass eval``: prompts to a finished folder.

What is done is kept unit by unit, so that the same command goes on where it stopped; a finished
run says its result again without loading anything.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

from glass_cli.common.errors import GlassError, one_line, shown
from glass_cli.common.files import json_text
from glass_cli.common.messages import say
from glass_cli.common.paths import from_here
from glass_cli.config.settings import Root, Settings
from glass_cli.engine import auto_plan, auto_times
from glass_cli.engine.launchers.base import Keep, Task
from glass_cli.engine.live import Live
from glass_cli.engine.summary import summary_of
from glass_cli.engine.tracked import track_results, track_summary, track_unit
from glass_cli.models.base import Model
from glass_cli.output.finished import Unit, short
from glass_cli.output.identity import SIZES, identity, same_settings
from glass_cli.output.tracking import NullTracker, Tracker, make_tracker
from glass_cli.output.units import units_summary
from glass_cli.output.versions import note_versions, read_versions
from glass_cli.output.writer import RunFolder

_LONG_STEP = 500  # batches of particles
_UNKNOWN_SHOWN = 3  # prompts with words that the model does not know

Result = Mapping[str, Any]


class Request(NamedTuple):
    """What a command asks of the engine.

    records: the prompts by their places in the whole list, each with at least ``prompt``.
    images: steered runs a prompt.
    """

    records: Mapping[int, Mapping[str, Any]]
    images: int

    @property
    def units(self) -> list[Unit]:
        """Every prompt's first image before the second of any: stopped early, all are there."""
        return [Unit(prompt, image) for image in range(self.images) for prompt in self.records]


class Done(NamedTuple):
    """A run whose units are all finished: what is left is to write and say its result.

    settings: with times in place of ``sampler.times=auto``; ``times_note`` says whence they came;
        and with a plan in place of ``steering=auto``, as ``plan_note`` says.
    results, times: of the units, in order, without particles and steps.
    """

    folder: RunFolder
    settings: Settings
    results: Sequence[Result]
    times: Sequence[Mapping[str, Any]]
    summary: Mapping[str, Any]
    times_note: str | None
    plan_note: str | None
    tracker: Tracker

    def finish(self) -> Path:
        """Writes summary.json, which marks the run as finished."""
        track_summary(self.tracker, self.summary)
        return self.folder.finish(self.summary)


def identity_of(settings: Settings) -> dict[str, Any]:
    """The settings that decide the results."""
    return identity(settings.config, SIZES, {"metrics": settings.metrics})


def prepared(settings: Settings, folder: Path) -> RunFolder:
    """The run's folder, which the caller has locked, without what an earlier run left half done."""
    out = RunFolder(folder)
    if settings.root.fresh and (moved := out.set_aside()) is not None:
        print(f"earlier results are in {from_here(moved)}")
    out.remove_partial_files()
    return out


@contextmanager
def completed(settings: Settings, folder: Path, request: Request) -> Iterator[Done]:
    """Draws what is missing of ``request``; the block says the result and finishes the run.

    Where nothing is missing nothing is loaded. Raises GlassError.
    """
    prompts = [str(record["prompt"]) for record in request.records.values()]
    check_prompts(settings, prompts)
    with RunFolder(folder).locked():
        out = prepared(settings, folder)
        planned = auto_plan.decide(settings, folder, prompts)
        decided = auto_times.decide(planned.settings, folder, prompts)
        settings = decided.settings
        decides = identity_of(settings)
        same_settings(folder, decides)
        out.check_records(request.records, metadata=settings.benchmark is not None)
        auto_plan.keep(planned, folder)
        auto_times.keep(decided, folder)
        out.settings(settings.config, settings.overrides)
        done = out.finished(request.units)
        missing = [unit for unit in request.units if unit not in done]
        tracker: Tracker = NullTracker()
        ok = False
        try:
            if settings.root.thumbnails:
                say_without_thumbnails(out, done, settings.model)
            if missing:
                settings.launcher.check()
                say_unknown_words(settings.model, prompts)
                say_long_steps(settings.root)
                out.begin()
                config = settings.config
                tracker = make_tracker(config["wandb"], folder, config, folder.name)
                records = {
                    unit.prompt_index: request.records[unit.prompt_index] for unit in missing
                }
                keep: Keep = "particles" if settings.benchmark is None else "answer"
                work = decided.work or planned.work
                task = Task(settings, keep, json_text(decides), missing, records, work)
                note_versions(folder, decides)
                _draw(task, request, out, tracker, done)
                note_versions(folder, decides)  # weights may have been downloaded
            elif not out.is_finished():
                out.write_tables(done)  # it was killed after its last result, and before them
            units = sorted(request.units)
            results, times = [done[unit] for unit in units], [out.times(unit) for unit in units]
            benchmark = settings.benchmark
            answer = None if benchmark is None else benchmark.summarise(results)
            summary = decided.counted(summary_of(settings, answer, results, times))
            summary = planned.summary_with_plan(summary)
            summary["versions"] = read_versions(folder)
            summary["units"] = units_summary(request.records, request.images)
            yield Done(
                out, settings, results, times, summary, decided.note(), planned.note(), tracker
            )
            ok = True
        finally:
            tracker.finish(ok=ok)


def check_prompts(settings: Settings, prompts: Sequence[str]) -> None:
    """Raises GlassError where a reward or metric cannot score one of the prompts."""
    try:
        for reward in [settings.reward, *settings.metrics.values()]:
            if reward is not None:
                reward.check_prompts(prompts)
    except ValueError as error:
        raise GlassError(one_line(error)) from error


def say_without_thumbnails(out: RunFolder, done: Iterable[Unit], model: Model) -> None:
    """Says of how many finished pictures nothing small was kept, and why it stays so."""
    if model.output != "images":
        say(f"thumbnails=true: there are none of what this model gives ({model.output})")
        return
    finished = list(done)
    bare = len(out.without_thumbnails(finished))
    if bare:
        say(
            f"thumbnails=true: {bare} of {len(finished)} finished pictures were drawn without, and"
            " thumbnails are made while a picture is drawn; --fresh draws them anew"
        )


def say_unknown_words(model: Model, prompts: Sequence[str]) -> None:
    """Warns, in one line, of words that the model was never trained on."""
    unknown = {prompt: words for prompt in prompts if (words := model.unknown_words(prompt))}
    if not unknown:
        return
    parts = [
        f'{shown(", ".join(words))} (in "{shown(prompt, 60)}")'
        for prompt, words in list(unknown.items())[:_UNKNOWN_SHOWN]
    ]
    more = len(unknown) - len(parts)
    if more:
        parts.append(f"and in {more} further prompt{'s' * (more > 1)}")
    say(
        f"warning: the model was not trained on these words: {'; '.join(parts)}; glass ls model"
        " shows those that it knows"
    )


def say_long_steps(root: Root) -> None:
    """Says, where a step of a picture is many batches, why nothing will be heard for a while."""
    batches = -(-root.particles // root.micro_batch)
    if batches > _LONG_STEP:
        say(
            f"particles={root.particles} are {batches} batches of micro_batch={root.micro_batch} a"
            " step, and all are in memory; the time left is shown after the first step"
        )


def _draw(
    task: Task, request: Request, out: RunFolder, tracker: Tracker, done: dict[Unit, dict[str, Any]]
) -> None:
    """Draws the task's units, and adds their results to ``done``."""
    prompts = {index: str(record["prompt"]) for index, record in request.records.items()}
    particles = task.settings.root.particles
    try:
        with Live(prompts, len(request.units), done.values(), particles) as live:
            for finished in task.settings.launcher.run(task, live):
                result = out.write(finished)
                done[finished.unit] = short(result)
                means = live.finished(done[finished.unit])
                track_unit(tracker, out, finished, result, means, len(done))
        track_results(tracker, out, done)
    finally:
        out.write_tables(done)
