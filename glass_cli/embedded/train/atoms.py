"""What a prompt asks for, one by one, which of it a scene shows, and where the prompt says it."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Literal, NamedTuple

import numpy as np

from glass_cli.embedded.world.content import Content
from glass_cli.embedded.world.grammar import phrase
from glass_cli.embedded.world.layout import stands
from glass_cli.embedded.world.scene import Item


class Atom(NamedTuple):
    """``place``: in the content's groups; in its relations for ``kind`` "relation"."""

    kind: Literal["object", "color", "count", "relation"]
    place: int


def atoms(content: Content) -> list[Atom]:
    """As many as ``content.atoms``: group after group, then the relations."""
    found: list[Atom] = []
    for i, group in enumerate(content.groups):
        found.append(Atom("object", i))
        if group.color is not None:
            found.append(Atom("color", i))
        if group.count > 1:
            found.append(Atom("count", i))
    return found + [Atom("relation", i) for i in range(len(content.relations))]


def held(content: Content, items: Sequence[Item]) -> list[bool]:
    """Which of :func:`atoms` the objects show, and last whether they are all that is there.

    Objects: at least one of the class. Colour: all of them have it, or as many as are asked for.
    Count: exactly. Relation: each of the one class stands so to each of the other.
    """
    there = [[item for item in items if item.name == group.name] for group in content.groups]

    def shows(atom: Atom) -> bool:
        if atom.kind == "relation":
            relation = content.relations[atom.place]
            pairs = itertools.product(there[relation.subject], there[relation.object])
            fits = [_stands(a, b, relation.word) for a, b in pairs]
            return bool(fits) and all(fits)
        group, found = content.groups[atom.place], there[atom.place]
        if atom.kind == "count":
            return len(found) == group.count
        if atom.kind == "color":
            fitting = sum(item.color == group.color for item in found)
            return 0 < min(len(found), group.count) <= fitting
        return bool(found)

    most = {group.name: group.count for group in content.groups}
    numbers = {item.name: sum(other.name == item.name for other in items) for item in items}
    nothing_else = all(number <= most.get(name, 0) for name, number in numbers.items())
    return [*map(shows, atoms(content)), nothing_else]


def _stands(a: Item, b: Item, word: str) -> bool:
    centres = [np.array([item.x, item.y]) + item.size / 2 for item in (a, b)]
    offset = np.float64(centres[0] - centres[1])
    return bool(stands(offset[:1], offset[1:], (a.size + b.size) / 2, word)[0])


def places(content: Content, prompt: str) -> list[int]:
    """The character of ``prompt`` at which the word begins that asks for each of :func:`atoms`.

    An object's is the last word of its name. Raises ValueError for a prompt that the grammar does
    not make of the content.
    """
    starts: list[int] = []
    ends: list[int] = []
    position = 0
    for group in content.groups:
        words = next((w for w in (phrase(group, e) for e in (True, False)) if w in prompt), "")
        start = prompt.find(words, position)
        if not words or start < 0:
            raise ValueError(f'"{prompt}" is no prompt of {content}')
        position = start + len(words)
        starts.append(start)
        ends.append(position)

    def place(atom: Atom) -> int:
        if atom.kind == "relation":
            relation = content.relations[atom.place]
            return starts[relation.object] - len(relation.word) - 1
        start, end = starts[atom.place], ends[atom.place]
        if atom.kind == "object":
            return prompt.rfind(" ", start, end) + 1
        if atom.kind == "count":
            return start
        return prompt.index(" ", start) + 1

    return [place(atom) for atom in atoms(content)]
