"""What the rewards are trained on: prompts, each with pictures that show more or less of it."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from transformers import CLIPTokenizer

from glass_cli.embedded.train.atoms import held, places
from glass_cli.embedded.train.imperfect import COLOURS, Array, Target, damaged, paste, whole
from glass_cli.embedded.train.spoil import spoil, through_codec
from glass_cli.embedded.train.text import encode
from glass_cli.embedded.world.content import Content, held_out, training_content
from glass_cli.embedded.world.grammar import random_prompt
from glass_cli.embedded.world.layout import GRID, SIDE, possible
from glass_cli.embedded.world.negatives import negative, random_negative
from glass_cli.embedded.world.objects import BACKGROUNDS, CLASSES
from glass_cli.embedded.world.render import sprite
from glass_cli.embedded.world.scene import Item, Scene, place
from glass_cli.pipelines.codec import PatchAutoencoder

PICTURES = 4  # of a prompt: the right one, two hard negatives, and one that is wrong twice
CELLS = SIDE // GRID
DAMAGED = (0.3, 0.5)  # share of pictures with damaged objects, and of their objects
UNSURE = -100  # a cell's class or colour where nobody can say


@dataclass(frozen=True)
class Shown:
    """A picture (H, W, 3) in [0, 1] and what is in it.

    sure, likely: the objects that are there for certain, and those that one may see.
    cells: class and colour of what stands in each cell of the grid, (2, CELLS, CELLS): 0 for
        nothing, else the place in CLASSES or COLOURS plus 1, or UNSURE.
    centres: from a cell's centre to its object's, in cells, (2, CELLS, CELLS): x, y.
    """

    picture: Array
    sure: tuple[Item, ...]
    likely: tuple[Item, ...]
    cells: NDArray[np.int64]
    centres: Array

    def holds(self, content: Content) -> list[float]:
        """How far each atom of the content is shown, 0 to 1, and last that nothing else is."""
        sides = zip(held(content, self.sure), held(content, self.likely), strict=True)
        return [(a + b) / 2 for a, b in sides]


@cache
def _cell_of(size: int) -> Array:
    line = (np.arange(size // GRID, dtype=np.float32) + 0.5) - size / GRID / 2
    return np.stack(np.meshgrid(-line, -line)).astype(np.float32)


def show(scene: Scene, rng: np.random.Generator, faults: float) -> Shown:
    """The scene rendered, a share ``faults`` of its objects faded, cut off or half another one."""
    picture = np.empty((SIDE, SIDE, 3), dtype=np.float32)
    picture[:] = BACKGROUNDS[scene.background]
    sure: list[Item] = []
    likely: list[Item] = []
    cells = np.zeros((2, CELLS, CELLS), dtype=np.int64)
    centres = np.zeros((2, CELLS, CELLS), dtype=np.float32)
    for item in scene.items:
        if rng.random() < faults:
            patch, target = damaged(rng, item)
        else:
            patch, target = sprite(item.name, item.color, item.size), whole(item)
        paste(picture, item, patch)
        seen = _read(item, target)
        likely += [seen] * (target.present != 0.0)
        certain = float(target.classes.max() * target.colours.max())
        sure += [seen] * (target.present == 1.0 and certain > 0.7)
        y, x, n = item.y // GRID, item.x // GRID, item.size // GRID
        window = (slice(None), slice(y, y + n), slice(x, x + n))
        centres[window] = _cell_of(item.size)
        if target.present == 0.0 or target.present is None or certain <= 0.7:
            cells[window] = UNSURE
        else:
            numbers = CLASSES.index(seen.name) + 1, COLOURS.index(seen.color) + 1
            cells[window] = np.array(numbers)[:, None, None]
    return Shown(picture.clip(0, 1), tuple(sure), tuple(likely), cells, centres)


def _read(item: Item, target: Target) -> Item:
    """The object as one would name it after the damage."""
    name, color = CLASSES[int(target.classes.argmax())], COLOURS[int(target.colours.argmax())]
    return replace(item, name=name, color=color)


@dataclass(frozen=True)
class Group:
    """A prompt, its content, and scenes: the first shows it, the others fail it."""

    prompt: str
    content: Content
    scenes: tuple[Scene, ...]

    @property
    def contents(self) -> tuple[Content, ...]:
        return tuple(scene.content for scene in self.scenes)


def training_group(rng: random.Random) -> Group:
    """Contents that no test prompt has; each in layouts of its own.

    A relation is turned round in half of the groups that have one: sides are the last that a
    reward learns.
    """
    while not possible(content := training_content(rng)):
        pass

    def wrong(from_content: Content) -> Content:
        while held_out(other := random_negative(from_content, rng)[1]):
            pass
        return other

    turned = negative(content, "side", rng) if rng.random() < 0.5 else None
    first = wrong(content) if turned is None or held_out(turned) else turned
    contents = (content, first, wrong(content), wrong(first))
    prompt = random_prompt(content, rng)
    return Group(prompt, content, tuple(place(c, rng, prompt) for c in contents))


@dataclass(frozen=True)
class Batch:
    """N prompts with K = PICTURES pictures each.

    pictures: (N, K, 3, H, W) in [0, 1]. ids: tokens (N, L). groups: the prompts' contents and
    scenes. shown: what is in the pictures, N lists of K.
    """

    pictures: Tensor
    ids: Tensor
    groups: list[Group]
    shown: list[list[Shown]]


def training_batch(
    name: str,
    count: int,
    vae: PatchAutoencoder,
    tokenizer: CLIPTokenizer,
    faults: float = DAMAGED[0],
) -> Batch:
    """``count`` prompts, drawn from ``name`` alone; pictures spoiled as unfinished samples are.

    ``faults``: the share of pictures with damaged objects.
    """
    rng = random.Random(name)
    numbers = np.random.default_rng(rng.getrandbits(64))
    generator = torch.Generator().manual_seed(rng.getrandbits(63))
    groups = [training_group(rng) for _ in range(count)]
    shown = [
        [
            show(scene, numbers, DAMAGED[1] if rng.random() < faults else 0.0)
            for scene in group.scenes
        ]
        for group in groups
    ]
    x = torch.from_numpy(np.stack([one.picture for row in shown for one in row]))
    x = through_codec(vae, x.permute(0, 3, 1, 2).contiguous(), generator)
    spoiled = spoil(2 * x - 1, generator) / 2 + 0.5
    x = torch.where(torch.rand(len(x), 1, 1, 1, generator=generator) < 0.6, x, spoiled).clamp(0, 1)
    ids = encode(tokenizer, [group.prompt for group in groups])
    return Batch(x.unflatten(0, (count, -1)), ids, groups, shown)


def tokens_of(tokenizer: CLIPTokenizer, content: Content, prompt: str) -> list[int]:
    """The number in the prompt's tokens of the word that asks for each of the content's atoms."""
    offsets = tokenizer.backend_tokenizer.encode(prompt).offsets
    starts = {start: number for number, (start, end) in enumerate(offsets) if end > start}
    return [starts[character] for character in places(content, prompt)]


def held_of(batch: Batch) -> list[list[list[float]]]:
    """Of each prompt, of each of its pictures: :meth:`Shown.holds`."""
    return [
        [one.holds(group.content) for one in row]
        for group, row in zip(batch.groups, batch.shown, strict=True)
    ]


def ranking_loss(scores: Tensor, held: Sequence[Sequence[Sequence[float]]]) -> Tensor:
    """-log sigmoid(r_better - r_worse), ImageReward's, over the pairs of each prompt's pictures.

    scores: (N, K). held: how far each atom holds, as :func:`held_of` gives it; the picture that
    shows more of them is the better one, equals make no pair.
    """
    shown = torch.tensor([[sum(one) for one in row] for row in held])
    better = shown[:, :, None] > shown[:, None, :] + 1e-6
    margin = scores[:, :, None] - scores[:, None, :]
    return torch.nn.functional.softplus(-margin[better]).mean()
