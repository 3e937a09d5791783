"""Runs of steerings that search, on data of one dimension."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor
from worlds import GaussianFlow, linear

from glass_cli.method.flow import Sampler
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.steering.base import Steering
from glass_cli.steering.loop import steer
from glass_cli.steering.state import Step

EMPTY = torch.empty(0, dtype=torch.float64)


def run(
    steering: Steering,
    sampler: Sampler,
    budget: int,
    seed: int = 0,
    keep: int = 1,
    reward: Callable[[Tensor], Tensor] = linear,
    flow: GaussianFlow | None = None,
) -> list[Step]:
    noise = ParticleNoise(seed, "p", keep, (1,), EMPTY)
    flow = flow or GaussianFlow()
    choice = generator(seed, "choices")
    return list(steer(flow, sampler, steering, reward, noise, choice, budget=budget))
