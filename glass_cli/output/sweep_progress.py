"""How far the jobs of a sweep are that run in other processes, or on other machines."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from glass_cli.common.messages import say
from glass_cli.common.paths import ERROR_FILE, from_here
from glass_cli.output.writer import SUMMARY

_EVERY = 2.0  # seconds
_LOGS = ".submitit"  # in the sweep's folder, where submitit keeps what jobs print


@contextmanager
def sweep_progress(folder: Path, every: float = _EVERY) -> Iterator[None]:
    """Says on standard error which jobs have ended, while the block waits for them.

    folder: of the sweep, which all jobs write below.
    every: seconds between two looks.

    Jobs that ended earlier are not told of.
    """
    ends = _Ends(folder)
    say(f"the jobs run in processes of their own; their folders are in {folder}")
    over = threading.Event()

    def watch() -> None:
        while not over.wait(every):
            ends.say_new()

    thread = threading.Thread(target=watch, name="sweep progress", daemon=True)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()
        ends.say_new()
        if (folder / _LOGS).is_dir():
            say(f"what the jobs printed is in {folder / _LOGS}")


class _Ends:
    """The jobs in ``folder`` that have ended since this was made."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        # compared for being the same and not for order: a clock may be set back meanwhile
        self._before = {path: _changed(path) for path in self._files()}
        self._shown: set[Path] = set()

    def _files(self) -> list[Path]:
        return [p for name in (SUMMARY, ERROR_FILE) for p in self._folder.glob(f"*/{name}")]

    def say_new(self) -> None:
        """Says which have ended since it was last called, oldest first."""
        ended = {path: _changed(path) for path in self._files() if path not in self._shown}
        for path in sorted(ended, key=ended.__getitem__):
            if ended[path] in (0, self._before.get(path)):  # of an earlier sweep, or gone
                continue
            self._shown.add(path)
            where = f"{len(self._shown)} ended so far: {from_here(path.parent)}"
            if path.name == ERROR_FILE:
                line = path.read_text(encoding="utf-8", errors="replace").partition("\n")[0]
                say(f"failed, {where}: {line}")
            else:
                say(f"finished, {where}{_score(path)}")


def _changed(path: Path) -> int:
    try:
        return path.stat().st_mtime_ns
    except OSError:  # a job that began anew has taken it away
        return 0


def _score(summary: Path) -> str:
    try:
        score = json.loads(summary.read_text(encoding="utf-8")).get("score")
    except (OSError, ValueError, AttributeError):
        return ""
    return f", score {score:.4g}" if isinstance(score, (int, float)) else ""
