"""The raylet, which hosts Ray's object store, is killed in the middle of a run."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from eval_runs import ENVIRONMENT, POINTS, files, write_benchmarks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="processes are found in /proc"),
]
# slow while there is a file of that name, so that the run outlasts Ray's notice of the death
REWARD = """
import time
from pathlib import Path

def first(points, prompts):
    if Path("slow").exists():
        time.sleep(0.5)
    return points[:, 0]
"""
SAMPLE = [word for word in POINTS if not word.startswith("benchmark")]
PROMPTS = f"prompts=[{','.join(f'p{i}' for i in range(90))}]"
REWARDED = ["reward=python", "reward.accepts=points", "reward.target=slowly.first"]
RAY = ["launcher=ray", "launcher.workers=1"]
COMMANDS = {
    "eval": ["eval", "-cd", "mine", *POINTS, "benchmark.images=15"],
    "sample": ["sample", *SAMPLE, PROMPTS],
}
# The longest that a run may live without its raylet: Ray asks it for life every few seconds, and
# believes in its death after several answers that did not come.
BOUND = 60.0


def command(*words: str) -> list[str]:
    return [sys.executable, "-m", "glass_cli", *words]


def raylet_of(driver: int) -> int:
    """The number of the raylet that the process ``driver`` started."""
    for stat in Path("/proc").glob("[0-9]*/stat"):
        try:
            name, _, rest = stat.read_text().partition("(")[2].rpartition(")")
        except OSError:  # it has ended meanwhile
            continue
        if name == "raylet" and int(rest.split()[1]) == driver:
            return int(stat.parent.name)
    raise AssertionError("no raylet is there")


def finished(folder: Path) -> list[Path]:
    return list(folder.rglob("results/*/*.json"))


@pytest.mark.parametrize(
    ("name", "through_it"),
    [
        pytest.param("eval", False, id="eval, results sent past the store"),
        pytest.param("eval", True, id="eval, results in the store"),
        pytest.param("sample", True, id="sample, results in the store"),
    ],
)
def test_its_process_is_killed(
    name: str, through_it: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("ray")
    monkeypatch.chdir(tmp_path)
    write_benchmarks(Path("mine"))
    Path("slowly.py").write_text(REWARD, encoding="utf-8")
    # only what is larger goes into the store: nothing of a point's, or everything
    environment = dict(ENVIRONMENT)
    if through_it:
        environment["RAY_max_direct_call_object_size"] = "100"
    words = [*COMMANDS[name], *REWARDED, "hydra.run.dir=out"]

    def run(*more: str) -> subprocess.CompletedProcess[str]:
        done = subprocess.run(
            command(*words, *more), env=environment, capture_output=True, text=True, timeout=240
        )
        assert done.returncode == 0, done.stderr
        return done

    run("launcher.threads=1")
    Path("out").rename("whole")
    whole = files(Path("whole"))
    Path("slow").touch()
    with Path("said.txt").open("w") as said:
        driver = subprocess.Popen(command(*words, *RAY), env=environment, stdout=said, stderr=said)
        try:
            deadline = time.monotonic() + 120
            while len(finished(Path("out"))) < 3 and time.monotonic() < deadline:
                assert driver.poll() is None, Path("said.txt").read_text()
                time.sleep(0.3)
            os.kill(raylet_of(driver.pid), signal.SIGKILL)
            began = time.monotonic()
            code = driver.wait(timeout=BOUND)
        finally:
            driver.kill()
            driver.wait()
    lines = Path("said.txt").read_text(errors="replace").splitlines()
    print(name, through_it, f"{time.monotonic() - began:.1f} s", len(finished(Path("out"))), lines)
    assert code == 1
    assert not any("Traceback" in line or "(raylet)" in line for line in lines), lines
    (line,) = [line for line in lines if line.startswith("glass: ")]
    assert line.startswith(("glass: Ray", "glass: the last Ray worker died (")) and line.endswith(
        "; what was finished is in out, and the same command goes on from there"
    )
    kept = finished(Path("out"))
    assert 3 <= len(kept) < len(finished(Path("whole")))
    for path in kept:
        assert json.loads(path.read_text())
        name_there = path.relative_to("out").as_posix()
        assert files(Path("out"))[name_there] == whole[name_there]

    Path("slow").unlink()
    run(*RAY)
    ours = files(Path("out"))
    # those that tell which words were typed
    assert {n for n in set(ours) | set(whole) if ours.get(n) != whole.get(n)} <= {
        "config.yaml",
        "overrides.yaml",
    }
