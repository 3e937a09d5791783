"""Runs named by what differs between them, and grouped by their seeds."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml
from example_runs import CONFIG, eval_run, sample_run, with_setting
from hydra import compose, initialize_config_dir
from omegaconf import OmegaConf

from glass_cli.common.errors import GlassError
from glass_cli.common.paths import conf_dir
from glass_cli.output.reader import read_run
from glass_cli.output.results import Run
from glass_cli.report.labels import choice_name, folder_names, labels
from glass_cli.report.run_groups import Unreadable, group_seeds, read_runs

SDE = {"_target_": "glass_cli.method.sde.Sde", "transitions": 3}


def runs_of(folder: Path, *configs: dict[str, Any], seed: int = 0) -> list[Run]:
    return [
        read_run(sample_run(folder / f"{i}-run", {"a": [1.0]}, config=config, seed=seed))
        for i, config in enumerate(configs)
    ]


def test_choices_that_differ_are_named(tmp_path: Path) -> None:
    best_of_n = {"_target_": "glass_cli.steering.independent.BestOfN"}
    runs = runs_of(
        tmp_path,
        CONFIG,
        with_setting("sampler", SDE),
        {**with_setting("sampler", SDE), "steering": best_of_n, "reward": None},
    )
    # settings of one choice, such as rho of glass, do not differ between its runs
    assert labels(runs) == ["glass, fk, clip", "sde, fk, clip", "sde, best_of_n, no reward"]
    assert labels(runs[:1]) == ["glass, fk"]


def test_settings_that_differ_are_shown(tmp_path: Path) -> None:
    runs = runs_of(
        tmp_path,
        CONFIG,
        with_setting("steering.lam", 2.0),
        {**with_setting("steering.lam", "auto"), "particles": 16},
    )
    assert labels(runs) == [
        "particles=4, lam=0.5",
        "particles=4, lam=2.0",
        "particles=16, lam=auto",
    ]
    mixed = runs_of(
        tmp_path / "mixed",
        CONFIG,
        with_setting("sampler.transitions", 6),
        with_setting("sampler", SDE),
    )
    assert labels(mixed) == ["glass, transitions=2", "glass, transitions=6", "sde"]


def test_what_is_not_set_is_named_only_where_nothing_else_tells_runs_apart(tmp_path: Path) -> None:
    by_budget = {**CONFIG, "budget": 400, "calls": None, "particles": None}
    by_calls = {**CONFIG, "budget": None, "calls": 50, "particles": 8}
    assert labels(runs_of(tmp_path, by_budget, by_calls)) == [
        "budget=400",
        "calls=50, particles=8",
    ]
    runs = runs_of(tmp_path / "one", {**CONFIG, "calls": None}, {**CONFIG, "calls": 50})
    assert labels(runs) == ["calls=null", "calls=50"]


def test_equal_last_parts_are_told_apart(tmp_path: Path) -> None:
    reward = with_setting("reward.path", "one")
    both = with_setting("model.path", "other", with_setting("reward.path", "two"))
    assert labels(runs_of(tmp_path, reward, both)) == [
        "model.path=embedded:emoji, reward.path=one",
        "model.path=other, reward.path=two",
    ]


def test_what_changes_no_picture_is_no_label(tmp_path: Path) -> None:
    """Batches, names and sizes: such runs are called by their folders."""
    others = {"name": "x", "micro_batch": 1, "wandb": {"mode": "offline"}, "limit": 3}
    runs = runs_of(tmp_path, CONFIG, {**with_setting("reward.batch", 1), **others})
    assert labels(runs) == ["0-run", "1-run"]
    glass, again, sde = runs_of(tmp_path / "more", CONFIG, CONFIG, with_setting("sampler", SDE))
    assert labels([glass, again, sde]) == ["glass (0-run)", "glass (1-run)", "sde"]


def test_seeds_where_they_are_asked_for(tmp_path: Path) -> None:
    runs = [*runs_of(tmp_path / "a", CONFIG), *runs_of(tmp_path / "b", CONFIG, seed=7)]
    assert labels(runs, seeds=True) == ["seed=0", "seed=7"]
    assert labels(runs) == ["a/0-run", "b/0-run"]


def test_a_sample_beside_an_evaluation(tmp_path: Path) -> None:
    (sample,) = runs_of(tmp_path, CONFIG)
    evaluation = read_run(eval_run(tmp_path / "eval", [{"prompt": "a", "rewards": [1.0]}]))
    assert labels([sample, evaluation]) == ["no benchmark", "geneval"]


@pytest.mark.parametrize("group", ["sampler", "steering", "model", "reward", "benchmark"])
def test_every_choice_of_glass_is_known_by_its_settings(tmp_path: Path, group: str) -> None:
    names = [path.stem for path in (conf_dir() / group).glob("*.yaml")]
    assert len(names) >= 2
    config = tmp_path / "run" / "config.yaml"
    eval_run(tmp_path / "run", [{"prompt": "a", "rewards": [1.0]}])
    for name in names:
        with initialize_config_dir(str(conf_dir()), version_base="1.3"):
            composed = compose("eval", [f"{group}={name}"])
        settings = OmegaConf.to_container(composed, resolve=True)
        config.write_text(yaml.safe_dump(settings))
        (tmp_path / "run" / "overrides.yaml").write_text("[]")  # by its settings alone
        assert choice_name(read_run(tmp_path / "run"), group) == name


def test_what_was_typed_names_a_choice(tmp_path: Path) -> None:
    config = with_setting("sampler", {"_target_": "mine.Heun", "steps": 3})
    for i, (overrides, name) in enumerate(
        (
            (["sampler=heun"], "heun"),
            (["sampler=glass", "sampler=heun", "sampler.steps=3"], "heun"),
            (["prompt='sampler=no'"], "Heun"),
        )
    ):
        folder = tmp_path / str(i)
        run = read_run(sample_run(folder, {"a": [1.0]}, config=config, overrides=overrides))
        assert choice_name(run, "sampler") == name
    assert choice_name(run, "launcher") is None


def test_folders_of_the_same_name_are_told_apart() -> None:
    assert folder_names([Path("x/one/run"), Path("x/two/run")]) == ["one/run", "two/run"]
    assert folder_names([Path("x/one"), Path("x/two")]) == ["one", "two"]


def test_a_sweep_s_jobs_come_in_their_order(tmp_path: Path) -> None:
    sweep = tmp_path / "day" / "sweep"
    for i in range(11):
        sample_run(sweep / str(i), {"a": [1.0]}, seed=i)
    # of an evaluation's job, whose name has a path in it, and what was set aside in a job
    deep = sample_run(sweep / "prompts=docs" / "list.txt", {"a": [1.0]}, seed=11)
    sample_run(sweep / "0" / "replaced" / "1", {"a": [1.0]})
    (sweep / ".submitit").mkdir()
    (sweep / "multirun.yaml").write_text("{}")
    expected = [*(sweep / str(i) for i in range(11)), deep]
    for paths in ([sweep], sorted(p for p in sweep.iterdir() if p.name[0] != "."), [sweep.parent]):
        runs, passed_over = read_runs(paths)
        assert sorted(run.folder for run in runs) == sorted(expected) and passed_over == []
    assert [run.folder for run in read_runs([sweep])[0]] == expected


def test_every_bad_folder_is_named(tmp_path: Path) -> None:
    good = sample_run(tmp_path / "good", {"a dog": [1.0, 4.0]})
    damaged = sample_run(tmp_path / "damaged", {"a dog": [1.0, 4.0]})
    (damaged / "images/00000/0000.png").unlink()
    (tmp_path / "empty").mkdir()
    (tmp_path / "file").write_text("")
    study = tmp_path / "study"
    study.mkdir()
    for name in ("summary.json", "identity.json"):
        (study / name).write_text("{}")
    names = ["none", "good", "file", "empty", "study", "damaged"]
    with pytest.raises(Unreadable) as caught:
        read_runs([tmp_path / name for name in names])
    said = ["is not a folder", "is not a folder", "nothing in it", "a study", "0000.png is missing"]
    assert len(caught.value.lines) == len(said)
    for line, part in zip(caught.value.lines, said, strict=True):
        assert part in line and "\n" not in line
    with pytest.raises(GlassError, match="named twice"):
        read_runs([good, tmp_path / "good" / ".." / "good"])


def test_only_seeds_are_put_together(tmp_path: Path) -> None:
    def run(name: str, seed: int, config: dict[str, Any] = CONFIG, prompt: str = "a") -> Run:
        config = {**config, "prompt": prompt}
        return read_run(sample_run(tmp_path / name, {prompt: [1.0]}, config=config, seed=seed))

    zero, one = run("zero", 0), run("one", 1)
    other = run("other", 1, with_setting("steering.lam", 1.0))
    prompt = run("prompt", 2, prompt="b")
    groups = group_seeds([zero, other, one, prompt])
    assert [[r.folder.name for r in group.runs] for group in groups] == [
        ["zero", "one"], ["other"], ["prompt"],
    ]  # fmt: skip
    assert [group.label for group in groups] == [
        "lam=0.5, a (2 seeds)", "lam=1.0", "lam=0.5, b",
    ]  # fmt: skip
    # the same seed twice is a run done again, not another draw
    assert len(group_seeds([zero, run("again", 0), one])) == 3
    assert [group.label for group in group_seeds([zero, one], ["mine"])] == ["mine"]
    with pytest.raises(GlassError, match="2 labels for 1 runs"):
        group_seeds([zero, one], ["mine", "yours"])
