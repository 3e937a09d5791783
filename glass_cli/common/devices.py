"""Which device and number type a run uses, and how much memory it took."""

from __future__ import annotations

import ctypes
import sys
from pathlib import Path
from typing import ClassVar

import torch

from glass_cli.common.errors import GlassError


def choose_device(name: str) -> torch.device:
    """``auto`` is CUDA, else MPS, else the CPU. Raises GlassError for one that is not there."""
    cuda, mps = torch.cuda.is_available(), torch.backends.mps.is_available()
    if name == "auto":
        name = "cuda" if cuda else "mps" if mps else "cpu"
    device = torch.device(name)
    if device.type == "mps" and not mps:
        raise GlassError("device=mps is not available here; use device=auto")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise GlassError(
            f"device={name} is not available here ({torch.cuda.device_count()} CUDA devices);"
            " use device=auto"
        )
    return device


def choose_dtype(name: str, device: torch.device) -> torch.dtype:
    """``auto`` is bfloat16 on a GPU and float32 elsewhere."""
    if name == "auto":
        return torch.bfloat16 if device.type == "cuda" else torch.float32
    dtype: torch.dtype = getattr(torch, name)
    return dtype


def peak_memory(device: torch.device) -> int:
    """Bytes: the device's peak allocation, or the process's peak resident size on the CPU."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    if sys.platform == "win32":
        import psutil

        return int(psutil.Process().memory_info().peak_wset)
    # Linux counts what a process was before it became this program: ru_maxrss would be at least
    # the size of whoever started it
    status = Path("/proc/self/status")
    if status.is_file():
        for line in status.read_text(encoding="utf-8").splitlines():
            if line.startswith("VmHWM:"):
                return 1024 * int(line.split()[1])
    return _peak_of_getrusage()


class _Rusage(ctypes.Structure):
    """``struct rusage`` of 64-bit systems, of which only the third field is read."""

    _fields_: ClassVar = [
        ("times", ctypes.c_long * 4),
        ("maxrss", ctypes.c_long),
        ("rest", ctypes.c_long * 13),
    ]


def _peak_of_getrusage() -> int:
    """Bytes, of macOS and the BSDs, for which psutil has no peak."""
    usage = _Rusage()
    ctypes.CDLL(None).getrusage(0, ctypes.byref(usage))
    return int(usage.maxrss) * (1 if sys.platform == "darwin" else 1024)
