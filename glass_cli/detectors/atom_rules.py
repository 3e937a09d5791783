"""How probable each atom of a prompt is, from what a detector believes of the objects it found.

Pure functions without a model. A detector finds n distinct objects. Object i is there with
probability ``presence``, and then of one class and one colour, whose probabilities are the
detector's own (softmax); the objects are independent of each other, and so are an object's class
and colour, given that it is there. Under that model every probability below is exact:

    object c           some object is a c: 1 - prod_i (1 - a_i), where a_i = presence_i P_i(c)
    count n of c       exactly n are: the Poisson binomial distribution of the a_i at n
    attribute k of c   there is a c and every c has colour k:
                       prod_i (1 - a_i (1 - P_i(k))) - prod_i (1 - a_i)
    relation of c to d there are a c and a d, and every c stands so to every d, by GenEval's rule on
                       their boxes: summed over the sets of objects that may be the c

Each atom is judged by itself, as Soft-TIFA does (Kamath et al., arXiv 2512.16853): a colour does
not ask for the right count. An object too many fails a count; where the prompt asks for one ("a
cat") it fails nothing but a relation or colour that it does not have, and is told by
:func:`extras`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glass_cli.detectors.boxes import relations
from glass_cli.detectors.detections import ObjectBelief
from glass_cli.embedded.world.content import Content

SKILLS = ("object", "count", "attribute", "relation")
MOST = 10  # objects that may be a relation's subject, the most probable ones; 2 ** MOST sets

Objects = Sequence[ObjectBelief]
Atom = Mapping[str, Any]


def atoms(content: Content) -> list[dict[str, Any]]:
    """What a content asks for, in the order of its words: atoms of the four skills.

    {"skill": "object", "class": ...}, {"skill": "count", "class": ..., "count": ...} of a group of
    two or more, {"skill": "attribute", "class": ..., "color": ...} and
    {"skill": "relation", "class": ..., "relation": ..., "to": ...}.
    """
    entries: list[dict[str, Any]] = []
    for group in content.groups:
        name = group.name
        entries.append({"skill": "object", "class": name})
        if group.count > 1:
            entries.append({"skill": "count", "class": name, "count": group.count})
        if group.color is not None:
            entries.append({"skill": "attribute", "class": name, "color": group.color})
    for relation in content.relations:
        one, other = (content.groups[i].name for i in (relation.subject, relation.object))
        entries.append({"skill": "relation", "class": one, "relation": relation.word, "to": other})
    return entries


def _of_class(objects: Objects, name: str) -> list[float]:
    """The probability of each object that it is there and of the class."""
    return [one.presence * one.classes.get(name, 0.0) for one in objects]


def object_probability(objects: Objects, atom: Atom) -> float:
    """That there is at least one object of the class."""
    return 1.0 - math.prod(1.0 - a for a in _of_class(objects, atom["class"]))


def count_distribution(objects: Objects, name: str) -> list[float]:
    """The probabilities that 0, 1, ..., n objects are of the class."""
    chances = [1.0]
    for a in _of_class(objects, name):
        chances = [
            (1.0 - a) * same + a * fewer
            for same, fewer in zip([*chances, 0.0], [0.0, *chances], strict=True)
        ]
    return chances


def count_probability(objects: Objects, atom: Atom) -> float:
    """That exactly ``count`` objects are of the class."""
    chances = count_distribution(objects, atom["class"])
    return chances[atom["count"]] if atom["count"] < len(chances) else 0.0


def attribute_probability(objects: Objects, atom: Atom) -> float:
    """That there is an object of the class, and that all of them have the colour."""
    of_class = _of_class(objects, atom["class"])
    none = math.prod(1.0 - a for a in of_class)
    none_otherwise = math.prod(
        1.0 - a * (1.0 - one.colours.get(atom["color"], 0.0))
        for a, one in zip(of_class, objects, strict=True)
    )
    return none_otherwise - none


def relation_probability(objects: Objects, atom: Atom) -> float:
    """That there are objects of both classes, and that each of one stands so to each of the other.

    An object is of one class at most. For a set S of subjects every other object either is none of
    the two, or is of the other class and stands right to all of S; S and the others are not empty.
    """
    ours, others = _of_class(objects, atom["class"]), _of_class(objects, atom["to"])
    candidates = sorted(range(len(objects)), key=lambda i: -ours[i])[:MOST]
    stands = {
        (i, j): atom["relation"] in relations(objects[i].box, objects[j].box)
        for i in candidates
        for j in range(len(objects))
        if i != j
    }
    total = 0.0
    for bits in range(1, 2 ** len(candidates)):
        subjects = [i for k, i in enumerate(candidates) if bits >> k & 1]
        right = wrong = math.prod(ours[i] for i in subjects)
        for j in range(len(objects)):
            if j in subjects:
                continue
            holds = all(stands[i, j] for i in subjects)
            right *= 1.0 - ours[j] - (0.0 if holds else others[j])
            wrong *= 1.0 - ours[j] - others[j]
        total += right - wrong
    return total


_RULES: dict[str, Callable[[Objects, Atom], float]] = {
    "object": object_probability,
    "count": count_probability,
    "attribute": attribute_probability,
    "relation": relation_probability,
}


def probability(objects: Objects, atom: Atom) -> float:
    """The probability in [0, 1] of an atom of a record of ``benchmark=compose``."""
    return min(max(_RULES[atom["skill"]](objects, atom), 0.0), 1.0)  # but for rounding


def says(atom: Atom) -> str:
    """What an atom asks for: "cat", "3 cat", "red cat", "cat left of dog"."""
    name: str = atom["class"]
    return {
        "object": name,
        "count": f"{atom.get('count')} {name}",
        "attribute": f"{atom.get('color')} {name}",
        "relation": f"{name} {atom.get('relation')} {atom.get('to')}",
    }[atom["skill"]]


def extras(objects: Objects, wanted: Mapping[str, int]) -> dict[str, float]:
    """The probability of an object more than ``wanted`` of each class, and of any other class."""
    counts = {
        f"more than {count} {name}": sum(count_distribution(objects, name)[count + 1 :])
        for name, count in wanted.items()
    }
    unasked = (
        one.presence * (1.0 - sum(one.classes.get(name, 0.0) for name in wanted)) for one in objects
    )
    return {**counts, "something else": 1.0 - math.prod(1.0 - chance for chance in unasked)}
