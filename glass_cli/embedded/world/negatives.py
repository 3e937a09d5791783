"""Hard negatives: contents that differ from another in one respect, and so make its prompt false.

False means that a picture of the negative does not show the prompt's objects, all of them, as the
prompt says, and nothing else.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from dataclasses import replace

from glass_cli.embedded.world.content import MOST, OPPOSITE, Content, Group, Relation
from glass_cli.embedded.world.layout import possible
from glass_cli.embedded.world.objects import CLASSES, COLORS

RESPECTS = (
    "class",
    "color",
    "colors swapped",
    "count",
    "side",
    "extra object",
    "missing object",
)
_WORDED = ((), ((0, 1),), ((0, 1), (0, 2)), ((0, 1), (2, 3)))  # relations that a prompt can state


def _with_group(content: Content, index: int, group: Group) -> Content:
    groups = list(content.groups)
    groups[index] = group
    return replace(content, groups=tuple(groups))


def _new_class(content: Content, rng: random.Random) -> str:
    present = {group.name for group in content.groups}
    return rng.choice([name for name in CLASSES if name not in present])


def _class(content: Content, rng: random.Random) -> Content:
    index = rng.randrange(len(content.groups))
    group = replace(content.groups[index], name=_new_class(content, rng))
    return _with_group(content, index, group)


def _color(content: Content, rng: random.Random) -> Content | None:
    """Another colour, now and then none: an object's own colours are not the prompt's."""
    colored = [i for i, group in enumerate(content.groups) if group.color is not None]
    if not colored:
        return None
    index = rng.choice(colored)
    others = [color for color in COLORS if color != content.groups[index].color]
    color = None if rng.random() < 0.15 else rng.choice(others)
    return _with_group(content, index, replace(content.groups[index], color=color))


def _colors_swapped(content: Content, rng: random.Random) -> Content | None:
    groups = content.groups
    pairs = [
        (i, j) for i in range(len(groups)) for j in range(i) if groups[i].color != groups[j].color
    ]
    if not pairs:
        return None
    i, j = rng.choice(pairs)
    swapped = _with_group(content, i, replace(groups[i], color=groups[j].color))
    return _with_group(swapped, j, replace(groups[j], color=groups[i].color))


def _count(content: Content, rng: random.Random) -> Content | None:
    """One more or one fewer of a group of several."""
    options = [
        (i, group.count + change)
        for i, group in enumerate(content.groups)
        if group.count > 1
        for change in (-1, 1)
        if content.total + change <= MOST
    ]
    if not options:
        return None
    index, count = rng.choice(options)
    return _with_group(content, index, replace(content.groups[index], count=count))


def _side(content: Content, rng: random.Random) -> Content | None:
    """One relation turned round."""
    if not content.relations:
        return None
    index = rng.randrange(len(content.relations))
    relations = list(content.relations)
    relations[index] = replace(relations[index], word=OPPOSITE[relations[index].word])
    return replace(content, relations=tuple(relations))


def _extra_object(content: Content, rng: random.Random) -> Content | None:
    """An object of another class, or a second one where the prompt has one."""
    if content.total == MOST:
        return None
    single = [i for i, group in enumerate(content.groups) if group.count == 1]
    if single and rng.random() < 0.3:
        index = rng.choice(single)
        return _with_group(content, index, replace(content.groups[index], count=2))
    color = rng.choice((None, rng.choice(tuple(COLORS))))
    return replace(content, groups=(*content.groups, Group(_new_class(content, rng), color)))


def _missing_object(content: Content, rng: random.Random) -> Content | None:
    """A group left out, with its relations; those related come first, as prompts have them."""
    if len(content.groups) == 1:
        return None
    gone = rng.randrange(len(content.groups))
    kept = [r for r in content.relations if gone not in (r.subject, r.object)]
    order: list[int] = []
    for index in [i for r in kept for i in (r.subject, r.object)] + list(range(MOST)):
        if index < len(content.groups) and index != gone and index not in order:
            order.append(index)
    relations = tuple(Relation(order.index(r.subject), r.word, order.index(r.object)) for r in kept)
    return Content(tuple(content.groups[i] for i in order), relations)


_MAKERS: dict[str, Callable[[Content, random.Random], Content | None]] = {
    "class": _class,
    "color": _color,
    "colors swapped": _colors_swapped,
    "count": _count,
    "side": _side,
    "extra object": _extra_object,
    "missing object": _missing_object,
}


def _worded(content: Content) -> bool:
    return tuple((r.subject, r.object) for r in content.relations) in _WORDED and (
        len(content.relations) < 2 or len(content.groups) == content.relations[1].object + 1
    )


def negative(content: Content, respect: str, rng: random.Random) -> Content | None:
    """A content that differs from ``content`` in ``respect`` (of RESPECTS); None where none does.

    It has a layout and a prompt of its own.
    """
    for _ in range(4):
        other = _MAKERS[respect](content, rng)
        if other is not None and _worded(other) and possible(other):
            return other
    return None


def random_negative(
    content: Content, rng: random.Random, respects: Sequence[str] = RESPECTS
) -> tuple[str, Content]:
    """A respect, drawn evenly from those in which the content can be made false, and the negative.

    Raises ValueError where there is none; the class can always be another one.
    """
    for respect in rng.sample(respects, len(respects)):
        other = negative(content, respect, rng)
        if other is not None:
            return respect, other
    raise ValueError(f"{content} has no negative in {', '.join(respects)}")
