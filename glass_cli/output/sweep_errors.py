"""The errors of a sweep's jobs, each kept in a file by whatever process ran the job."""

from __future__ import annotations

import os
import socket
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

from glass_cli.common.messages import say
from glass_cli.common.paths import ERROR_FILE

_APART = 2  # so many jobs that failed alike are named one by one


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
    alike: dict[str, list[tuple[Path, str]]] = {}
    for path in errors:
        line = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
        line = line or "its error could not be kept"
        reason = line.partition(": ")[2] or line  # behind what was typed for the job
        alike.setdefault(reason, []).append((path.parent, line))
    for reason, jobs in alike.items():
        _say_jobs(reason, jobs)
    for path in refused:
        path.unlink(missing_ok=True)
    return bool(errors)


def _say_jobs(reason: str, jobs: Sequence[tuple[Path, str]]) -> None:
    """One line for each job, or one for all where there are many."""
    if len(jobs) <= _APART:
        for folder, line in jobs:
            say(f"  {folder}: {line}")
        return
    say(f"  {jobs[0][0]} and {len(jobs) - 1} more beside it: {reason}")
