"""Trains the embedded detector, which judges what the embedded model draws.

It shares nothing with the CLIP reward: other network, other loss, other scenes.
"""

from __future__ import annotations

from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from glass_cli.benchmarks.grid_network import STRIDE, Cells, GridNetwork, centres
from glass_cli.embedded.train.clip import spoil
from glass_cli.embedded.train.data import pictures, scenes
from glass_cli.embedded.train.loop import fit
from glass_cli.embedded.train.untidy import COLOURS, Target, tidy, untidy
from glass_cli.embedded.world.scenes import World
from glass_cli.pipelines.codec import PatchAutoencoder

BATCH = 32
RUBBISH = 0.05  # share of pictures without any object or sense
NEAR, AROUND = 6.0, 12.0  # pixels from an object's centre: its own cells; cells left unjudged


class Goal(NamedTuple):
    """What :class:`Cells` should be; ``presence`` is -1 where it does not matter.

    ``object`` (N, H, W) marks the cells whose class, colour and box count.
    """

    presence: Tensor
    object: Tensor
    classes: Tensor
    colours: Tensor
    sides: Tensor


def build(world: World) -> GridNetwork:
    return GridNetwork(len(world.classes), len(COLOURS))


def goal(world: World, batch: list[list[Target]]) -> Goal:
    """Cells around an object's centre see it: for a whole object, one to five of them."""
    side = world.image_size // STRIDE
    x, y = centres(side, side)
    n = len(batch)
    presence = torch.zeros(n, side, side)
    nearest = torch.full((n, side, side), torch.inf)
    classes = torch.zeros(n, len(world.classes), side, side)
    colours = torch.zeros(n, len(COLOURS), side, side)
    sides = torch.zeros(n, 4, side, side)
    for i, targets in enumerate(batch):
        for target in targets:
            x0, y0, x1, y1 = target.box
            distance = ((x - (x0 + x1) / 2) ** 2 + (y - (y0 + y1) / 2) ** 2).sqrt()
            own = (distance <= AROUND) & (distance < nearest[i])
            if target.present == 0.0:
                continue
            nearest[i][own] = distance[own]
            presence[i][own] = -1.0
            if target.present == 1.0:
                presence[i][own & (distance <= NEAR)] = 1.0
            classes[i][:, own] = torch.from_numpy(target.classes)[:, None]
            colours[i][:, own] = torch.from_numpy(target.colours)[:, None]
            box = torch.stack([x - x0, y - y0, x1 - x, y1 - y]).clamp(min=0.0) / STRIDE
            sides[i][:, own] = box[:, own]
    return Goal(presence, nearest.isfinite(), classes, colours, sides)


def losses(cells: Cells, goal: Goal) -> dict[str, Tensor]:
    """Cross-entropies of presence, class and colour, and the box's mean absolute error."""
    judged = goal.presence >= 0
    seen = goal.object
    here = functional.binary_cross_entropy_with_logits(
        cells.presence[judged], goal.presence[judged], reduction="sum"
    )
    count = seen.sum().clamp(min=1)

    def entropy(logits: Tensor, wanted: Tensor) -> Tensor:
        return -(wanted * logits.log_softmax(1)).sum(1)[seen].sum() / count

    box = (cells.sides - goal.sides).abs().mean(1)[seen].sum() / count
    return {
        "presence": here / count,
        "class": entropy(cells.classes, goal.classes),
        "colour": entropy(cells.colours, goal.colours),
        "box": box,
    }


@torch.no_grad()
def through_codec(vae: PatchAutoencoder, x: Tensor, generator: torch.Generator) -> Tensor:
    """Seven in ten pictures (in [0, 1]) as the codec gives them back, half of these noised."""
    chosen = torch.rand(len(x), generator=generator) < 0.7
    codes = vae.codes(2 * x[chosen] - 1)
    level = 0.35 * torch.rand(len(codes), 1, 1, 1, generator=generator)
    level = level * (torch.rand(len(codes), 1, 1, 1, generator=generator) < 0.5)
    codes = codes + level * torch.randn(codes.shape, generator=generator)
    x = x.clone()
    x[chosen] = (vae.decode(codes, return_dict=False)[0] / 2 + 0.5).clamp(0.0, 1.0)
    return x


@torch.no_grad()
def rubbish(vae: PatchAutoencoder, count: int, generator: torch.Generator) -> Tensor:
    """Pictures (N, 3, 64, 64) of nothing: noise of pixels, soft colours, or noise of codes."""
    codes = 1.2 * torch.randn(count, vae.config.latent_channels, 8, 8, generator=generator)
    soft = torch.rand(count, 3, 8, 8, generator=generator)
    kinds = torch.stack(
        [
            torch.rand(count, 3, 64, 64, generator=generator),
            functional.interpolate(soft, (64, 64), mode="bilinear"),
            (vae.decode(codes, return_dict=False)[0] / 2 + 0.5).clamp(0.0, 1.0),
        ]
    )
    return kinds[torch.randint(3, (count,), generator=generator), torch.arange(count)]


def batch_of(world: World, seed: int, step: int) -> tuple[Tensor, list[list[Target]]]:
    """Pictures (N, 3, H, W) in [0, 1] and their objects; a quarter are the world's own scenes."""
    rng = np.random.default_rng((seed, step, 77))
    own = scenes(world, seed + 5, step, BATCH // 4)
    made = [untidy(world, rng) for _ in range(BATCH - len(own))]
    x = torch.from_numpy(np.stack([picture for picture, _ in made])).permute(0, 3, 1, 2)
    x = torch.cat([pictures(world, own) / 2 + 0.5, x]).contiguous()
    return x, [tidy(world, scene) for scene in own] + [targets for _, targets in made]


def train(world: World, vae: PatchAutoencoder, folder: Path, steps: int, seed: int) -> GridNetwork:
    """Fits the network to pictures that have gone through the codec, blurred and noised."""
    torch.manual_seed(seed)
    network = build(world)

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        x, targets = batch_of(world, seed, step)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        x = through_codec(vae, x, generator)
        untouched = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
        x = torch.where(untouched, x, spoil(2 * x - 1, generator) / 2 + 0.5)
        nothing = torch.rand(len(x), generator=generator) < RUBBISH
        x[nothing] = rubbish(vae, int(nothing.sum()), generator)
        targets = [[] if none else t for none, t in zip(nothing.tolist(), targets, strict=True)]
        parts = losses(network(x), goal(world, targets))
        return sum(parts.values(), torch.zeros(())), {k: v.item() for k, v in parts.items()}

    fit("detector", {"network": network}, loss_fn, steps=steps, lr=1e-3, folder=folder,
        ema_decay=0.999)  # fmt: skip
    return network
