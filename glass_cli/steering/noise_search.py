"""Search over the noise that pictures begin with (arXiv 2501.09732)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.steering.guidance import check_guidance
from glass_cli.steering.searching import Searching

if TYPE_CHECKING:
    from torch import Tensor

    from glass_cli.steering.search import Search
    from glass_cli.steering.state import Step


class _Near:
    """Noise of N candidates close to that of one, ``centre``, draw by draw; keeps what it gave.

    A normal number moved by a rotation, cos a * centre + sin a * new, is a normal number again.
    """

    def __init__(
        self, search: Search, slots: Sequence[int], centre: Sequence[Tensor], radius: float
    ) -> None:
        self._search, self._slots, self._centre = search, slots, centre
        self._radius = radius
        self.draws: list[Tensor] = []

    def __call__(self, *_: int) -> Tensor:
        new = self._search.noise.of(self._slots)
        if self._centre:
            share = math.sqrt(1.0 - self._radius**2)
            new = share * self._centre[len(self.draws)] + self._radius * new
        self.draws.append(new)
        return new


@dataclass(frozen=True)
class NoiseSearch(Searching):
    """Whole pictures are drawn until the budget is spent; the best is the answer.

    method: "random" draws each from new noise, which is best-of-N; "zero_order" draws neighbours of
        the best so far.
    neighbours: pictures drawn together before the best is looked for, 1 or more.
    radius: how far neighbours are, above 0, at most 1, which is new noise: their noise is
        sqrt(1 - radius^2) times the best one's plus radius times new. With a sampler that draws
        noise on the way, that noise is moved too.
    guidance: strength of reward guidance, 0 or more, in units of 1/reward; 0 is off.
    guidance_window: the first and the last time at which it is applied, from 0 to 1.
    """

    method: Literal["zero_order", "random"] = "zero_order"
    neighbours: int = 4
    radius: float = 0.5
    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    def __post_init__(self) -> None:
        check_guidance(self)
        if self.method not in ("zero_order", "random"):
            raise ValueError(f"steering.method must be zero_order or random (got {self.method})")
        if self.neighbours < 1:
            raise ValueError(f"steering.neighbours must be at least 1 (got {self.neighbours})")
        if not 0.0 < self.radius <= 1.0:
            raise ValueError(f"steering.radius must be above 0 and at most 1 (got {self.radius})")

    def search(self, search: Search) -> Iterator[Step]:
        centre: list[Tensor] = []
        best = None
        picture = search.cost(0, known=False)
        while best is None or search.left >= picture:
            count = min(self.neighbours, search.left // picture)
            slots = search.slots(count)
            near = _Near(search, slots, centre, self.radius)
            ends = search.finish(search.roots(count, near, slots), near)
            best_end = search.best(ends if best is None else [best, *ends])
            if best_end is not best and self.method == "zero_order":
                centre = [draws[ends.index(best_end)] for draws in near.draws]
            best = best_end
        yield from search.steps()
