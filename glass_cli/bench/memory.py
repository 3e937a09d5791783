"""Peak memory of `glass sample` over the number of particles."""

from __future__ import annotations

import json
import math
import os
import subprocess
import sys
import tempfile
from pathlib import Path

from glass_cli.bench.loop import compose
from glass_cli.common.stages import Stages
from glass_cli.engine.load import load
from glass_cli.output.tables import Table

PARTICLES = (4, 16, 64)
MICRO_BATCH = 4
MIB = 2**20


def peak(particles: int, overrides: list[str]) -> tuple[float, str]:
    """Peak bytes of a whole command in a fresh process, and the device that they lie on.

    Raises RuntimeError with the command's own message where it fails.
    """
    with tempfile.TemporaryDirectory() as folder:
        run = Path(folder) / "run"
        command = [sys.executable, "-m", "glass_cli", "sample", *overrides, "wandb.mode=disabled"]
        command += [f"particles={particles}", f"micro_batch={MICRO_BATCH}", f"hydra.run.dir={run}"]
        # one arena: how glibc spreads allocations over threads would be measured otherwise
        environment = {**os.environ, "MALLOC_ARENA_MAX": "1"}
        done = subprocess.run(command, capture_output=True, encoding="utf-8", env=environment)
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        summary = json.loads((run / "summary.json").read_text(encoding="utf-8"))
    return float(summary["peak_memory_bytes"]), ", ".join(summary["devices"])


def state_sizes(overrides: list[str]) -> tuple[int, int]:
    """Bytes of one particle's latents, and of what it decodes to."""
    settings = compose([*overrides, "wandb.mode=disabled"])
    work, _ = load(settings._replace(reward=None), Stages())
    latents = math.prod(work.model.shape) * work.model.state.element_size()
    decoded = work.model.decode(work.model.state.new_zeros(1, *work.model.shape))
    return latents, decoded.numel() * decoded.element_size()


def memory(overrides: list[str], particles: tuple[int, ...] = PARTICLES) -> Table:
    """``overrides`` are further settings of every run."""
    latents, decoded = state_sizes(overrides)
    lines, first = [], 0.0
    for n in particles:
        bytes_, device = peak(n, overrides)
        first = first or bytes_
        cells = (bytes_, bytes_ - first, n * latents, n * decoded)
        lines.append((str(n), *(f"{c / MIB:.1f}" for c in cells)))
    what = "peak resident size" if device == "cpu" else f"peak allocation on {device}"
    return Table(
        "Peak memory over particles",
        ("particles", "peak (MiB)", f"above {particles[0]}", "latents", "decoded"),
        lines,
        f"Whole `glass sample` in a fresh process, {MICRO_BATCH} particles a network call: {what}."
        " Beside it one copy of the latents, as particles are kept, and of the decoded samples."
        " Goal: flat but for the latents.",
    )
