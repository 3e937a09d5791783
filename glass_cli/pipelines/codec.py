"""A patch autoencoder that stands where a diffusers pipeline expects its VAE.

Every 8x8 patch has its own code; all arithmetic is matrix products on the 8-times smaller grid.
The decoder looks at the patches around too, so that a ground stays even where codes are not exact.
On the emoji world it learns far faster than diffusers' AutoencoderKL, whose convolutions at full
resolution cost most of the time (the model card has the figures).
"""

from __future__ import annotations

import torch
from diffusers import ConfigMixin, ModelMixin
from diffusers.configuration_utils import register_to_config
from diffusers.models.autoencoders.vae import DecoderOutput, DiagonalGaussianDistribution
from diffusers.models.modeling_outputs import AutoencoderKLOutput
from torch import Tensor, nn
from torch.nn import functional


class _Block(nn.Module):
    """Residual two-layer perceptron on every position; starts as the identity.

    A ``kernel`` above 1 lets it see the positions around, channel by channel, which costs little.
    """

    def __init__(self, width: int, kernel: int) -> None:
        super().__init__()
        self.around: nn.Module = nn.Identity()
        if kernel > 1:
            self.around = nn.Conv2d(width, width, kernel, padding=kernel // 2, groups=width)
            for parameter in self.around.parameters():
                nn.init.zeros_(parameter)
            with torch.no_grad():
                self.around.weight[:, 0, kernel // 2, kernel // 2] = 1.0
        self.inner = nn.Conv2d(width, width, 1)
        self.outer = nn.Conv2d(width, width, 1)
        for parameter in self.outer.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        change: Tensor = self.outer(functional.silu(self.inner(self.around(x))))
        return x + change


class _Branch(nn.Module):
    """A linear map plus a residual network that starts at zero."""

    def __init__(self, inputs: int, outputs: int, width: int, blocks: int, kernel: int) -> None:
        super().__init__()
        self.linear = nn.Conv2d(inputs, outputs, 1)
        self.first = nn.Conv2d(inputs, width, kernel, padding=kernel // 2)
        self.blocks = nn.Sequential(*(_Block(width, kernel) for _ in range(blocks)))
        self.last = nn.Conv2d(width, outputs, 1)
        for parameter in self.last.parameters():
            nn.init.zeros_(parameter)

    def forward(self, x: Tensor) -> Tensor:
        hidden = self.blocks(functional.silu(self.first(x)))
        out: Tensor = self.linear(x) + self.last(hidden)
        return out


class PatchAutoencoder(ModelMixin, ConfigMixin):
    """Deterministic autoencoder (N, 3, H, W) <-> (N, latent_channels, H/8, W/8).

    Pixels in [-1, 1]. ``encode`` and ``decode`` have AutoencoderKL's signatures.
    ``block_out_channels`` holds the network's width; pipelines read the downscale factor, 2 to the
    power of its length less one, from it.
    """

    @register_to_config
    def __init__(
        self,
        in_channels: int = 3,
        latent_channels: int = 32,
        block_out_channels: tuple[int, ...] = (384, 384, 384, 384),
        blocks: int = 3,
        scaling_factor: float = 1.0,
        shift_factor: float | None = None,
        force_upcast: bool = False,
    ) -> None:
        super().__init__()
        self.patch = 2 ** (len(block_out_channels) - 1)
        pixels, width = in_channels * self.patch**2, block_out_channels[0]
        self.encoder = _Branch(pixels, latent_channels, width, blocks, kernel=1)
        self.decoder = _Branch(latent_channels, pixels, width, blocks, kernel=3)

    def codes(self, x: Tensor) -> Tensor:
        out: Tensor = self.encoder(functional.pixel_unshuffle(x, self.patch))
        return out

    def encode(
        self, x: Tensor, return_dict: bool = True
    ) -> AutoencoderKLOutput | tuple[DiagonalGaussianDistribution]:
        mean = self.codes(x)
        moments = torch.cat([mean, torch.full_like(mean, -30.0)], dim=1)
        posterior = DiagonalGaussianDistribution(moments, deterministic=True)
        return AutoencoderKLOutput(latent_dist=posterior) if return_dict else (posterior,)

    def decode(
        self, z: Tensor, return_dict: bool = True, generator: torch.Generator | None = None
    ) -> DecoderOutput | tuple[Tensor]:
        sample = functional.pixel_shuffle(self.decoder(z), self.patch)
        return DecoderOutput(sample=sample) if return_dict else (sample,)
