"""What the embedded model was trained on: how its folders are known, and its words."""

from __future__ import annotations

import json
import re
import textwrap
from collections.abc import Iterable
from functools import cache

from glass_cli.common import hub
from glass_cli.embedded.world.content import MOST, RELATIONS
from glass_cli.embedded.world.grammar import NUMBERS, OPENINGS
from glass_cli.embedded.world.objects import CLASSES, COLORS, english_plural, plural

_DECODER = "glass_cli.pipelines.codec"  # of no other pipeline
_WORD = re.compile(r"[^\W\d_]+|\d+")


def draws_emoji(path: str) -> bool:
    """Whether the pipeline in ``path`` (a folder, owner/name or ``embedded:<name>``) is of emoji.

    One is by its decoder, which model_index.json names. Nothing is downloaded.
    """
    folder = hub.local(path)
    if folder is None:
        return False
    try:
        index = json.loads((folder / "model_index.json").read_text(encoding="utf-8"))
        return bool(index["vae"][0] == _DECODER)
    except (OSError, ValueError, LookupError, TypeError):
        return False


def unknown_words(prompt: str) -> list[str]:
    """The words of a prompt that no prompt of the training had, each once, in order.

    A name of several words ("hot dog", "left of") is known as a whole only.
    """
    words = _words(prompt)
    unknown: dict[str, None] = {}
    i = 0
    while i < len(words):
        lengths = range(min(_longest(), len(words) - i), 0, -1)
        length = next((n for n in lengths if tuple(words[i : i + n]) in _known()), 0)
        if not length:
            unknown[words[i]] = None
        i += length or 1
    return list(unknown)


def vocabulary() -> str:
    """The words of the embedded model, as lines of text."""
    lines = [
        f"The embedded model (emoji) knows {len(CLASSES)} things: {', '.join(CLASSES)};",
        f"{len(COLORS)} colours: {', '.join(COLORS)};",
        f"counts: {', '.join(NUMBERS)}, of at most {MOST} things together;",
        f"relations: {', '.join(RELATIONS)};",
        "and the words a, an, and, a photo of, a picture of, an image of.",
    ]
    return "\n".join(textwrap.fill(line, 100, subsequent_indent="    ") for line in lines)


def _words(text: str) -> list[str]:
    return _WORD.findall(text.lower())


@cache
def _known() -> frozenset[tuple[str, ...]]:
    names = [form for name in CLASSES for form in (name, plural(name), english_plural(name))]
    phrases: Iterable[str] = (*names, *COLORS, *NUMBERS, *RELATIONS, *OPENINGS, "a", "an", "and")
    return frozenset(tuple(_words(phrase)) for phrase in phrases if phrase)


@cache
def _longest() -> int:
    return max(map(len, _known()))
