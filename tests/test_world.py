"""The emoji world: prompts, scenes and twins."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from collections import Counter
from functools import partial
from itertools import combinations, product

import numpy as np
import pytest
from conftest import REPOSITORY

from glass_cli.embedded.world.drawn import DRAWN
from glass_cli.embedded.world.objects import (
    BACKGROUNDS,
    CLASSES,
    COLORS,
    EMBEDDED_CLASSES,
    EMOJI,
    english_plural,
    plural,
)
from glass_cli.embedded.world.scenes import (
    NUMBERS,
    RELATIONS,
    TASKS,
    Item,
    Scene,
    World,
    describe,
    make_scene,
    random_scene,
    relations,
)
from glass_cli.embedded.world.twins import OPPOSITE, twin

GENEVAL = REPOSITORY.parent / "shared" / "geneval"
needs_geneval = pytest.mark.skipif(
    not GENEVAL.is_dir(), reason="GenEval's prompt list is not beside the repository"
)
OPENINGS = ("a photo of ", "a picture of ", "an image of ", "")
WORLDS = {"all": World(), "embedded": World(classes=EMBEDDED_CLASSES)}
each_world = pytest.mark.parametrize("world", WORLDS.values(), ids=WORLDS)


def some_scenes(world: World, count: int) -> list[Scene]:
    rng = random.Random(7)
    return [random_scene(world, rng) for _ in range(count)]


def content(scene: Scene) -> list[tuple[str, str | None]]:
    return [(item.name, item.color) for item in scene.items]


def assert_well_placed(world: World, scene: Scene) -> None:
    for item in scene.items:
        assert item.size in (world.large, world.small)
        for corner in (item.x, item.y):
            assert corner % world.grid == 0
            assert 0 <= corner <= world.image_size - item.size
    for a, b in combinations(scene.items, 2):
        across = min(a.x + a.size, b.x + b.size) - max(a.x, b.x)
        down = min(a.y + a.size, b.y + b.size) - max(a.y, b.y)
        assert min(across, down) <= 0
    if scene.relation is not None:
        assert scene.relation in relations(scene.items[1], scene.items[0])
    assert 0 <= scene.background < len(BACKGROUNDS)


@needs_geneval
def test_classes_are_genevals() -> None:
    assert list(CLASSES) == (GENEVAL / "object_names.txt").read_text().split("\n")[:80]
    assert set(EMBEDDED_CLASSES) < set(CLASSES)
    assert list(EMBEDDED_CLASSES) == sorted(EMBEDDED_CLASSES, key=CLASSES.index)
    assert set(DRAWN) == {name for name, char in EMOJI.items() if char is None}


@needs_geneval
def test_every_geneval_prompt_is_described() -> None:
    lines = (GENEVAL / "evaluation_metadata.jsonl").read_text().splitlines()
    tasks: Counter[str] = Counter()
    for record in map(json.loads, lines):
        items = [
            Item(clause["class"], clause.get("color"), 0, 0, 24)
            for clause in record["include"]
            for _ in range(clause["count"])
        ]
        relation, of = record["include"][-1].get("position", (None, 0))
        assert of == 0
        assert describe(record["tag"], items, relation, "a photo of") == record["prompt"]
        tasks[record["tag"]] += 1
    assert sum(tasks.values()) == 553
    assert set(tasks) == set(TASKS)


@pytest.mark.parametrize(
    ("task", "names", "colors", "relation", "opening", "prompt"),
    [
        ("single_object", ["apple"], [None], None, "a photo of", "a photo of an apple"),
        ("single_object", ["zebra"], [None], None, "", "a zebra"),
        ("two_object", ["cat", "orange"], [None] * 2, None, "", "a cat and an orange"),
        ("two_object", ["cat", "dog"], [None, "orange"], None, "", "a cat and an orange dog"),
        ("counting", ["bus"] * 3, [None] * 3, None, "an image of", "an image of three buses"),
        ("colors", ["apple"], ["red"], None, "a picture of", "a picture of a red apple"),
        ("position", ["oven", "cup"], [None] * 2, "below", "", "a cup below an oven"),
        ("color_attr", ["car", "egg"], ["red", "blue"], None, "", "a red car and a blue egg"),
    ],
)
def test_wording(
    task: str,
    names: list[str],
    colors: list[str | None],
    relation: str | None,
    opening: str,
    prompt: str,
) -> None:
    items = [Item(name, color, 0, 0, 24) for name, color in zip(names, colors, strict=True)]
    assert describe(task, items, relation, opening) == prompt


def test_plurals() -> None:
    spelt = {"person": "persons", "bench": "benchs", "knife": "knifes", "bus": "buses"}
    assert {name: plural(name) for name in spelt} == spelt
    assert plural("skis") == english_plural("skis") == "skis"
    assert plural("scissors") == english_plural("scissors") == "scissors"
    proper = {"person": "people", "bench": "benches", "wine glass": "wine glasses", "cat": "cats"}
    assert {name: english_plural(name) for name in proper} == proper
    assert len(set(map(plural, CLASSES))) == len(CLASSES)


def rule(a: Item, b: Item) -> set[str]:
    """The position rule of GenEval's protocol, written from its text."""
    size_a, size_b = np.array([a.size, a.size]), np.array([b.size, b.size])
    offset = np.array([a.x, a.y]) + size_a / 2 - np.array([b.x, b.y]) - size_b / 2
    shrunk = np.maximum(np.abs(offset) - 0.1 * (size_a + size_b), 0) * np.sign(offset)
    if (np.abs(shrunk) < 1e-3).all():
        return set()
    dx, dy = shrunk / np.linalg.norm(offset)
    held = {"left of": dx < -0.5, "right of": dx > 0.5, "above": dy < -0.5, "below": dy > 0.5}
    return {name for name, holds in held.items() if holds}


def test_relations_follow_the_rule() -> None:
    seen: Counter[frozenset[str]] = Counter()
    for size_a, size_b in product((10, 24, 32), repeat=2):
        b = Item("cat", None, 40, 40, size_b)
        for x, y in product(range(0, 81, 2), repeat=2):
            a = Item("dog", None, x, y, size_a)
            assert relations(a, b) == rule(a, b), (a, b)
            seen[frozenset(relations(a, b))] += 1
            assert relations(b, a) == {OPPOSITE[name] for name in relations(a, b)}
    # none, each alone, and the four corners
    assert len(seen) == 9


@pytest.mark.parametrize(
    ("x", "y", "held"),
    [
        (0, 0, set()),  # one upon the other
        (2, 2, set()),  # the shrunk offset is 0 exactly
        (4, 0, set()),  # exactly a half
        (5, 0, {"right of"}),
        (-5, 0, {"left of"}),
        (0, 5, {"below"}),
        (0, -5, {"above"}),
        (20, -20, {"right of", "above"}),
        (4, 3, set()),  # (4 - 2) / 5 and (3 - 2) / 5: too close to say
    ],
)
def test_relations_at_ties(x: int, y: int, held: set[str]) -> None:
    a, b = Item("cat", None, x, y, 10), Item("dog", None, 0, 0, 10)
    assert relations(a, b) == rule(a, b) == held


@each_world
def test_random_scenes(world: World) -> None:
    tasks: Counter[str] = Counter()
    openings: Counter[str] = Counter()
    for scene in some_scenes(world, 3000):
        tasks[scene.task] += 1
        assert_well_placed(world, scene)
        names = [item.name for item in scene.items]
        colors = [item.color for item in scene.items]
        assert set(names) <= set(world.classes)
        assert set(colors) <= {None, *COLORS}
        if scene.task == "counting":
            assert len(names) in (2, 3, 4)
            assert len(set(names)) == 1
            assert set(colors) == {None}
        else:
            pair = scene.task in ("two_object", "position", "color_attr")
            assert len(set(names)) == len(names) == (2 if pair else 1)
        if scene.task in ("colors", "color_attr"):
            assert None not in colors
            assert len(set(colors)) == len(colors)
        assert (scene.relation is not None) == (scene.task == "position")
        opening = next(o for o in OPENINGS if scene.prompt.startswith(o))
        openings[opening] += 1
        words = describe(scene.task, scene.items, scene.relation, "")
        allowed = {opening + words}
        if scene.task == "counting":
            number = NUMBERS[len(names) - 1]
            allowed.add(f"{opening}{number} {english_plural(names[0])}")
        assert scene.prompt in allowed
    assert set(tasks) == set(TASKS)
    assert set(openings) == set(OPENINGS)


def test_scenes_are_made_again_in_another_process() -> None:
    program = (
        "import random; from glass_cli.embedded.world.scenes import *; rng = random.Random('3/7');"
        "print([random_scene(World(), rng) for _ in range(20)])"
    )
    rng = random.Random("3/7")
    here = [random_scene(World(), rng) for _ in range(20)]
    found = subprocess.run(
        [sys.executable, "-c", program], cwd=REPOSITORY, capture_output=True, text=True, check=True
    )
    assert found.stdout.strip() == repr(here)


def test_relation_of_a_made_scene_holds() -> None:
    rng = random.Random(0)
    for relation in RELATIONS * 20:
        scene = make_scene(World(), "position", ["cat", "dog"], [None, None], rng, relation)
        assert relation in relations(scene.items[1], scene.items[0])
        assert scene.prompt == f"a photo of a dog {relation} a cat"


@each_world
def test_twins_differ_in_what_they_name(world: World) -> None:
    rng = random.Random(1)
    respects: Counter[str] = Counter()
    for scene in some_scenes(world, 3000):
        respect, other = twin(world, scene, rng)
        respects[respect] += 1
        assert_well_placed(world, other)
        assert other.task == scene.task
        words = partial(describe, scene.task, opening="")
        old = words(scene.items, relation=scene.relation)
        new = words(other.items, relation=other.relation)
        assert other.prompt == f"a photo of {new}"
        assert new != old
        a, b = content(scene), content(other)
        names = [[name for name, _ in side] for side in (a, b)]
        colors = [[color for _, color in side] for side in (a, b)]
        if respect == "count":
            assert set(a) == set(b)
            assert abs(len(a) - len(b)) == 1
            continue
        changed = [i for i, (x, y) in enumerate(zip(a, b, strict=True)) if x != y]
        if respect == "side":
            assert not changed
            assert scene.relation is not None
            assert other.relation == OPPOSITE[scene.relation]
            assert scene.relation not in relations(other.items[1], other.items[0])
            continue
        assert other.relation == scene.relation
        if respect == "colors swapped":
            assert names[0] == names[1]
            assert colors[0] == colors[1][::-1] != colors[1]
            continue
        assert len(changed) == 1
        (i,) = changed
        if respect == "color":
            assert a[i][0] == b[i][0]
            assert None not in (a[i][1], b[i][1])
        else:
            assert respect == "class"
            assert a[i][1] == b[i][1]
            assert b[i][0] not in names[0]
    assert set(respects) == {"count", "side", "colors swapped", "color", "class"}
