"""Decision windows kept in the user's cache: ``$XDG_CACHE_HOME/glass/windows``, or ~/.cache's.

A window belongs to a model and a reward, and is saved under what decides it of their settings.
Nothing heavy is imported to look one up.
"""

from __future__ import annotations

import hashlib
import importlib.util
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from glass_cli.common import hub
from glass_cli.common.messages import say
from glass_cli.common.files import atomic_write, json_text
from glass_cli.common.paths import cache
from glass_cli.output.identity import identity

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings

FORMAT = 1  # of the files, and of how a pilot measures: another one is measured anew
# Settings that do not move a window, beside those that decide no result at all.
_FREE = ("calls", "compile", "vae_slicing", "vae_tiling", "quantization", "dtype")


class Window(NamedTuple):
    """The share of the final reward's variance that r(x_hat) explains, over time.

    ``t`` are the model's times, ``even`` those of the straight path with the same noise. ``nfe``
    are the network calls that it took.
    """

    t: list[float]
    even: list[float]
    foretold: list[float]
    nfe: int
    prompts: int
    measured_by: str  # pilot, or benchmark=window


def belongs_to(settings: Settings) -> dict[str, Any]:
    """What a window depends on: the settings of model and reward, and the files they name."""
    named = {"model": settings.model, "reward": settings.reward}
    found = identity({}, named={"": named})
    del found["glass_version"], found[""]
    found = {k.lstrip("."): v for k, v in found.items() if k.rpartition(".")[2] not in _FREE}
    stamps = {f"{key} on disk": _stamp(key, value) for key, value in found.items()}
    return {"format": FORMAT, **found, **{k: v for k, v in stamps.items() if v is not None}}


def _stamp(key: str, value: Any) -> str | None:
    """Changes with the file, folder or module that ``value`` names; None where it names none."""
    if not isinstance(value, str) or not value.strip():
        return None
    if key.rpartition(".")[2] in ("target", "_target_"):  # code of the user's own
        return None if value.startswith("glass_cli.") else _code(value.rpartition(".")[0])
    found = hub.local(value)
    if found is None or not found.exists():
        return None
    files = sorted(p for p in found.rglob("*") if p.is_file()) if found.is_dir() else [found]
    told = [(p.name, p.stat().st_size, p.stat().st_mtime_ns) for p in files]
    return hashlib.sha256(repr(told).encode()).hexdigest()


def _code(module: str) -> str | None:
    """Changes with the module's file."""
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    if spec is None or spec.origin is None or not Path(spec.origin).is_file():
        return None
    return hashlib.sha256(Path(spec.origin).read_bytes()).hexdigest()


def place(settings: Settings) -> Path:
    """The file of this model's and reward's window in the user's cache."""
    text = json.dumps(belongs_to(settings), sort_keys=True, default=str)
    names = (type(settings.model).__name__, type(settings.reward).__name__)
    digest = hashlib.sha256(text.encode()).hexdigest()[:16]
    return cache() / "windows" / f"{'-'.join(names).lower()}-{digest}.json"


def read(path: Path) -> tuple[Window, dict[str, Any]] | None:
    """The window in a file and all that the file says; None where there is none, or it is damaged.

    Whatever is not as it was written makes it damaged: it is then measured anew.
    """
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
        window = Window(**told["window"])
        lists = [[float(v) for v in values] for values in window[:3]]
        window = window._replace(t=lists[0], even=lists[1], foretold=lists[2])
        # a reward that never varied has no shares
        shares = [v for v in window.foretold if not math.isnan(v)]
        rising = all(a < b for a, b in zip(window.t, window.t[1:], strict=False))
        inside = all(0.0 < v < 1.0 for v in [*window.t, *window.even])
        fits = len({len(values) for values in window[:3]}) == 1 and window.t
        if told["format"] != FORMAT or not (fits and rising and inside):
            return None
        if not all(0.0 <= v <= 1.0 for v in shares):
            return None
        return window._replace(nfe=int(window.nfe)), told
    except (FileNotFoundError, NotADirectoryError):
        return None
    except (OSError, ValueError, TypeError, KeyError):
        say(f"{path} is damaged; the window is measured anew")
        return None


def write(path: Path, window: Window, more: Mapping[str, Any]) -> None:
    """Writes the file aside and renames it. Raises OSError."""
    path.parent.mkdir(parents=True, exist_ok=True)
    told = {"format": FORMAT, **more, "window": window._asdict()}
    # shares that are not known (NaN) have no word in strict JSON, but Python reads its own
    text = json.dumps(told, indent=1)
    with atomic_write(path) as part:
        part.write_text(text, encoding="utf-8")


def save(settings: Settings, window: Window) -> Path | None:
    """Keeps a window for later runs; None, after saying so, where the cache cannot be written."""
    path = place(settings)
    try:
        write(path, window, {"of": json.loads(json_text(belongs_to(settings)))})
    except OSError as error:
        say(f"the window cannot be kept in {path} ({error.strerror or error})")
        return None
    return path
