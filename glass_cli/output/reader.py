"""Reads the folders that `glass sample` and `glass eval` write; what is wrong is one line each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import yaml

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import why
from glass_cli.output import thumbnails
from glass_cli.output.identity import IDENTITY
from glass_cli.output.results import Particle, Result, Run, StepRow
from glass_cli.output.units import units_of
from glass_cli.output.writer import SUMMARY, Unit

ERROR_FILE = "error.txt"  # what a failed job of a sweep leaves in its folder


class Unfinished(GlassError):
    """A run that was stopped, that failed, or that is still being drawn."""


class _Damaged(Exception):
    """A file is not what a run writes; the message says which and why."""


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
    with _damage_named(folder):
        return _read(folder)


def read_results(folder: Path, units: Iterable[Unit]) -> Iterator[Result]:
    """The results of ``units``, of a run that need not be finished. Raises GlassError."""
    with _damage_named(folder):
        for unit in units:
            yield _result(folder, unit)


@contextmanager
def _damage_named(folder: Path) -> Iterator[None]:
    try:
        yield
    except _Damaged as error:
        raise GlassError(f"{folder} is damaged: {error}; run it again") from error


def _without_summary(folder: Path) -> GlassError:
    if not is_run(folder):
        return GlassError(
            f"{folder} has no {SUMMARY}: nothing in it is a run's; name one that glass sample or"
            " eval has written"
        )
    how = "did not finish"
    with suppress(OSError, ValueError):
        lines = (folder / ERROR_FILE).read_text(encoding="utf-8").splitlines()
        how = f"failed ({one_line(lines[0])[:200]})" if lines else how
    return Unfinished(f"{folder} has no {SUMMARY}: the run in it {how}; run it again to its end")


def _older(folder: Path) -> GlassError:
    return GlassError(
        f"{folder} was written by glass 0.2.0 or older, which kept results otherwise; read it with"
        " that version, or run it again"
    )


def _read(folder: Path) -> Run:
    summary = _mapping(_load(folder, SUMMARY, json.loads), SUMMARY)
    if "units" not in summary:
        raise _older(folder)
    config = _mapping(_load(folder, "config.yaml", yaml.safe_load), "config.yaml")
    words = _load(folder, "overrides.yaml", yaml.safe_load)
    overrides = tuple(str(word) for word in words) if isinstance(words, list) else ()
    command = summary.get("command")
    if command not in ("sample", "eval"):
        raise _Damaged(f"{SUMMARY} is of the command {command!r}")
    try:
        units = units_of(summary["units"])
    except ValueError as error:
        raise _Damaged(f"{SUMMARY}: {error}") from error
    results = tuple(_result(folder, unit) for unit in units)
    if not results:
        raise _Damaged(f"{SUMMARY} is of no results")
    return Run(folder, command, config, overrides, summary, results)


def _result(folder: Path, unit: Unit) -> Result:
    inside = unit.inside.as_posix()
    where = f"results/{inside}.json"
    record = _mapping(_load(folder, where, json.loads), where)
    index, image = _count(record, "prompt_index", where), _count(record, "image_index", where)
    if unit != (index, image):
        raise _Damaged(f"{where} is of prompt {index}, image {image}")
    rewards = _series(record.get("rewards"), where)
    rows = _rows(record.get("particles"), f"{where}: particles")
    if [_count(row, "particle", where) for row in rows] != list(range(len(rows))):
        raise _Damaged(f"{where} has particles that are not numbered from 0")
    if rewards is not None and len(rewards) != len(rows):
        raise _Damaged(f"{where} has {len(rewards)} rewards for {len(rows)} particles")
    judged = record.get("judged") or {}
    return Result(
        prompt_index=index,
        image_index=image,
        prompt=_text(record, "prompt", where),
        seed=_count(record, "seed", where),
        chosen=_chosen(record, len(rows), where),
        reward=_number(record, "reward", where),
        rewards=rewards or (None,) * len(rows),
        metrics=_numbers(record.get("metrics"), where),
        mean_metrics=_numbers(record.get("mean_metrics"), where),
        particles=tuple(
            Particle(
                _count(row, "particle", where),
                _number(row, "reward", where),
                _picture(folder, row, where),
                _numbers(row.get("metrics"), where),
            )
            for row in rows
        ),
        nfe=_number(record, "nfe", where),
        reward_calls=_number(record, "reward_calls", where),
        seconds=_seconds(folder, f"times/{inside}.json"),
        judged=_mapping(judged, f"{where}: judged"),
        task=_task(folder, f"images/{index:05d}/metadata.jsonl", judged),
        steps=_steps(folder, _rows(record.get("steps"), f"{where}: steps"), inside, len(rows)),
    )


def _task(folder: Path, metadata: str, judged: Mapping[str, Any]) -> str | None:
    """GenEval's task, or another benchmark's category, as the record of the prompt names it."""
    task: Any = judged.get("tag", judged.get("task"))
    if task is None and (folder / metadata).is_file():
        record = _mapping(_load(folder, metadata, json.loads), metadata)
        task = record.get("tag", record.get("category"))
    return None if task is None else str(task)


def _seconds(folder: Path, times: str) -> float | None:
    if not (folder / times).is_file():
        return None
    return _number(_mapping(_load(folder, times, json.loads), times), "seconds", times)


def _steps(
    folder: Path, rows: Sequence[Mapping[str, Any]], place: str, size: int
) -> tuple[StepRow, ...]:
    where = f"steps of {place}"
    steps = []
    for row in rows:
        step = _count(row, "step", where)
        log_w = _series(row.get("log_w"), where)
        ancestors = row.get("ancestors")
        if ancestors is not None:
            whole = isinstance(ancestors, list) and len(ancestors) == size
            if not whole or not all(type(a) is int and 0 <= a < size for a in ancestors):
                raise _Damaged(f"{where} has ancestors that are not {size} particles")
        t = _number(row, "t", where)
        if t is None:
            raise _Damaged(f"{where} has no t")
        scored = _series(row.get("rewards"), where)
        if any(values is not None and len(values) != size for values in (scored, log_w)):
            raise _Damaged(f"{where} has rewards or weights of other than {size} particles")
        lineages = _number(row, "lineages", where)
        steps.append(
            StepRow(
                step=step,
                t=t,
                nfe=_number(row, "nfe", where),
                rewards=scored,
                weights=None if log_w is None else _weights(log_w),
                ess=_number(row, "ess", where),
                lineages=None if lineages is None else int(lineages),
                ancestors=None if ancestors is None else tuple(ancestors),
                thumbnails=thumbnails.find(folder / "thumbs" / place, step),
            )
        )
    return tuple(steps)


def _weights(log_w: Sequence[float | None]) -> tuple[float, ...]:
    """Normalised weights; JSON's null stands for the logarithm of 0."""
    top = max((w for w in log_w if w is not None), default=0.0)
    raw = [0.0 if w is None else math.exp(w - top) for w in log_w]
    total = math.fsum(raw) or 1.0
    return tuple(w / total for w in raw)


def _load(folder: Path, where: str, parse: Callable[[str], Any]) -> Any:
    try:
        return parse((folder / where).read_text(encoding="utf-8"))
    except OSError as error:
        raise _Damaged(f"{where} cannot be read ({why(error)})") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise _Damaged(f"{where} is not what was written ({one_line(error)[:80]})") from error


def _mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _Damaged(f"{where} is not a table of settings")
    return value


def _rows(value: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise _Damaged(f"{where} is not a list of records")
    return value


def _number(record: Mapping[str, Any], key: str, where: str) -> float | None:
    """A number, or None where it is missing or was not finite."""
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Damaged(f"{where} has {key} {value!r}, not a number")
    return float(value)


def _count(record: Mapping[str, Any], key: str, where: str) -> int:
    value = record.get(key)
    if type(value) is not int or value < 0:
        raise _Damaged(f"{where} has {key} {value!r}, not a whole number")
    return value


def _text(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise _Damaged(f"{where} has {key} {value!r}, not a text")
    return value


def _series(value: Any, where: str) -> tuple[float | None, ...] | None:
    if value is None:
        return None
    if not isinstance(value, list):
        raise _Damaged(f"{where} has {value!r}, not a list of numbers")
    return tuple(_number({"entry": v}, "entry", where) for v in value)


def _numbers(value: Any, where: str) -> dict[str, float]:
    if value is None:
        return {}
    table = _mapping(value, f"{where}: metrics")
    numbers = {str(key): _number(table, key, where) for key in table}
    return {key: number for key, number in numbers.items() if number is not None}


def _chosen(record: Mapping[str, Any], n: int, where: str) -> int | None:
    if record.get("chosen") is None:
        return None
    chosen = _count(record, "chosen", where)
    if chosen >= n:
        raise _Damaged(f"{where} chose particle {chosen} of {n}")
    return chosen


def _picture(folder: Path, record: Mapping[str, Any], where: str) -> Path | None:
    if record.get("file") is None:
        return None
    inside = Path(_text(record, "file", where))
    if inside.is_absolute() or ".." in inside.parts:
        raise _Damaged(f"{where} names a picture outside the folder")
    if not (folder / inside).is_file():
        raise _Damaged(f"{inside.as_posix()} is missing")
    return folder / inside
