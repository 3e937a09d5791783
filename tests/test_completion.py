"""Completion: its candidates, and the Tab key in real shells behind a pseudo-terminal."""

from __future__ import annotations

import os
import re
import select
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import typer
from conftest import REPOSITORY

from glass_cli.cli import app, main
from glass_cli.commands.candidates import candidates
from glass_cli.commands.completion import SCRIPTS, answer, commands_of
from glass_cli.config.listing import choices
from glass_cli.config.settings import GROUPS

COMMANDS = commands_of(typer.main.get_command(app))
CONF = REPOSITORY / "conf"


def words(*typed: str) -> list[str]:
    return [each.word for each in candidates(typed, COMMANDS)]


def test_commands_and_their_options() -> None:
    assert {"sample", "sweep", "eval", "ls", "doctor", "init"} <= set(words(""))
    assert "complete" not in words("")
    assert words("sw") == ["sweep"]
    assert {"--fresh", "--cfg", "-m", "--config-dir"} <= set(words("sample", "-"))
    assert {"--against", "--latex"} <= set(words("compare", "--"))
    assert "--cfg" not in words("compare", "--")
    assert words("sample", "--cfg", "") == ["job", "hydra", "all"]
    assert words("nothing", "") == []


def test_words_that_a_command_takes_first_and_after_an_option() -> None:
    assert tuple(words("completion", "")) == tuple(SCRIPTS)
    assert words("reproduce", "e") == ["embedded"]
    assert words("reproduce", "embedded", "--benchmark", "c") == ["compose"]
    assert words("reproduce", "embedded", "--only", "bfs") == ["bfs_16x10", "bfs_32x5"]
    assert words("score", "met") == ["metrics="] and words("score", "device=m") == ["device=mps"]
    assert words("score", "metrics=[cl") == ["metrics=[clip]"]
    assert words("plan", "benchmark.sam") == ["benchmark.samples="]
    assert "budget=" in words("plan", "") and "benchmark=" not in words("plan", "")


@pytest.mark.parametrize(
    ("command", "choices"), [("completion", "|".join(SCRIPTS)), ("reproduce", "embedded")]
)
def test_a_missing_word_is_named_by_its_choices(
    command: str, choices: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["glass", command])
    with pytest.raises(SystemExit, match="2"):
        main()
    assert f"Missing argument '{choices}'" in capsys.readouterr().err


def test_groups_and_their_choices_are_those_of_the_yaml_files() -> None:
    assert {f"{group}=" for group in GROUPS} <= set(words("sample", ""))
    assert "benchmark=" in words("eval", "b") and "benchmark=" not in words("sample", "b")
    for group in GROUPS:
        assert words("sample", f"{group}=") == [
            f"{group}={name}" for name in choices(group, [CONF])
        ]
    assert words("sample", "sampler=g") == ["sampler=glass"]
    assert words("sweep", "sampler=ode,s") == ["sampler=ode,sde"]
    assert words("sweep", "sampler=ode,") == ["sampler=ode,glass", "sampler=ode,sde"]
    assert words("sample", "hydra/sweeper=") == ["hydra/sweeper=search"]
    assert words("sample", "experiment=p") == ["experiment=paper/"]
    assert "experiment=paper/table1_flow" in words("sample", "experiment=paper/table1_f")


def test_keys_are_those_of_the_chosen_files() -> None:
    strengths = ["steering.lam_strength=", "steering.lam_survivors="]
    assert words("sample", "steering.la") == ["steering.lam=", *strengths]
    assert words("sample", "steering=best_of_n", "steering.la") == []
    assert words("sample", "st") == ["steering=", "steering."]
    assert words("sample", "wandb.pro") == ["wandb.project="]
    assert "model.height=" in words("sample", "model=flux_dev", "model.h")  # of diffusers.yaml
    assert "prompt=" not in words("eval", "p") and "prompt=" in words("sample", "p")
    assert words("sample", "seed=1", "see") == []
    texts = {each.word: each.text for each in candidates(["sample", "part"], COMMANDS)}
    assert texts["particles="].startswith("drawn together")


def test_every_key_of_a_choice_can_be_completed() -> None:
    """Against Hydra's own composition."""
    from omegaconf import OmegaConf

    from glass_cli.config.composition import composing

    with composing(CONF) as composer:
        for steering in ("fk", "best_of_n"):
            cfg = OmegaConf.to_container(composer.compose([f"steering={steering}"]))
            assert isinstance(cfg, dict)
            expected = {f"steering.{key}=" for key in cfg["steering"] if key != "_target_"}
            assert set(words("sample", f"steering={steering}", "steering.")) == expected


def test_values_are_those_of_the_classes() -> None:
    found = words("sample", "steering.resampling=")
    assert "steering.resampling=ssp" in found and len(found) == 5
    assert words("sample", "wandb.mode=o") == ["wandb.mode=online", "wandb.mode=offline"]
    assert words("sample", "fresh=") == ["fresh=true", "fresh=false"]
    assert words("sample", "dtype=b") == ["dtype=bfloat16"]
    assert words("sample", "device=m") == ["device=mps"]
    assert words("sample", "metrics=[cl") == ["metrics=[clip]"]
    assert words("sample", "prompt=a") == []


def test_files_and_a_folder_of_ones_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    conf = tmp_path / "my_conf" / "reward"
    conf.mkdir(parents=True)
    (conf / "green.yaml").write_text("# greenness\ndefaults: [python, _self_]\nweight: 2  # how\n")
    Path("list.txt").touch()
    Path(".hidden").touch()
    assert words("sample", "prompts=") == ["prompts=list.txt", "prompts=my_conf/"]
    assert words("sample", "hydra.run.dir=") == ["hydra.run.dir=my_conf/"]
    assert words("sample", "-cd", "") == ["my_conf/"]
    assert words("report", "my") == ["my_conf/"]
    assert words("sample", "-cd", "my_conf", "reward=g") == ["reward=green"]
    keys = words("sample", "-cd", "my_conf", "reward=green", "reward.")
    assert "reward.weight=" in keys and "reward.target=" in keys
    (conf / "green.yaml").write_text("{ half")
    assert answer_of("sample", "-cd", "my_conf", "reward=green", "reward.") == ""


def answer_of(*typed: str) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "glass_cli", "complete", "zsh", "--", *typed],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(REPOSITORY)},
    )
    assert done.returncode == 0 and done.stderr == ""
    return done.stdout.strip()


@pytest.mark.parametrize(("line", "expected"), [
    ("glass sample sampler=g", ["glass "]),  # bash has cut the word at =
    ("glass sample 'sampler=g", ["sampler=glass' "]),
    ("glass sample prompt='a b' samp", ["sampler=", "sampler."]),
    ("glass sample prompt=a\\ b seed=1 see", []),
    ('glass sample prompt="naïve 猫" partic', ["particles="]),
    ("glass sample metrics=[cl", ["\\[clip\\] "]),
])  # fmt: skip
def test_bash_gets_what_it_lacks(line: str, expected: list[str]) -> None:
    point = str(len(line.encode()))
    said = answer("bash", [f"{line} ", point, " \t\n\"'><=;|&(:"], COMMANDS)
    assert said.splitlines() == expected
    whole = answer("bash", ["glass sample sampler=g", "22", " "], COMMANDS)
    assert whole == "sampler=glass "  # where = is none of its breaks


def test_nothing_heavy_is_imported_for_an_answer() -> None:
    program = (
        "import sys, typer\nfrom glass_cli.cli import app\n"
        "from glass_cli.commands.completion import answer, commands_of\n"
        "commands = commands_of(typer.main.get_command(app))\n"
        "assert answer('zsh', ['sample', 'steering.resampling='], commands)\n"
        "heavy = {'hydra', 'omegaconf', 'torch', 'numpy', 'rich', 'wandb'} & set(sys.modules)\n"
        "print(sorted(heavy))\n"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=REPOSITORY
    )
    assert done.stdout.strip() == "[]", done.stderr


SHELLS = {
    "bash": ["bash", "--norc", "--noprofile", "-i"],
    "zsh": ["zsh", "-f", "-i"],
    "fish": ["fish", "--no-config", "-i"],
}
SOURCES = {
    "bash": 'eval "$(glass completion bash)"',
    "zsh": 'eval "$(glass completion zsh)"',
    "fish": "glass completion fish | source",
}


class Shell:
    """An interactive shell that has been told to complete `glass`."""

    def __init__(self, name: str, folder: Path) -> None:
        import pty

        program = folder / "bin" / "glass"
        program.parent.mkdir()
        program.write_text(f'#!/bin/sh\nexec "{sys.executable}" -m glass_cli "$@"\n')
        program.chmod(0o755)
        environment = {
            "PATH": f"{program.parent}:{os.environ['PATH']}",
            "PYTHONPATH": str(REPOSITORY),
            "HOME": str(folder),
            "TERM": "xterm",
            "LANG": "C.UTF-8",
        }
        self.process, self.terminal = pty.fork()
        if self.process == 0:
            os.chdir(folder)
            os.execvpe(SHELLS[name][0], SHELLS[name], environment)
        self.run("stty cols 200" if name != "fish" else "true")
        self.run(SOURCES[name])

    def close(self) -> None:
        os.kill(self.process, 9)
        os.waitpid(self.process, 0)
        os.close(self.terminal)

    def send(self, text: str, until: str) -> str:
        """Types ``text``; returns what is shown until ``until`` is."""
        os.write(self.terminal, text.encode())
        shown, deadline = "", time.monotonic() + 60
        while until not in shown:
            assert time.monotonic() < deadline, shown
            if select.select([self.terminal], [], [], 1.0)[0]:
                shown += os.read(self.terminal, 65536).decode(errors="replace")
        return shown

    def run(self, command: str) -> str:
        """What a command prints."""
        return self.send(f"{command}; echo do''ne\r", until="done")

    def completed(self, typed: str) -> list[str]:
        """The words of the line after a press of the Tab key, as the shell reads them."""
        # Shells read no key while they complete. The line becomes the arguments of printf, between
        # marks that stand in no line that is typed.
        shown = self.send(f"{typed}\t\x01printf 'w%s!\\n' \x05; echo do''ne\r", until="done")
        return re.findall(r"w([^%\s]*)!", re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown))


@pytest.fixture(
    params=["bash", *(pytest.param(name, marks=pytest.mark.slow) for name in ("zsh", "fish"))]
)
def shell(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Shell]:
    if shutil.which(request.param) is None:
        pytest.skip(f"{request.param} is not installed")
    opened = Shell(request.param, tmp_path)
    yield opened
    opened.close()


def test_the_tab_key(shell: Shell) -> None:
    for typed, last in [
        ("glass samp", "sample"),
        ("glass sample sampler=gl", "sampler=glass"),
        ("glass sample sampler=sde steering.resampling=sy", "steering.resampling=systematic"),
        ("glass sample steering.lam_st", "steering.lam_strength="),
        ("glass compare --lat", "--latex"),
        ("glass sample prompt='a b' partic", "particles="),
    ]:
        assert shell.completed(typed)[-1] == last, typed


def test_there_is_a_script_for_each_shell() -> None:
    assert set(SCRIPTS) == set(SHELLS)
    done = subprocess.run(
        [sys.executable, "-m", "glass_cli", "completion", "tcsh"],
        capture_output=True, text=True, cwd=REPOSITORY,
    )  # fmt: skip
    assert done.returncode == 2
    assert done.stderr == "glass: no completion for tcsh; there is for bash, zsh, fish\n"
