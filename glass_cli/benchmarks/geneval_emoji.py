"""A list of prompts like GenEval's, for the classes that the embedded model draws.

The published list is not part of this package. This one has the published list's six forms, and its
tasks in the published proportions; classes, colours, counts and relations are drawn at random, from
a fixed seed.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from itertools import cycle, islice
from typing import Any

from glass_cli.benchmarks.geneval_rules import TASKS
from glass_cli.detectors.boxes import RELATIONS
from glass_cli.detectors.detections import COLOURS
from glass_cli.embedded.world.content import Content, Group, Relation
from glass_cli.embedded.world.grammar import describe
from glass_cli.embedded.world.objects import CLASSES

# Prompts of the published list, of which single_object has one a class.
PUBLISHED = dict(zip(TASKS, (80, 99, 80, 94, 100, 100), strict=True))
COUNTS = (2, 3, 4)


def prompts(classes: Sequence[str], seed: int = 0) -> list[dict[str, Any]]:
    """The records, task after task, no prompt twice; single_object has one of each class."""
    rng = random.Random(f"geneval/{seed}")
    records: list[dict[str, Any]] = []
    for task, published in PUBLISHED.items():
        wanted = round(published * len(classes) / len(CLASSES))
        said: set[str] = set()
        # every class comes equally often, each round in another order
        firsts = (name for _ in cycle([0]) for name in rng.sample(list(classes), len(classes)))
        for first in islice(firsts, 100 * wanted):
            record = _record(task, first, classes, rng)
            if record["prompt"] not in said and len(said) < wanted:
                said.add(record["prompt"])
                records.append(record)
    return records


def _record(task: str, first: str, classes: Sequence[str], rng: random.Random) -> dict[str, Any]:
    second = rng.choice([name for name in classes if name != first])
    colours = rng.sample(COLOURS, 2)
    count, relation = rng.choice(COUNTS), rng.choice(RELATIONS)
    include: list[dict[str, Any]] = [{"class": first, "count": 1}]
    record: dict[str, Any] = {"tag": task, "include": include}
    if task == "counting":
        include[0]["count"] = count
        record["exclude"] = [{"class": first, "count": count + 1}]
    if task in ("two_object", "position", "color_attr"):
        include.append({"class": second, "count": 1})
    if task == "position":
        include[1]["position"] = [relation, 0]
    if task in ("colors", "color_attr"):
        for clause, colour in zip(include, colours, strict=False):
            clause["color"] = colour
    groups = [Group(c["class"], c.get("color"), c["count"]) for c in include]
    content = Content(tuple(groups))
    if task == "position":  # the second stands on that side of the first, and is named before it
        content = Content((groups[1], groups[0]), (Relation(0, relation, 1),))
    return {**record, "prompt": describe(content, "a photo of")}
