"""Compose: its list of prompts, and the embedded detector's judgement of their atoms."""

from __future__ import annotations

import json
import random
from collections import Counter
from collections.abc import Mapping
from importlib import resources
from typing import Any

import pytest
import torch
from torch import Tensor

from glass_cli.benchmarks.compose import NAME, Compose, LoadedCompose
from glass_cli.benchmarks.compose_prompts import content_of, prompts, record_of, shapes
from glass_cli.common.errors import GlassError
from glass_cli.detectors import atom_rules
from glass_cli.detectors.embedded_detector import EmbeddedDetector
from glass_cli.embedded.train.data import pictures
from glass_cli.embedded.world.content import Content, Group, Relation, held_out
from glass_cli.embedded.world.grammar import describe
from glass_cli.embedded.world.layout import possible
from glass_cli.embedded.world.objects import CLASSES
from glass_cli.embedded.world.render import FONT
from glass_cli.embedded.world.scene import place

needs_font = pytest.mark.skipif(not FONT.exists(), reason="fonts-noto-color-emoji is missing")


class KnowsAll(EmbeddedDetector):
    """A detector's settings whose classes are the whole world's, whatever the shipped one knows."""

    classes = CLASSES


class KnowsFew(EmbeddedDetector):
    classes = CLASSES[:12]


@pytest.fixture(scope="module")
def listed() -> list[dict[str, Any]]:
    return Compose(embedded=KnowsAll()).records()


@pytest.fixture(scope="module")
def judge() -> LoadedCompose:
    return Compose().load(torch.device("cpu"), torch.float32)


def content_in(record: Mapping[str, Any]) -> Content:
    """The content that a record's atoms tell of."""
    colours = {a["class"]: a["color"] for a in record["atoms"] if a["skill"] == "attribute"}
    counts = {a["class"]: a["count"] for a in record["atoms"] if a["skill"] == "count"}
    names = [a["class"] for a in record["atoms"] if a["skill"] == "object"]
    related = [a for a in record["atoms"] if a["skill"] == "relation"]
    return Content(
        tuple(Group(name, colours.get(name), counts.get(name, 1)) for name in names),
        tuple(
            Relation(names.index(a["class"]), a["relation"], names.index(a["to"])) for a in related
        ),
    )


def test_the_list_is_what_its_maker_makes(listed: list[dict[str, Any]]) -> None:
    assert listed == list(prompts())
    lines = resources.files("glass_cli.benchmarks").joinpath(NAME).read_text().splitlines()
    assert lines == [json.dumps(record) for record in listed]


def test_forty_prompts_of_each_number_of_atoms(listed: list[dict[str, Any]]) -> None:
    assert Counter(len(r["atoms"]) for r in listed) == dict.fromkeys(range(2, 9), 40)
    assert len({record["prompt"] for record in listed}) == 280
    assert Compose(embedded=KnowsAll()).title == "compose (embedded detector)"


def test_atoms_say_what_the_prompt_says(listed: list[dict[str, Any]]) -> None:
    for record in listed:
        content = content_in(record)
        assert describe(content) == record["prompt"]
        assert content.atoms == len(record["atoms"])
        assert record["objects"] == {group.name: group.count for group in content.groups}


def test_no_content_is_trained_on_and_each_can_be_shown(listed: list[dict[str, Any]]) -> None:
    for record in listed:
        content = content_in(record)
        assert held_out(content) and possible(content)


def test_every_skill_at_every_number_of_atoms(listed: list[dict[str, Any]]) -> None:
    for number in range(2, 9):
        skills = Counter(
            atom["skill"] for r in listed if len(r["atoms"]) == number for atom in r["atoms"]
        )
        wanted = atom_rules.SKILLS if number > 2 else atom_rules.SKILLS[:3]
        assert all(skills[skill] >= 8 for skill in wanted)


def test_shapes_are_all_that_fit() -> None:
    assert [tuple(shape) for shape in shapes(2)] == [(1, 0, 1, 0), (1, 1, 0, 0), (2, 0, 0, 0)]
    assert [tuple(shape) for shape in shapes(8)] == [
        (3, 2, 1, 2),
        (3, 3, 0, 2),
        (3, 3, 1, 1),
        (4, 2, 0, 2),
        (4, 3, 0, 1),
        (4, 4, 0, 0),
    ]


def test_a_limit_takes_the_numbers_of_atoms_in_turn(listed: list[dict[str, Any]]) -> None:
    some = Compose(limit=16, embedded=KnowsAll()).records()
    assert [len(record["atoms"]) for record in some] == [*range(2, 9), *range(2, 9), 2, 3]
    assert all(record in listed for record in some)
    few = Compose(atoms=(3, 4), limit=5, embedded=KnowsAll()).records()
    assert [len(record["atoms"]) for record in few] == [3, 4, 3, 4, 3]


def test_a_detector_judges_the_classes_that_it_knows() -> None:
    few = Compose(embedded=KnowsFew())
    assert few.records() and all({*r["objects"]} <= {*CLASSES[:12]} for r in few.records())
    assert few.title == f"compose (embedded detector, {len(few.records())} of 280 prompts)"
    with pytest.raises(GlassError, match="knows the classes of none of the 40 prompts of 8 to 8"):
        Compose(atoms=(8, 8), embedded=KnowsFew()).records()


@pytest.mark.parametrize("atoms", [(1, 8), (2, 9), (5, 4)])
def test_atoms_that_no_prompt_has(atoms: tuple[int, int]) -> None:
    with pytest.raises(ValueError, match="two numbers from 2 to 8"):
        Compose(atoms=atoms)


def drawn(content: Content, rng: random.Random) -> Tensor:
    return (pictures([place(content, rng, "")]) / 2 + 0.5)[0]


def random_contents(count: int, seed: int) -> list[Content]:
    """Contents of three atoms and more, of the classes that the shipped detector knows."""
    rng, classes = random.Random(seed), EmbeddedDetector().classes
    found: list[Content] = []
    while len(found) < count:
        content = content_of(rng.choice(shapes(rng.randint(3, 8))), rng, classes)
        found += [content] if possible(content) else []
    return found


@needs_font
def test_scenes_that_show_their_prompt_are_correct(judge: LoadedCompose) -> None:
    rng = random.Random(1)
    judged = [judge.judge(drawn(c, rng), record_of(c)) for c in random_contents(60, 0)]
    assert sum(one["correct"] and one["correct, nothing else"] for one in judged) >= 57
    assert sum(one["geometric mean"] for one in judged) / len(judged) > 0.95


@needs_font
def test_an_atom_that_is_wrong_is_the_one_that_fails(judge: LoadedCompose) -> None:
    rng, classes = random.Random(2), EmbeddedDetector().classes
    a, b, c = classes[0], classes[1], classes[2]
    shown = Content((Group(a, "red", 2), Group(b, "blue")), (Relation(0, "left of", 1),))
    wrong = {
        "count": Content((Group(a, "red", 3), Group(b, "blue")), shown.relations),
        "attribute": Content((Group(a, "yellow", 2), Group(b, "blue")), shown.relations),
        "relation": Content(shown.groups, (Relation(0, "right of", 1),)),
        "object": Content((*shown.groups, Group(c)), shown.relations),
    }
    for skill, other in wrong.items():
        failed = Counter[str]()
        for _ in range(10):
            judged = judge.judge(drawn(shown, rng), record_of(other))
            assert not judged["correct"]
            failed.update(atom["skill"] for atom in judged["atoms"] if atom["probability"] < 0.5)
        assert failed[skill] == 10 and failed.total() <= 11


@needs_font
def test_an_object_that_was_not_asked_for_is_told(judge: LoadedCompose) -> None:
    rng, classes = random.Random(3), EmbeddedDetector().classes
    a, b, c = classes[3], classes[4], classes[5]
    asked = record_of(Content((Group(a, "red"), Group(b))))
    for shown, extra in (
        (Content((Group(a, "red", 2), Group(b))), f"more than 1 {a}"),
        (Content((Group(a, "red"), Group(b), Group(c))), "something else"),
    ):
        judged = [judge.judge(drawn(shown, rng), asked) for _ in range(10)]
        assert sum(one["correct"] for one in judged) >= 9
        assert not any(one["correct, nothing else"] for one in judged)
        assert all(one["extra"][extra] > 0.5 for one in judged)
    judged = [judge.judge(drawn(content_in(asked), rng), asked) for _ in range(10)]
    assert sum(one["correct, nothing else"] for one in judged) >= 9
