"""Rollover budget forcing (arXiv 2503.19385): each transition is tried until its reward rises."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.steering.guidance import check_guidance
from glass_cli.steering.node import Node, reward_of
from glass_cli.steering.searching import Searching

if TYPE_CHECKING:
    from glass_cli.steering.search import Search
    from glass_cli.steering.state import Step


@dataclass(frozen=True)
class RolloverBudget(Searching):
    """One lineage; of each transition as many offspring are drawn as its share of the budget buys.

    The first whose x_hat has a higher reward than its parent's ends the transition, and what is
    left of the share rolls over to the next; where none has, the best goes on. The last transition
    takes all that is left, and the answer is the best picture of it.

    at_once: offspring that are drawn together before their rewards are looked at, 1 or more; the
        paper's is 1, more keep an accelerator busy.
    guidance: strength of reward guidance, 0 or more, in units of 1/reward; 0 is off.
    guidance_window: the first and the last time at which it is applied, from 0 to 1.
    """

    at_once: int = 1
    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    needs_noise = True

    def __post_init__(self) -> None:
        check_guidance(self)
        if self.at_once < 1:
            raise ValueError(f"steering.at_once must be at least 1 (got {self.at_once})")

    def search(self, search: Search) -> Iterator[Step]:
        (node,) = search.roots(1)
        search.score([node])
        costs = [search.cost(k, k + 1) for k in range(search.last)]
        shares = [search.left * cost / max(1, sum(costs)) for cost in costs]
        # spent before the end of a transition is not to be more than this: what is left rolls over
        allowed = [search.flow.calls + share for share in itertools.accumulate(shares)]
        for k, cost in enumerate(costs):
            tried = list[Node]()
            while not tried or (cost > 0 and search.flow.calls + cost <= allowed[k] + 1e-6):
                free = self.at_once if cost == 0 else int((allowed[k] - search.flow.calls) // cost)
                tried += search.move([node] * max(1, min(self.at_once, free)))
                search.score([child for child in tried if child.r is None])
                rises = reward_of(search.best(tried)) > reward_of(node)
                if rises and k + 1 < search.last:
                    break
            node = search.best(tried)
        yield from search.steps()
