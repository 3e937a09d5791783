"""Reads the folders that `glass sample` and `glass eval` write; what is wrong is one line each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from glass_cli.common.errors import GlassError, one_line
from glass_cli.output import thumbnails
from glass_cli.output.results import Particle, Result, Run, StepRow


class Unreadable(GlassError):
    """Folders that hold no whole run; ``lines`` has one line for each."""

    def __init__(self, lines: Sequence[str]) -> None:
        super().__init__("; ".join(lines))
        self.lines = tuple(lines)


class _Damaged(Exception):
    """A file is not what a run writes; the message says which and why."""


def read_runs(folders: Sequence[Path]) -> list[Run]:
    """All of ``folders``. Raises Unreadable, which names every one that is not a finished run."""
    runs, lines = [], []
    for folder in folders:
        try:
            runs.append(read_run(folder))
        except GlassError as error:
            lines.append(str(error))
    if lines:
        raise Unreadable(lines)
    return runs


def read_run(folder: Path) -> Run:
    """The finished run in ``folder``. Raises GlassError for any other folder."""
    if not folder.is_dir():
        raise GlassError(
            f"{folder} is not a folder; name one that glass sample or eval has written"
        )
    if not (folder / "summary.json").is_file():
        begun = (folder / "config.yaml").is_file()
        why = "the run in it did not finish" if begun else "nothing in it is a run's"
        do = (
            "run it again to its end" if begun else "name one that glass sample or eval has written"
        )
        raise GlassError(f"{folder} has no summary.json: {why}; {do}")
    if not (folder / "results").is_dir():
        if (folder / "identity.json").is_file():
            raise GlassError(
                f"{folder} holds a study, not results of prompts; its numbers are in its"
                " summary.json"
            )
        raise _older(folder)
    try:
        return _read(folder)
    except _Damaged as error:
        raise GlassError(f"{folder} is damaged: {error}; run it again") from error


def _older(folder: Path) -> GlassError:
    return GlassError(
        f"{folder} was written by glass 0.2.0 or older, which kept results otherwise; read it with"
        " that version, or run it again"
    )


def _read(folder: Path) -> Run:
    summary = _mapping(_load(folder / "summary.json", json.loads), "summary.json")
    config = _mapping(_load(folder / "config.yaml", yaml.safe_load), "config.yaml")
    typed = _load(folder / "overrides.yaml", yaml.safe_load)
    overrides = tuple(str(word) for word in typed) if isinstance(typed, list) else ()
    results = tuple(read_results(folder))
    if not results:
        raise _Damaged("results/ is empty")
    kind = "sample" if config.get("benchmark") is None else "eval"
    return Run(folder, kind, config, overrides, summary, results)


def read_results(folder: Path) -> Iterator[Result]:
    """The results in ``folder`` in order, of a run that need not be finished.

    Raises GlassError, or where the run is read as a whole says which file is damaged.
    """
    for file in sorted((folder / "results").glob("*/*.json")):
        yield _result(folder, file)


def _result(folder: Path, file: Path) -> Result:
    where = file.relative_to(folder).as_posix()
    record = _mapping(_load(file, json.loads), where)
    if "record_index" in record:
        raise _older(folder)
    index, image = _count(record, "prompt_index", where), _count(record, "image_index", where)
    rewards = _series(record.get("rewards"), where)
    rows = _rows(record.get("particles"), f"{where}: particles")
    if [_count(row, "particle", where) for row in rows] != list(range(len(rows))):
        raise _Damaged(f"{where} has particles that are not numbered from 0")
    if rewards is not None and len(rewards) != len(rows):
        raise _Damaged(f"{where} has {len(rewards)} rewards for {len(rows)} particles")
    judged = record.get("judged")
    clean = judged if isinstance(judged, Mapping) else {}
    inside = f"{index:05d}/{image:04d}"
    times = folder / "times" / f"{inside}.json"
    return Result(
        prompt_index=index,
        image_index=image,
        prompt=_text(record, "prompt", where),
        seed=_count(record, "seed", where),
        chosen=_chosen(record, len(rows), where),
        rewards=rewards or (None,) * len(rows),
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
        seconds=_seconds(times) if times.is_file() else None,
        judged=clean,
        task=_task(folder / "images" / f"{index:05d}" / "metadata.jsonl", clean),
        steps=_steps(folder, _rows(record.get("steps"), f"{where}: steps"), inside, len(rows)),
    )


def _task(metadata: Path, judged: Mapping[str, Any]) -> str | None:
    """GenEval's task, or another benchmark's category, as the record of the prompt names it."""
    told: Any = judged.get("tag", judged.get("task"))
    if told is None and metadata.is_file():
        record = _load(metadata, lambda text: json.loads(text.splitlines()[0] if text else "{}"))
        told = record.get("tag", record.get("category")) if isinstance(record, Mapping) else None
    return None if told is None else str(told)


def _seconds(file: Path) -> float | None:
    told = _load(file, json.loads)
    if isinstance(told, Mapping):
        return _number(told, "seconds", file.name)
    return float(told) if isinstance(told, (int, float)) else None


def _steps(
    folder: Path, rows: Sequence[Mapping[str, Any]], place: str, size: int
) -> tuple[StepRow, ...]:
    where = f"steps of {place}"
    made = []
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
        made.append(
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
    return tuple(made)


def _weights(log_w: Sequence[float | None]) -> tuple[float, ...]:
    """Normalised weights; JSON's null stands for the logarithm of 0."""
    top = max((w for w in log_w if w is not None), default=0.0)
    raw = [0.0 if w is None else math.exp(w - top) for w in log_w]
    total = math.fsum(raw) or 1.0
    return tuple(w / total for w in raw)


def _load(path: Path, parse: Callable[[str], Any]) -> Any:
    try:
        return parse(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise _Damaged(f"{path.name} cannot be read ({error.strerror})") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise _Damaged(f"{path.name} is not what was written ({one_line(error)[:80]})") from error


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
    found = {str(key): _number(table, key, where) for key in table}
    return {key: number for key, number in found.items() if number is not None}


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
