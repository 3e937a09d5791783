"""A file of results: a CSV of which each row is a run, with the versions and settings inside.

A row has what a reader needs to make the run again (its command, code, weights and settings) and to
check it (each quantity's mean, and its interval as ``<quantity>.low`` and ``<quantity>.high``).
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import json_text
from glass_cli.report.labels import deciding_settings
from glass_cli.report.quantities import Estimate, estimate_of, quantities
from glass_cli.report.run_groups import RunGroup

HEAD = ("run", "benchmark", "seeds", "prompts", "results", "nfe", "reward_calls", "seconds")
INSIDE = ("versions", "settings", "command")
_LOW, _HIGH = ".low", ".high"


@dataclass(frozen=True)
class Row:
    """One run of a file of results, possibly of several seeds.

    run: its name in the file.
    benchmark: the judge's title; empty for a run of ``glass sample``.
    seeds: those that the means are over.
    prompts, results: how many.
    nfe, reward_calls, seconds: means a result; None where not recorded.
    versions: what drew it, see :mod:`glass_cli.output.versions`; several where it was continued.
    settings: dotted key -> value of all that decides the results but the seed.
    command: which makes it again.
    estimates: a quantity's key -> its mean and interval.
    """

    run: str
    benchmark: str
    seeds: tuple[int, ...]
    prompts: int
    results: int
    nfe: float | None
    reward_calls: float | None
    seconds: float | None
    versions: tuple[Mapping[str, Any], ...]
    settings: Mapping[str, Any]
    command: str
    estimates: Mapping[str, Estimate] = field(default_factory=dict)


def row_of(name: str, group: RunGroup, command: str) -> Row:
    """The row of runs that differ in their seeds alone."""
    results = group.results
    versions = [v for run in group.runs for v in run.summary.get("versions") or []]
    values = {}
    for quantity in quantities(group.runs):
        estimate = estimate_of(results, quantity)
        if estimate is not None:
            values[quantity.key] = estimate
    return Row(
        name,
        str(group.runs[0].summary.get("benchmark") or ""),
        tuple(sorted(int(run.config.get("seed") or 0) for run in group.runs)),
        len({result.prompt_index for result in results}),
        len(results),
        _mean([result.nfe for result in results]),
        _mean([result.reward_calls for result in results]),
        _mean([result.seconds for result in results]),
        tuple({json_text(each): each for each in versions}.values()),
        deciding_settings(group.runs[0]),
        command,
        values,
    )


def _mean(values: Sequence[float | None]) -> float | None:
    known = [value for value in values if value is not None]
    return sum(known) / len(known) if known and len(known) == len(values) else None


def as_csv(rows: Sequence[Row]) -> str:
    """The text of the file; numbers in full, what is not known empty."""
    keys = list(dict.fromkeys(key for row in rows for key in row.estimates))
    text = io.StringIO()
    write = csv.writer(text, lineterminator="\n")
    write.writerow([*HEAD, *(f"{key}{end}" for key in keys for end in ("", _LOW, _HIGH)), *INSIDE])
    for row in rows:
        cells: list[Any] = [row.run, row.benchmark, " ".join(map(str, row.seeds)), row.prompts]
        cells += [row.results, row.nfe, row.reward_calls, row.seconds]
        for key in keys:
            estimate = row.estimates.get(key)
            cells += [None] * 3 if estimate is None else [estimate.mean, *_ends(estimate)]
        write.writerow([*cells, json_text(row.versions), json_text(row.settings), row.command])
    return text.getvalue()


def _ends(estimate: Estimate) -> tuple[float | None, float | None]:
    return (None, None) if estimate.interval is None else estimate.interval


def read_rows(path: Path) -> list[Row]:
    """The rows of a file of results. Raises GlassError, one line, for any other file."""
    try:
        with path.open(encoding="utf-8", newline="") as file:
            table = csv.DictReader(file)
            columns = list(table.fieldnames or [])
            lacking = [name for name in (*HEAD, *INSIDE) if name not in columns]
            if lacking:
                raise GlassError(
                    f"{path} is no file of results: it has no column {lacking[0]}; name one that"
                    " glass reproduce has written"
                )
            return [_row(cells, columns) for cells in table]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise GlassError(f"{path} cannot be read: {one_line(error)}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise GlassError(f"{path} is damaged: {one_line(error)}; make it again") from error


def _row(cells: Mapping[str, str], columns: Sequence[str]) -> Row:
    prompts = int(cells["prompts"])
    quantities_ = [name for name in columns if f"{name}{_LOW}" in columns]
    values = {}
    for key in quantities_:
        mean, low, high = (_number(cells[f"{key}{end}"]) for end in ("", _LOW, _HIGH))
        if mean is not None:
            interval = None if low is None or high is None else (low, high)
            values[key] = Estimate(mean, interval, prompts)
    settings, versions = json.loads(cells["settings"]), json.loads(cells["versions"])
    if not isinstance(settings, dict) or not isinstance(versions, list):
        raise ValueError("settings are no mapping, or versions no list")
    return Row(
        cells["run"],
        cells["benchmark"],
        tuple(map(int, cells["seeds"].split())),
        prompts,
        int(cells["results"]),
        _number(cells["nfe"]),
        _number(cells["reward_calls"]),
        _number(cells["seconds"]),
        tuple(versions),
        settings,
        cells["command"],
        values,
    )


def _number(text: str) -> float | None:
    return float(text) if text else None
