"""What a run says on the terminal: how far it is while it works, a table when it is done."""

from __future__ import annotations

import math
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TextIO, TypeVar

from glass_cli.common.closing import Closing
from glass_cli.output.tables import fit, text_table

T = TypeVar("T")

TABLE_ROWS = 20
PROMPT_WIDTH = 48
# Seconds between two drawings of the bar; it is drawn by the thread that works, which would lose
# time to a thread that redraws for nothing.
_REDRAWN = 0.2
# Without a terminal, a line this often (seconds), so that a log file stays readable.
_EVERY = 30.0


class Progress(Closing):
    """How much of a run is done: a bar on a terminal, elsewhere a line now and then.

    A context manager. Both say the time left, which is counted from the first update on, so that
    loading does not slow it down, and the values of the last update.

    total: how many units there are, 0 or more.
    unit: one of them in the singular, such as "picture" or "network call".
    before: units done by earlier runs.
    stream: standard error by default.
    """

    def __init__(
        self, total: int, unit: str, *, before: float = 0, stream: TextIO | None = None
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._total, self._unit = total, unit
        self._done = self._said_done = float(before)
        self._values: dict[str, float] = {}
        self._label: str | None = None
        self._current: Mapping[str, float] = {}
        self._first: tuple[float, float] | None = None  # when the first update came, done then
        self._drawn = time.monotonic()
        self._bar: Any = None
        if self._stream.isatty():
            self._bar = _bar(self._stream, total)
            self._draw()
        elif before:
            self._say()

    def update(
        self,
        done: float,
        values: Mapping[str, float] | None = None,
        label: str | None = None,
        current: Mapping[str, float] | None = None,
    ) -> None:
        """Shows how far the run is.

        done: units from the start, those of earlier runs included; a part of a unit counts. Less
            than before changes nothing.
        values: name -> number; a name that is not among them keeps its number.
        label: what is being worked on, such as the prompt; None keeps the last one.
        current: name -> number of what is being worked on, in place of those of the last update.
        """
        now = time.monotonic()
        self._done = max(self._done, float(done))
        self._values |= values or {}
        self._label = self._label if label is None else label
        self._current = current or {}
        if self._first is None:
            self._first = now, self._done
        if self._bar is not None and now - self._drawn >= _REDRAWN:
            self._draw(now)
        elif self._bar is None and now - self._drawn >= _EVERY:
            self._say(now)

    def close(self) -> None:
        """Leaves the bar as it ended, or says a last line. May be called twice."""
        if self._bar is not None:
            self._draw()
            self._bar.stop()
            self._bar = None
        elif self._done > self._said_done:
            self._say()

    def _draw(self, now: float | None = None) -> None:
        self._drawn = time.monotonic() if now is None else now
        (task,) = self._bar.task_ids
        text = fit(
            self._text(self._drawn, self._label),
            self._bar.console.width - _bar_width(self._bar.console) - 8,
        )
        self._bar.update(task, completed=min(self._done, self._total), text=text)
        self._bar.refresh()

    def _say(self, now: float | None = None) -> None:
        self._drawn = time.monotonic() if now is None else now
        self._said_done = self._done
        label = None if self._label is None else fit(self._label, PROMPT_WIDTH)
        print(self._text(self._drawn, label), file=self._stream, flush=True)

    def _text(self, now: float, label: str | None) -> str:
        """How far the run is, its values; then the numbers of what is being worked on, and its
        label, which may be cut off."""
        current = ", ".join(_named(self._current))
        about = ": ".join(part for part in (current, label) if part)
        return ", ".join(self._parts(now)) + (f" | {about}" if about else "")

    def _parts(self, now: float) -> list[str]:
        plural = "" if self._total == 1 else "s"
        parts = [f"{int(self._done)}/{self._total} {self._unit}{plural}"]
        if self._first is not None:
            began, first = self._first
            left = self._total - self._done
            if self._done > first and left > 0:
                parts.append(f"{_duration((now - began) / (self._done - first) * left)} left")
        return parts + _named(self._values)


def _named(values: Mapping[str, float]) -> list[str]:
    return [f"{name} {_rounded(value)}" for name, value in values.items()]


def _bar(stream: TextIO, total: int) -> Any:
    """rich's bar without a thread of its own, the percentage, and a field ``text``."""
    from rich.console import Console
    from rich.progress import BarColumn, TextColumn
    from rich.progress import Progress as RichProgress

    console = Console(file=stream, force_terminal=True, highlight=False)
    bar = RichProgress(
        BarColumn(_bar_width(console), complete_style="green", finished_style="green"),
        TextColumn("{task.percentage:>3.0f} %"),
        TextColumn("{task.fields[text]}", markup=False),
        console=console,
        auto_refresh=False,
        # what is printed to be kept must not go where the bar is
        redirect_stdout=False,
        redirect_stderr=stream is sys.stderr,
    )
    bar.add_task("", total=max(total, 1), text="")
    bar.start()
    console.show_cursor(True)  # a killed process could not bring it back
    return bar


def _bar_width(console: Any) -> int:
    return min(24, int(console.width) // 8)


def counted(items: Sequence[T], unit: str) -> Iterator[T]:
    """The items one by one, with a :class:`Progress` of them."""
    with Progress(len(items), unit) as progress:
        for number, item in enumerate(items, 1):
            yield item
            progress.update(number)


def closing_table(rows: Sequence[Mapping[str, Any]], paths: Mapping[str, str]) -> str:
    """The run's results as aligned plain text, and below them where its files lie.

    A row has prompt, best_reward, mean_reward, metrics (name -> the answer's score), mean_metrics
    (those of the average particle, shown where there is no answer), nfe and seconds; what is
    missing or None is "-". Of many rows the first TABLE_ROWS are shown, and below several their
    means.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.get("mean_metrics") or {}))
    rows = [{**row, **_metric_cells(row, names)} for row in rows]
    metrics = [f"metric {name}" for name in names]
    columns = ("best_reward", "mean_reward", *metrics, "nfe", "seconds")
    head = ["prompt", "best reward", "mean reward", *names, "NFE", "seconds"]
    digits = [3] * (len(columns) - 2) + [0, 1]

    def cells(row: Mapping[str, Any]) -> list[str]:
        return [_number(row.get(key), d) for key, d in zip(columns, digits, strict=True)]

    body = [
        [fit(str(row.get("prompt", "")), PROMPT_WIDTH), *cells(row)] for row in rows[:TABLE_ROWS]
    ]
    if len(rows) > TABLE_ROWS:
        body.append([f"... and {len(rows) - TABLE_ROWS} more"])
    foot = []
    if len(rows) > 1:
        means = {}
        for column in columns:
            known = [float(r[column]) for r in rows if _finite(r.get(column))]
            means[column] = math.fsum(known) / len(known) if known else None
        foot = [[f"mean of {len(rows)}", *cells(means)]]
    lines = [text_table(head, body, foot)]
    if paths:
        width = max(map(len, paths))
        lines += ["", *(f"{key:{width}}  {path}" for key, path in paths.items())]
    return "\n".join(lines)


def _metric_cells(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    chosen, mean = row.get("metrics") or {}, row.get("mean_metrics") or {}
    return {
        f"metric {name}": mean.get(name) if chosen.get(name) is None else chosen[name]
        for name in names
    }


def _finite(value: Any) -> bool:
    return value is not None and math.isfinite(value)


def _number(value: float | None, digits: int) -> str:
    return f"{value:.{digits}f}" if value is not None and math.isfinite(value) else "-"


def _rounded(value: float) -> str:
    return f"{value:.4g}" if math.isfinite(value) else "-"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"
