"""The patch autoencoder as a stand-in for AutoencoderKL."""

from __future__ import annotations

import inspect
from pathlib import Path

import numpy as np
import pytest
import tiny_pipeline
import torch
from diffusers import AutoencoderKL, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor

from glass_cli.common.hub import EMBEDDED
from glass_cli.embedded.train import codec as training
from glass_cli.embedded.world.render import FONT
from glass_cli.pipelines.codec import PatchAutoencoder

SMALL = (16, 16, 16, 16)  # width of the residual networks, once for each halving and once more


def small_codec(latent_channels: int = 4, noise: float = 0.1) -> PatchAutoencoder:
    """Away from its start, where the residual networks are zero."""
    torch.manual_seed(0)
    vae = PatchAutoencoder(latent_channels=latent_channels, block_out_channels=SMALL, blocks=2)
    with torch.no_grad():
        for p in vae.parameters():
            p.add_(noise * torch.randn_like(p))
    return vae.eval()


@pytest.mark.parametrize(("halvings", "channels"), [(1, 4), (2, 8), (3, 32)])
def test_shapes(halvings: int, channels: int) -> None:
    side = 2**halvings
    vae = PatchAutoencoder(
        latent_channels=channels, block_out_channels=(8,) * (halvings + 1), blocks=1
    )
    x = torch.rand(2, 3, 4 * side, 3 * side)
    z = vae.encode(x).latent_dist.mean
    assert z.shape == (2, channels, 4, 3)
    assert vae.decode(z).sample.shape == x.shape


def test_signatures_and_outputs_are_those_of_autoencoder_kl() -> None:
    vae, x = small_codec(), torch.rand(2, 3, 16, 16)
    kl = AutoencoderKL(block_out_channels=(32,), norm_num_groups=4)
    for name in ("encode", "decode"):
        ours = inspect.signature(getattr(PatchAutoencoder, name)).parameters
        theirs = inspect.signature(getattr(AutoencoderKL, name)).parameters
        assert [(p.name, p.default, p.kind) for p in ours.values()] == [
            (p.name, p.default, p.kind) for p in theirs.values()
        ]
    with torch.no_grad():
        posterior, z = vae.encode(x), kl.encode(x)
        assert type(posterior) is type(z)
        mean = posterior.latent_dist.mean
        assert torch.equal(vae.encode(x, return_dict=False)[0].mean, mean)
        assert torch.equal(posterior.latent_dist.sample(), mean)
        assert torch.equal(posterior.latent_dist.mode(), vae.codes(x))
        sample = vae.decode(mean)
        assert type(sample) is type(kl.decode(z.latent_dist.mean))
        assert torch.equal(vae.decode(mean, return_dict=False)[0], sample.sample)


def test_a_patch_has_its_own_code() -> None:
    vae, x = small_codec(), torch.rand(1, 3, 64, 64)
    changed = x.clone()
    changed[..., 8:16, 16:24] += 0.5
    with torch.no_grad():
        moved = (vae.codes(changed) != vae.codes(x)).any(1)[0]
        assert moved.nonzero().tolist() == [[1, 2]]
        # the decoder looks at the codes around, one further for each of its two blocks
        seen = (vae.decode(vae.codes(changed)).sample != vae.decode(vae.codes(x)).sample).any(1)[0]
    assert seen.nonzero().amin(0).tolist() == [0, 0]
    assert seen.nonzero().amax(0).tolist() == [39, 47]


def test_a_decoder_begins_as_if_each_code_stood_alone() -> None:
    """What looks around begins as the identity, so that weights of before it was there fit."""
    vae = PatchAutoencoder(latent_channels=4, block_out_channels=SMALL, blocks=2)
    block = vae.decoder.blocks[0]
    x = torch.randn(2, block.inner.in_channels, 5, 5)
    assert torch.equal(block.around(x), x)


def correlated_pictures(count: int = 60) -> Tensor:
    """Smooth noise: patches whose components fall off, as pictures' do."""
    generator = torch.Generator().manual_seed(3)
    coarse = torch.rand(count, 3, 8, 8, generator=generator) * 2 - 1
    smooth = torch.nn.functional.interpolate(coarse, 32, mode="bicubic")
    return smooth + 0.05 * torch.randn(smooth.shape, generator=generator)


@pytest.mark.skipif(not FONT.exists(), reason="fonts-noto-color-emoji is missing")
def test_start_is_the_reconstruction_by_principal_components(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    x = correlated_pictures()
    monkeypatch.setattr(training, "scenes", lambda *_: [])
    monkeypatch.setattr(training, "pictures", lambda *_: x)
    rank = 12
    vae = PatchAutoencoder(latent_channels=rank, block_out_channels=SMALL, blocks=2)
    training.start_at_principal_components(vae, 0)
    with torch.no_grad():
        z = vae.codes(x)
        found = vae.decode(z).sample.numpy()
    # patches as rows, each with its channels slowest, by numpy alone
    blocks = x.double().numpy().reshape(60, 3, 4, 8, 4, 8).transpose(0, 2, 4, 1, 3, 5)
    patches = blocks.reshape(-1, 192)
    mean = patches.mean(0)
    left, values, right = np.linalg.svd(patches - mean, full_matrices=False)
    best = mean + (left[:, :rank] * values[:rank]) @ right[:rank]
    expected = best.reshape(60, 4, 4, 3, 8, 8).transpose(0, 3, 1, 4, 2, 5).reshape(x.shape)
    assert found == pytest.approx(expected, abs=1e-4)
    # half whitened, of unit variance as a whole
    std = z.transpose(0, 1).flatten(1).std(1)
    assert float(std.square().mean()) == pytest.approx(1.0, abs=1e-3)
    assert (std / std[0]).numpy() == pytest.approx(np.sqrt(values[:rank] / values[0]), rel=1e-3)


def test_saved_and_loaded(tmp_path: Path) -> None:
    vae, x = small_codec(), torch.rand(2, 3, 16, 16)
    vae.register_to_config(scaling_factor=0.75)
    vae.save_pretrained(tmp_path)
    again = PatchAutoencoder.from_pretrained(tmp_path)
    assert again.config.scaling_factor == 0.75
    assert again.config.block_out_channels == list(SMALL)
    with torch.no_grad():
        z = again.codes(x)
        assert torch.equal(z, vae.codes(x))
        assert torch.equal(again.decode(z).sample, vae.decode(z).sample)


def test_in_a_stable_diffusion_pipeline(tmp_path: Path) -> None:
    base = tiny_pipeline.pipeline()
    vae = small_codec()
    unet = UNet2DConditionModel.from_config({**base.unet.config, "sample_size": 3})
    parts = {**base.components, "vae": vae, "unet": unet}
    pipe = StableDiffusionPipeline(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    assert pipe.vae_scale_factor == 8
    pipe.save_pretrained(tmp_path)
    again = StableDiffusionPipeline.from_pretrained(tmp_path)
    again.set_progress_bar_config(disable=True)
    assert isinstance(again.vae, PatchAutoencoder)

    def draw(pipe: StableDiffusionPipeline, kind: str) -> Tensor:
        generator = torch.Generator().manual_seed(5)
        out: Tensor = pipe(
            "a red cat", num_inference_steps=2, generator=generator, output_type=kind
        ).images
        return out

    images, latents = draw(pipe, "pt"), draw(pipe, "latent")
    assert images.shape == (1, 3, 24, 24)
    with torch.no_grad():
        decoded = vae.decode(latents / vae.config.scaling_factor).sample
    assert torch.equal(images, (decoded / 2 + 0.5).clamp(0, 1))
    assert torch.equal(draw(again, "pt"), images)


def test_the_shipped_codec_loads_without_a_warning(recwarn: pytest.WarningsRecorder) -> None:
    """Its parameters have no memory while it is built, so nothing may be copied into them."""
    vae = PatchAutoencoder.from_pretrained(EMBEDDED / "emoji" / "vae")
    assert not [w for w in recwarn if "no-op" in str(w.message)]
    assert all(parameter.device.type == "cpu" for parameter in vae.parameters())
