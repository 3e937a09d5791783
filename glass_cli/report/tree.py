"""The tree of a steered run's particles: who was copied, who was killed, and by what weight."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

from glass_cli.output.results import Result, StepRow


@dataclass(frozen=True)
class Node:
    """A particle at a step. ``row`` is its place from the top, chosen so that no lines cross.

    ``copies`` are its children by resampling, None where nobody was resampled. ``lineage`` is its
    ancestor at t=0; ``lives`` whether it has descendants at the end, ``answer`` whether the answer
    is one of them.
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
    told: str

    @property
    def killed(self) -> bool:
        return self.copies == 0


@dataclass(frozen=True)
class Tree:
    """``columns[k][row]`` are the nodes at ``steps[k]``; ``parent`` is a row one column before."""

    steps: tuple[StepRow, ...]
    columns: tuple[tuple[Node, ...], ...]
    size: int
    told: tuple[str, ...]


def steered(result: Result) -> bool:
    """Whether rewards were scored on the way, so that there is a tree to show."""
    return any(step.rewards is not None for step in result.steps[:-1])


def tree_of(result: Result) -> Tree:
    """The tree of ``result``, at its start, its end, and every step with rewards or resampling."""
    rows, n = result.steps, len(result.rewards)
    shown = [
        step
        for k, step in enumerate(rows)
        if k in (0, len(rows) - 1) or step.rewards is not None or step.ancestors is not None
    ]
    same = tuple(range(n))
    # A step that is not shown resamples nobody: particles pass it under their own number.
    parents = [same, *(step.ancestors or same for step in shown[:-1])]
    lives, answer = [set(same)], [{result.chosen} - {None}]
    for step_parents in reversed(parents[1:]):
        lives.append({step_parents[i] for i in lives[-1]})
        answer.append({step_parents[i] for i in answer[-1] if i is not None})
    lives.reverse()
    answer.reverse()
    columns: list[tuple[Node, ...]] = []
    place = list(same)  # particle -> row
    lineage = list(same)
    for k, step in enumerate(shown):
        mine = parents[k]
        before = place
        # children stand in the order of their parents: then no two lines cross
        order = [i for _, i in sorted((before[mine[i]], i) for i in same)]
        place = [order.index(i) for i in same]
        lineage = [lineage[mine[i]] for i in same] if k else list(same)
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
                    told=_told(result, step, i, copies, k == len(shown) - 1),
                )
                for row, i in enumerate(order)
            )
        )
    told = tuple(_happened(step, k, len(shown)) for k, step in enumerate(shown))
    return Tree(tuple(shown), tuple(columns), n, told)


def percent(share: float) -> str:
    """A share in per cent with as many digits as it needs."""
    value = 100 * share
    return f"{value:.0f} %" if value >= 9.95 else f"{value:.1f} %" if value >= 0.05 else "<0.1 %"


def _told(result: Result, step: StepRow, i: int, copies: Counter[int] | None, last: bool) -> str:
    n = len(result.rewards)
    parts = [f"Particle {i}, finished" if last else f"Particle {i} at t = {step.t:.3g}"]
    reward = step.rewards[i] if step.rewards else None
    weight = step.weights[i] if step.weights and step.rewards else None
    if reward is not None:
        parts.append(f"reward {reward:.4g}")
    if weight is not None:
        parts.append(f"weight {percent(weight)}, an even share being {percent(1 / n)}")
    text = ", ".join(parts) + "."
    if copies is not None:
        made = copies[i]
        expected = f"{n * weight:.2f}" if weight is not None else "?"
        end = {0: "none: killed", 1: "one"}.get(made, str(made))
        text += f" Resampling owed it {expected} copies and made {end}."
    elif step.rewards is not None and not last and step.ess is not None:
        text += f" Nobody was resampled (ESS {step.ess:.1f} of {n}); the weight carries over."
    if last and result.chosen == i:
        text += " This is the answer."
    return text


def _happened(step: StepRow, k: int, count: int) -> str:
    """One step in words, for the table beside the drawing."""
    if k == count - 1:
        return "finished"
    if step.ancestors is None:
        return "start" if k == 0 and step.rewards is None else "nobody resampled"
    copies = Counter(step.ancestors)
    weights = step.weights or ()
    killed = [
        f"{i} ({percent(weights[i])})" if weights else str(i)
        for i in range(len(step.ancestors))
        if copies[i] == 0
    ]
    copied = [f"{i} × {made}" for i, made in sorted(copies.items()) if made > 1]
    if not killed:
        return "resampled, all kept"
    return f"killed {', '.join(killed)}; copied {', '.join(copied)}"
