"""What is wrong with a command line is told in one line, before torch is imported."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY, write_choice

from glass_cli.common.errors import GlassError, near
from glass_cli.config.build import build_class
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import parse, preflight
from glass_cli.config.settings import Root
from glass_cli.config.sweep_jobs import ALL_COMBINATIONS, jobs

# ruff: noqa: E501
# fmt: off
BAD = {
    "unknown key": (["partciles=4"], "unknown key partciles; did you mean particles?"),
    "unknown nested key": (["sampler.stpes=4"], "unknown key sampler.stpes; did you mean sampler.steps?"),
    "key without its group": (["steps=4"], "unknown key steps; did you mean sampler.steps?"),
    "misspelt group": (["smapler=glass"], "unknown key smapler; did you mean sampler?"),
    "hydra key": (["hydra.run.dri=x"], "unknown key hydra.run.dri; did you mean hydra.run.dir?"),
    "key added to a group": (["+sampler.step=4"], "unknown key sampler.step; did you mean sampler.steps?"),
    "key added to the root": (["+particle=4"], "unknown key particle; did you mean particles?"),
    "unknown choice": (["sampler=glas"], "unknown sampler glas; did you mean glass? (glass, sde)"),
    "unknown launcher": (["hydra/launcher=basik"], "unknown hydra/launcher basik; did you mean basic?"),
    "text for an int": (["sampler.steps=abc"], "sampler.steps must be a whole number (got abc)"),
    "float for an int": (["sampler.steps=2.5"], "sampler.steps must be a whole number (got 2.5)"),
    "bool for an int": (["particles=true"], "particles must be a whole number (got True)"),
    "text for a bool": (["sampler.clip=maybe"], "sampler.clip must be true or false (got maybe)"),
    "outside a Literal": (["sampler.order=5"], "sampler.order must be one of 1, 2 (got 5)"),
    "near a Literal": (["dtype=bfloat61"], "(got bfloat61); did you mean bfloat16?"),
    "outside a union": (["sampler.rho=dpm"], "sampler.rho must be ddpm or a number (got dpm); did"),
    "inside a list": (["sampler.times=[0.1,x]"], "sampler.times[1] must be a number (got x)"),
    "length of a list": (["+sampler.pair=[1]"], "must be a list of 2: a whole number, text"),
    "inside a nested class": (["+sampler.grid={kind: unifrom}"], "did you mean uniform?"),
    "the class's own check": (["sampler.steps=0"], "sampler: steps must be at least 1 (got 0)"),
    "not a number": (["model.guidance=nan"], "model.guidance must be a number (got nan)"),
    "missing folder": (["model.folder=nowhere"], "model.folder=nowhere is not a folder"),
    "no particles": (["particles=0"], "particles must be at least 1 (got 0)"),
    "micro batch": (["micro_batch=0"], "micro_batch must be at least 1"),
    "negative seed": (["seed=-1"], "seed must be at least 0 (got -1)"),
    "huge seed": (["seed=9223372036854775808"], "seed must be below 2^63"),
    "empty prompt": (["prompt="], "the prompt is empty"),
    "blank prompt": (["prompt=  \n"], "the prompt is empty"),
    "prompts file missing": (["prompts=no.txt"], "prompts=no.txt cannot be read (no such file"),
    "prompts file empty": (["prompts=empty.txt"], "prompts=empty.txt has no prompt in it"),
    "prompts not text": (["prompts=picture.png"], "prompts=picture.png is not UTF-8 text"),
    "prompts is a folder": (["prompts=."], "prompts=. cannot be read (is a directory)"),
    "empty list of prompts": (["prompts=[]"], "prompts is an empty list"),
    "blank in a list": (["prompts=[a cat,' ']"], "prompts has an empty prompt in it"),
    "device": (["device=coda"], "(got coda); did you mean cuda?"),
    "dtype": (["dtype=float61"], "dtype must be one of auto, float32, bfloat16, float16"),
    "W&B mode": (["wandb.mode=of"], "wandb.mode must be one of online, offline, disabled"),
    "W&B key": (["+wandb.mod=offline"], "unknown key wandb.mod; did you mean wandb.mode?"),
    "name with a slash": (["name=a/b"], "name must be at most 100 characters without slashes"),
    "reward of the wrong kind": (
        ["model=points"],
        "reward=clip scores images, model=points gives points; use reward=linear or "
        "steering=none reward=null",
    ),
    "steering without a reward": (["reward=null"], "steering=fk needs a reward"),
    "no sampler": (["~sampler"], "sampler needs a choice; see glass ls sampler"),
    "unresolved reference": (["sampler.steps=${nothing}"], "nothing"),
    "no equals sign": (["a red apple"], 'is not key=value; a prompt is written prompt="a red apple"'),
    "no key": (["=4"], "has no key before ="),
    "not in the grammar": (["sampler.times=[1,"], "cannot read the value of sampler.times"),
    "a sweep in sample": (["sampler=glass,sde"], "names several values; use glass sweep to run each"),
    "a list of sampler's": (
        ["sampler.times=0,1"], "use glass sweep to run each, or sampler.times='[...]' for a list"
    ),
    "a list of seeds": (
        ["seed=[0,1,2]"],
        "seed must be a whole number (got [0, 1, 2]); glass sweep seed=0,1,2 runs each",
    ),
    "a flag for a key": (["--particles", "8"], "settings are written key=value: particles=8"),
    "misspelt flag": (["--mutlirun"], "did you mean --multirun?"),
    "config folder": (["--config-dir", "nowhere"], "--config-dir nowhere is not a folder"),
    "output is a file": (["hydra.run.dir=taken"], "cannot write to taken: a file of that name"),
    "output below a file": (["hydra.run.dir=taken/x"], "a file of that name is in the way"),
}
# fmt: on


@pytest.fixture
def conf(tiny_conf: Path) -> Path:
    Path("empty.txt").write_text("\n  \n", encoding="utf-8")
    Path("picture.png").write_bytes(b"\x89PNG\xff\xfe")
    Path("taken").write_text("", encoding="utf-8")
    return tiny_conf


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD.keys())
def test_bad_input_is_one_line(conf: Path, words: list[str], message: str) -> None:
    with pytest.raises(GlassError) as caught:
        preflight(read_arguments(words), conf)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("outputs").exists(), "nothing is written for a line that cannot run"


def test_no_list_is_advised_where_none_will_do(conf: Path) -> None:
    for words in (["seed=1,2"], ["particles=4,8"], ["sampler=glass,sde"]):
        with pytest.raises(GlassError) as caught:
            preflight(read_arguments(words), conf)
        assert str(caught.value).endswith("names several values; use glass sweep to run each")


def test_nothing_heavy_is_imported_for_bad_input(conf: Path) -> None:
    """All bad lines in one fresh process: exit code 2, one line each, and no torch."""
    program = """
import json, sys
from pathlib import Path
from glass_cli.launch import launch
lines = json.loads(sys.argv[1])
codes = [launch(words, conf=Path(sys.argv[2]), engine="tiny_settings") for words in lines]
heavy = [m for m in ("torch", "diffusers", "transformers", "wandb", "numpy") if m in sys.modules]
print(json.dumps([codes, heavy]))
"""
    lines = [words for words, _ in BAD.values()]
    done = subprocess.run(
        [sys.executable, "-c", program, json.dumps(lines), str(conf)],
        env={**os.environ, "PYTHONPATH": f"{REPOSITORY}{os.pathsep}{REPOSITORY / 'tests'}"},
        capture_output=True,
        text=True,
        check=True,
    )
    codes, heavy = json.loads(done.stdout)
    assert codes == [2] * len(lines)
    assert heavy == []
    said = done.stderr.splitlines()
    assert len(said) == len(lines), done.stderr
    assert all(line.startswith("glass: ") for line in said)


def test_good_values_arrive_with_their_types(conf: Path) -> None:
    words = ["sampler.times=[0,0.5,1]", "sampler.rho=1", "+sampler.grid={kind: given}"]
    plan = preflight(read_arguments([*words, "steering=none", "reward=null"]), conf)
    assert plan.folder is not None and plan.folder.is_dir()
    assert plan.folder.name.endswith("-glass-none")


@pytest.mark.parametrize(
    "bad", ["sampler.steps=1,2,0", "sampler=glass,sde,ode", "reward=clip,linear"]
)
def test_every_value_of_a_sweep_is_checked(conf: Path, bad: str) -> None:
    with pytest.raises(GlassError):
        preflight(read_arguments(["particles=1,2", bad], sweep=True), conf)
    assert not Path("outputs").exists()


def test_a_large_sweep_checks_each_value_once(conf: Path) -> None:
    many = ",".join(str(n) for n in range(40))
    checked = list(jobs(parse([f"seed={many}", "particles=1,2,3"]), lambda group: []))
    assert ALL_COMBINATIONS < 40 * 3 and len(checked) == 40
    assert {word for job in checked for word in job} >= {"seed=39", "particles=3"}
    with pytest.raises(GlassError, match="particles must be at least 1"):
        preflight(read_arguments([f"seed={many}", "particles=1,2,0"], sweep=True), conf)


@pytest.mark.parametrize(
    "word",
    [
        "particles=range(1,4)",
        "model.guidance=interval(1,4)",
        "particles=int(interval(1,4))",
        "sampler=glob(*)",
    ],
)
def test_sweep_functions(conf: Path, word: str) -> None:
    plan = preflight(read_arguments([word], sweep=True), conf)
    assert plan.folder is not None and plan.settings is None


def test_a_folder_of_the_user(conf: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine"
    write_choice(mine, "sampler/own", "# my own", "Sampler", "steps: 3")
    words = [f"--config-dir={mine}", "sampler=own", "sampler.steps=7"]
    assert preflight(read_arguments(words), conf).folder is not None
    with pytest.raises(GlassError, match="glass, own, sde"):
        preflight(read_arguments([f"--config-dir={mine}", "sampler=owm"]), conf)


def test_an_experiment_is_a_diff_over_the_defaults(conf: Path, tmp_path: Path) -> None:
    mine = tmp_path / "mine" / "experiment"
    mine.mkdir(parents=True)
    text = "# @package _global_\ndefaults:\n  - override /sampler: sde\nparticles: 3\n"
    (mine / "three.yaml").write_text(text, encoding="utf-8")
    words = ["-cd", str(mine.parent), "experiment=three"]
    plan = preflight(read_arguments(words), conf)
    assert plan.folder is not None and plan.folder.name.endswith("-sde-fk")


def test_two_runs_in_one_second_get_two_folders(conf: Path) -> None:
    where = ["hydra.run.dir=fixed"]
    given = [preflight(read_arguments(where), conf).folder for _ in range(2)]
    assert given == [Path("fixed")] * 2, "a folder the user names is used as it is"
    made = {preflight(read_arguments([]), conf).folder for _ in range(4)}
    assert len(made) == 4


def test_folder_without_permission(conf: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("locked").mkdir(mode=0o500)
    if os.geteuid() == 0:  # root may write anywhere
        monkeypatch.setattr(os, "access", lambda *_: False)
    with pytest.raises(GlassError, match="cannot write to locked"):
        preflight(read_arguments(["hydra.run.dir=locked/run"]), conf)


def test_near() -> None:
    assert near("partciles", ["particles", "prompt"]) == "; did you mean particles?"
    assert near("steps", ["seed", "sampler.steps"]) == "; did you mean sampler.steps?"
    assert near("zzz", ["particles"]) == ""


def test_a_list_of_prompts_is_sent_to_the_key_that_takes_one() -> None:
    """As a yaml may have it; the comma of a sweep would be part of the text."""
    with pytest.raises(GlassError, match=r"prompt must be text .*; prompts=\[...\] takes several"):
        build_class(Root, {"prompt": ["an apple", "a car"]})
