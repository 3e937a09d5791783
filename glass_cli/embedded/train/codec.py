"""Trains the patch autoencoder: 64x64 pixels to an 8x8 grid of 32 channels."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file
from torch import Tensor
from torch.nn import functional

from glass_cli.common.errors import GlassError
from glass_cli.embedded.train.data import pictures, scenes
from glass_cli.embedded.train.loop import averaged, copy_matching, fit
from glass_cli.pipelines.codec import PatchAutoencoder

BATCH = 16
# the most noise on a picture's codes, whose standard deviation is 1.2: what the flow's errors look
# like to the decoder, which learns to see an even ground behind them
CODE_NOISE = 0.4


def load(folder: Path, start: Path | None) -> PatchAutoencoder:
    """The codec trained in ``folder``, else that of the weights ``start``.

    Raises GlassError where there is neither, or where only the decoder was trained and the weights
    that its encoder is from are not given.
    """
    path = folder / "codec.pt"
    parts = torch.load(path, weights_only=True)["modules"] if path.exists() else {}
    if start is None and "encoder" not in parts:
        raise GlassError(
            f"{folder} has no codec with an encoder; train the part codec, or give --from WEIGHTS"
        )
    vae = PatchAutoencoder() if start is None else shipped(start)
    if parts:
        averaged("codec", {part: getattr(vae, part) for part in parts}, folder)
    vae.eval()
    return vae


def shipped(weights: Path) -> PatchAutoencoder:
    """The codec of a folder of weights, as far as they fit."""
    folder = weights / "emoji" / "vae"
    vae: PatchAutoencoder = PatchAutoencoder.from_config(PatchAutoencoder.load_config(folder))
    copy_matching(vae, load_file(folder / "diffusion_pytorch_model.safetensors"))
    return vae


def start_at_principal_components(vae: PatchAutoencoder, seed: int) -> None:
    """Sets the linear maps to the leading components of patches, half whitened.

    Scaling by variance**(-1/4) keeps the coarse components larger than the fine ones without
    drowning the fine ones in the flow's noise; the whole is scaled to unit variance.
    """
    x = functional.pixel_unshuffle(pictures(scenes(seed + 3, 0, 1500)), vae.patch)
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


def train(folder: Path, steps: int, seed: int, start: Path | None = None) -> PatchAutoencoder:
    """Mean absolute error through codes with a little noise; codes kept near unit variance.

    ``start``: weights to begin with, whose encoder is kept as it is, so that what was trained on
    its codes stays right.
    """
    torch.manual_seed(seed)
    vae = PatchAutoencoder() if start is None else shipped(start)
    modules = {"decoder": vae.decoder}
    if start is None:
        start_at_principal_components(vae, seed)
        modules["encoder"] = vae.encoder
    else:
        vae.encoder.requires_grad_(False)

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        x = pictures(scenes(seed, step, BATCH))
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        z = vae.codes(x)
        noise = torch.randn(z.shape, generator=generator)
        much = CODE_NOISE * torch.rand(len(z), 1, 1, 1, generator=generator)
        out = vae.decode(z + much * noise, return_dict=False)[0]
        error = (out - x).abs().mean()
        size = z.square().mean()
        parts = {
            "l1": error.item(),
            "mse": (out - x).square().mean().item(),
            "std": size.sqrt().item(),
        }
        return error + 1e-3 * (size - 1).clamp(min=0), parts

    fit("codec", modules, loss_fn, steps=steps, lr=2e-3, folder=folder, ema_decay=0.995)
    return vae
