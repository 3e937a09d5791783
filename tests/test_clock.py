"""A clock that is set back in the middle of a run: nothing lasts less than nothing."""

from __future__ import annotations

import json
import os
import re
import sys
import time
from pathlib import Path

import child_process
import pytest
from eval_runs import ENVIRONMENT, POINTS, evaluate, files, write_benchmarks

from glass_cli.output.lock import Lock, Refused
from glass_cli.output.progress import Progress
from glass_cli.output.sweep_progress import sweep_progress

REWARD = """
import os, time
from pathlib import Path

real = time.time

def first(points, prompts):
    if prompts[0] == "c" and "SET_BACK" in os.environ and time.time is real:
        before = time.time()
        time.time = lambda: real() - float(os.environ["SET_BACK"])
        Path("back.txt").write_text(str(before - time.time()))
    return points[:, 0]
"""
WORDS = ["model=gaussian_mixture", "reward=python", "reward.accepts=points", "particles=3"]
WORDS += ["reward.target=back.first", "sampler.steps=2", "wandb.mode=disabled"]
WORDS += ["prompts=[a,b,c,d,e,f]"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@pytest.fixture
def falling(monkeypatch: pytest.MonkeyPatch) -> None:
    """Every look at the clock is a minute before the last."""
    real, looks = time.time, [0]

    def back() -> float:
        looks[0] += 1
        return real() - 60.0 * looks[0]

    monkeypatch.setattr(time, "time", back)


def assert_no_time_is_negative(folder: Path) -> None:
    for path in [*folder.rglob("times/*/*.json"), *folder.rglob("summary.json")]:
        found = re.findall(r'"[a-z_]*seconds[a-z_]*": (-?[\d.e-]+)', path.read_text())
        assert found and all(float(seconds) >= 0.0 for seconds in found), path
        stages = json.loads(path.read_text()).get("seconds_by_stage", {})
        assert all(seconds >= 0.0 for seconds in stages.values())


@pytest.mark.slow
@pytest.mark.usefixtures("falling")
def test_a_sweep_whose_first_job_fails(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*POINTS, "benchmark.missing=true,false", "hydra.sweep.dir=sweep"]
    for _ in range(2):  # the second meets the error of the first
        assert evaluate("-m", *words) == 1
        assert "1 job of the sweep failed" in capsys.readouterr().err
    assert_no_time_is_negative(Path("sweep"))


def test_errors_of_files_that_are_older_than_the_sweep(
    capsys: pytest.CaptureFixture[str],
) -> None:
    old = Path("sweep/old")
    old.mkdir(parents=True)
    (old / "error.txt").write_text("of yesterday\n")
    with sweep_progress(Path("sweep"), every=60.0):
        for name in ("one", "two"):
            path = Path("sweep", name, "error.txt")
            path.parent.mkdir()
            path.write_text("of today\n")
            os.utime(path, (1e9, 1e9))  # as the clock says that was set back
    said = capsys.readouterr().err
    assert said.count("of today") == 2 and "of yesterday" not in said


@pytest.mark.usefixtures("falling")
def test_a_lock_is_held_and_let_go() -> None:
    with Lock(Path()), pytest.raises(Refused):
        Lock(Path())
    Lock(Path()).close()


@pytest.mark.usefixtures("falling")
def test_the_time_left(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("glass_cli.output.progress._EVERY", 0.0)
    with Progress(20, "picture") as progress:
        for done in range(1, 20):
            time.sleep(0.01)
            progress.update(done)
    said = capsys.readouterr().err
    assert re.search(r"19/20 pictures, 0 s left", said) and not re.search(r"-\d", said)


@pytest.mark.slow
def test_an_hour_back_in_the_middle_of_a_run() -> None:
    """Set back from the third prompt on; the run ends with the files of one that was not."""
    Path("back.py").write_text(REWARD, encoding="utf-8")
    for folder, more in (("back", {"SET_BACK": "3600"}), ("whole", {})):
        command = [sys.executable, "-m", "glass_cli", "sample", *WORDS, f"hydra.run.dir={folder}"]
        done = child_process.run(command, {**ENVIRONMENT, **more})
        assert done.returncode == 0, done.stderr
        assert not re.search(r"-\d+(\.\d)? (s|min|h)", done.stdout + done.stderr)
    assert float(Path("back.txt").read_text()) > 3500
    assert_no_time_is_negative(Path("back"))
    ours, theirs = files(Path("back")), files(Path("whole"))
    told = {"overrides.yaml", "versions.json", "summary.json"}
    assert {n for n in ours if ours[n] != theirs[n]} <= told
