"""PartiPrompts (Yu et al., arXiv 2206.10789): about 1,600 prompts in twelve categories."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from glass_cli.benchmarks import lists
from glass_cli.benchmarks.base import Benchmark, check_sizes

URL = "https://raw.githubusercontent.com/google-research/parti/main/PartiPrompts.tsv"


@dataclass(frozen=True)
class PartiPrompts(Benchmark):
    """Scored by the reward and by any metrics; the paper's own scores are people's.

    path: the list's file (PartiPrompts.tsv); null downloads it once from the paper's repository.
    images: pictures a prompt, 1 or more.
    limit: the first so many prompts, 1 or more; null for all.
    """

    title = "PartiPrompts"

    path: str | None = None
    images: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        lists.check(self.path)
        check_sizes(self.images, self.limit)

    def records(self) -> list[dict[str, Any]]:
        """The prompts with their categories. Raises GlassError where the list cannot be had."""
        text, name, suffix = lists.source(self.path, URL, "PartiPrompts.tsv")
        return lists.records(text, name, suffix)[: self.limit]
