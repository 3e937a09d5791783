"""The tree of a steered run's particles: who was copied, who was killed, and by what weight."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from glass_cli.output.ancestry import generations
from glass_cli.output.results import Result, StepRow


@dataclass(frozen=True)
class Node:
    """A particle at a step.

    column, row: its place; rows from the top, such that no lines cross.
    parent: the row in the column before of the particle that it continues; None at the start.
    lineage: its ancestor at t=0.
    reward, weight: as scored, and its share of all weights; None where nothing was scored.
    copies: its children by resampling, None where nobody was resampled.
    lives: whether it has descendants at the end.
    answer: whether the answer is one of them.
    description: all this as a sentence.
    """

    column: int
    particle: int
    row: int
    parent: int | None
    lineage: int
    reward: float | None
    weight: float | None
    copies: int | None
    lives: bool
    answer: bool
    description: str

    @property
    def killed(self) -> bool:
        return self.copies == 0


@dataclass(frozen=True)
class Tree:
    """The nodes of a steered run.

    columns: at each of the steps the nodes by their rows.
    size: the most particles of any step.
    descriptions: of each step, what happened.
    """

    steps: tuple[StepRow, ...]
    columns: tuple[tuple[Node, ...], ...]
    size: int
    descriptions: tuple[str, ...]


def tree_of(result: Result) -> Tree:
    """The tree of ``result``, at its start, its end, and every step with rewards or resampling."""
    own = generations(result)
    columns: list[tuple[Node, ...]] = []
    place = list(own[0].parents)  # particle -> row
    for k, (step, mine, lineage, lives, answer) in enumerate(own):
        same = range(step.number)
        before = place
        # children stand in the order of their parents: then no two lines cross
        order = [i for _, i in sorted((before[mine[i]], i) for i in same)]
        place = [order.index(i) for i in same]
        copies = Counter(step.ancestors) if step.ancestors is not None else None
        columns.append(
            tuple(
                Node(
                    column=k,
                    particle=i,
                    row=row,
                    parent=before[mine[i]] if k else None,
                    lineage=lineage[i],
                    reward=step.rewards[i] if step.rewards else None,
                    weight=step.weights[i] if step.weights and step.rewards else None,
                    copies=None if copies is None else copies[i],
                    lives=i in lives,
                    answer=i in answer,
                    description=_description(result, step, i, copies, k == len(own) - 1),
                )
                for row, i in enumerate(order)
            )
        )
    shown = tuple(each.step for each in own)
    happened = tuple(_happened(step, k, len(shown)) for k, step in enumerate(shown))
    return Tree(shown, tuple(columns), max(step.number for step in shown), happened)


def percent(share: float) -> str:
    """A share in per cent with as many digits as it needs."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f} %" if value >= 0.05 else "<0.1 %"


def _description(
    result: Result, step: StepRow, i: int, copies: Counter[int] | None, last: bool
) -> str:
    n = step.number
    parts = [f"Particle {i}, finished" if last else f"Particle {i} at t = {step.t:.3g}"]
    reward = step.rewards[i] if step.rewards else None
    weight = step.weights[i] if step.weights and step.rewards else None
    if reward is not None:
        parts.append(f"reward {reward:.4g}")
    if weight is not None:
        parts.append(f"weight {percent(weight)}, an even share being {percent(1 / n)}")
    text = ", ".join(parts) + "."
    if copies is not None:
        expected = f"{copies.total() * weight:.2f}" if weight is not None else "?"
        number = {0: "none: killed", 1: "one"}.get(copies[i], str(copies[i]))
        text += f" Resampling owed it {expected} copies and made {number}."
    elif step.rewards is not None and not last and step.ess is not None:
        text += f" Nobody was resampled (ESS {step.ess:.1f} of {n}); the weight carries over."
    if last and result.chosen == i:
        text += " This is the answer."
    return text


def _happened(step: StepRow, k: int, count: int) -> str:
    """One step, for the table beside the drawing."""
    if k == count - 1:
        return "finished"
    if step.ancestors is None:
        return "start" if k == 0 and step.rewards is None else "nobody resampled"
    copies = Counter(step.ancestors)
    weights = step.weights or ()
    killed = [
        f"{i} ({percent(weights[i])})" if weights else str(i)
        for i in range(step.number)
        if copies[i] == 0
    ]
    copied = [f"{i} × {n}" for i, n in sorted(copies.items()) if n > 1]
    parts = [f"killed {', '.join(killed)}"] * bool(killed)
    parts += [f"copied {', '.join(copied)}"] * bool(copied)
    return "; ".join(parts) or "resampled, all kept"
