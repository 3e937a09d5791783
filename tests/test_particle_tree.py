"""The tree of particles: who descends from whom, who was killed, and that no lines cross."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from made_runs import STEPS, eval_run, sample_run

from glass_cli.report.drawn_tree import drawn
from glass_cli.output.reader import read_run
from glass_cli.output.results import Result
from glass_cli.report.tree import percent, steered, tree_of


def result(tmp_path: Path, steps: list[dict[str, Any]], n: int = 4, thumbs: bool = False) -> Result:
    final = steps[-1]["rewards"]
    folder = sample_run(tmp_path / "run", {"a dog": final}, steps=steps, thumbs=thumbs)
    return read_run(folder).results[0]


def test_a_small_tree_by_hand(tmp_path: Path) -> None:
    tree = tree_of(result(tmp_path, STEPS))
    start, middle, end = tree.columns
    assert [node.particle for node in start] == [0, 1, 2, 3]
    assert [node.copies for node in middle] == [0, 3, 1, 0]
    assert [node.killed for node in middle] == [True, False, False, True]
    assert [node.lives for node in start] == [False, True, True, False]
    assert [node.parent for node in middle] == [0, 1, 2, 3]  # nobody was resampled before
    assert [(node.particle, node.parent) for node in end] == [(0, 1), (1, 1), (2, 1), (3, 2)]
    assert [node.lineage for node in end] == [1, 1, 1, 2]
    # particle 1 is the answer; its ancestors are 1 and 1
    assert [[n.particle for n in column if n.answer] for column in tree.columns] == [[1]] * 3


def test_why_somebody_was_killed(tmp_path: Path) -> None:
    tree = tree_of(result(tmp_path, STEPS))
    killed, copied, kept, _ = tree.columns[1]
    assert killed.told == (
        "Particle 0 at t = 0.5, reward 1, weight 5.0 %, an even share being 25 %."
        " Resampling owed it 0.20 copies and made none: killed."
    )
    assert "owed it 2.80 copies and made 3." in copied.told
    assert "owed it 0.80 copies and made one." in kept.told
    assert tree.columns[-1][1].told.endswith("This is the answer.")
    assert tree.told == ("start", "killed 0 (5.0 %), 3 (5.0 %); copied 1 × 3", "finished")


def random_steps(seed: int, n: int, columns: int) -> list[dict[str, Any]]:
    """Multinomial resampling in any order, or none, at random times."""
    rng = np.random.default_rng(seed)
    steps, lineage = [], np.arange(n)
    for k in range(columns):
        last, ancestors = k == columns - 1, None
        log_w = rng.normal(0.0, 2.0, n)
        weights = np.exp(log_w) / np.exp(log_w).sum()
        if not last and k > 0 and rng.random() < 0.7:
            ancestors = rng.choice(n, n, p=weights).tolist()
            lineage = lineage[ancestors]
        steps.append(
            {
                "step": k,
                "t": k / (columns - 1),
                "nfe": k,
                "rewards": rng.normal(size=n).tolist() if last or k % 2 else None,
                "log_w": log_w.tolist(),
                "ess": float(1 / (weights**2).sum()),
                "ancestors": ancestors,
                "lineages": len(set(lineage.tolist())),
            }
        )
    return steps


@pytest.mark.parametrize("seed", range(6))
def test_any_tree(tmp_path: Path, seed: int) -> None:
    n = 9
    steps = random_steps(seed, n, 8)
    made = result(tmp_path, steps)
    tree = tree_of(made)
    for before, after in itertools.pairwise(tree.columns):
        assert sorted(node.particle for node in after) == list(range(n))
        parents = [node.parent for node in after]
        assert parents == sorted(parents)  # type: ignore[type-var]  # so that no lines cross
        for node in before:
            children = [c for c in after if c.parent == node.row]
            assert node.copies is None or len(children) == node.copies
            assert node.lives == any(c.lives for c in children)
            assert node.answer == any(c.answer for c in children)
    # lineages as the run itself counted them
    assert len({node.lineage for node in tree.columns[-1]}) == made.lineages
    assert sum(node.answer for node in tree.columns[-1]) == 1


def test_steps_in_which_nothing_happened_are_passed_over(tmp_path: Path) -> None:
    quiet = {"rewards": None, "log_w": None, "ess": 4.0, "lineages": 2, "ancestors": None}
    steps = [STEPS[0], STEPS[1], {**quiet, "step": 2, "t": 0.7, "nfe": 14}, {**STEPS[2], "step": 3}]
    tree = tree_of(result(tmp_path, steps))
    assert [step.t for step in tree.steps] == [0.0, 0.5, 1.0]
    assert [node.parent for node in tree.columns[-1]] == [1, 1, 1, 2]


def test_unsteered_runs_have_no_tree(tmp_path: Path) -> None:
    scored_at_the_end = [{**STEPS[0]}, {**STEPS[1], "rewards": None, "ancestors": None}, STEPS[2]]
    assert not steered(result(tmp_path, scored_at_the_end))
    assert steered(result(tmp_path / "more", STEPS))


@pytest.mark.parametrize("thumbs", [False, True])
def test_a_drawing_has_room_for_everything(tmp_path: Path, thumbs: bool) -> None:
    picture = drawn(result(tmp_path, STEPS, thumbs=thumbs), "t0")
    assert len(picture.spots) == 12 and len(picture.lines) == 8
    for spot in picture.spots:
        assert spot.x >= 0 and spot.x + picture.tile <= picture.width
        assert spot.y >= 0 and spot.y + picture.tile <= picture.height
        assert (spot.uri is not None) == (thumbs and spot.node.column > 0)
    spots = [(spot.x, spot.y) for spot in picture.spots]
    assert len(set(spots)) == 12
    assert picture.summary.startswith("4 particles over 3 times, resampled once, 2 killed; 2 of 4")
    assert [row[0] for row in picture.rows] == ["0", "0.5", "1"]


def test_eval_shows_the_strip_of_the_last_step(tmp_path: Path) -> None:
    made = [{"prompt": "a dog", "rewards": STEPS[-1]["rewards"], "steps": STEPS}]
    run = read_run(eval_run(tmp_path / "run", made, thumbs=True))
    last = [spot for spot in drawn(run.results[0], "t0").spots if spot.node.column == 2]
    assert all(spot.uri is not None for spot in last)


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50 %"), (0.0996, "10 %"), (0.032, "3.2 %"), (0.0001, "<0.1 %")]
)
def test_shares(share: float, text: str) -> None:
    assert percent(share) == text
