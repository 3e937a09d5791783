"""Lines on standard error, under the program's name."""

from __future__ import annotations

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


def closed_output(error: BaseException) -> bool:
    """Whether an error says that nobody reads standard output any more, as after `| head`."""
    if not isinstance(error, BrokenPipeError):
        return False
    try:
        sys.stdout.flush()
    except BrokenPipeError:
        return True
    return False
