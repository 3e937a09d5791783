"""Wording of the prompts of the shipped flow's six tasks, which ``geneval_emoji`` makes."""

from __future__ import annotations

from collections.abc import Sequence

from glass_cli.embedded.world.content import Content, Group, Relation
from glass_cli.embedded.world.grammar import describe as worded
from glass_cli.embedded.world.scene import Item

__all__ = ["Item", "describe"]


def describe(task: str, items: Sequence[Item], relation: str | None, opening: str) -> str:
    """The prompt of one of GenEval's tasks, in its wording when ``opening`` is "a photo of".

    items: the objects; in a position task the second stands ``relation`` the first.
    """
    groups = [Group(item.name, item.color) for item in items]
    if task == "counting":
        groups = [Group(items[0].name, None, len(items))]
    if task == "position" and relation is not None:
        return worded(Content((groups[1], groups[0]), (Relation(0, relation, 1),)), opening)
    return worded(Content(tuple(groups)), opening)
