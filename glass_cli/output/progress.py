"""What a run says on the terminal: a progress bar while it works, a table when it is done."""

from __future__ import annotations

import math
import sys
import unicodedata
from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from typing_extensions import Self

TABLE_ROWS = 20
PROMPT_WIDTH = 48


class Progress:
    """Network calls done and to do, with ESS and best reward, on stderr.

    ``total_calls`` is the whole run's, over all prompts. ``enabled``: True draws the bar, False
    says nothing, None draws it on a terminal and elsewhere says one plain line per prompt. A
    context manager.
    """

    def __init__(
        self,
        total_calls: int,
        particles: int,
        enabled: bool | None = None,
        stream: TextIO | None = None,
    ) -> None:
        self._stream = sys.stderr if stream is None else stream
        self._total = total_calls
        self._particles = particles
        self._lines = enabled is None and not self._stream.isatty()
        self._done = 0
        self._prompt: str | None = None
        self._prompts = 0
        self._best: float | None = None
        self._ess: float | None = None
        self._spoken = True
        self._bar: Any = None
        if enabled or (enabled is None and not self._lines):
            from tqdm import tqdm

            self._bar = tqdm(
                total=total_calls,
                desc=_counted(particles, "particle"),
                unit="call",
                file=self._stream,
                dynamic_ncols=True,
                bar_format=(
                    "{desc}: {percentage:3.0f}%|{bar}| "
                    "{n_fmt}/{total_fmt} calls [{elapsed}<{remaining}{postfix}]"
                ),
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()

    def update(
        self,
        nfe: int | None = None,
        ess: float | None = None,
        best: float | None = None,
        prompt: str | None = None,
    ) -> None:
        """Shows new values; None keeps the old ones.

        ``nfe`` counts network calls from the start of the run. A ``prompt`` given is the one
        being worked on; another one than before starts anew with its ESS and best reward.
        """
        if prompt is not None and (prompt != self._prompt or self._prompts == 0):
            self._say()
            self._prompt, self._best, self._ess = prompt, None, None
            self._prompts += 1
        self._spoken = False
        self._ess = self._ess if ess is None else ess
        self._best = self._best if best is None else best
        step = 0 if nfe is None else max(0, nfe - self._done)
        self._done += step
        if self._bar is not None:
            self._bar.set_postfix_str(", ".join(self._values()), refresh=False)
            self._bar.update(step)

    def close(self) -> None:
        """Ends the bar, or says the last prompt's line. May be called twice."""
        self._say()
        if self._bar is not None:
            self._bar.refresh()
            self._bar.close()
            self._bar = None

    def _values(self) -> list[str]:
        values = [f"prompt {self._prompts}"] if self._prompts > 1 else []
        if self._ess is not None:
            values.append(f"ESS {_number(self._ess, 1)}")
        if self._best is not None:
            values.append(f"best {_number(self._best, 3)}")
        return values

    def _say(self) -> None:
        if not self._lines or self._spoken:
            return
        self._spoken = True
        words = [f"{self._done}/{self._total} calls", _counted(self._particles, "particle")]
        prompt = "" if self._prompt is None else f"{_fit(self._prompt, PROMPT_WIDTH)}: "
        values = [v for v in self._values() if not v.startswith("prompt")]
        print(prompt + ", ".join(words + values), file=self._stream, flush=True)


def closing_table(rows: Sequence[Mapping[str, Any]], paths: Mapping[str, str]) -> str:
    """The run's results as aligned plain text, and below them where its files lie.

    A row has prompt, best_reward, mean_reward, metrics (name -> the answer's score), mean_metrics
    (those of the average particle, shown where there is no answer), nfe and seconds; what is
    missing or None is "-". Of many rows the first TABLE_ROWS are shown, and below several their
    means.
    """
    names = list(dict.fromkeys(name for row in rows for name in row.get("metrics") or {}))
    rows = [{**row, **_metric_cells(row, names)} for row in rows]
    metrics = [f"metric {name}" for name in names]
    columns = ("best_reward", "mean_reward", *metrics, "nfe", "seconds")
    head = ["prompt", "best reward", "mean reward", *names, "NFE", "seconds"]
    digits = [3] * (len(columns) - 2) + [0, 1]

    def cells(row: Mapping[str, Any]) -> list[str]:
        return [_number(row.get(key), d) for key, d in zip(columns, digits, strict=True)]

    body = [[_fit(str(row.get("prompt", "")), PROMPT_WIDTH), *cells(row)] for row in rows]
    foot = []
    if len(body) > TABLE_ROWS:
        body = [
            *body[:TABLE_ROWS],
            [f"... and {len(rows) - TABLE_ROWS} more", *[""] * len(columns)],
        ]
    if len(rows) > 1:
        means = {}
        for column in columns:
            known = [float(r[column]) for r in rows if _finite(r.get(column))]
            means[column] = math.fsum(known) / len(known) if known else None
        foot = [[f"mean of {len(rows)}", *cells(means)]]
    widths = [max(_columns(line[i]) for line in [head, *body, *foot]) for i in range(len(head))]
    rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
    lines = [_aligned(head, widths), rule, *(_aligned(line, widths) for line in body)]
    if foot:
        lines += [rule, *(_aligned(line, widths) for line in foot)]
    if paths:
        width = max(map(_columns, paths))
        lines += ["", *(f"{_padded(key, width)}  {path}" for key, path in paths.items())]
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
    return f"{value:.{digits}f}" if value is not None and _finite(value) else "-"


def _counted(number: int, word: str) -> str:
    return f"{number} {word}" if number == 1 else f"{number} {word}s"


def _aligned(cells: Sequence[str], widths: Sequence[int]) -> str:
    first = _padded(cells[0], widths[0])
    numbers = [f"{cell:>{width}}" for cell, width in zip(cells[1:], widths[1:], strict=True)]
    return "  ".join([first, *numbers]).rstrip()


def _padded(text: str, width: int) -> str:
    return text + " " * (width - _columns(text))


def _columns(text: str) -> int:
    """Terminal columns: East Asian letters take two, combining marks none."""
    return sum(_letter_columns(letter) for letter in text)


def _letter_columns(letter: str) -> int:
    if unicodedata.category(letter) in ("Mn", "Me"):
        return 0
    return 2 if unicodedata.east_asian_width(letter) in "WF" else 1


def _fit(text: str, width: int) -> str:
    """One line of at most ``width`` terminal columns, without control characters."""
    text = " ".join(text.split())
    text = "".join(c for c in text if unicodedata.category(c)[0] != "C")
    if _columns(text) <= width:
        return text
    kept, used = "", 3
    for letter in text:
        used += _letter_columns(letter)
        if used > width:
            break
        kept += letter
    return kept.rstrip() + "..."
