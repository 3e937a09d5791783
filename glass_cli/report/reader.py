"""Reads the folders that `glass sample` and `glass eval` write; what is wrong is one line each."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from glass_cli.common.errors import GlassError, one_line
from glass_cli.output import thumbnails
from glass_cli.report.records import Particle, Result, Run, StepRow


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
    if (folder / "identity.json").is_file() and not (folder / "results").is_dir():
        raise GlassError(
            f"{folder} holds a study, not results of prompts; its numbers are in its summary.json"
        )
    try:
        return _read(folder)
    except _Damaged as error:
        raise GlassError(f"{folder} is damaged: {error}; run it again") from error


def _read(folder: Path) -> Run:
    summary = _mapping(_load(folder / "summary.json", json.loads), "summary.json")
    config = _mapping(_load(folder / "config.yaml", yaml.safe_load), "config.yaml")
    typed = _load(folder / "overrides.yaml", yaml.safe_load)
    overrides = tuple(str(word) for word in typed) if isinstance(typed, list) else ()
    if (folder / "results").is_dir():
        return Run(folder, "eval", config, overrides, summary, _evaluated(folder))
    return Run(folder, "sample", config, overrides, summary, _sampled(folder, summary))


def _sampled(folder: Path, summary: Mapping[str, Any]) -> tuple[Result, ...]:
    rows = _rows(summary.get("prompts"), "summary.json: prompts")
    particles = _by_prompt(folder / "particles.jsonl")
    steps = _by_prompt(folder / "steps.jsonl")
    n = _count(summary, "particles", "summary.json")
    results = []
    for index, row in enumerate(rows):
        where = f"particles.jsonl, prompt {index}"
        mine = particles.get(index, [])
        if len(mine) != n or [_count(p, "particle", where) for p in mine] != list(range(n)):
            raise _Damaged(f"{where} has {len(mine)} of {n} particles")
        results.append(
            Result(
                prompt_index=index,
                image_index=0,
                prompt=_text(row, "prompt", "summary.json"),
                seed=_count(mine[0], "seed", where) if mine else 0,
                chosen=_chosen(row, n, "summary.json"),
                rewards=tuple(_number(p, "reward", where) for p in mine),
                particles=tuple(
                    Particle(
                        i,
                        _number(p, "reward", where),
                        _picture(folder, p, where),
                        _numbers(p.get("metrics"), where),
                    )
                    for i, p in enumerate(mine)
                ),
                nfe=_number(row, "nfe", "summary.json"),
                reward_calls=_number(row, "reward_calls", "summary.json"),
                seconds=_number(row, "seconds", "summary.json"),
                judged={},
                task=None,
                steps=_steps(folder, steps.get(index, []), f"{index:05d}/0000", n),
            )
        )
    return tuple(results)


def _evaluated(folder: Path) -> tuple[Result, ...]:
    files = sorted((folder / "results").glob("*/*.json"))
    if not files:
        raise _Damaged("results/ is empty")
    return tuple(_evaluation(folder, file) for file in files)


def _evaluation(folder: Path, file: Path) -> Result:
    where = file.relative_to(folder).as_posix()
    record = _mapping(_load(file, json.loads), where)
    index, image = _count(record, "record_index", where), _count(record, "image_index", where)
    told = _series(record.get("rewards"), where)
    rewards = told or (_number(record, "reward", where),)
    chosen = _chosen(record, len(rewards), where)
    picture: Path | None = None
    if record.get("image_sha256") is not None or "point" not in record:
        inside = Path("images", f"{index:05d}", "samples", f"{image:04d}.png")
        picture = folder / inside
        if not picture.is_file():
            raise _Damaged(f"{inside.as_posix()} is missing")
    answer = 0 if chosen is None else chosen
    metrics = _numbers(record.get("metrics"), where)
    judged = record.get("judged")
    clean = judged if isinstance(judged, Mapping) else {}
    times = folder / "times" / f"{index:05d}" / f"{image:04d}.json"
    return Result(
        prompt_index=index,
        image_index=image,
        prompt=_text(record, "prompt", where),
        seed=_count(record, "seed", where),
        chosen=chosen,
        rewards=rewards,
        particles=(Particle(answer, _number(record, "reward", where), picture, metrics),),
        nfe=_number(record, "nfe", where),
        reward_calls=_number(record, "reward_calls", where),
        seconds=_seconds(times) if times.is_file() else None,
        judged=clean,
        task=_task(folder / "images" / f"{index:05d}" / "metadata.jsonl", clean),
        steps=_steps(
            folder,
            _rows(record.get("steps") or [], where),
            f"{index:05d}/{image:04d}",
            None if told is None else len(told),
        ),
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
    folder: Path, rows: Sequence[Mapping[str, Any]], place: str, n: int | None
) -> tuple[StepRow, ...]:
    where = f"steps of {place}"
    made = []
    for row in rows:
        step = _count(row, "step", where)
        log_w = _series(row.get("log_w"), where)
        size = n if n is not None else len(log_w or ())
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


def _by_prompt(path: Path) -> dict[int, list[Mapping[str, Any]]]:
    # A finished run ends its last line too, so unlike the recorder nothing is left out here.
    records = _load(path, lambda text: [json.loads(line) for line in text.split("\n") if line])
    found: dict[int, list[Mapping[str, Any]]] = {}
    for record in _rows(records, path.name):
        found.setdefault(_count(record, "prompt_index", path.name), []).append(record)
    return found


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
