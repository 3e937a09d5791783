"""Signals that ask the process to end, raised as Ctrl-C is."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import Any


class Stopped(KeyboardInterrupt):
    """A signal that asks the process to end, and the exit code of a process ended by it.

    inside: where it met the process, in words, if that is not glass itself.
    """

    def __init__(self, number: int = signal.SIGINT, inside: str | None = None) -> None:
        super().__init__(number)
        self.code, self.inside = 128 + number, inside


def code_of(stopped: KeyboardInterrupt) -> int:
    """The exit code of a process that a signal ended."""
    return stopped.code if isinstance(stopped, Stopped) else 128 + signal.SIGINT


# Those that were raised within the `signals_raise` that are open, in order.
_raised: list[KeyboardInterrupt] = []


@contextmanager
def interruptions_kept() -> Iterator[None]:
    """Raises an interruption again where the block's own closing raised another error over it, or
    a bare KeyboardInterrupt, which knows no signal.

    A signal may meet a library in the middle of a change that its clean-up then stumbles over; Ray
    raises one of its own for any signal that meets it while it waits.
    """
    before = len(_raised)
    try:
        yield
    except (Exception, KeyboardInterrupt) as error:
        if len(_raised) > before and not isinstance(error, Stopped):
            raise _raised[before] from error
        raise


@contextmanager
def signals_raise() -> Iterator[None]:
    """SIGTERM and SIGHUP end the run as Ctrl-C does, so that all files are closed.

    The first of them only: what is closed then would be torn by a second. One that the process was
    started to ignore, as under nohup, it ignores.
    """
    before: dict[int, Any] = {}
    already = len(_raised)

    def stop(number: int, _: FrameType | None) -> None:
        for other in before:  # not SIG_IGN, which processes started from here would inherit
            if other != signal.SIGINT:
                signal.signal(other, lambda *_: None)
        _raised.append(Stopped(number))
        raise _raised[-1]

    for name in ("SIGINT", "SIGTERM", "SIGHUP"):  # Windows has no SIGHUP
        number = getattr(signal, name, None)
        if number is None or signal.getsignal(number) == signal.SIG_IGN:
            continue
        if number == signal.SIGINT and signal.getsignal(number) != signal.default_int_handler:
            continue  # its owner's
        with suppress(ValueError):  # not the main thread, whose process is someone else's
            before[number] = signal.signal(number, stop)
    try:
        with interruptions_kept():
            yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
        del _raised[already:]
