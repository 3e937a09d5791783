"""Codes of scenes without rendering them.

The codec's encoder sees one patch of 8x8 pixels at a time, objects stand on that grid and do not
overlap: so a scene's code is put together from a table of each glyph's, at next to no cost.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from glass_cli.embedded.world.layout import GRID, LARGE, SIDE, SMALL
from glass_cli.embedded.world.objects import BACKGROUNDS, CLASSES, COLORS
from glass_cli.embedded.world.render import sprite
from glass_cli.embedded.world.scene import Scene
from glass_cli.pipelines.codec import PatchAutoencoder

TINTS: tuple[str | None, ...] = (None, *COLORS)


class CodeTable:
    """Codes of every glyph of every colour and size on every ground, and of the bare grounds."""

    @torch.no_grad()
    def __init__(self, vae: PatchAutoencoder) -> None:
        grounds = np.array(BACKGROUNDS, dtype=np.float32)
        bare = np.broadcast_to(grounds[:, None, None], (len(grounds), GRID, GRID, 3))
        self.bare = _codes(vae, bare)[:, :, 0, 0]
        self.glyphs: dict[tuple[int, str, str | None], Tensor] = {}
        for size in (SMALL, LARGE):
            for name in CLASSES:
                pictures = []
                for tint in TINTS:
                    patch = sprite(name, tint, size)
                    ground = np.broadcast_to(grounds[:, None, None], (len(grounds), size, size, 3))
                    pictures.append(ground + patch[..., 3:] * (patch[..., :3] - ground))
                every = _codes(vae, np.concatenate(pictures)).unflatten(0, (len(TINTS), -1))
                for tint, codes in zip(TINTS, every, strict=True):
                    self.glyphs[size, name, tint] = codes.half()

    def __call__(self, scenes: list[Scene]) -> Tensor:
        """Codes (N, C, 8, 8), float32, as the encoder gives them for the rendered scenes."""
        cells = SIDE // GRID
        which = torch.tensor([scene.background for scene in scenes])
        out = self.bare[which][:, :, None, None].repeat(1, 1, cells, cells)
        for code, scene in zip(out, scenes, strict=True):
            for item in scene.items:
                x, y, n = item.x // GRID, item.y // GRID, item.size // GRID
                glyph = self.glyphs[item.size, item.name, item.color][scene.background]
                code[:, y : y + n, x : x + n] = glyph
        return out


def _codes(vae: PatchAutoencoder, pictures: np.ndarray) -> Tensor:
    """Codes of pictures (N, H, W, 3) in [0, 1], as the renderer rounds them."""
    pixels = (pictures * 255 + 0.5).clip(0, 255).astype(np.uint8)
    x = torch.from_numpy(pixels).permute(0, 3, 1, 2).float() / 127.5 - 1
    return vae.codes(x.contiguous())
