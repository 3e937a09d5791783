"""Random numbers that belong to a particle, not to a batch."""

from __future__ import annotations

import hashlib

import torch
from torch import Tensor


def generator(*key: object) -> torch.Generator:
    """A CPU generator seeded by a hash of ``key``, such as (seed, prompt, particle)."""
    digest = hashlib.sha256("\x1f".join(map(repr, key)).encode()).digest()
    return torch.Generator().manual_seed(int.from_bytes(digest[:8], "big") >> 1)


class ParticleNoise:
    """Standard normal noise for N particles, each from the generator of (seed, prompt, particle).

    Numbers are drawn on the CPU in float64, so they are the same on every device and for every
    micro-batch size.

    seed, prompt: decide the numbers, with the particle's.
    particles: N, 1 or more.
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
        self._generators = [generator(seed, prompt, first + n) for n in range(particles)]
        self._shape = shape
        self._like = tensor

    def __call__(self) -> Tensor:
        """(N, *shape)."""
        draws = [
            torch.randn(self._shape, generator=g, dtype=torch.float64) for g in self._generators
        ]
        return torch.stack(draws).to(self._like)
