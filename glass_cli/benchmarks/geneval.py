"""GenEval (Ghosh et al., arXiv 2310.11513): are the right objects there, in colour and place?"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from glass_cli.benchmarks import geneval_emoji, geneval_rules, lists
from glass_cli.benchmarks.base import Answer, Benchmark, LoadedBenchmark, Record, check_sizes
from glass_cli.benchmarks.mask2former import Mask2Former
from glass_cli.common.errors import GlassError
from glass_cli.detectors.boxes import RELATIONS
from glass_cli.detectors.detections import COLOURS, Detection, LoadedDetector
from glass_cli.detectors.embedded_detector import EmbeddedDetector

if TYPE_CHECKING:
    import torch
    from torch import Tensor

URL = "https://raw.githubusercontent.com/djghosh13/geneval/main/prompts/evaluation_metadata.jsonl"
NAME = "geneval-evaluation_metadata.jsonl"  # in the cache


@dataclass(frozen=True)
class GenEval(Benchmark):
    """The published protocol (Ghosh et al., arXiv 2310.11513).

    path: the prompt list. null with the transformers detector: the published 553 prompts, from the
        user's cache or downloaded into it once. null with the embedded detector: a list of the same
        six forms made for its classes, since this package does not contain the published one, so
        that it runs offline; the results' title says so. ``published``: the published list with
        either detector. Else a file (evaluation_metadata.jsonl). Of a list, the embedded detector
        takes the prompts whose classes it knows; the title says how many.
    detector: ``transformers`` (Mask2Former and CLIP, as published), ``embedded`` (the small one of
        the emoji world), or ``auto``: embedded where ``model`` is part of this package, else
        transformers.
    images: pictures a prompt, 1 or more; 4 in the paper.
    limit: so many prompts, 1 or more, taken from the tasks in turn; null for all, in the list's
        order.
    model: the drawing model's path, which ``auto`` goes by.
    transformers, embedded: the settings of each detector.
    """

    path: str | None = None
    detector: Literal["auto", "embedded", "transformers"] = "auto"
    images: int = 4
    limit: int | None = None
    model: str | None = None
    transformers: Mask2Former = field(default_factory=Mask2Former)
    embedded: EmbeddedDetector = field(default_factory=EmbeddedDetector)

    def __post_init__(self) -> None:
        if self.path != "published":
            lists.check(self.path)
        check_sizes(self.images, self.limit)

    @property
    def judge_name(self) -> Literal["embedded", "transformers"]:
        if self.detector != "auto":
            return self.detector
        return "embedded" if (self.model or "").startswith("embedded:") else "transformers"

    @property
    def title(self) -> str:
        """How the results are named. Raises GlassError where the list cannot be had."""
        judge = f"{self.judge_name} detector"
        if self._own_list:
            return f"GenEval ({judge}, prompts made for it)"
        known, there = self._lists
        return f"GenEval ({judge}{_of(len(known), len(there))})"

    @property
    def _own_list(self) -> bool:
        return self.path is None and self.judge_name == "embedded"

    @cached_property
    def _lists(self) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
        """The records whose classes the detector knows, and all."""
        detector = self.embedded if self.judge_name == "embedded" else self.transformers
        classes = detector.classes
        if self._own_list:
            own = geneval_emoji.prompts(classes or ())
            return own, own
        path = None if self.path == "published" else self.path
        text, name, _ = lists.source(path, URL, NAME)
        there = lists.json_lines(text, name)
        for number, record in enumerate(there, 1):
            check_record(record, f"{name}, record {number}")
        known = [record for record in there if classes is None or _classes(record) <= {*classes}]
        if not known:
            raise GlassError(f"{name} has no prompt that the {self.judge_name} detector can judge")
        return known, there

    def records(self) -> list[dict[str, Any]]:
        """The prompts to draw, with their clauses. Raises GlassError."""
        return lists.in_turn(self._lists[0], lambda record: str(record["tag"]), self.limit)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedGenEval:
        """Reads the detector. Raises GlassError where it cannot be had."""
        detector: Mask2Former | EmbeddedDetector = (
            self.embedded if self.judge_name == "embedded" else self.transformers
        )
        return LoadedGenEval(detector.load(device, dtype))

    def summarise(self, results: Sequence[Mapping[str, Any]]) -> Answer:
        """The share of correct pictures of each task, and their mean."""
        scores, per_prompt, groups = geneval_rules.summary(results)
        return {"scores": scores, "per_prompt": per_prompt, "groups": groups}


def _of(known: int, there: int) -> str:
    return "" if known == there else f", {known} of {there} prompts"


def _clauses(record: Record) -> list[Mapping[str, Any]]:
    return [*record.get("include", []), *record.get("exclude", [])]


def _classes(record: Record) -> set[str]:
    return {clause["class"] for clause in _clauses(record)}


def check_record(record: Record, name: str) -> None:
    """Raises GlassError unless the record has what the rules read."""
    if not all(isinstance(record.get(key), str) and record[key] for key in ("prompt", "tag")):
        raise GlassError(
            f"{name} has no prompt or no tag; give GenEval's evaluation_metadata.jsonl"
        )
    include = record.get("include")
    if not isinstance(include, list) or not isinstance(record.get("exclude", []), list):
        raise GlassError(f"{name} has no list of include clauses")
    for clause in _clauses(record):
        valid = isinstance(clause, dict) and isinstance(clause.get("class"), str)
        count = clause.get("count") if valid else None
        if not isinstance(count, int) or isinstance(count, bool) or count < 1:
            raise GlassError(f"{name}: a clause needs a class and a count of at least 1: {clause}")
    for number, clause in enumerate(include):
        if clause.get("color", COLOURS[0]) not in COLOURS:
            raise GlassError(f"{name}: {clause['color']} is not one of {', '.join(COLOURS)}")
        if "position" in clause and not _is_position(clause["position"], number):
            raise GlassError(f"{name}: a position is a relation and an earlier clause: {clause}")


def _is_position(value: Any, number: int) -> bool:
    """Whether clause ``number`` can stand so: [relation, index of a clause before it]."""
    return (
        isinstance(value, list)
        and len(value) == 2
        and value[0] in RELATIONS
        and value[1] in range(number)
    )


class LoadedGenEval(LoadedBenchmark):
    """See :class:`glass_cli.benchmarks.base.LoadedBenchmark`."""

    def __init__(self, detector: LoadedDetector) -> None:
        self._detector = detector

    def judge(self, image: Tensor, record: Record) -> dict[str, Any]:
        """``correct``, ``reason`` where it is not, ``tag``, and the ``detections`` that counted."""
        objects = geneval_rules.kept(self._detector.detect(image[None])[0], record["tag"])

        def colours(instances: Sequence[Detection], name: str) -> list[str]:
            return self._detector.colours(image, instances, name)

        correct, reason = geneval_rules.verdict(objects, record, colours)
        shown = [
            {"class": name, "score": round(one.score, 5), "box": [round(v, 2) for v in one.box]}
            for name, instances in objects.items()
            for one in instances
        ]
        return {"correct": correct, "reason": reason, "tag": record["tag"], "detections": shown}
