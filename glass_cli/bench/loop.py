"""What `glass sample` costs beyond its network calls."""

from __future__ import annotations

import contextlib
import io
import json
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import torch

from glass_cli.common.paths import conf_dir
from glass_cli.common.stages import Stages
from glass_cli.config.composition import composing
from glass_cli.config.preflight import build_settings, compose_or_explain
from glass_cli.config.settings import Settings
from glass_cli.engine import draw as drawing
from glass_cli.engine import sample
from glass_cli.engine.launchers.local import Local
from glass_cli.engine.load import load
from glass_cli.method.budget import transition_calls
from glass_cli.models.base import LoadedModel, Model
from glass_cli.models.diffusers_pipeline import LoadedPipeline
from glass_cli.output.tables import Table
from glass_cli.pipelines.session import Session
from glass_cli.rewards.base import LoadedReward, Reward

RUNS = (
    ("glass, fk", ("sampler=glass", "steering=fk")),
    ("glass, fk, 8 to 2", ("sampler=glass", "steering=fk", "steering.sizes=[8,6,4,3,2]")),
    ("ode, best_of_n", ("sampler=ode", "steering=best_of_n")),
)
STAGES = ("network", "decode", "reward", "record")
SCORING = ("decode", "reward")  # stages whose networks the bare calls leave out


class Seconds(NamedTuple):
    """Seconds of one repeat: of the whole command, of the loop alone, within it of decoding and
    scoring, and of the bare network calls; and the command's by stage."""

    command: float
    loop: float
    scoring: float
    bare: float
    stages: dict[str, float]


def compose(overrides: list[str]) -> Settings:
    """The checked settings of `glass sample OVERRIDES`, drawn in this process."""
    with composing(conf_dir()) as composer:
        settings = build_settings(compose_or_explain(composer, overrides), overrides)
    return settings._replace(launcher=Local())


def bare_calls(work: drawing.Work, settings: Settings) -> Callable[[], None]:
    """The network calls of a run and nothing else: as many, of the same shapes.

    Of a pipeline, the guided network as it is called inside: latents and prompt states doubled,
    one output a call. Of another model, its ``denoise``.
    """
    root, model = settings.root, work.model
    prompt = root.prompt_list()[0]
    flow = model.prompted(prompt, root.negative_prompt, root.micro_batch)
    transitions = len(work.sampler.outer_times(flow)) - 1
    calls = transition_calls(work.sampler, transitions, work.calls, model.calls)
    sizes = work.steering.sizes_of(transitions, root.particles) or [root.particles] * transitions
    batches = [
        len(part)
        for rounds, size in zip(calls, sizes, strict=True)
        for _ in range(rounds)
        for part in torch.zeros(size).split(root.micro_batch)
    ]
    if not isinstance(model, LoadedPipeline):
        states = {n: torch.randn(n, *model.shape).to(model.state) for n in set(batches)}

        def plain() -> None:
            for n in batches:
                flow.denoise(states[n], 0.5)

        return plain

    network = model.pipe.unet if hasattr(model.pipe, "unet") else model.pipe.transformer
    seen = {n: _arguments(model, network, prompt, n) for n in set(batches)}

    def guided() -> None:
        with torch.no_grad():
            for n in batches:
                args, kwargs = seen[n]
                network(*args, **kwargs)

    return guided


def _arguments(
    model: LoadedPipeline, network: torch.nn.Module, prompt: str, particles: int
) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What the pipeline hands to its network for ``particles``, guidance included."""
    seen: list[tuple[tuple[Any, ...], dict[str, Any]]] = []
    hook = network.register_forward_pre_hook(
        lambda _, args, kwargs: seen.append((args, kwargs)), with_kwargs=True
    )
    session = Session(model.pipe, {**model.arguments, "prompt": prompt}, particles)
    latents = torch.randn(particles, *model.shape).to(model.state)
    with torch.no_grad():
        session(latents, 500.0)
    session.close()
    hook.remove()
    return seen[0]


class ReadyModel(Model):
    """Settings of a model that is loaded already."""

    def __init__(self, settings: Model, loaded: LoadedModel) -> None:
        self.output, self.dim = settings.output, settings.dim
        self._loaded = loaded

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedModel:
        return self._loaded


class ReadyReward(Reward):
    """Settings of a reward that is loaded already."""

    def __init__(self, loaded: LoadedReward) -> None:
        self._loaded = loaded

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedReward:
        return self._loaded


def measure(overrides: list[str], repeats: int) -> list[Seconds]:
    """Whole command, loop, bare calls: in turn, after one round to warm up."""
    settings = compose([*overrides, "wandb.mode=disabled"])
    loop_stages = Stages()
    work, device = load(settings, loop_stages)
    reward = None if work.reward is None else ReadyReward(work.reward)
    ready = settings._replace(model=ReadyModel(settings.model, work.model), reward=reward)
    bare = bare_calls(work, settings)
    root = settings.root

    def loop_alone() -> None:
        prompt = root.prompt_list()[0]
        for _ in drawing.draw(work, prompt, root.negative_prompt, root.particles, root.seed):
            pass

    results = []
    for _ in range(repeats + 1):
        command, stages = _command(ready)
        loop_stages.seconds.clear()
        whole = _seconds(loop_alone, device)
        scoring = sum(loop_stages.seconds.get(stage, 0.0) for stage in SCORING)
        results.append(Seconds(command, whole, scoring, _seconds(bare, device), stages))
    return results[1:]


def _seconds(work: Callable[[], None], device: torch.device) -> float:
    began = time.perf_counter()
    work()
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    return time.perf_counter() - began


def _command(settings: Settings) -> tuple[float, dict[str, float]]:
    """Seconds of `glass sample` in a fresh folder once everything is loaded, and by stage."""
    quiet = io.StringIO()
    with (
        tempfile.TemporaryDirectory() as place,
        contextlib.redirect_stdout(quiet),
        contextlib.redirect_stderr(quiet),
    ):
        began, folder = time.perf_counter(), Path(place) / "run"
        sample.run(settings, folder)
        seconds = time.perf_counter() - began
        summary = json.loads((folder / "summary.json").read_text(encoding="utf-8"))
    return seconds, summary["seconds_by_stage"]


def loop(overrides: list[str], repeats: int = 7) -> Table:
    """``overrides`` are further settings of every run, such as model.path=FOLDER."""
    lines = []
    for name, run in RUNS:
        times = measure(["particles=8", *run, *overrides], repeats)
        command, whole, bare = (
            statistics.median(getattr(t, field) for t in times)
            for field in ("command", "loop", "bare")
        )
        stages = [statistics.median(t.stages.get(s, 0.0) for t in times) for s in STAGES]
        # ratios within a repeat: what slows the machine down for a while slows all three
        over = [
            statistics.median(100.0 * (seconds / t.bare - 1.0) for t, seconds in pairs)
            for pairs in (
                [(t, t.loop) for t in times],
                [(t, t.loop - t.scoring) for t in times],
                [(t, t.command) for t in times],
            )
        ]
        cells = [f"{v:.3g}" for v in (bare, whole, command)]
        lines.append((name, *cells, *(f"{v:+.1f} %" for v in over), *(f"{s:.3g}" for s in stages)))
    return Table(
        "The whole loop against its bare network calls",
        (
            "run",
            *("bare (s)", "loop (s)", "command (s)"),
            *("loop over", "without scoring", "command over"),
            *STAGES,
        ),
        lines,
        f"Eight particles, medians of {repeats} repeats, run in turn; over: the median of the"
        " ratios within a repeat. Bare: the network alone, the same number of calls of the same"
        " shapes, guidance included. Loop: sampling, decoding, scoring, steering; without scoring:"
        " its seconds less those of the decoder and the reward. Command: `glass sample` with its"
        " files, without imports and loading. The last columns are the command's seconds by stage."
        " Goal: at most 3 % over.",
    )
