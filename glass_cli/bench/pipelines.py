"""Our ways of running a pipeline beside the pipeline's own loop, at the same network calls."""

from __future__ import annotations

import json
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from typing import Any

import torch

from glass_cli.bench.loop import compose
from glass_cli.common.devices import choose_device, choose_dtype, peak_memory
from glass_cli.common.errors import GlassError
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.models.diffusers_pipeline import LoadedPipeline
from glass_cli.output.tables import Table
from glass_cli.scheduler import GlassScheduler
from glass_cli.steering.independent import NoSteering
from glass_cli.steering.loop import steer

WAYS = ("the pipeline's own loop", "GlassScheduler in the pipeline", "the loop of glass sample")
PARTICLES, TRANSITIONS, STEPS = 8, 5, 5
CALLS = TRANSITIONS * STEPS
MIB = 2**20


def load(overrides: list[str]) -> tuple[LoadedPipeline, torch.device]:
    """The model of ``glass sample OVERRIDES``."""
    settings = compose([*overrides, "steering=none", "~reward", "wandb.mode=disabled"])
    device = choose_device(settings.root.device)
    model = settings.model.load(device, choose_dtype(settings.root.dtype, device))
    if not isinstance(model, LoadedPipeline):
        raise GlassError(f"{type(model).__name__} has no pipeline of its own to be measured beside")
    return model, device


def ways(model: LoadedPipeline, prompt: str = "a photo of a dog") -> dict[str, Callable[[], Any]]:
    """Each draws PARTICLES latents in CALLS network calls, all particles in one batch."""
    pipe, vendor = model.pipe, model.pipe.scheduler
    ours = GlassScheduler.from_scheduler(vendor, transitions=TRANSITIONS, seed=0)

    def plain(scheduler: Any) -> None:
        remembering = pipe.encode_prompt
        del pipe.encode_prompt  # the pipeline as it comes
        pipe.scheduler = scheduler
        try:
            pipe(
                prompt=prompt,
                num_images_per_prompt=PARTICLES,
                num_inference_steps=CALLS,
                output_type="latent",
                **model.arguments,
            )
        finally:
            pipe.scheduler, pipe.encode_prompt = vendor, remembering

    def loop() -> None:
        flow = model.prompted(prompt, "", PARTICLES)
        noise = ParticleNoise(0, prompt, PARTICLES, model.shape, model.state)
        for _ in steer(flow, Glass(TRANSITIONS, STEPS), NoSteering(), None, noise, generator(0)):
            pass
        flow.close()

    return dict(zip(WAYS, (lambda: plain(vendor), lambda: plain(ours), loop), strict=True))


def seconds(model: LoadedPipeline, device: torch.device, repeats: int) -> dict[str, list[float]]:
    """Seconds of each way, run in turn after one round to warm up."""
    results: dict[str, list[float]] = {way: [] for way in WAYS}
    runs = ways(model)
    for _ in range(repeats + 1):
        for way, run in runs.items():
            began = time.perf_counter()
            run()
            if device.type == "cuda":
                torch.cuda.synchronize(device)
            results[way].append(time.perf_counter() - began)
    return {way: values[1:] for way, values in results.items()}


def peaks(overrides: list[str]) -> dict[str, float]:
    """Peak bytes of each way in a fresh process. Raises RuntimeError where one fails."""
    results = {}
    for way in WAYS:
        command = [sys.executable, "-m", "glass_cli.bench.pipelines", way, *overrides]
        done = subprocess.run(command, capture_output=True, encoding="utf-8")
        if done.returncode:
            raise RuntimeError(f"{' '.join(command)}: {done.stderr.strip()}")
        results[way] = float(json.loads(done.stdout.splitlines()[-1]))
    return results


def pipelines(overrides: list[str], repeats: int = 7) -> Table:
    """``overrides`` are further settings, such as model=diffusers model.path=FOLDER."""
    model, device = load(overrides)
    times, memory = seconds(model, device, repeats), peaks(overrides)
    own = WAYS[0]
    lines = []
    for way in WAYS:
        # ratios within a round: what slows the machine down for a while slows all three
        over = [100.0 * (a / b - 1.0) for a, b in zip(times[way], times[own], strict=True)]
        call = 1000.0 * statistics.median(times[way]) / CALLS
        cells = f"{call:.4g}", f"{statistics.median(over):+.1f} %"
        lines.append((way, *cells, f"{memory[way] / MIB:.0f}"))
    return Table(
        "Our loops beside a pipeline's own",
        ("way", "a call (ms)", "over", "peak (MiB)"),
        lines,
        f"{PARTICLES} particles in one batch, {CALLS} network calls, guidance included, up to the"
        f" latents; medians of {repeats} rounds, run in turn; over: the median of the ratios within"
        " a round. Peak: of a fresh process with the model loaded. Goal: within 2 %.",
    )


if __name__ == "__main__":
    loaded, place = load(sys.argv[2:])
    ways(loaded)[sys.argv[1]]()
    print(json.dumps(peak_memory(place)))
