"""One prompt from noise to scored pictures: the loop of ``glass sample`` without its files."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Mapping
from typing import NamedTuple

import torch
from torch import Tensor

from glass_cli.common.errors import GlassError
from glass_cli.common.stages import Stages
from glass_cli.method.flow import Flow, FlowAround, Sampler
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.models.base import LoadedModel
from glass_cli.pipelines.batches import Batches
from glass_cli.rewards.base import LoadedReward
from glass_cli.steering.base import SampleReward, Steering
from glass_cli.steering.budget import planned_calls, run_calls
from glass_cli.steering.guidance import Guided
from glass_cli.steering.loop import steer
from glass_cli.steering.searching import Searching
from glass_cli.steering.state import NotFinite, Step, finite


class Work(NamedTuple):
    """Everything loaded that a run needs.

    model, sampler, steering: what draws the particles and moves them.
    reward: steers; None for runs without one.
    micro_batch: particles a network call, 1 or more.
    stages: where seconds are booked.
    metrics: score final samples only.
    calls: network calls a particle, where they are asked for.
    budget: network calls of all particles together, where they are asked for.
    """

    model: LoadedModel
    sampler: Sampler
    steering: Steering
    reward: LoadedReward | None
    micro_batch: int
    stages: Stages
    metrics: Mapping[str, LoadedReward] = {}
    calls: int | None = None
    budget: int | None = None


Heard = Callable[[float], None]
"""Told which share of a picture's network calls is made, from 0 to 1."""


class _TimedFlow(FlowAround):
    """A flow whose calls are booked under the stage "network", and counted for ``heard``.

    planned: how many are to be made; they may be fewer.
    """

    def __init__(self, flow: Flow, stages: Stages, heard: Heard | None) -> None:
        super().__init__(flow)
        self._stages, self._heard = stages, heard
        self._made, self.planned = 0, math.inf

    def denoise(self, x: Tensor, t: float) -> Tensor:
        with self._stages.stage("network"):
            x_hat = self._flow.denoise(x, t)
        self._made += len(x)
        if self._heard is not None:
            self._heard(min(self._made / self.planned, 1.0))
        return x_hat


class Drawn(NamedTuple):
    """A step of the run; all but ``step`` only at the last one, on the CPU.

    step: particles, rewards and weights at one time.
    samples: decoded pictures (N, 3, H, W) in [0, 1], or points (N, d); None before the end.
    metrics: name -> scores (N,), float64.
    terms: of a reward that is made of several: name -> raw scores (N,), float64.
    """

    step: Step
    samples: Tensor | None
    metrics: Mapping[str, Tensor] = {}
    terms: Mapping[str, Tensor] = {}


class _Scorer(SampleReward):
    """Decodes and scores particles; ``samples`` keeps what it decoded or scored last, ``terms`` the
    parts of the last scores."""

    def __init__(self, work: Work, prompt: str) -> None:
        self._work, self._prompt = work, prompt
        self._decoding, self._guiding = Batches(work.micro_batch), Batches(work.micro_batch)
        self.samples: Tensor | None = None
        self.terms: Mapping[str, Tensor] = {}

    def decode(self, x: Tensor) -> Tensor:
        """Samples of clean particles (N, *shape), in micro-batches."""
        with self._work.stages.stage("decode"), torch.no_grad():
            self.samples = self._decoding.map(self._work.model.decode, x)
        return self.samples

    def __call__(self, x: Tensor) -> Tensor:
        """Rewards (N,) of clean particles."""
        return self.of(self.decode(x))

    def of(self, samples: Tensor) -> Tensor:
        """Rewards (N,) of samples."""
        reward, self.samples = self._work.reward, samples
        assert reward is not None
        with self._work.stages.stage("reward"), torch.no_grad():
            r, self.terms = reward.score_terms(samples, self._prompt)
        return r

    def gradient(self, z: Tensor) -> Tensor:
        """grad_z of the reward of the decoded z, (N, *shape), in micro-batches.

        Raises NotFinite for a gradient that is, and GlassError for a reward that has none.
        """
        with self._work.stages.stage("guidance"), torch.enable_grad():
            gradient = self._guiding.map(self._gradient, z.detach())
        bad = (~gradient.isfinite()).flatten(1).any(1).nonzero()
        if len(bad):
            raise NotFinite(f"the reward's gradient of particle {int(bad[0])} is not finite")
        return gradient

    def _gradient(self, z: Tensor) -> Tensor:
        assert self._work.reward is not None
        z = z.clone().requires_grad_()
        r = self._work.reward.score(self._work.model.decode(z), self._prompt)
        gradient: Tensor | None = None
        if r.requires_grad:
            (gradient,) = torch.autograd.grad(r.sum(), z, allow_unused=True)
        if gradient is None:
            raise GlassError(
                "the reward has no gradient, which steering.guidance needs: it, or the model's"
                " decoder, detaches its result; use another reward or steering.guidance=0"
            )
        return gradient

    def last(self, step: Step) -> Tensor:
        """The samples of the final particles, and in ``terms`` their parts.

        Those that were scored last, unless nothing was scored or a search scored others too.
        """
        if isinstance(self._work.steering, Searching):
            samples = self.decode(step.particles.x)
            if self.terms and self._work.reward is not None:
                with torch.no_grad():
                    _, self.terms = self._work.reward.score_terms(samples, self._prompt)
            return samples
        if self._work.reward is None:
            return self.decode(step.particles.x)
        assert self.samples is not None
        return self.samples

    def metrics(self, step: Step) -> dict[str, Tensor]:
        """Every metric's scores (N,) of the last samples, which are those of ``step``."""
        scores = {}
        for name, metric in self._work.metrics.items():
            if metric is self._work.reward and step.rewards is not None:
                scores[name] = step.rewards
                continue
            assert self.samples is not None
            with self._work.stages.stage("metrics"), torch.no_grad():
                r = metric.score(self.samples, self._prompt)
            scores[name] = finite(r, f"metric {name}", step.k, step.t)
        return scores


def draw(
    work: Work,
    prompt: str,
    negative_prompt: str,
    particles: int,
    seed: int,
    heard: Heard | None = None,
) -> Iterator[Drawn]:
    """Yields the steps of one prompt; the pictures come with the last.

    heard: called after every network call.

    Every random number comes from generators of (seed, prompt, particle), so neither the other
    prompts nor the micro-batch size matter.
    """
    flow = work.model.prompted(prompt, negative_prompt, work.micro_batch)
    like, shape = work.model.state, work.model.shape
    scorer = _Scorer(work, prompt)
    timed = _TimedFlow(flow, work.stages, heard)
    asked: Flow = timed
    strength = work.steering.guidance
    if strength > 0.0:
        asked = Guided(asked, strength, work.steering.guidance_window, scorer.gradient)
    times = work.sampler.outer_times(asked)
    calls = run_calls(
        work.sampler, work.steering, times, particles, work.calls, work.budget, work.model.calls
    )
    timed.planned = work.budget or planned_calls(work.steering, times, particles, calls)
    steps = steer(
        asked,
        work.sampler,
        work.steering,
        None if work.reward is None else scorer,
        ParticleNoise(seed, prompt, particles, shape, like),
        generator(seed, prompt, "choices"),
        ParticleNoise(seed, f"{prompt}\x1fvalues", particles, shape, like),
        calls,
        work.budget,
    )
    try:
        for step in steps:
            if step.t < 1.0:
                # posterior values decode several samples a particle; a search is over by now
                scored = step.rewards is not None and not isinstance(work.steering, Searching)
                seen = scorer.samples if scored else None
                n = len(step.log_w)
                yield Drawn(step, seen if seen is not None and len(seen) == n else None)
                continue
            last = scorer.last(step)
            terms = {name: r.detach().to("cpu", torch.float64) for name, r in scorer.terms.items()}
            yield Drawn(step, last.cpu(), scorer.metrics(step), terms)
    finally:
        flow.close()
