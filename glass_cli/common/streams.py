"""Standard streams that are closed, or that cannot be written."""

from __future__ import annotations

import errno
import os
import sys
from contextlib import suppress

# of a full disk, of a terminal that has gone, of a stream that was opened to be read
_UNWRITABLE = (errno.ENOSPC, errno.EIO, errno.EBADF)


def open_closed_streams() -> None:
    """Opens the standard streams that the caller has closed, to nothing.

    The next files would get their numbers, and what others print be written into them.
    """
    for number, name in enumerate(("stdin", "stdout", "stderr")):
        if getattr(sys, name) is None:
            null = os.open(os.devnull, os.O_RDWR)
            if null != number:
                os.dup2(null, number)
                os.close(null)
            mode = "w" if number else "r"
            setattr(sys, name, open(number, mode, encoding="utf-8", closefd=False))  # noqa: SIM115


def give_up_output() -> None:
    """Has Python not find once more, when it ends, that standard output cannot be written."""
    with suppress(OSError, ValueError):  # no file behind it
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def output_problem(error: BaseException) -> str | None:
    """Why standard output cannot be written; None for an error of something else.

    Only a stream's errors name no file.
    """
    if isinstance(error, OSError) and error.filename is None and error.errno in _UNWRITABLE:
        from glass_cli.common.files import why

        return f"standard output cannot be written: {why(error)}"
    return None
