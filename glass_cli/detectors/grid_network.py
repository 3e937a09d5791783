"""The embedded detector's network: what stands in every cell of 8x8 pixels of an emoji scene.

One object a cell at most (fully convolutional, one stage, without anchors, as in FCOS, Tian et
al., arXiv 1904.01355). 2.0 M parameters.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

STRIDE = 8


class Cells(NamedTuple):
    """What the network says of each cell, (N, ..., H/8, W/8).

    presence: logits (N, ...) of an object's centre being there.
    classes, colours: logits (N, C, ...).
    sides: distances from the cell's centre to the box's left, top, right and bottom side, in cells,
        (N, 4, ...).
    """

    presence: Tensor
    classes: Tensor
    colours: Tensor
    sides: Tensor


class _Residual(nn.Module):
    """Two normalised 3x3 convolutions beside the identity."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.norms = nn.ModuleList(nn.GroupNorm(8, width) for _ in range(2))
        self.convs = nn.ModuleList(nn.Conv2d(width, width, 3, padding=1) for _ in range(2))

    def forward(self, x: Tensor) -> Tensor:
        y = x
        for norm, conv in zip(self.norms, self.convs, strict=True):
            y = conv(functional.silu(norm(y)))
        return x + y


class GridNetwork(nn.Module):
    """Pictures (N, 3, H, W) in [0, 1], H and W multiples of 8, to :class:`Cells`.

    classes, colours: how many there are to tell apart.
    width: channels of the cells, a multiple of 8.
    blocks: residual blocks at that width.
    """

    def __init__(self, classes: int, colours: int, width: int = 160, blocks: int = 4) -> None:
        super().__init__()
        self.width, self.blocks = width, blocks
        self.parts = (1, classes, colours, 4)
        self.trunk = nn.Sequential(
            nn.Conv2d(3, 32, 3, stride=2, padding=1),
            nn.SiLU(),
            nn.Conv2d(32, 64, 3, stride=2, padding=1),
            _Residual(64),
            nn.Conv2d(64, width, 3, stride=2, padding=1),
            *(_Residual(width) for _ in range(blocks)),
            nn.GroupNorm(8, width),
            nn.SiLU(),
        )
        self.head = nn.Conv2d(width, sum(self.parts), 1)

    def forward(self, x: Tensor) -> Cells:
        out = self.head(self.trunk(2 * x - 1))
        presence, classes, colours, sides = out.split(self.parts, dim=1)
        return Cells(presence[:, 0], classes, colours, functional.softplus(sides))


def centres(height: int, width: int, device: torch.device | None = None) -> Tensor:
    """The cells' centres in pixels, (2, height, width): x, then y."""
    y, x = torch.meshgrid(
        torch.arange(height, device=device), torch.arange(width, device=device), indexing="ij"
    )
    return (torch.stack([x, y]) + 0.5) * STRIDE
