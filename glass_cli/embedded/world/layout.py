"""Where a scene's objects stand: on a grid of 8 pixels, apart, and as its relations say.

The grid is the stride of the codec, so that a glyph has one code wherever it stands.
"""

from __future__ import annotations

import itertools
import random
from functools import cache

import numpy as np
from numpy.typing import NDArray

from glass_cli.embedded.world.content import Content, Group, Relation

SIDE, GRID = 64, 8
LARGE, SMALL = 32, 24  # pixels; three objects and more are small
LARGE_SHARE = 0.8  # of scenes of one or two objects

Corners = NDArray[np.int64]


@cache
def placements(number: int, size: int) -> Corners:
    """Every way to put ``number`` boxes of ``size`` pixels on the grid: corners (P, number, 2)."""
    line = range(0, SIDE - size + 1, GRID)
    places = np.array([(x, y) for x, y in itertools.product(line, line)])
    ways = places[:, None]
    for _ in range(number - 1):
        before = np.repeat(ways, len(places), axis=0)
        last = np.tile(places, (len(ways), 1))[:, None]
        apart = (np.abs(before - last) >= size).any(-1).all(-1)
        ways = np.concatenate([before, last], axis=1)[apart]
    return ways


def stands(
    dx: NDArray[np.float64], dy: NDArray[np.float64], size: float, word: str
) -> NDArray[np.bool_]:
    """GenEval's rule for two boxes of one size whose centres differ by (dx, dy) pixels.

    The offset is shrunk by a tenth of the summed sizes and held against its length before that.
    """
    along = {"left of": -dx, "right of": dx, "above": -dy, "below": dy}[word]
    return np.maximum(along - 0.2 * size, 0) > 0.5 * np.hypot(dx, dy)


def members(content: Content) -> list[range]:
    """Each group's places in the list of objects."""
    ends = list(itertools.accumulate(group.count for group in content.groups))
    return [range(end - g.count, end) for end, g in zip(ends, content.groups, strict=True)]


def holds(content: Content, corners: Corners, size: int) -> NDArray[np.bool_]:
    """Which of the placements (P, objects, 2) satisfy every relation: (P,)."""
    fine = np.ones(len(corners), dtype=bool)
    who = members(content)
    for relation in content.relations:
        for a, b in itertools.product(who[relation.subject], who[relation.object]):
            offset = (corners[:, a] - corners[:, b]).astype(float)
            fine &= stands(offset[:, 0], offset[:, 1], size, relation.word)
    return fine


@cache
def _possible(counts: tuple[int, ...], relations: tuple[Relation, ...]) -> bool:
    content = Content(tuple(Group("", None, count) for count in counts), relations)
    return bool(holds(content, placements(content.total, SMALL), SMALL).any())


def possible(content: Content) -> bool:
    """Whether any layout shows the content: three objects cannot stand in line, for instance."""
    return _possible(tuple(group.count for group in content.groups), content.relations)


def random_layout(content: Content, rng: random.Random) -> tuple[int, list[tuple[int, int]]]:
    """The objects' size in pixels and their corners, uniform over the layouts that hold.

    Raises ValueError where there is none (:func:`possible`).
    """
    large = content.total <= 2 and rng.random() < LARGE_SHARE
    for size in (LARGE, SMALL) if large else (SMALL,):
        ways = placements(content.total, size)
        for _ in range(20):
            some = ways[np.array([rng.randrange(len(ways)) for _ in range(16)])]
            (right,) = np.nonzero(holds(content, some, size))
            if len(right):
                return size, [(int(x), int(y)) for x, y in some[right[0]]]
        (right,) = np.nonzero(holds(content, ways, size))
        if len(right):
            return size, [(int(x), int(y)) for x, y in ways[rng.choice(right.tolist())]]
    raise ValueError(f"no layout of {content}")
