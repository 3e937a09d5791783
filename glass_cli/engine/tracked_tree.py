"""The particle trees of a run as one table: who was scored, weighed, copied and killed."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import Any

from glass_cli.output.ancestry import generations, is_steered
from glass_cli.output.results import Result

COLUMNS = (
    "prompt_index", "image_index", "prompt", "step", "t", "slot", "parent", "lineage",
    "x_hat reward", "reward", "weight", "copies", "answer",
)  # fmt: skip
_MOST_ROWS = 10_000  # W&B shows no more of a table


def tree_rows(results: Iterable[Result], most: int = _MOST_ROWS) -> list[list[Any]]:
    """Rows of ``COLUMNS``, one a particle at the start, at the end, and at each step that scored
    or resampled; of whole results, as many as fit into ``most``.

    slot: the particle's number among those of its step.
    parent: the slot, in the rows of the step before, that it continues; None at the start.
    lineage: the slot of its ancestor at the start.
    x_hat reward: what was scored on the way, of its posterior mean (with ``steering.value=
        posterior`` over draws of the posterior); None where nothing was.
    reward: of the finished particle; None before the end.
    weight: its share of all weights before resampling, which sum to 1.
    copies: how many particles of the next rows continue it; None where nobody was resampled.
    answer: whether the answer descends from it, or is it.

    A result that scored nothing before the end has no rows.
    """
    rows: list[list[Any]] = []
    for result in results:
        own = _rows(result) if is_steered(result) else []
        if len(rows) + len(own) > most:
            break
        rows += own
    return rows


def _rows(result: Result) -> list[list[Any]]:
    place = [result.prompt_index, result.image_index, result.prompt]
    rows = []
    tree = generations(result)
    for k, (step, parents, lineages, _, answer) in enumerate(tree):
        copies = None if step.ancestors is None else Counter(step.ancestors)
        for slot in range(step.number):
            score = None if step.rewards is None else step.rewards[slot]
            scores = [None, score] if k == len(tree) - 1 else [score, None]
            parent = parents[slot] if k else None
            weight = None if step.weights is None else step.weights[slot]
            copies_here = None if copies is None else copies[slot]
            kin = [step.step, step.t, slot, parent, lineages[slot]]
            rows.append([*place, *kin, *scores, weight, copies_here, slot in answer])
    return rows
