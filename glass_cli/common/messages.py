"""Lines on standard error, under the program's name."""

from __future__ import annotations

import re
import select
import sys
from contextlib import suppress

from glass_cli.common.errors import one_line

# what a terminal acts upon, and what turns the direction of text around
_ACTING = re.compile("[\x00-\x1f\x7f-\x9f\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff]")


def say(line: str) -> None:
    """Prints one line on standard error, if anybody still reads it.

    It may hold text of others, such as a prompt of a run's folder: characters that a terminal acts
    upon are spelled out.
    """
    with suppress(OSError):  # a terminal that was closed
        # with its end in one piece: other processes may write there too
        print(f"glass: {harmless(line)}\n", end="", file=sys.stderr, flush=True)


def harmless(text: str) -> str:
    """``text`` with control characters, and those of direction, as escapes such as ``\\x1b``."""
    return _ACTING.sub(lambda match: match[0].encode("unicode_escape").decode("ascii"), text)


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
