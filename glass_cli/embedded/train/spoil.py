"""What a model's unfinished and imperfect pictures look like, for networks that must judge them."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from glass_cli.embedded.train.loop import autocast
from glass_cli.embedded.world.layout import SIDE
from glass_cli.pipelines.codec import PatchAutoencoder

CODE_STD = 1.2  # of the world's codes


def spoil(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blurs and noises pictures (N, 3, H, W) in [-1, 1] by random amounts, two in five of each."""
    n = len(x)
    blurred = functional.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)
    share = torch.rand(n, 1, 1, 1, generator=generator)
    share = share * (torch.rand(n, 1, 1, 1, generator=generator) < 0.4)
    level = 0.25 * torch.rand(n, 1, 1, 1, generator=generator)
    level = level * (torch.rand(n, 1, 1, 1, generator=generator) < 0.4)
    return x + share * (blurred - x) + level * torch.randn(x.shape, generator=generator)


@torch.no_grad()
def through_codec(
    vae: PatchAutoencoder, x: Tensor, generator: torch.Generator, most: float = 0.5
) -> Tensor:
    """Seven in ten pictures (in [0, 1]) as the codec gives them back, half of these noised.

    The codes' noise has a standard deviation of up to ``most``, drawn for each picture.
    """
    chosen = torch.rand(len(x), generator=generator) < 0.7
    with autocast():
        codes = vae.codes(2 * x[chosen] - 1)
        level = most * torch.rand(len(codes), 1, 1, 1, generator=generator)
        level = level * (torch.rand(len(codes), 1, 1, 1, generator=generator) < 0.5)
        codes = codes + level * torch.randn(codes.shape, generator=generator)
        out = vae.decode(codes, return_dict=False)[0].float()
    x = x.clone()
    x[chosen] = (out / 2 + 0.5).clamp(0.0, 1.0)
    return x


@torch.no_grad()
def rubbish(vae: PatchAutoencoder, count: int, generator: torch.Generator) -> Tensor:
    """Pictures (N, 3, SIDE, SIDE) in [0, 1] of nothing: noise, soft colours, or noise of codes."""
    cells = SIDE // vae.patch
    channels = vae.config.latent_channels
    codes = CODE_STD * torch.randn(count, channels, cells, cells, generator=generator)
    soft = torch.rand(count, 3, cells, cells, generator=generator)
    kinds = torch.stack(
        [
            torch.rand(count, 3, SIDE, SIDE, generator=generator),
            functional.interpolate(soft, (SIDE, SIDE), mode="bilinear"),
            (vae.decode(codes, return_dict=False)[0] / 2 + 0.5).clamp(0.0, 1.0),
        ]
    )
    return kinds[torch.randint(3, (count,), generator=generator), torch.arange(count)]
