"""Scenes: a content, its objects' places, and a prompt."""

from __future__ import annotations

import itertools
import random
from collections.abc import Mapping
from dataclasses import dataclass

from glass_cli.embedded.world.content import WEIGHTS, Content, training_content
from glass_cli.embedded.world.grammar import random_prompt
from glass_cli.embedded.world.layout import possible, random_layout
from glass_cli.embedded.world.objects import BACKGROUNDS


@dataclass(frozen=True)
class Item:
    """One object in a picture.

    name: its class.
    color: one of COLORS; None for the glyph's own.
    x, y: the left and the upper side of its box, in pixels.
    size: of the square box, in pixels.
    """

    name: str
    color: str | None
    x: int
    y: int
    size: int


@dataclass(frozen=True)
class Scene:
    """A picture, before it is rendered.

    content: what it shows.
    items: the objects that show it.
    background: the number of its ground among BACKGROUNDS.
    prompt: what it is called.
    """

    content: Content
    items: tuple[Item, ...]
    background: int
    prompt: str


def place(content: Content, rng: random.Random, prompt: str) -> Scene:
    """The content at random places on a random ground. Raises ValueError where none is right."""
    size, corners = random_layout(content, rng)
    kinds = itertools.chain.from_iterable([group] * group.count for group in content.groups)
    items = tuple(
        Item(group.name, group.color, x, y, size)
        for group, (x, y) in zip(kinds, corners, strict=True)
    )
    return Scene(content, items, rng.randrange(len(BACKGROUNDS)), prompt)


def training_scenes(
    rng: random.Random, layouts: int = 1, weights: Mapping[str, float] = WEIGHTS
) -> list[Scene]:
    """One prompt and ``layouts`` scenes of it; no test prompt's content (see ``content``)."""
    while not possible(content := training_content(rng, weights)):
        pass
    prompt = random_prompt(content, rng)
    return [place(content, rng, prompt) for _ in range(layouts)]
