"""The emoji world: classes, contents, prompts."""

from __future__ import annotations

import json
import random

import numpy as np
import pytest
from conftest import REPOSITORY

from glass_cli.embedded.world.content import (
    MOST,
    OPPOSITE,
    WEIGHTS,
    Content,
    Group,
    Relation,
    held_out,
    in_test_share,
    random_content,
    training_content,
)
from glass_cli.embedded.world.drawn import DRAWN
from glass_cli.embedded.world.grammar import describe
from glass_cli.embedded.world.objects import (
    CLASSES,
    COLORS,
    EMBEDDED_CLASSES,
    EMOJI,
    english_plural,
    plural,
)

GENEVAL = REPOSITORY.parent / "shared" / "geneval"
needs_geneval = pytest.mark.skipif(
    not GENEVAL.is_dir(), reason="GenEval's prompt list is not beside the repository"
)


def content_of(record: dict[str, object]) -> Content:
    """What a record of GenEval's list asks for; the first of two clauses is the object there."""
    include: list[dict[str, object]] = record["include"]  # type: ignore[assignment]
    groups = [Group(c["class"], c.get("color"), c["count"]) for c in include]  # type: ignore[arg-type]
    position = include[-1].get("position")
    if not position:
        return Content(tuple(groups))
    return Content((groups[1], groups[0]), (Relation(0, position[0], 1),))  # type: ignore[index]


def geneval_records() -> list[dict[str, object]]:
    lines = (GENEVAL / "evaluation_metadata.jsonl").read_text().splitlines()
    return [json.loads(line) for line in lines]


@needs_geneval
def test_classes_are_genevals() -> None:
    assert list(CLASSES) == (GENEVAL / "object_names.txt").read_text().split("\n")[:80]
    assert set(EMBEDDED_CLASSES) < set(CLASSES)
    assert set(DRAWN) == {name for name, char in EMOJI.items() if char is None}


@needs_geneval
def test_every_geneval_prompt_is_described_and_held_out() -> None:
    records = geneval_records()
    assert len(records) == 553
    for record in records:
        content = content_of(record)
        assert describe(content) == record["prompt"]
        # of a single object there are no two contents to choose from
        assert held_out(content) == (record["tag"] != "single_object"), record["prompt"]


@pytest.mark.parametrize(
    ("groups", "relations", "prompt"),
    [
        ([("apple", None, 1)], [], "a photo of an apple"),
        ([("bus", None, 3)], [], "a photo of three buses"),
        ([("bench", "red", 2)], [], "a photo of two red benchs"),
        ([("cat", None, 1), ("dog", "orange", 1)], [], "a photo of a cat and an orange dog"),
        ([("cat", None, 1), ("dog", None, 1), ("cup", "blue", 2)], [],
         "a photo of a cat, a dog and two blue cups"),
        ([("apple", "red", 2), ("car", "blue", 1)], [(0, "left of", 1)],
         "a photo of two red apples left of a blue car"),
        ([("dog", "green", 1), ("cat", None, 1), ("cup", "purple", 1)], [(0, "above", 1)],
         "a photo of a green dog above a cat and a purple cup"),
        ([("dog", None, 1), ("cat", None, 1), ("cup", None, 1)],
         [(0, "above", 1), (0, "left of", 2)], "a photo of a dog above a cat and left of a cup"),
        ([("dog", None, 1), ("cat", None, 1), ("cup", None, 1), ("car", None, 1)],
         [(0, "above", 1), (2, "below", 3)],
         "a photo of a dog above a cat and a cup below a car"),
    ],
)  # fmt: skip
def test_wording(
    groups: list[tuple[str, str | None, int]],
    relations: list[tuple[int, str, int]],
    prompt: str,
) -> None:
    content = Content(tuple(Group(*g) for g in groups), tuple(Relation(*r) for r in relations))
    assert describe(content) == prompt
    words = sum(1 + (color is not None) + (count > 1) for _, color, count in groups)
    assert content.atoms == words + len(relations)
    assert content.total == sum(count for _, _, count in groups)


def test_plurals() -> None:
    spelt = {"person": "persons", "bench": "benchs", "knife": "knifes", "bus": "buses"}
    assert {name: plural(name) for name in spelt} == spelt
    assert plural("skis") == english_plural("skis") == "skis"
    proper = {"person": "people", "bench": "benches", "wine glass": "wine glasses", "cat": "cats"}
    assert {name: english_plural(name) for name in proper} == proper
    assert len(set(map(plural, CLASSES))) == len(CLASSES)


def test_training_never_shows_what_tests_ask_for() -> None:
    """Whatever the wording, the order of groups or the side that a relation is told from."""
    rng = random.Random(3)
    shown = [training_content(rng) for _ in range(3000)]
    assert not any(map(held_out, shown))
    assert not any(map(in_test_share, shown))
    turned = 0
    for content in shown:
        if len(content.groups) == 2 and content.relations:
            (relation,) = content.relations
            back = Relation(0, OPPOSITE[relation.word], 1)
            turned += 1
            assert not held_out(Content(content.groups[::-1], (back,)))
    assert turned > 300
    # one pair in sixteen is kept, within four standard errors
    pairs = [random_content(rng, "color_attr") for _ in range(4000)]
    kept = np.mean([in_test_share(content) for content in pairs])
    assert kept == pytest.approx(1 / 16, abs=4 * np.sqrt(15 / 256 / 4000))


@pytest.mark.parametrize("kind", WEIGHTS)
def test_contents_of_each_kind(kind: str) -> None:
    rng = random.Random(1)
    for _ in range(300):
        content = random_content(rng, kind)
        names = [group.name for group in content.groups]
        assert len(set(names)) == len(names) and set(names) <= set(CLASSES)
        assert {g.color for g in content.groups} <= {None, *COLORS}
        assert all(g.count >= 1 for g in content.groups) and content.total <= MOST
        assert bool(content.relations) <= (kind in ("position", "compose"))
        if kind in ("colors", "color_attr", "colored_count"):
            assert all(g.color for g in content.groups)
        if "count" in kind:
            assert len(names) == 1 and content.total >= 2
