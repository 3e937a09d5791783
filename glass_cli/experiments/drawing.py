"""One prompt from noise to scored pictures: the loop of ``glass sample`` without its files."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from torch import Tensor

from glass_cli.experiments.stages import Stages
from glass_cli.method.flow import Sampler
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.method.path import Path
from glass_cli.models.base import LoadedModel
from glass_cli.rewards.base import LoadedReward
from glass_cli.steering.loop import Steering, Step, steer


class Work(NamedTuple):
    """Everything loaded that a run needs."""

    model: LoadedModel
    sampler: Sampler
    steering: Steering
    reward: LoadedReward | None
    micro_batch: int
    stages: Stages


class _Timed:
    """A flow whose calls are booked under the stage "network"."""

    def __init__(self, flow: Any, stages: Stages) -> None:
        self._flow, self._stages = flow, stages

    @property
    def path(self) -> Path:
        path: Path = self._flow.path
        return path

    @property
    def shift(self) -> float:
        return float(self._flow.shift)

    def denoise(self, x: Tensor, t: float) -> Tensor:
        with self._stages.stage("network"):
            out: Tensor = self._flow.denoise(x, t)
        return out


class Drawn(NamedTuple):
    """A step of the run; at the last one also the decoded samples, on the CPU."""

    step: Step
    samples: Tensor | None


class _Scorer:
    """Decodes and scores particles in micro-batches; ``samples`` keeps what it decoded last."""

    def __init__(self, work: Work, prompt: str) -> None:
        self._work, self._prompt = work, prompt
        self.samples: Tensor | None = None

    def decode(self, x: Tensor) -> Tensor:
        with self._work.stages.stage("decode"), torch.no_grad():
            parts = [self._work.model.decode(part) for part in x.split(self._work.micro_batch)]
            self.samples = torch.cat(parts)
        return self.samples

    def __call__(self, x: Tensor) -> Tensor:
        assert self._work.reward is not None
        samples = self.decode(x)
        with self._work.stages.stage("reward"):
            return self._work.reward.score(samples, self._prompt)


def draw(
    work: Work, prompt: str, negative_prompt: str, particles: int, seed: int
) -> Iterator[Drawn]:
    """Yields the steps of one prompt; the pictures come with the last.

    Every random number comes from generators of (seed, prompt, particle), so neither the other
    prompts nor the micro-batch size matter.
    """
    flow = work.model.prompted(prompt, negative_prompt, work.micro_batch)
    like, shape = work.model.state, work.model.shape
    scorer = _Scorer(work, prompt)
    steps = steer(
        _Timed(flow, work.stages),
        work.sampler,
        work.steering,
        None if work.reward is None else scorer,
        ParticleNoise(seed, prompt, particles, shape, like),
        generator(seed, prompt, "choices"),
        ParticleNoise(seed, f"{prompt}\x1fvalues", particles, shape, like),
    )
    try:
        for step in steps:
            if step.t < 1.0:
                yield Drawn(step, None)
                continue
            # without a reward nothing was decoded yet
            last = scorer.samples if work.reward is not None else scorer.decode(step.cloud.x)
            assert last is not None
            yield Drawn(step, last.cpu())
    finally:
        flow.close()
