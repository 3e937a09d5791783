"""Tables of the bench, as text and as Markdown, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple


class Table(NamedTuple):
    """One figure of the bench; ``note`` says what is measured and how."""

    title: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]
    note: str = ""

    def text(self) -> str:
        lines = [list(self.head), *map(list, self.rows)]
        widths = [max(len(line[i]) for line in lines) for i in range(len(self.head))]
        shown = [
            "  ".join(
                cell.ljust(w) if i == 0 else cell.rjust(w)
                for i, (cell, w) in enumerate(zip(line, widths, strict=True))
            ).rstrip()
            for line in lines
        ]
        rule = "-" * (sum(widths) + 2 * (len(widths) - 1))
        return "\n".join([self.title, "", shown[0], rule, *shown[1:], *_after(self.note)])

    def markdown(self) -> str:
        columns = "|".join(["---", *["--:"] * (len(self.head) - 1)])
        lines = [f"| {' | '.join(cells)} |" for cells in self.rows]
        head = f"| {' | '.join(self.head)} |"
        return "\n".join([f"## {self.title}", "", head, f"|{columns}|", *lines, *_after(self.note)])


def _after(note: str) -> list[str]:
    return ["", note] if note else []


def figure(value: float) -> str:
    """Two significant digits, without an exponent where it can be done."""
    return f"{value:.2g}" if value == 0.0 or value >= 1e-4 else f"{value:.1e}"


def machine() -> str:
    """CPU model, cores and GPU in a few words."""
    import torch

    name = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        for line in info.read_text(errors="replace").splitlines():
            if line.startswith("model name"):
                name = line.partition(":")[2].strip()
                break
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    gpu = f", {torch.cuda.get_device_name()}" if torch.cuda.is_available() else ""
    return f"{name}, {cores} cores ({torch.get_num_threads()} torch threads){gpu}"
