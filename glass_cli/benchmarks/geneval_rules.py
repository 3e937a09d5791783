"""GenEval's rules (Ghosh et al., arXiv 2310.11513): from detections to a verdict, and to scores.

Pure functions without a model. A record of the benchmark has ``include`` clauses, which must all
hold, and ``exclude`` clauses, none of which may:

    {"tag": "position", "prompt": "a photo of a couch below a cup",
     "include": [{"class": "cup", "count": 1},
                 {"class": "couch", "count": 1, "position": ["below", 0]}]}
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from glass_cli.detectors.boxes import RELATIONS, iou, relations
from glass_cli.detectors.detections import COLOURS, Detection

TASKS = ("single_object", "two_object", "counting", "colors", "position", "color_attr")
CONFIDENCE, COUNTING_CONFIDENCE = 0.3, 0.9
MOST = 16  # detections kept of a class
OVERLAP = 1.0  # suppression from this IoU on; 1 is none at all, as in the published protocol

Classifier = Callable[[Sequence[Detection], str], list[str]]
"""Detections of a class, and its name, to a colour word each."""


def kept(
    detections: Sequence[Detection], tag: str, overlap: float = OVERLAP
) -> dict[str, list[Detection]]:
    """The detections that count, by class, the most confident first."""
    least = COUNTING_CONFIDENCE if tag == "counting" else CONFIDENCE
    by_class: dict[str, list[Detection]] = {}
    for detection in sorted(detections, key=lambda d: -d.score):
        if detection.score > least:
            by_class.setdefault(detection.name, []).append(detection)
    return {name: _suppressed(same[:MOST], overlap) for name, same in by_class.items()}


def _suppressed(ordered: Sequence[Detection], overlap: float) -> list[Detection]:
    if overlap >= 1.0:
        return list(ordered)
    chosen: list[Detection] = []
    for detection in ordered:
        if all(iou(detection.box, other.box) < overlap for other in chosen):
            chosen.append(detection)
    return chosen


def verdict(
    objects: Mapping[str, Sequence[Detection]], record: Mapping[str, Any], colours: Classifier
) -> tuple[bool, str]:
    """Whether the detections (as :func:`kept` leaves them) fit the record, and why not.

    All clauses are looked at, so the reason names every one that fails.
    """
    reasons: list[str] = []
    groups: list[Sequence[Detection] | None] = []
    for clause in record.get("include", []):
        instances = list(objects.get(clause["class"], ()))[: clause["count"]]
        failure = _failure(clause, instances, groups, colours)
        groups.append(None if failure else instances)
        reasons += [failure] if failure else []
    for clause in record.get("exclude", []):
        count = len(objects.get(clause["class"], ()))
        if count >= clause["count"]:
            reasons.append(f"fewer than {clause['count']} {clause['class']} wanted, {count} found")
    return not reasons, "; ".join(reasons)


def _failure(
    clause: Mapping[str, Any],
    instances: Sequence[Detection],
    groups: Sequence[Sequence[Detection] | None],
    colours: Classifier,
) -> str:
    """Why an include clause does not hold; empty where it does."""
    name, count = clause["class"], clause["count"]
    if len(instances) < count:
        return f"{count} {name} wanted, {len(instances)} found"
    if "color" in clause:
        seen = Counter(colours(instances, name))
        if seen[clause["color"]] < count:
            instead = ", ".join(f"{seen[c]} {c}" for c in COLOURS if seen[c]) or "none of a colour"
            return f"{count} {clause['color']} {name} wanted, {instead} found"
    if "position" in clause:
        relation, index = clause["position"]
        targets = groups[index] if index < len(groups) else None
        if targets is None:
            return f"nothing found that {name} could be {relation}"
        for one in instances:
            for target in targets:
                holding = relations(one.box, target.box)
                if relation not in holding:
                    instead = (
                        " and ".join(r for r in RELATIONS if r in holding) or "in no relation to"
                    )
                    return f"{name} {relation} {target.name} wanted, it is {instead} it"
    return ""


def summary(
    results: Sequence[Mapping[str, Any]],
) -> tuple[dict[str, float], dict[str, list[float]], dict[str, list[str]]]:
    """Scores, per-prompt values and groups (see :class:`glass_cli.benchmarks.base.Answer`).

    A task's score is the share of its pictures that are right; ``overall`` is the mean of the
    tasks', not of the pictures; ``one right`` is the share of prompts with at least one.
    """
    by_prompt: dict[int, list[bool]] = {}
    task: dict[int, str] = {}
    for result in sorted(results, key=lambda r: (r["prompt_index"], r["image_index"])):
        index = int(result["prompt_index"])
        by_prompt.setdefault(index, []).append(bool(result["judged"]["correct"]))
        task[index] = str(result["judged"]["tag"])
    present = [name for name in TASKS if name in task.values()]
    present += sorted(set(task.values()) - set(TASKS))
    scores: dict[str, float] = {}
    per_prompt: dict[str, list[float]] = {}
    for name in present:
        prompts = [rights for index, rights in by_prompt.items() if task[index] == name]
        pictures = [right for rights in prompts for right in rights]
        scores[name] = sum(pictures) / len(pictures)
        per_prompt[name] = [sum(rights) / len(rights) for rights in prompts]
    if not present:
        return {}, {}, {}
    scores["overall"] = sum(scores.values()) / len(present)
    per_prompt["one right"] = [float(any(rights)) for rights in by_prompt.values()]
    scores["one right"] = sum(per_prompt["one right"]) / len(by_prompt)
    return scores, per_prompt, {"overall": present}
