"""Thousands of prompts, and many processes at once: memory, time, and nothing lost or doubled."""

from __future__ import annotations

import subprocess
import sys
import time
from pathlib import Path
from typing import NamedTuple

import load_bench
import pytest
from chromium import Page
from copied_code import copied
from eval_runs import files

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(sys.platform != "linux", reason="peak memory, as Linux tells it"),
]
FEW, MANY = 1_000, 10_000
WORDS = ["-cd", "../mine", "benchmark=many", "model=gaussian_mixture", "wandb.mode=disabled"]
WORDS += ["particles=1", "sampler.transitions=1", "sampler.steps=1", "steering=none"]


@pytest.fixture
def code(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, str]:
    """An empty folder, and the environment of children."""
    (tmp_path / "mine/benchmark").mkdir(parents=True)
    (tmp_path / "mine/benchmark/many.yaml").write_text(load_bench.YAML)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return copied(tmp_path / "code")


class Ended(NamedTuple):
    code: int
    megabytes: float
    seconds: float


# the peak of a process by wait4 is never below that of the process that it was forked from
PROGRAM = """
import atexit, re, sys, time
from pathlib import Path
from glass_cli.cli import main

def peak():
    kib = re.search("VmHWM:\\s+(\\d+)", Path("/proc/self/status").read_text())[1]
    Path("peak.txt").write_text(f"{kib} {time.process_time()}")

atexit.register(peak)
main()
"""


def glass(code: dict[str, str], *words: str) -> Ended:
    """Runs a command; its exit code, peak memory and the seconds of the CPU that it took."""
    command = [sys.executable, "-c", PROGRAM, *words]
    done = subprocess.run(command, env=code, capture_output=True, text=True)
    kib, seconds = Path("peak.txt").read_text().split()
    return Ended(done.returncode, int(kib) / 1024, float(seconds))


def test_memory_and_time_of_ten_thousand_prompts(code: dict[str, str]) -> None:
    folder = Path("run")
    words = [*WORDS, f"hydra.run.dir={folder}"]
    start = glass(code, "eval", *words, "benchmark.limit=1")
    few = glass(code, "eval", *words, f"benchmark.limit={FEW}")
    pages = [glass(code, "report", str(folder), "--out", "few.html")]
    many = glass(code, "eval", *words)
    pages.append(glass(code, "report", str(folder), "--out", "many.html"))
    assert not any(ended.code for ended in (start, few, many, *pages))
    assert len(list(folder.glob("results/*/0000.json"))) == MANY
    early = (few.seconds - start.seconds) / (FEW - 1)
    late = (many.seconds - start.seconds) / (MANY - FEW)
    sizes = [Path(name).stat().st_size / 2**20 for name in ("few.html", "many.html")]
    print(f"\neval {start} {few} {many}, of the CPU {early:.4f} s and {late:.4f} s a prompt")
    print(f"report {pages}, {sizes} MiB")
    with Page() as page:
        began = time.monotonic()
        page.open(Path("many.html"), seconds=120)
        print(f"opened in {time.monotonic() - began:.1f} s")
        assert page.run("document.querySelectorAll('.card').length") == MANY
        assert not page.errors
    assert many.megabytes < 1.1 * few.megabytes
    assert pages[1].megabytes < 1.1 * pages[0].megabytes
    assert late < 1.25 * early


EIGHT = """
import os, sys
import glass_cli.engine.worker
from glass_cli.launch import launch

children = []
for _ in range(8):
    process = os.fork()
    if process == 0:
        os._exit(launch(sys.argv[1:], config="eval"))
    children.append(process)
print(*(os.waitstatus_to_exitcode(os.waitpid(process, 0)[1]) for process in children))
"""


def test_eight_processes_on_one_folder(code: dict[str, str]) -> None:
    """One draws, the others are refused in a line; the folder is that of one process alone."""
    words = [*WORDS, "benchmark.limit=200", "hydra.run.dir=run"]
    assert glass(code, "eval", *words).code == 0
    Path("run").rename("alone")
    for _ in range(3):
        command = [sys.executable, "-c", EIGHT, *words]
        done = subprocess.run(command, env=code, capture_output=True, text=True)
        codes = [int(code) for code in done.stdout.splitlines()[-1].split()]
        lines = [line for line in done.stderr.splitlines() if line.startswith("glass: ")]
        print(codes, len(lines))
        assert len(codes) == 8 and set(codes) <= {0, 2} and 0 in codes, done.stderr
        assert len(lines) == codes.count(2) and "Traceback" not in done.stderr
        assert all("is being written by process" in line for line in lines)
        assert files(Path("run")) == files(Path("alone"))
        # the next eight meet a folder that is half done
        Path("run/summary.json").unlink()
        for result in sorted(Path("run").glob("results/*/*.json"))[::2]:
            result.unlink()
