"""Both kinds of run folder read back, and what is wrong with others said in one line each."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from example_runs import STEPS, Rewards, eval_run, sample_run

from glass_cli.common.errors import GlassError
from glass_cli.output.finished import Unit
from glass_cli.output.reader import Unfinished, read_results, read_run
from glass_cli.output.results import Score
from glass_cli.output.units import units_summary


def test_a_run_of_sample(tmp_path: Path) -> None:
    rewards: Rewards = {"a dog": [1.0, 4.0, None, 1.0], "two cats": [3.0, 2.0, 1.0, 0.0]}
    metrics = {"clip": [10.0, 20.0, 30.0, 40.0]}
    folder = sample_run(
        tmp_path / "run", rewards, seed=7, steps=STEPS, metrics=metrics, thumbs=True
    )
    run = read_run(folder)
    assert (run.command, len(run.results), run.scores) == ("sample", 2, {})
    first, second = run.results
    assert (first.prompt, first.seed, first.nfe, first.seconds) == ("a dog", 7, 16, 2.0)
    assert (first.chosen, first.reward, first.best_reward) == (1, 4.0, 4.0)
    assert first.mean_reward == pytest.approx(2.0)  # of the three that were finite
    assert first.metrics == {"clip": 20.0} and first.mean_metrics == {"clip": 25.0}
    assert second.mean_reward == pytest.approx(1.5) and second.lineages == 2
    step = first.steps[1]
    assert step.ancestors == (1, 1, 1, 2) and step.rewards == (1.0, 4.0, 3.0, 1.5)
    assert step.weights == pytest.approx((0.05, 0.7, 0.2, 0.05))
    assert step.thumbnails is not None and first.steps[0].thumbnails is None
    assert len(first.shown) == 4 and all(path.exists() for _, path in first.shown)


def test_a_run_of_eval(tmp_path: Path) -> None:
    judged = {"correct": True, "reason": "", "distance": 0.25}
    first_result = {
        "prompt": "a dog",
        "rewards": [1.0, 3.0, 2.0, 0.0],
        "judged": judged,
        "tag": "single_object",
        "metrics": {"clip": [4.0, 5.0, 6.0, 9.0]},
        "steps": STEPS,
    }
    wrong = {"correct": False}
    other = {"prompt": "a dog", "image": 1, "seed": 99, "rewards": [1.0, 2.0], "judged": wrong}
    scores = {"overall": {"mean": 0.5, "interval95": [0.25, 0.75], "prompts": 1}}
    folder = eval_run(tmp_path / "run", [first_result, other], thumbs=True, scores=scores)
    run = read_run(folder)
    first, second = run.results
    assert (run.command, first.correct, second.correct) == ("eval", True, False)
    assert run.scores == {"overall": Score(0.5, (0.25, 0.75), 1)}
    assert first.measured == {"distance": 0.25}
    assert first.metrics == {"clip": 5.0} and first.mean_metrics == {"clip": 6.0}
    assert (first.task, first.seconds, first.reward_calls) == ("single_object", 3.0, 8)
    assert (second.seed, second.image_index, second.reward) == (99, 1, 2.0)
    assert [step.thumbnails is not None for step in first.steps] == [False, True, True]
    assert [particle.index for particle, _ in first.shown] == [1]  # the answer's alone


def test_only_the_units_of_the_summary_are_read(tmp_path: Path) -> None:
    """Six prompts of two images each, then eight of one: sixteen files, of which eight count."""
    results = [
        {"prompt": f"p{i}", "image": image, "rewards": [float(i)]}
        for i in range(8)
        for image in range(2)
    ]
    folder = eval_run(tmp_path / "run", results)
    for prompt in (6, 7):
        (folder / f"results/{prompt:05d}/0001.json").unlink()
    summary = json.loads((folder / "summary.json").read_text())
    with pytest.raises(GlassError, match=r"results/00006/0001\.json cannot be read"):
        read_run(folder)
    summary["units"] = units_summary(range(8), 1)
    (folder / "summary.json").write_text(json.dumps(summary))
    assert [(r.prompt_index, r.image_index) for r in read_run(folder).results] == [
        (i, 0) for i in range(8)
    ]
    assert len(list(read_results(folder, [Unit(0, 0), Unit(0, 1)]))) == 2


def _without(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).unlink()


def _cut(name: str) -> Callable[[Path], object]:
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:-20])


def _change(name: str, key: str, value: object) -> Callable[[Path], object]:
    """Sets a dotted key, whose parts may be indices, in a JSON file."""

    def change(folder: Path) -> None:
        record = json.loads((folder / name).read_text())
        node, *parts = record, *key.split(".")
        for part in parts[:-1]:
            node = node[int(part) if part.isdigit() else part]
        assert parts[-1] in node
        node[parts[-1]] = value
        (folder / name).write_text(json.dumps(record))

    return change


RESULT = "results/00000/0000.json"


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (_without("summary.json"), "did not finish"),
        (_cut("summary.json"), "summary.json is not what was written"),
        (_without("config.yaml"), "config.yaml cannot be read"),
        (_cut(RESULT), "0000.json is not what was written"),
        (_without(RESULT), "0000.json cannot be read"),
        (_without("images/00000/0001.png"), "images/00000/0001.png is missing"),
        (_change(RESULT, "prompt_index", 1), "is of another prompt or image"),
        (_change(RESULT, "prompt", None), "not a text"),
        (_change(RESULT, "chosen", 9), "chose particle 9 of 4"),
        (_change(RESULT, "reward", "much"), "not a number"),
        (_change(RESULT, "reward", True), "not a number"),
        (_change(RESULT, "rewards", [1.0]), "1 rewards for 4 particles"),
        (_change(RESULT, "metrics", [1]), "metrics is not a table"),
        (_change(RESULT, "judged", "well"), "judged is not a table"),
        (_change(RESULT, "particles", {}), "particles is not a list"),
        (_change(RESULT, "particles.3.particle", 2), "not numbered from 0"),
        (_change(RESULT, "particles.1.file", "../secret.png"), "outside the folder"),
        (_change(RESULT, "steps", 3), "steps is not a list"),
        (_change(RESULT, "steps.1.ancestors", [1, 1, 1, 4]), "ancestors that are not of 4"),
        (_change(RESULT, "steps.1.ancestors", []), "ancestors that are not of 4"),
        (_change(RESULT, "steps.1.ancestors", [1, 1, 2]), "weights of other than 3 particles"),
        (_change(RESULT, "steps.2.ancestors", [1, 1]), "steps end with 2 particles of 4"),
        (_change(RESULT, "steps.1.rewards", [1.0, 4.0]), "other than 4 particles"),
        (_change(RESULT, "steps.1.t", None), "has no t"),
        (_change("summary.json", "command", "draw"), "of the command 'draw'"),
        (_change("summary.json", "units.images", "two"), "units are not whole numbers"),
        (_change("summary.json", "units.prompts", [[0, 10**12]]), "results/00001/0000.json cannot"),
        (_change("summary.json", "units.prompts", []), "of no results"),
        (_change("summary.json", "scores", 3), "scores is not a table"),
    ],
)
def test_damage_is_one_line(tmp_path: Path, damage: Callable[[Path], object], said: str) -> None:
    folder = sample_run(tmp_path / "run", {"a dog": [1.0, 4.0, 2.0, 1.0]}, steps=STEPS)
    damage(folder)
    with pytest.raises(GlassError, match=said) as caught:
        read_run(folder)
    assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_numbers_that_are_none_are_not_known(tmp_path: Path) -> None:
    folder = sample_run(tmp_path / "run", {"a dog": [1.0, 4.0]})
    path = folder / RESULT
    path.write_text(path.read_text().replace('"nfe": 16', f'"nfe": 1{"0" * 400}'))
    assert read_run(folder).results[0].nfe is None


def test_unfinished_runs_are_told_from_others(tmp_path: Path) -> None:
    stopped = sample_run(tmp_path / "stopped", {"a dog": [1.0]})
    (stopped / "summary.json").unlink()
    failed = tmp_path / "failed"
    failed.mkdir()
    (failed / "error.txt").write_text("sampler=glass: out of memory\n\ntrace\n")
    for folder, reason in ((stopped, "did not finish"), (failed, "failed (sampler=glass: out of")):
        with pytest.raises(Unfinished) as caught:
            read_run(folder)
        assert reason in str(caught.value) and "\n" not in str(caught.value)
    (tmp_path / "empty").mkdir()
    for folder, said in ((tmp_path / "none", "is not a folder"), (tmp_path / "empty", "nothing")):
        with pytest.raises(GlassError, match=said) as other:
            read_run(folder)
        assert not isinstance(other.value, Unfinished)


def test_a_study_has_no_results(tmp_path: Path) -> None:
    for name in ("summary.json", "identity.json"):
        (tmp_path / name).write_text("{}")
    with pytest.raises(GlassError, match="holds a study"):
        read_run(tmp_path)


def test_folders_of_older_versions_are_refused(tmp_path: Path) -> None:
    """As 0.2.0 wrote them: sample without results/, eval with another schema in it."""
    sample, evaluation = tmp_path / "sample", tmp_path / "eval"
    files = {
        sample / "particles.jsonl": {"prompt_index": 0, "particle": 0, "file": "images/0.png"},
        sample / "steps.jsonl": {"prompt_index": 0, "step": 0, "t": 0.0},
        sample / "summary.json": {"prompts": [{"prompt": "a dog", "chosen": 0, "nfe": 16}]},
        evaluation / "identity.json": {"glass_version": "0.2.0"},
        evaluation / "summary.json": {"benchmark": "GenEval", "prompts": 1, "pictures": 1},
        evaluation / "results/00000/0000.json": {"record_index": 0, "image_index": 0},
    }
    for path, record in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(json.dumps(record) + "\n")
    for folder in (sample, evaluation):
        (folder / "config.yaml").write_text("particles: 1\n")
        (folder / "overrides.yaml").write_text("[]\n")
        with pytest.raises(GlassError, match=r"written by glass 0\.2\.0 or older") as caught:
            read_run(folder)
        assert "\n" not in str(caught.value) and str(folder) in str(caught.value)


def test_eval_without_its_picture_is_damaged(tmp_path: Path) -> None:
    folder = eval_run(tmp_path / "run", [{"prompt": "a dog", "rewards": [1.0]}])
    (folder / "images/00000/samples/0000.png").unlink()
    with pytest.raises(GlassError, match="is missing"):
        read_run(folder)
