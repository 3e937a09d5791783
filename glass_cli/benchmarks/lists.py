"""Lists of prompts: from a file of one's own, or from their public homes, downloaded once."""

from __future__ import annotations

import csv
import io
import json
import os
from collections.abc import Callable, Hashable, Mapping, Sequence
from itertools import chain, zip_longest
from pathlib import Path
from typing import Any, TypeVar

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.files import atomic_write, expanded, regular
from glass_cli.common.paths import cache

T = TypeVar("T")

KEY = "benchmark.path"
SECONDS = 20.0  # waited for a server
_JSON_LINES, _TABLES = (".jsonl", ".ndjson"), (".csv", ".tsv")
TABLES = (*_JSON_LINES, *_TABLES)  # endings of files that have more than a prompt a line
_PROMPTS = ("prompt", "prompts")  # a column's possible names, in any case
_CATEGORIES = ("category", "tag", "task")


def public(url: str, name: str) -> str:
    """The text of a public list, kept as ``name`` in the cache. Raises GlassError."""
    path = cache() / name
    if path.is_file():
        return read(path)
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in {"1", "ON", "YES", "TRUE"}:
        raise GlassError(
            f"{name} is not in the cache ({path}) and HF_HUB_OFFLINE is set; unset it, or give the"
            f" file: {KEY}=PATH"
        )
    import httpx

    try:
        answer = httpx.get(url, timeout=SECONDS, follow_redirects=True)
        answer.raise_for_status()
        answer.content.decode("utf-8")
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_bytes(answer.content)
    except (httpx.HTTPError, UnicodeDecodeError, OSError) as error:
        raise GlassError(
            f"{name} cannot be downloaded from {url} ({one_line(error)}); get it elsewhere and give"
            f" the file: {KEY}=PATH"
        ) from error
    return read(path)


def check(path: str | None) -> None:
    """Raises ValueError for a file that is not there."""
    if path is not None and not expanded(path).is_file():
        raise ValueError(f"{KEY}={path} is not a file; give a list of prompts")


def read(path: Path) -> str:
    """A file's text. Raises GlassError."""
    try:
        return regular(expanded(path)).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise GlassError(f"{KEY}={path} cannot be read ({one_line(error)})") from error


def source(path: str | None, url: str, name: str) -> tuple[str, str, str]:
    """The text of the file ``path``, or of the public list where null; its name and suffix.

    Raises GlassError where it cannot be had.
    """
    if path is None:
        return public(url, name), name, Path(name).suffix
    file = expanded(path)
    return read(file), f"{KEY}={path}", file.suffix


def json_lines(text: str, name: str) -> list[dict[str, Any]]:
    """A JSON object a line, empty lines left out. Raises GlassError, with the line's number."""
    rows = []
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise GlassError(f"{name}, line {number} is not JSON ({one_line(error)})") from error
        if not isinstance(record, dict):
            raise GlassError(f'{name}, line {number} is not a table, such as {{"prompt": "..."}}')
        rows.append(record)
    return rows


def table(text: str, name: str, tabs: bool) -> list[dict[str, Any]]:
    """A line a record, the first one with the columns' names; with tabs, quotes are text."""
    try:
        if tabs:
            return list(csv.DictReader(io.StringIO(text), delimiter="\t", quoting=csv.QUOTE_NONE))
        return list(csv.DictReader(io.StringIO(text), strict=True))
    except csv.Error as error:
        raise GlassError(f"{name} is not a table ({one_line(error)})") from error


def records(text: str, name: str, suffix: str) -> list[dict[str, Any]]:
    """The records of a list: ``prompt``, and ``category`` where it has one.

    ``suffix`` is the file's: .jsonl, .csv, .tsv, or anything else for a prompt a line. Raises
    GlassError where there is no prompt.
    """
    kind = suffix.lower()
    if kind in _JSON_LINES:
        rows = json_lines(text, name)
    elif kind in _TABLES:
        rows = table(text, name, tabs=kind == ".tsv")
    else:
        rows = [{"prompt": line} for line in text.split("\n")]
    entries = [_record(row, number, name) for number, row in enumerate(rows, 1)]
    kept = [record for record in entries if record is not None]
    if not kept:
        raise GlassError(f"{name} has no prompt in it")
    return kept


def _record(row: Mapping[Any, Any], number: int, name: str) -> dict[str, Any] | None:
    """The row under our names; None for an empty line."""
    lower = {str(key).strip().lower(): value for key, value in row.items() if key is not None}
    key = next((key for key in _PROMPTS if key in lower), None)
    if key is None:
        raise GlassError(
            f"{name}, record {number} has no prompt (it has {', '.join(lower) or 'nothing'}); call"
            " that column prompt"
        )
    prompt = lower[key]
    if prompt is None or not str(prompt).strip():
        return None
    record: dict[str, Any] = {"prompt": str(prompt).strip()}
    category = next((lower[key] for key in _CATEGORIES if lower.get(key)), None)
    return record if category is None else {**record, "category": str(category).strip()}


def in_turn(records: Sequence[T], kind: Callable[[T], Hashable], limit: int | None) -> list[T]:
    """``limit`` records, of each kind in turn; all in their own order where None."""
    if limit is None:
        return list(records)
    kinds: dict[Hashable, list[T]] = {}
    for record in records:
        kinds.setdefault(kind(record), []).append(record)
    turns = chain.from_iterable(zip_longest(*kinds.values()))
    return [record for record in turns if record is not None][:limit]
