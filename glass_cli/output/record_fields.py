"""Fields of a run's JSON and YAML files, each checked to be what a run writes.

Thousands of results are in memory at once: what they have in common is kept once.

``where`` names the file, and the place in it, to the user. All raise Damaged.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, TypeVar

import yaml

from glass_cli.common.errors import one_line
from glass_cli.common.files import regular, why

_NONE: Mapping[str, float] = MappingProxyType({})
T = TypeVar("T", bound=Hashable)


class Damaged(Exception):
    """A file is not what a run writes; the message says which and why."""


def load(folder: Path, where: str, parse: Callable[[str], Any] = json.loads) -> Any:
    """The parsed file ``folder``/``where``, by default of JSON."""
    try:
        # by name: a Path would have each part of thousands of names among Python's own
        with open(regular(os.path.join(folder, where)), encoding="utf-8") as file:
            return parse(file.read())
    except OSError as error:
        raise Damaged(f"{where} cannot be read ({why(error)})") from error
    except (ValueError, RecursionError, yaml.YAMLError) as error:
        raise Damaged(f"{where} is not what was written ({one_line(error)[:80]})") from error


class _WithoutAliases(yaml.SafeLoader):
    """Of aliases, which no run writes, a few lines can stand for more than any memory holds."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        if self.check_event(yaml.AliasEvent):
            raise yaml.YAMLError("it has aliases")
        return super().compose_node(parent, index)


def plain_yaml(text: str) -> Any:
    """The value of a YAML text of data alone."""
    return yaml.load(text, _WithoutAliases)


@lru_cache(maxsize=1024, typed=True)
def once(value: T) -> T:
    """``value``, or an equal one that was seen lately: not for floats whose zero has a sign."""
    return value


def table_once(value: Any, where: str) -> Mapping[str, Any]:
    """A table like :func:`mapping`, or an equal one that was seen lately."""
    return _parsed_once(json.dumps(mapping(value, where)))


@lru_cache(maxsize=1024)
def _parsed_once(text: str) -> Mapping[str, Any]:
    return MappingProxyType(json.loads(text))


def mapping(value: Any, where: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise Damaged(f"{where} is not a table")
    return value


def rows(value: Any, where: str) -> list[Mapping[str, Any]]:
    if not isinstance(value, list) or not all(isinstance(row, Mapping) for row in value):
        raise Damaged(f"{where} is not a list of records")
    return value


def number(record: Mapping[str, Any], key: str, where: str) -> float | None:
    """A number, or None where it is missing or was not finite."""
    value = record.get(key)
    if value is None:
        return None
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise Damaged(f"{where} has {key} {value!r}, not a number")
    # no whole number that is written has so many digits that it is no float
    known = float(value) if abs(value) < 1e300 else math.inf
    return known if math.isfinite(known) else None


def count(record: Mapping[str, Any], key: str, where: str) -> int:
    """A whole number from 0."""
    value = record.get(key)
    if type(value) is not int or value < 0:
        raise Damaged(f"{where} has {key} {value!r}, not a whole number")
    return value


def text(record: Mapping[str, Any], key: str, where: str) -> str:
    value = record.get(key)
    if not isinstance(value, str):
        raise Damaged(f"{where} has {key} {value!r}, not a text")
    return value


def series(value: Any, where: str) -> tuple[float | None, ...] | None:
    """Numbers, None for each that was not finite; None where there is no list."""
    if value is None:
        return None
    if not isinstance(value, list):
        raise Damaged(f"{where} has {value!r}, not a list of numbers")
    return tuple(number({"entry": v}, "entry", where) for v in value)


def numbers(value: Any, where: str) -> Mapping[str, float]:
    """Name -> number of those that are known; none where there is no table."""
    if value is None:
        return _NONE
    table = mapping(value, f"{where}: metrics")
    values = {str(key): number(table, key, where) for key in table}
    return {key: known for key, known in values.items() if known is not None} or _NONE
