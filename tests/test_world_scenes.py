"""The emoji world's layouts, scenes and hard negatives."""

from __future__ import annotations

import random
import subprocess
import sys
from collections import Counter
from itertools import combinations, product

import numpy as np
import pytest
from conftest import REPOSITORY

from glass_cli.embedded.world.content import (
    MOST,
    OPPOSITE,
    RELATIONS,
    Content,
    Group,
    Relation,
    training_content,
)
from glass_cli.embedded.world.grammar import OPENINGS, describe, random_prompt
from glass_cli.embedded.world.layout import (
    GRID,
    LARGE,
    SIDE,
    SMALL,
    holds,
    members,
    placements,
    possible,
    random_layout,
    stands,
)
from glass_cli.embedded.world.negatives import RESPECTS, negative, random_negative
from glass_cli.embedded.world.objects import BACKGROUNDS, CLASSES
from glass_cli.embedded.world.scene import Scene, training_scenes


def rule(a: np.ndarray, b: np.ndarray, size: int) -> set[str]:
    """The position rule of GenEval's protocol for boxes of one size, written from its text."""
    offset = (a - b).astype(float)
    shrunk = np.maximum(np.abs(offset) - 0.1 * (size + size), 0) * np.sign(offset)
    if (np.abs(shrunk) < 1e-3).all():
        return set()
    dx, dy = shrunk / np.linalg.norm(offset)
    held = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
    return {name for name, holds in held.items() if holds}


@pytest.mark.parametrize("size", [SMALL, LARGE])
def test_relations_follow_the_rule(size: int) -> None:
    line = np.arange(-SIDE, SIDE + 1, 4)
    seen: Counter[frozenset[str]] = Counter()
    for x, y in product(line, line):
        dx, dy = np.array([float(x)]), np.array([float(y)])
        found = {word for word in RELATIONS if stands(dx, dy, size, word)[0]}
        assert found == rule(np.array([x, y]), np.zeros(2), size), (x, y)
        seen[frozenset(found)] += 1
    assert len(seen) == 9  # none, each alone, and the four corners


@pytest.mark.parametrize(("number", "size"), [(1, LARGE), (2, LARGE), (3, SMALL), (4, SMALL)])
def test_placements_are_all_that_fit(number: int, size: int) -> None:
    found = placements(number, size)
    places = list(product(range(0, SIDE - size + 1, GRID), repeat=2))
    if number <= 2:
        right = [
            chosen
            for chosen in product(places, repeat=number)
            if all(
                max(abs(a - c), abs(b - d)) >= size for (a, b), (c, d) in combinations(chosen, 2)
            )
        ]
        assert {tuple(map(tuple, way)) for way in found.tolist()} == set(right)
    assert len({way.tobytes() for way in found}) == len(found) > 0
    assert (found % GRID == 0).all() and found.min() == 0 and found.max() <= SIDE - size
    for i, j in combinations(range(number), 2):
        assert (np.abs(found[:, i] - found[:, j]).max(-1) >= size).all()


def assert_shows(scene: Scene) -> None:
    groups = scene.content.groups
    wanted = [(g.name, g.color) for g in groups for _ in range(g.count)]
    assert [(item.name, item.color) for item in scene.items] == wanted
    assert len({item.size for item in scene.items}) == 1
    for a, b in combinations(scene.items, 2):
        assert max(abs(a.x - b.x), abs(a.y - b.y)) >= a.size
    who = members(scene.content)
    for relation in scene.content.relations:
        for i, j in product(who[relation.subject], who[relation.object]):
            corners = [np.array([scene.items[k].x, scene.items[k].y]) for k in (i, j)]
            assert relation.word in rule(*corners, scene.items[i].size)
    assert 0 <= scene.background < len(BACKGROUNDS)


def test_training_scenes_show_their_prompts() -> None:
    rng = random.Random(7)
    kinds: Counter[int] = Counter()
    openings: Counter[str] = Counter()
    for _ in range(500):
        first, second = training_scenes(rng, 2)
        assert first.prompt == second.prompt and first.content == second.content
        assert_shows(first)
        assert_shows(second)
        opening = next(o for o in OPENINGS if first.prompt.startswith(o))
        openings[opening] += 1
        assert first.prompt in (
            describe(first.content, opening),
            describe(first.content, opening, english=True),
        )
        kinds[len(first.content.groups)] += 1
    assert set(kinds) == {1, 2, 3, 4} and set(openings) == set(OPENINGS)


def test_impossible_contents_are_told() -> None:
    line = Content(
        tuple(Group(name) for name in CLASSES[:3]),
        (Relation(0, "left of", 1), Relation(0, "right of", 2)),
    )
    assert not possible(line)  # the first between the others: 72 pixels
    with pytest.raises(ValueError, match="no layout"):
        random_layout(line, random.Random(0))
    pair = Content(line.groups[:2], line.relations[:1])
    assert possible(pair)
    every = placements(2, SMALL)
    assert 0 < holds(pair, every, SMALL).sum() < len(every)


def test_scenes_are_made_again_in_another_process() -> None:
    program = (
        "import random; from glass_cli.embedded.world.scene import training_scenes;"
        "rng = random.Random('3/7'); print([training_scenes(rng)[0] for _ in range(20)])"
    )
    rng = random.Random("3/7")
    here = [training_scenes(rng)[0] for _ in range(20)]
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == repr(here)


def test_negatives_differ_in_what_they_name() -> None:
    rng = random.Random(1)
    seen: Counter[str] = Counter()
    for _ in range(2000):
        content = training_content(rng)
        respect, other = random_negative(content, rng)
        seen[respect] += 1
        assert other != content and possible(other) and other.total <= MOST
        random_prompt(other, rng)  # there are words for it
        old, new = ([(g.name, g.color, g.count) for g in c.groups] for c in (content, other))
        if respect == "extra object":
            assert other.total == content.total + 1
        elif respect == "missing object":
            assert len(new) == len(old) - 1 and set(new) < set(old)
        elif respect == "side":
            assert new == old
            changed = [
                (a.word, b.word)
                for a, b in zip(content.relations, other.relations, strict=True)
                if a != b
            ]
            assert len(changed) == 1 and OPPOSITE[changed[0][0]] == changed[0][1]
        else:
            assert content.relations == other.relations
            changed_groups = [(a, b) for a, b in zip(old, new, strict=True) if a != b]
            assert len(changed_groups) == (2 if respect == "colors swapped" else 1)
            part = {"class": 0, "color": 1, "colors swapped": 1, "count": 2}[respect]
            for a, b in changed_groups:
                assert [i for i in range(3) if a[i] != b[i]] == [part]
            if respect == "colors swapped":
                (a, b), (c, d) = changed_groups
                assert (a[1], c[1]) == (d[1], b[1])
            if respect == "count":
                assert abs(changed_groups[0][0][2] - changed_groups[0][1][2]) == 1
    assert set(seen) == set(RESPECTS) and min(seen.values()) > 30


def test_what_cannot_be_wrong_has_no_such_negative() -> None:
    rng = random.Random(0)
    single = Content((Group("cat"),))
    assert [r for r in RESPECTS if negative(single, r, rng)] == ["class", "extra object"]
    with pytest.raises(ValueError, match="no negative in side"):
        random_negative(single, rng, ["side"])
