"""Batches of rendered scenes, drawn from (seed, step) so that any batch can be made again."""

from __future__ import annotations

import random
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from glass_cli.embedded.world.content import WEIGHTS, Content, held_out, random_content
from glass_cli.embedded.world.grammar import describe
from glass_cli.embedded.world.layout import possible
from glass_cli.embedded.world.negatives import RESPECTS, negative
from glass_cli.embedded.world.render import render
from glass_cli.embedded.world.scene import Scene, place, training_scenes

ALWAYS_SEEN = ("single_object",)  # kinds of which no content is kept from training


def scenes(seed: int, step: int, count: int) -> list[Scene]:
    """Training scenes, each with a prompt of its own."""
    rng = random.Random(f"{seed}/{step}")
    return [training_scenes(rng)[0] for _ in range(count)]


def unseen_content(rng: random.Random, kind: str) -> Content:
    """A content of one of the kinds of WEIGHTS that is never trained on, single objects aside."""
    while True:
        content = random_content(rng, kind)
        if (kind in ALWAYS_SEEN or held_out(content)) and possible(content):
            return content


def unseen_scene(rng: random.Random, kind: str) -> Scene:
    """A held-out content in its GenEval wording, at random places."""
    content = unseen_content(rng, kind)
    return place(content, rng, describe(content))


def unseen_pairs(rng: random.Random, respect: str, count: int) -> list[tuple[Scene, Scene]]:
    """Held-out scenes, each with a hard negative (``world.negatives``) in one of RESPECTS."""
    if respect not in RESPECTS:
        raise ValueError(f"respect must be one of {', '.join(RESPECTS)} (got {respect})")
    found: list[tuple[Scene, Scene]] = []
    while len(found) < count:
        kind = rng.choices(tuple(WEIGHTS), tuple(WEIGHTS.values()))[0]
        content = unseen_content(rng, kind)
        other = negative(content, respect, rng)
        if other is not None:
            pair = (place(c, rng, describe(c)) for c in (content, other))
            found.append((next(pair), next(pair)))
    return found


def pictures(batch: Sequence[Scene]) -> Tensor:
    """The scenes' pixels: (N, 3, H, W) float32 in [-1, 1]."""
    pixels = np.stack([render(scene) for scene in batch])
    return torch.from_numpy(pixels).permute(0, 3, 1, 2).contiguous().float() / 127.5 - 1
