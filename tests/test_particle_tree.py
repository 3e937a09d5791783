"""The tree of particles: who descends from whom, who was killed, and that no lines cross."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_runs import STEPS, eval_run, sample_run

from glass_cli.output.ancestry import is_steered
from glass_cli.output.reader import read_run
from glass_cli.output.results import Result
from glass_cli.report.tree import percent, tree_of
from glass_cli.report.tree_layout import layout


def result(tmp_path: Path, steps: list[dict[str, Any]], thumbs: bool = False) -> Result:
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
    assert killed.description == (
        "Particle 0 at t = 0.5, reward 1, weight 5.0 %, an even share being 25 %."
        " Resampling owed it 0.20 copies and made none: killed."
    )
    assert "owed it 2.80 copies and made 3." in copied.description
    assert "owed it 0.80 copies and made one." in kept.description
    assert tree.columns[-1][1].description.endswith("This is the answer.")
    assert tree.descriptions == ("start", "killed 0 (5.0 %), 3 (5.0 %); copied 1 × 3", "finished")


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
    one = result(tmp_path, steps)
    tree = tree_of(one)
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
    assert len({node.lineage for node in tree.columns[-1]}) == one.lineages
    assert sum(node.answer for node in tree.columns[-1]) == 1


def test_steps_in_which_nothing_happened_are_passed_over(tmp_path: Path) -> None:
    quiet = {"rewards": None, "log_w": None, "ess": 4.0, "lineages": 2, "ancestors": None}
    steps = [STEPS[0], STEPS[1], {**quiet, "step": 2, "t": 0.7, "nfe": 14}, {**STEPS[2], "step": 3}]
    tree = tree_of(result(tmp_path, steps))
    assert [step.t for step in tree.steps] == [0.0, 0.5, 1.0]
    assert [node.parent for node in tree.columns[-1]] == [1, 1, 1, 2]


def test_numbers_of_particles_may_change(tmp_path: Path) -> None:
    """Four, of which two go on, of which one is copied to make three."""
    steps: list[dict[str, Any]] = [
        {"step": 0, "t": 0.0, "nfe": 4, "rewards": None, "log_w": [0.0] * 4, "ess": 4.0,
         "ancestors": None, "lineages": 4},
        {"step": 1, "t": 0.4, "nfe": 8, "rewards": [1.0, 2.0, 3.0, 0.0], "log_w": [0.0] * 4,
         "ess": 4.0, "ancestors": [2, 1], "lineages": 2},
        {"step": 2, "t": 0.7, "nfe": 10, "rewards": [5.0, 4.0], "log_w": [1.0, 1.0], "ess": 2.0,
         "ancestors": [0, 0, 1], "lineages": 2},
        {"step": 3, "t": 1.0, "nfe": 13, "rewards": [5.0, 6.0, 4.0], "log_w": [0.0] * 3,
         "ess": 3.0, "ancestors": None, "lineages": 2},
    ]  # fmt: skip
    one = result(tmp_path, steps, thumbs=True)
    tree = tree_of(one)
    assert (one.started, [step.number for step in one.steps]) == (4, [4, 4, 2, 3])
    assert [[node.particle for node in column] for column in tree.columns] == [
        [0, 1, 2, 3], [0, 1, 2, 3], [1, 0], [2, 0, 1],
    ]  # fmt: skip
    assert [node.killed for node in tree.columns[1]] == [True, False, False, True]
    assert [node.lineage for node in tree.columns[-1]] == [1, 2, 2]
    assert [node.parent for node in tree.columns[-1]] == [0, 1, 1]
    # an even share is one of two; two copies of three are owed a weight of one half
    assert "an even share being 50 %" in tree.columns[2][1].description
    assert "owed it 1.50 copies and made 2" in tree.columns[2][1].description
    assert tree.descriptions[1] == "killed 0 (25 %), 3 (25 %)"
    drawing = layout(one)
    assert drawing.summary.startswith("4 to 3 particles over 4 times, resampled 2 times, 2 killed")
    assert "2 of 4 lineages" in drawing.summary
    assert len(drawing.nodes) == 4 + 4 + 2 + 3
    # a tile for every particle that was scored
    assert sum(node.uri is not None for node in drawing.nodes) == 4 + 2 + 3


def test_unsteered_runs_have_no_tree(tmp_path: Path) -> None:
    scored_at_the_end = [{**STEPS[0]}, {**STEPS[1], "rewards": None, "ancestors": None}, STEPS[2]]
    assert not is_steered(result(tmp_path, scored_at_the_end))
    assert is_steered(result(tmp_path / "more", STEPS))


@pytest.mark.parametrize("thumbs", [False, True])
def test_a_drawing_has_room_for_everything(tmp_path: Path, thumbs: bool) -> None:
    drawing = layout(result(tmp_path, STEPS, thumbs=thumbs))
    assert len(drawing.nodes) == 12 and len(drawing.lines) == 8
    for node in drawing.nodes:
        assert node.x >= 0 and node.x + drawing.tile <= drawing.width
        assert node.y >= 0 and node.y + drawing.tile <= drawing.height
        assert (node.uri is not None) == (thumbs and node.node.column > 0)
    places = [(node.x, node.y) for node in drawing.nodes]
    assert len(set(places)) == 12
    assert drawing.summary.startswith("4 particles over 3 times, resampled once, 2 killed; 2 of 4")
    assert [row[0] for row in drawing.rows] == ["0", "0.5", "1"]


def test_eval_shows_the_strip_of_the_last_step(tmp_path: Path) -> None:
    results = [{"prompt": "a dog", "rewards": STEPS[-1]["rewards"], "steps": STEPS}]
    run = read_run(eval_run(tmp_path / "run", results, thumbs=True))
    last = [node for node in layout(run.results[0]).nodes if node.node.column == 2]
    assert all(node.uri is not None for node in last)


@pytest.mark.parametrize(
    ("share", "text"), [(0.5, "50 %"), (0.0996, "10 %"), (0.032, "3.2 %"), (0.0001, "<0.1 %")]
)
def test_shares(share: float, text: str) -> None:
    assert percent(share) == text
