"""A disk that is full, at each size in turn: each writer says so in a line, and then ends well.

The disks are small ones in memory, which only root may mount; elsewhere the tests are skipped.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import child_process
import pytest
from conftest import REPOSITORY
from eval_runs import POINTS, files, write_benchmarks
from example_runs import STEPS, sample_run

pytestmark = pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="only root may mount a disk"
)
PAGE = 4096  # what a file of a disk in memory takes at least
PROGRAM = """
import atexit, importlib, os, sys
from conftest import plain_plot
importlib.import_module("glass_cli.models.density_plot").density_plot = plain_plot
if sys.argv[1] == "nobody":
    atexit._clear()  # what the server imported would remove root's folders
    os.setgid(65534)
    os.setuid(65534)
from glass_cli.cli import main
sys.argv = ["glass", *sys.argv[2:]]
main()
"""
ENVIRONMENT = {
    **{key: value for key, value in os.environ.items() if not key.startswith("XDG_")},
    "OMP_NUM_THREADS": "1",
    "PYTHONPATH": os.pathsep.join([str(REPOSITORY), str(REPOSITORY / "tests")]),
}
SAMPLE = [word for word in POINTS if not word.startswith("benchmark")] + ["prompts=[a,b,c]"]
PLAN = ["model=gaussian_mixture", "model.components=1", "wandb.mode=disabled", "reward=linear"]
PLAN += ["budget=40", "benchmark.samples=3", "benchmark.limit=1"]
# command -> its words, where disk/ is the small disk
WRITERS = {
    "sample": ["sample", *SAMPLE, "hydra.run.dir=disk/out"],
    "eval": ["eval", "-cd", "mine", *POINTS, "hydra.run.dir=disk/out"],
    "sweep": ["sweep", *SAMPLE, "seed=0,1", "hydra.sweep.dir=disk/out"],
    "plan": ["plan", *PLAN, "hydra.run.dir=disk/out"],
    "report": ["report", "one", "--out", "disk/out.html"],
    "sheet": ["sheet", "one", "two", "--out", "disk/out.png"],
    "csv": ["compare", "one", "two", "--csv", "disk/out.csv"],
    "latex": ["compare", "one", "two", "--latex", "disk/out.tex"],
    "plots": ["compare", "one", "two", "--plots", "disk/out"],
    "init": ["init", "disk/out"],
}


@pytest.fixture(autouse=True)
def _folders(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_benchmarks(Path("mine"))
    Path("disk").mkdir()
    for i, name in enumerate(("one", "two")):
        rewards = {"a dog": [1.0, 4.0, 2.0, 1.0 + i]}
        sample_run(Path(name), rewards, steps=STEPS, thumbs=True, seed=i)


@contextmanager
def disk(options: str) -> Iterator[Path]:
    """disk/, with another mounted on it."""
    mount = ["mount", "-t", "tmpfs", "-o", options, "tmpfs", "disk"]
    if subprocess.run(mount, capture_output=True).returncode:
        pytest.skip("no disk can be mounted")
    try:
        yield Path("disk")
    finally:
        subprocess.run(["umount", "-l", "disk"], check=True)


def glass(*words: str, who: str = "root") -> subprocess.CompletedProcess[str]:
    places = [REPOSITORY, Path(sys.prefix)]  # may lie in root's home
    above = {folder for place in places for folder in (place, *place.parents)}
    if who != "root" and any(folder.stat().st_mode & 0o005 != 0o005 for folder in above):
        pytest.skip("other users may not read the repository or its environment")
    command = [sys.executable, "-c", PROGRAM, who, *words]
    home = str(Path("disk/home").absolute())  # where plans and windows are cached
    return child_process.run(command, {**ENVIRONMENT, "HOME": home})


def said(done: subprocess.CompletedProcess[str]) -> list[str]:
    assert "Traceback" not in done.stderr, done.stderr
    return [line for line in done.stderr.splitlines() if line.startswith("glass: ")]


def kept(place: Path) -> dict[str, str]:
    """All that the command has made, by which two of its runs are told apart."""
    there = files(place)
    for path in place.glob("out/study/*.json"):  # which say how long each took
        part = {k: v for k, v in json.loads(path.read_text()).items() if k != "seconds"}
        there[path.relative_to(place).as_posix()] = json.dumps(part)
    return {name: there[name] for name in there if not name.endswith("versions.json")}


@pytest.mark.slow
@pytest.mark.parametrize("writer", WRITERS)
def test_each_size_in_turn(writer: str) -> None:
    """From no room at all, a sixth more each time, until there is enough."""
    words = WRITERS[writer]
    with disk("size=64m") as place:
        assert glass(*words).returncode == 0
        whole = kept(place)
        used = shutil.disk_usage(place).used
    refused, ends = [], 0
    with disk(f"size={used + 64 * PAGE}") as place:
        for part in range(7):
            ballast = place / "ballast"
            total = shutil.disk_usage(place).total
            room = used * part // 6 + (8 * PAGE if part == 6 else 0)
            ballast.write_bytes(b" " * (total - room))
            done = glass(*words)
            lines = said(done)
            if done.returncode == 0:
                ends += 1
            else:
                assert done.returncode in (1, 2), (part, done.stderr)
                assert lines and any("no space left" in line for line in lines), (part, done.stderr)
                assert len(lines) <= (6 if writer == "sweep" else 4), lines  # of two jobs
            refused.append(done.returncode)
            ballast.unlink()
            left = [path for path in place.rglob(".*") if path.is_file()]
            assert not [path for path in left if path.stat().st_size > 200], left
            # what was cut short ends as if the disk had been large enough
            assert glass(*words).returncode == 0 or writer == "init"
            if writer != "init":
                assert kept(place) == whole
            for path in place.iterdir():
                shutil.rmtree(path) if path.is_dir() else path.unlink()
    print(f"\n{writer}: {used / 1024:.0f} KiB, exit codes {refused}")
    assert refused[0] != 0 and ends > 0


def _let_others_look() -> None:
    """Into this folder and those above it, which pytest keeps to their owner."""
    for above in (Path.cwd(), *Path.cwd().parents):
        if above.stat().st_mode & 0o005 != 0o005:
            above.chmod(above.stat().st_mode | 0o055)


def _read_only(place: Path) -> None:
    subprocess.run(["mount", "-o", "remount,ro", "disk"], check=True)


def _of_root(place: Path) -> None:
    place.chmod(0o755)


@pytest.mark.slow
@pytest.mark.parametrize(("make", "who"), [(_read_only, "root"), (_of_root, "nobody")])
@pytest.mark.parametrize("writer", [name for name in WRITERS if name != "plan"])
def test_nothing_may_be_written(writer: str, make: Callable[[Path], None], who: str) -> None:
    """A disk that is read-only, and a folder of someone else's."""
    _let_others_look()
    with disk("size=64m") as place:
        make(place)
        done = glass(*WRITERS[writer], who=who)
        (line,) = said(done)
        assert done.returncode == 2 and "disk" in line, done.stderr
        assert any(word in line for word in ("read-only file system", "permission", "no perm"))
        assert list(place.iterdir()) == []


@pytest.mark.parametrize("place", ["one", "one/results", "one/summary.json"])
@pytest.mark.parametrize(
    "words", [["report", "one"], ["sheet", "one", "two"], ["compare", "one", "two"]]
)
def test_runs_that_may_not_be_read(words: list[str], place: str) -> None:
    _let_others_look()
    Path(place).chmod(0o700)
    done = glass(*words, who="nobody")
    line, *more = said(done)
    assert done.returncode == 2 or place == "one/results", done.stderr
    assert "one" in line and ("permission denied" in line or "not readable" in line)
    assert len(more) <= 1, more  # where another run is left alone
