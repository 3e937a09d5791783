"""The versions that a run was made with: of the code, of the libraries and of the weights."""

from __future__ import annotations

import hashlib
import json
import os
import re
import subprocess
from collections.abc import Mapping
from functools import cache
from importlib import metadata
from pathlib import Path
from typing import Any

from glass_cli.common import hub
from glass_cli.common.files import atomic_write, json_text, regular, writing_to
from glass_cli.common.version import __version__

VERSIONS = "versions.json"
_PACKAGE = Path(__file__).resolve().parents[1]
_LIBRARIES = ("torch", "diffusers", "transformers")
# Settings that name weights, in the groups that load some.
_GROUPS = ("model", "reward", "metrics", "benchmark")
_NAMES = ("path", "clip", "tokenizer", "processor", "lora")
_WHOLE = 64 * 2**20  # bytes of a file up to which all of it is hashed
_END = 2**20
_DIGITS = 16  # of a digest, in hexadecimal
_SECONDS = 10.0  # git may take
_COMMIT = re.compile(r"[0-9a-f]{40}")


def note_versions(folder: Path, settings: Mapping[str, Any]) -> None:
    """Adds to ``versions.json`` what is drawn with from now on, if that is new there.

    settings: dotted key -> value of what decides the results.

    A run that is continued by other code has several versions. Weights that are not yet downloaded
    have none: called again at the end, this puts theirs in. Raises GlassError.
    """
    now = versions(settings)
    known = [each for each in read_versions(folder) if not _before_download(each, now)]
    if now in known:
        return
    with writing_to(folder), atomic_write(folder / VERSIONS) as part:
        part.write_text(json_text([*known, now], indent=1), encoding="utf-8")


def read_versions(folder: Path) -> list[dict[str, Any]]:
    """What :func:`note_versions` has noted, in order; empty where nothing whole is there."""
    try:
        value = json.loads(regular(folder / VERSIONS).read_text(encoding="utf-8"))
    except (OSError, ValueError, RecursionError):
        return []
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _before_download(earlier: Mapping[str, Any], now: Mapping[str, Any]) -> bool:
    """Whether two records are the same but for weights that had no version yet."""
    weights = earlier.get("weights")
    if not isinstance(weights, Mapping) or {**earlier, "weights": 0} != {**now, "weights": 0}:
        return False
    new = now["weights"]
    return weights != new and all(new.get(k) == v for k, v in weights.items() if v is not None)


def versions(settings: Mapping[str, Any]) -> dict[str, Any]:
    """``glass``, ``commit``, the libraries by their names, and ``weights``: name -> version.

    The commit is None outside of a checkout, and ends with "+changes" where files differ from it.
    """
    return {"glass": __version__, "commit": commit(), **libraries(), "weights": weights(settings)}


@cache
def commit() -> str | None:
    """The commit of the checkout that this code is in; None where it is in none."""
    above = _PACKAGE.parent

    def git(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = ["git", "-C", str(above), *arguments]
        return subprocess.run(
            command,
            capture_output=True,
            encoding="utf-8",
            errors="surrogateescape",
            timeout=_SECONDS,
        )

    try:
        top = git("rev-parse", "--show-toplevel", "HEAD")
        lines = top.stdout.splitlines()
        # an installed package may lie in an environment that is within someone else's checkout
        if top.returncode or len(lines) != 2 or Path(lines[0]).resolve() != above:
            return None
        changed = git("diff", "--quiet", "HEAD", "--", _PACKAGE.name, "conf").returncode
    except (OSError, subprocess.TimeoutExpired):
        return None
    return f"{lines[1][:_DIGITS]}{'+changes' if changed else ''}"


@cache
def libraries() -> dict[str, str | None]:
    """The versions of the libraries that draw, None where one is not installed."""
    installed: dict[str, str | None] = {}
    for name in _LIBRARIES:
        try:
            installed[name] = metadata.version(name)
        except metadata.PackageNotFoundError:
            installed[name] = None
    return installed


def weights(settings: Mapping[str, Any]) -> dict[str, str | None]:
    """What the settings load, by its name there, -> its version.

    That of a file or folder is a digest of its content (of files above 64 MiB of size and both
    ends), that of a repository of the hub the commit in the cache, None where it is not there.
    """
    digests: dict[str, str | None] = {}
    for key, value in sorted(settings.items()):
        parts = key.split(".")
        if not isinstance(value, str) or parts[0] not in _GROUPS or parts[-1] not in _NAMES:
            continue
        if key == "benchmark.path":  # a list of prompts
            continue
        place = hub.local(value)
        if place is None:
            digests[value] = _in_cache(value, settings.get(f"{parts[0]}.revision"))
        elif place.exists():
            digests[value] = _digest(place)
    return digests


def _digest(place: Path) -> str:
    files = [place] if place.is_file() else sorted(p for p in place.rglob("*") if p.is_file())
    total = hashlib.sha256()
    for path in files:
        name = path.relative_to(place).as_posix() if path != place else ""
        state = path.stat()
        total.update(f"{name}\0{_file_digest(path, state.st_size, state.st_mtime_ns)}\0".encode())
    return total.hexdigest()[:_DIGITS]


@cache
def _file_digest(path: Path, size: int, changed: int) -> str:
    """Of a file of that size, last changed then."""
    digest = hashlib.sha256(str(size).encode())
    with path.open("rb") as file:
        if size <= _WHOLE:
            digest.update(file.read())
        else:
            digest.update(file.read(_END))
            file.seek(-_END, os.SEEK_END)
            digest.update(file.read())
    return digest.hexdigest()


def _in_cache(repository: str, revision: Any) -> str | None:
    """The commit of a repository in the hub's cache; None where it is not there."""
    if isinstance(revision, str) and _COMMIT.fullmatch(revision):
        return revision[:_DIGITS]
    from huggingface_hub import constants

    folder = Path(constants.HF_HUB_CACHE) / f"models--{repository.replace('/', '--')}"
    try:
        text = (folder / "refs" / str(revision or "main")).read_text(encoding="utf-8").strip()
    except OSError:
        return None
    return text[:_DIGITS] or None
