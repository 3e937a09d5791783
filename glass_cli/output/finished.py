"""A finished picture: what is kept of it, and whether all of that is there."""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from glass_cli.common.files import regular

DIGESTS, THUMBNAILS = "sha256", "thumbnails_sha256"
# What a result has for each particle and step; the rest of it is one number or text each.
LONG = ("particles", "steps", THUMBNAILS)


class Unit(NamedTuple):
    """One steered run.

    prompt_index: the number of its prompt, from 0.
    image_index: its number among that prompt's, from 0.
    """

    prompt_index: int
    image_index: int

    @property
    def inside(self) -> Path:
        return Path(f"{self.prompt_index:05d}", f"{self.image_index:04d}")


class Finished(NamedTuple):
    """A finished unit, as plain data that may come from another process or machine.

    unit: which one.
    result, times: what their JSON files hold.
    files: further files by their paths within the folder: pictures, thumbnails, plots.
    """

    unit: Unit
    result: dict[str, Any]
    times: dict[str, Any]
    files: dict[str, bytes]


def short(result: Mapping[str, Any]) -> dict[str, Any]:
    """A result without its particles and steps: what is kept in memory of thousands."""
    return {key: value for key, value in result.items() if key not in LONG}


def is_whole(result: Mapping[str, Any], unit: Unit) -> bool:
    """Whether a result is of ``unit``, and has what each has."""
    lists = [result.get(key) for key in ("particles", "steps")]
    return (
        (result.get("prompt_index"), result.get("image_index")) == unit
        and isinstance(result.get("prompt"), str)
        and isinstance(result.get(DIGESTS), Mapping)
        and all(isinstance(rows, list) for rows in lists)
        and all(isinstance(row, Mapping) for rows in lists for row in rows or ())
    )


def shared_keys(pairs: Sequence[tuple[str, Any]]) -> dict[str, Any]:
    """A JSON object whose keys are kept once for all that have them: thousands are in memory."""
    return {sys.intern(key): value for key, value in pairs}


def read_object(path: Path) -> dict[str, Any] | None:
    """The JSON object in a file; None where there is none, or none that is whole."""
    try:
        value = json.loads(regular(path).read_text(encoding="utf-8"), object_pairs_hook=shared_keys)
    except (OSError, ValueError, RecursionError):
        return None
    return value if isinstance(value, dict) else None
