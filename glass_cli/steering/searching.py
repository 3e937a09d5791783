"""What a steering is that searches: it grows a tree of states, and keeps to a budget."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterator
from typing import TYPE_CHECKING

from glass_cli.steering.base import Steering

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.particles import Particles
    from glass_cli.steering.search import Search
    from glass_cli.steering.state import Step


class Searching(Steering):
    """A steering that spends a picture's network calls in an order of its own.

    Instead of moving particles side by side it grows a tree of states, see
    :mod:`glass_cli.steering.search`.
    """

    needs_reward = True

    @abstractmethod
    def search(self, search: Search) -> Iterator[Step]:
        """Draws and scores states until the budget is spent, then yields
        :meth:`glass_cli.steering.search.Search.steps`."""

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> int | None:
        """Not asked: the search itself says what the answer is."""
        return None
