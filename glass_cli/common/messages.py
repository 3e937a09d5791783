"""Lines on standard error, under the program's name."""

from __future__ import annotations

import sys

from glass_cli.common.errors import one_line


def say(line: str) -> None:
    """Prints one line on standard error."""
    print(f"glass: {line}", file=sys.stderr, flush=True)


def describe(error: BaseException) -> str:
    """An unexpected error in one line: its class and message."""
    return f"{type(error).__name__}: {one_line(error)}".rstrip(": ")
