"""A list of prompts of one's own, scored by the reward and by any metrics."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from glass_cli.benchmarks import lists
from glass_cli.benchmarks.base import Benchmark, check_sizes


@dataclass(frozen=True)
class Prompts(Benchmark):
    """A list of prompts, scored by the reward and by any metrics.

    path: a text file with a prompt a line, a CSV or TSV file with a column ``prompt``, or a
        JSON-lines file whose objects have ``prompt``. A column ``category`` makes groups.
    images: pictures a prompt, 1 or more.
    limit: the first so many prompts, 1 or more; null for all.
    """

    path: str
    images: int = 1
    limit: int | None = None

    def __post_init__(self) -> None:
        lists.check(self.path)
        check_sizes(self.images, self.limit)

    @property
    def title(self) -> str:
        return Path(self.path).name

    def records(self) -> list[dict[str, Any]]:
        path = Path(self.path).expanduser()
        entries = lists.records(lists.read(path), f"{lists.KEY}={self.path}", path.suffix)
        return entries[: self.limit]
