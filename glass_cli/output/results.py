"""A finished run as read from its folder, the same for `glass sample` and `glass eval`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple

from glass_cli.output.thumbnails import Strip


@dataclass(frozen=True, slots=True)
class Particle:
    """One finished particle.

    picture: its file; None for points, and where only the answer's is kept.
    metrics: name -> what further rewards say of it.
    """

    index: int
    reward: float | None
    picture: Path | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class StepRow:
    """What happened at one time, before the next transition.

    step: its number, from 0.
    t: 0 noise, 1 data.
    number: N, how many particles there are; a steering may change it at resampling.
    nfe: network calls of all particles from the start.
    rewards, weights: of the N particles in their order before resampling; the weights sum to 1.
    ess: effective sample size, 1 to N.
    lineages: how many particles at t=0 have descendants now.
    ancestors: for each new particle the one whose copy it is; None where nobody was resampled.
    thumbnails: the strip of N pictures of what was scored; None where none was kept.
    """

    step: int
    t: float
    number: int
    nfe: float | None
    rewards: tuple[float | None, ...] | None
    weights: tuple[float, ...] | None
    ess: float | None
    lineages: int | None
    ancestors: tuple[int, ...] | None
    thumbnails: Strip | None = None


@dataclass(frozen=True, slots=True)
class Result:
    """One steered run: one prompt and seed, N particles at the end, one of them the answer or none.

    chosen: the particle that the steering chose; None where it chooses none.
    reward, metrics: of the answer, which for a benchmark is particle 0 where none was chosen; None
        and empty without an answer.
    rewards: of all N particles; None where one was not finite, or there is no reward.
    mean_metrics: of the average particle.
    nfe, reward_calls, seconds: of all particles together; None where not recorded.
    judged: what the benchmark says of the answer.
    task: the benchmark's category of the prompt, such as GenEval's "counting".
    """

    prompt_index: int
    image_index: int
    prompt: str
    seed: int
    chosen: int | None
    reward: float | None
    rewards: tuple[float | None, ...]
    metrics: Mapping[str, float]
    mean_metrics: Mapping[str, float]
    particles: tuple[Particle, ...]
    nfe: float | None
    reward_calls: float | None
    seconds: float | None
    judged: Mapping[str, Any]
    task: str | None
    steps: tuple[StepRow, ...]

    @property
    def known_rewards(self) -> list[float]:
        return [r for r in self.rewards if r is not None]

    @property
    def best_reward(self) -> float | None:
        return max(self.known_rewards, default=None)

    @property
    def mean_reward(self) -> float | None:
        known = self.known_rewards
        return sum(known) / len(known) if known else None

    @property
    def lineages(self) -> int | None:
        """How many of the particles at t=0 have descendants at the end."""
        return self.steps[-1].lineages if self.steps else None

    @property
    def started(self) -> int:
        """How many particles there were at t=0."""
        return self.steps[0].number if self.steps else len(self.rewards)

    @property
    def shown(self) -> list[tuple[Particle, Path]]:
        """The particles whose pictures were kept, with these: all, or only the answer."""
        return [(p, p.picture) for p in self.particles if p.picture is not None]

    @property
    def correct(self) -> bool | None:
        """What the judge said of the answer; None where nobody judged."""
        value = self.judged.get("correct")
        return value if isinstance(value, bool) else None

    @property
    def measured(self) -> Mapping[str, float]:
        """The judge's numbers beside its verdict."""
        return {
            str(key): float(value)
            for key, value in self.judged.items()
            if key != "correct" and isinstance(value, (int, float)) and math.isfinite(value)
        }


class Score(NamedTuple):
    """A benchmark's own score: a mean over prompts, and its 95 % interval; None where not known."""

    mean: float
    interval: tuple[float, float] | None
    prompts: int | None


@dataclass(frozen=True)
class Run:
    """A finished run.

    command: what wrote it, ``glass sample`` or ``glass eval``.
    config: all settings, resolved.
    overrides: those that were typed.
    summary: summary.json.
    scores: the benchmark's, by their names; none of ``glass sample``.
    results: those that the summary is of.
    """

    folder: Path
    command: Literal["sample", "eval"]
    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    summary: Mapping[str, Any]
    scores: Mapping[str, Score]
    results: tuple[Result, ...]
