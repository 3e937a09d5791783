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

from glass_cli.app.errors import GlassError
from glass_cli.app.preflight import Settings, settings
from glass_cli.app.progress import Progress, closing_table
from glass_cli.app.recorder import Recorder
from glass_cli.app.tracking import make_tracker
from glass_cli.experiments.devices import choose_device, choose_dtype, peak_memory
from glass_cli.experiments.drawing import Drawn, Work, draw
from glass_cli.experiments.stages import Stages
from glass_cli.experiments.statistics import bootstrap_interval
from glass_cli.method.path import TooFewTimes
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
        model = made.model.load(device, dtype)
        reward = None if made.reward is None else made.reward.load(device, dtype)
    return Work(model, made.sampler, made.steering, reward, made.root.micro_batch, stages), device


def _sample(
    made: Settings, config: Mapping[str, Any], recorder: Recorder, began: float
) -> float | None:
    stages = Stages()
    work, device = load(made, stages)
    prompts, n = made.root.prompt_list(), made.root.particles
    times = work.sampler.outer_times(_flow(work, prompts[0]))
    calls = (len(times) - 1) * work.sampler.calls
    if work.reward is not None:
        calls += work.steering.extra_calls(times)
    expected = len(prompts) * n * calls
    rows: list[dict[str, Any]] = []
    with Progress(expected, n) as progress:
        for index, prompt in enumerate(prompts):
            start, drawn = time.monotonic(), None
            done = sum(row["nfe"] for row in rows)
            try:
                for drawn in draw(work, prompt, made.root.negative_prompt, n, made.root.seed):
                    with stages.stage("record"):
                        record = step_record(drawn.step, index, time.monotonic() - start)
                        recorder.step(record)
                        progress.update(
                            done + drawn.step.nfe, drawn.step.ess, _best(drawn.step), prompt
                        )
            except (NotFinite, TooFewTimes) as error:
                raise GlassError(
                    f'prompt {index} ("{prompt}"): {error}; finished prompts are in'
                    f" {recorder.folder}"
                ) from error
            assert drawn is not None
            with stages.stage("record"):
                _record(recorder, work, made, config, index, prompt, drawn)
            rows.append(_row(prompt, drawn.step, time.monotonic() - start))
    with stages.stage("record"):
        sheet = recorder.sheet()
    rewards = [row["best_reward"] for row in rows if row["best_reward"] is not None]
    mean_best = sum(rewards) / len(rewards) if rewards else None
    nfe = sum(row["nfe"] for row in rows)
    recorder.finish(
        {
            "prompts": rows,
            "mean_best_reward": mean_best,
            "mean_best_reward_interval95": bootstrap_interval(rewards),
            "nfe": nfe,
            "nfe_per_particle": nfe / (n * len(prompts)),
            "particles": n,
            "seconds": time.monotonic() - began,
            "seconds_by_stage": stages.seconds,
            "peak_memory_bytes": peak_memory(device),
            "device": str(device),
        }
    )
    paths = {"folder": os.path.relpath(recorder.folder)}
    if sheet is not None:
        paths["pictures"] = os.path.relpath(recorder.folder / "images")
        paths["contact sheet"] = os.path.relpath(sheet)
    plot = recorder.folder / "density.png"
    if plot.exists():
        paths["plot"] = os.path.relpath(plot)
    print(closing_table(rows, paths))
    return mean_best


def _flow(work: Work, prompt: str) -> Any:
    """A flow asked only for its path and shift, before any network call."""
    return work.model.prompted(prompt, "", work.micro_batch)


def step_record(step: Step, prompt_index: int, seconds: float) -> dict[str, Any]:
    """One line of steps.jsonl."""
    return {
        "prompt_index": prompt_index,
        "step": step.k,
        "t": step.t,
        "nfe": step.nfe,
        "seconds": seconds,
        "rewards": None if step.rewards is None else step.rewards.tolist(),
        "log_w": step.log_w.tolist(),
        "ess": step.ess,
        "resampled": step.ancestors is not None,
        "ancestors": None if step.ancestors is None else step.ancestors.tolist(),
        "lineages": step.cloud.lineages,
        "log_normaliser": step.cloud.log_normaliser,
    }


def _best(step: Step) -> float | None:
    return None if step.rewards is None else float(step.rewards.max())


def _row(prompt: str, step: Step, seconds: float) -> dict[str, Any]:
    r = step.rewards
    chosen = step.chosen
    return {
        "prompt": prompt,
        "best_reward": _best(step),
        "mean_reward": None if r is None else float(r.mean()),
        "chosen": chosen,
        "chosen_reward": None if r is None or chosen is None else float(r[chosen]),
        "ess": step.ess,
        "lineages": step.cloud.lineages,
        "log_normaliser": step.cloud.log_normaliser,
        "nfe": step.nfe,
        "seconds": seconds,
    }


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
    r = step.rewards
    particles = [
        {
            "particle": i,
            "seed": made.root.seed,
            "reward": None if r is None else float(r[i]),
            "log_w": float(step.log_w[i]),
            "nfe": step.nfe / len(samples),
            "lineage": int(step.cloud.lineage[i]),
            "best": i == step.chosen,
        }
        for i in range(len(samples))
    ]
    if made.model.output == "images":
        pixels = (samples * 255.0 + 0.5).to(torch.uint8).permute(0, 2, 3, 1).numpy()
        recorder.images(index, prompt, pixels, particles, config)
        return
    recorder.points(index, prompt, samples.tolist(), particles)
    draw_density = getattr(work.model, "draw", None)
    if index == 0 and draw_density is not None:
        tilt = _tilt(work, made, samples.shape[-1])
        recorder.plot("density", lambda file: draw_density(samples, step.log_w, tilt, file))


def _tilt(work: Work, made: Settings, dim: int) -> Tensor | None:
    """The exponent of the law that steering by a linear reward aims at; None for other runs."""
    lam, vector = getattr(made.steering, "lam", None), getattr(work.reward, "vector", None)
    if lam is None or vector is None:
        return None
    tilt: Tensor = lam * vector(dim)
    return tilt
