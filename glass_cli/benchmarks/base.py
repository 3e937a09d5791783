"""What every benchmark gives: records to draw pictures for, and a judge of the pictures.

The settings class of a benchmark is light (it imports neither torch nor transformers) and has

* ``accepts``: "images" or "points", what its judge takes;
* ``images``: pictures a record; ``limit``: at most so many records, null for all. Neither changes
  what a picture shows (``sizes``), so a run may be gone on with under a larger number;
* ``title``: how its results are named, such as "GenEval (embedded detector)";
* ``records()``: the list, and ``load(device, dtype)``: the judge;
* ``summarise`` as the judge's, where that needs nothing loaded.

An experiment on the model itself, rather than on pictures judged one by one, has only ``title``,
``accepts`` and ``study(made, store) -> summary`` (see ``glass_cli.engine.evaluate``).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, TypedDict

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Record = Mapping[str, Any]


class Answer(TypedDict):
    """What a benchmark says of all its results.

    ``scores``: name -> value, in the order of a table's rows. ``per_prompt``: for those scores that
    are means over prompts, name -> one value a prompt, in the records' order, for bootstrap
    intervals. ``groups``: for scores that are means of other scores, their names, since an interval
    for such a score is drawn within each of them.
    """

    scores: dict[str, float]
    per_prompt: dict[str, list[float]]
    groups: dict[str, list[str]]


class LoadedBenchmark(Protocol):
    """A benchmark in memory."""

    def judge(self, image: Tensor, record: Record) -> dict[str, Any]:
        """What is to be said of one picture (3, H, W) in [0, 1], on any device; JSON-able."""

    def summarise(self, results: Sequence[Mapping[str, Any]]) -> Answer:
        """The scores; each result has ``record_index``, ``image_index`` and ``judged``."""


class Benchmark(Protocol):
    """The settings of a benchmark."""

    accepts: ClassVar[str]
    images: int
    limit: int | None

    @property
    def title(self) -> str: ...

    def records(self) -> list[dict[str, Any]]:
        """Each has at least ``prompt``. Raises GlassError where the list cannot be had."""

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedBenchmark: ...


def check_sizes(images: int, limit: int | None) -> None:
    """Raises ValueError unless there is something to draw."""
    if images < 1:
        raise ValueError(f"benchmark.images must be at least 1 (got {images})")
    if limit is not None and limit < 1:
        raise ValueError(f"benchmark.limit must be at least 1, or null for all (got {limit})")


class Unjudged:
    """The judge of a benchmark that is a list of prompts alone: rewards and metrics score it."""

    def judge(self, image: Tensor, record: Record) -> dict[str, Any]:
        return {}

    def summarise(self, results: Sequence[Mapping[str, Any]]) -> Answer:
        return {"scores": {}, "per_prompt": {}, "groups": {}}
