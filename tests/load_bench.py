"""A benchmark of as many prompts as are asked for, for the tests of glass under load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.benchmarks.base import Answer

YAML = "# for tests\n_target_: load_bench.Many\nimages: 1\nlimit: null\nnumber: 10000\n"


@dataclass(frozen=True)
class Many:
    """``number`` prompts, judged by the first coordinate of the answer's point."""

    accepts: ClassVar[str] = "points"
    title: ClassVar[str] = "Many"
    images: int = 1
    limit: int | None = None
    number: int = 10_000

    def records(self) -> list[dict[str, Any]]:
        return [{"prompt": f"a photo of {i} dogs"} for i in range(self.number)][: self.limit]

    def load(self, device: Any, dtype: Any) -> Many:
        return self

    def judge(self, sample: Tensor, record: Mapping[str, Any]) -> dict[str, Any]:
        return {"correct": float(sample[0]) > 0.0}

    def summarise(self, results: Sequence[Mapping[str, Any]]) -> Answer:
        correct = [float(result["judged"]["correct"]) for result in results]
        return {
            "scores": {"overall": sum(correct) / len(correct)},
            "per_prompt": {"overall": correct},
            "groups": {},
        }
