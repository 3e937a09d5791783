"""What the embedded rewards are trained on, and by: atoms, pictures that show them, the loss."""

from __future__ import annotations

import math
import random
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import CLIPTokenizer

from glass_cli.common.hub import EMBEDDED
from glass_cli.embedded.train import codec, imagereward, preferences, ranking, text
from glass_cli.embedded.train.atoms import Atom, atoms, held, places
from glass_cli.embedded.train.helpers import CellHead, ContentHead, things_of
from glass_cli.embedded.train.imperfect import COLOURS
from glass_cli.embedded.train.preferences import UNSURE, ranking_loss, show, training_group
from glass_cli.embedded.world.content import Content, Group, Relation, held_out, training_content
from glass_cli.embedded.world.grammar import describe, random_prompt
from glass_cli.embedded.world.negatives import RESPECTS, negative
from glass_cli.embedded.world.objects import CLASSES
from glass_cli.embedded.world.render import FONT, render
from glass_cli.embedded.world.scene import Item, Scene, place, training_scenes
from glass_cli.rewards.base import LoadedReward
from glass_cli.rewards.imagereward import split

needs_font = pytest.mark.skipif(not FONT.exists(), reason="fonts-noto-color-emoji is missing")
CONTENT = Content((Group("dog", "red", 2), Group("cat")), (Relation(0, "left of", 1),))
DOGS = (Item("dog", "red", 0, 0, 24), Item("dog", "red", 0, 32, 24))
CAT = Item("cat", None, 40, 16, 24)


def test_atoms_of_a_content() -> None:
    kinds = [("object", 0), ("color", 0), ("count", 0), ("object", 1), ("relation", 0)]
    assert atoms(CONTENT) == [Atom(*pair) for pair in kinds]
    assert held(CONTENT, (*DOGS, CAT)) == [True] * 6


@pytest.mark.parametrize(
    ("items", "wrong"),
    [
        ((*DOGS, replace(CAT, name="cup")), {"cat", "left of", "alone"}),
        ((*DOGS, replace(CAT, color="blue")), set()),  # no colour of the cat is asked for
        ((DOGS[0], replace(DOGS[1], color=None), CAT), {"red"}),
        ((DOGS[0], CAT), {"two"}),
        ((*DOGS, replace(DOGS[0], y=16), CAT), {"two", "alone"}),
        ((*DOGS, CAT, Item("cup", None, 40, 40, 24)), {"alone"}),
        ((*DOGS, CAT, replace(CAT, y=40)), {"alone"}),
        ((DOGS[0], replace(DOGS[1], x=40, y=40), CAT), {"left of"}),
        ((CAT,), {"dog", "red", "two", "left of"}),
        ((), {"dog", "red", "two", "cat", "left of"}),
    ],
)
def test_atoms_that_fail(items: tuple[Item, ...], wrong: set[str]) -> None:
    names = ["dog", "red", "two", "cat", "left of", "alone"]
    found = {name for name, holds in zip(names, held(CONTENT, items), strict=True) if not holds}
    assert found == wrong


def test_a_scene_shows_its_own_content_and_a_negative_fails_it() -> None:
    rng = random.Random(0)
    failed: Counter[str] = Counter()
    for _ in range(300):
        (scene,) = training_scenes(rng)
        assert all(held(scene.content, scene.items))
        for respect in RESPECTS:
            other = negative(scene.content, respect, rng)
            if other is not None:
                assert not all(held(scene.content, place(other, rng, "").items)), respect
                failed[respect] += 1
    assert min(failed.values()) > 30 and set(failed) == set(RESPECTS)


def test_places_are_where_the_prompt_says_it() -> None:
    prompt = "a photo of two red dogs left of a cat"
    said = ["dogs", "red", "two", "cat", "left"]
    assert [prompt[at:].split()[0] for at in places(CONTENT, prompt)] == said
    rng = random.Random(1)
    for _ in range(1000):
        content = training_content(rng)
        words = random_prompt(content, rng)
        for atom, at in zip(atoms(content), places(content, words), strict=True):
            word = words[at:].replace(",", " ").split()[0]
            assert at == 0 or words[at - 1] == " "
            if atom.kind == "relation":
                assert content.relations[atom.place].word.startswith(word)
            elif atom.kind == "color":
                assert word == content.groups[atom.place].color
            elif atom.kind == "count":
                assert word == ("two", "three", "four")[content.groups[atom.place].count - 2]
            else:
                # the first letters, which plurals keep
                assert word[:2] == content.groups[atom.place].name.split()[-1][:2]
    with pytest.raises(ValueError, match="is no prompt of"):
        places(CONTENT, "a photo of a dog")


@needs_font
def test_an_undamaged_picture_is_the_renderers() -> None:
    rng = random.Random(2)
    for _ in range(20):
        (scene,) = training_scenes(rng)
        found = show(scene, np.random.default_rng(0), 0.0)
        assert np.abs(found.picture * 255 - render(scene)).max() <= 0.5 + 1e-3
        assert found.sure == found.likely == scene.items
        assert found.holds(scene.content) == [1.0] * (scene.content.atoms + 1)
        classes = [CLASSES[n - 1] for n in found.cells[0].ravel() if n]
        area = Counter(dict.fromkeys({item.name for item in scene.items}, 0))
        for item in scene.items:
            area[item.name] += (item.size // 8) ** 2
            y, x = item.y // 8, item.x // 8
            assert found.cells[1, y, x] == COLOURS.index(item.color) + 1
            # the corner cell's centre is at 4 pixels, the object's at half its size
            assert found.centres[:, y, x].tolist() == [(item.size / 2 - 4) / 8] * 2
        assert Counter(classes) == area


@needs_font
def test_damaged_objects_are_doubtful_or_gone() -> None:
    scene = Scene(Content(()), (Item("dog", "red", 8, 8, 32),), 0, "")
    dog = Content((Group("dog"),))
    seen: Counter[float] = Counter()
    rng = np.random.default_rng(0)
    for _ in range(200):
        found = show(scene, rng, 1.0)
        assert set(found.sure) <= set(found.likely)
        assert set(found.cells[0, 1:5, 1:5].ravel()) <= {UNSURE, *range(1, 81)}
        seen[found.holds(dog)[0]] += 1
    assert set(seen) == {0.0, 0.5, 1.0} and min(seen.values()) > 20


def test_groups_are_of_training_and_their_first_scene_is_right() -> None:
    rng = random.Random(3)
    for _ in range(200):
        group = training_group(rng)
        assert len(group.scenes) == preferences.PICTURES
        assert not any(held_out(content) for content in group.contents)
        assert all(held(group.content, group.scenes[0].items))
        assert not all(held(group.content, group.scenes[1].items))
        places(group.content, group.prompt)


def test_ranking_loss_is_over_the_ordered_pairs() -> None:
    scores = torch.tensor([[2.0, 1.0, -1.0], [0.5, 0.5, 3.0]])
    shown = [[[1.0, 1.0], [1.0, 0.0], [0.5, 0.5]], [[0.0, 0.0], [1.0, 1.0], [0.0, 0.5]]]
    # first above the two equals; second above third above first
    margins = [2 - 1, 2 + 1, 0.5 - 0.5, 0.5 - 3, 3 - 0.5]
    wanted = sum(math.log1p(math.exp(-m)) for m in margins) / 5
    assert float(ranking_loss(scores, shown)) == pytest.approx(wanted, rel=1e-6)


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return text.train_tokenizer(0)


@needs_font
def test_batches_are_made_again(tokenizer: CLIPTokenizer) -> None:
    vae = codec.shipped(EMBEDDED)
    make = preferences.training_batch
    one, same, other = (make(name, 3, vae, tokenizer) for name in ("a", "a", "b"))
    assert torch.equal(one.pictures, same.pictures) and one.groups == same.groups
    assert not torch.equal(one.pictures, other.pictures)
    assert one.pictures.shape == (3, preferences.PICTURES, 3, 64, 64)
    assert float(one.pictures.min()) >= 0.0 and float(one.pictures.max()) <= 1.0
    for group, ids in zip(one.groups, one.ids, strict=True):
        tokens = preferences.tokens_of(tokenizer, group.content, group.prompt)
        words = [tokenizer.decode([int(ids[number])]).strip() for number in tokens]
        said = [
            group.prompt[at:].replace(",", " ").split()[0]
            for at in places(group.content, group.prompt)
        ]
        assert words == said
    mask = imagereward.mask_of(one.ids, tokenizer)
    asked = tokenizer([group.prompt for group in one.groups], padding="max_length", max_length=28)
    assert mask.tolist() == asked.attention_mask


@needs_font
def test_cells_loss_is_of_what_stands_there() -> None:
    shown = [show(training_scenes(random.Random(5))[0], np.random.default_rng(0), 0.0)]
    head = CellHead(64)
    cells = torch.from_numpy(shown[0].cells).flatten(1)
    out = torch.cat(
        [
            60.0 * torch.nn.functional.one_hot(cells[0], len(CLASSES) + 1),
            60.0 * torch.nn.functional.one_hot(cells[1], len(COLOURS) + 1),
            torch.from_numpy(shown[0].centres).flatten(1).T,
        ],
        dim=1,
    )
    head.forward = lambda seen: seen  # type: ignore[method-assign]
    assert float(head.loss(out[None], shown)) == pytest.approx(0.0, abs=1e-6)
    blind = torch.zeros_like(out)[None]
    far = np.abs(shown[0].centres)[:, shown[0].cells[0] > 0].mean()
    wanted = math.log(len(CLASSES) + 1) + math.log(len(COLOURS) + 1) + far
    assert float(head.loss(blind, shown)) == pytest.approx(wanted, rel=1e-5)


def test_content_targets_and_their_loss() -> None:
    batch = [Scene(CONTENT, (*DOGS, CAT), 0, describe(CONTENT))]
    things, count = things_of(batch)
    width = len(COLOURS)
    dog = CLASSES.index("dog") * width + COLOURS.index("red")
    cat = CLASSES.index("cat") * width + COLOURS.index(None)
    assert things[0, [dog, cat]].tolist() == pytest.approx([2 / 3, 1 / 3])
    assert float(things.sum()) == pytest.approx(1.0) and count.tolist() == [2]
    torch.manual_seed(0)
    head = ContentHead(6)
    embedding = torch.randn(1, 6)
    with torch.no_grad():
        of_things = head.things(embedding).log_softmax(1)[0]
        expected = -(2 * of_things[dog] + of_things[cat]) / 3
        expected -= head.count(embedding).log_softmax(1)[0, 2]
        assert float(head(embedding, things, count)) == pytest.approx(float(expected), rel=1e-5)


def test_weights_have_the_published_names(tokenizer: CLIPTokenizer) -> None:
    networks = imagereward.Networks(len(tokenizer))
    vision, words, head = split(imagereward.published_names(networks), "test")
    for ours, theirs in ((networks.vision, vision), (networks.text, words), (networks.head, head)):
        assert ours.state_dict().keys() == theirs.keys()


class Told(LoadedReward):
    """Scores what it was told of the pictures in the order in which they come."""

    def __init__(self, scores: list[float]) -> None:
        self._scores = scores

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        assert prompt.startswith("a photo of")
        return torch.tensor(self._scores)


@needs_font
def test_accuracy_of_rewards_that_know_the_answer() -> None:
    for scores, share in (([1.0, 0.0], 1.0), ([0.0, 1.0], 0.0), ([1.0, 1.0], 0.5)):
        found = ranking.accuracy(Told(scores), 5, lambda x: x)
        assert found == dict.fromkeys(RESPECTS, share)
