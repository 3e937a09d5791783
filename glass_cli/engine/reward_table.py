"""A plan's table of rewards in the user's cache, a file a prompt.

A table belongs to a model and a reward, not to a budget: a plan for another budget, or one made
anew, draws only the ways of sampling that no plan has drawn before.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glass_cli.common.files import atomic_write, json_text, regular, why
from glass_cli.common.messages import say
from glass_cli.engine import window_cache

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings
    from glass_cli.engine.draw import Work
    from glass_cli.steering.policies import Way

FORMAT = 1
_Rows = list[list[float]]


def measured_rows(
    settings: Settings,
    work: Callable[[], Work],
    prompt: str,
    ways: Sequence[Way],
    samples: int,
    watch: Callable[[float], None],
) -> dict[str, Any]:
    """A table's rows of one prompt, see :func:`plan_measurement.measure_prompt`; what the cache has
    is not drawn again, and costs nothing here.

    work: loads the model, where something is missing.

    Raises GlassError.
    """
    of = _belongs_to(settings, prompt)
    path = window_cache.cache_file("tables", settings, of)
    known = _read(path, of)
    missing = [way for way in ways if len(known.get(repr(way), ())) < samples]
    part: dict[str, Any] = {"prompt": prompt, "nfe": 0, "reward_calls": 0, "seconds": 0.0}
    if missing:
        from glass_cli.engine.plan_measurement import measure_prompt

        negative = settings.root.negative_prompt
        part = measure_prompt(work(), prompt, negative, missing, samples, watch)
        new = {repr(way): part["rows"][way.name] for way in missing}
        # another process may have added ways of its own meanwhile
        known |= {**_read(path, of), **new}
        _save(path, of, known)
    # every draw has its own generator, so that the first of many are those of a few
    return {**part, "rows": {way.name: known[repr(way)][:samples] for way in ways}}


def _belongs_to(settings: Settings, prompt: str) -> dict[str, Any]:
    of = {"table": FORMAT, "prompt": prompt, "negative_prompt": settings.root.negative_prompt}
    root = settings.root
    here = {"dtype": str(root.dtype), "device": str(root.device)}
    decides = {**window_cache.belongs_to(settings), **of, **here}
    return dict(json.loads(json_text(decides)))  # as a file gives it back


def _read(path: Path, of: Mapping[str, Any]) -> dict[str, _Rows]:
    """The rows in a file, by way; none where there is no file, or no whole one of this prompt."""
    try:
        record = json.loads(regular(path).read_text(encoding="utf-8"))
        if record["of"] == of:
            return {
                str(way): [[float(value) for value in row] for row in rows]
                for way, rows in record["rows"].items()
            }
        return {}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError):
        say(f"{path} cannot be read or is damaged; what it held is measured anew")
        return {}


def _save(path: Path, of: Mapping[str, Any], rows: Mapping[str, _Rows]) -> None:
    """Writes the file aside and renames it; a cache that cannot be written is said and no error."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        with atomic_write(path) as part:
            part.write_text(json_text({"of": of, "rows": rows}), encoding="utf-8")
    except OSError as error:
        say(f"the plan's table cannot be cached in {path} ({why(error)})")
