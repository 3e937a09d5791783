"""Arguments that are nearly right: what the line that refuses them says to write."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from omegaconf import OmegaConf

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import quote_override, read_arguments
from glass_cli.config.composition import composing
from glass_cli.config.preflight import build_settings, compose_or_explain, preflight

CONF = REPOSITORY / "conf"


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder of the user's own, with two experiments; the working directory is beside it."""
    folder = tmp_path / "mine"
    (folder / "experiment").mkdir(parents=True)
    for name, body in {"quick": "particles: 3", "slow": "prompts: [a cat, a dog]"}.items():
        text = f"# @package _global_\n{body}\n"
        (folder / "experiment" / f"{name}.yaml").write_text(text, encoding="utf-8")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return folder


def refusal(*arguments: str, sweep: bool = False, config: str = "config") -> str:
    with pytest.raises(GlassError) as refused:
        preflight(read_arguments(arguments, sweep, config), CONF)
    assert "\n" not in str(refused.value)
    assert not list(Path().iterdir()), "nothing is written for a line that cannot run"
    return str(refused.value)


def particles(mine: Path, *arguments: str) -> int:
    line = read_arguments(["-cd", str(mine), *arguments])
    with composing(CONF, line.config_dir) as composer:
        # null, the default, stands for 8
        return int(compose_or_explain(composer, line.overrides).particles or 8)


def test_an_unknown_experiment(mine: Path) -> None:
    own = ["-cd", str(mine)]
    assert refusal(*own, "experiment=nope").startswith(
        "unknown experiment nope (quick, slow, embedded/* ("
    )
    assert refusal(*own, "experiment=qick").startswith(
        "unknown experiment qick; did you mean quick?"
    )
    assert refusal("experiment=quick").startswith("unknown experiment quick (embedded/* (")
    assert "unknown experiment nope" in refusal(*own, "experiment=quick,nope", sweep=True)


def test_ways_to_choose_an_experiment(mine: Path) -> None:
    assert particles(mine, "experiment=quick") == 3
    assert particles(mine, "+experiment=quick") == 3
    assert particles(mine, "experiment=null") == 8
    assert particles(mine, "experiment=[quick,slow]") == 3
    assert quote_override("+sampler=glass") == "sampler=glass"
    assert quote_override("reward=null") == "~reward"


def test_a_search_path_beside_a_folder(mine: Path, tmp_path: Path) -> None:
    other = tmp_path / "it's other" / "experiment"
    other.mkdir(parents=True)
    (other / "few.yaml").write_text("# @package _global_\nparticles: 2\n", encoding="utf-8")
    path = f"""hydra.searchpath=["file://{other.parent}"]"""
    assert particles(mine, path, "experiment=few") == 2
    assert particles(mine, path, "experiment=quick") == 3
    assert particles(other.parent, "experiment=few") == 2, "a quote in the folder's name"
    assert "must be a list" in refusal("-cd", str(mine), "hydra.searchpath=x")


def test_a_glob_finds_the_users_own(mine: Path) -> None:
    line = read_arguments(["-cd", str(mine), "experiment=glob(*)", "model=gaussian_mixture"], True)
    plan = preflight(line, CONF)
    assert plan.folder is not None and plan.folder.name.endswith("-sweep-experiment")
    with pytest.raises(GlassError, match="stands for no value"):
        preflight(line._replace(overrides=["experiment=glob(x*)"]), CONF)


def test_one_source_of_prompts(mine: Path) -> None:
    assert refusal("prompt=x", "prompts=[a cat,two dogs]") == (
        "prompt= is not used beside prompts=['a cat', 'two dogs']; leave one of them out"
        " (prompts=null for none)"
    )
    own = ["-cd", str(mine), "experiment=slow"]
    assert "is not used beside prompts" in refusal(*own, "prompt=x")
    assert "is not used beside prompts" in refusal("prompt='x','y'", "prompts=[a]", sweep=True)
    plan = preflight(read_arguments([*own, "prompt=x", "prompts=null"]), CONF)
    assert plan.settings is not None and plan.settings.root.prompt_list() == ["x"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["output=foo"], "the folder is hydra.run.dir=foo (of a sweep hydra.sweep.dir=foo)"),
        (["--output", "foo"], "unknown option --output; settings are written key=value: hydra.run"),
        (["-o", "foo"], "hydra.run.dir=foo"),
        (["num_inference_steps=50"], "did you mean calls?"),
        (["--batch-size", "4"], "micro_batch=4"),
        (["--particels", "8"], "settings are written key=value: particles=8"),
        (["--particles=8"], "settings are written key=value: particles=8"),
        (["--fresch", "prompt=a cat"], "unknown option --fresch; settings are written key=value:"),
        (["--fresch", "prompt=a cat"], "fresh=true"),
        (["--sampler", "--fresh"], "sampler=VALUE"),
        (["--seeds"], "seed=VALUE"),
        (["--mutlirun", "seed=1,2"], "did you mean --multirun?"),
        (["--nothing-alike", "seed=1"], "nothing_alike=VALUE"),
        (["seed=${nothing}"], "seed: Interpolation key 'nothing' not found; correct the reference"),
        (["steering.window={a: 1}"], "steering.window must be a list (got {a: 1})"),
        (["wandb=[1]"], "wandb must be key=value settings (got [1])"),
        (["benchmark=geneval"], "benchmark=geneval is an evaluation; use glass eval in place of"),
        (
            ["model=gaussian_mixture", "reward.direction=[1,2,3]"],
            "more than the 2 of the model; give at most 2, or set model.dim=3",
        ),
        (
            ["steering.lam=intervall(0.1,5)"],
            "steering.lam: unknown function intervall; did you mean interval? (bool, choice, ",
        ),
        (["steering.lam=interval(0.1)"], "missing a required argument: 'end'; correct it, or put"),
        (["sampler.times=[0,1"], "close its brackets and quotes, or put it in two pairs of quotes"),
    ],
)
def test_what_was_meant(mine: Path, arguments: list[str], message: str) -> None:
    line = refusal(*arguments)
    assert message in line
    assert "=prompt=" not in line and "=seed=" not in line, "no other setting is taken for a value"


def test_long_values_are_not_repeated_in_full(mine: Path) -> None:
    assert len(refusal("x" * 10_000)) < 300
    assert len(refusal(f"particles={'9' * 5000}")) < 300
    assert len(refusal(f"particles={'9' * 4000}")) < 300
    assert len(refusal(f"sampler.order={'x' * 5000}")) < 300
    assert len(refusal(f"{'x' * 5000}=1")) < 300
    assert len(refusal(f"--{'x' * 5000}")) < 300


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["sampler.transitions=99999999999999999999"], "sampler.transitions must be at most 10000"),
        (["sampler.steps=1000001"], "sampler.steps must be at most 1000000 (got 1000001)"),
        (["particles=99999999999"], "particles must be at most 1000000"),
        (["calls=99999999999"], "calls must be at most 1000000"),
        (["steering.sizes=[8,99999999]"], "steering.sizes must be at most 1000000 (got 99999999)"),
        (
            ["sampler.steps=1001", "sampler.transitions=1000"],
            "sampler.steps=1001 in each of 1000 transitions are 1001000 network calls a particle",
        ),
        (["sampler.steps=600000", "sampler.times=[0,0.5,1]"], "in each of 2 transitions"),
    ],
)
def test_sizes_have_bounds(mine: Path, arguments: list[str], message: str) -> None:
    assert message in refusal(*arguments)


def test_seeds_and_limits_have_no_bounds(mine: Path) -> None:
    arguments = ["seed=9223372036854775807", "limit=99999999999", "model=gaussian_mixture"]
    assert preflight(read_arguments(arguments), CONF).settings is not None


def test_what_lam_is_by_default(mine: Path) -> None:
    Path("rewards_of_mine.py").write_text("def red(images, prompts):\n    return images[:, 0]\n")
    own = ["reward=python", "reward.target=rewards_of_mine.red"]
    expected = {
        ("reward=clip",): "auto",
        ("model=gaussian_mixture",): 0.5,
        tuple(own): "auto",
        (*own, "steering.lam=3"): 3.0,
        ("reward=composite",): "auto",
        ("reward=clip", "steering.lam=0.5"): 0.5,
    }
    with composing(CONF) as composer:
        for arguments, lam in expected.items():
            settings = build_settings(compose_or_explain(composer, [*arguments]))
            assert settings.steering.lam == lam  # type: ignore[attr-defined]
            assert settings.config["steering"]["lam"] == lam, "recorded as what it became"


def test_errors_of_a_users_module_are_one_line(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glass_cli.launch import launch

    (mine / "sampler").mkdir()
    (mine / "code").mkdir()
    monkeypatch.syspath_prepend(str(mine / "code"))
    modules = {
        "torn_module": "def f(:\n",
        "loud_module": "raise KeyError('weights')\n",
        "odd_module": (
            "from dataclasses import dataclass\nfrom glass_cli.method.ode import Ode\n"
            "@dataclass(frozen=True)\nclass Own(Ode):\n    def __post_init__(self):\n"
            "        raise KeyError('weights')\n"
        ),
        "plain_module": "Own = 3\n",
    }
    for name, text in modules.items():
        (mine / "code" / f"{name}.py").write_text(text, encoding="utf-8")
        (mine / "sampler" / f"{name}.yaml").write_text(f"# own\n_target_: {name}.Own\n")
    says = {
        "torn_module": "sampler: cannot import torn_module.Own (SyntaxError: invalid syntax",
        "loud_module": "sampler: cannot import loud_module.Own (KeyError: 'weights')",
        "odd_module": "sampler: odd_module.Own raised KeyError: 'weights'",
        "plain_module": "sampler: there is no plain_module.Own",
    }
    for name, message in says.items():
        assert launch(["-cd", str(mine), f"sampler={name}"]) == 2
        (line,) = capsys.readouterr().err.splitlines()
        assert line.startswith(f"glass: {message}")
    assert not list(Path().iterdir())
    # where Python was not told of this folder, as by `glass` itself
    (mine / "sampler" / "far_module.yaml").write_text("# own\n_target_: far_module.Own\n")
    Path("far_module.py").touch()
    monkeypatch.setattr(
        sys, "path", [place for place in sys.path if place not in ("", str(Path.cwd()))]
    )
    assert launch(["-cd", str(mine), "sampler=far_module"]) == 2
    assert "this folder, where `python -m glass_cli` looks" in capsys.readouterr().err


def test_an_error_of_glass_itself_is_one_line_too(
    mine: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    from glass_cli.launch import launch

    def fails(*_: object) -> None:
        raise RuntimeError("what\never")

    monkeypatch.setattr("glass_cli.config.preflight.check_together", fails)
    assert launch(["model=gaussian_mixture"]) == 1
    assert capsys.readouterr().err == (
        "glass: RuntimeError: what ever (HYDRA_FULL_ERROR=1 shows where)\n"
    )
    monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
    with pytest.raises(RuntimeError):
        launch(["model=gaussian_mixture"])


def test_metrics_with_settings_of_their_own(mine: Path) -> None:
    """As the help and the guide write it."""
    arguments = [r"metrics=[clip, {composite: {terms: {clip: {weight: 2.0}}}}]"]
    plan = preflight(read_arguments(arguments), CONF)
    assert plan.settings is not None
    assert plan.settings.metrics["composite"].terms["clip"].weight == 2.0  # type: ignore[attr-defined]
    example = "metrics='[clip, {pickscore: {path: FOLDER}}]'"
    help_text = (REPOSITORY / "glass_cli" / "cli.py").read_text()
    guide = (REPOSITORY / "docs" / "guides" / "draw.md").read_text()
    for text in (help_text, guide):
        assert example in text
    typed = example.replace("'", "").replace("FOLDER", "owner/name")
    plan = preflight(read_arguments([typed]), CONF)
    assert plan.settings is not None
    assert plan.settings.metrics["pickscore"].path == "owner/name"  # type: ignore[attr-defined]
    assert OmegaConf.load(CONF / "config.yaml").metrics == []
