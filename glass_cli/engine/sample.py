"""``glass sample``: particles of one or several prompts, steered by a reward."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from hydra.core.hydra_config import HydraConfig
from omegaconf import DictConfig, OmegaConf
from torch import Tensor

from glass_cli.common.devices import choose_device, choose_dtype, peak_memory
from glass_cli.common.errors import GlassError
from glass_cli.common.stages import Stages
from glass_cli.config.preflight import settings
from glass_cli.config.settings import Settings
from glass_cli.engine.auto_times import for_sample
from glass_cli.engine.draw import Drawn, Work, draw
from glass_cli.engine.records import (
    best_reward,
    particle_records,
    prompt_row,
    step_record,
    summary_of,
)
from glass_cli.method.path import TooFewTimes
from glass_cli.method.times import share_out
from glass_cli.output.progress import Progress, closing_table
from glass_cli.output.recorder import Recorder
from glass_cli.output.tracking import make_tracker
from glass_cli.rewards.pixels import saved
from glass_cli.steering.loop import NotFinite, Step


def run(cfg: DictConfig) -> float | None:
    """Runs one configuration; returns the mean best reward, which a sweeper may maximise."""
    began = time.monotonic()
    made = settings(cfg)
    hydra = HydraConfig.get()
    folder = Path(hydra.runtime.output_dir)
    config = OmegaConf.to_container(cfg, resolve=True)
    assert isinstance(config, dict)
    plain = {str(key): value for key, value in config.items()}
    tracker = make_tracker(plain["wandb"], folder, plain, folder.name)
    with Recorder(folder, plain, list(hydra.overrides.task), tracker) as recorder:
        return _sample(made, plain, recorder, began)


def load(made: Settings, stages: Stages) -> tuple[Work, torch.device]:
    """Loads model and reward onto the chosen device."""
    device = choose_device(made.root.device)
    with stages.stage("load"):
        dtype = choose_dtype(made.root.dtype, device)
        # first what is small, so that what is wrong with it is known soon
        reward, metrics = _load_rewards(made, device, dtype)
        model = made.model.load(device, dtype)
    sampler = share_out(made.sampler, made.root.calls or model.calls)
    batch = made.root.micro_batch
    return Work(model, sampler, made.steering, reward, batch, stages, metrics), device


def _load_rewards(
    made: Settings, device: torch.device, dtype: torch.dtype
) -> tuple[Any, dict[str, Any]]:
    """The reward and the metrics, those of equal settings only once."""
    loaded: list[tuple[Any, Any]] = []

    def once(settings: Any) -> Any:
        for known, there in loaded:
            if known == settings:
                return there
        loaded.append((settings, settings.load(device, dtype)))
        return loaded[-1][1]

    reward = None if made.reward is None else once(made.reward)
    return reward, {name: once(metric) for name, metric in made.metrics.items()}


def _sample(
    made: Settings, config: Mapping[str, Any], recorder: Recorder, began: float
) -> float | None:
    stages = Stages()
    work, device = load(made, stages)
    with stages.stage("pilot"):
        timed, work = for_sample(made, config, work)
    if timed.pilot_nfe is not None:
        made, config = timed.made, timed.config
        recorder.settings(config)
    prompts, n = made.root.prompt_list(), made.root.particles
    times = work.sampler.outer_times(_flow(work, prompts[0]))
    calls = (len(times) - 1) * work.sampler.calls
    if work.reward is not None:
        calls += work.steering.extra_calls(times)
    expected = len(prompts) * n * calls
    rows: list[dict[str, Any]] = []
    keep = made.root.thumbnails is not False and made.model.output == "images"
    with Progress(expected, n) as progress:
        for index, prompt in enumerate(prompts):
            start, drawn = time.monotonic(), None
            done = sum(row["nfe"] for row in rows)
            try:
                for drawn in draw(work, prompt, made.root.negative_prompt, n, made.root.seed):
                    with stages.stage("record"):
                        record = step_record(drawn.step, index, time.monotonic() - start)
                        recorder.step(record)
                        if keep and drawn.samples is not None and drawn.step.t < 1.0:
                            recorder.thumbnails(index, drawn.step.k, saved(drawn.samples))
                        progress.update(
                            done + drawn.step.nfe, drawn.step.ess, best_reward(drawn.step), prompt
                        )
            except (NotFinite, TooFewTimes) as error:
                raise GlassError(
                    f'prompt {index} ("{prompt}"): {error}; finished prompts are in'
                    f" {recorder.folder}"
                ) from error
            assert drawn is not None
            with stages.stage("record"):
                _record(recorder, work, made, config, index, prompt, drawn)
            rows.append(prompt_row(prompt, drawn, time.monotonic() - start))
    with stages.stage("record"):
        sheet = recorder.sheet()
    summary = timed.counted(summary_of(rows, n))
    recorder.finish(
        {
            **summary,
            "seconds": time.monotonic() - began,
            "seconds_by_stage": stages.seconds,
            "peak_memory_bytes": peak_memory(device),
            "device": str(device),
        }
    )
    paths = {"folder": os.path.relpath(recorder.folder)}
    if timed.pilot_nfe is not None:
        paths["times"] = timed.told()
    if sheet is not None:
        paths["pictures"] = os.path.relpath(recorder.folder / "images")
        paths["contact sheet"] = os.path.relpath(sheet)
    plot = recorder.folder / "density.png"
    if plot.exists():
        paths["plot"] = os.path.relpath(plot)
    print(closing_table(rows, paths))
    mean_best: float | None = summary["mean_best_reward"]
    return mean_best


def _flow(work: Work, prompt: str) -> Any:
    """A flow asked only for its path and shift, before any network call."""
    return work.model.prompted(prompt, "", work.micro_batch)


def _record(
    recorder: Recorder,
    work: Work,
    made: Settings,
    config: Mapping[str, Any],
    index: int,
    prompt: str,
    drawn: Drawn,
) -> None:
    """Writes a finished prompt: pictures with their settings, or points and their plot."""
    step, samples = drawn.step, drawn.samples
    assert samples is not None
    particles = particle_records(drawn, made.root.seed)
    if made.model.output == "images":
        recorder.images(index, prompt, saved(samples), particles, config)
        return
    recorder.points(index, prompt, samples.tolist(), particles)
    draw_density = getattr(work.model, "draw", None)
    if index == 0 and draw_density is not None:
        tilt = _tilt(work, step, samples.shape[-1])
        recorder.plot("density", lambda file: draw_density(samples, step.log_w, tilt, file))


def _tilt(work: Work, step: Step, dim: int) -> Tensor | None:
    """The exponent of the law that steering by a linear reward aims at; None for other runs."""
    vector = getattr(work.reward, "vector", None)
    guided = getattr(work.steering, "guidance", 0.0) > 0.0
    if step.cloud.lam is None or vector is None or guided:
        return None
    tilt: Tensor = step.cloud.lam * vector(dim)
    return tilt
