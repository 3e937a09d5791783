"""What the flow's text encoder is asked about a prompt's nouns."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch
from transformers import CLIPTokenizer

from glass_cli.common.hub import EMBEDDED
from glass_cli.embedded.train import flow, reading
from glass_cli.embedded.train.text import encode
from glass_cli.embedded.world.content import RELATIONS, Content, Group, Relation, training_content
from glass_cli.embedded.world.grammar import describe, random_prompt
from glass_cli.embedded.world.objects import CLASSES, COLORS


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return CLIPTokenizer.from_pretrained(EMBEDDED / "emoji" / "tokenizer")


CONTENT = Content(
    (Group("dog", "red", 2), Group("cat"), Group("cell phone", "blue")),
    (Relation(0, "left of", 1), Relation(0, "above", 2)),
)


def test_answers() -> None:
    dog, cat, phone = (CLASSES.index(name) for name in ("dog", "cat", "cell phone"))
    red, blue = (1 + tuple(COLORS).index(name) for name in ("red", "blue"))
    none = len(CLASSES)
    assert RELATIONS == ("left of", "right of", "above", "below")
    assert reading.answers(CONTENT) == [
        [dog, red, 1, cat, none, phone, none],
        [cat, 0, 0, none, dog, none, none],
        [phone, blue, 0, none, none, none, dog],
    ]


def test_nouns_are_where_they_stand(tokenizer: CLIPTokenizer) -> None:
    rng = random.Random(0)
    for _ in range(100):
        content = training_content(rng)
        prompt = random_prompt(content, rng)
        ids = encode(tokenizer, [prompt])[0].tolist()
        for group, place in zip(
            content.groups, reading.nouns(tokenizer, content, prompt), strict=True
        ):
            word = tokenizer.decode([ids[place]]).strip()
            last = group.name.split()[-1]
            assert word[:3] == last[:3], (prompt, word)


def test_loss_is_that_of_the_logits(tokenizer: CLIPTokenizer) -> None:
    """A reader whose logits are fixed: the loss is known, and all are right only where they are."""
    torch.manual_seed(0)
    reader = reading.Reader(4)
    with torch.no_grad():
        for parameter in reader.parameters():
            parameter.zero_()
        for place, layer in enumerate((reader.name, reader.color, reader.count)):
            layer.bias[reading.answers(CONTENT)[1][place]] = 3.0
    prompt = describe(CONTENT)
    loss, right = reading.reading_loss(
        reader, torch.zeros(1, 28, 4), tokenizer, [CONTENT], [prompt]
    )

    def entropy(choices: int, given: int, answer: int) -> float:
        logits = torch.zeros(choices)
        logits[given] = 3.0
        return -float(logits.log_softmax(0)[answer])

    heads = [(len(CLASSES), 0), (len(COLORS) + 1, 1), (4, 2)]
    rows = reading.answers(CONTENT)
    wanted = [sum(entropy(n, rows[1][i], row[i]) for row in rows) / 3 for n, i in heads]
    wanted += 4 * [float(torch.tensor(len(CLASSES) + 1.0).log())]
    assert loss.item() == pytest.approx(sum(wanted) / 7, rel=1e-5)
    assert right == 0.0


def test_an_encoder_of_words_alone_cannot_answer(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    """The order of words has to reach the nouns: two prompts of the same words differ there."""
    torch.manual_seed(0)
    text = flow.modules_of(tokenizer).text
    one = Content((Group("dog"), Group("cat")), (Relation(0, "left of", 1),))
    other = Content((Group("cat"), Group("dog")), (Relation(0, "left of", 1),))
    with torch.no_grad():
        states = text(encode(tokenizer, [describe(one), describe(other)])).last_hidden_state
    (a, _), (_, b) = (reading.nouns(tokenizer, c, describe(c)) for c in (one, other))
    change = (states[0, a] - states[1, b]).norm() / states[0, a].norm()
    assert change > 0.02
