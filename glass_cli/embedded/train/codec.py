"""Trains the patch autoencoder: 64x64 pixels to an 8x8 grid of 32 channels."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional

from glass_cli.embedded.train.data import pictures, scenes
from glass_cli.embedded.train.loop import fit
from glass_cli.embedded.world.scenes import World
from glass_cli.pipelines.codec import PatchAutoencoder

BATCH = 16
CODE_NOISE = 0.1  # what the flow's small errors look like to the decoder


def _start_at_principal_components(vae: PatchAutoencoder, world: World, seed: int) -> None:
    """Sets the linear maps to the leading components of patches, half whitened.

    Scaling by variance**(-1/4) keeps the coarse components larger than the fine ones without
    drowning the fine ones in the flow's noise; the whole is scaled to unit variance.
    """
    x = functional.pixel_unshuffle(pictures(world, scenes(world, seed + 3, 0, 1500)), vae.patch)
    patches = x.permute(0, 2, 3, 1).reshape(-1, x.shape[1])
    mean = patches.mean(0)
    variances, vectors = torch.linalg.eigh((patches - mean).T.cov())
    count = vae.config.latent_channels
    vectors, variances = vectors.flip(1)[:, :count], variances.flip(0)[:count]
    half = variances**-0.25
    scale = half / (half * half * variances).mean().sqrt()
    to_codes = (vectors * scale).T
    vae.encoder.linear.load_state_dict(
        {"weight": to_codes[:, :, None, None], "bias": -to_codes @ mean}
    )
    vae.decoder.linear.load_state_dict(
        {"weight": (vectors / scale)[:, :, None, None], "bias": mean}
    )


def train(world: World, folder: Path, steps: int, seed: int) -> PatchAutoencoder:
    """Mean absolute error through codes with a little noise; codes kept near unit variance."""
    torch.manual_seed(seed)
    vae = PatchAutoencoder()
    _start_at_principal_components(vae, world, seed)

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        x = pictures(world, scenes(world, seed, step, BATCH))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        z = vae.codes(x)
        noise = torch.randn(z.shape, generator=generator)
        out = vae.decode(z + CODE_NOISE * noise).sample
        error = (out - x).abs().mean()
        size = z.square().mean()
        parts = {
            "l1": error.item(),
            "mse": (out - x).square().mean().item(),
            "std": size.sqrt().item(),
        }
        return error + 1e-3 * (size - 1).clamp(min=0), parts

    fit("codec", {"vae": vae}, loss_fn, steps=steps, lr=2e-3, folder=folder, ema_decay=0.995)
    return vae
