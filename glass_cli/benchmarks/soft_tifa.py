"""Scores of prompts whose atoms are judged one by one (Soft-TIFA, GenEval 2, arXiv 2512.16853).

Pure functions without a model. A picture has a probability for each atom of its prompt. Their
arithmetic mean estimates how much of the prompt is there, their geometric mean whether all of it
is.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

from glass_cli.benchmarks.base import Answer

HOLDS = 0.5  # an atom holds that is more probable than not


def tag(atoms: int) -> str:
    """The task of a prompt of so many atoms."""
    return f"{atoms} atoms"


def judgement(atoms: Sequence[Mapping[str, Any]], task: str) -> dict[str, Any]:
    """What is to be said of a picture.

    atoms: of each atom its ``skill``, what it ``says`` and its ``probability`` in [0, 1]; at least
        one.
    task: see :func:`tag`.

    ``correct`` is whether every atom holds, ``reason`` names those that do not.
    """
    chances = [atom["probability"] for atom in atoms]
    failed = [atom for atom in atoms if atom["probability"] <= HOLDS]
    logs = [math.log(p) for p in chances if p > 0.0]
    return {
        "correct": not failed,
        "geometric mean": math.exp(math.fsum(logs) / len(logs)) if len(logs) == len(atoms) else 0.0,
        "arithmetic mean": math.fsum(chances) / len(chances),
        "reason": "; ".join(f"{a['says']}: {a['probability']:.2g}" for a in failed),
        "tag": task,
        "atoms": [{**atom, "probability": round(atom["probability"], 6)} for atom in atoms],
    }


def summary(
    results: Sequence[Mapping[str, Any]], skills: Sequence[str], means: Sequence[str]
) -> Answer:
    """The scores of all pictures.

    results: each with ``prompt_index`` and ``judged``, what :func:`judgement` said.
    skills: in the order of the table; others come after them.
    means: the numbers and verdicts of a picture to be averaged, such as ``geometric mean``; the
        first is what a sweeper maximises.

    For each of ``means`` a score for every number of atoms and the mean of those; for each skill
    the mean probability of its atoms, whichever prompts they are of, as published.
    """
    by_prompt: dict[int, list[Mapping[str, Any]]] = {}
    for result in results:
        by_prompt.setdefault(int(result["prompt_index"]), []).append(result["judged"])
    prompts = [by_prompt[index] for index in sorted(by_prompt)]
    answer: Answer = {"scores": {}, "per_prompt": {}, "groups": {}}
    if not prompts:
        return answer
    scores, per_prompt, groups = answer["scores"], answer["per_prompt"], answer["groups"]
    tasks = sorted({str(pictures[0]["tag"]) for pictures in prompts}, key=_number)
    parts: dict[str, float] = {}
    for name in means:
        members = [f"{name}, {task}" for task in tasks]
        for member, task in zip(members, tasks, strict=True):
            own = [pictures for pictures in prompts if pictures[0]["tag"] == task]
            per_prompt[member] = [_mean([float(one[name]) for one in each]) for each in own]
            parts[member] = _mean(per_prompt[member])
        groups[name] = members
        scores[name] = _mean([parts[member] for member in members])
    scores |= parts
    there = {str(a["skill"]) for pictures in prompts for one in pictures for a in one["atoms"]}
    for skill in [*(s for s in skills if s in there), *sorted(there - {*skills})]:
        scores[skill], per_prompt[skill] = _of_skill(prompts, skill)
    return answer


def _number(task: str) -> int:
    return int(task.partition(" ")[0])


def _mean(values: Sequence[float]) -> float:
    return math.fsum(values) / len(values)


def _of_skill(
    prompts: Sequence[Sequence[Mapping[str, Any]]], skill: str
) -> tuple[float, list[float]]:
    """The mean over all atoms of a skill, and a value a prompt that has any.

    The mean is a ratio, of the sums S_i of the probabilities to the numbers N_i of atoms. The
    values are its linearisation, r + (S_i - r N_i) / mean(N): their mean is r, and they spread as
    the ratio does when prompts are drawn anew (to first order, as for any ratio estimator).
    """
    sums, numbers = [], []
    for pictures in prompts:
        chances = [
            float(atom["probability"])
            for one in pictures
            for atom in one["atoms"]
            if atom["skill"] == skill
        ]
        if chances:
            sums.append(math.fsum(chances))
            numbers.append(len(chances))
    ratio = math.fsum(sums) / sum(numbers)
    mean = sum(numbers) / len(numbers)
    return ratio, [ratio + (s - ratio * n) / mean for s, n in zip(sums, numbers, strict=True)]
