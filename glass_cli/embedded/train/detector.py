"""Trains the embedded detector, which judges what the embedded model draws.

It shares nothing with the CLIP reward: other network, other loss, other scenes.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from glass_cli.detectors.grid_network import STRIDE, Cells, GridNetwork, centres
from glass_cli.embedded.train.data import pictures, scenes
from glass_cli.embedded.train.imperfect import COLOURS, Target, imperfect, targets_of
from glass_cli.embedded.train.loop import autocast, copy_matching, fit
from glass_cli.embedded.train.spoil import rubbish, spoil, through_codec
from glass_cli.embedded.world.layout import SIDE
from glass_cli.embedded.world.objects import CLASSES
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


def build() -> GridNetwork:
    return GridNetwork(len(CLASSES), len(COLOURS))


def start_from(network: GridNetwork, folder: Path) -> None:
    """Copies a shipped detector's trunk, and of its head what classes and colours they share."""
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    state = load_file(folder / "model.safetensors")
    copy_matching(network.trunk, state, prefix="trunk.")
    colours = [colour or "" for colour in COLOURS]
    ours = ["presence", *CLASSES, *(f"colour {c}" for c in colours), *range(4)]
    theirs = [
        "presence",
        *config["classes"],
        *(f"colour {c}" for c in config["colours"]),
        *range(4),
    ]
    pairs = [(i, theirs.index(name)) for i, name in enumerate(ours) if name in theirs]
    mine, source = (torch.tensor(side) for side in zip(*pairs, strict=True))
    with torch.no_grad():
        for name, parameter in network.head.named_parameters():
            parameter[mine] = state[f"head.{name}"].to(parameter)[source]


def goal(batch: list[list[Target]]) -> Goal:
    """Cells around an object's centre see it: for a whole object, one to five of them."""
    side = SIDE // STRIDE
    x, y = centres(side, side)
    n = len(batch)
    presence = torch.zeros(n, side, side)
    nearest = torch.full((n, side, side), torch.inf)
    classes = torch.zeros(n, len(CLASSES), side, side)
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


def batch_of(seed: int, step: int) -> tuple[Tensor, list[list[Target]]]:
    """Pictures (N, 3, H, W) in [0, 1] and their objects; a quarter are the world's own scenes."""
    rng = np.random.default_rng((seed, step, 77))
    own = scenes(seed + 5, step, BATCH // 4)
    made = [imperfect(rng) for _ in range(BATCH - len(own))]
    x = torch.from_numpy(np.stack([picture for picture, _ in made])).permute(0, 3, 1, 2)
    x = torch.cat([pictures(own) / 2 + 0.5, x]).contiguous()
    return x, [targets_of(scene) for scene in own] + [targets for _, targets in made]


def train(
    vae: PatchAutoencoder, folder: Path, steps: int, seed: int, start: Path | None = None
) -> GridNetwork:
    """Fits the network to pictures that have gone through the codec, blurred and noised.

    ``start`` is the folder of a detector whose weights are begun with.
    """
    torch.manual_seed(seed)
    network = build()
    if start is not None:
        start_from(network, start)

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        x, targets = batch_of(seed, step)
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        x = through_codec(vae, x, generator)
        untouched = torch.rand(len(x), 1, 1, 1, generator=generator) < 0.5
        x = torch.where(untouched, x, spoil(2 * x - 1, generator) / 2 + 0.5)
        nothing = torch.rand(len(x), generator=generator) < RUBBISH
        x[nothing] = rubbish(vae, int(nothing.sum()), generator)
        targets = [[] if none else t for none, t in zip(nothing.tolist(), targets, strict=True)]
        with autocast():
            cells = network(x)
        parts = losses(Cells(*(part.float() for part in cells)), goal(targets))
        return sum(parts.values(), torch.zeros(())), {k: v.item() for k, v in parts.items()}

    fit("detector", {"network": network}, loss_fn, steps=steps, lr=1e-3, folder=folder,
        ema_decay=0.999)  # fmt: skip
    return network
