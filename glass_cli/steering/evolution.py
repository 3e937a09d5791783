"""Evolutionary search: the best finished pictures are joined, noised again, and finished anew."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.method.flow import aspect_of
from glass_cli.steering.guidance import check_guidance, check_window
from glass_cli.steering.node import Node, reward_of
from glass_cli.steering.searching import Searching

if TYPE_CHECKING:
    from glass_cli.steering.search import Search
    from glass_cli.steering.state import Step


@dataclass(frozen=True)
class Evolution(Searching):
    """Whole pictures from new noise first, then generations of children of the best of all so far.

    A child is its parent, noised to a time of ``window`` and drawn on from there: a draw of
    p(x_1 | x_t) for x_t ~ p(x_t | x_1). This is a step of Gibbs sampling, so that children of draws
    of the model's law are draws of it: a picture changes as a whole by little, and stays one that
    the model would draw. With ``keep`` below 1 children are scored at once, by the x_hat that their
    first network call gives, and the worst are not drawn on; else rewards are those of finished
    pictures alone. In the spirit of EvoSearch (arXiv 2505.17618), which mutates the starting noise
    and states on the way. Works with any sampler of several transitions, an ODE too.

    With ``crossover`` a child may have two parents: collages of two of the best, one on each side
    of a straight cut, are scored as they are, which takes reward calls and no network calls; a
    reward of decoded pictures is asked about the joined pictures of the parents, so that nothing
    more is decoded. What is noised are the best of collages and parents. Drawn on from the noise,
    the halves grow together. What one picture has right on the left and another on the right is
    found so far sooner than by chance; such a child is no longer a draw of the model's law.

    first: share of the budget for the pictures from new noise, above 0, at most 1 (best-of-N).
    parents: how many of the best a generation is bred from, 1 (without collages) or more.
    children: of a generation for each parent, 1 or more. With ``crossover`` those that have them
        are the best of collages and parents together.
    window: the first and the last time that children are noised to, from 0 to 1: the starts of
        transitions within it, in turn, or the nearest where none is. Later is nearer to the parent,
        and costs fewer calls.
    crossover: collages that are scored for each child, 0 or more; 0 is one parent each, as are
        particles that are points.
    keep: share of a generation's children that are finished, above 0, at most 1 (all of them).
    reward_cost: network calls that a scored sample, a collage too, counts as in the budget, 0 or
        more.
    guidance: strength of reward guidance, 0 or more, in units of 1/reward; 0 is off.
    guidance_window: the first and the last time at which it is applied, from 0 to 1.

    Raises ValueError for a value out of range.
    """

    first: float = 0.5
    parents: int = 8
    children: int = 1
    window: tuple[float, float] = (0.15, 0.65)
    crossover: int = 4
    keep: float = 1.0
    reward_cost: float = 0.0
    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    def __post_init__(self) -> None:
        check_guidance(self)
        object.__setattr__(self, "window", check_window(self.window, "steering.window"))
        for name in ("first", "keep"):
            if not 0.0 < (share := getattr(self, name)) <= 1.0:
                raise ValueError(f"steering.{name} must be above 0 and at most 1 (got {share})")
        for name in ("parents", "children"):
            if getattr(self, name) < 1:
                raise ValueError(f"steering.{name} must be at least 1 (got {getattr(self, name)})")
        for name in ("crossover", "reward_cost"):
            if not 0 <= (value := getattr(self, name)) < math.inf:
                raise ValueError(f"steering.{name} must be 0 or more (got {value})")

    def search(self, search: Search) -> Iterator[Step]:
        picture = search.cost(0, known=False)
        breeding = self.crossover > 0 and self.parents > 1
        first = int(int(self.first * search.budget) / (picture + self.reward_cost) + 1e-9)
        roots = search.roots(max(1, first))
        search.finish(roots, keep=breeding)
        starts = self._starts(search.times)
        for k in itertools.cycle(starts):
            count = self._affordable(search, k)
            if count:
                best = sorted(search.finished, key=lambda node: -reward_of(node))[: self.parents]
                search.forget(best)
                best = self._crossed(search, best, count)
                children = [search.noised(best[i % len(best)], k) for i in range(count)]
                search.finish(self._kept(search, children), keep=breeding)
            elif not self._affordable(search, starts[-1]):
                break
        search.forget([])
        yield from search.steps()

    def _crossed(self, search: Search, best: list[Node], count: int) -> list[Node]:
        """What ``count`` children are to be noised from: the best of ``best`` and its collages."""
        from glass_cli.steering.crossover import collage, cut, has_sides

        if not self.crossover or len(best) < 2 or not has_sides(tuple(best[0].x.shape)):
            return best
        samples = [node.sample for node in best]
        pictures = [each for each in samples if each is not None and each.ndim == 3]
        decoded = len(pictures) == len(best)
        aspect = aspect_of(search.flow)
        if decoded:
            aspect = float(pictures[0].shape[1] / pictures[0].shape[2])
        collages = []
        for _ in range(self.crossover * count):
            a = int(search.uniform() * len(best))
            b = (a + 1 + int(search.uniform() * (len(best) - 1))) % len(best)
            share, down = 0.25 + 0.5 * search.uniform(), search.uniform() < 0.5
            share, down = cut(best[a].x, share, down, aspect)
            x = collage(best[a].x, best[b].x, share, down, aspect)
            sample = collage(pictures[a], pictures[b], share, down) if decoded else None
            collages.append(search.joined(best[a], x, sample))
        search.score(collages)
        return sorted([*collages, *best], key=lambda node: -reward_of(node))[:count]

    def _finished(self, count: int) -> int:
        """How many of ``count`` children are drawn to the end."""
        return max(1, round(self.keep * count))

    def _affordable(self, search: Search, k: int) -> int:
        """How many children from transition k on can be paid for, a generation's at most."""
        cost = search.cost(k)  # beyond the first call, which says what x_hat is
        counts = range(self.parents * self.children, 0, -1)
        left = search.left - self.reward_cost * search.scored + 1e-9
        return next((n for n in counts if self._cost(n, cost) <= left), 0)

    def _cost(self, n: int, cost: int) -> float:
        """Of a generation of ``n`` children, each of which takes ``cost`` calls beyond its first,
        with the reward calls that it makes at most."""
        finished = self._finished(n)
        scored = self.crossover * n + finished + (n if self.keep < 1.0 else 0)
        return n + finished * cost + self.reward_cost * scored

    def _kept(self, search: Search, children: list[Node]) -> list[Node]:
        """Those of a generation that are worth finishing."""
        if self.keep == 1.0:
            return children
        search.score(children)
        return sorted(children, key=lambda node: -reward_of(node))[: self._finished(len(children))]

    def _starts(self, times: Sequence[float]) -> list[int]:
        """The transitions before which children begin."""
        first, last = self.window
        away = [max(first - t, t - last, 0.0) for t in times[:-1]]
        return [k for k, far in enumerate(away) if far <= min(away) + 1e-9]
