"""The settings that decide a run's results: results of different ones are never mixed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from glass_cli.common.files import atomic_write, json_text, plain
from glass_cli.common.version import __version__
from glass_cli.output.lock import Refused

IDENTITY = "identity.json"
# Where and how a run is done, what it is called, and what else is kept of it.
_FREE = (
    "hydra",
    "wandb",
    "launcher",
    "micro_batch",
    "name",
    "fresh",
    "thumbnails",
    # not read by glass eval, whose prompts are the benchmark's
    "prompt",
    "prompts",
)
# How much at a time and where, in any group.
_FREE_ANYWHERE = ("batch", "device", "offload", "local_files_only")
_ABSENT = object()


def identity(
    config: Mapping[str, Any], free: Iterable[str] = (), named: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Dotted key -> value of all that decides the results, and the version of glass.

    ``free`` are further dotted keys that do not. ``named`` has keys under which the configuration
    only names things, such as metrics, and for each of them name -> settings object.
    """
    left_out = {*_FREE, *free, *(named or {})}
    found = _flat(config, "", left_out)
    for key, things in (named or {}).items():
        found[key] = list(things)
        found |= _flat(_fields(things), f"{key}.", left_out)
    return {"glass_version": __version__, **dict(sorted(found.items()))}


def _fields(value: Any) -> Any:
    """Settings objects as mappings, their class under ``_target_``."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        own = {f.name: _fields(getattr(value, f.name)) for f in dataclasses.fields(value)}
        kind = type(value)
        return {"_target_": f"{kind.__module__}.{kind.__qualname__}", **own}
    if isinstance(value, Mapping):
        return {str(key): _fields(item) for key, item in value.items()}
    return value


def _flat(node: Mapping[str, Any], prefix: str, left_out: set[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        if name in left_out or str(key) in _FREE_ANYWHERE:
            continue
        if isinstance(value, Mapping):
            found.update(_flat(value, f"{name}.", left_out))
        else:
            found[name] = plain(value, finite=False)
    return found


def same_settings(folder: Path, now: Mapping[str, Any]) -> None:
    """Writes ``folder``/identity.json, or raises Refused where it says something else."""
    path = folder / IDENTITY
    text = json_text(now, indent=1)
    before = _read(path)
    if before is None and any((folder / "results").glob("*/*.json")):
        raise Refused(
            f"{folder} holds results, but {IDENTITY}, which says of what settings, is"
            f" {'torn' if path.exists() else 'gone'}; name=NAME writes to a new folder, --fresh"
            " starts anew in this one"
        )
    if before is None:
        with atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
        return
    after = json.loads(text)
    differing = [key for key in [*before, *after] if before.get(key, _ABSENT) != _get(after, key)]
    if not differing:
        return
    # the version last: a changed setting says more
    key = min(dict.fromkeys(differing), key=lambda name: name == "glass_version")
    more = len(set(differing)) - 1
    others = f" (and {more} other setting{'s' * (more > 1)})" if more else ""
    raise Refused(
        f"{folder} holds results of {key}={_shown(before, key)}, now it is {_shown(after, key)}"
        f"{others}; name=NAME writes to a new folder, --fresh starts anew in this one"
    )


def _get(values: Mapping[str, Any], key: str) -> Any:
    return values.get(key, _ABSENT)


def _shown(values: Mapping[str, Any], key: str) -> str:
    return json_text(values[key]).strip('"') if key in values else "absent"


def _read(path: Path) -> dict[str, Any] | None:
    """What the file says; None where there is none, or a crash of the machine left half of it."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (FileNotFoundError, ValueError):
        return None
    return found if isinstance(found, dict) else None
