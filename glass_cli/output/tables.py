"""Tables of numbers as aligned plain text, and as Markdown.

rich, which knows how wide a letter is on a terminal, is imported when a table is drawn.
"""

from __future__ import annotations

import io
import unicodedata
from collections.abc import Sequence
from typing import NamedTuple

from glass_cli.common.messages import harmless

# Rules under the head and between sections, two blanks between columns, no frame.
_BOX = "    \n    \n----\n    \n----\n    \n    \n    \n"
# Cells are never wrapped: a terminal that is too narrow does that.
_WIDEST = 100_000


def text_table(
    head: Sequence[str], rows: Sequence[Sequence[str]], foot: Sequence[Sequence[str]] = ()
) -> str:
    """``head``, a rule, ``rows`` and, below another rule, ``foot``; lines end without blanks.

    The first column is aligned left, the others, which hold numbers, right. A row may be shorter
    than the head. What a terminal would act upon is spelled out. ValueError for a longer row.
    """
    from rich.box import Box
    from rich.console import Console
    from rich.table import Table as RichTable
    from rich.text import Text

    table = RichTable(
        box=Box(_BOX, ascii=True), show_edge=False, pad_edge=False, padding=(0, 1, 0, 0)
    )
    for i, name in enumerate(head):
        table.add_column(Text(harmless(name)), justify="right" if i else "left", no_wrap=True)
    for section in (rows, foot):
        for row in section:
            if len(row) > len(head):
                raise ValueError(f"a row of {len(row)} cells in a table of {len(head)} columns")
            table.add_row(*(Text(harmless(cell)) for cell in row))
        table.add_section()
    console = Console(file=io.StringIO(), width=_WIDEST, color_system=None, force_terminal=False)
    with console.capture() as captured:
        console.print(table)
    return "\n".join(line.rstrip() for line in captured.get().splitlines())


def two_digits(value: float) -> str:
    """A number of 0 or more with two significant digits, without an exponent from 1e-4 on."""
    return f"{value:.2g}" if value == 0.0 or value >= 1e-4 else f"{value:.1e}"


def fit(text: str, width: int) -> str:
    """One line of at most ``width`` terminal columns, without control characters."""
    from rich.cells import cell_len, set_cell_size

    text = " ".join(text.split())
    text = "".join(c for c in text if unicodedata.category(c)[0] != "C")
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 3).rstrip() + "..."


class Table(NamedTuple):
    """A table with its title; ``note`` says what is measured and how."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def text(self) -> str:
        return "\n".join([self.title, "", text_table(self.head, self.rows), *_after(self.note)])

    def markdown(self, level: int = 2) -> str:
        """The table in Markdown, its title a heading of ``level``, 1 to 6."""
        columns = "|".join(["---", *["--:"] * (len(self.head) - 1)])
        lines = [f"| {' | '.join(cells)} |" for cells in self.rows]
        head = f"| {' | '.join(self.head)} |"
        title = f"{'#' * level} {self.title}"
        return "\n".join([title, "", head, f"|{columns}|", *lines, *_after(self.note)])


def _after(note: str) -> list[str]:
    return ["", note] if note else []
