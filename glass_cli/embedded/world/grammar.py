"""Prompts of contents, in GenEval's wording (arXiv 2310.11513), and contents of prompts."""

from __future__ import annotations

import random
import re
from collections.abc import Sequence
from functools import cache

from glass_cli.embedded.world.content import RELATIONS, Content, Group, Relation
from glass_cli.embedded.world.objects import CLASSES, COLORS, english_plural, plural

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


@cache
def _nouns() -> dict[str, str]:
    """The class of every spelling, in singular and plural."""
    spellings = (str, plural, english_plural)
    return {spelling(name): name for name in CLASSES for spelling in spellings}


@cache
def _patterns() -> tuple[re.Pattern[str], re.Pattern[str]]:
    """A group's phrase, and what stands between two of them."""
    numbers, colours, relations = "|".join(NUMBERS), "|".join(COLORS), "|".join(RELATIONS)
    names = "|".join(sorted(map(re.escape, _nouns()), key=len, reverse=True))
    phrase = rf"(an?|{numbers}) (?:({colours}) )?({names})(?=$|,| and | (?:{relations}) )"
    return re.compile(phrase), re.compile(rf"(?:,?( and)? ({relations})|,| and) ")


def read(prompt: str) -> Content | None:
    """What a prompt in the wording of :func:`describe` asks for; None for any other.

    A relation stands between a group and the one before it, or, after "and", between the one that
    the last relation began with and the new one: "a cat left of a dog and above a cup". Case, a
    full stop and further white space do not matter. A class may be named once.
    """
    text = " ".join(prompt.lower().split()).rstrip(".")
    for opening in OPENINGS[:-1]:
        text = text.removeprefix(f"{opening} ")
    groups: list[Group] = []
    relations: list[Relation] = []
    phrases, betweens = _patterns()
    place, subject = 0, 0
    joined = word = None  # what stands before a group, beside commas: "and", a relation
    while (match := phrases.match(text, place)) is not None:
        number, colour, noun = match.groups()
        count = 1 if number in ("a", "an") else NUMBERS.index(number) + 1
        name = _nouns()[noun]
        spellings = (name,) if count == 1 else (plural(name), english_plural(name))
        if noun not in spellings or any(group.name == name for group in groups):
            return None
        groups.append(Group(name, colour, count))
        if word is not None:
            if joined is None:
                subject = len(groups) - 2
            elif not relations:
                return None
            relations.append(Relation(subject, word, len(groups) - 1))
        if match.end() == len(text):
            return Content(tuple(groups), tuple(relations))
        between = betweens.match(text, match.end())
        if between is None:
            return None
        place, (joined, word) = between.end(), between.groups()
    return None
