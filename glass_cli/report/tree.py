"""The tree of a steered run's particles: who was copied, who was killed, and by what weight."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

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


def is_steered(result: Result) -> bool:
    """Whether rewards were scored on the way, so that there is a tree to show."""
    return any(step.rewards is not None for step in result.steps[:-1])


def tree_of(result: Result) -> Tree:
    """The tree of ``result``, at its start, its end, and every step with rewards or resampling."""
    rows = result.steps
    shown = [
        step
        for k, step in enumerate(rows)
        if k in (0, len(rows) - 1) or step.rewards is not None or step.ancestors is not None
    ]
    # A step that is not shown resamples nobody: particles pass it under their own number.
    parents = [tuple(range(shown[0].number))]
    parents += [step.ancestors or tuple(range(step.number)) for step in shown[:-1]]
    lives, answer = [set(range(shown[-1].number))], [{result.chosen} - {None}]
    for step_parents in reversed(parents[1:]):
        lives.append({step_parents[i] for i in lives[-1]})
        answer.append({step_parents[i] for i in answer[-1] if i is not None})
    lives.reverse()
    answer.reverse()
    columns: list[tuple[Node, ...]] = []
    place = list(range(shown[0].number))  # particle -> row
    lineage = list(place)
    for k, step in enumerate(shown):
        mine, same = parents[k], range(step.number)
        before = place
        # children stand in the order of their parents: then no two lines cross
        order = [i for _, i in sorted((before[mine[i]], i) for i in same)]
        place = [order.index(i) for i in same]
        lineage = [lineage[mine[i]] for i in same]
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
                    lives=i in lives[k],
                    answer=i in answer[k],
                    description=_description(result, step, i, copies, k == len(shown) - 1),
                )
                for row, i in enumerate(order)
            )
        )
    happened = tuple(_happened(step, k, len(shown)) for k, step in enumerate(shown))
    return Tree(tuple(shown), tuple(columns), max(step.number for step in shown), happened)


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
