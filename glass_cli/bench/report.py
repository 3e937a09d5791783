"""Numbers of the bench in words, and the machine they were measured on."""

from __future__ import annotations

import os
import platform
from pathlib import Path


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
