"""The errors of a sweep's jobs, each kept in a file by whatever process ran the job."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping
from pathlib import Path

from glass_cli.common.messages import say
from glass_cli.common.paths import ERROR_FILE


def new_name() -> str:
    """A name that no other sweep has, whatever others are at work in the same folder."""
    return f"{socket.gethostname()}-{os.getpid()}-{time.monotonic_ns()}"


def place_of(error: Exception, folder: Path, sweep: str) -> Path:
    """Where the error of the job in ``folder`` is kept: beside it, where it is another's."""
    if getattr(error, "leaves_no_file", False):
        return folder.with_name(f".refused-{sweep}-{folder.name}.txt")
    return folder / ERROR_FILE


def errors_in(folder: Path) -> dict[Path, int]:
    """The errors in the jobs' own folders, and when each was written."""
    return {path: path.stat().st_mtime_ns for path in sorted(folder.rglob(ERROR_FILE))}


def say_errors(folder: Path, sweep: str, before: Mapping[Path, int]) -> bool:
    """Says which jobs of a sweep failed; False where none did.

    before: the errors of an earlier sweep in the same folder. A clock may have been set back since:
        other times, not later ones, are those of this sweep.
    """
    own = [path for path, changed in errors_in(folder).items() if before.get(path) != changed]
    refused = sorted(folder.rglob(f".refused-{sweep}-*.txt"))
    errors = [*own, *refused]
    if errors:
        say(f"{len(errors)} job{'s' * (len(errors) > 1)} of the sweep failed:")
    for path in errors:
        line = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        say(f"  {path.parent}: {line or 'its error could not be kept'}")
    for path in refused:
        path.unlink(missing_ok=True)
    return bool(errors)
