"""What a steering works with that looks for the answer in a tree of states, at a budget.

A loop over a fixed number of particles cannot go back, nor try once more. A search can: its nodes
are states x_t at the ends of transitions, each a child of the one that it was drawn from, and it
spends its network calls on whichever it likes.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

import torch
from torch import Tensor

from glass_cli.method.flow import Normal, Sampler
from glass_cli.method.noise import ParticleNoise
from glass_cli.steering.base import Reward, SampleReward
from glass_cli.steering.node import Node, reward_of
from glass_cli.steering.particles import Particles
from glass_cli.steering.state import CountedFlow, Step, finite, scores


class Search:
    """Draws, moves and scores the states of one picture; never spends more than the budget.

    flow, sampler, noise: as of :func:`glass_cli.steering.loop.steer`.
    reward: scores clean particles (N, *shape) -> (N,).
    times: the K + 1 times between which transitions run.
    calls: network calls of each of the K transitions.
    budget: network calls of the picture in all.
    keep: how many finished particles are given at the end: those of the highest rewards.
    choice: gives the uniforms of what is drawn beside noise.
    """

    def __init__(
        self,
        flow: CountedFlow,
        sampler: Sampler,
        reward: Reward,
        noise: ParticleNoise,
        times: Sequence[float],
        calls: Sequence[int],
        budget: int,
        keep: int,
        choice: torch.Generator,
    ) -> None:
        if budget < sum(calls):
            raise ValueError(
                f"budget={budget} is less than the {sum(calls)} network calls of one picture; use a"
                " higher budget, fewer calls or fewer transitions"
            )
        self.flow, self.noise = flow, noise
        self.times, self.calls, self.budget = tuple(times), tuple(calls), budget
        self.last = len(calls)
        self._sampler, self._reward, self._keep, self._choice = sampler, reward, keep, choice
        self._spent = [0] * (self.last + 1)
        self._slots = 0
        self.levels: list[list[Node]] = [[] for _ in range(self.last + 1)]
        self.lam: float | None = None
        self.scored = 0  # samples so far

    @property
    def left(self) -> int:
        """Network calls that may still be made."""
        return self.budget - self.flow.calls

    @property
    def finished(self) -> list[Node]:
        """All nodes at t=1, in their order."""
        return self.levels[self.last]

    def cost(self, k: int, k_end: int | None = None, known: bool = True) -> int:
        """Network calls of one particle from the start of transition k to that of ``k_end``.

        k_end: K where it is None; the call for x_hat there is among them, but at K needs none.
        known: whether x_hat at k has been asked for.
        """
        k_end = self.last if k_end is None else k_end
        return sum(self.calls[k:k_end]) + (k_end < self.last) - known

    def uniform(self) -> float:
        """A uniform number in [0, 1)."""
        return float(torch.rand(1, generator=self._choice, dtype=torch.float64))

    def slots(self, count: int) -> list[int]:
        """Numbers of ``count`` generators that nothing was drawn from yet."""
        first, self._slots = self._slots, self._slots + count
        return list(range(first, self._slots))

    def roots(
        self, count: int, normal: Normal | None = None, slots: Sequence[int] | None = None
    ) -> list[Node]:
        """``count`` states at the start.

        normal: their noise; None is that of their slots.
        slots: theirs; None are new ones.
        """
        slots = self.slots(count) if slots is None else slots
        x = self.noise.of(slots) if normal is None else normal()
        return self._add(0, x, slots, [None] * count)

    def look(self, nodes: Sequence[Node]) -> None:
        """Asks for x_hat of those of ``nodes``, all of one time before the end, that lack it."""
        new = [node for node in dict.fromkeys(nodes) if node.x_hat is None]
        if not new:
            return
        self._afford(len(new))
        k = new[0].k
        x_hat = self.flow.denoise(torch.stack([node.x for node in new]), self.times[k])
        self._spent[k] += len(new)
        for node, one in zip(new, x_hat, strict=True):
            node.x_hat = one

    def move(self, parents: Sequence[Node], normal: Normal | None = None) -> list[Node]:
        """A child of each of ``parents``, which are of one time; one may be there repeatedly.

        normal: their noise; None is that of their slots: a first child goes on with its parent's.
        """
        self.look(parents)
        k = parents[0].k
        self._afford(len(parents) * (self.calls[k] - 1))
        slots, seen = [], set[Node]()
        for node in parents:
            fresh = bool(node.children) or node in seen
            slots.append(self.slots(1)[0] if fresh else node.slot)
            seen.add(node)
        x_hats = [node.x_hat for node in parents if node.x_hat is not None]
        x = self._sampler.transition(
            self.flow,
            torch.stack([node.x for node in parents]),
            torch.stack(x_hats),
            self.times[k],
            self.times[k + 1],
            normal or (lambda *_: self.noise.of(slots)),
            self.calls[k],
        )
        self._spent[k + 1] += len(parents) * (self.calls[k] - 1)
        return self._add(k + 1, x, slots, parents)

    def noised(self, node: Node, k: int) -> Node:
        """``node`` taken back to the start of the earlier transition ``k``, with new noise.

        A draw of x_s given x_t for s < t under the forward process; at s=0 it is a new start. In
        the tree it is a sibling of what ``node`` descends from there.
        """
        path, (slot,) = self.flow.path, self.slots(1)
        alpha, sigma, _, _ = path.at(self.times[k])
        alpha_t, sigma_t, _, _ = path.at(self.times[node.k])
        share = alpha / alpha_t
        spread = math.sqrt(max(sigma**2 - (share * sigma_t) ** 2, 0.0))
        x = share * node.x[None] + spread * self.noise.of([slot])
        ancestor: Node | None = node
        while ancestor is not None and ancestor.k >= k:
            ancestor = ancestor.parent
        return self._add(k, x, [slot], [ancestor])[0]

    def joined(self, node: Node, x: Tensor, sample: Tensor | None = None) -> Node:
        """``node`` with another clean picture ``x`` in place of its own, to be scored and noised.

        sample: what a :class:`SampleReward` scores; None decodes ``x``.

        It is no state of the tree, and never the answer.
        """
        return Node(self.last, x, node.slot, node.parent, sample=sample)

    def score(self, nodes: Sequence[Node], keep: bool = False) -> list[float]:
        """The rewards of ``nodes``, all of one time: of x_hat, or at the end of x itself.

        keep: at the end, their samples too, until :meth:`forget`.
        """
        k = nodes[0].k
        if k < self.last:
            self.look(nodes)
        values = [node.x if k == self.last else node.x_hat for node in nodes]
        x = torch.stack([value for value in values if value is not None])
        r = self._rewards(nodes, x, keep) if k == self.last else self._reward(x)
        self.scored += len(x)
        for node, value in zip(nodes, scores(r, len(x), k, self.times[k]).tolist(), strict=True):
            node.r = float(value)
        return [reward_of(node) for node in nodes]

    def _rewards(self, nodes: Sequence[Node], x: Tensor, keep: bool) -> Tensor:
        """Of finished ``nodes``, whose particles are ``x``; what has its sample is not decoded."""
        finite(x.flatten(1).sum(1), "the sum of the values", self.last, 1.0)
        if not isinstance(self._reward, SampleReward):
            return self._reward(x)
        known = [node.sample for node in nodes if node.sample is not None]
        samples = torch.stack(known) if len(known) == len(nodes) else self._reward.decode(x)
        if keep:
            for node, sample in zip(nodes, samples, strict=True):
                node.sample = sample
        return self._reward.of(samples)

    def forget(self, nodes: Sequence[Node]) -> None:
        """Lets go of the samples of all finished nodes but ``nodes``."""
        for node in self.finished:
            if node.sample is not None:  # one of many, whose memory a copy sets free
                node.sample = node.sample.clone() if node in nodes else None

    def finish(
        self, nodes: Sequence[Node], normal: Normal | None = None, keep: bool = False
    ) -> list[Node]:
        """Moves each of ``nodes``, all of one time, on to the end, and scores it there.

        normal: the noise on the way, see :meth:`move`.
        keep: their samples too, see :meth:`score`.
        """
        while nodes[0].k < self.last:
            nodes = self.move(nodes, normal)
        self.score(nodes, keep)
        return list(nodes)

    def best(self, nodes: Sequence[Node]) -> Node:
        """The one of the highest reward, the first of equals."""
        return max(nodes, key=reward_of)

    def steps(
        self, chosen: Node | None = None, log_w: Mapping[Node, float] | None = None
    ) -> Iterator[Step]:
        """The tree as the steps of a run: at each time all its states, with their children's
        numbers as copies; at the end the ``keep`` of the highest rewards, the answer among them.

        chosen: the answer; None is the finished one of the highest reward.
        log_w: log-weights of the finished, up to a constant; None for equal ones.
        """
        chosen = self.best(self.finished) if chosen is None else chosen
        best = sorted(self.finished, key=lambda node: -reward_of(node))[: max(1, self._keep)]
        kept = {*best} if chosen in best else {*best[:-1], chosen}
        self.levels[self.last] = [node for node in self.finished if node in kept]
        roots = {node: i for i, node in enumerate(self.levels[0])}
        lineage = [*range(len(roots))]
        for k in range(self.last):
            here, following = self.levels[k], self.levels[k + 1]
            place = {node: i for i, node in enumerate(here)}
            parents = [place[_parent(node)] for node in following]
            lineage = [lineage[i] for i in parents]
            x = torch.stack([here[i].x for i in parents])
            hats = [here[i].x_hat for i in parents]
            x_hat = torch.stack([hat for hat in hats if hat is not None])
            yield self._step(k, here, self._particles(k, x, x_hat, lineage), parents, None)
        last = self.levels[self.last]
        x = torch.stack([node.x for node in last])
        particles = self._particles(self.last, x, x, lineage)
        weights = torch.tensor([log_w[n] if log_w else 0.0 for n in last], dtype=torch.float64)
        weights = weights.log_softmax(0)
        particles = replace(particles, log_w=weights)
        yield self._step(self.last, last, particles, None, last.index(chosen), weights)

    def _particles(self, k: int, x: Tensor, x_hat: Tensor, lineage: list[int]) -> Particles:
        start = Particles.at_start(x, x_hat)
        return replace(start, lineage=torch.tensor(lineage), lam=self.lam, t=self.times[k])

    def _step(
        self,
        k: int,
        nodes: Sequence[Node],
        particles: Particles,
        parents: list[int] | None,
        chosen: int | None,
        log_w: Tensor | None = None,
    ) -> Step:
        rewards = [node.r for node in nodes if node.r is not None]
        n = len(nodes)
        if log_w is None:
            log_w = torch.full((n,), -math.log(n), dtype=torch.float64)
        return Step(
            k,
            self.times[k],
            particles,
            torch.tensor(rewards, dtype=torch.float64) if len(rewards) == n else None,
            log_w,
            float(torch.exp(-(2.0 * log_w).logsumexp(0))),
            None if parents is None else torch.tensor(parents),
            self.flow.calls if chosen is not None else sum(self._spent[: k + 1]),
            chosen,
        )

    def _add(
        self, k: int, x: Tensor, slots: Sequence[int], parents: Sequence[Node | None]
    ) -> list[Node]:
        nodes = [
            Node(k, one, slot, parent) for one, slot, parent in zip(x, slots, parents, strict=True)
        ]
        for node, parent in zip(nodes, parents, strict=True):
            if parent is not None:
                parent.children.append(node)
        self.levels[k] += nodes
        return nodes

    def _afford(self, calls: int) -> None:
        if calls > self.left:
            raise ValueError(
                f"the search asks for {calls} network calls more, {self.left} of {self.budget} are"
                " left"
            )


def _parent(node: Node) -> Node:
    assert node.parent is not None
    return node.parent
