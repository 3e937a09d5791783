"""One process at a time in a folder."""

from __future__ import annotations

import fcntl
import os
import socket
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

from glass_cli.common.errors import GlassError

if TYPE_CHECKING:
    from typing_extensions import Self

LOCK = ".lock"


class Refused(GlassError):
    """The folder holds what this run may not touch, not even to say so in it."""

    leaves_no_file = True


class Lock:
    """Holds ``folder``/.lock until ``release``; raises Refused where another process does.

    The system lets go of a lock with the process that held it, however that ended: one left by a
    killed process is simply taken over. The file, which says who holds it, stays where it is,
    since two processes could otherwise lock two files of that name.
    """

    def __init__(self, folder: Path) -> None:
        self._file = (folder / LOCK).open("a+", encoding="utf-8")
        try:
            fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            self._file.seek(0)
            holder = self._file.read().strip() or "another process"
            self._file.close()
            raise Refused(
                f"{folder} is being written by {holder}; wait for it, stop it, or choose another"
                " folder with name=NAME"
            ) from None
        except OSError:
            self._file.close()
            raise
        self._file.truncate(0)
        self._file.write(f"process {os.getpid()} on {socket.gethostname()}\n")
        self._file.flush()

    def release(self) -> None:
        """Lets go. May be called twice."""
        if not self._file.closed:
            self._file.truncate(0)
            self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.release()
