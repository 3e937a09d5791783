"""What is said while the jobs of a sweep run in other processes."""

from __future__ import annotations

import io
import json
import os
import sys
import threading
import time
from pathlib import Path

import pytest

from glass_cli.common.files import atomic_write
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight
from glass_cli.launch import launch
from glass_cli.output.sweep_errors import say_errors
from glass_cli.output.sweep_progress import sweep_progress


def finish(job: Path, score: float | None) -> None:
    job.mkdir(parents=True, exist_ok=True)
    with atomic_write(job / "summary.json") as part:  # who watches never finds half of it
        part.write_text(json.dumps({"score": score}))


def fail(job: Path, line: str) -> None:
    job.mkdir(parents=True, exist_ok=True)
    with atomic_write(job / "error.txt") as part:
        part.write_text(f"{line}\n\nTraceback ...\n")


def test_each_end_is_said_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    stream = io.StringIO()  # capsys loses what another thread writes while it is read
    monkeypatch.setattr(sys, "stderr", stream)
    sweep = Path("sweep")
    finish(sweep / "before", 1.0)
    fail(sweep / "failed_before", "out of memory")
    for path in sweep.rglob("*.*"):
        os.utime(path, (time.time() - 60, time.time() - 60))
    (sweep / ".submitit").mkdir()
    with sweep_progress(sweep, every=0.01):
        finish(sweep / "0", 2.34567)
        until = time.monotonic() + 30
        while "ended" not in stream.getvalue() and time.monotonic() < until:
            time.sleep(0.01)
        last = stream.getvalue().splitlines()[-1]
        assert last == "glass: finished, 1 ended so far: sweep/0, score 2.346"  # at once
        fail(sweep / "1", "seed=1: there is no room")
        finish(sweep / "failed_before", None)
    said = stream.getvalue().splitlines()
    assert said[0] == "glass: the jobs run in processes of their own; their folders are in sweep"
    assert sorted(said[2:4], key=lambda line: "finished" in line) == [
        f"glass: failed, {2 if 'failed' in said[2] else 3} ended so far: sweep/1: seed=1: there is"
        " no room",
        f"glass: finished, {3 if 'failed' in said[2] else 2} ended so far: sweep/failed_before",
    ]
    assert said[4:] == ["glass: what the jobs printed is in sweep/.submitit"]


def test_nothing_watches_after_the_end_of_a_sweep_that_fails(tmp_path: Path) -> None:
    with pytest.raises(KeyboardInterrupt), sweep_progress(tmp_path, every=60.0):
        raise KeyboardInterrupt
    assert not [thread for thread in threading.enumerate() if thread.name == "sweep progress"]


@pytest.mark.parametrize(("words", "apart"), [([], False), (["hydra/launcher=processes"], True)])
def test_jobs_are_watched_where_they_run_apart(
    words: list[str], apart: bool, tiny_conf: Path
) -> None:
    if apart:
        pytest.importorskip("submitit")
    plan = preflight(read_arguments(["seed=1,2", *words], sweep=True), tiny_conf)
    assert plan.apart is apart


@pytest.mark.parametrize("apart", [True, False])
def test_a_sweep_says_where_its_jobs_run(
    apart: bool,
    tiny_conf: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.setattr("glass_cli.config.preflight._launched_apart", lambda master: apart)
    words = ["seed=1,2", "hydra.sweep.dir=sweep"]
    assert launch(words, True, conf=tiny_conf, engine="tiny_settings") == 0
    said = "the jobs run in processes of their own; their folders are in sweep"
    assert (said in capsys.readouterr().err) == apart


def test_jobs_that_failed_alike_are_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for i in range(16):
        fail(Path("sweep", str(i)), f"seed={i}: the disk is full: free it")
    for i in range(16, 18):
        fail(Path("sweep", str(i)), f"seed={i}: no such reward")
    fail(Path("sweep", "18"), "")
    assert say_errors(Path("sweep"), "mine", {})
    assert capsys.readouterr().err.splitlines() == [
        "glass: 19 jobs of the sweep failed:",
        "glass:   sweep/0 and 15 more beside it: the disk is full: free it",
        "glass:   sweep/16: seed=16: no such reward",
        "glass:   sweep/17: seed=17: no such reward",
        "glass:   sweep/18: its error could not be kept",
    ]
