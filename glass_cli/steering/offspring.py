"""Soft value-based decoding (SVDD, arXiv 2408.08252): each particle takes its best offspring."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.steering.independent import Independent

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.particles import Particles


@dataclass(frozen=True)
class BestOffspring(Independent):
    """Families that do not mix: of each one's M offspring one goes on, and has M offspring again.

    The N particles are N/M families of M. At the end the particle with the highest reward is the
    answer.

    offspring: M, 2 or more; divides the number of particles.
    temperature: alpha, 0 or more, in the reward's unit: the one that goes on is drawn by
        exp(r / alpha) of x_hat; 0 takes the highest.
    guidance, guidance_window: see :class:`glass_cli.steering.independent.Independent`.
    """

    needs_reward = True
    needs_noise = True

    offspring: int = 4
    temperature: float = 0.0

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.offspring < 2:
            raise ValueError(f"steering.offspring must be at least 2 (got {self.offspring})")
        if not (math.isfinite(self.temperature) and self.temperature >= 0.0):
            raise ValueError(
                f"steering.temperature must be a number of 0 or more (got {self.temperature})"
            )

    def sizes_of(self, transitions: int, particles: int) -> Sequence[int] | None:
        if particles % self.offspring:
            raise ValueError(
                f"particles={particles} must be a multiple of steering.offspring={self.offspring},"
                " the size of a family"
            )
        return None

    def scored(self, times: Sequence[float]) -> list[int]:
        return list(range(1, len(times) - 1))

    def weigh(self, particles: Particles, r: Tensor) -> Particles:
        return particles.scored(r)

    def ancestors(self, particles: Particles, u: Tensor, size: int) -> Tensor | None:
        """Each family's chosen one, M times."""
        import torch

        r = particles.past[-1].view(-1, self.offspring)
        if self.temperature == 0.0:
            taken = r.argmax(1)
        else:
            edges = (r / self.temperature).softmax(1).cumsum(1)
            place = u[: len(r), None] * edges[:, -1:]
            taken = torch.searchsorted(edges, place, right=True)[:, 0].clamp(max=self.offspring - 1)
        first = torch.arange(len(r)) * self.offspring
        return (first + taken).repeat_interleave(self.offspring)

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        return None if r is None else int(r.argmax())
