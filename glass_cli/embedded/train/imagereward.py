"""The embedded ImageReward: the published one's architecture, small (arXiv 2304.05977).

Trained like it on preferences, by the same loss; its networks are helped along by heads that are
no part of the weights: what stands in each cell of the picture, and which words of the prompt hold.
"""

from __future__ import annotations

import itertools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import (
    BlipTextConfig,
    BlipTextModel,
    BlipVisionConfig,
    BlipVisionModel,
    CLIPTokenizer,
)

from glass_cli.common.checkpoint import read
from glass_cli.embedded.train.atoms import Atom, atoms
from glass_cli.embedded.train.helpers import CellHead
from glass_cli.embedded.train.loop import autocast, copy_matching, fit
from glass_cli.embedded.train.preferences import (
    Batch,
    Shown,
    held_of,
    ranking_loss,
    tokens_of,
    training_batch,
)
from glass_cli.embedded.train.text import LENGTH
from glass_cli.embedded.world.content import MOST, Content
from glass_cli.embedded.world.layout import GRID, SIDE
from glass_cli.pipelines.codec import PatchAutoencoder
from glass_cli.rewards.imagereward import BLOCK, FILE, HEAD, MEAN, STD, TOP, split
from glass_cli.rewards.pixels import ShortestSide

PROMPTS = 16  # a batch, each with preferences.PICTURES pictures
WIDTH, HIDDEN = 3 * HEAD, 512
LAYERS = {"vision": 3, "text": 4}


class Read(NamedTuple):
    """What the networks make of N pictures.

    score: (N,). cells: what the picture's tower says of its cells, (N, C, WIDTH). found, held: the
    words (N, L, WIDTH) two layers and one before the last, which is to gather what they say.
    """

    score: Tensor
    cells: Tensor
    found: Tensor
    held: Tensor


class Networks(nn.Module):
    """The parts of :class:`glass_cli.rewards.imagereward.Networks`, in training."""

    def __init__(self, words: int) -> None:
        super().__init__()
        sizes = {"hidden_size": WIDTH, "intermediate_size": HIDDEN}
        heads = {"num_attention_heads": WIDTH // HEAD}
        self.vision = BlipVisionModel(
            BlipVisionConfig(
                **sizes,
                **heads,
                num_hidden_layers=LAYERS["vision"],
                image_size=SIDE,
                patch_size=GRID,
                layer_norm_eps=1e-6,
            )
        )
        config = BlipTextConfig(
            **sizes,
            **heads,
            vocab_size=words,
            encoder_hidden_size=WIDTH,
            num_hidden_layers=LAYERS["text"],
            max_position_embeddings=LENGTH,
            is_decoder=True,
        )
        self.text = BlipTextModel(config, add_pooling_layer=False)
        self.head = nn.Sequential(nn.Linear(WIDTH, 64), nn.Linear(64, 1))
        # BLIP's own start, a standard deviation of 0.02, is for wider networks: with this one the
        # cells' loss was at 1.9 after 400 steps where it was at 3.0
        for module in self.vision.modules():
            if isinstance(module, nn.Linear):
                nn.init.xavier_uniform_(module.weight)
        nn.init.normal_(self.vision.embeddings.patch_embedding.weight, std=0.07)

    def forward(self, pixels: Tensor, ids: Tensor, mask: Tensor) -> Read:
        """Reads each of N pictures with its own prompt: ids, mask (N, L)."""
        seen = self.vision(pixels).last_hidden_state
        out = self.text(
            ids,
            attention_mask=mask,
            encoder_hidden_states=seen,
            is_decoder=False,
            output_hidden_states=True,
        )
        score = (self.head(out.last_hidden_state[:, 0])[:, 0].float() - MEAN) / STD
        return Read(score, seen[:, 1:], out.hidden_states[-3], out.hidden_states[-2])


class Helpers(nn.Module):
    """Heads that training needs and the weights do not have."""

    def __init__(self) -> None:
        super().__init__()
        self.cells = CellHead(WIDTH)
        self.words = nn.Linear(WIDTH, 1)
        self.alone = nn.Linear(WIDTH, 1)
        self.objects = nn.Linear(WIDTH, 2 + MOST + 1)
        self.between = nn.Linear(WIDTH, 2)

    def holds(self, words: Tensor, batch: Batch, tokenizer: CLIPTokenizer) -> Tensor:
        """The cross-entropies of whether each atom holds, and of whether nothing else is there.

        words: (N, L, WIDTH); an atom is asked of the word that names it, the rest of the first.
        """
        pictures: list[int] = []
        places: list[int] = []
        wanted: list[float] = []
        alone: list[float] = []
        for group, row in zip(batch.groups, held_of(batch), strict=True):
            tokens = tokens_of(tokenizer, group.content, group.prompt)
            for holds in row:
                pictures += [len(alone)] * len(tokens)
                places += tokens
                wanted += holds[:-1]
                alone.append(holds[-1])
        said = self.words(words[pictures, places]).float()[:, 0]
        single = self.alone(words[:, 0]).float()[:, 0]
        return _entropy(said, wanted) + 0.5 * _entropy(single, alone)

    def finds(self, words: Tensor, batch: Batch, tokenizer: CLIPTokenizer) -> Tensor:
        """How many objects of its class each noun finds, and where: what relations are made of.

        The cross-entropy of the number, up to MOST, and the mean distance to their mean centre, in
        eighths of the picture, of nouns with objects.
        """
        at: list[tuple[int, int]] = []
        numbers: list[int] = []
        centres: list[Tensor] = []
        for picture, shown, content, asked in _asked(batch, tokenizer):
            for atom, token in asked:
                if atom.kind == "object":
                    count, centre = _found(shown, content, atom.place)
                    at.append((picture, token))
                    numbers.append(min(count, MOST))
                    centres.append(centre)
        pictures, places = zip(*at, strict=True)
        said = self.objects(words[list(pictures), list(places)]).float()
        there = torch.tensor(numbers) > 0
        far = (said[:, :2] - torch.stack(centres)).abs()[there].mean()
        loss: Tensor = far.add(functional.cross_entropy(said[:, 2:], torch.tensor(numbers)))
        return loss

    def relates(self, words: Tensor, batch: Batch, tokenizer: CLIPTokenizer) -> Tensor:
        """The mean distance of what each relation's word says lies between its two centres.

        Without it sides were at chance after 8,000 steps: the cross-entropy of the few atoms that
        are relations is too faint a reason to bring two nouns' places together.
        """
        at: list[tuple[int, int]] = []
        offsets: list[Tensor] = []
        for picture, shown, content, asked in _asked(batch, tokenizer):
            for atom, token in asked:
                if atom.kind == "relation":
                    relation = content.relations[atom.place]
                    one, here = _found(shown, content, relation.subject)
                    other, there = _found(shown, content, relation.object)
                    if one and other:
                        at.append((picture, token))
                        offsets.append(here - there)
        if not at:
            return words.new_zeros((), dtype=torch.float32)
        pictures, places = zip(*at, strict=True)
        said = self.between(words[list(pictures), list(places)]).float()
        loss: Tensor = (said - torch.stack(offsets)).abs().mean()
        return loss


def _asked(
    batch: Batch, tokenizer: CLIPTokenizer
) -> Iterator[tuple[int, Shown, Content, list[tuple[Atom, int]]]]:
    """Of every picture: its number, what it shows, and the content's atoms with their tokens."""
    number = itertools.count()
    for group, row in zip(batch.groups, batch.shown, strict=True):
        tokens = tokens_of(tokenizer, group.content, group.prompt)
        asked = list(zip(atoms(group.content), tokens, strict=True))
        for shown in row:
            yield next(number), shown, group.content, asked


def _found(shown: Shown, content: Content, group: int) -> tuple[int, Tensor]:
    """How many objects of a group's class one may see, and their mean centre in eighths (2,)."""
    name = content.groups[group].name
    items = [item for item in shown.likely if item.name == name]
    centres = [(item.x + item.size / 2, item.y + item.size / 2) for item in items]
    return len(items), torch.tensor(centres or [(0.0, 0.0)]).mean(0) / GRID


def _entropy(logits: Tensor, wanted: list[float]) -> Tensor:
    loss: Tensor = functional.binary_cross_entropy_with_logits(logits, torch.tensor(wanted))
    return loss


def mask_of(ids: Tensor, tokenizer: CLIPTokenizer) -> Tensor:
    """1 up to the first end of the text, 0 for the padding behind it."""
    ends = (ids == tokenizer.eos_token_id).cumsum(1)
    before: Tensor = (ends - (ids == tokenizer.eos_token_id).long()) == 0
    return before.long()


def start_from(networks: Networks, weights: Path) -> None:
    """Copies what fits of an ImageReward in a folder of weights, if there is one."""
    file = weights / "imagereward" / FILE
    if file.exists():
        parts = split(read(file, str(file)), str(file))
        for network, state in zip(
            (networks.vision, networks.text, networks.head), parts, strict=True
        ):
            copy_matching(network, state)


def train(
    vae: PatchAutoencoder,
    tokenizer: CLIPTokenizer,
    folder: Path,
    steps: int,
    seed: int,
    start: Path | None = None,
) -> Networks:
    """Ranks each prompt's pictures, and tells those that show all of it from the others.

    ``start``: a folder of weights to begin with, as far as they fit.
    """
    torch.manual_seed(seed)
    networks, helpers = Networks(len(tokenizer)), Helpers()
    if start is not None:
        start_from(networks, start)
    pixels = ShortestSide(SIDE, corner="even")

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        batch = training_batch(f"preferences/{seed}/{step}", PROMPTS, vae, tokenizer)
        x = pixels(batch.pictures.flatten(0, 1))
        mask = mask_of(batch.ids, tokenizer)
        longest = int(mask.sum(1).max())
        ids, mask = (
            tokens[:, :longest].repeat_interleave(batch.pictures.shape[1], 0)
            for tokens in (batch.ids, mask)
        )
        with autocast():
            read = networks(x, ids, mask)
            see = helpers.cells.loss(read.cells, [one for row in batch.shown for one in row])
            find = helpers.finds(read.found, batch, tokenizer)
            atom = helpers.holds(read.held, batch, tokenizer)
            between = helpers.relates(read.held, batch, tokenizer)
        held = held_of(batch)
        rank = ranking_loss(read.score.view(PROMPTS, -1), held)
        whole = torch.tensor([float(min(one) == 1.0) for row in held for one in row])
        right = functional.binary_cross_entropy_with_logits(read.score, whole)
        parts = {"rank": rank, "right": right, "see": see, "find": find, "atoms": atom}
        parts |= {"between": between}
        loss = rank + right + 0.5 * see + 0.5 * find + atom + 0.5 * between
        return loss, {key: value.item() for key, value in parts.items()}

    modules = {"networks": networks, "helpers": helpers}
    fit("imagereward", modules, loss_fn, steps=steps, lr=1e-3, folder=folder, ema_decay=0.998)
    return networks


def published_names(networks: Networks) -> dict[str, Tensor]:
    """The weights under the names of ImageReward.pt."""
    state = {
        f"blip.visual_encoder.{_published(key)}": value
        for key, value in networks.vision.state_dict().items()
    }
    state |= {f"blip.text_encoder.{key}": v for key, v in networks.text.state_dict().items()}
    return state | {f"mlp.layers.{key}": v for key, v in networks.head.state_dict().items()}


def _published(key: str) -> str:
    """The authors' name of a weight of the vision tower."""
    block = re.fullmatch(r"encoder\.layers\.(\d+)\.(.+)", key)
    before, key, names = (f"blocks.{block[1]}.", block[2], BLOCK) if block else ("", key, TOP)
    theirs = {ours: name for name, ours in names.items()}
    module, _, kind = key.rpartition(".")
    return before + (theirs[key] if key in theirs else f"{theirs[module]}.{kind}")
