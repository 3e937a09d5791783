"""The probabilities of a prompt's atoms, against the sum over everything that may be there."""

from __future__ import annotations

import itertools
import math
import random
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from glass_cli.detectors import atom_rules
from glass_cli.detectors.boxes import relations
from glass_cli.detectors.detections import Box, ObjectBelief

CLASSES, COLOURS = ("cat", "dog", "cup"), ("red", "blue", "")
Thing = tuple[str, str, Box]
ATOMS: list[dict[str, Any]] = [
    {"skill": "object", "class": "cat"},
    *({"skill": "count", "class": "cat", "count": n} for n in range(6)),
    {"skill": "attribute", "class": "cat", "color": "red"},
    {"skill": "attribute", "class": "dog", "color": "blue"},
    *(
        {"skill": "relation", "class": "cat", "relation": word, "to": "dog"}
        for word in ("left of", "right of", "above", "below")
    ),
]


def shares(names: tuple[str, ...], rng: random.Random) -> dict[str, float]:
    weights = [rng.random() ** 2 for _ in names]
    return {name: weight / sum(weights) for name, weight in zip(names, weights, strict=True)}


def random_objects(count: int, seed: int) -> list[ObjectBelief]:
    rng = random.Random(seed)
    found = []
    for _ in range(count):
        x, y = rng.uniform(0, 40), rng.uniform(0, 40)
        box = (x, y, x + 20, y + 20)
        found.append(ObjectBelief(rng.random(), shares(CLASSES, rng), shares(COLOURS, rng), box))
    return found


def worlds(objects: list[ObjectBelief]) -> Iterator[tuple[float, list[Thing]]]:
    """Every way in which the objects can be there, and its probability."""
    for states in itertools.product(
        [None, *itertools.product(CLASSES, COLOURS)], repeat=len(objects)
    ):
        chance, there = 1.0, []
        for one, state in zip(objects, states, strict=True):
            if state is None:
                chance *= 1.0 - one.presence
            else:
                chance *= one.presence * one.classes[state[0]] * one.colours[state[1]]
                there.append((*state, one.box))
        yield chance, there


def holds(atom: dict[str, Any], there: list[Thing]) -> bool:
    mine = [thing for thing in there if thing[0] == atom["class"]]
    if atom["skill"] == "object":
        return bool(mine)
    if atom["skill"] == "count":
        return len(mine) == atom["count"]
    if atom["skill"] == "attribute":
        return bool(mine) and all(thing[1] == atom["color"] for thing in mine)
    others = [thing for thing in there if thing[0] == atom["to"]]
    pairs = itertools.product(mine, others)
    right = all(atom["relation"] in relations(a[2], b[2]) for a, b in pairs)
    return bool(mine) and bool(others) and right


def summed(objects: list[ObjectBelief], event: Callable[[list[Thing]], bool]) -> float:
    return math.fsum(chance for chance, there in worlds(objects) if event(there))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("atom", ATOMS, ids=atom_rules.says)
def test_an_atoms_probability_is_summed_over_all_worlds(atom: dict[str, Any], seed: int) -> None:
    objects = random_objects(seed, seed)  # from none to three
    wanted = summed(objects, lambda there: holds(atom, there))
    assert atom_rules.probability(objects, atom) == pytest.approx(wanted, abs=1e-12)


@pytest.mark.parametrize("seed", range(3))
def test_extra_objects_are_summed_over_all_worlds(seed: int) -> None:
    objects = random_objects(3, seed)
    found = atom_rules.extras(objects, {"cat": 1, "dog": 2})

    def more(name: str, count: int) -> float:
        return summed(objects, lambda there: sum(t[0] == name for t in there) > count)

    assert found == pytest.approx(
        {
            "more than 1 cat": more("cat", 1),
            "more than 2 dog": more("dog", 2),
            "something else": summed(objects, lambda t: any(x[0] not in ("cat", "dog") for x in t)),
        },
        abs=1e-12,
    )


def test_relations_that_random_boxes_rarely_have() -> None:
    """Two cats stand right to one dog and wrong to another, each with a probability."""
    rng = random.Random(3)
    corners = [(0, 20), (4, 40), (40, 20), (2, 0)]
    boxes: list[Box] = [(x, y, x + 20, y + 20) for x, y in corners]
    objects = [ObjectBelief(0.9, shares(CLASSES, rng), {"": 1.0}, box) for box in boxes]
    for word in ("left of", "right of", "above", "below"):
        atom = {"skill": "relation", "class": "cat", "relation": word, "to": "dog"}
        wanted = 0.0
        for names in itertools.product([None, *CLASSES], repeat=len(objects)):
            chance, there = 1.0, []
            for one, name in zip(objects, names, strict=True):
                chance *= 0.1 if name is None else 0.9 * one.classes[name]
                there += [] if name is None else [(name, "", one.box)]
            wanted += chance * holds(atom, there)
        assert 1e-5 < wanted < 0.6
        assert atom_rules.probability(objects, atom) == pytest.approx(wanted, abs=1e-12)


def sure(name: str, colour: str, x: float, y: float) -> ObjectBelief:
    return ObjectBelief(1.0, {name: 1.0}, {colour: 1.0}, (x, y, x + 20, y + 20))


def test_what_is_certain_is_zero_or_one() -> None:
    objects = [sure("apple", "red", 0, 0), sure("apple", "red", 0, 40), sure("car", "", 40, 20)]
    true = [
        {"skill": "object", "class": "car"},
        {"skill": "count", "class": "apple", "count": 2},
        {"skill": "attribute", "class": "apple", "color": "red"},
        {"skill": "relation", "class": "apple", "relation": "left of", "to": "car"},
        {"skill": "relation", "class": "car", "relation": "right of", "to": "apple"},
    ]
    false = [
        {"skill": "object", "class": "dog"},
        {"skill": "count", "class": "apple", "count": 3},
        {"skill": "count", "class": "apple", "count": 1},
        {"skill": "attribute", "class": "car", "color": "red"},
        {"skill": "relation", "class": "apple", "relation": "above", "to": "car"},
        {"skill": "relation", "class": "apple", "relation": "left of", "to": "dog"},
    ]
    assert [atom_rules.probability(objects, atom) for atom in true] == [1.0] * len(true)
    assert [atom_rules.probability(objects, atom) for atom in false] == [0.0] * len(false)
    assert atom_rules.extras(objects, {"apple": 2, "car": 1}) == {
        "more than 2 apple": 0.0,
        "more than 1 car": 0.0,
        "something else": 0.0,
    }
    assert atom_rules.extras(objects, {"apple": 1}) == {
        "more than 1 apple": 1.0,
        "something else": 1.0,
    }


def test_one_of_several_that_stands_wrong_or_is_of_another_colour_fails() -> None:
    left, right = sure("cat", "red", 0, 20), sure("cat", "blue", 44, 20)
    dog = sure("dog", "", 22, 20)
    relation = {"skill": "relation", "class": "cat", "relation": "left of", "to": "dog"}
    colour = {"skill": "attribute", "class": "cat", "color": "red"}
    assert atom_rules.probability([left, dog], relation) == 1.0
    assert atom_rules.probability([left, right, dog], relation) == 0.0
    assert atom_rules.probability([left, dog], colour) == 1.0
    assert atom_rules.probability([left, right, dog], colour) == 0.0


def test_a_crowd_takes_no_longer_than_its_ten_likeliest_subjects() -> None:
    """Thirty objects; those beyond the limit are surely no cats, so the answer is exact."""
    cats = [ObjectBelief(0.5, {"cat": 1.0}, {"": 1.0}, (0, 0, 20, 20)) for _ in range(4)]
    dogs = [ObjectBelief(0.5, {"dog": 1.0}, {"": 1.0}, (40, 0, 60, 20)) for _ in range(26)]
    atom = {"skill": "relation", "class": "cat", "relation": "left of", "to": "dog"}
    wanted = (1 - 0.5**4) * (1 - 0.5**26)
    assert atom_rules.probability(dogs + cats, atom) == pytest.approx(wanted, abs=1e-12)
