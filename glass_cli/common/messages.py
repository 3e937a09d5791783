"""Lines on standard error, under the program's name."""

from __future__ import annotations

import select
import sys
from contextlib import suppress

from glass_cli.common.errors import one_line


def say(line: str) -> None:
    """Prints one line on standard error, if anybody still reads it."""
    with suppress(OSError):  # a terminal that was closed
        print(f"glass: {line}", file=sys.stderr, flush=True)


def describe(error: BaseException) -> str:
    """An unexpected error in one line: its class and message."""
    return f"{type(error).__name__}: {one_line(error)}".rstrip(": ")


def output_is_closed(error: BaseException) -> bool:
    """Whether an error says that nobody reads standard output any more, as after `| head`.

    Other pipes break too. Where the system cannot be asked (Windows), it is taken for one of them.
    """
    if not isinstance(error, BrokenPipeError) or not hasattr(select, "poll"):
        return False
    poll = select.poll()
    with suppress(OSError, ValueError):  # no file behind it
        poll.register(sys.stdout.fileno(), 0)
        return bool(poll.poll(0))
    return False
