"""What an evaluation says while it runs: pictures done, the time left, and running means."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from typing_extensions import Self

# Without a terminal, a line this often (seconds), so that a log file stays readable.
_EVERY = 30.0


class Means:
    """Running means of every number that the results have, by name."""

    def __init__(self) -> None:
        self._sums: dict[str, tuple[float, int]] = {}

    def add(self, result: Mapping[str, Any]) -> None:
        for name, value in numbers(result).items():
            total, count = self._sums.get(name, (0.0, 0))
            self._sums[name] = (total + value, count + 1)

    def values(self) -> dict[str, float]:
        return {name: total / count for name, (total, count) in self._sums.items()}


def numbers(result: Mapping[str, Any]) -> dict[str, float]:
    """What of a result can be averaged: reward, metrics, the judge's numbers and verdicts."""
    found: dict[str, Any] = {"reward": result.get("reward")}
    found |= dict(result.get("metrics") or {})
    judged = result.get("judged")
    found |= dict(judged) if isinstance(judged, Mapping) else {}
    return {
        str(name): float(value)
        for name, value in found.items()
        if isinstance(value, (bool, int, float)) and math.isfinite(value)
    }


class EvalProgress:
    """A bar on a terminal, elsewhere a line now and then, on stderr. A context manager.

    ``total`` pictures, of which ``before`` were done in earlier runs and do not count for the
    time left.
    """

    def __init__(
        self, total: int, before: Iterable[Mapping[str, Any]], stream: TextIO | None = None
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._total, self._means, self._done = total, Means(), 0
        for result in before:
            self._means.add(result)
            self._done += 1
        self._before = self._first = self._done
        self._began = self._said = time.monotonic()
        self._bar: Any = None
        if self._stream.isatty():
            from tqdm import tqdm

            self._bar = tqdm(
                total=total,
                initial=self._done,
                unit="picture",
                file=self._stream,
                dynamic_ncols=True,
                smoothing=0.05,
                bar_format="{percentage:3.0f}%|{bar}| {n_fmt}/{total_fmt} pictures"
                " [{elapsed}<{remaining}{postfix}]",
            )
        elif self._done:
            self._line()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if self._bar is not None:
            self._bar.close()
        elif self._done > self._before:
            self._line()

    def update(self, result: Mapping[str, Any]) -> dict[str, float]:
        """Counts a finished picture; returns the running means."""
        self._means.add(result)
        self._done += 1
        if self._done == self._before + 1:  # loading does not count for the time left
            self._first, self._began = self._done, time.monotonic()
        if self._bar is not None:
            self._bar.set_postfix_str(self._shown(), refresh=False)
            self._bar.update(1)
        elif time.monotonic() - self._said >= _EVERY:
            self._line()
        return self._means.values()

    def _shown(self) -> str:
        return ", ".join(f"{name} {value:.4g}" for name, value in self._means.values().items())

    def _line(self) -> None:
        self._said = now = time.monotonic()
        done, left = self._done - self._first, self._total - self._done
        words = [f"{self._done}/{self._total} pictures"]
        if done and left:
            words.append(f"{_duration((now - self._began) / done * left)} left")
        if shown := self._shown():
            words.append(f"so far {shown}")
        print(", ".join(words), file=self._stream, flush=True)


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
