"""Random numbers that belong to a particle, not to a batch."""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import partial

import torch
from torch import Tensor

from glass_cli.method.flow import Normal


def generator(*key: object) -> torch.Generator:
    """A CPU generator seeded by a hash of ``key``, such as (seed, prompt, particle)."""
    digest = hashlib.sha256("\x1f".join(map(repr, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class ParticleNoise:
    """Standard normal noise for N particles, each from the generator of (seed, prompt, particle).

    Numbers are drawn on the CPU in float64, so they are the same on every device and for every
    micro-batch size.

    seed, prompt: decide the numbers, with the particle's.
    particles: N, 1 or more, where a call does not say otherwise.
    shape: of one particle.
    tensor: has the device and type of what is returned.
    first: the number of the first particle, 0 or more.
    """

    def __init__(
        self,
        seed: int,
        prompt: str,
        particles: int,
        shape: tuple[int, ...],
        tensor: Tensor,
        first: int = 0,
    ) -> None:
        self._key, self._first, self.particles = (seed, prompt), first, particles
        self._generators: dict[int, torch.Generator] = {}
        self._shape = shape
        self._like = tensor

    def __call__(self, particles: int | None = None) -> Tensor:
        """(N, *shape), of the first ``particles`` slots; None for the N of the start."""
        return self.of(range(self.particles if particles is None else particles))

    def of(self, slots: Sequence[int]) -> Tensor:
        """(len(slots), *shape): the next numbers of each of the ``slots``, all different."""
        draws = [
            torch.randn(self._shape, generator=self._generator(n), dtype=torch.float64)
            for n in slots
        ]
        return torch.stack(draws).to(self._like)

    def _generator(self, slot: int) -> torch.Generator:
        if slot not in self._generators:
            self._generators[slot] = generator(*self._key, self._first + slot)
        return self._generators[slot]


def of_slots(normal: Normal, start: int, count: int) -> Normal:
    """The noise of ``count`` particles where ``start`` began."""
    return normal if count == start else partial(normal, count)
