"""The embedded reward: a small CLIP (Radford et al., arXiv 2103.00020) of the emoji world."""

from __future__ import annotations

import random
from collections import defaultdict
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer

from glass_cli.embedded.train.data import pictures, scenes
from glass_cli.embedded.train.flow import WIDTH, encode
from glass_cli.embedded.train.loop import fit
from glass_cli.embedded.train.text import LENGTH
from glass_cli.embedded.world.objects import CLASSES, COLORS
from glass_cli.embedded.world.scenes import Scene, World
from glass_cli.embedded.world.twins import twin

PAIRS = 32  # scenes a batch, each with its twin


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


def build(world: World, tokenizer: CLIPTokenizer) -> CLIPModel:
    vision = {
        "hidden_size": 160,
        "intermediate_size": 640,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "image_size": world.image_size,
        "patch_size": 8,
        "projection_dim": WIDTH,
    }
    text = text_config(tokenizer, layers=2).to_dict()
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def spoil(x: Tensor, generator: torch.Generator) -> Tensor:
    """Blurs and noises pictures by random amounts, as unfinished samples look.

    The reward scores denoised means in the middle of a run, so it must not be thrown by them.
    """
    n = len(x)
    blurred = functional.avg_pool2d(x, 5, stride=1, padding=2, count_include_pad=False)
    share = torch.rand(n, 1, 1, 1, generator=generator)
    share = share * (torch.rand(n, 1, 1, 1, generator=generator) < 0.4)
    level = 0.25 * torch.rand(n, 1, 1, 1, generator=generator)
    level = level * (torch.rand(n, 1, 1, 1, generator=generator) < 0.4)
    return x + share * (blurred - x) + level * torch.randn(x.shape, generator=generator)


class ContentHead(nn.Module):
    """Reads a scene's objects with colours, and their number, off either tower's embedding.

    Only a help in training: one head for pictures and texts ties both to the same content, which
    the contrastive loss alone finds only after many times more scenes. Not part of the weights.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.things = nn.Linear(width, len(CLASSES) * (len(COLORS) + 1))
        self.count = nn.Linear(width, 4)

    def forward(self, embedding: Tensor, things: Tensor, count: Tensor) -> Tensor:
        loss = functional.cross_entropy(self.things(embedding), things)
        return loss + functional.cross_entropy(self.count(embedding), count)


def content(batch: list[Scene]) -> tuple[Tensor, Tensor]:
    """Targets: a distribution over (class, colour or none), uniform over the objects; the count."""
    colours = [None, *COLORS]
    things = torch.zeros(len(batch), len(CLASSES), len(colours))
    for i, scene in enumerate(batch):
        for item in scene.items:
            place = CLASSES.index(item.name), colours.index(item.color)
            things[i][place] += 1 / len(scene.items)
    return things.flatten(1), torch.tensor([len(scene.items) - 1 for scene in batch])


def train(world: World, tokenizer: CLIPTokenizer, folder: Path, steps: int, seed: int) -> CLIPModel:
    """Contrastive loss over scenes and their twins, so that every batch has hard negatives."""
    torch.manual_seed(seed)
    model = build(world, tokenizer)
    head = ContentHead(WIDTH)

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = random.Random(f"twins/{seed}/{step}")
        batch = scenes(world, seed + 2, step, PAIRS)
        batch = batch + [twin(world, scene, rng)[1] for scene in batch]
        generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
        x = spoil(pictures(world, batch), generator)
        out = model(input_ids=encode(tokenizer, [s.prompt for s in batch]), pixel_values=x)
        labels = torch.arange(len(batch))
        prompts = [scene.prompt for scene in batch]
        same = torch.tensor([[a == b for b in prompts] for a in prompts])
        # another scene with the same prompt is not a wrong answer
        logits = out.logits_per_image.masked_fill(same & ~torch.eye(len(batch)).bool(), -1e4)
        rows = functional.cross_entropy(logits, labels)
        contrast = 0.5 * (rows + functional.cross_entropy(logits.T, labels))
        things, count = content(batch)
        scale = model.logit_scale.exp()
        seen = head(scale * out.image_embeds, things, count)
        read = head(scale * out.text_embeds, things, count)
        right = (logits.argmax(1) == labels).float().mean()
        parts = {
            "contrast": contrast.item(),
            "seen": seen.item(),
            "read": read.item(),
            "right": right.item(),
        }
        return contrast + 0.5 * (seen + read), parts

    modules = {"clip": model, "head": head}
    fit("clip", modules, loss_fn, steps=steps, lr=1e-3, folder=folder, ema_decay=0.998)
    return model


@torch.no_grad()
def evaluate(
    model: CLIPModel, tokenizer: CLIPTokenizer, world: World, count: int
) -> dict[str, float]:
    """Held-out scenes: how often the right prompt scores above its twin's, by respect.

    ``retrieval of 100`` is the share of scenes whose prompt scores highest among 100 scenes'.
    """
    rng = random.Random("held out")
    wins: dict[str, list[bool]] = defaultdict(list)
    for step in range(count // 100):
        batch = scenes(world, 987_654_321, step, 100)
        pairs = [twin(world, scene, rng) for scene in batch]
        prompts = [s.prompt for s in batch] + [s.prompt for _, s in pairs]
        out = model(input_ids=encode(tokenizer, prompts), pixel_values=pictures(world, batch))
        logits = out.logits_per_image
        own = logits.diagonal()
        for i, (respect, _) in enumerate(pairs):
            wins[respect].append(bool(own[i] > logits[i, 100 + i]))
        # two scenes may have the same prompt, and then either is right
        best = logits[:, :100].argmax(1).tolist()
        wins["retrieval of 100"] += [prompts[j] == prompts[i] for i, j in enumerate(best)]
    return {key: sum(values) / len(values) for key, values in sorted(wins.items())}
