"""The settings that decide a run's results: results of different ones are never mixed."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from glass_cli.common.files import atomic_write, json_text, plain, regular, writing_to
from glass_cli.common.version import __version__
from glass_cli.output.lock import Refused

IDENTITY = "identity.json"
METRICS = "metrics.json"  # settings of the metrics by which `glass score` scored later
# Where and how a run is done, what it is called, and what else is kept of it.
_FREE = (
    "hydra",
    "wandb",
    "launcher",
    "micro_batch",
    "name",
    "fresh",
    "published",
    "thumbnails",
    # not read by glass eval, whose prompts are the benchmark's
    "prompt",
    "prompts",
)
# How many prompts and images there are does not change what an image shows.
SIZES = ("limit", "benchmark.limit", "benchmark.images")
# How much at a time and where, in any group.
_FREE_ANYWHERE = ("batch", "device", "offload", "local_files_only")
_ABSENT = object()
_CLASS = "._target_"
_SHOWN = 60  # characters of a value
_ADVICE = (
    "name=NAME or hydra.run.dir=FOLDER writes to a new folder, --fresh starts anew in this one"
)


def identity(
    config: Mapping[str, Any], free: Iterable[str] = (), named: Mapping[str, Any] | None = None
) -> dict[str, Any]:
    """Dotted key -> value of all that decides the results, and the version of glass.

    config: plain values.
    free: further dotted keys that decide nothing.
    named: keys under which the configuration only names things, such as metrics, and for each of
        them name -> settings object.
    """
    left_out = {*_FREE, *free, *(named or {})}
    flat = _flat(config, "", left_out)
    for key, things in (named or {}).items():
        flat[key] = list(things)
        flat |= _flat(_fields(things), f"{key}.", left_out)
    return {"glass_version": __version__, **dict(sorted(flat.items()))}


def decides(key: str) -> bool:
    """Whether the setting under a dotted key decides what a result shows."""
    parts = key.split(".")
    above = {".".join(parts[: i + 1]) for i in range(len(parts))}
    return not above & {*_FREE, *SIZES} and parts[-1] not in _FREE_ANYWHERE


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
    flat: dict[str, Any] = {}
    for key, value in node.items():
        name = f"{prefix}{key}"
        if name in left_out or str(key) in _FREE_ANYWHERE:
            continue
        if isinstance(value, Mapping):
            flat.update(_flat(value, f"{name}.", left_out))
        else:
            flat[name] = plain(value, finite=False)
    return flat


def same_settings(folder: Path, now: Mapping[str, Any]) -> None:
    """Writes ``folder``/identity.json, or raises Refused where it says something else."""
    path = folder / IDENTITY
    text = json_text(now, indent=1)
    before = _read(path)
    if before is None and any((folder / "results").glob("*/*.json")):
        raise Refused(
            f"{folder} holds results, but {IDENTITY}, which says of what settings, is"
            f" {'damaged' if path.exists() else 'gone'}; {_ADVICE}"
        )
    if before is None:
        with writing_to(folder), atomic_write(path) as part:
            part.write_text(text, encoding="utf-8")
        return
    difference = _difference(before, json.loads(text))
    if difference is not None:
        raise Refused(f"{folder} holds results of other settings: {difference}; {_ADVICE}")


def metric_settings(name: str, metric: Any) -> dict[str, Any]:
    """Dotted key -> value of all that decides a metric's scores, and the version of glass."""
    flat = identity({}, named={"metrics": {name: metric}})
    return _of_metric(flat, name)


def _of_metric(flat: Mapping[str, Any], name: str) -> dict[str, Any]:
    prefix = f"metrics.{name}."
    own = {key.removeprefix(prefix): v for key, v in flat.items() if key.startswith(prefix)}
    return {**own, "glass_version": flat.get("glass_version")} if own else {}


def same_metrics(
    folder: Path, now: Mapping[str, Mapping[str, Any]], scored: Mapping[str, bool | None]
) -> None:
    """Writes the settings of metrics to ``folder``/metrics.json, beside those of others.

    now: name -> what :func:`metric_settings` gives.
    scored: name -> whether the metric has scored all that it shall; None where it has scored
        nothing, so that earlier settings do not matter.

    Raises Refused where a metric has scored with other settings, here or while the run was drawn.
    Scores of another version of glass are not mixed with new ones, but may stand.
    """
    drawn, before = _read(folder / IDENTITY) or {}, _read(folder / METRICS) or {}
    kept = dict(before)
    for name, settings in now.items():
        own = before.get(name) or _of_metric(drawn, name)
        after = json.loads(json_text(settings))
        if scored[name]:
            after["glass_version"] = own.get("glass_version")
        difference = _difference(own, after) if own else None
        if scored[name] is not None and difference is not None:
            raise Refused(
                f"{folder} has scores of {name} with other settings: {difference}; a yaml of your"
                " own gives these another name (MY_CONF/reward/NAME.yaml, -cd MY_CONF)"
            )
        if not scored[name]:
            kept[name] = after
    if kept != before:
        with writing_to(folder), atomic_write(folder / METRICS) as part:
            part.write_text(json_text(kept, indent=1), encoding="utf-8")


def _difference(before: Mapping[str, Any], after: Mapping[str, Any]) -> str | None:
    """The settings that differ, in words; None where none do."""
    keys = dict.fromkeys([*before, *after])
    differing = [key for key in keys if before.get(key, _ABSENT) != after.get(key, _ABSENT)]
    differing.sort(key=lambda key: key == "glass_version")  # last: a changed setting says more
    shown = [
        f"{key.removesuffix(_CLASS)}={_shown(before, key)} (now {_shown(after, key)})"
        for key in differing
        if not _follows(key, differing, before, after)
    ]
    return ", ".join(shown) or None


def _follows(
    key: str, differing: Sequence[str], before: Mapping[str, Any], after: Mapping[str, Any]
) -> bool:
    """Whether a key is there on one side only because another class was chosen."""
    one_sided = (key in before) != (key in after)
    return one_sided and any(
        other != key and other.endswith(_CLASS) and key.startswith(other.removesuffix("_target_"))
        for other in differing
    )


def _shown(values: Mapping[str, Any], key: str) -> str:
    if key not in values:
        return "absent"
    text = json_text(values[key]).strip('"')
    if key.endswith(_CLASS):
        text = text.rpartition(".")[2]
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 3]}..."


def _read(path: Path) -> dict[str, Any] | None:
    """What the file says; None where there is none, or a crash of the machine left half of it."""
    try:
        values = json.loads(regular(path).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return None
    return values if isinstance(values, dict) else None
