"""One process at a time in a folder."""

from __future__ import annotations

import os
import socket
from contextlib import suppress
from pathlib import Path

from filelock import FileLock, Timeout

from glass_cli.common.closing import Closing
from glass_cli.common.errors import GlassError

LOCK, HOLDER = ".lock", ".holder"


class Refused(GlassError):
    """The folder holds what this run may not touch, not even to say so in it."""

    leaves_no_file = True


class Lock(Closing):
    """Holds ``folder``/.lock until ``close``; raises Refused where another process does.

    The system lets go of a lock with the process that held it, however that ended: one left by a
    killed process is simply taken over. ``folder``/.holder says who holds it: on Windows nobody
    else could read it in the locked file. Raises OSError where the folder cannot be written.
    """

    def __init__(self, folder: Path) -> None:
        # whoever has it may release it, in any thread
        self._lock = FileLock(folder / LOCK, thread_local=False)
        self._holder = folder / HOLDER
        try:
            self._lock.acquire(blocking=False)
        except Timeout:
            raise Refused(
                f"{folder} is being written by {_read(self._holder)}; wait for it, stop it, or"
                " choose another folder with name=NAME"
            ) from None
        try:
            who = f"process {os.getpid()} on {socket.gethostname()}"
            self._holder.write_text(who, encoding="utf-8")
        except OSError:
            self._lock.release()
            raise

    def close(self) -> None:
        """Lets go. May be called twice."""
        if self._lock.is_locked:
            with suppress(OSError):
                self._holder.unlink()
            self._lock.release()


def _read(holder: Path) -> str:
    with suppress(OSError, UnicodeDecodeError):
        return holder.read_text(encoding="utf-8").strip() or "another process"
    return "another process"
