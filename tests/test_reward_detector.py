"""reward=detector: prompts read back, and scores beside the judge's atoms."""

from __future__ import annotations

import math
import random
from pathlib import Path
from types import SimpleNamespace

import pytest
import torch
from torch import Tensor

from glass_cli.benchmarks.compose import Compose
from glass_cli.common.errors import GlassError
from glass_cli.detectors.atom_rules import atoms
from glass_cli.embedded.world.content import RELATIONS, Content, Group, Relation, random_content
from glass_cli.embedded.world.grammar import describe, random_prompt, read
from glass_cli.launch import launch
from glass_cli.rewards.detector import LEAST, Detector

CPU = torch.device("cpu")
KINDS = (
    "single_object",
    "colors",
    "counting",
    "colored_count",
    "two_object",
    "position",
    "compose",
)


@pytest.mark.parametrize("kind", KINDS)
def test_a_prompt_of_the_world_is_read_as_it_was_meant(kind: str) -> None:
    rng = random.Random(kind)
    for _ in range(300):
        content = random_content(rng, kind)
        prompt = random_prompt(content, rng)
        assert read(prompt) == content, prompt


def test_the_prompts_of_compose_are_read_with_their_atoms() -> None:
    for record in Compose().records():
        content = read(record["prompt"])
        assert content is not None and atoms(content) == record["atoms"], record["prompt"]


@pytest.mark.parametrize(
    ("prompt", "content"),
    [
        ("  Two red  Apples. ", Content((Group("apple", "red", 2),))),
        ("an orange", Content((Group("orange"),))),
        ("an orange orange", Content((Group("orange", "orange"),))),
        ("two people", Content((Group("person", None, 2),))),
        (
            "a cat, a dog and a cup",
            Content((Group("cat"), Group("dog"), Group("cup"))),
        ),
        (
            "a cat above a dog, and left of a cup",
            Content(
                (Group("cat"), Group("dog"), Group("cup")),
                (Relation(0, "above", 1), Relation(0, "left of", 2)),
            ),
        ),
    ],
)
def test_wordings(prompt: str, content: Content) -> None:
    assert read(prompt) == content


UNREAD = [
    "", "a wizard riding a dragon", "a cat and a cat", "a cat and above a dog", "two dog", "a dogs",
    "five dogs", "a cat left of", "cat", "a cat dog", "a cat; a dog", "a cattle",
]  # fmt: skip


@pytest.mark.parametrize("prompt", UNREAD)
def test_other_words_are_not_read(prompt: str) -> None:
    assert read(prompt) is None
    with pytest.raises(ValueError, match="reads prompts such as 'a photo of two red apples"):
        Detector().check_prompts(["a photo of a dog", prompt])


def test_the_score_is_the_mean_log_probability_of_the_judges_atoms() -> None:
    """On noise and on flat pictures, in batches: exp of it is the judge's geometric mean."""
    generator = torch.Generator().manual_seed(0)
    x = torch.rand(3, 3, 64, 64, generator=generator)
    record = next(r for r in Compose().records() if len(r["atoms"]) == 4)
    reward = Detector(batch=2).load(CPU, torch.float32)
    judge = Compose().load(CPU, torch.float32)
    expected = []
    for image in x:
        chances = [atom["probability"] for atom in judge.judge(image, record)["atoms"]]
        logs = [max(math.log(max(chance, 1e-9)), LEAST) for chance in chances]
        expected.append(sum(logs) / len(logs))
    scores = reward.score(x, record["prompt"])
    assert scores.tolist() == pytest.approx(expected, abs=1e-3)  # the judge rounds to six digits
    assert float(scores.min()) >= LEAST and float(scores.max()) <= 0.0


class _Sure:
    """A detector to whom every picture is one certain red dog."""

    def beliefs(self, images: Tensor) -> list[list[object]]:
        from glass_cli.detectors.detections import ObjectBelief

        return [[ObjectBelief(1.0, {"dog": 1.0}, {"red": 1.0}, (0, 0, 9, 9))] for _ in images]


@pytest.mark.parametrize(
    ("prompt", "score"),
    [
        ("a photo of a dog", 0.0),
        ("a photo of a red dog", 0.0),
        ("a photo of a blue dog", LEAST / 2),
        ("a photo of two dogs", LEAST / 2),
        ("a photo of a cat", LEAST),
        ("a photo of a dog left of a cat", 2 * LEAST / 3),
    ],
)
def test_an_atom_that_is_not_there_costs_five(prompt: str, score: float) -> None:
    reward = Detector().load(CPU, torch.float32)
    reward._detector = _Sure()  # type: ignore[assignment]  # as far as it is asked
    assert reward.score(torch.zeros(2, 3, 8, 8), prompt).tolist() == pytest.approx([score] * 2)


def test_what_it_cannot_score() -> None:
    other = SimpleNamespace(output="images", dim=None, world=None)
    with pytest.raises(ValueError, match="model=emoji alone"):
        Detector().check_model(other)
    reward = Detector().load(CPU, torch.float32)
    with pytest.raises(GlassError, match="reads prompts such as"):
        reward.score(torch.zeros(1, 3, 64, 64), "a wizard")


def test_a_prompt_that_cannot_be_read_ends_before_a_model_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch(["reward=detector", "prompt=a wizard riding a dragon"]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "reward=detector reads prompts such as" in line and "a wizard riding a dragon" in line
    assert not list(tmp_path.iterdir())


def test_every_relation_is_read() -> None:
    for word in RELATIONS:
        content = Content((Group("cat"), Group("dog")), (Relation(0, word, 1),))
        assert read(describe(content)) == content
