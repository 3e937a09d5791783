"""What a scene shows: groups of objects and how the groups stand to each other.

Contents are sampled for training and drawn for test prompts. The two never meet: a content's
pairs of groups, and its coloured counted groups, are hashed, and what falls into the test prompts'
share, or stands in the list of GenEval's own contents, is never trained on.
"""

from __future__ import annotations

import random
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from hashlib import blake2b
from importlib import resources

from glass_cli.embedded.world.objects import CLASSES, COLORS

RELATIONS = ("left of", "right of", "above", "below")
OPPOSITE = dict(zip(RELATIONS, ("right of", "left of", "below", "above"), strict=True))
MOST = 4  # objects a scene
TEST_SHARE = 16  # one pair of groups in so many is kept for test prompts

# How often training shows each kind of content; "compose" has two to four groups.
WEIGHTS = {
    "single_object": 0.05,
    "colors": 0.07,
    "counting": 0.12,
    "colored_count": 0.06,
    "two_object": 0.11,
    "color_attr": 0.14,
    "position": 0.16,
    "compose": 0.29,
}


@dataclass(frozen=True)
class Group:
    """Objects of one kind.

    name: their class.
    color: one of COLORS; None for the class's own.
    count: how many, 1 to 4.
    """

    name: str
    color: str | None = None
    count: int = 1

    @property
    def key(self) -> str:
        return self.name if self.color is None else f"{self.color} {self.name}"


@dataclass(frozen=True)
class Relation:
    """Every object of one group stands on one side of every object of another.

    subject: the number, from 0, of the group that stands there.
    word: "left of", "right of", "above" or "below".
    object: the number of the group that it is seen from.
    """

    subject: int
    word: str
    object: int


@dataclass(frozen=True)
class Content:
    """What a picture shows.

    groups: of different classes.
    relations: between them, at most one a pair.
    """

    groups: tuple[Group, ...]
    relations: tuple[Relation, ...] = ()

    @property
    def total(self) -> int:
        """Number of objects."""
        return sum(group.count for group in self.groups)

    @property
    def atoms(self) -> int:
        """What the prompt asks for, counted: objects, colours, counts above one, relations."""
        extras = sum((g.color is not None) + (g.count > 1) for g in self.groups)
        return len(self.groups) + extras + len(self.relations)


def keys(content: Content) -> Iterator[str]:
    """What identifies the content's combinations, whatever its wording.

    A pair of groups in either order gives one key, with the relation turned to suit; counts do not
    matter in a pair. A group by itself gives one where it is the whole content or has both a
    colour and a count.
    """
    relations = {(r.subject, r.object): r.word for r in content.relations}
    relations |= {(b, a): OPPOSITE[word] for (a, b), word in list(relations.items())}
    groups = content.groups
    for i, group in enumerate(groups):
        alone = len(groups) == 1 and (group.color is not None or group.count > 1)
        if alone or (group.color is not None and group.count > 1):
            yield f"{group.count} {group.key}"
        for j in range(i + 1, len(groups)):
            a, b = (i, j) if group.key < groups[j].key else (j, i)
            yield f"{groups[a].key}|{relations.get((a, b), 'and')}|{groups[b].key}"


def hashed(key: str) -> int:
    """32 bits of a key."""
    return int.from_bytes(blake2b(key.encode(), digest_size=4).digest(), "big")


@cache
def listed() -> frozenset[int]:
    """Hashes of the contents of GenEval's published prompts (arXiv 2310.11513)."""
    text = resources.files(__package__).joinpath("held_out.txt").read_text(encoding="utf-8")
    return frozenset(int(line, 16) for line in text.splitlines() if not line.startswith("#"))


def in_test_share(content: Content) -> bool:
    """Whether some pair of groups, or coloured counted group, is never shown in training.

    Contents of a single object, a colour or a count alone are left to :func:`listed`: there are
    too few of them to give any away by chance.
    """
    return any(
        hashed(key) % TEST_SHARE == 0
        for key in keys(content)
        if "|" in key or _counted_and_coloured(key)
    )


def _counted_and_coloured(key: str) -> bool:
    count, _, group = key.partition(" ")
    return count != "1" and group not in CLASSES


def held_out(content: Content) -> bool:
    """Whether the content must not be trained on."""
    return in_test_share(content) or any(hashed(key) in listed() for key in keys(content))


def _color(rng: random.Random, share: float) -> str | None:
    return rng.choice(tuple(COLORS)) if rng.random() < share else None


def _relations(rng: random.Random, number: int) -> tuple[Relation, ...]:
    """Relations of ``number`` groups in one of the forms that the grammar has words for."""
    first = Relation(0, rng.choice(RELATIONS), 1)
    if number == 2:
        return rng.choice(((), (first,), (first,)))
    if number == 3:
        second = Relation(0, rng.choice(RELATIONS), 2)
    else:
        second = Relation(2, rng.choice(RELATIONS), 3)
    return rng.choice(((), (first,), (first, second)))


def _counts(rng: random.Random, number: int) -> list[int]:
    """How many objects each group has: one each, and the rest of a random total shared out."""
    counts = [1] * number
    for _ in range(rng.randint(0, MOST - number)):
        counts[rng.randrange(number)] += 1
    return counts


def random_content(rng: random.Random, kind: str) -> Content:
    """A content of one of the kinds of WEIGHTS, test prompts' among them."""
    if kind in ("single_object", "colors", "counting", "colored_count"):
        count = rng.randint(2, MOST) if "count" in kind else 1
        color = _color(rng, 1.0 if kind.startswith("color") else 0.0)
        return Content((Group(rng.choice(CLASSES), color, count),))
    if kind == "compose":
        number = rng.choice((2, 2, 3, 3, 4))
        colored = rng.choice((0.3, 0.6, 1.0))
        names = rng.sample(CLASSES, number)
        counts = _counts(rng, number)
        groups = tuple(
            Group(name, _color(rng, colored), count)
            for name, count in zip(names, counts, strict=True)
        )
        return Content(groups, _relations(rng, number))
    first, second = rng.sample(CLASSES, 2)
    if kind == "color_attr":
        a, b = rng.sample(tuple(COLORS), 2)
        return Content((Group(first, a), Group(second, b)))
    colors = (None, _color(rng, 0.25)) if kind == "two_object" else (None, None)
    relation = (Relation(0, rng.choice(RELATIONS), 1),) if kind == "position" else ()
    return Content((Group(first, colors[0]), Group(second, colors[1])), relation)


def training_content(rng: random.Random, weights: Mapping[str, float] = WEIGHTS) -> Content:
    """A content that no test prompt has, of kinds as often as ``weights`` say."""
    kind = rng.choices(tuple(weights), tuple(weights.values()))[0]
    while True:
        content = random_content(rng, kind)
        if not held_out(content):
            return content
