"""Which folder a run, an evaluation and a sweep write into, and what is said of another's."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from conftest import REPOSITORY

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight
from glass_cli.output.identity import identity, same_settings

CONF = REPOSITORY / "conf"
START = "geneval-emoji-glass-fk-imagereward"


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def folder(*arguments: str, sweep: bool = False, config: str = "eval") -> Path:
    found = preflight(read_arguments(arguments, sweep, config), CONF).folder
    assert found is not None and found.is_dir()
    return found


@pytest.mark.parametrize(
    ("arguments", "rest"),
    [
        ([], ""),
        (["particles=20", "calls=20"], "-calls_20-particles_20"),
        (["calls=20", "particles=20"], "-calls_20-particles_20"),
        (["seed=3"], "-seed_3"),
        (["particles=8", "sampler.order=2", "steering.lam=null"], ""),  # the defaults themselves
        (["sampler.rho=-0.5"], "-rho_-0.5"),
        (["sampler.times=uniform"], "-times_uniform"),
        (["sampler.times=[0,0.5,1]"], "-times_0+0.5+1"),
        (["metrics=[clip]"], "-metrics_clip"),
        (["steering.guidance=1"], "-steering.guidance_1"),  # the model has a guidance too
        (["name=mine"], "-mine"),
        (["seed=3", "name=mine"], "-seed_3-mine"),
        # where, how much at a time, and how many: the same results
        (["benchmark.limit=6", "benchmark.images=1", "micro_batch=2", "device=cpu"], ""),
        (["wandb.mode=offline", "launcher.threads=1", "fresh=true", "thumbnails=true"], ""),
        (["steering.window=[0.1,0.9]", "dtype=float32"], "-dtype_float32-window_0.1+0.9"),
    ],
)
def test_an_evaluation_is_named_by_what_differs(arguments: list[str], rest: str) -> None:
    assert folder(*arguments) == Path("outputs/eval") / f"{START}{rest}"


def test_long_values_are_digests() -> None:
    times = "sampler.times=[0,0.2489,0.344,0.4215,0.4958,1]"
    name = folder(times).name
    assert re.fullmatch(rf"{START}-times_[0-9a-f]{{6}}", name)
    assert folder(times).name == name
    assert folder(times.replace("0.4958", "0.4959")).name != name
    many = ["particles=3", "calls=9", "seed=1", "sampler.kappa=1.25", "steering.every=2"]
    many += ["steering.lam_strength=1.75", "negative_prompt=blurry", "dtype=bfloat16"]
    assert re.fullmatch(rf"{START}-settings_[0-9a-f]{{6}}", folder(*many).name)


def test_lists_of_prompts_are_told_apart() -> None:
    names = set()
    for place in ("one", "two"):
        Path(place).mkdir()
        Path(place, "list, 1.txt").write_text("a dog\n")
        names.add(folder("benchmark=prompts", f"benchmark.path='{place}/list, 1.txt'").name)
    assert len(names) == 2
    pattern = r"prompts-emoji-glass-fk-imagereward-benchmark\.path_list1\.txt-[0-9a-f]{6}"
    assert all(re.fullmatch(pattern, name) for name in names)


def test_two_evaluations_that_differ_share_no_folder() -> None:
    """Whatever the identity of results holds, a value of its own is a folder of its own."""
    arguments = ["seed=1", "particles=3", "calls=7", "sampler.kappa=2", "steering.every=3"]
    arguments += [
        "model.guidance=2",
        "reward.dtype=bfloat16",
        "negative_prompt=x",
        "metrics=[clip]",
    ]
    folders = {folder(argument) for argument in arguments}
    assert len(folders) == len(arguments)


def test_choices_that_bring_settings_are_defaults() -> None:
    chosen = ["model=gaussian_mixture", "benchmark=window"]
    assert folder(*chosen).name == "window-gaussian_mixture-glass-fk-linear"
    assert folder(*chosen, "model.dim=3").name.endswith("-dim_3")
    none = ["model=gaussian_mixture", "benchmark=window", "steering=none", "seed=1"]
    assert folder(*none).name == "window-gaussian_mixture-glass-none-linear-seed_1"


def test_an_experiment_is_named_by_what_it_sets(tmp_path: Path) -> None:
    (tmp_path / "mine" / "experiment").mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /sampler: ode\nparticles: 3\n"
    (tmp_path / "mine" / "experiment" / "quick.yaml").write_text(text)
    quick = ["-cd", "mine", "experiment=quick"]
    assert folder(*quick).name == "quick"
    assert folder(*quick, "seed=1").name == "quick-seed_1"
    assert folder(*quick, "sampler=sde").name == "quick-sde"
    assert folder(*quick, "particles=8").name == "quick-particles_8"
    assert folder("experiment=embedded/ode2_50").name == "embedded-ode2_50"
    # several are settings like others
    both = folder("-cd", "mine", "experiment=[quick,embedded/ode2_50]").name
    assert both.startswith("geneval-emoji-ode-none-detector-")


@pytest.mark.parametrize(
    ("arguments", "name"),
    [
        (["particles=4,8"], f"{START}-sweep-particles"),
        (["particles=4,8", "name=wide"], f"{START}-sweep-particles-wide"),
        (["particles=4,8", "seed=1"], f"{START}-seed_1-sweep-particles"),
        (["sampler=ode,sde"], "geneval-emoji-fk-imagereward-sweep-sampler"),
        (["sampler=ode,sde", "sampler.transitions=4"],
         "geneval-emoji-fk-imagereward-transitions_4-sweep-sampler"),
        (["sampler.rho=0.1,0.2", "steering.lam=1,2"], f"{START}-sweep-rho-lam"),
    ],
)  # fmt: skip
def test_a_sweep_of_evaluations_has_its_name_once(arguments: list[str], name: str) -> None:
    assert folder(*arguments, sweep=True).name == name


def test_a_sweep_of_samples_has_its_name_once() -> None:
    small = ["model=gaussian_mixture", "seed=1,2"]
    for words, name in (["name=wide"], "wide"), ([], "seed"):
        found = folder(*small, *words, sweep=True, config="config").name
        assert re.fullmatch(rf"[\d-]+-sweep-{name}", found)


def test_what_was_made_for_a_run_is_known() -> None:
    Path("there").mkdir()
    arguments = ["model=gaussian_mixture", "hydra.run.dir=there/a/b"]
    plan = preflight(read_arguments(arguments), CONF)
    assert plan.created == (Path("there/a/b"), Path("there/a"))
    assert preflight(read_arguments(arguments), CONF).created == ()
    plan = preflight(read_arguments(arguments[:1]), CONF)
    assert plan.folder is not None
    assert plan.created == (plan.folder, plan.folder.parent, Path("outputs"))


def test_all_settings_that_differ_are_named() -> None:
    Path("run").mkdir()
    sampler = {"_target_": "glass_cli.method.glass.Glass", "steps": 4, "rho": "ddpm"}
    config = {"seed": 0, "particles": 8, "sampler": sampler, "negative_prompt": "x" * 500}
    same_settings(Path("run"), identity(config))
    same_settings(Path("run"), identity(config))
    ode = {"_target_": "glass_cli.method.ode.Ode", "steps": 5, "method": "heun"}
    other = {**config, "seed": 1, "sampler": ode, "negative_prompt": "", "calls": 5}
    with pytest.raises(GlassError) as refused:
        same_settings(Path("run"), identity(other))
    line = str(refused.value)
    named = "negative_prompt=" + "x" * 57 + "... (now ), sampler=Glass (now Ode)"
    assert named in line
    assert "sampler.steps=4 (now 5), seed=0 (now 1), calls=absent (now 5); name=NAME" in line
    assert "rho" not in line and "method" not in line, "another class has other settings"
    assert "particles" not in line and "glass_version" not in line
