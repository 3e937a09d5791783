"""Makes the prompts of ``benchmark=compose``: ``python -m glass_cli.benchmarks.compose_prompts``.

The list is part of the package (compose.jsonl), so that it stays what it is when the world's
grammar grows; a test makes it once more and compares.
"""

from __future__ import annotations

import itertools
import json
import random
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from glass_cli.detectors.atom_rules import atoms
from glass_cli.embedded.world.content import (
    MOST,
    RELATIONS,
    Content,
    Group,
    Relation,
    held_out,
)
from glass_cli.embedded.world.grammar import describe
from glass_cli.embedded.world.layout import possible
from glass_cli.embedded.world.objects import CLASSES, COLORS

ATOMS = range(2, 9)
EACH = 40  # prompts of each number of atoms
SEED = 2512_16853  # the arXiv number of GenEval 2
_RELATIONS_OF = {1: (0,), 2: (0, 1), 3: (0, 1, 2), 4: (0, 1, 2)}  # that the grammar has words for


class Shape(NamedTuple):
    """How many of each skill's atoms a prompt has."""

    objects: int
    colours: int
    counts: int
    relations: int


def shapes(total: int) -> list[Shape]:
    """All that the world has room for, whose numbers sum to ``total`` atoms."""
    return [
        shape
        for groups, relations in _RELATIONS_OF.items()
        for shape in itertools.starmap(
            Shape, itertools.product([groups], range(groups + 1), range(groups + 1), relations)
        )
        # a counted group has two objects at least
        if sum(shape) == total and groups + shape.counts <= MOST
    ]


def content_of(shape: Shape, rng: random.Random, classes: Sequence[str] = CLASSES) -> Content:
    """A random content of this shape and of these classes, whether it can be laid out or not."""
    number = shape.objects
    coloured = set(rng.sample(range(number), shape.colours))
    counts = [1] * number
    counted = rng.sample(range(number), shape.counts)
    for i in counted:
        counts[i] = 2
    if counted:
        for _ in range(rng.randint(0, MOST - sum(counts))):
            counts[rng.choice(counted)] += 1
    groups = tuple(
        Group(name, rng.choice(tuple(COLORS)) if i in coloured else None, counts[i])
        for i, name in enumerate(rng.sample(classes, number))
    )
    # two relations of three groups share their subject; of four, they are apart
    ends = [(0, 1), (0, 2) if number == 3 else (2, 3)]
    relations = [Relation(a, rng.choice(RELATIONS), b) for a, b in ends[: shape.relations]]
    return Content(groups, tuple(relations))


def record_of(content: Content) -> dict[str, Any]:
    """The prompt with its atoms, in the order of its words.

    ``objects`` is how many of each class the prompt names; ``atoms`` are those of
    :func:`glass_cli.detectors.atom_rules.atoms`.
    """
    objects = {group.name: group.count for group in content.groups}
    return {"prompt": describe(content), "objects": objects, "atoms": atoms(content)}


def contents(total: int, rng: random.Random) -> Iterator[Content]:
    """Contents of ``total`` atoms, the shapes in turn; held out from training, and possible."""
    for shape in itertools.cycle(shapes(total)):
        while True:
            content = content_of(shape, rng)
            if held_out(content) and possible(content):
                yield content
                break


def prompts() -> Iterator[dict[str, Any]]:
    """The list: EACH records for each number of ATOMS, no prompt twice."""
    for total in ATOMS:
        rng = random.Random(f"compose/{SEED}/{total}")
        by_text: dict[str, dict[str, Any]] = {}
        for content in contents(total, rng):
            record = record_of(content)
            by_text.setdefault(record["prompt"], record)
            if len(by_text) == EACH:
                break
        yield from by_text.values()


if __name__ == "__main__":
    for each in prompts():
        print(json.dumps(each))
