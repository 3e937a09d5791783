"""Measured figures in a page, and whether the files of results have them.

A figure is a mean with its interval, as in "83.3 [75.0, 91.7]" or "+2.1 [-6.2, 10.4]", wherever it
stands; in a row of a table that has one, the row's other numbers are figures too. What a column
with "less" in its head has is a difference of two runs, and stands alone.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

NUMBER = r"[-+−]?\d+(?:\.\d+)?"
TRIPLE = re.compile(rf"({NUMBER})\s*%?\s*\[({NUMBER}),\s*({NUMBER})\]")


class Figures(NamedTuple):
    """Figures that stand together, as they are written: of one row, or one in the text."""

    triples: tuple[tuple[str, str, str], ...]
    numbers: tuple[str, ...] = ()


def figures(page: str) -> Iterator[Figures]:
    """Those of a page in Markdown, without what stands in blocks of code."""
    text = re.sub(r"(?ms)^```.*?^```|^(?: {4}|\t).*?$", "", page)
    differences: list[bool] = []  # of each column
    prose = []
    for line in text.splitlines():
        if not line.lstrip().startswith("|"):
            prose.append(line)
            differences = []
            continue
        cells = [cell.strip() for cell in line.strip().removeprefix("|").split("|")]
        differences = differences or [" less " in f" {cell} " for cell in cells]
        own = [cell for cell, less in zip(cells, differences, strict=True) if not less]
        triples = _triples(" | ".join(own))
        if triples:
            yield Figures(triples, tuple(cell for cell in own if re.fullmatch(NUMBER, cell)))
        for cell, less in zip(cells, differences, strict=True):
            if less:
                yield from (Figures((triple,)) for triple in _triples(cell))
    yield from (Figures((triple,)) for triple in _triples(" ".join(prose)))


def _triples(text: str) -> tuple[tuple[str, str, str], ...]:
    return tuple((mean, low, high) for mean, low, high in TRIPLE.findall(text))


def shows(written: str, value: float) -> bool:
    """Whether the text is the value, rounded to as many decimals as it has."""
    decimals = len(written.partition(".")[2])
    return abs(float(written.replace("−", "-")) - value) <= 0.5 * 0.1**decimals + 1e-9


def in_row(wanted: Figures, row: Mapping[str, str]) -> bool:
    """Whether a row of a CSV has all of the figures, each mean with its own interval."""
    values = {key: float(text) for key, text in row.items() if text and _is_number(text)}
    stems = [key for key in values if f"{key}.low" in values]
    known = [(values[k], values[f"{k}.low"], values[f"{k}.high"]) for k in stems]
    if {"mean", "low", "high"} <= values.keys():
        known.append((values["mean"], values["low"], values["high"]))
    return all(
        any(all(map(shows, triple, have)) for have in known) for triple in wanted.triples
    ) and all(any(shows(number, value) for value in values.values()) for number in wanted.numbers)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def missing(page: str, files: Sequence[Path]) -> list[Figures]:
    """The figures of a page that no row of the files (CSV), and no other page (Markdown), has."""
    rows: list[dict[str, str]] = []
    pages: list[Figures] = []
    for path in files:
        if path.suffix == ".csv":
            with path.open(encoding="utf-8", newline="") as file:
                rows += csv.DictReader(file)
        else:
            pages += figures(path.read_text(encoding="utf-8"))
    return [
        wanted
        for wanted in figures(page)
        if not any(in_row(wanted, row) for row in rows)
        and not any(_within(wanted, other) for other in pages)
    ]


def _within(wanted: Figures, other: Figures) -> bool:
    return {*wanted.triples} <= {*other.triples} and {*wanted.numbers} <= {*other.numbers}
