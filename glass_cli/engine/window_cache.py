"""Decision windows in the user's cache: ``$XDG_CACHE_HOME/glass/windows``, or ~/.cache's.

A window belongs to a model and a reward, and is saved under what decides it of their settings.
Nothing heavy is imported to look one up.
"""

from __future__ import annotations

import hashlib
import importlib.util
import itertools
import json
import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glass_cli.common import hub
from glass_cli.common.files import atomic_write, json_text, regular, why
from glass_cli.common.messages import say
from glass_cli.common.paths import cache
from glass_cli.output.identity import identity

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings

FORMAT = 2  # of the files, and of how a pilot measures: another one is measured anew
# Settings that do not move a window, beside those that decide no result at all.
_FREE = ("calls", "compile", "vae_slicing", "vae_tiling", "quantization", "dtype")
# Prompts from which on what a run measured on its own holds for others too.
FEWEST = 8


class MeasuredWindow(NamedTuple):
    """The share of the final reward's variance that r(x_hat) explains, over T times.

    t: of the model, rising, between 0 (noise) and 1 (data).
    even: the times of the straight path with the same noise, between 0 and 1.
    foretold: the shares, from 0 to 1; NaN of a reward that did not vary.
    nfe: the network calls that the measurement took.
    prompts: over how many it was measured.
    measured_by: "pilot" or "benchmark=window".
    """

    t: list[float]
    even: list[float]
    foretold: list[float]
    nfe: int
    prompts: int
    measured_by: str


def of_few(prompts: Sequence[str]) -> tuple[str, ...]:
    """The prompts, each once and in order, where they are fewer than FEWEST: what a run measures on
    them is cached for runs of the same prompts alone. Else none."""
    distinct = sorted(set(prompts))
    return tuple(distinct) if len(distinct) < FEWEST else ()


def few_of(window: MeasuredWindow, prompts: Sequence[str]) -> tuple[str, ...]:
    """The prompts of a run that its window is of alone: :func:`of_few` of a pilot on them."""
    of_them = window.measured_by == "pilot" and window.prompts < FEWEST
    return of_few(prompts) if of_them else ()


def belongs_to(settings: Settings, few: Sequence[str] = ()) -> dict[str, Any]:
    """What a window depends on: the settings of model and reward, and the files they name; with
    ``few``, see :func:`of_few`, these prompts too."""
    named = {"model": settings.model, "reward": settings.reward}
    decides = identity({}, named={"": named})
    del decides["glass_version"], decides[""]
    decides = {k.lstrip("."): v for k, v in decides.items() if k.rpartition(".")[2] not in _FREE}
    stamps = {f"{key} on disk": _stamp(key, value) for key, value in decides.items()}
    of_prompts = {"prompts": list(few)} if few else {}
    known = {k: v for k, v in stamps.items() if v is not None}
    return {"format": FORMAT, **decides, **known, **of_prompts}


def _stamp(key: str, value: Any) -> str | None:
    """Changes with the file, folder or module that ``value`` names; None where it names none."""
    if not isinstance(value, str) or not value.strip():
        return None
    if key.rpartition(".")[2] in ("target", "_target_"):  # code of the user's own
        return None if value.startswith("glass_cli.") else _module_digest(value.rpartition(".")[0])
    path = hub.local(value)
    if path is None or not path.exists():
        return None
    files = sorted(p for p in path.rglob("*") if p.is_file()) if path.is_dir() else [path]
    stats = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr(stats).encode()).hexdigest()


def _module_digest(module: str) -> str | None:
    """Changes with the module's file."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def cache_file(kind: str, settings: Settings, decides: Mapping[str, Any]) -> Path:
    """A file of this model and reward in the folder ``kind`` of the user's cache, named by a digest
    of what decides what it holds."""
    text = json.dumps(decides, sort_keys=True, default=str)
    names = (type(settings.model).__name__, type(settings.reward).__name__)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache() / kind / f"{'-'.join(names).lower()}-{digest}.json"


def path_of(settings: Settings, few: Sequence[str] = ()) -> Path:
    """The file of this model's and reward's window in the user's cache, see :func:`belongs_to`."""
    return cache_file("windows", settings, belongs_to(settings, few))


def read(path: Path, quiet: bool = False) -> tuple[MeasuredWindow, dict[str, Any]] | None:
    """The window in a file, and the file's whole record; None where there is none or no whole one.

    Whatever is not as it was written makes it damaged, which is said unless ``quiet``: it is then
    measured anew.
    """
    try:
        record = json.loads(regular(path).read_text(encoding="utf-8"))
        window = MeasuredWindow(**record["window"])
        t, even, foretold = ([float(v) for v in values] for values in window[:3])
        if record["format"] != FORMAT or not _is_whole(t, even, foretold):
            return None
        return window._replace(t=t, even=even, foretold=foretold, nfe=int(window.nfe)), record
    except (FileNotFoundError, NotADirectoryError):
        return None
    except OSError as error:
        reason = f"cannot be read ({why(error)})"
    except (ValueError, TypeError, KeyError, RecursionError):
        reason = "is damaged"
    if not quiet:
        say(f"{path} {reason}; the window is measured anew")
    return None


def read_own(
    path: Path, settings: Settings, few: Sequence[str] = (), quiet: bool = False
) -> tuple[MeasuredWindow, dict[str, Any]] | None:
    """As :func:`read`, and None where the window is of another model or reward, or of few prompts
    which are not ``few``."""
    window = read(path, quiet)
    # as a file gives it back
    known = [json.loads(json_text(belongs_to(settings, of))) for of in ((), few)]
    return None if window is None or window[1].get("of") not in known else window


def _is_whole(t: list[float], even: list[float], foretold: list[float]) -> bool:
    rising = all(a < b for a, b in itertools.pairwise(t))
    inside = all(0.0 < v < 1.0 for v in [*t, *even])
    shares = all(math.isnan(v) or 0.0 <= v <= 1.0 for v in foretold)
    return len(t) == len(even) == len(foretold) > 0 and rising and inside and shares


def write(path: Path, window: MeasuredWindow, more: Mapping[str, Any]) -> None:
    """Writes the window, and ``more`` beside it, aside and renames the file. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    record = {"format": FORMAT, **more, "window": window._asdict()}
    # shares that are not known (NaN) have no word in strict JSON, but Python reads its own
    text = json.dumps(record, indent=1)
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def save(settings: Settings, window: MeasuredWindow, few: Sequence[str] = ()) -> Path | None:
    """Saves a window for later runs, those of ``few`` prompts where it is of them, and returns its
    file.

    None, after saying so on standard error, where the cache cannot be written: a window is worth
    no run.
    """
    path = path_of(settings, few)
    try:
        write(path, window, {"of": json.loads(json_text(belongs_to(settings, few)))})
    except OSError as error:
        say(f"the window cannot be cached in {path} ({why(error)})")
        return None
    return path
