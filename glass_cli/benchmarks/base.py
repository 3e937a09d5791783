"""What a benchmark is: its settings, which list prompts, and the judge that they load.

Classes inherit from these Protocols, which hold the defaults of everything optional. Settings
modules import neither torch nor transformers outside of functions.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol, TypedDict

from glass_cli.rewards.base import Kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Record = Mapping[str, Any]
"""One prompt of a benchmark: ``prompt``, and whatever else its judge reads; JSON-able."""


class Answer(TypedDict):
    """What a benchmark says of all its results.

    scores: name -> value, in the order of a table's rows.
    per_prompt: for those scores that are means over prompts, name -> one value a prompt, in the
        records' order, for bootstrap intervals.
    groups: for scores that are means of other scores, their names, since an interval for such a
        score is drawn within each of them.
    """

    scores: dict[str, float]
    per_prompt: dict[str, list[float]]
    groups: dict[str, list[str]]


class LoadedBenchmark(Protocol):
    """The judge of a benchmark in memory."""

    @abstractmethod
    def judge(self, image: Tensor, record: Record) -> dict[str, Any]:
        """What is to be said of one picture (3, H, W) in [0, 1], or one point (d,), on any device.

        JSON-able. Numbers and truth values are averaged over pictures under their names.
        """


class Benchmark(Protocol):
    """The settings of a benchmark, a frozen dataclass.

    ``images`` and ``limit`` do not change what a picture shows, so a run may be continued under
    larger ones. Optional:

    accepts: what the judge takes, "images" (the default) or "points".
    images: pictures a record, 1 (the default) or more.
    limit: at most so many records, 1 or more; None (the default) for all.
    """

    accepts: Kind = "images"
    images: int = 1
    limit: int | None = None

    @property
    @abstractmethod
    def title(self) -> str:
        """How the results are named, such as "GenEval (embedded detector)"."""

    @abstractmethod
    def records(self) -> Sequence[Record]:
        """The prompts to draw, ``limit`` of them. Raises GlassError where they cannot be had."""

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedBenchmark:
        """The judge; by default none, so that rewards and metrics alone score the pictures.

        Raises GlassError where it cannot be had.
        """
        return Unjudged()

    def summarise(self, results: Sequence[Mapping[str, Any]]) -> Answer:
        """The benchmark's scores, for which nothing is loaded.

        results: one a picture, with ``prompt_index``, ``image_index`` and ``judged``, the judge's
            answer. By default there are no scores beside the averages of what the judge says.
        """
        return {"scores": {}, "per_prompt": {}, "groups": {}}


class Unjudged(LoadedBenchmark):
    """The judge of a benchmark that is a list of prompts alone: rewards and metrics score it."""

    def judge(self, image: Tensor, record: Record) -> dict[str, Any]:
        return {}


def check_sizes(images: int, limit: int | None) -> None:
    """Raises ValueError unless there is something to draw."""
    if images < 1:
        raise ValueError(f"benchmark.images must be at least 1 (got {images})")
    if limit is not None and limit < 1:
        raise ValueError(f"benchmark.limit must be at least 1, or null for all (got {limit})")
