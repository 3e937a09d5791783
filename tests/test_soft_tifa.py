"""Scores of atoms: means within a picture, over numbers of atoms and over skills."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from scipy.stats import gmean

from glass_cli.benchmarks import soft_tifa

SKILLS = ("object", "count", "attribute", "relation")
MEANS = ("correct", "geometric mean", "arithmetic mean")


def atoms(*chances: float, skills: tuple[str, ...] = SKILLS) -> list[dict[str, Any]]:
    return [
        {"skill": skills[i % len(skills)], "says": f"atom {i}", "probability": chance}
        for i, chance in enumerate(chances)
    ]


def result(index: int, *chances: float, image: int = 0, **kwargs: Any) -> dict[str, Any]:
    judged = soft_tifa.judgement(atoms(*chances, **kwargs), soft_tifa.tag(len(chances)))
    return {"prompt_index": index, "image_index": image, "judged": judged}


def test_means_of_a_picture() -> None:
    chances = (0.9, 0.6, 0.51, 0.999)
    judged = soft_tifa.judgement(atoms(*chances), "4 atoms")
    assert judged["geometric mean"] == pytest.approx(float(gmean(chances)), abs=1e-12)
    assert judged["arithmetic mean"] == pytest.approx(np.mean(chances), abs=1e-12)
    assert judged["correct"] is True and judged["reason"] == "" and judged["tag"] == "4 atoms"


def test_one_atom_that_does_not_hold_is_named() -> None:
    judged = soft_tifa.judgement(atoms(0.9, 0.5, 0.0), "3 atoms")
    assert judged["correct"] is False and judged["geometric mean"] == 0.0
    assert judged["reason"] == "atom 1: 0.5; atom 2: 0"


def test_scores_by_number_of_atoms_and_skill() -> None:
    results = [
        result(0, 1.0, 0.8),
        result(1, 0.2, 0.2),
        result(2, 1.0, 1.0, 0.6, 0.9),
        result(2, 1.0, 1.0, 0.6, 0.1, image=1),
    ]
    answer = soft_tifa.summary(results, SKILLS, MEANS)
    scores, groups = answer["scores"], answer["groups"]
    assert scores["correct, 2 atoms"] == 0.5 and scores["correct, 4 atoms"] == 0.5
    assert scores["correct"] == 0.5 and groups["correct"] == [
        "correct, 2 atoms",
        "correct, 4 atoms",
    ]
    assert scores["arithmetic mean, 4 atoms"] == pytest.approx((3.5 + 2.7) / 8)
    wanted = (0.8**0.5 + 0.2) / 2, ((0.6 * 0.9) ** 0.25 + (0.6 * 0.1) ** 0.25) / 2
    assert scores["geometric mean, 2 atoms"] == pytest.approx(wanted[0])
    assert scores["geometric mean"] == pytest.approx(sum(wanted) / 2)
    # over the atoms, not over the prompts
    assert scores["object"] == pytest.approx((1.0 + 0.2 + 1.0 + 1.0) / 4)
    assert scores["relation"] == pytest.approx((0.9 + 0.1) / 2)
    assert list(scores)[:3] == ["correct", "geometric mean", "arithmetic mean"]
    assert list(scores)[-4:] == list(SKILLS)
    assert soft_tifa.summary([], SKILLS, MEANS) == {
        "scores": {},
        "per_prompt": {},
        "groups": {},
    }


def test_values_of_prompts_have_the_score_as_their_mean() -> None:
    rng = random.Random(0)
    results = [
        result(i, *(rng.random() for _ in range(rng.randint(2, 8))))
        for i in rng.sample(range(60), 60)
    ]
    answer = soft_tifa.summary(results, SKILLS, ["geometric mean", "correct"])
    assert next(iter(answer["groups"])) == next(iter(answer["scores"])) == "geometric mean"
    for name, values in answer["per_prompt"].items():
        assert np.mean(values) == pytest.approx(answer["scores"][name], abs=1e-12)
    for name, members in answer["groups"].items():
        assert answer["scores"][name] == np.mean([answer["scores"][m] for m in members])
    assert {*answer["scores"]} == {*answer["per_prompt"], *answer["groups"]}


def test_a_skills_interval_is_that_of_the_ratio() -> None:
    """The spread of the linearised mean under the bootstrap, against the ratio drawn itself."""
    rng = np.random.default_rng(0)
    numbers = rng.integers(1, 5, 80)
    # prompts with more atoms are harder, so that the ratio is not the mean of means
    chances = [rng.random(n) * (1.2 - 0.2 * n) for n in numbers]
    results = [result(i, *each, skills=("object",)) for i, each in enumerate(chances)]
    answer = soft_tifa.summary(results, SKILLS, MEANS)
    values = np.array(answer["per_prompt"]["object"])
    sums = np.array([each.sum() for each in chances])
    draws = rng.integers(0, 80, (20_000, 80))
    ratio = sums[draws].sum(1) / numbers[draws].sum(1)
    assert values[draws].mean(1).std() == pytest.approx(ratio.std(), rel=0.05)
    assert np.corrcoef(values[draws].mean(1), ratio)[0, 1] > 0.99


def test_ten_atoms_come_after_nine() -> None:
    results = [result(i, *[0.9] * n) for i, n in enumerate((10, 9, 2))]
    assert soft_tifa.summary(results, SKILLS, MEANS)["groups"]["correct"] == [
        "correct, 2 atoms",
        "correct, 9 atoms",
        "correct, 10 atoms",
    ]


def test_a_skill_that_is_not_known_comes_last() -> None:
    results = [result(0, 0.9, 0.8, skills=("verb", "count"))]
    assert list(soft_tifa.summary(results, SKILLS, MEANS)["scores"])[-2:] == ["count", "verb"]
