"""Pipes, devices and texts without end where a file is expected: a line, soon, and no memory."""

from __future__ import annotations

import json
import os
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any

import pytest
from eval_runs import POINTS, evaluate, files, write_benchmarks
from example_runs import STEPS, sample_run

from glass_cli.cli import main
from glass_cli.common.errors import GlassError
from glass_cli.launch import launch
from glass_cli.output.finished import Unit
from glass_cli.output.reader import read_run
from glass_cli.output.writer import RunFolder

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="pipes and devices of POSIX")
TINY = ["model=gaussian_mixture", "wandb.mode=disabled", "particles=1", "sampler.transitions=1"]
TINY += ["sampler.steps=1", "steering=none", "hydra.run.dir=run"]


@pytest.fixture(autouse=True)
def _soon(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """In an empty folder; what waits or reads for ever fails the test."""
    monkeypatch.chdir(tmp_path)

    def late(number: int, frame: FrameType | None) -> None:
        raise AssertionError("still at it")

    before = signal.signal(signal.SIGALRM, late)
    signal.alarm(120)
    yield
    signal.alarm(0)
    signal.signal(signal.SIGALRM, before)


def _pipe(path: Path) -> None:
    path.unlink(missing_ok=True)
    os.mkfifo(path)


def _device(path: Path) -> None:
    path.unlink(missing_ok=True)
    path.symlink_to("/dev/zero")


KINDS = {"pipe": _pipe, "device": _device}


@pytest.fixture
def glass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    def glass(*words: str) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["glass", *words])
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err.splitlines()

    return glass


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize(
    "place",
    [
        *("summary.json", "config.yaml", "overrides.yaml", "identity.json", "error.txt"),
        *("results/00000/0000.json", "times/00000/0000.json", "images/00000/0000.png"),
        "thumbs/00000/0000/step-001.webp",
    ],
)
def test_in_a_results_folder(glass: Any, place: str, make: Callable[[Path], None]) -> None:
    for i, name in enumerate(("bad", "good")):
        sample_run(Path(name), {"a dog": [1.0, 4.0, 2.0, 1.0 + i]}, steps=STEPS, thumbs=True)
    if place == "error.txt":  # which is read of a run that did not end
        Path("bad/summary.json").unlink()
    make(Path("bad", place))
    for words in (
        ["report", "bad"],
        ["sheet", "bad", "good", "-o", "s.png"],
        ["compare", "bad", "good"],
    ):
        code, lines = glass(*words)
        assert code in (0, 2) and len(lines) <= 2 and all(n.startswith("glass: ") for n in lines)
        if code == 2:
            assert "bad" in lines[0], lines


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
@pytest.mark.parametrize(
    "place",
    ["identity.json", "versions.json", "times/00001/0000.json", "results/00001/0000.json"],
)
def test_in_a_run_that_goes_on(place: str, make: Callable[[Path], None]) -> None:
    words = [*TINY, "prompts=[a,b,c]"]
    assert launch(words) == 0
    whole = files(Path("run"))
    make(Path("run", place))
    for name in ("summary.json", "results/00002/0000.json"):
        Path("run", name).unlink()
    code = launch(words)
    # of what settings the results are must be known
    assert code == (2 if place == "identity.json" else 0)
    told = {"versions.json", "summary.json", "identity.json"}
    ours = files(Path("run")) if code == 0 else whole
    assert {name for name in whole if ours[name] != whole[name]} <= told


@pytest.mark.parametrize("name", ["/dev/zero", "../../../../../../../../dev/zero", "pipe"])
def test_digests_of_what_is_no_picture_of_the_run(name: str) -> None:
    """A result of others may name any file as its picture."""
    sample_run(Path("run"), {"a dog": [1.0, 2.0]})
    folder, unit = RunFolder(Path("run")), Unit(0, 0)
    assert folder.result(unit) is not None
    os.mkfifo("run/pipe")
    path = Path("run/results/00000/0000.json")
    record = json.loads(path.read_text(encoding="utf-8"))
    path.write_text(json.dumps({**record, "sha256": {name: "0" * 64}}), encoding="utf-8")
    assert folder.result(unit) is None


def test_units_of_no_images() -> None:
    sample_run(Path("run"), {"a dog": [1.0, 2.0]})
    path = Path("run/summary.json")
    summary = json.loads(path.read_text(encoding="utf-8"))
    units = {"images": 0, "prompts": [[0, 10**15]]}
    path.write_text(json.dumps({**summary, "units": units}), encoding="utf-8")
    with pytest.raises(GlassError, match=r"run is damaged: summary\.json: units are of no images"):
        read_run(Path("run"))


def test_settings_that_are_more_than_any_memory() -> None:
    """A thousand million letters in eight lines of YAML."""
    sample_run(Path("run"), {"a dog": [1.0, 2.0]})
    lines = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    lines += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    path = Path("run/config.yaml")
    path.write_text(path.read_text(encoding="utf-8") + "\n".join(lines) + "\n", encoding="utf-8")
    with pytest.raises(GlassError, match=r"run is damaged: config.yaml is not .* aliases"):
        read_run(Path("run"))


@pytest.mark.parametrize("make", KINDS.values(), ids=KINDS.keys())
def test_as_a_list_of_prompts(glass: Any, make: Callable[[Path], None]) -> None:
    """A pipe could be read once only, and the list is read by each part of a run."""
    make(Path("list.txt"))
    tiny = [word for word in TINY if not word.startswith("steering")]
    code, (line,) = glass("sample", *tiny, "prompts=list.txt")
    assert code == 2 and "prompts=list.txt cannot be read (not a regular file)" in line
    benchmark = ["benchmark=prompts", "benchmark.path=list.txt"]
    code, (line,) = glass("eval", *benchmark, "wandb.mode=disabled", "hydra.run.dir=run")
    assert code == 2 and "benchmark.path=list.txt is not a file" in line
    assert not Path("run").exists()


def test_a_record_nested_without_end(glass: Any) -> None:
    Path("list.jsonl").write_text('{"prompt": ' + "[" * 100_000 + "\n", encoding="utf-8")
    words = ["benchmark=prompts", "benchmark.path=list.jsonl", "wandb.mode=disabled"]
    code, lines = glass("eval", *words, "hydra.run.dir=run")
    assert code == 2 and "list.jsonl, line 1 is not JSON" in lines[-1] and len(lines) == 1


def _other(path: Path) -> None:
    path.write_bytes(b"\xff\x00" * 30)


def _empty(path: Path) -> None:
    path.write_bytes(b"")


HARMS: dict[str, Callable[[Path], None]] = {"other bytes": _other, "emptied": _empty, **KINDS}


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
def test_the_record_of_a_prompt(harm: Callable[[Path], None]) -> None:
    """It is written anew where the results are of that prompt, and what is finished stays."""
    write_benchmarks(Path("mine"))
    Path("work").mkdir()
    os.chdir("work")
    assert evaluate(*POINTS, "hydra.run.dir=run") == 0
    whole = files(Path("run"))
    path = Path("run/images/00001/metadata.jsonl")
    harm(path)
    Path("run/summary.json").unlink()
    times = {p: p.stat().st_mtime_ns for p in Path("run/results").rglob("*.json")}
    assert evaluate(*POINTS, "hydra.run.dir=run") == 0
    assert files(Path("run")) == whole and path.is_file()
    assert times == {p: p.stat().st_mtime_ns for p in times}


def test_results_that_changed_places(tmp_path: Path) -> None:
    """They are drawn again where they belong."""
    write_benchmarks(Path("mine"))
    Path("work").mkdir()
    os.chdir("work")
    assert evaluate(*POINTS, "hydra.run.dir=run") == 0
    whole = files(Path("run"))
    one, two = Path("run/results/00001/0000.json"), Path("run/results/00001/0001.json")
    contents = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(contents)
    # a table of another kind counts as none
    Path("run/results/00002/0000.json").write_text('{"sha256": {}}', encoding="utf-8")
    Path("run/summary.json").unlink()
    assert evaluate(*POINTS, "hydra.run.dir=run") == 0
    assert files(Path("run")) == whole
