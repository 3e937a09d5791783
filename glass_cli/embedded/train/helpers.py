"""Heads that help networks in training and are no part of their weights.

A loss over whole pictures and prompts finds out what an object is only after many times more
scenes than one that says what stands where.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional

from glass_cli.embedded.train.imperfect import COLOURS
from glass_cli.embedded.train.preferences import UNSURE, Shown
from glass_cli.embedded.world.objects import CLASSES
from glass_cli.embedded.world.scene import Scene


class CellHead(nn.Linear):
    """Of each cell of a picture: class and colour of what stands in it, and where its centre is."""

    def __init__(self, width: int) -> None:
        super().__init__(width, len(CLASSES) + 1 + len(COLOURS) + 1 + 2)

    def loss(self, seen: Tensor, shown: Sequence[Shown]) -> Tensor:
        """Cross-entropies, and the mean distance in cells, of what is said of cells (N, C, W)."""
        wanted = torch.from_numpy(np.stack([one.cells for one in shown])).flatten(2)
        centres = torch.from_numpy(np.stack([one.centres for one in shown])).flatten(2)
        said = self(seen).float().transpose(1, 2)
        classes, colours, offsets = said.split((len(CLASSES) + 1, len(COLOURS) + 1, 2), dim=1)
        there = (wanted[:, 0] > 0)[:, None].expand_as(offsets)
        total: Tensor = (offsets - centres).abs()[there].mean()
        for logits, names in zip((classes, colours), wanted.unbind(1), strict=True):
            total = total + functional.cross_entropy(logits, names, ignore_index=UNSURE)
        return total


class ContentHead(nn.Module):
    """Reads a scene's objects with colours, and their number, off a picture's or text's vector.

    One head for both ties them to the same content.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.things = nn.Linear(width, len(CLASSES) * len(COLOURS))
        self.count = nn.Linear(width, 4)

    def forward(self, embedding: Tensor, things: Tensor, count: Tensor) -> Tensor:
        loss = functional.cross_entropy(self.things(embedding), things)
        return loss + functional.cross_entropy(self.count(embedding), count)


def things_of(batch: Sequence[Scene]) -> tuple[Tensor, Tensor]:
    """Targets: a distribution over (class, colour), uniform over the objects; their number less 1.

    Class after class, in each the colours in COLOURS' order.
    """
    things = torch.zeros(len(batch), len(CLASSES), len(COLOURS))
    for i, scene in enumerate(batch):
        for item in scene.items:
            place = CLASSES.index(item.name), COLOURS.index(item.color)
            things[i][place] += 1 / len(scene.items)
    return things.flatten(1), torch.tensor([len(scene.items) - 1 for scene in batch])
