"""The command line from its words to the run's folder, on a tiny experiment."""

from __future__ import annotations

import json
import pickle
import random
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import quote_override, read_arguments
from glass_cli.config.composition import composing
from glass_cli.config.preflight import compose_or_explain
from glass_cli.launch import Job, launch


def seen(folder: str = "outputs") -> list[dict[str, Any]]:
    return [json.loads(p.read_text("utf-8")) for p in sorted(Path(folder).rglob("seen.json"))]


def sample(conf: Path, *words: str, sweep: bool = False) -> int:
    return launch(list(words), sweep, conf=conf, engine="tiny_settings")


def test_a_run_writes_only_into_its_own_folder(tiny_conf: Path) -> None:
    assert sample(tiny_conf, "sampler=sde", "particles=3") == 0
    (run,) = seen()
    assert run["particles"] == 3
    assert run["overrides"] == ["sampler=sde", "particles=3"]
    (folder,) = Path("outputs").glob("*/*")
    assert re.fullmatch(r"\d\d\d\d-\d\d-\d\d", folder.parent.name)
    assert re.fullmatch(r"\d\d-\d\d-\d\d-sde-fk", folder.name)
    assert [p.name for p in Path().iterdir()] == ["outputs"], "no log file beside it"


TORTURE = [
    "a photo of a dog",
    "a, b, and c",
    'it\'s a "quoted" cat',
    "'tis a cat, isn't it",
    '"stop" and "go"',
    "x=1, y=2",
    "a (very) [big] {cat}",
    "[a cat, a dog]",
    "{a: b}",
    "choice of a cat",
    "choice(",
    "# not a comment",
    "a: b # c",
    "${name} and $HOME and $${x}",
    "\\${name}",
    "back\\slash\\",
    "\\'",
    "line one\nline two\ttab",
    "naïve café 猫 🍎🚗",
    "null",
    "true",
    "12",
    "1e3",
    "-m",
    "~reward",
    "+a=b",
    "???",
    "${oc.env:HOME}",
    " leading and trailing ",
    "a" * 2000,
    "%d {0} `cmd` $(cmd) ;|&<>*?!",
]


@pytest.mark.parametrize("prompt", ["a, b, and c", "${name} and $HOME and $${x}", "null"])
def test_a_prompt_arrives_as_it_was_typed(tiny_conf: Path, prompt: str) -> None:
    assert sample(tiny_conf, f"prompt={prompt}", f"negative_prompt={prompt}") == 0
    (run,) = seen()
    assert run["prompts"] == [prompt]
    assert run["negative_prompt"] == ("" if prompt == "null" else prompt)


def test_every_prompt_is_composed_as_it_was_typed(tiny_conf: Path) -> None:
    """All of them under keys of their own, quoted as the prompt is, in one composition."""
    from omegaconf import OmegaConf

    words = read_arguments([f"prompt={prompt}" for prompt in TORTURE]).overrides
    typed = [f"+typed.p{i}{word.removeprefix('prompt')}" for i, word in enumerate(words)]
    with composing(tiny_conf) as composer:
        cfg = compose_or_explain(composer, typed)
    assert OmegaConf.to_container(cfg.typed, resolve=True) == {
        f"p{i}": prompt for i, prompt in enumerate(TORTURE)
    }


def test_prompts_arrive_through_a_sweep(tiny_conf: Path) -> None:
    prompt = "a, b='${x}' \\ \"c\" (d) [e]"
    assert sample(tiny_conf, f"prompt={prompt}", "particles=1,2", sweep=True) == 0
    assert [(run["prompts"], run["particles"]) for run in seen()] == [([prompt], 1), ([prompt], 2)]


def test_random_text_arrives(tiny_conf: Path) -> None:
    """Quoting against Hydra's and OmegaConf's own grammars, both of which read the value."""
    from hydra.core.override_parser.overrides_parser import OverridesParser
    from omegaconf import OmegaConf

    rng = random.Random(0)
    parser = OverridesParser.create()
    for _ in range(500):
        text = "".join(rng.choices("\\'\"${}[]()=,:# ab\n", k=rng.randint(1, 12)))
        word = quote_override(f"prompt=x{text}")
        (override,) = parser.parse_overrides([word])
        cfg = OmegaConf.create({"prompt": override.value()})
        assert cfg.prompt == f"x{text}", word


def test_quoted_values_and_choices_pass_through(tiny_conf: Path) -> None:
    assert sample(tiny_conf, "prompt='a, b'") == 0
    assert seen()[0]["prompts"] == ["a, b"]
    assert sample(tiny_conf, "prompt=choice('a, b','c')", "hydra.sweep.dir=s", sweep=True) == 0
    assert [run["prompts"] for run in seen("s")] == [["a, b"], ["c"]]
    assert sample(tiny_conf, "prompt='a, b','c'", "hydra.sweep.dir=t", sweep=True) == 0
    assert [run["prompts"] for run in seen("t")] == [["a, b"], ["c"]]


def test_prompts_from_a_file_or_a_list(tiny_conf: Path) -> None:
    Path("a, (b).txt").write_text("a cat\n\n two dogs, one red \n", encoding="utf-8")
    assert sample(tiny_conf, "prompts=a, (b).txt", "hydra.run.dir=one") == 0
    assert seen("one")[0]["prompts"] == ["a cat", "two dogs, one red"]
    assert sample(tiny_conf, "prompts=[a cat, two dogs]", "hydra.run.dir=two") == 0
    assert seen("two")[0]["prompts"] == ["a cat", "two dogs"]


def test_no_reward(tiny_conf: Path) -> None:
    assert sample(tiny_conf, "steering=none", "reward=null") == 0
    assert sample(tiny_conf, "steering=none", "reward=null", "seed=1,2", sweep=True) == 0
    assert len(seen()) == 3


def test_sweep_runs_every_combination(tiny_conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(tiny_conf, "-m", "particles=1,2", "sampler=sde,glass") == 0
    assert len(seen()) == 4
    (folder,) = Path("outputs").glob("*/*")
    assert folder.name.endswith("-sweep-particles-sampler")
    assert sorted(p.name for p in folder.iterdir() if p.is_dir()) == ["0", "1", "2", "3"]


def test_a_yaml_that_asks_for_a_sweep(tiny_conf: Path) -> None:
    path = tiny_conf / "experiment" / "seeds.yaml"
    path.parent.mkdir()
    text = "# @package _global_\nhydra: {mode: MULTIRUN, sweeper: {params: {seed: '1,2,%s'}}}\n"
    path.write_text(text % 3, encoding="utf-8")
    assert sample(tiny_conf, "experiment=seeds") == 0
    assert len(seen()) == 3
    path.write_text(text % -3, encoding="utf-8")
    assert sample(tiny_conf, "experiment=seeds") == 2


def test_a_failing_job_does_not_stop_the_others(
    tiny_conf: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert sample(tiny_conf, "seed=1,13,14,2", sweep=True) == 1
    assert len(seen()) == 2
    said = capsys.readouterr().err
    assert "2 jobs of the sweep failed" in said
    assert "seed=13: the reward of particle 3 is NaN at step 7" in said
    assert "seed=14: RuntimeError: out of memory by 3 GiB" in said
    assert "Traceback" not in said
    (error,) = Path("outputs").glob("*/*/2/error.txt")
    assert "Traceback" in error.read_text("utf-8")


@pytest.mark.parametrize(("seed", "code", "line"), [
    (13, 2, "glass: the reward of particle 3 is NaN at step 7\n"),
    (14, 1, "glass: RuntimeError: out of memory by 3 GiB (traceback in "),
    (15, 130, "glass: stopped; what was finished is in outputs/"),
    (16, 130, "glass: stopped before the run began\n"),
])  # fmt: skip
def test_a_run_that_fails_says_one_line(
    tiny_conf: Path, capsys: pytest.CaptureFixture[str], seed: int, code: int, line: str
) -> None:
    assert sample(tiny_conf, f"seed={seed}") == code
    said = capsys.readouterr().err
    assert said.startswith(line) and said.count("\n") == 1


def test_cfg_and_info_reach_hydra(tiny_conf: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(tiny_conf, "particles=5", "--cfg", "job") == 0
    assert "particles: 5" in capsys.readouterr().out
    assert sample(tiny_conf, "sampler=sde", "--cfg", "job", "--package", "sampler") == 0
    assert "steps: 9" in capsys.readouterr().out
    assert sample(tiny_conf, "--info", "particles=5") == 0
    assert "Defaults List" in capsys.readouterr().out
    assert sample(tiny_conf, "particles=1,2", "--cfg", "job", sweep=True) == 0
    assert "particles: 1" in capsys.readouterr().out
    assert not Path("outputs").exists(), "showing something creates nothing"


def test_flags_are_read_wherever_they_stand() -> None:
    words = read_arguments(["a=1", "-m", "b=2", "--config-name", "other", "c=3"])
    assert words.overrides == ["a=1", "b=2", "c=3"]
    assert words.sweep and words.config_name == "other"
    assert read_arguments(["--info"]).shows
    with pytest.raises(GlassError, match="unknown option -x"):
        read_arguments(["-x", "a=1"])


def test_a_missing_configuration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert sample(tmp_path / "none") == 2
    assert capsys.readouterr().err.count("\n") == 1


def test_a_job_can_be_sent_to_another_process() -> None:
    """Launchers other than Hydra's own pickle the function they run."""
    assert pickle.loads(pickle.dumps(Job("tiny_settings"))) == Job("tiny_settings")


def test_interrupted_before_the_run(
    tiny_conf: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    def interrupt(*_: object) -> int:
        raise KeyboardInterrupt

    monkeypatch.setattr("glass_cli.config.preflight.preflight", interrupt)
    assert sample(tiny_conf) == 130
    assert capsys.readouterr().err == "glass: stopped before the run began\n"


@pytest.mark.parametrize(("words", "code", "text"), [
    ([], 0, "Usage: glass"),
    (["--help"], 0, "sweep"),
    (["sample", "--help"], 0, "--multirun"),
    (["--version"], 0, "glass "),
    (["smaple"], 2, "'sample'"),
    (["--nothing"], 2, "glass: No such option"),
    (["ls", "--config-dir", "nowhere"], 2, "not a folder"),
    (["sample", "particle=4"], 2, "did you mean particles?"),
    (["sweep", "particles=4,0"], 2, "particles must be at least 1"),
])  # fmt: skip
def test_the_console_script(tmp_path: Path, words: list[str], code: int, text: str) -> None:
    done = subprocess.run(
        [sys.executable, "-m", "glass_cli", *words], capture_output=True, text=True, cwd=tmp_path
    )
    said = done.stderr if code else done.stdout
    assert done.returncode == code, done.stderr
    assert text in said
    assert not code or said.count("\n") == 1, said


def test_help_imports_nothing_heavy() -> None:
    program = (
        "import sys\nfrom glass_cli.cli import main\nsys.argv = ['glass', '--help']\n"
        "try:\n    main()\nexcept SystemExit:\n    pass\n"
        "heavy = {'hydra', 'omegaconf', 'yaml', 'torch', 'numpy', 'rich'} & set(sys.modules)\n"
        "print(sorted(heavy), file=sys.stderr)\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.stderr.strip() == "[]"
