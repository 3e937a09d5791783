"""DrawBench (Saharia et al., arXiv 2205.11487): 200 prompts in eleven categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glass_cli.benchmarks import lists
from glass_cli.benchmarks.base import Benchmark, check_sizes

# The table that the paper's authors published, as CSV.
URL = (
    "https://docs.google.com/spreadsheets/d/1y7nAbmR4FREi6npB1u-Bo3GFdwdOPYJc617rBOxIRHY/"
    "gviz/tq?tqx=out:csv&sheet=Sheet1"
)


@dataclass(frozen=True)
class DrawBench(Benchmark):
    """Scored by the reward and by any metrics; the paper's own scores are people's.

    path: the list as a CSV file with columns Prompts and Category; null downloads it once from the
        authors' table.
    images: pictures a prompt, 1 or more.
    limit: the first so many prompts, 1 or more; null for all.
    """

    title = "DrawBench"

    path: str | None = None
    images: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        lists.check(self.path)
        check_sizes(self.images, self.limit)

    def records(self) -> list[dict[str, Any]]:
        """The prompts with their categories. Raises GlassError where the list cannot be had."""
        text, name, suffix = lists.source(self.path, URL, "DrawBench.csv")
        return lists.records(text, name, suffix)[: self.limit]
