"""Calls into code of the user's own: whatever becomes of one is told as theirs, with its line."""

from __future__ import annotations

import functools
import inspect
import os
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from glass_cli.common.errors import GlassError
from glass_cli.common.messages import describe, say
from glass_cli.common.signals import Stopped, code_of

# Seconds after which a call is said to be still at work.
SLOW = 60.0


class UsersCode:
    """A function or class that a setting names, called under watch.

    setting: the setting and its value, such as ``reward.target=my_rewards.red``, with which every
        message begins.

    A call that raises, or that leaves the program by ``sys.exit``, raises GlassError with the file
    and line; memory that runs out is passed on, since with less at a time it may fit. One that
    calls ``os._exit``, which nothing can stop, says so first. One that takes longer than ``SLOW``
    seconds is named in a line, once. A signal in it raises Stopped, which says where it met it.
    """

    def __init__(self, setting: str, function: Callable[..., Any]) -> None:
        self._setting, self._function = setting, function
        self._file, self._line = _source(function)
        self._slow_said = False

    @property
    def place(self) -> str:
        """FILE:LINE of the function, or of the class of what is called."""
        return "of no file" if self._file is None else f"{self._file}:{self._line}"

    def __call__(self, *arguments: Any, **named: Any) -> Any:
        import torch

        try:
            with self._slow_is_said(), self._end_is_said():
                return self._function(*arguments, **named)
        except (GlassError, torch.OutOfMemoryError):
            raise
        except KeyboardInterrupt as stopped:
            number = code_of(stopped) - 128
            place = self._at(traceback.extract_tb(stopped.__traceback__))
            raise Stopped(number, f"in your code, {self._setting}{place}") from stopped
        except (Exception, SystemExit) as error:
            place = self._at(traceback.extract_tb(error.__traceback__))
            if isinstance(error, SystemExit):
                what = f"ended the program (SystemExit: {error})"
            else:
                what = f"raised {describe(error)}"
            raise GlassError(
                f"{self._setting} {what}{place}; correct that function or class"
            ) from error

    def _at(self, frames: Sequence[traceback.FrameSummary]) -> str:
        """`` at FILE:LINE``, of the last line of the user's own file among those called from here;
        where there is none, of the first line of other code."""
        last = max((i for i, frame in enumerate(frames) if frame.filename == __file__), default=-1)
        inner = [frame for frame in frames[last + 1 :] if frame.filename == self._file]
        inner = inner or list(frames[last + 1 : last + 2])
        return f" at {inner[-1].filename}:{inner[-1].lineno}" if inner else ""

    @contextmanager
    def _slow_is_said(self) -> Iterator[None]:
        if self._slow_said:
            yield
            return
        thread, over = threading.get_ident(), threading.Event()

        def still() -> None:
            if over.is_set():  # the timer had gone off before it could be cancelled
                return
            self._slow_said = True
            frame = sys._current_frames().get(thread)
            place = "" if frame is None else self._at(traceback.extract_stack(frame))
            say(
                f"{self._setting} has been at work for {SLOW:.0f} s{place}, in one call; Ctrl-C"
                " ends the run, and what was finished is kept"
            )

        timer = threading.Timer(SLOW, still)
        timer.daemon = True
        timer.start()
        try:
            yield
        finally:
            over.set()
            timer.cancel()

    @contextmanager
    def _end_is_said(self) -> Iterator[None]:
        """While it is open ``os._exit`` says in whose code it was called."""
        real, process = os._exit, os.getpid()

        def end(status: int) -> Any:
            if os.getpid() == process:  # and in none that the code has forked
                place = self._at(traceback.extract_stack(sys._getframe(1)))
                say(
                    f"{self._setting} ended the program (os._exit({status})){place}; correct that"
                    " function or class, and the same command goes on where it stopped"
                )
            real(status)

        os._exit = end
        try:
            yield
        finally:
            os._exit = real


def _source(function: Any) -> tuple[str | None, int]:
    target = function.func if isinstance(function, functools.partial) else function
    if not (inspect.isroutine(target) or inspect.isclass(target)):
        target = type(target)
    try:
        target = inspect.unwrap(target)
        return inspect.getsourcefile(target), inspect.getsourcelines(target)[1]
    except (OSError, TypeError):  # of a built-in one there is no source
        return None, 0
