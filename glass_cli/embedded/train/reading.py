"""What the flow's text encoder has to know of a prompt at each noun: all that belongs to it.

Left to the flow alone the encoder stays a list of words: "a red dog and a blue cat" and "a blue dog
and a red cat" have the same words, and that a colour belongs to a noun, or a side, is too faint a
part of the error of a velocity to bring words together. So each noun is asked for it: its class,
colour and count, and the class of what it stands left of, right of, above and below. The encoder
learns to answer by itself first, and goes on to be asked while the flow is trained.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional
from transformers import CLIPTokenizer

from glass_cli.embedded.train.atoms import atoms
from glass_cli.embedded.train.loop import fit
from glass_cli.embedded.train.preferences import tokens_of
from glass_cli.embedded.train.text import encode
from glass_cli.embedded.world.content import MOST, OPPOSITE, RELATIONS, Content, training_content
from glass_cli.embedded.world.grammar import random_prompt
from glass_cli.embedded.world.objects import CLASSES, COLORS

PROMPTS = 64  # a step of the encoder alone
LEARNING_RATE = 1e-3
_COLORS = (None, *COLORS)
_ABSENT = len(CLASSES)  # the class of what is not there


class Reader(nn.Module):
    """Answers about a noun, linear in the encoder's state there."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.name = nn.Linear(width, len(CLASSES))
        self.color = nn.Linear(width, len(_COLORS))
        self.count = nn.Linear(width, MOST)
        self.others = nn.Linear(width, len(RELATIONS) * (_ABSENT + 1))

    def forward(self, states: Tensor) -> list[Tensor]:
        """Logits of states (N, width): class, colour, count, and for each of RELATIONS a class."""
        others = self.others(states).unflatten(1, (len(RELATIONS), -1)).unbind(1)
        return [self.name(states), self.color(states), self.count(states), *others]


def answers(content: Content) -> list[list[int]]:
    """What a :class:`Reader` is to answer of each group."""
    found = [
        [CLASSES.index(g.name), _COLORS.index(g.color), g.count - 1, *[_ABSENT] * len(RELATIONS)]
        for g in content.groups
    ]
    for relation in content.relations:
        for one, word, other in (
            (relation.subject, relation.word, relation.object),
            (relation.object, OPPOSITE[relation.word], relation.subject),
        ):
            found[one][3 + RELATIONS.index(word)] = found[other][0]
    return found


def nouns(tokenizer: CLIPTokenizer, content: Content, prompt: str) -> list[int]:
    """The place of each group's noun among the prompt's tokens."""
    places = tokens_of(tokenizer, content, prompt)
    kinds = [atom.kind for atom in atoms(content)]
    return [place for place, kind in zip(places, kinds, strict=False) if kind == "object"]


def reading_loss(
    reader: Reader,
    states: Tensor,
    tokenizer: CLIPTokenizer,
    contents: Sequence[Content],
    prompts: Sequence[str],
) -> tuple[Tensor, float]:
    """The mean cross-entropy of the answers at states (N, length, width) of N prompts, and the
    share of the nouns of which all is answered right."""
    rows, columns, wanted = [], [], []
    for row, (content, prompt) in enumerate(zip(contents, prompts, strict=True)):
        places = nouns(tokenizer, content, prompt)
        rows += [row] * len(places)
        columns += places
        wanted += answers(content)
    logits = reader(states[rows, columns].float())
    target = torch.tensor(wanted).unbind(1)
    losses = [functional.cross_entropy(one, to) for one, to in zip(logits, target, strict=True)]
    right = torch.stack([one.argmax(1) == to for one, to in zip(logits, target, strict=True)])
    return torch.stack(losses).mean(), float(right.all(0).float().mean())


def train(
    text: nn.Module, reader: Reader, tokenizer: CLIPTokenizer, folder: Path, steps: int, seed: int
) -> None:
    """Teaches the encoder to answer, from prompts alone."""

    def loss_fn(step: int) -> tuple[Tensor, dict[str, float]]:
        rng = random.Random(f"reader/{seed}/{step}")
        contents = [training_content(rng) for _ in range(PROMPTS)]
        prompts = [random_prompt(content, rng) for content in contents]
        states = text(encode(tokenizer, prompts)).last_hidden_state
        loss, right = reading_loss(reader, states, tokenizer, contents, prompts)
        return loss, {"loss": loss.item(), "right": right}

    modules = {"text": text, "reader": reader}
    fit("reader", modules, loss_fn, steps=steps, lr=LEARNING_RATE, folder=folder, ema_decay=0.99)
