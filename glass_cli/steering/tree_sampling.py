"""Diffusion tree sampling (arXiv 2506.20701): roll-outs, and values backed up from their ends."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.steering.feynman_kac import lam_of_spread
from glass_cli.steering.guidance import check_guidance
from glass_cli.steering.node import Node, reward_of
from glass_cli.steering.searching import Searching

if TYPE_CHECKING:
    from glass_cli.steering.search import Search
    from glass_cli.steering.state import Step

_WAYS = 64  # ways down that end at finished pictures before a new start is made


@dataclass(frozen=True)
class TreeSampling(Searching):
    """Targets p(x_1) proportional to p_model(x_1) exp(lam r(x_1)), as the budget grows.

    A state's value is v(x_t) = (1/lam) log mean exp(lam v) over its children, and the reward at
    t=1: an estimate of (1/lam) log E[exp(lam r(x_1)) | x_t] from all roll-outs through it, without
    any reward of an unfinished picture. Each roll-out goes down the tree by values, leaves it where
    a state may have one child more, and goes on to the end. Values are biased low by this: what
    looks bad by chance is not visited again; less so with a smaller ``power``.

    method: how a child is taken on the way down: "sample" by exp(lam v) (DTS), "search" by the
        highest upper bound v + uct/lam sqrt(log(visits of the parent) / visits) (DTS*).
    lam: inverse temperature, 0 or more, in units of 1/reward; "auto" is ``lam_strength``
        over the standard deviation of the first finished pictures' rewards.
    lam_strength: 0 or more, without unit.
    widening, power: a state with n visits may have widening * n^power children, at least one.
        widening above 0; power from 0 to 1.
    uct: of "search", 0 or more, without unit.
    at_once: roll-outs made together, of which none knows what the others find, 1 or more.
    select: the answer is the picture of highest "reward", or a "draw" from the law aimed at.
    guidance: strength of reward guidance, 0 or more, in units of 1/reward; 0 is off.
    guidance_window: the first and the last time at which it is applied, from 0 to 1.
    """

    method: Literal["sample", "search"] = "sample"
    lam: Literal["auto"] | float = "auto"
    lam_strength: float = 2.5
    widening: float = 1.0
    power: float = 0.5
    uct: float = 1.0
    at_once: int = 4
    select: Literal["reward", "draw"] = "reward"
    guidance: float = 0.0
    guidance_window: tuple[float, float] = (0.2, 0.7)

    needs_noise = True

    def __post_init__(self) -> None:
        check_guidance(self)
        for key in ("lam", "lam_strength", "uct"):
            value = getattr(self, key)
            if isinstance(value, str):
                if value != "auto":
                    raise ValueError(f"steering.{key} must be auto or a number (got {value})")
            elif not (math.isfinite(value) and value >= 0.0):
                raise ValueError(f"steering.{key} must be a number of 0 or more (got {value})")
        if not self.widening > 0.0 or not 0.0 <= self.power <= 1.0:
            raise ValueError(
                "steering.widening must be above 0 and steering.power from 0 to 1 (got"
                f" {self.widening}, {self.power})"
            )
        if self.at_once < 1:
            raise ValueError(f"steering.at_once must be at least 1 (got {self.at_once})")

    def search(self, search: Search) -> Iterator[Step]:
        tree = _Tree(search, self)
        while True:
            starts = tree.descend(self.at_once)
            if not starts:
                break
            tree.grow(starts)
        log_w = tree.leaf_log_weights()
        chosen = None
        if self.select == "draw":
            chosen = _drawn(list(log_w), list(log_w.values()), search.uniform())
        yield from search.steps(chosen, log_w)


class _Tree:
    """Visits and values of a search's nodes; None stands for what all starts are children of."""

    def __init__(self, search: Search, rules: TreeSampling) -> None:
        self._search, self._rules = search, rules
        self._visits: dict[Node | None, int] = {None: 0}
        self._value: dict[Node, float] = {}
        search.lam = None if isinstance(rules.lam, str) else rules.lam

    def _children(self, node: Node | None) -> list[Node]:
        return self._search.levels[0] if node is None else node.children

    def descend(self, most: int) -> list[Node | None]:
        """Where the next roll-outs leave the tree: at most so many as the budget buys."""
        search, starts = self._search, list[Node | None]()
        left = search.left
        while len(starts) < most:
            node = self._leave(starts)
            if node is None:
                cost = search.cost(0, known=False)
            else:
                cost = search.cost(node.k, known=node.x_hat is not None or node in starts)
            if cost > left or (cost == 0 and starts):
                break
            left -= cost
            starts.append(node)
        return starts

    def _leave(self, pending: list[Node | None]) -> Node | None:
        """The state that gets a child more, found from the top by values; None for a new start.

        pending: those that get one already. A way that ends at a finished picture counts as a
        visit of all that it passed, which may then have more children.
        """
        rules = self._rules
        for _ in range(_WAYS):
            node: Node | None = None
            while node is None or node.k < self._search.last:
                self._visits[node] += 1
                most = max(1, math.ceil(rules.widening * self._visits[node] ** rules.power))
                if node is not None:
                    most = self._most(node, most)
                family = self._children(node)
                if len(family) + pending.count(node) < most:
                    return node
                valued = [child for child in family if child in self._value]
                if not valued:
                    return node
                node = self._taken(node, valued)
            self._visits[node] += 1
        return None

    def _most(self, node: Node, may: int) -> int:
        """A transition whose only call is x_hat at the start of the last one has no noise."""
        settled = node.k + 1 == self._search.last and self._search.calls[node.k] == 1
        return 1 if settled else may

    def _taken(self, node: Node | None, children: list[Node]) -> Node:
        lam = self._search.lam or 0.0
        values = [self._value[child] for child in children]
        if self._rules.method == "sample":
            return _drawn(children, [lam * v for v in values], self._search.uniform())
        scale = self._rules.uct / lam if lam > 0.0 else 0.0
        log_n = math.log(max(1, self._visits[node]))
        bounds = [
            v + scale * math.sqrt(log_n / self._visits[child])
            for v, child in zip(values, children, strict=True)
        ]
        return children[bounds.index(max(bounds))]

    def grow(self, starts: list[Node | None]) -> None:
        """Roll-outs from ``starts`` to the end, side by side, and their values."""
        search, nodes = self._search, list[Node]()
        new = sum(node is None for node in starts)
        moving = search.roots(new) if new else []
        nodes += moving
        for k in range(search.last):
            moving = moving + [node for node in starts if node is not None and node.k == k]
            if moving:
                moving = search.move(moving)
                nodes += moving
        self._visits |= dict.fromkeys(nodes, 1)
        search.score(moving)
        if isinstance(self._rules.lam, str) and not search.lam:
            self._find_lam()
            self._back_up(search.finished)
        else:
            self._back_up(moving)

    def _find_lam(self) -> None:
        import torch

        r = torch.tensor([reward_of(node) for node in self._search.finished])
        self._search.lam = lam_of_spread(r, self._rules.lam_strength) or 0.0

    def _back_up(self, ends: list[Node]) -> None:
        """The values of all nodes above ``ends``, from the end to the start."""
        lam = self._search.lam or 0.0
        self._value |= {node: reward_of(node) for node in ends}
        level = ends
        for _ in range(self._search.last):
            level = list(dict.fromkeys(node.parent for node in level if node.parent is not None))
            for node in level:
                values = [self._value[child] for child in node.children]
                if lam == 0.0:
                    self._value[node] = sum(values) / len(values)
                else:
                    mean = _log_sum([lam * v for v in values]) - math.log(len(values))
                    self._value[node] = mean / lam
                node.r = self._value[node]

    def leaf_log_weights(self) -> dict[Node, float]:
        """log of the chance that a way down by exp(lam v) ends at each finished node."""
        lam = self._search.lam or 0.0
        chance: dict[Node | None, float] = {None: 0.0}
        for level in self._search.levels:
            totals: dict[Node | None, float] = {}
            for node in level:
                if node.parent not in totals:
                    family = self._children(node.parent)
                    totals[node.parent] = _log_sum([lam * self._value[one] for one in family])
                chance[node] = chance[node.parent] + lam * self._value[node] - totals[node.parent]
        return {node: chance[node] for node in self._search.finished}


def _log_sum(values: list[float]) -> float:
    most = max(values)
    return most + math.log(sum(math.exp(v - most) for v in values))


def _drawn(nodes: list[Node], log_w: list[float], u: float) -> Node:
    """One of ``nodes`` by their log-weights, with the uniform number ``u``."""
    total, passed = _log_sum(log_w), 0.0
    for node, w in zip(nodes, log_w, strict=True):
        passed += math.exp(w - total)
        if u < passed:
            return node
    return nodes[-1]
