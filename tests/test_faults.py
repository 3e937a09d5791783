"""Full disks, folders that cannot be written and too few file handles: one line, and on it goes."""

from __future__ import annotations

import json
import os
import resource
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import child_process
import pytest
from conftest import REPOSITORY
from eval_runs import files

COMMON = ["model=gaussian_mixture", "wandb.mode=disabled", "particles=3", "sampler.steps=1"]
COMMON += ["sampler.transitions=2", "prompts=[a,b,c,d,e,f]", "hydra.run.dir=run"]
# A child that sets its limits and then runs the command
PROGRAM = """
import resource, signal, sys
what, soft = sys.argv[1], int(sys.argv[2])
if what == "bytes":
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (soft, soft))
import glass_cli.engine.worker
if what == "handles":
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
from glass_cli.cli import main
sys.argv = ["glass", *sys.argv[3:]]
main()
"""
ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(REPOSITORY)}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def limited(what: str, soft: int, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", PROGRAM, what, str(soft), *words]
    if what == "handles":  # a forked child has some of its server's
        return subprocess.run(command, env=ENVIRONMENT, capture_output=True, text=True)
    return child_process.run(command, ENVIRONMENT)


def lines(done: subprocess.CompletedProcess[str]) -> list[str]:
    """What glass itself said."""
    assert "Traceback" not in done.stderr, done.stderr
    return [text for text in done.stderr.splitlines() if text.startswith("glass: ")]


# the results are smaller than the tables, these than the plot
@pytest.mark.parametrize(
    "most", [300, *(pytest.param(most, marks=pytest.mark.slow) for most in (1500, 4000, 9000))]
)
def test_files_that_cannot_grow(most: int) -> None:
    """Each writer of a run in turn finds no room; the same command then ends as if it had."""
    done = limited("bytes", most, "sample", *COMMON)
    assert done.returncode == 2, (done.stdout, done.stderr)
    (said,) = lines(done)
    assert "cannot write to run" in said and "file too large" in said and "goes on" in said
    assert not Path("run/summary.json").exists()
    left = [p for p in Path("run").rglob("*") if p.is_file() and p.name.startswith(".")]
    assert {p.name for p in left} <= {".lock", ".holder"}
    assert limited("none", 0, "sample", *COMMON).returncode == 0
    again = files(Path("run"))
    whole = [word.replace("run.dir=run", "run.dir=whole") for word in COMMON]
    assert limited("none", 0, "sample", *whole).returncode == 0
    # the folder's own name is in the overrides alone
    ours, theirs = again, files(Path("whole"))
    assert {n: ours[n] for n in ours if n != "overrides.yaml"} == {
        n: theirs[n] for n in theirs if n != "overrides.yaml"
    }


@pytest.mark.slow
def test_too_few_file_handles() -> None:
    for most in (6, 8, 9):
        done = limited("handles", most, "sample", *COMMON)
        assert done.returncode in (1, 2), (most, done.stdout, done.stderr)
        said = lines(done)
        assert said and len(said[-1]) < 500, (most, done.stderr)
        assert "too many open files" in said[-1].lower(), (most, said)
    assert limited("none", 0, "sample", *COMMON).returncode == 0


@pytest.fixture
def small_disk(tmp_path: Path) -> Path:
    """A disk of 64 KiB; where none can be mounted there is nothing to test."""
    place = tmp_path / "disk"
    place.mkdir()
    if (
        os.geteuid() != 0
        or subprocess.run(
            ["mount", "-t", "tmpfs", "-o", "size=64k", "tmpfs", str(place)], capture_output=True
        ).returncode
    ):
        pytest.skip("only root may mount a disk")
    return place


@pytest.mark.parametrize("free", [4096, pytest.param(24576, marks=pytest.mark.slow)])
def test_a_full_disk(small_disk: Path, free: int) -> None:
    try:
        ballast = small_disk / "ballast"
        ballast.write_bytes(b" " * (65536 - free))
        words = [w.replace("dir=run", f"dir={small_disk / 'run'}") for w in COMMON]
        done = limited("none", 0, "sample", *words)
        assert done.returncode == 2, (done.stdout, done.stderr)
        assert "no space left on device" in lines(done)[-1]
        ballast.unlink()
        # what was finished stays; all of it may be too much for the disk without its plot
        kept = list(small_disk.glob("run/results/*/*.json"))
        assert all(json.loads(path.read_text()) for path in kept)
    finally:
        subprocess.run(["umount", "-l", str(small_disk)], check=True)


@pytest.mark.parametrize(
    ("command", "made"),
    [
        (["report", "run", "--out"], "page.html"),
        (["sheet", "pictures", "--out"], "sheet.png"),
        (["compare", "run", "other", "--csv"], "table.csv"),
        (["compare", "run", "other", "--latex"], "table.tex"),
        (["compare", "run", "other", "--plots"], "plots"),
    ],
)
def test_pages_and_tables_on_a_full_disk(command: list[str], made: str) -> None:
    from example_runs import sample_run

    sample_run(Path("run"), {"a dog": [1.0, 2.0]}, size=None)
    sample_run(Path("other"), {"a dog": [2.0, 3.0]}, size=None, seed=1)
    sample_run(Path("pictures"), {"a dog": [2.0, 3.0]})
    before = files(Path())
    done = limited("bytes", 50, *command, made)
    assert done.returncode == 2, (done.stdout, done.stderr)
    assert "file too large" in lines(done)[-1] and made in lines(done)[-1]
    assert files(Path()) == before


def _unwritable(folder: Path) -> None:
    folder.mkdir()
    folder.chmod(0o500)


def _a_file(folder: Path) -> None:
    folder.write_text("in the way")


@pytest.mark.parametrize("make", [_unwritable, _a_file])
def test_a_folder_that_cannot_be_written(make: Callable[[Path], None]) -> None:
    if make is _unwritable and os.geteuid() == 0:
        pytest.skip("root may write anywhere")
    make(Path("run"))
    done = limited("none", 0, "sample", *COMMON)
    assert done.returncode == 2 and len(lines(done)) == 1 and "run" in lines(done)[0]


def test_the_limits_are_those_of_the_child() -> None:
    assert resource.getrlimit(resource.RLIMIT_NOFILE)[0] > 12
