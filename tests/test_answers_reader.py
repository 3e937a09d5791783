"""Both kinds of run folder read back, and what is wrong with others told in one line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from made_runs import STEPS, eval_run, picture, sample_run
from PIL import Image

from glass_cli.common.errors import GlassError
from glass_cli.output import thumbnails
from glass_cli.output.reader import Unreadable, read_run, read_runs


def test_a_run_of_sample(tmp_path: Path) -> None:
    rewards = {"a dog": [1.0, 4.0, None, 1.0], "two cats": [3.0, 2.0, 1.0, 0.0]}
    metrics = {"clip": [10.0, 20.0, 30.0, 40.0]}
    folder = sample_run(
        tmp_path / "run", rewards, seed=7, steps=STEPS, metrics=metrics, thumbs=True
    )
    run = read_run(folder)
    assert (run.kind, len(run.results), run.choice("reward")) == ("sample", 2, "Clip")
    first, second = run.results
    assert (first.prompt, first.seed, first.nfe, first.seconds) == ("a dog", 7, 16, 2.0)
    assert (first.chosen, first.chosen_reward, first.best_reward) == (1, 4.0, 4.0)
    assert first.mean_reward == pytest.approx(2.0)  # of the three that were finite
    assert first.metrics == {"clip": 20.0} and first.mean_metrics == {"clip": 25.0}
    assert second.mean_reward == pytest.approx(1.5) and second.lineages == 2
    step = first.steps[1]
    assert step.ancestors == (1, 1, 1, 2) and step.rewards == (1.0, 4.0, 3.0, 1.5)
    assert step.weights == pytest.approx((0.05, 0.7, 0.2, 0.05))
    assert step.thumbnails is not None and first.steps[0].thumbnails is None
    assert all(p.picture is not None and p.picture.exists() for p in first.particles)


def test_a_run_of_eval(tmp_path: Path) -> None:
    judged = {"correct": True, "reason": "", "distance": 0.25}
    first_result = {
        "prompt": "a dog",
        "rewards": [1.0, 3.0, 2.0, 0.0],
        "judged": judged,
        "tag": "single_object",
        "metrics": {"clip": 5.0},
        "steps": STEPS,
    }
    wrong = {"correct": False}
    other = {"prompt": "a dog", "image": 1, "seed": 99, "rewards": [1.0, 2.0], "judged": wrong}
    results = [first_result, other]
    run = read_run(eval_run(tmp_path / "run", results, thumbs=True))
    first, second = run.results
    assert (run.kind, first.correct, second.correct) == ("eval", True, False)
    assert first.measured == {"distance": 0.25} and first.metrics == {"clip": 5.0}
    assert (first.task, first.seconds, first.reward_calls) == ("single_object", 3.0, 8)
    assert (second.seed, second.image_index, second.chosen_reward) == (99, 1, 2.0)
    assert [step.thumbnails is not None for step in first.steps] == [False, True, True]


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-20])


def _edit(name: str, old: str, new: str) -> Callable[[Path], object]:
    def edit(folder: Path) -> None:
        text = (folder / name).read_text()
        assert old in text
        (folder / name).write_text(text.replace(old, new))

    return edit


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without("summary.json"), "did not finish"),
        (_cut("summary.json"), "summary.json is not what was written"),
        (_without("config.yaml"), "config.yaml cannot be read"),
        (_cut("particles.jsonl"), "particles.jsonl is not what was written"),
        (_without("images/00000/0001.png"), "images/00000/0001.png is missing"),
        (_edit("particles.jsonl", '"particle": 3', '"particle": 2'), "has 4 of 4 particles"),
        (_edit("particles.jsonl", "images/00000/0001.png", "../secret.png"), "outside the folder"),
        (_edit("particles.jsonl", '"reward": 4.0', '"reward": "much"'), "not a number"),
        (_edit("steps.jsonl", "[1, 1, 1, 2]", "[1, 1, 1, 4]"), "ancestors that are not 4"),
        (_edit("steps.jsonl", "[1, 1, 1, 2]", "[1, 1, 2]"), "ancestors that are not 4"),
        (_edit("steps.jsonl", "[1.0, 4.0, 3.0, 1.5]", "[1.0, 4.0]"), "other than 4 particles"),
        (_edit("summary.json", '"chosen": 1', '"chosen": 9'), "chose particle 9 of 4"),
        (_edit("summary.json", '"prompts"', '"prompt"'), "not a list of records"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    folder = sample_run(tmp_path / "run", {"a dog": [1.0, 4.0, 2.0, 1.0]}, steps=STEPS)
    damage(folder)
    with pytest.raises(GlassError, match=said) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_every_bad_folder_is_named(tmp_path: Path) -> None:
    good = sample_run(tmp_path / "good", {"a dog": [1.0, 4.0]})
    (tmp_path / "empty").mkdir()
    study = tmp_path / "study"
    study.mkdir()
    for name in ("summary.json", "identity.json"):
        (study / name).write_text("{}")
    with pytest.raises(Unreadable) as caught:
        read_runs([tmp_path / "none", good, tmp_path / "empty", study])
    assert len(caught.value.lines) == 3
    for line, words in zip(
        caught.value.lines, ("is not a folder", "nothing in it", "a study"), strict=True
    ):
        assert words in line


def test_eval_without_its_picture_is_damaged(tmp_path: Path) -> None:
    folder = eval_run(tmp_path / "run", [{"prompt": "a dog", "rewards": [1.0]}])
    (folder / "images/00000/samples/0000.png").unlink()
    with pytest.raises(GlassError, match="is missing"):
        read_run(folder)
    (folder / "results/00000/0000.json").write_text(json.dumps({"prompt_index": 0}))
    with pytest.raises(GlassError, match="image_index None"):
        read_run(folder)


@pytest.mark.parametrize("size", [16, 200])
def test_strips_keep_the_particles_order(tmp_path: Path, size: int) -> None:
    flat = np.stack([np.full((size, size, 3), 40 * i, np.uint8) for i in range(6)])
    path = tmp_path / thumbnails.name(3)
    path.write_bytes(thumbnails.strip(flat))
    assert thumbnails.find(tmp_path, 3) == path and thumbnails.find(tmp_path, 4) is None
    found = thumbnails.tiles(path, 6)
    assert {tile.size for tile in found} == {(min(size, 96), min(size, 96))}
    for i, tile in enumerate(found):
        # lossy, so near
        assert np.asarray(tile).mean() == pytest.approx(40 * i, abs=4)
    with pytest.raises(ValueError, match="not 7 tiles"):
        thumbnails.tiles(path, 7)


def test_strips_of_many_particles_fit_the_format(tmp_path: Path) -> None:
    many = np.repeat(picture(0, 128)[None], 400, 0)
    (tmp_path / "strip.webp").write_bytes(thumbnails.strip(many))
    with Image.open(tmp_path / "strip.webp") as strip:
        assert strip.width <= 16383 and strip.width % 400 == 0
