"""Rewards of the user's own that hang, leave the program, or answer from nowhere."""

from __future__ import annotations

import signal
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from child_process import Child
from eval_runs import ENVIRONMENT, files

from glass_cli.common.errors import GlassError
from glass_cli.rewards import users_code
from glass_cli.rewards.python import LoadedPython, Python

MODULE = """
import os
import time
from pathlib import Path

import torch

def slow(points, prompts):
    any(time.sleep(0.25) or not Path("unsaid").exists() for _ in range(100))  # all in one line
    return points[:, 0]

def hangs(points, prompts):
    while Path("hang").exists():
        time.sleep(0.01)
        Path("hanging").touch()  # in the loop: a signal that it draws meets one of these lines
    return points[:, 0]

def leaves(points, prompts):
    if Path("leave").exists() and prompts[0] == "c":
        os._exit(7)
    return points[:, 0]

def forks(points, prompts):
    child = os.fork()
    if child == 0:
        os._exit(5)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 5
    return points[:, 0]

def nowhere(points, prompts): return torch.empty(len(points), device="meta")
def nowhere_one_by_one(points, prompts): return list(torch.empty(len(points), device="meta"))
def some(points, prompts): return [torch.tensor(1.0), None][: len(points)]
def rows(points, prompts): return [torch.zeros(i) for i in range(len(points))]
"""
RUN = ["model=gaussian_mixture", "reward=python", "reward.accepts=points", "particles=3"]
RUN += ["wandb.mode=disabled", "sampler.steps=2", "sampler.transitions=3", "prompts=[a,b,c,d]"]
RUN += ["hydra.run.dir=run"]


LOOP = ("while Path", "time.sleep(0.01)", 'Path("hanging")')


def place(text: str) -> str:
    """FILE:LINE of the line of the module that ``text`` is in."""
    number = next(i for i, line in enumerate(MODULE.splitlines(), 1) if text in line)
    return f"{Path('slow_rewards.py').resolve()}:{number}"


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("slow_rewards.py").write_text(MODULE, encoding="utf-8")
    yield
    sys.modules.pop("slow_rewards", None)


def loaded(name: str) -> LoadedPython:
    reward = Python(f"slow_rewards.{name}", accepts="points")
    return reward.load(torch.device("cpu"), torch.float32)


def sample(name: str) -> Child:
    command = [sys.executable, "-m", "glass_cli", "sample", *RUN]
    return Child([*command, f"reward.target=slow_rewards.{name}"], ENVIRONMENT)


def same_bits_as_undisturbed(name: str) -> None:
    """The same command, run again and in a new folder, leaves the same files."""
    with sample(name) as process:
        process.communicate()
    assert process.returncode == 0
    Path("run").rename("continued")
    with sample(name) as process:
        process.communicate()
    assert process.returncode == 0 and files(Path("run")) == files(Path("continued"))


def test_a_long_call_is_named_once(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(users_code, "SLOW", 0.1)
    say = users_code.say
    monkeypatch.setattr(users_code, "say", lambda line: (say(line), Path("unsaid").unlink()))
    Path("unsaid").touch()  # while it is there the call lasts
    reward = loaded("slow")
    for _ in range(2):
        reward.score(torch.ones(3, 2), "a")
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("glass: reward.target=slow_rewards.slow has been at work for 0 s at ")
    assert place("time.sleep(0.25)") in line and "Ctrl-C" in line
    monkeypatch.setattr(users_code, "SLOW", 10.0)
    loaded("slow").score(torch.ones(3, 2), "a")
    assert not capsys.readouterr().err


def test_a_call_that_has_just_ended_is_not_at_work(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Although its timer had gone off before it could be stopped."""

    class Late(threading.Timer):
        def start(self) -> None:
            pass

        def cancel(self) -> None:
            self.function()

    monkeypatch.setattr(threading, "Timer", Late)
    loaded("slow").score(torch.ones(3, 2), "a")
    assert not capsys.readouterr().err


@pytest.mark.parametrize(
    "sent", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_stopped_in_a_call(sent: signal.Signals) -> None:
    Path("hang").touch()
    with sample("hangs") as process:
        until = time.monotonic() + 120
        while not Path("hanging").exists() and time.monotonic() < until:
            time.sleep(0.02)
        process.send_signal(sent)
        _, said = process.communicate(timeout=60)
    assert process.returncode == 128 + sent and "Traceback" not in said
    (line,) = [text for text in said.splitlines() if text.startswith("glass: ")]
    assert line.startswith("glass: stopped in your code, reward.target=slow_rewards.hangs at ")
    assert any(place(text) in line for text in LOOP)
    assert "goes on from there" in line
    Path("hang").unlink()
    same_bits_as_undisturbed("hangs")


def test_a_program_that_is_ended_at_once() -> None:
    """``os._exit`` in the third prompt: told whose it was, and what was finished is whole."""
    Path("leave").touch()
    with sample("leaves") as process:
        _, said = process.communicate(timeout=120)
    assert process.returncode == 7
    (line,) = [text for text in said.splitlines() if text.startswith("glass: ")]
    assert f"ended the program (os._exit(7)) at {place('os._exit(7)')}; correct" in line
    assert len(list(Path("run").glob("results/*/*.json"))) == 2
    Path("leave").unlink()
    same_bits_as_undisturbed("leaves")


@pytest.mark.skipif(sys.platform == "win32", reason="fork of POSIX")
def test_processes_that_the_code_forks_end_unseen(capfd: pytest.CaptureFixture[str]) -> None:
    assert loaded("forks").score(torch.ones(2, 2), "a").tolist() == [1.0, 1.0]
    assert not capfd.readouterr().err


@pytest.mark.parametrize("name", ["nowhere", "nowhere_one_by_one"])
def test_scores_of_no_device(name: str) -> None:
    with pytest.raises(GlassError, match="device meta, which holds no numbers; give it on cpu"):
        loaded(name).score(torch.ones(3, 2), "a")


@pytest.mark.parametrize("name", ["some", "rows"])
def test_lists_that_are_no_numbers(name: str) -> None:
    with pytest.raises(GlassError, match=rf"slow_rewards\.{name} .*it must give 2 numbers"):
        loaded(name).score(torch.ones(2, 2), "a")
