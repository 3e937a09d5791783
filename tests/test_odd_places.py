"""Odd names of folders, closed streams, no home, two sweeps at once: it works, or is one line."""

from __future__ import annotations

import os
import pwd
import shutil
import sys
from pathlib import Path

import child_process
import pytest
from eval_runs import ENVIRONMENT, POINTS, drawn, evaluate, files, write_benchmarks

from glass_cli.common.paths import cache
from glass_cli.launch import launch
from glass_cli.output.lock import Lock
from glass_cli.output.reader import read_run
from glass_cli.output.sweep_errors import say_errors

posix = pytest.mark.skipif(sys.platform == "win32", reason="streams, links and names of POSIX")
TINY = ["model=gaussian_mixture", "wandb.mode=disabled", "particles=2", "sampler.transitions=1"]
TINY += ["sampler.steps=1", "prompts=[a,b]"]
# what says of which commit the code was, which may change meanwhile
TOLD = {"versions.json", "summary.json"}


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


@posix
@pytest.mark.parametrize(
    "name",
    [
        "ünï 猫 🍎",
        "q'uo\"te, [x]{y}",
        *(pytest.param(n, marks=pytest.mark.slow) for n in ("a=b, c", "[x]{y}", "-x", "per\\back")),
    ],
)
def test_names_of_the_working_directory(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    Path(name).mkdir()
    monkeypatch.chdir(name)
    assert launch([*TINY]) == 0 and launch([*TINY, "seed=0,1"], sweep=True) == 0
    found = sorted(Path().rglob("summary.json"))
    assert len(found) == 3 and {path.parts[0] for path in found} == {"outputs"}
    assert all(read_run(path.parent).results for path in found)


@posix
def test_a_reference_as_a_name(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Hydra would have the jobs of a sweep write beside it, wherever the reference leads."""
    Path("do${oc.env:HOME}llar").mkdir()
    monkeypatch.chdir("do${oc.env:HOME}llar")
    assert launch([*TINY]) == 0
    capsys.readouterr()
    assert launch([*TINY, "seed=0,1"], sweep=True) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "a sweep cannot run in" in line and "start it in another folder" in line
    assert len(list(Path("..").rglob("summary.json"))) == 1


@posix
def test_outputs_elsewhere(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """A link to another disk is followed; one that leads nowhere is told in a line."""
    Path("outputs").symlink_to(tmp_path / "disk")
    assert launch([*TINY]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert "cannot write to outputs" in line
    (tmp_path / "disk").mkdir()
    assert launch([*TINY]) == 0
    assert len(list((tmp_path / "disk").rglob("summary.json"))) == 1


def test_a_folder_elsewhere_is_told_whole(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    there = tmp_path / "there"
    for folder, told in ((Path("here").absolute(), "here"), (there, str(there))):
        assert launch([*TINY, f"hydra.run.dir={folder}"]) == 0
        lines = capsys.readouterr().out.splitlines()
        (line,) = (line for line in lines if line.startswith("folder"))
        assert line.split()[1] == told
        assert not any("../" in line for line in lines)


def test_moved_and_continued(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a relative path before, by an absolute one afterwards."""
    assert evaluate(*POINTS, "hydra.run.dir=whole") == 0
    with monkeypatch.context() as patch:
        drawn(patch, stop_after=5)
        assert evaluate(*POINTS, "hydra.run.dir=here/run") == 130
    shutil.move("here/run", tmp_path / "elsewhere")
    units = drawn(monkeypatch)
    assert evaluate(*POINTS, f"hydra.run.dir={tmp_path / 'elsewhere'}") == 0
    assert len(units) == 7
    ours, theirs = files(tmp_path / "elsewhere"), files(Path("whole"))
    assert {name for name in theirs if ours[name] != theirs[name]} <= TOLD


@pytest.mark.parametrize(
    ("word", "said"),
    [
        (f"hydra.run.dir={'x' * 300}", "file name too long"),
        (f"model.path={'x' * 300}", "model.path=xxx"),
        (f"prompts={'x' * 300}", "file name too long"),
        ("prompts=~nobody-of-that-name/list.txt", "prompts=~nobody-of-that-name/list.txt cannot"),
        ("model.path='~nobody-of-that-name/x'", "model.path=~nobody-of-that-name/x"),
    ],
)
def test_paths_that_cannot_be(word: str, said: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [w for w in TINY if not w.startswith(word.partition("=")[0])]
    words = [w for w in words if not (word.startswith("model.path") and w.startswith("model="))]
    assert launch([*words, word]) == 2
    (line,) = capsys.readouterr().err.splitlines()
    assert line.startswith("glass: ") and said in line
    assert list(Path().iterdir()) == []


CLOSED = """
import os, sys
for number, name in enumerate(("stdin", "stdout", "stderr")):
    if name in sys.argv[1].split(","):
        os.close(number)
        setattr(sys, name, None)
        setattr(sys, f"__{name}__", None)
from glass_cli.cli import main
sys.argv = ["glass", *sys.argv[2:]]
main()
"""


@posix
@pytest.mark.parametrize(
    "closed",
    [
        "stdout",
        "stdin,stdout,stderr",
        *(pytest.param(name, marks=pytest.mark.slow) for name in ("stdin", "stderr")),
    ],
)
def test_closed_streams(closed: str) -> None:
    """The run is that of open ones, and nothing is printed into its files."""
    for folder, names in (("closed", closed), ("open", "")):
        command = [sys.executable, "-c", CLOSED, names, "sample", *TINY, f"hydra.run.dir={folder}"]
        done = child_process.run(command, ENVIRONMENT)
        assert done.returncode == 0, (names, done.stdout, done.stderr)
    ours, theirs = files(Path("closed")), files(Path("open"))
    assert {name for name in theirs if ours[name] != theirs[name]} <= TOLD


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="a full device of Linux")
@pytest.mark.parametrize("words", [["ls"], ["--version"], ["ls", "sampler"]])
def test_output_that_cannot_be_written(words: list[str]) -> None:
    program = (
        "import os, sys; os.dup2(os.open('/dev/full', os.O_WRONLY), 1);"
        "from glass_cli.cli import main; sys.argv = ['glass', *sys.argv[1:]]; main()"
    )
    done = child_process.run([sys.executable, "-c", program, *words], ENVIRONMENT)
    assert done.returncode == 1
    assert done.stderr == "glass: standard output cannot be written: no space left on device\n"


@posix
def test_a_user_without_a_home(monkeypatch: pytest.MonkeyPatch) -> None:
    """As in a container whose user is a bare number: nothing can be cached, and the run goes on."""

    def unknown(_: object) -> object:
        raise KeyError("nobody of that number")

    for name in ("HOME", "XDG_CACHE_HOME"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)
    assert cache() == Path(os.devnull, "glass")
    assert launch([*TINY, "sampler.transitions=2", "sampler.times=auto", "hydra.run.dir=run"]) == 0
    assert list(Path().iterdir()) == [Path("run")] and read_run(Path("run")).results


def test_two_sweeps_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    """A job that another process is drawing fails here, and nothing is left in its folder."""
    words = [*TINY, "seed=0,1", "hydra.sweep.dir=sweep"]
    Path("sweep/1").mkdir(parents=True)
    with Lock(Path("sweep/1")):
        assert launch(words, sweep=True) == 1
        assert {path.name for path in Path("sweep/1").iterdir()} <= {".lock", ".holder"}
    said = capsys.readouterr().err.splitlines()
    assert said[-2] == "glass: 1 job of the sweep failed:"
    assert "sweep/1 is being written by process" in said[-1].replace("\\", "/")
    assert not list(Path("sweep").rglob(".refused*"))
    assert launch(words, sweep=True) == 0
    assert len(list(Path("sweep").glob("*/summary.json"))) == 2


def test_errors_that_a_full_disk_cut_short(capsys: pytest.CaptureFixture[str]) -> None:
    for name, data in (("one", b""), ("two", b"seed=1: na\xefve\n\ntrace")):
        Path("sweep", name).mkdir(parents=True)
        Path("sweep", name, "error.txt").write_bytes(data)
    assert say_errors(Path("sweep"), "mine", {})
    first, one, two = capsys.readouterr().err.splitlines()
    assert first == "glass: 2 jobs of the sweep failed:"
    assert one.endswith("one: its error could not be kept") and "two: seed=1: na" in two
    assert not say_errors(Path("mine"), "mine", {})
