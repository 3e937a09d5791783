"""Who continues whom in a steered run, from its start to its end."""

from __future__ import annotations

from typing import NamedTuple

from glass_cli.output.results import Result, StepRow


class Generation(NamedTuple):
    """The particles of one step.

    parents: for each the particle, of the generation before, that it continues; itself at first.
    lineages: for each its ancestor in the first generation.
    lives: those that have descendants at the end, or are there.
    answer: those among them of which the answer descends; none where there is no answer.
    """

    step: StepRow
    parents: tuple[int, ...]
    lineages: tuple[int, ...]
    lives: frozenset[int]
    answer: frozenset[int]


def is_steered(result: Result) -> bool:
    """Whether rewards were scored on the way, so that there is a tree to show."""
    return any(step.rewards is not None for step in result.steps[:-1])


def generations(result: Result) -> list[Generation]:
    """Those of the start, of the end, and of every step with rewards or resampling."""
    rows = result.steps
    steps = [
        step
        for k, step in enumerate(rows)
        if k in (0, len(rows) - 1) or step.rewards is not None or step.ancestors is not None
    ]
    # A step that is left out resamples nobody: particles pass it under their own number.
    parents = [tuple(range(steps[0].number))]
    parents += [step.ancestors or tuple(range(step.number)) for step in steps[:-1]]
    lineages = [parents[0]]
    for own in parents[1:]:
        lineages.append(tuple(lineages[-1][i] for i in own))
    lives = [frozenset(range(steps[-1].number))]
    answer = [frozenset(() if result.chosen is None else (result.chosen,))]
    for own in reversed(parents[1:]):
        lives.insert(0, frozenset(own[i] for i in lives[0]))
        answer.insert(0, frozenset(own[i] for i in answer[0]))
    return [Generation(*each) for each in zip(steps, parents, lineages, lives, answer, strict=True)]
