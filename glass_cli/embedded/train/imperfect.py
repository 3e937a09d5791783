"""Pictures for the detector: objects of any number and place, some of them imperfect.

A flow model's pictures are not the renderer's: objects fade, break off at a cell's edge, run into
each other or turn into another class half-way. A detector that saw only whole objects would judge
such pictures at random. What is left of an object says what the detector is to see in it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray

from glass_cli.embedded.world.layout import GRID, LARGE, SIDE, SMALL
from glass_cli.embedded.world.objects import BACKGROUNDS, CLASSES, COLORS
from glass_cli.embedded.world.render import sprite
from glass_cli.embedded.world.scene import Item, Scene

Array = NDArray[np.float32]
COLOURS: tuple[str | None, ...] = (*COLORS, None)  # None: the object's own colours
GONE, WHOLE = 0.35, 0.7  # the share left of an object that is not to be seen, or is


@dataclass(frozen=True)
class Target:
    """One object as the detector is to see it.

    ``present`` is 1, 0, or None where nobody can say; ``box`` (x0, y0, x1, y1) in pixels;
    ``classes`` and ``colours`` (of COLOURS) are distributions.
    """

    present: float | None
    box: tuple[float, float, float, float]
    classes: Array
    colours: Array


@cache
def tight(name: str, size: int) -> tuple[int, int, int, int]:
    """The outline's box within a sprite of ``size`` pixels: x0, y0, x1, y1, ends excluded."""
    alpha = sprite(name, None, size)[..., 3] > 0.5
    columns, rows = np.flatnonzero(alpha.any(0)), np.flatnonzero(alpha.any(1))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


def _one_hot(names: Sequence[str | None], name: str | None) -> Array:
    return np.array([float(n == name) for n in names], dtype=np.float32)


def whole(item: Item) -> Target:
    """An undamaged object's target."""
    x0, y0, x1, y1 = tight(item.name, item.size)
    box = (item.x + x0, item.y + y0, item.x + x1, item.y + y1)
    return Target(1.0, box, _one_hot(CLASSES, item.name), _one_hot(COLOURS, item.color))


def _places(rng: np.random.Generator, sizes: list[int], grid: int) -> list[list[int]]:
    """Corners for as many of the boxes as fit; now and then boxes may overlap a little."""
    slack = int(rng.choice((0, 0, 0, 0, 4, 8)))
    placed: list[list[int]] = []
    for size in sizes:
        for _ in range(30):
            x, y = (int(v) * grid for v in rng.integers(0, (SIDE - size) // grid + 1, 2))
            if all(
                x + size - slack <= px or px + ps - slack <= x
                or y + size - slack <= py or py + ps - slack <= y
                for px, py, ps in placed
            ):  # fmt: skip
                placed.append([x, y, size])
                break
    return placed


def _items(rng: np.random.Generator) -> list[Item]:
    """Up to five objects, often of one class, a third of the scenes off the world's grid."""
    number = int(rng.choice(6, p=(0.03, 0.17, 0.3, 0.2, 0.2, 0.1)))
    on_grid = rng.random() < 0.7
    if on_grid:
        size = LARGE if number <= 2 and rng.random() < 0.7 else SMALL
        sizes = [size if rng.random() < 0.9 else SMALL for _ in range(number)]
    else:
        sizes = [int(v) for v in rng.integers(SMALL - 4, LARGE + 5, number)]
    same, tinted = rng.random() < 0.4, rng.choice((0.0, 0.5, 1.0))
    first = rng.choice(CLASSES)
    return [
        Item(
            str(first if same else rng.choice(CLASSES)),
            str(rng.choice(tuple(COLORS))) if rng.random() < tinted else None,
            *place,
        )
        for place in _places(rng, sizes, GRID if on_grid else 1)
    ]


def _cells_mask(rng: np.random.Generator, item: Item, share: float) -> Array:
    """1 where a piece of the object is taken away: a side of it, or cells of the grid."""
    size = item.size
    mask = np.zeros((size, size), dtype=np.float32)
    if rng.random() < 0.5:
        cut = round(share * size)
        mask[:cut] = 1.0
        return np.rot90(mask, int(rng.integers(4)))
    for top in range(-(item.y % GRID), size, GRID):
        for left in range(-(item.x % GRID), size, GRID):
            if rng.random() < share:
                mask[max(top, 0) : top + GRID, max(left, 0) : left + GRID] = 1.0
    return mask


def damaged(rng: np.random.Generator, item: Item) -> tuple[Array, Target]:
    """The object's pixels (size, size, 4) with a fault, and what is to be seen in them."""
    patch, target = sprite(item.name, item.color, item.size).copy(), whole(item)
    body = float(patch[..., 3].sum())
    fault = rng.choice(("fade", "cut", "mix"))
    if fault == "fade":
        left = float(rng.random())
        patch[..., 3] *= left
    elif fault == "cut":
        patch[..., 3] *= 1 - _cells_mask(rng, item, float(rng.random()))
        left = float(patch[..., 3].sum()) / body
    else:
        other = Item(
            str(rng.choice(CLASSES)),
            str(rng.choice(tuple(COLORS))) if rng.random() < 0.5 else item.color,
            item.x,
            item.y,
            item.size,
        )
        if rng.random() < 0.5:
            mask = np.full(patch.shape[:2], rng.random(), dtype=np.float32)
        else:
            mask = _cells_mask(rng, item, float(rng.random()))
        second = sprite(other.name, other.color, item.size)
        seen = float((second[..., 3] * mask).sum())
        share = seen / max(seen + float((patch[..., 3] * (1 - mask)).sum()), 1e-6)
        patch += mask[..., None] * (second - patch)
        away = whole(other)
        mixed = Target(
            1.0,
            target.box if share < 0.5 else away.box,
            (1 - share) * target.classes + share * away.classes,
            (1 - share) * target.colours + share * away.colours,
        )
        return patch, mixed
    present = 1.0 if left > WHOLE else 0.0 if left < GONE else None
    return patch, Target(present, target.box, target.classes, target.colours)


def _smudge(picture: Array, rng: np.random.Generator) -> None:
    """A soft blot of one colour, which is no object."""
    side = picture.shape[0]
    y, x = np.mgrid[0:side, 0:side].astype(np.float32)
    cx, cy = rng.uniform(0, side, 2)
    rx, ry = rng.uniform(2, 9, 2)
    blot = np.exp(-(((x - cx) / rx) ** 2 + ((y - cy) / ry) ** 2))[..., None]
    colour = rng.random(3, dtype=np.float32)
    picture += (rng.uniform(0.2, 0.9) * blot * (colour - picture)).astype(np.float32)


def paste(picture: Array, item: Item, patch: Array) -> None:
    window = picture[item.y : item.y + item.size, item.x : item.x + item.size]
    window += patch[..., 3:] * (patch[..., :3] - window)


def imperfect(rng: np.random.Generator) -> tuple[Array, list[Target]]:
    """A picture (H, W, 3) in [0, 1] and its objects."""
    side = SIDE
    picture = np.empty((side, side, 3), dtype=np.float32)
    picture[:] = BACKGROUNDS[int(rng.integers(len(BACKGROUNDS)))] + rng.normal(0, 0.015, 3)
    if rng.random() < 0.2:
        _smudge(picture, rng)
    faults = rng.choice((0.0, 0.25, 0.6), p=(0.5, 0.3, 0.2))
    targets = []
    for item in _items(rng):
        if rng.random() < faults:
            patch, target = damaged(rng, item)
        else:
            patch, target = sprite(item.name, item.color, item.size), whole(item)
        paste(picture, item, patch)
        targets.append(target)
    return picture.clip(0, 1), targets


def targets_of(scene: Scene) -> list[Target]:
    """The targets of one of the world's own scenes."""
    return [whole(item) for item in scene.items]
