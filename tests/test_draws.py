"""Figures of rewards on a model's own draws: against counting, and independent libraries."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch
from scipy.stats import mannwhitneyu

from glass_cli.benchmarks.geneval import LoadedGenEval
from glass_cli.common.hub import EMBEDDED
from glass_cli.detectors.embedded_detector import EmbeddedDetector
from glass_cli.embedded.train import card, draws, measure

RNG = np.random.default_rng(0)
RIGHT = RNG.random((5, 7)) < np.array([0.5, 0.5, 0.3, 0.0, 1.0])[:, None]
R = RNG.integers(0, 12, (5, 7)) + 0.5 * RIGHT


def test_auc_is_the_mann_whitney_statistic() -> None:
    shares = []
    for right, r in zip(RIGHT, R, strict=True):
        a, b = r[right], r[~right]
        if len(a) and len(b):
            shares.append(mannwhitneyu(a, b).statistic / (len(a) * len(b)))
    assert len(shares) == 3
    assert draws.auc(RIGHT, R) == pytest.approx(np.mean(shares))
    assert np.isnan(draws.auc(RIGHT[3:], R[3:]))


@pytest.mark.parametrize("n", [1, 3, 7])
def test_best_of_n_is_the_mean_over_all_choices(n: int) -> None:
    r = RNG.standard_normal(RIGHT.shape)  # without ties
    shares = []
    for right, rewards in zip(RIGHT, r, strict=True):
        choices = list(itertools.combinations(range(7), n))
        shares += [right[max(choice, key=lambda i: rewards[i])] for choice in choices]
    assert draws.best_of(RIGHT, r, n) == pytest.approx(np.mean(shares))


def test_foretold_is_the_squared_correlation_within_prompts() -> None:
    seen, r = RNG.standard_normal((4, 3, 50)), RNG.standard_normal((4, 50))
    seen += 0.7 * r[:, None] + 5 * RNG.standard_normal((4, 3, 1))
    centred = (seen - seen.mean(2, keepdims=True)).transpose(1, 0, 2).reshape(3, -1)
    finals = (r - r.mean(1, keepdims=True)).ravel()
    wanted = [np.corrcoef(row, finals)[0, 1] ** 2 for row in centred]
    assert draws.foretold(seen, r) == pytest.approx(wanted)


def test_the_shipped_model_is_scored_and_told() -> None:
    """Two prompts: the draws are those of the ODE, and the card says what was found."""
    torch.set_num_threads(1)
    pipe = measure.load(EMBEDDED / "emoji")
    detector = EmbeddedDetector(str(EMBEDDED / "detector")).load(card.CPU, torch.float32)
    rewards = {"imagereward": card.rewards(EMBEDDED)["imagereward"]}
    asked = draws.contents(2)
    found = draws.scored(pipe, LoadedGenEval(detector), rewards, asked, 4)
    assert found.right.shape == (2, 4) and len(found.times) == draws.TRANSITIONS - 1
    assert found.seen["imagereward"].shape == (2, 4, 4)
    r = found.final["imagereward"]
    # what x_hat at the last time says is nearest to the end
    gaps = np.abs(found.seen["imagereward"] - r[:, None]).mean((0, 2))
    assert gaps[-1] < gaps[0] and np.isfinite(r).all()
    told = draws.figures(found)
    text = card.render({"draws": told})
    assert f"| best of 4 | {draws.best_of(found.right, r, 4):.3f} |" in text
    assert "| one draw | " in text and "best of 16" not in text
