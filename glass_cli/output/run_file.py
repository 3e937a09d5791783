"""A finished run as one small file: its settings, versions and summary, and a line a picture.

What it has not are pictures, and what was of single particles: enough to compare the run with
another picture by picture, on a machine that never held its folder.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, json_text, writing_to
from glass_cli.output import record_fields as fields
from glass_cli.output.reader import damage_named, scores_in
from glass_cli.output.record_fields import Damaged
from glass_cli.output.results import Result, Run

SUFFIX = ".run.json"
_COLUMNS = ("prompt_index", "image_index", "prompt", "seed", "task", "reward", "nfe")
_COSTS = ("reward_calls", "seconds")
# The tables of a result whose numbers are columns, each named by its table and its own key.
_TABLES = ("judged", "metrics", "mean_metrics")


def is_run_file(path: Path) -> bool:
    return path.name.endswith(SUFFIX) and path.is_file()


def write_run_file(path: Path, run: Run, asked: Mapping[str, Any]) -> None:
    """Writes ``run`` to ``path``, whose name ends with SUFFIX.

    asked: dotted key -> value of the settings that were asked for; the run's own differ where it
        chose some itself, as steering=auto does.

    Raises GlassError where it cannot be written.
    """
    own = {
        f"{table}.{key}": None
        for result in run.results
        for table in _TABLES
        for key, value in getattr(result, table).items()
        if isinstance(value, (bool, int, float))
    }
    columns = [*_COLUMNS, *_COSTS, *own]
    lines = [json_text([_cell(result, name) for name in columns]) for result in run.results]
    head = {
        "command": run.command,
        "asked": asked,
        "overrides": list(run.overrides),
        "config": run.config,
        "summary": run.summary,
        "columns": columns,
    }
    parts = [f"{json.dumps(key)}: {json_text(value)}" for key, value in head.items()]
    rows = ",\n".join(lines)
    text = "{\n" + ",\n".join([*parts, f'"results": [\n{rows}\n]']) + "\n}\n"
    with writing_to(path, "name another folder"):
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")


def _cell(result: Result, column: str) -> Any:
    table, _, key = column.partition(".")
    return getattr(result, table).get(key) if key else getattr(result, column)


def read_run_file(path: Path) -> Run:
    """The run in a file of :func:`write_run_file`; its results have no particles and no steps.

    Raises GlassError for any other file.
    """
    with damage_named(path):
        return _read(path)


def asked_for(path: Path) -> Mapping[str, Any]:
    """The settings that a run file was asked for. Raises GlassError."""
    with damage_named(path):
        return fields.mapping(_content(path).get("asked"), "asked")


def _content(path: Path) -> Mapping[str, Any]:
    return fields.mapping(fields.load(path.parent, path.name), path.name)


def _read(path: Path) -> Run:
    content = _content(path)
    columns, rows = content.get("columns"), content.get("results")
    if not isinstance(columns, list) or not {*_COLUMNS, *_COSTS} <= {*map(str, columns)}:
        raise Damaged("it lacks columns that every run has")
    if not isinstance(rows, list) or not rows:
        raise Damaged("it is of no results")
    command = content.get("command")
    if command not in ("sample", "eval"):
        raise Damaged(f"it is of the command {command!r}")
    summary = fields.mapping(content.get("summary"), "summary")
    for version in fields.rows(summary.get("versions") or [], "versions"):
        fields.mapping(version.get("weights") or {}, "versions: weights")
    words = content.get("overrides")
    return Run(
        path,
        command,
        fields.mapping(content.get("config"), "config"),
        tuple(map(str, words)) if isinstance(words, list) else (),
        summary,
        scores_in(summary),
        tuple(_result(columns, row, number) for number, row in enumerate(rows)),
    )


def _result(columns: list[Any], row: Any, number: int) -> Result:
    where = f"result {number}"
    if not isinstance(row, list) or len(row) != len(columns):
        raise Damaged(f"{where} has not a value for each column")
    record = dict(zip(map(str, columns), row, strict=True))
    tables: dict[str, dict[str, Any]] = {table: {} for table in _TABLES}
    for name, value in record.items():
        table, _, key = name.partition(".")
        if key and table in tables and value is not None:
            known = isinstance(value, bool)
            tables[table][key] = value if known else fields.number(record, name, where)
    task = record["task"]
    return Result(
        prompt_index=fields.count(record, "prompt_index", where),
        image_index=fields.count(record, "image_index", where),
        prompt=fields.text(record, "prompt", where),
        seed=fields.count(record, "seed", where),
        chosen=None,
        reward=fields.number(record, "reward", where),
        rewards=(),
        metrics=fields.numbers(tables["metrics"], where),
        mean_metrics=fields.numbers(tables["mean_metrics"], where),
        particles=(),
        nfe=fields.number(record, "nfe", where),
        reward_calls=fields.number(record, "reward_calls", where),
        seconds=fields.number(record, "seconds", where),
        judged=tables["judged"],
        task=None if task is None else fields.text(record, "task", where),
        steps=(),
    )


def refuse_run_file(path: Path) -> None:
    """Raises GlassError for a run file, where pictures are needed."""
    if is_run_file(path):
        raise GlassError(
            f"{path} has a run's numbers alone, no pictures; name the run's folder, or compare it"
        )
