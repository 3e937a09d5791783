"""Where the configuration lies, and the folder a run writes into.

Only the standard library is imported here: `glass ls` and `glass --help` stay quick.
"""

from __future__ import annotations

import os
from pathlib import Path

from glass_cli.common.errors import GlassError
from glass_cli.common.files import cannot_write, expanded, writing_to

MAIN_CONFIG, EVAL_CONFIG = "config", "eval"
ERROR_FILE = "error.txt"  # what a failed run, or job of a sweep, leaves in its folder


def conf_dir() -> Path:
    """The folder of yaml files: inside the package in a wheel, beside it in a checkout."""
    package = Path(__file__).resolve().parents[1]
    for folder in (package / "conf", package.parent / "conf"):
        if (folder / f"{MAIN_CONFIG}.yaml").is_file():
            return folder
    raise GlassError(
        f"no conf/{MAIN_CONFIG}.yaml beside or inside {package}; the installation is broken, "
        "install glass again"
    )


def claim_new(folder: Path, key: str) -> Path:
    """Create `folder`, or `folder-2`, `folder-3`, ... when the name is taken; return its path.

    `mkdir` is atomic, so two runs that start in the same second never share a folder. `key` is
    the setting an error message names.
    """
    for number in range(1, 10_000):
        candidate = folder if number == 1 else folder.with_name(f"{folder.name}-{number}")
        with writing_to(candidate.parent, _advice(key)):
            candidate.parent.mkdir(parents=True, exist_ok=True)
        with writing_to(candidate, _advice(key)):
            try:
                candidate.mkdir()
            except FileExistsError:
                continue
        return _writable(candidate, key)
    raise cannot_write(folder, "ten thousand folders of that name exist", _advice(key))


def claim_given(folder: Path, key: str) -> Path:
    """Create the folder the user named, which may exist already, and check that it is writable."""
    with writing_to(folder, _advice(key)):
        folder.mkdir(parents=True, exist_ok=True)
    return _writable(folder, key)


def _writable(folder: Path, key: str) -> Path:
    if not os.access(folder, os.W_OK | os.X_OK):
        raise cannot_write(folder, "no permission", _advice(key))
    return folder


def _advice(key: str) -> str:
    return f"choose another folder with {key}=FOLDER"


def from_here(path: Path) -> str:
    """``path`` for a message: relative where it lies in the working directory, else absolute."""
    whole, here = Path(os.path.abspath(path)), Path.cwd()
    return str(whole.relative_to(here) if whole.is_relative_to(here) else whole)


def cache() -> Path:
    """Where downloaded lists and measured windows are kept.

    ``$XDG_CACHE_HOME/glass``, or ``~/.cache/glass``; below ``os.devnull``, where nothing can be
    kept, for a user without a home.
    """
    named = os.environ.get("XDG_CACHE_HOME")
    home = expanded("~/.cache")
    return (Path(named) if named else home if home.is_absolute() else Path(os.devnull)) / "glass"
