"""How long `glass --help` takes."""

from __future__ import annotations

import statistics
import subprocess
import sys
import time

from glass_cli.output.tables import Table


def help_time(repeats: int = 10) -> Table:
    """Wall time of fresh processes, after one that warms the disk's cache."""
    command = [sys.executable, "-m", "glass_cli", "--help"]
    seconds = []
    for _ in range(repeats + 1):
        began = time.perf_counter()
        subprocess.run(command, check=True, stdout=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - began)
    measured = seconds[1:]
    cells = [f"{f(measured):.3f}" for f in (statistics.median, min, max)]
    return Table(
        "Time of `glass --help`",
        ("command", "median (s)", "least", "most"),
        [("glass --help", *cells)],
        f"{repeats} fresh processes. Goal: at most 0.15 s.",
    )
