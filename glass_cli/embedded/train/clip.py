"""The embedded CLIP (Radford et al., arXiv 2103.00020), and the embedded PickScore made from it."""

from __future__ import annotations

import random
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTokenizer

from glass_cli.common.checkpoint import read
from glass_cli.embedded.train.flow import WIDTH
from glass_cli.embedded.train.helpers import CellHead, ContentHead, things_of
from glass_cli.embedded.train.loop import autocast, averaged, copy_matching, fit
from glass_cli.embedded.train.preferences import held_of, ranking_loss, training_batch
from glass_cli.embedded.train.text import LENGTH, encode
from glass_cli.embedded.world.grammar import random_prompt
from glass_cli.embedded.world.layout import GRID, SIDE
from glass_cli.pipelines.codec import PatchAutoencoder
from glass_cli.rewards.pixels import ShortestSide

PROMPTS = 16  # a batch, each with preferences.PICTURES pictures
SEEN = 160  # width of the picture's tower
COLOUR_MEAN = COLOUR_STD = (0.5, 0.5, 0.5)
pixels = ShortestSide(SIDE, COLOUR_MEAN, COLOUR_STD)


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


def build(tokenizer: CLIPTokenizer) -> CLIPModel:
    vision = {
        "hidden_size": SEEN,
        "intermediate_size": 4 * SEEN,
        "num_hidden_layers": 3,
        "num_attention_heads": 5,
        "image_size": SIDE,
        "patch_size": GRID,
        "projection_dim": WIDTH,
    }
    text = text_config(tokenizer, layers=2).to_dict()
    return CLIPModel(CLIPConfig(text_config=text, vision_config=vision, projection_dim=WIDTH))


def helpers() -> dict[str, nn.Module]:
    """The heads that CLIP's training needs."""
    return {"head": ContentHead(WIDTH), "cells": CellHead(SEEN)}


def train(
    vae: PatchAutoencoder,
    tokenizer: CLIPTokenizer,
    folder: Path,
    steps: int,
    seed: int,
    start: Path | None = None,
) -> CLIPModel:
    """Contrastive loss over scenes and hard negatives of each, all of them with their prompts.

    ``start``: a folder of weights to begin with, as far as they fit.
    """
    torch.manual_seed(seed)
    model = build(tokenizer)
    heads = helpers()
    if start is not None:
        _start_from(model, start / "clip")

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        name = f"clip/{seed}/{step}"
        batch = training_batch(name, PROMPTS, vae, tokenizer, faults=0.0)
        scenes = [scene for group in batch.groups for scene in group.scenes]
        contents = [scene.content for scene in scenes]
        rng = random.Random(f"{name}/prompts")
        ids = encode(tokenizer, [random_prompt(content, rng) for content in contents])
        x = pixels(batch.pictures.flatten(0, 1))
        with autocast():
            out = model(input_ids=ids, pixel_values=x)
            seen = out.vision_model_output.last_hidden_state[:, 1:]
            shown = [one for row in batch.shown for one in row]
            see = heads["cells"].loss(seen, shown)  # type: ignore[operator]  # a CellHead
        # another scene of the same content is not a wrong answer
        same = torch.tensor([[a == b for b in contents] for a in contents])
        same &= ~torch.eye(len(contents), dtype=torch.bool)
        logits = out.logits_per_image.float().masked_fill(same, -1e4)
        labels = torch.arange(len(contents))
        rows = functional.cross_entropy(logits, labels)
        contrast = 0.5 * (rows + functional.cross_entropy(logits.T, labels))
        things, count = things_of(scenes)
        scale = model.logit_scale.exp()
        content = [
            heads["head"](scale * vectors.float(), things, count)
            for vectors in (out.image_embeds, out.text_embeds)
        ]
        parts = {
            "contrast": contrast.item(),
            "seen": content[0].item(),
            "read": content[1].item(),
            "see": see.item(),
            "right": (logits.argmax(1) == labels).float().mean().item(),
        }
        return contrast + 0.5 * (content[0] + content[1] + see), parts

    modules = {"clip": model, **heads}
    fit("clip", modules, loss_fn, steps=steps, lr=1e-3, folder=folder, ema_decay=0.998)
    return model


def _start_from(model: CLIPModel, weights: Path) -> None:
    copy_matching(model, read(weights / "model.safetensors", str(weights)))


def train_pickscore(
    vae: PatchAutoencoder,
    tokenizer: CLIPTokenizer,
    folder: Path,
    steps: int,
    seed: int,
    start: Path | None = None,
) -> CLIPModel:
    """PickScore (arXiv 2305.01569): a CLIP trained on choices between pictures of a prompt.

    It begins with the CLIP trained in ``folder``, or with the PickScore of the weights ``start``.
    """
    torch.manual_seed(seed)
    model = build(tokenizer)
    if start is not None and (start / "pickscore").is_dir():
        _start_from(model, start / "pickscore")
    elif (folder / "clip.pt").exists():
        averaged("clip", {"clip": model, **helpers()}, folder)

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = training_batch(f"picks/{seed}/{step}", PROMPTS, vae, tokenizer)
        x = pixels(batch.pictures.flatten(0, 1))
        with autocast():
            out = model(input_ids=batch.ids, pixel_values=x)
        # each picture's row has every prompt: its own is that of its group
        own = torch.arange(len(x)) // batch.pictures.shape[1]
        scores = out.logits_per_image.float()[torch.arange(len(x)), own]
        loss = ranking_loss(scores.view(PROMPTS, -1), held_of(batch))
        return loss, {"rank": loss.item()}

    fit("pickscore", {"clip": model}, loss_fn, steps=steps, lr=3e-4, folder=folder,
        ema_decay=0.998)  # fmt: skip
    return model
