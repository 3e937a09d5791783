"""Reads the folders that `glass sample` and `glass eval` write; what is wrong is one line each."""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import regular
from glass_cli.common.paths import ERROR_FILE
from glass_cli.common.version import __version__
from glass_cli.output import record_fields as fields
from glass_cli.output import thumbnails
from glass_cli.output.finished import THUMBNAILS, Unit
from glass_cli.output.identity import IDENTITY
from glass_cli.output.record_fields import Damaged
from glass_cli.output.results import Particle, Result, Run, Score, StepRow
from glass_cli.output.units import units_of
from glass_cli.output.writer import SUMMARY


class Unfinished(GlassError):
    """A run that was stopped, that failed, or that is still being drawn."""


def is_run(folder: Path) -> bool:
    """Whether a run, or part of one, of any version is in ``folder``."""
    names = (SUMMARY, "config.yaml", "results", ERROR_FILE)
    return any((folder / name).exists() for name in names)


def read_run(folder: Path) -> Run:
    """The finished run in ``folder``: the results that its summary is of.

    Raises Unfinished for a run that did not end, GlassError for any other folder.
    """
    if not folder.is_dir():
        raise GlassError(
            f"{folder} is not a folder; name one that glass sample or eval has written"
        )
    if not (folder / SUMMARY).is_file():
        raise _without_summary(folder)
    if not (folder / "results").is_dir():
        if (folder / IDENTITY).is_file():
            raise GlassError(
                f"{folder} holds a study, not results of prompts; its numbers are in its {SUMMARY}"
            )
        raise _older(folder)
    with damage_named(folder):
        return _read(folder)


def read_results(folder: Path, units: Iterable[Unit]) -> Iterator[Result]:
    """The results of ``units``, of a run that need not be finished. Raises GlassError."""
    with damage_named(folder):
        for unit in units:
            yield _result(folder, unit)


@contextmanager
def damage_named(folder: Path) -> Iterator[None]:
    """Turns Damaged into a GlassError that names ``folder``, or a run's file."""
    try:
        yield
    except Damaged as error:
        newer = _newer_version(folder)
        if newer is not None:
            raise GlassError(
                f"{folder} was written by glass {newer}, which is newer than this one"
                f" ({__version__}), and is not understood: {error}; read it with that version"
            ) from error
        raise GlassError(f"{folder} is damaged: {error}; run it again") from error


def _newer_version(folder: Path) -> str | None:
    """The version of glass that wrote a run, if it is newer than this one."""
    try:
        text = regular(folder / IDENTITY).read_text(encoding="utf-8")
        version = json.loads(text)["glass_version"]
        numbers = [[int(n) for n in str(v).split(".")[:3]] for v in (version, __version__)]
    except (OSError, ValueError, TypeError, KeyError, RecursionError):
        return None
    return str(version) if numbers[0] > numbers[1] else None


def _without_summary(folder: Path) -> GlassError:
    if not is_run(folder):
        return GlassError(
            f"{folder} has no {SUMMARY}: nothing in it is a run's; name one that glass sample or"
            " eval has written"
        )
    how = "did not finish"
    with suppress(OSError, ValueError):
        lines = regular(folder / ERROR_FILE).read_text(encoding="utf-8").splitlines()
        how = f"failed ({one_line(lines[0])[:200]})" if lines else how
    return Unfinished(f"{folder} has no {SUMMARY}: the run in it {how}; run it again to its end")


def _older(folder: Path) -> GlassError:
    return GlassError(
        f"{folder} was written by glass 0.2.0 or older, which kept results otherwise; read it with"
        " that version, or run it again"
    )


def _read(folder: Path) -> Run:
    summary = fields.mapping(fields.load(folder, SUMMARY), SUMMARY)
    if "units" not in summary:
        raise _older(folder)
    config = fields.mapping(fields.load(folder, "config.yaml", fields.plain_yaml), "config.yaml")
    words = fields.load(folder, "overrides.yaml", fields.plain_yaml)
    overrides = tuple(str(word) for word in words) if isinstance(words, list) else ()
    command = summary.get("command")
    if command not in ("sample", "eval"):
        raise Damaged(f"{SUMMARY} is of the command {command!r}")
    try:
        units = units_of(summary["units"])
    except ValueError as error:
        raise Damaged(f"{SUMMARY}: {error}") from error
    results = tuple(_result(folder, unit) for unit in units)
    if not results:
        raise Damaged(f"{SUMMARY} is of no results")
    return Run(folder, command, config, overrides, summary, scores_in(summary), results)


def scores_in(summary: Mapping[str, Any]) -> dict[str, Score]:
    """The benchmark's scores of a summary. Raises Damaged."""
    scores = {}
    for name, cell in fields.mapping(summary.get("scores"), f"{SUMMARY}: scores").items():
        where = f"{SUMMARY}: {name}"
        cell = fields.mapping(cell, where)
        mean, prompts = fields.number(cell, "mean", where), fields.number(cell, "prompts", where)
        ends = fields.series(cell.get("interval95"), where) or ()
        low, high = ends if len(ends) == 2 else (None, None)
        interval = None if low is None or high is None else (low, high)
        if mean is not None:
            scores[str(name)] = Score(mean, interval, None if prompts is None else int(prompts))
    return scores


def _result(folder: Path, unit: Unit) -> Result:
    index, image = unit
    inside = f"{index:05d}/{image:04d}"
    where = f"results/{inside}.json"
    record = fields.mapping(fields.load(folder, where), where)
    if (record.get("prompt_index"), record.get("image_index")) != unit:
        raise Damaged(f"{where} is of another prompt or image")
    rewards = fields.series(record.get("rewards"), where)
    rows = fields.rows(record.get("particles"), f"{where}: particles")
    if [fields.count(row, "particle", where) for row in rows] != list(range(len(rows))):
        raise Damaged(f"{where} has particles that are not numbered from 0")
    if rewards is not None and len(rewards) != len(rows):
        raise Damaged(f"{where} has {len(rewards)} rewards for {len(rows)} particles")
    judged = record.get("judged") or {}
    return Result(
        prompt_index=index,
        image_index=image,
        prompt=fields.text(record, "prompt", where),
        seed=fields.count(record, "seed", where),
        chosen=_chosen(record, len(rows), where),
        reward=fields.number(record, "reward", where),
        rewards=rewards or (None,) * len(rows),
        metrics=fields.numbers(record.get("metrics"), where),
        mean_metrics=fields.numbers(record.get("mean_metrics"), where),
        particles=tuple(
            Particle(
                fields.count(row, "particle", where),
                fields.number(row, "reward", where),
                _picture(folder, row, where),
                fields.numbers(row.get("metrics"), where),
            )
            for row in rows
        ),
        nfe=fields.once(fields.number(record, "nfe", where)),
        reward_calls=fields.once(fields.number(record, "reward_calls", where)),
        seconds=_seconds(folder, f"times/{inside}.json"),
        judged=fields.table_once(judged, f"{where}: judged"),
        task=_task(folder, f"images/{index:05d}/metadata.jsonl", judged),
        steps=_steps(folder, record, inside, len(rows)),
    )


def _task(folder: Path, metadata: str, judged: Mapping[str, Any]) -> str | None:
    """GenEval's task, or another benchmark's category, as the record of the prompt names it."""
    task: Any = judged.get("tag", judged.get("task"))
    if task is None and os.path.isfile(os.path.join(folder, metadata)):
        record = fields.mapping(fields.load(folder, metadata), metadata)
        task = record.get("tag", record.get("category"))
    return None if task is None else str(task)


def _seconds(folder: Path, times: str) -> float | None:
    if not os.path.isfile(os.path.join(folder, times)):
        return None
    record = fields.mapping(fields.load(folder, times), times)
    return fields.number(record, "seconds", times)


def _steps(folder: Path, record: Mapping[str, Any], place: str, size: int) -> tuple[StepRow, ...]:
    """The steps of a run that ends with ``size`` particles; on the way there may be others."""
    file = f"results/{place}.json"
    where = f"{file}: a step"
    strips = _strips(folder, record, place)
    steps: list[StepRow] = []
    n = None  # how many particles the step before leads to
    for row in fields.rows(record.get("steps"), f"{file}: steps"):
        log_w = fields.series(row.get("log_w"), where)
        rewards = fields.series(row.get("rewards"), where)
        known = {len(values) for values in (log_w, rewards) if values is not None}
        n = n or next(iter(known), size)
        if known - {n}:
            raise Damaged(f"{where} has rewards or weights of other than {n} particles")
        step = _step(row, where, n, rewards, log_w)
        if (strip := strips.get(step.step)) is not None:
            step = replace(step, thumbnails=strip)
        steps.append(fields.once(step) if step.rewards is None else step)
        n = step.number if step.ancestors is None else len(step.ancestors)
    if steps and n != size:
        raise Damaged(f"{file}: steps end with {n} particles of {size}")
    return fields.once(tuple(steps)) if all(s.rewards is None for s in steps) else tuple(steps)


def _strips(folder: Path, record: Mapping[str, Any], place: str) -> dict[int, thumbnails.Strip]:
    """The strips that lie in the folder of a result, by step, and what it says of them."""
    inside = f"thumbs/{place}"
    digests = fields.mapping(record.get(THUMBNAILS) or {}, f"results/{place}.json: {THUMBNAILS}")
    kept = thumbnails.find(os.path.join(folder, inside))
    return {
        step: thumbnails.Strip(folder / inside / name, digests.get(f"{inside}/{name}"))
        for step, name in kept.items()
    }


def _step(
    row: Mapping[str, Any],
    where: str,
    n: int,
    rewards: tuple[float | None, ...] | None,
    log_w: tuple[float | None, ...] | None,
) -> StepRow:
    ancestors = row.get("ancestors")
    if ancestors is not None:
        numbers = ancestors if isinstance(ancestors, list) else []
        if not numbers or not all(type(a) is int and 0 <= a < n for a in numbers):
            raise Damaged(f"{where} has ancestors that are not of {n} particles")
    t, lineages = fields.number(row, "t", where), fields.number(row, "lineages", where)
    if t is None:
        raise Damaged(f"{where} has no t")
    return StepRow(
        step=fields.count(row, "step", where),
        t=t,
        number=n,
        nfe=fields.number(row, "nfe", where),
        rewards=rewards,
        weights=None if log_w is None else _weights(log_w),
        ess=fields.number(row, "ess", where),
        lineages=None if lineages is None else int(lineages),
        ancestors=None if ancestors is None else tuple(ancestors),
    )


def _weights(log_w: Sequence[float | None]) -> tuple[float, ...]:
    """Normalised weights; JSON's null stands for the logarithm of 0."""
    top = max((w for w in log_w if w is not None), default=0.0)
    raw = [0.0 if w is None else math.exp(w - top) for w in log_w]
    total = math.fsum(raw) or 1.0
    return tuple(w / total for w in raw)


def _chosen(record: Mapping[str, Any], n: int, where: str) -> int | None:
    if record.get("chosen") is None:
        return None
    chosen = fields.count(record, "chosen", where)
    if chosen >= n:
        raise Damaged(f"{where} chose particle {chosen} of {n}")
    return chosen


def _picture(folder: Path, record: Mapping[str, Any], where: str) -> Path | None:
    if record.get("file") is None:
        return None
    inside = Path(fields.text(record, "file", where))
    if inside.is_absolute() or ".." in inside.parts:
        raise Damaged(f"{where} names a picture outside the folder")
    if not (folder / inside).is_file():
        raise Damaged(f"{inside.as_posix()} is missing")
    return folder / inside
