"""``glass eval``: a benchmark's prompts, drawn and judged picture by picture, to be gone on with.

Nothing heavy is imported here: a finished evaluation is told again, and a wrong one refused,
without loading anything.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import json_text
from glass_cli.config.preflight import settings
from glass_cli.config.settings import Settings
from glass_cli.engine.auto_times import Timed, for_eval, keep
from glass_cli.engine.launchers.base import Task
from glass_cli.engine.summary import summary_of, table
from glass_cli.output.eval_progress import EvalProgress, numbers
from glass_cli.output.identity import identity, same_settings
from glass_cli.output.store import Finished, Store, Unit
from glass_cli.output.tracking import Tracker, make_tracker

if TYPE_CHECKING:
    from glass_cli.benchmarks.base import Answer

# Of any benchmark: how many pictures there are, not what they show.
_SIZES = ("images", "limit")
# Pictures shown by W&B as they come; the folder has them all.
_SHOWN = 200


def run(cfg: DictConfig) -> float | None:
    """Runs one configuration; returns the benchmark's score, which a sweeper may maximise."""
    made = settings(cfg)
    if made.benchmark is None:
        raise GlassError("glass eval needs a benchmark; choose one (glass ls benchmark)")
    hydra = HydraConfig.get()
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    plain = {str(key): value for key, value in config.items()}
    folder = Path(hydra.runtime.output_dir)
    store = Store(folder)
    with store.locked():
        if made.root.fresh and (moved := store.set_aside()) is not None:
            print(f"earlier results are in {os.path.relpath(moved)}")
        store.sweep_up()
        if hasattr(made.benchmark, "study"):
            same_settings(folder, _decides(made, plain))
            store.settings(plain, list(hydra.overrides.task))
            return _study(made, plain, store)
        records = _records(made)
        prompts = [str(record["prompt"]) for record in records.values()]
        timed, window = for_eval(made, plain, folder, prompts)
        decides = _decides(made, timed.config)
        same_settings(folder, decides)
        store.same_records(records)
        keep(timed, made, folder, window)
        store.settings(timed.config, list(hydra.overrides.task))
        return _evaluate(timed, store, records, json_text(decides))


def _decides(made: Settings, config: Mapping[str, Any]) -> dict[str, Any]:
    return identity(config, [f"benchmark.{key}" for key in _SIZES], {"metrics": made.metrics})


def _records(made: Settings) -> dict[int, Mapping[str, Any]]:
    """The benchmark's records, which must suit every reward, by their place in its whole list.

    A benchmark may take its first few from all its parts: they keep their places.
    """
    records: list[Mapping[str, Any]] = list(made.benchmark.records())
    prompts = [str(record["prompt"]) for record in records]
    try:
        for reward in [made.reward, *made.metrics.values()]:
            if hasattr(reward, "fits_prompts"):
                reward.fits_prompts(prompts)
    except ValueError as error:
        raise GlassError(one_line(error)) from error
    if made.benchmark.limit is None:
        return dict(enumerate(records))
    left = dict(enumerate(dataclasses.replace(made.benchmark, limit=None).records()))
    found = {}
    for record in records:
        number = next(place for place, other in left.items() if other == record)
        found[number] = left.pop(number)
    return dict(sorted(found.items()))


def _evaluate(
    timed: Timed, store: Store, records: Mapping[int, Mapping[str, Any]], text: str
) -> float | None:
    made = timed.made
    # a picture of every prompt before the second of any: stopped early, all prompts are there
    units = [Unit(r, i) for i in range(made.benchmark.images) for r in records]
    done = store.finished(units)
    todo = [unit for unit in units if unit not in done]
    if todo:
        made.launcher.check()
        store.begin()
        task = Task(made, text, todo, {unit.record: records[unit.record] for unit in todo})
        _draw(made, timed.config, store, task, done, len(units))
    results = [done[unit] for unit in sorted(units)]
    times = [store.times(unit) for unit in sorted(units)]
    summary = timed.counted(summary_of(made, _answer(made, results), results, times))
    return _told(store, summary)


def _answer(made: Settings, results: Sequence[Mapping[str, Any]]) -> Answer:
    """What the benchmark says of all results; its settings can say it, where nothing is needed."""
    summarise = getattr(made.benchmark, "summarise", None)
    if summarise is None:
        import torch

        summarise = made.benchmark.load(torch.device("cpu"), torch.float32).summarise
    answer: Answer = summarise(results)
    return answer


def _draw(
    made: Settings,
    config: Mapping[str, Any],
    store: Store,
    task: Task,
    done: dict[Unit, dict[str, Any]],
    total: int,
) -> None:
    """Draws what is missing, and adds it to ``done``."""
    tracker = make_tracker(config["wandb"], store.folder, config, store.folder.name)
    ok = False
    try:
        with EvalProgress(total, done.values()) as progress:
            for finished in made.launcher.run(task):
                result = done[finished.unit] = store.write(finished)
                means = progress.update(result)
                _track(tracker, store, finished, result, means, len(done))
        _track_table(tracker, store, done)
        ok = True
    finally:
        tracker.finish(ok=ok)


def _track(
    tracker: Tracker,
    store: Store,
    finished: Finished,
    result: Mapping[str, Any],
    means: Mapping[str, float],
    count: int,
) -> None:
    tracker.log({**{f"mean/{k}": v for k, v in means.items()}, "pictures": count}, count)
    if finished.picture is not None and count <= _SHOWN:
        values = ", ".join(f"{name} {value:.4g}" for name, value in numbers(result).items())
        tracker.images(
            "picture", [store.picture(finished.unit)], [f"{result['prompt']} | {values}"]
        )


def _track_table(tracker: Tracker, store: Store, done: Mapping[Unit, Mapping[str, Any]]) -> None:
    """All results as one table."""
    names = list(dict.fromkeys(name for result in done.values() for name in numbers(result)))
    rows = []
    for unit in sorted(done):
        result, values = done[unit], numbers(done[unit])
        rows.append([unit.record, unit.image, result["prompt"], *map(values.get, names)])
    tracker.table("results", ["record", "image", "prompt", *names], rows)


def _study(made: Settings, config: Mapping[str, Any], store: Store) -> float | None:
    """An experiment on the model itself instead of pictures that are judged one by one.

    ``benchmark.study(made, store)`` draws what it likes, keeps what it needs to go on in the
    store's folder, and returns the summary, in which ``score`` is what a sweeper may maximise.
    """
    store.begin()
    tracker: Tracker = make_tracker(config["wandb"], store.folder, config, store.folder.name)
    ok = False
    try:
        summary = made.benchmark.study(made, store)
        tracker.summary(summary)
        ok = True
    finally:
        tracker.finish(ok=ok)
    return _told(store, summary)


def _told(store: Store, summary: Mapping[str, Any]) -> float | None:
    """Writes and prints the answer; returns the score in it."""
    path = store.finish(summary)
    print(table(summary))
    print(f"\nfolder   {os.path.relpath(store.folder)}\nsummary  {os.path.relpath(path)}")
    score = summary.get("score")
    return None if score is None else float(score)
