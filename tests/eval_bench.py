"""Benchmarks as small as they can be, for the tests of glass eval."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

from glass_cli.common.errors import GlassError
from glass_cli.config import settings

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.benchmarks.base import Answer

WORDS = ["red apple", "blue car", "green umbrella", "yellow bus", "orange", "purple cat"]


@dataclass(frozen=True)
class Tiny:
    """Verdicts and numbers of pictures, in two parts; ``deadly`` kills its process at a record."""

    accepts: ClassVar[str] = "images"
    title: ClassVar[str] = "Tiny"
    images: int = 2
    limit: int | None = None
    strict: float = 0.75
    deadly: str | None = None  # a file: whoever judges record 1 first removes it and dies
    missing: bool = False

    def records(self) -> list[dict[str, Any]]:
        found = [
            {"tag": "even" if i % 2 == 0 else "odd", "prompt": f"a photo of a {word}"}
            for i, word in enumerate(WORDS)
        ]
        # the first few are not the first of the list, as with GenEval's
        turns = [found[0], found[2], found[1], *found[3:]]
        return found if self.limit is None else turns[: self.limit]

    def load(self, device: Any, dtype: Any) -> Tiny:
        if self.missing:
            raise GlassError("the judge's weights are not there; fetch them")
        return self

    def judge(self, image: Tensor, record: Mapping[str, Any]) -> dict[str, Any]:
        if self.deadly and record["prompt"].endswith(WORDS[1]) and Path(self.deadly).exists():
            Path(self.deadly).unlink()
            time.sleep(0.3)
            os.kill(os.getpid(), 9)
        value = float(image.double().mean())
        return {"correct": value > self.strict, "value": value, "seen": list(image.shape)}

    def summarise(self, results: Sequence[Mapping[str, Any]]) -> Answer:
        parts: dict[str, dict[int, list[float]]] = {"even": {}, "odd": {}}
        for result in results:
            index = result["prompt_index"]
            mine = parts["odd" if index % 2 else "even"].setdefault(index, [])
            mine.append(float(result["judged"]["correct"]))
        shares = {
            part: [sum(values) / len(values) for values in found.values()]
            for part, found in parts.items()
        }
        scores = {part: sum(values) / len(values) for part, values in shares.items() if values}
        scores["overall"] = sum(scores.values()) / len(scores)
        return {"scores": scores, "per_prompt": shares, "groups": {"overall": ["even", "odd"]}}


@dataclass(frozen=True)
class TinyPoints(Tiny):
    """The same of points."""

    accepts: ClassVar[str] = "points"
    title: ClassVar[str] = "Tiny points"
    strict: float = 0.0


@dataclass(frozen=True)
class Study(settings.Study):
    """An experiment on the model itself."""

    title = "Study"
    scale: float = 2.0

    def study(self, settings: Any, folder: Any) -> dict[str, Any]:
        return {"benchmark": self.title, "score": self.scale * settings.root.particles}
