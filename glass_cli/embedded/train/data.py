"""Batches of rendered scenes, drawn from (seed, step) so that any batch can be made again."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from glass_cli.embedded.world.render import render
from glass_cli.embedded.world.scenes import Scene, World, random_scene


def scenes(world: World, seed: int, step: int, count: int) -> list[Scene]:
    rng = random.Random(f"{seed}/{step}")
    return [random_scene(world, rng) for _ in range(count)]


def pictures(world: World, batch: Sequence[Scene]) -> Tensor:
    """The scenes' pixels: (N, 3, H, W) float32 in [-1, 1]."""
    pixels = np.stack([render(world, scene) for scene in batch])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
