"""The flow model: a small U-Net on 8x8 codes; its text encoder trained along with it.

Conditional flow matching (Lipman et al., arXiv 2210.02747) in diffusers' convention: the network
is given ``1000 * sigma`` and predicts ``eps - z`` from ``(1 - sigma) z + sigma eps``.
"""

from __future__ import annotations

import os
from pathlib import Path

import torch
from diffusers import AutoencoderKL, UNet2DConditionModel
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from glass_cli.train.data import pictures, scenes
from glass_cli.train.loop import fit
from glass_cli.train.text import LENGTH
from glass_cli.world.scenes import World

BATCH = 32
SHARD = 2048
PROMPT_DROP = 0.1  # share of samples without a prompt, for classifier-free guidance
WIDTH = 192
CHANNELS = 32


def text_config(tokenizer: CLIPTokenizer, layers: int) -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=WIDTH,
        intermediate_size=4 * WIDTH,
        projection_dim=WIDTH,
        num_hidden_layers=layers,
        num_attention_heads=6,
        max_position_embeddings=LENGTH,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def build(world: World, tokenizer: CLIPTokenizer) -> tuple[UNet2DConditionModel, CLIPTextModel]:
    unet = UNet2DConditionModel(
        sample_size=world.image_size // 8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(96, 192),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=[3, 6],  # diffusers reads these as numbers of heads
        norm_num_groups=16,
        use_linear_projection=True,
    )
    return unet, CLIPTextModel(text_config(tokenizer, layers=2))


def encode(tokenizer: CLIPTokenizer, prompts: list[str]) -> Tensor:
    """Token ids (N, LENGTH), padded as StableDiffusionPipeline pads them."""
    out = tokenizer(
        prompts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
    )
    ids: Tensor = out.input_ids
    return ids


def code_scale(codes: Tensor) -> float:
    """What brings codes to unit variance: the pipeline's scaling factor."""
    return 1 / float(codes.float().std())


@torch.no_grad()
def write_codes(
    world: World, vae: AutoencoderKL, tokenizer: CLIPTokenizer, folder: Path, shards: int, seed: int
) -> None:
    """Renders and encodes ``shards`` files of 2,048 scenes each; those already there are kept."""
    folder.mkdir(parents=True, exist_ok=True)
    for index in range(shards):
        path = folder / f"{index:04d}.safetensors"
        if path.exists():
            continue
        batch = scenes(world, seed + 1, index, SHARD)
        codes = [
            vae.encode(pictures(world, batch[i : i + 64])).latent_dist.mean
            for i in range(0, SHARD, 64)
        ]
        tensors = {
            "codes": torch.cat(codes).half(),
            "ids": encode(tokenizer, [scene.prompt for scene in batch]).to(torch.int16),
        }
        aside = path.with_suffix(".tmp")
        save_file(tensors, aside)
        os.replace(aside, path)


def train(
    world: World,
    tokenizer: CLIPTokenizer,
    folder: Path,
    codes_folder: Path,
    steps: int,
    seed: int,
    stop: int | None = None,
) -> None:
    """Velocity matching on the stored codes; noise levels logit-normal (arXiv 2403.03206).

    They lean to the noisy side: what is drawn, and where, is decided near sigma = 0.9. ``stop``
    pauses before ``steps``, to go on with the codes of another world.
    """
    files = sorted(codes_folder.glob("*.safetensors"))
    shards = [load_file(path) for path in files]
    codes = torch.cat([shard["codes"] for shard in shards])
    ids = torch.cat([shard["ids"] for shard in shards])
    scale = code_scale(codes[: 2 * SHARD])
    empty = encode(tokenizer, [""])[0]
    torch.manual_seed(seed)
    unet, text = build(world, tokenizer)
    per_epoch = len(codes) // BATCH

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        epoch, place = divmod(step, per_epoch)
        shuffle = torch.Generator().manual_seed(seed * 7919 + epoch)
        rows = torch.randperm(len(codes), generator=shuffle)[place * BATCH : (place + 1) * BATCH]
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        z = codes[rows].float() * scale
        tokens = ids[rows].long()
        tokens[torch.rand(len(z), generator=generator) < PROMPT_DROP] = empty
        eps = torch.randn(z.shape, generator=generator)
        sigma = torch.randn(len(z), generator=generator).mul(1.3).add(1.0).sigmoid()
        s = sigma[:, None, None, None]
        states = text(tokens).last_hidden_state
        velocity = unet((1 - s) * z + s * eps, 1000 * sigma, states).sample
        error = (velocity - (eps - z)).square().mean(dim=(1, 2, 3))
        parts = {"loss": error.mean().item(), "early": error[sigma > 0.7].mean().item()}
        return error.mean(), parts

    fit(
        "flow",
        {"unet": unet, "text": text},
        loss_fn,
        steps=steps,
        lr=8e-4,
        folder=folder,
        ema_decay=0.999,
        stop=stop,
    )
