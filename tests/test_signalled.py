"""Sweeps, evaluations, comparisons and Ray's drivers, sent signals at random moments: finished work
stays, the exit code is the signal's, and the same command ends with the same bits."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from conftest import REPOSITORY
from copied_code import copied
from eval_runs import POINTS, write_benchmarks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]
SAMPLE = [word for word in POINTS if not word.startswith("benchmark")]
SWEEP = ["sweep", *SAMPLE, "seed=0,1,2", f"prompts=[{','.join(f'p{i}' for i in range(12))}]"]
EVAL = ["eval", "-cd", "mine", *POINTS, "benchmark.images=60", "hydra.run.dir=out"]
REPRODUCE = ["reproduce", "embedded", "--only", "ode1_50", "--only", "glass1_50"]
REPRODUCE += ["--benchmark", "compose", "--limit", "2", "--seeds", "1", "--runs", "out"]
RAY = [*EVAL[:-2], "benchmark.images=250", EVAL[-1], "launcher=ray", "launcher.workers=1"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize(
    ("seed", "count", "words"),
    [
        pytest.param(0, 10, [*SWEEP, "hydra.sweep.dir=out"], id="sweep"),
        pytest.param(1, 10, EVAL, id="eval"),
        pytest.param(2, 6, [*REPRODUCE, "--out", "pages"], id="reproduce"),
        pytest.param(3, 4, RAY, id="ray"),
    ],
)
def test_random_moments(seed: int, count: int, words: list[str]) -> None:
    if "launcher=ray" in words:
        pytest.importorskip("ray")
    program = str(REPOSITORY / "tests" / "signalled_runs.py")
    done = subprocess.run(
        [sys.executable, program, str(seed), str(count), "out", *words],
        env=copied(Path("code")),
        capture_output=True,
        text=True,
        timeout=550,
    )
    assert done.returncode == 0, done.stderr
    first, *others = [json.loads(line) for line in done.stdout.splitlines()]
    moments = [found for found in others if "sent" in found]
    ends = [found for found in others if "same" in found]
    print(f"\nundisturbed {first}, ends {ends}")
    assert first["code"] == 0 and ends == [{"code": 0, "same": True}] * len(ends), done.stderr
    assert len(moments) == count and len(ends) == -(-count // 5)
    for found in moments:
        sent, code, said = found["sent"], found["code"], found["said"]
        print(f"{signal.Signals(sent).name} {code}, {found['results']} results")
        assert "Traceback" not in said, said
        if code == 0:
            continue
        if sent == signal.SIGKILL:
            assert code == -signal.SIGKILL
        elif code < 0:  # before glass itself had begun
            assert code == -sent and not said, said
        else:
            assert code == 128 + sent, said
            line = said.splitlines()[-1]
            assert line.startswith("glass: stopped"), said
            assert "goes on from there" in line or "before the run began" in line
    assert sum(found["code"] != 0 for found in moments) >= count // 2
