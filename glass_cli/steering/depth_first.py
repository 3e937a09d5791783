"""Depth-first search over noise levels (arXiv 2505.23614): what is not good enough goes back."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.steering.guidance import check_guidance, check_window
from glass_cli.steering.node import reward_of
from glass_cli.steering.searching import Searching

if TYPE_CHECKING:
    from glass_cli.steering.search import Search
    from glass_cli.steering.state import Step


@dataclass(frozen=True)
class DepthFirst(Searching):
    """One particle at a time, which is noised again where the reward of its x_hat is too low.

    A picture that is finished is kept, and another begun from new noise for as long as the budget
    lasts; the best is the answer.

    threshold: what a reward must reach, in its unit. A finished picture that reaches it ends the
        search, whatever is left of the budget. "auto": the ``quantile`` of the earlier rewards at
        the same time under the same prompt, which all of the budget is spent on.
    quantile: from 0 (everyone passes) to 1.
    back: how many transitions it goes back, 1 or more.
    window: the first and the last time at which rewards are looked at, from 0 to 1.
    guidance: strength of reward guidance, 0 or more, in units of 1/reward; 0 is off.
    guidance_window: the first and the last time at which it is applied, from 0 to 1.
    """

    threshold: Literal["auto"] | float = "auto"
    quantile: float = 0.5
    back: int = 2
    window: tuple[float, float] = (0.0, 1.0)
    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    def __post_init__(self) -> None:
        check_guidance(self)
        object.__setattr__(self, "window", check_window(self.window, "steering.window"))
        if isinstance(self.threshold, str) and self.threshold != "auto":
            raise ValueError(f"steering.threshold must be auto or a number (got {self.threshold})")
        if not 0.0 <= self.quantile <= 1.0:
            raise ValueError(f"steering.quantile must be from 0 to 1 (got {self.quantile})")
        if self.back < 1:
            raise ValueError(f"steering.back must be at least 1 (got {self.back})")

    def search(self, search: Search) -> Iterator[Step]:
        first, last = self.window[0] - 1e-9, self.window[1] + 1e-9
        earlier: dict[int, list[float]] = defaultdict(list)
        while not search.finished or search.left >= search.cost(0, known=False):
            (node,) = search.roots(1)
            while node.k < search.last:
                (node,) = search.move([node])
                if node.k == search.last or not first <= search.times[node.k] <= last:
                    continue
                (r,) = search.score([node])
                wanted = self._wanted(earlier[node.k])
                earlier[node.k].append(r)
                start = max(0, node.k - self.back)
                if r < wanted and search.left >= search.cost(start, known=False):
                    node = search.noised(node, start)
            search.score([node])
            if not isinstance(self.threshold, str) and reward_of(node) >= self.threshold:
                break
        yield from search.steps()

    def _wanted(self, earlier: list[float]) -> float:
        if not isinstance(self.threshold, str):
            return self.threshold
        if not earlier:
            return -math.inf
        ranked = sorted(earlier)
        return ranked[min(len(ranked) - 1, int(self.quantile * len(ranked)))]
