"""The flow model: a small U-Net on 8x8 codes; its text encoder trained along with it.

Conditional flow matching (Lipman et al., arXiv 2210.02747) in diffusers' convention: the network
is given ``1000 * sigma`` and predicts ``eps - z`` from ``(1 - sigma) z + sigma eps``.
"""

from __future__ import annotations

import random
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from diffusers import UNet2DConditionModel
from safetensors.torch import load_file
from torch import Tensor, nn
from transformers import CLIPTokenizer, T5Config, T5EncoderModel

from glass_cli.embedded.train import reading
from glass_cli.embedded.train.codes import CodeTable
from glass_cli.embedded.train.loop import autocast, averaged, copy_matching, fit
from glass_cli.embedded.train.reading import Reader, reading_loss
from glass_cli.embedded.train.text import encode
from glass_cli.embedded.world.content import Content
from glass_cli.embedded.world.scene import training_scenes

PROMPTS, LAYOUTS = 32, 2  # prompts a batch, and scenes of each: the text is read once for both
BATCH = PROMPTS * LAYOUTS
PROMPT_DROP = 0.1  # share of prompts left out, for classifier-free guidance
# how often each kind of content is shown: most often what puts several things together, which takes
# longest to learn
KINDS = {
    "single_object": 0.03,
    "colors": 0.04,
    "counting": 0.07,
    "colored_count": 0.04,
    "two_object": 0.10,
    "color_attr": 0.22,
    "position": 0.20,
    "compose": 0.30,
}
READ = 0.1  # weight of the answers beside the velocity's error
EARLY = 0.7  # sigma above which what is drawn, and where, is being decided
# Spread of the words' vectors at the start. T5's is 1: as loud as a hundred times what attention
# adds to them, which a flow does not turn round; its encoder stays a list of words.
WORDS = 0.1
WIDTH = 192
CHANNELS = 32


def build(tokenizer: CLIPTokenizer) -> tuple[UNet2DConditionModel, T5EncoderModel]:
    """Attention on the inner 4x4 grid alone, where it is cheap; the text is read both ways.

    A causal text encoder says of "a dog left of a cat" at "dog" only that there is a dog.
    """
    unet = UNet2DConditionModel(
        sample_size=8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "UpBlock2D"),
        block_out_channels=(96, 192),
        layers_per_block=1,
        cross_attention_dim=WIDTH,
        attention_head_dim=[3, 6],  # diffusers reads these as numbers of heads
        norm_num_groups=16,
        use_linear_projection=True,
    )
    text = T5Config(
        vocab_size=len(tokenizer),
        d_model=WIDTH,
        d_kv=32,
        num_heads=6,
        d_ff=512,
        num_layers=4,
        feed_forward_proj="gated-gelu",
        dropout_rate=0.0,
        pad_token_id=tokenizer.pad_token_id,
        eos_token_id=tokenizer.eos_token_id,
    )
    encoder = T5EncoderModel(text)
    with torch.no_grad():
        encoder.shared.weight.mul_(WORDS)
    return unet, encoder


class Modules(NamedTuple):
    """What is trained together: the network, the text encoder and what asks it."""

    unet: UNet2DConditionModel
    text: T5EncoderModel
    reader: Reader


def modules_of(tokenizer: CLIPTokenizer) -> Modules:
    """All of a flow, at its start."""
    return Modules(*build(tokenizer), Reader(WIDTH))


def code_scale(table: CodeTable) -> float:
    """What brings the codes of 2,048 scenes to unit variance: the pipeline's scaling factor."""
    rng = random.Random("scale")
    return 1 / float(table([training_scenes(rng)[0] for _ in range(2048)]).std())


def start_from(unet: nn.Module, text: nn.Module, weights: Path) -> None:
    """Copies what fits of the flow in a folder of weights, such as the shipped one."""
    networks = (
        (unet, "unet/diffusion_pytorch_model.safetensors"),
        (text, "text_encoder/model.safetensors"),
    )
    for network, file in networks:
        copy_matching(network, load_file(weights / "emoji" / file))


def start_words_from(text: T5EncoderModel, weights: Path) -> None:
    """Copies the words' vectors and the last norm alone, the vectors as loud as at a start."""
    state = load_file(weights / "emoji" / "text_encoder/model.safetensors")
    kept = ("shared.weight", "encoder.final_layer_norm.weight")
    copy_matching(text, {name: state[name].float() for name in kept})
    with torch.no_grad():
        text.shared.weight.mul_(WORDS / text.shared.weight.std())


@dataclass(frozen=True)
class Batch:
    """Noised codes and what the network is told of them.

    x: (1 - sigma) z + sigma eps, (BATCH, C, 8, 8). velocity: eps - z. sigma: (BATCH,).
    tokens: one row for each of the PROMPTS, LAYOUTS pictures each.
    told: the numbers of the prompts that are not left out, their contents and their words.
    """

    x: Tensor
    velocity: Tensor
    sigma: Tensor
    tokens: Tensor
    told: tuple[list[int], list[Content], list[str]]

    @property
    def time(self) -> Tensor:
        """As diffusers counts it, 0 to 1000."""
        return 1000 * self.sigma

    def spread(self, states: Tensor) -> Tensor:
        """What was read of each prompt, for each of its pictures."""
        return states.repeat_interleave(LAYOUTS, 0)


class Batches:
    """Fresh scenes, noised: each batch from (seed, step) alone.

    Noise levels are logit-normal (arXiv 2403.03206) and lean to the noisy side.
    """

    def __init__(self, tokenizer: CLIPTokenizer, table: CodeTable, seed: int) -> None:
        self._tokenizer, self._table, self._seed = tokenizer, table, seed
        self._scale = code_scale(table)
        self.empty = encode(tokenizer, [""])[0]

    def __call__(self, step: int) -> Batch:
        rng = random.Random(f"flow/{self._seed}/{step}")
        groups = [training_scenes(rng, LAYOUTS, KINDS) for _ in range(PROMPTS)]
        generator = torch.Generator().manual_seed(self._seed * 1_000_003 + step)
        z = self._table([scene for group in groups for scene in group]) * self._scale
        tokens = encode(self._tokenizer, [group[0].prompt for group in groups])
        dropped = torch.rand(PROMPTS, generator=generator) < PROMPT_DROP
        tokens[dropped] = self.empty
        eps = torch.randn(z.shape, generator=generator)
        sigma = torch.randn(len(z), generator=generator).mul(1.3).add(1.0).sigmoid()
        s = sigma[:, None, None, None]
        told = (~dropped).nonzero()[:, 0].tolist()
        scenes = [groups[i][0] for i in told]
        contents, prompts = [one.content for one in scenes], [one.prompt for one in scenes]
        noised = (1 - s) * z + s * eps
        return Batch(noised, eps - z, sigma, tokens, (told, contents, prompts))


def train_reader(
    tokenizer: CLIPTokenizer, folder: Path, steps: int, seed: int, start: Path | None = None
) -> None:
    """The text encoder by itself, see :mod:`glass_cli.embedded.train.reading`."""
    torch.manual_seed(seed)
    _, text, reader = modules_of(tokenizer)
    if start is not None:
        start_words_from(text, start)
    reading.train(text, reader, tokenizer, folder, steps, seed)


def train(
    tokenizer: CLIPTokenizer,
    table: CodeTable,
    folder: Path,
    steps: int,
    seed: int,
    start: Path | None = None,
) -> None:
    """Velocity matching, with READ times what the encoder does not answer of a prompt's nouns.

    The encoder begins with what it learned by itself (``reading.train``), where it did.
    ``start``: a folder of weights to begin with, as far as they fit.
    """
    batches = Batches(tokenizer, table, seed)
    torch.manual_seed(seed)
    modules = modules_of(tokenizer)
    unet, text, reader = modules
    if start is not None:
        start_from(unet, text, start)
    if (folder / "reader.pt").exists():
        averaged("reader", {"text": text, "reader": reader}, folder)

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = batches(step)
        with autocast():
            states = batch.spread(text(batch.tokens).last_hidden_state)
            velocity = unet(batch.x, batch.time, states).sample
        error = (velocity.float() - batch.velocity).square().mean(dim=(1, 2, 3))
        early = error[batch.sigma > EARLY].mean().item()
        told, contents, prompts = batch.told
        read, right = reading_loss(reader, states[::LAYOUTS][told], tokenizer, contents, prompts)
        parts = {"loss": error.mean().item(), "early": early, "read": read.item(), "right": right}
        return error.mean() + READ * read, parts

    rate = 1e-3 if start is None else 5e-4
    decay = 1 - 10 / steps  # an average over the last tenth
    fit("flow", modules._asdict(), loss_fn, steps=steps, lr=rate, folder=folder, ema_decay=decay)
