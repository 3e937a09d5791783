"""Samplings, sweeps, evaluations and comparisons, sent signals at random moments: finished work
stays, the exit code is the signal's, and the same command ends with the same bits. So it is where
not glass itself is signalled but a Ray worker, or the raylet, which hosts Ray's object store."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from conftest import REPOSITORY
from copied_code import copied
from eval_runs import POINTS, write_benchmarks

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX"),
]
SAMPLE = [word for word in POINTS if not word.startswith("benchmark")]


def prompts(count: int) -> str:
    return f"prompts=[{','.join(f'p{i}' for i in range(count))}]"


COMMANDS = {
    "sample": ["sample", *SAMPLE, prompts(60), "hydra.run.dir=out"],
    "sweep": ["sweep", *SAMPLE, "seed=0,1", prompts(8), "hydra.sweep.dir=out"],
    "eval": ["eval", "-cd", "mine", *POINTS, "benchmark.images=15", "hydra.run.dir=out"],
    "reproduce": [
        *("reproduce", "embedded", "--only", "ode1_50", "--only", "glass1_50", "--limit", "2"),
        *("--benchmark", "compose", "--seeds", "1", "--runs", "out", "--out", "pages", "calls=5"),
    ],
}
RAY = ["eval", "-cd", "mine", *POINTS, "benchmark.images=100", "hydra.run.dir=out", "launcher=ray"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    monkeypatch.chdir(tmp_path)


def moments(target: str, seed: int, count: int, words: list[str]) -> list[dict[str, Any]]:
    """What became of runs that met a signal; those let through afterwards have the same bits."""
    program = str(REPOSITORY / "tests" / "signalled_runs.py")
    done = subprocess.run(
        [sys.executable, program, target, str(seed), str(count), "out", *words],
        env=copied(Path("code")),
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    first, *others = [json.loads(line) for line in done.stdout.splitlines()]
    ends = [found for found in others if "same" in found]
    assert first["code"] == 0 and ends == [{"code": 0, "same": True}] * len(ends), done.stderr
    met = [found for found in others if "sent" in found]
    assert len(met) == count and len(ends) >= count // 5
    told = Counter((signal.Signals(found["sent"]).name, found["code"]) for found in met)
    among = sorted(found["results"] for found in met)
    print(f"\n{target} {words[0]}: {first['seconds']:.1f} s undisturbed, {dict(told)},")
    print(f"with {among} results, {len(ends)} let through to the same bits")
    assert [found for found in met if "Traceback" in found["said"]] == []
    return met


def says_how_to_go_on(found: dict[str, Any]) -> bool:
    line = found["said"].splitlines()[-1]
    return line.startswith("glass: ") and "goes on from there" in line


@pytest.mark.parametrize("command", COMMANDS)
def test_random_moments(command: str) -> None:
    """40 of each command, 10 of each signal."""
    for found in moments("glass", len(command), 40, COMMANDS[command]):
        sent, code, said = found["sent"], found["code"], found["said"]
        if sent == signal.SIGKILL:
            assert code == -signal.SIGKILL
        elif code < 0:  # before glass itself had begun
            assert code == -sent and not said, found
        else:
            assert code == 128 + sent, found
            begun = "before the run began" not in said.splitlines()[-1]
            assert says_how_to_go_on(found) if begun else "glass: stopped" in said, found


def test_the_driver_of_ray_workers() -> None:
    pytest.importorskip("ray")
    for found in moments("glass", 3, 8, [*RAY, "launcher.workers=1"]):
        sent, code = found["sent"], found["code"]
        assert code == (-sent if sent == signal.SIGKILL or code < 0 else 128 + sent), found
        if code > 0 and "before the run began" not in found["said"]:
            assert says_how_to_go_on(found), found


@pytest.mark.parametrize(("target", "workers"), [("worker", 1), ("worker", 2), ("raylet", 1)])
def test_processes_of_ray(target: str, workers: int) -> None:
    """A signal ends one of them: where nobody is left to draw, that is one line and code 1."""
    pytest.importorskip("ray")
    for found in moments(target, workers, 8, [*RAY, f"launcher.workers={workers}"]):
        if found["code"] == 0:  # the others drew what it had in hand, or it was too late to matter
            continue
        assert found["code"] == 1, found
        last = found["said"].splitlines()[-1]
        assert says_how_to_go_on(found) or "the same command begins anew" in last, found
