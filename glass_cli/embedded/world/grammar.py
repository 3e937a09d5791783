"""Prompts of contents, in GenEval's wording (arXiv 2310.11513), and contents of prompts."""

from __future__ import annotations

import random
from collections.abc import Sequence

from glass_cli.embedded.world.content import Content, Group
from glass_cli.embedded.world.objects import english_plural, plural

OPENINGS = ("a photo of", "a picture of", "an image of", "")
NUMBERS = ("one", "two", "three", "four")


def article(words: str) -> str:
    """``words`` with its indefinite article."""
    return ("an " if words[0] in "aeiou" else "a ") + words


def phrase(group: Group, english: bool = False) -> str:
    """The group as a noun phrase: "a red apple", "two benchs" (``english``: "two benches")."""
    if group.count == 1:
        return article(group.key)
    many = english_plural(group.name) if english else plural(group.name)
    colored = many if group.color is None else f"{group.color} {many}"
    return f"{NUMBERS[group.count - 1]} {colored}"


def _listed(phrases: Sequence[str]) -> str:
    """ "a, b and c"."""
    return " and ".join([", ".join(phrases[:-1]), phrases[-1]] if len(phrases) > 1 else phrases)


def describe(content: Content, opening: str = OPENINGS[0], english: bool = False) -> str:
    """The prompt. Two relations of three groups share their subject; of four, they are apart."""
    parts = [phrase(group, english) for group in content.groups]
    words = [relation.word for relation in content.relations]
    if not words:
        text = _listed(parts)
    else:
        head = f"{parts[0]} {words[0]} {parts[1]}"
        if len(words) == 1:
            text = _listed([head, *parts[2:]])
        elif len(parts) == 3:
            text = f"{head} and {words[1]} {parts[2]}"
        else:
            text = f"{head} and {parts[2]} {words[1]} {parts[3]}"
    return f"{opening} {text}".strip()


def random_prompt(content: Content, rng: random.Random) -> str:
    """The prompt in one of its wordings: GenEval's in seven of ten."""
    opening = rng.choices(OPENINGS, (0.7, 0.1, 0.1, 0.1))[0]
    return describe(content, opening, english=rng.random() < 0.3)
