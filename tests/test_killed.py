"""Killed at any moment, a run ends with the files of one that was left alone."""

from __future__ import annotations

import re
import signal
import sys
import time
from pathlib import Path

import child_process
import pytest
from conftest import REPOSITORY
from eval_runs import EMOJI, ENVIRONMENT, FOLDER, POINTS, files, write_benchmarks

from glass_cli.output.lock import HOLDER


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


SAMPLE = [word for word in POINTS if not word.startswith("benchmark")]
SAMPLE += [f"prompts=[{','.join(f'p{i}' for i in range(12))}]", "hydra.run.dir=outputs/mine"]


@pytest.mark.parametrize(
    ("config", "seed", "kills", "seconds", "words", "results"),
    [
        ("eval", 0, 6, 0.5, [*POINTS, "benchmark.images=4"], 24),
        ("config", 3, 4, 2.0, SAMPLE, 12),
        pytest.param("eval", 1, 20, 3.0, EMOJI, 12, marks=pytest.mark.slow),
    ],
)
def test_killed_and_continued(
    config: str, seed: int, kills: int, seconds: float, words: list[str], results: int
) -> None:
    program = str(REPOSITORY / "tests" / "killed_runs.py")
    typed = [config, *map(str, (seed, kills, seconds)), "-cd", "../mine", *words]
    done = child_process.run([sys.executable, program, *typed], ENVIRONMENT)
    assert done.returncode == 0, done.stderr
    said = re.findall(r"^killed=(\w+) results=(\d+)$", done.stdout, re.MULTILINE)
    undisturbed = files(Path("undisturbed"))
    assert sum("results/" in name for name in undisturbed) == results and len(said) == kills
    assert sum(killed == "True" for killed, _ in said) >= kills // 2, said
    assert any(0 < int(found) < results for _, found in said), said
    assert files(Path("outputs")) == undisturbed


def test_two_at_once() -> None:
    """The second process is refused in one line that names the first; the first ends well."""
    words = ["-cd", "../mine", *POINTS, "benchmark.images=50"]
    command = [sys.executable, "-m", "glass_cli", "eval", *words]
    holder = Path(FOLDER, HOLDER)
    with child_process.Child(command, ENVIRONMENT) as first:
        deadline = time.monotonic() + 240
        while not (holder.exists() and holder.read_text()) and time.monotonic() < deadline:
            time.sleep(0.02)
        first.send_signal(signal.SIGSTOP)  # or it might end before the second begins
        second = child_process.run(command, ENVIRONMENT)
        first.send_signal(signal.SIGCONT)
        first.communicate()
    assert first.returncode == 0 and second.returncode == 2
    (line,) = second.stderr.splitlines()
    assert f"is being written by process {first.pid} on " in line
    assert (FOLDER / "summary.json").exists() and not (FOLDER / "error.txt").exists()
