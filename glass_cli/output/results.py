"""A finished run as its folder tells it, the same for `glass sample` and `glass eval`."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal


@dataclass(frozen=True)
class Particle:
    """One finished particle. ``picture`` is None for points and where only the answer was kept."""

    index: int
    reward: float | None
    picture: Path | None = None
    metrics: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class StepRow:
    """What happened at time ``t`` (0 noise, 1 data) before the next transition.

    ``rewards`` and ``weights`` (N numbers each; the weights sum to 1) are in the order before
    resampling; ``ancestors[i]`` is the particle whose place the new particle i takes, None where
    nobody was resampled. ``nfe`` counts network calls from the start. ``thumbnails`` is a picture
    file of N equally wide tiles from left to right, the x_hat that were scored.
    """

    step: int
    t: float
    nfe: float | None
    rewards: tuple[float | None, ...] | None
    weights: tuple[float, ...] | None
    ess: float | None
    lineages: int | None
    ancestors: tuple[int, ...] | None
    thumbnails: Path | None = None


@dataclass(frozen=True)
class Result:
    """One steered run: one prompt and seed, N particles, of which one may be the answer.

    ``particles`` are those of which something was written; ``rewards`` has all N.
    """

    prompt_index: int
    image_index: int
    prompt: str
    seed: int
    chosen: int | None
    rewards: tuple[float | None, ...]
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
    def chosen_reward(self) -> float | None:
        return None if self.chosen is None else self.rewards[self.chosen]

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
    def metrics(self) -> Mapping[str, float]:
        """The answer's metrics; a lone particle is the answer without being chosen."""
        alone = len(self.particles) == 1
        found = [p.metrics for p in self.particles if alone or p.index == self.chosen]
        return found[0] if found else {}

    @property
    def mean_metrics(self) -> Mapping[str, float]:
        """Means over all N particles, where all were scored."""
        if len(self.particles) < max(len(self.rewards), 2):
            return {}
        names = set.intersection(*(set(p.metrics) for p in self.particles))
        n = len(self.particles)
        return {m: sum(p.metrics[m] for p in self.particles) / n for m in sorted(names)}

    @property
    def correct(self) -> bool | None:
        """What the judge said of the answer; None where nobody judged."""
        value = self.judged.get("correct")
        return value if isinstance(value, bool) else None

    @property
    def measured(self) -> Mapping[str, float]:
        """The judge's numbers beside its verdict."""
        found = {str(key): value for key, value in self.judged.items() if key != "correct"}
        return {
            key: float(value)
            for key, value in found.items()
            if isinstance(value, (int, float)) and math.isfinite(value)
        }


@dataclass(frozen=True)
class Run:
    """A finished run: ``config`` as resolved, ``overrides`` as typed, ``summary`` as written."""

    folder: Path
    kind: Literal["sample", "eval"]
    config: Mapping[str, Any]
    overrides: tuple[str, ...]
    summary: Mapping[str, Any]
    results: tuple[Result, ...]

    def choice(self, group: str) -> str | None:
        """The name of a group's class, such as Glass for the sampler; None where it is null."""
        node = self.config.get(group)
        if not isinstance(node, Mapping) or "_target_" not in node:
            return None
        return str(node["_target_"]).rpartition(".")[2]
