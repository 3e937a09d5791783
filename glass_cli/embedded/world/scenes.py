"""Scenes of the emoji world and their prompts, in the six forms of GenEval (arXiv 2310.11513).

Objects stand on a grid of 8 pixels: the stride of the autoencoder, so that a glyph has one code
wherever it stands and a small model learns it in an hour on two cores.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import dataclass, replace

from glass_cli.embedded.world.objects import BACKGROUNDS, CLASSES, COLORS, english_plural, plural

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
RELATIONS = ("left of", "right of", "above", "below")
NUMBERS = ("one", "two", "three", "four")
_OPENINGS = ("a photo of", "a picture of", "an image of", "")
_TASK_WEIGHTS = (1.0, 1.5, 1.5, 1.5, 1.5, 2.0)


@dataclass(frozen=True)
class Item:
    """One object: its class, its colour (None: the glyph's own), and its box in pixels."""

    name: str
    color: str | None
    x: int
    y: int
    size: int


@dataclass(frozen=True)
class Scene:
    """A picture's content and its prompt; ``relation`` is how items[1] stands to items[0]."""

    task: str
    items: tuple[Item, ...]
    background: int
    prompt: str
    relation: str | None = None


@dataclass(frozen=True)
class World:
    """What scenes may contain: picture size, grid and object sizes in pixels, and the classes."""

    image_size: int = 64
    grid: int = 8
    large: int = 32
    small: int = 24
    classes: tuple[str, ...] = CLASSES


def article(words: str) -> str:
    """``words`` with its indefinite article."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def noun(name: str, color: str | None) -> str:
    return name if color is None else f"{color} {name}"


def describe(task: str, items: Sequence[Item], relation: str | None, opening: str) -> str:
    """The prompt of a scene, in GenEval's wording when ``opening`` is "a photo of"."""
    first = noun(items[0].name, items[0].color)
    if task == "counting":
        words = f"{NUMBERS[len(items) - 1]} {plural(items[0].name)}"
    elif task == "position":
        words = f"{article(items[1].name)} {relation} {article(items[0].name)}"
    elif len(items) == 2:
        words = f"{article(first)} and {article(noun(items[1].name, items[1].color))}"
    else:
        words = article(first)
    return f"{opening} {words}".strip()


def relations(a: Item, b: Item) -> set[str]:
    """How ``a`` stands to ``b`` by GenEval's rule: box centres, shrunk by a tenth of the sizes."""
    dx = a.x + a.size / 2 - b.x - b.size / 2
    dy = a.y + a.size / 2 - b.y - b.size / 2
    norm = (dx * dx + dy * dy) ** 0.5
    margin = 0.1 * (a.size + b.size)
    sx = max(abs(dx) - margin, 0.0) * (1 if dx > 0 else -1)
    sy = max(abs(dy) - margin, 0.0) * (1 if dy > 0 else -1)
    if abs(sx) < 1e-3 and abs(sy) < 1e-3:
        return set()
    found = {
        "left of": sx / norm < -0.5,
        "right of": sx / norm > 0.5,
        "above": sy / norm < -0.5,
        "below": sy / norm > 0.5,
    }
    return {name for name, holds in found.items() if holds}


def _place(world: World, sizes: Sequence[int], rng: random.Random) -> list[tuple[int, int]]:
    """Corners on the grid, drawn uniformly, such that no two boxes overlap."""
    while True:
        corners = [
            (
                rng.randrange(0, world.image_size - size + 1, world.grid),
                rng.randrange(0, world.image_size - size + 1, world.grid),
            )
            for size in sizes
        ]
        boxes = list(zip(corners, sizes, strict=True))
        if all(
            x1 + s1 <= x2 or x2 + s2 <= x1 or y1 + s1 <= y2 or y2 + s2 <= y1
            for i, ((x1, y1), s1) in enumerate(boxes)
            for (x2, y2), s2 in boxes[:i]
        ):
            return corners


def make_scene(
    world: World,
    task: str,
    names: Sequence[str],
    colors: Sequence[str | None],
    rng: random.Random,
    relation: str | None = None,
    opening: str = "a photo of",
) -> Scene:
    """A scene of the given content at random places; in a position task ``relation`` holds."""
    large = len(names) <= 2 and rng.random() < 0.8
    sizes = [world.large if large else world.small] * len(names)
    while True:
        items = tuple(
            Item(name, color, x, y, size)
            for name, color, (x, y), size in zip(
                names, colors, _place(world, sizes, rng), sizes, strict=True
            )
        )
        if relation is None or relation in relations(items[1], items[0]):
            break
    prompt = describe(task, items, relation, opening)
    return Scene(task, items, rng.randrange(len(BACKGROUNDS)), prompt, relation)


def random_scene(world: World, rng: random.Random) -> Scene:
    """A training scene: a task by weight, classes, colours and places uniformly."""
    task = rng.choices(TASKS, _TASK_WEIGHTS)[0]
    opening = rng.choices(_OPENINGS, (0.7, 0.1, 0.1, 0.1))[0]
    relation = None
    if task == "counting":
        count = rng.choice((2, 3, 4))
        names = [rng.choice(world.classes)] * count
        colors: list[str | None] = [None] * count
    elif task in ("single_object", "colors"):
        names = [rng.choice(world.classes)]
        colors = [rng.choice(tuple(COLORS)) if task == "colors" else None]
    else:
        names = rng.sample(world.classes, 2)
        colors = [None, None]
        if task == "color_attr":
            colors = list(rng.sample(tuple(COLORS), 2))
        elif task == "position":
            relation = rng.choice(RELATIONS)
        elif rng.random() < 0.25:
            colors[rng.randrange(2)] = rng.choice(tuple(COLORS))
    scene = make_scene(world, task, names, colors, rng, relation, opening)
    if task == "counting" and rng.random() < 0.3:
        name = names[0]
        prompt = scene.prompt.replace(plural(name), english_plural(name))
        scene = replace(scene, prompt=prompt)
    return scene
