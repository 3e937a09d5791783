"""Caches and folders of another run or another version: one line, and what is whole is used."""

from __future__ import annotations

import hashlib
import io
import json
import shutil
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from example_runs import STEPS, sample_run
from test_damaged_folders import DAMAGE, Harm, files

from glass_cli.cli import main
from glass_cli.launch import launch
from glass_cli.output import thumbnails
from glass_cli.output.reader import read_run
from glass_cli.report.page import page

POINTS = ["model=gaussian_mixture", "model.components=1", "wandb.mode=disabled", "particles=4"]
TIMES = [*POINTS, "sampler.steps=2", "sampler.times=auto"]
PLAN = [*POINTS[:3], "reward=linear", "steering=auto", "budget=40"]
PLAN += ["steering.prompts=1", "steering.samples=3"]
# what a plan or window says of itself where it is made, and what of its file
KINDS = {"plans": (PLAN, "no plan is cached"), "windows": (TIMES, "no window is cached")}


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def cached(kind: str) -> list[Path]:
    return sorted(Path("../cache/glass", kind).glob("*"))


@pytest.fixture
def draw(capsys: pytest.CaptureFixture[str]) -> Callable[..., list[str]]:
    def draw(*words: str) -> list[str]:
        """What glass itself says of a run that ends well."""
        assert launch(list(words)) == 0
        said = capsys.readouterr().err
        return [line for line in said.splitlines() if line.startswith("glass: ")]

    return draw


def _other_format(path: Path) -> None:
    record = json.loads(path.read_text())
    record["format"] = record["of"]["format"] = 99
    record["of"]["plan"] = 99
    path.write_text(json.dumps(record))


def _changed(path: Path) -> None:
    """A plan or window that nobody measured."""
    record = json.loads(path.read_text())
    if "policy" in record:
        record["policy"] |= {"sizes": [10**7], "calls": 10**6}
    else:
        record["window"]["foretold"] = [2.0] * len(record["window"]["t"])
    path.write_text(json.dumps(record))


def _backwards(path: Path) -> None:
    """Times that no sampler takes, of a policy that there is."""
    record = json.loads(path.read_text())
    if "policy" in record:
        count = len(record["policy"]["sizes"])
        record["policy"]["times"] = [0.0, *(0.9 - 0.1 * k for k in range(1, count)), 1.0]
        if count < 3:  # of fewer no times fall
            record["policy"]["times"] = [0.0] * (count + 1)
    else:
        record["window"]["t"].reverse()
    path.write_text(json.dumps(record))


HARMS = {**DAMAGE, "backwards": _backwards, "another format": _other_format, "impossible": _changed}


@pytest.fixture(scope="module")
def drawn_once(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """For each kind a folder with cache/ and work/a/, a run whose plan or window is in it."""
    folder = tmp_path_factory.mktemp("drawn")
    for kind, (words, made) in KINDS.items():
        (folder / kind / "work").mkdir(parents=True)
        with pytest.MonkeyPatch.context() as patch, io.StringIO() as said:
            patch.setenv("XDG_CACHE_HOME", str(folder / kind / "cache"))
            patch.chdir(folder / kind / "work")
            patch.setattr(sys, "stderr", said)
            assert launch([*words, "hydra.run.dir=a"]) == 0
            assert made in said.getvalue()
    return folder


@pytest.mark.parametrize("harm", HARMS.values(), ids=HARMS.keys())
@pytest.mark.parametrize("kind", KINDS)
def test_a_damaged_cache_is_made_anew(
    draw: Callable[..., list[str]], drawn_once: Path, kind: str, harm: Harm
) -> None:
    """In the cache and in the run's folder: at most a line each, and it is whole afterwards."""
    words, made = KINDS[kind]
    shutil.copytree(drawn_once / kind / "cache", Path("../cache"))
    shutil.copytree(drawn_once / kind / "work" / "a", "a")
    (path,) = cached(kind)
    whole = path.read_text()
    harm(path)
    lines = draw(*words, "hydra.run.dir=b")
    assert sum(made in line for line in lines) == 1 and len(lines) <= 2, lines
    assert json.loads(path.read_text()).keys() == json.loads(whole).keys()
    assert not any(made in line for line in draw(*words, "hydra.run.dir=c"))
    # a run whose own is damaged goes on with the cache's
    own = Path("a", "plan.json" if kind == "plans" else "window.json")
    harm(own)
    Path("a/summary.json").unlink()
    lines = draw(*words, "hydra.run.dir=a")
    assert not any(made in line for line in lines) and len(lines) <= 1, lines


@pytest.mark.parametrize("kind", KINDS)
def test_another_cache_of_the_same_name_is_not_taken(
    draw: Callable[..., list[str]], kind: str
) -> None:
    words, made = KINDS[kind]
    other = "budget=60" if kind == "plans" else "model.components=2"
    draw(*words, "hydra.run.dir=a")
    (mine,) = cached(kind)
    draw(*words, other, "hydra.run.dir=b")
    (theirs,) = set(cached(kind)) - {mine}
    one, two = mine.read_bytes(), theirs.read_bytes()
    mine.write_bytes(two)
    theirs.write_bytes(one)
    assert any(made in line for line in draw(*words, "hydra.run.dir=c"))
    assert any(made in line for line in draw(*words, other, "hydra.run.dir=d"))
    for name, path in (("c", mine), ("d", theirs)):
        assert json.loads(path.read_text())["of"] == json.loads((one, two)[name == "d"])["of"]


@pytest.fixture
def glass(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Any:
    monkeypatch.setattr(sys, "argv", [])

    def glass(*words: str) -> tuple[int, str, list[str]]:
        sys.argv[:] = ["glass", *words]
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        return int(end.value.code or 0), said.out, said.err.splitlines()

    return glass


def test_tables_of_another_run_are_not_read(glass: Any) -> None:
    """Reports rest on the results alone; a run that goes on writes its tables anew."""
    for name, seed in (("a", 0), ("b", 1)):
        code, _, _ = glass("sample", *POINTS, f"seed={seed}", f"hydra.run.dir={name}")
        assert code == 0
    code, before, _ = glass("compare", "a", "b")
    tables = {name: Path(name, "particles.jsonl").read_bytes() for name in "ab"}
    assert code == 0 and tables["a"] != tables["b"]
    for name, other in ("ab", "ba"):
        Path(name, "particles.jsonl").write_bytes(tables[other])
    assert glass("compare", "a", "b") == (0, before, [])
    # as if it had been killed before its end
    Path("a/summary.json").unlink()
    code, _, _ = glass("sample", *POINTS, "seed=0", "hydra.run.dir=a")
    assert code == 0 and Path("a/particles.jsonl").read_bytes() == tables["a"]


def test_settings_and_results_of_another_run(glass: Any) -> None:
    for name, prompt in (("a", "dog"), ("b", "cat")):
        words = [*POINTS, f"seed={len(name + prompt)}", f"prompt={prompt}"]
        assert glass("sample", *words, "particles=5" if name == "b" else "particles=4",
                     f"hydra.run.dir={name}")[0] == 0  # fmt: skip
    one, two = Path("a/identity.json").read_bytes(), Path("b/identity.json").read_bytes()
    words = ["sample", *POINTS, "seed=4", "prompt=dog", "hydra.run.dir=a"]
    Path("a/identity.json").write_bytes(two)
    code, _, (line,) = glass(*words)
    assert code == 2 and "holds results of other settings: particles=5 (now 4)" in line
    Path("a/identity.json").write_bytes(one)
    result = Path("b/results/00000/0000.json").read_bytes()
    Path("a/results/00000/0000.json").write_bytes(result)
    code, _, (line,) = glass(*words)
    assert code == 2 and "prompt 0 was cat, now it is dog" in line


def _tiles_of(page: str) -> int:
    """How many pictures the trees of a page show."""
    return page.count("<image ")


def _exchanged(one: Path, two: Path) -> None:
    contents = one.read_bytes()
    one.write_bytes(two.read_bytes())
    two.write_bytes(contents)


def _of_three(one: Path, two: Path) -> None:
    """Strips of another number of particles."""
    for path in (one, two):
        path.write_bytes(thumbnails.strip(np.zeros((3, 16, 13, 3), np.uint8)))


ONE, TWO = (f"thumbs/{i:05d}/0000/step-001.webp" for i in (0, 1))


@pytest.fixture(scope="module")
def thumbnailed(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, int]]:
    """A folder with two runs, a/ and old/, and how many pictures the page of each shows."""
    folder = tmp_path_factory.mktemp("thumbnailed")
    prompts = {"a dog": [1.0, 4.0, 2.0, 1.0], "a cat": [2.0, 4.0, 2.0, 1.0]}
    steps = [*STEPS[:2], STEPS[1] | {"step": 2, "t": 0.7}, STEPS[2] | {"step": 3}]
    run, old = folder / "a", folder / "old"
    sample_run(run, prompts, steps=steps, thumbs=True)
    flat = thumbnails.strip(np.stack([np.full((16, 16, 3), 50 * i, np.uint8) for i in range(4)]))
    (run / TWO).write_bytes(flat)
    result = run / "results/00001/0000.json"
    record = json.loads(result.read_text())
    record["thumbnails_sha256"][TWO] = hashlib.sha256(flat).hexdigest()
    result.write_text(json.dumps(record))
    # written before results named the digests of their strips
    shutil.copytree(run, old)
    for path in (old / "results").rglob("*.json"):
        record = json.loads(path.read_text())
        del record["thumbnails_sha256"]
        path.write_text(json.dumps(record))
    return folder, {each.name: _tiles_of(page(read_run(each))) for each in (run, old)}


@pytest.mark.parametrize("harm", ["swapped", "of three", *DAMAGE])
def test_thumbnails_of_another_result(
    glass: Any, thumbnailed: tuple[Path, dict[str, int]], harm: str
) -> None:
    """One line names the first that is not its result's, and the page shows the others."""
    folder, whole = thumbnailed
    for name in ("a", "old"):
        shutil.copytree(folder / name, name)
        if harm in DAMAGE:
            for place in (ONE, TWO):
                DAMAGE[harm](Path(name, place))
        else:
            {"swapped": _exchanged, "of three": _of_three}[harm](Path(name, ONE), Path(name, TWO))
    code, _, (line,) = glass("report", "a")
    assert code == 0 and line.startswith(f"glass: warning: {Path('a', ONE)} ")
    assert line.endswith("(and 1 more like it); the page is without it")
    shown = Path("a/report.html").read_text()
    assert _tiles_of(shown) == whole["a"] - 8 and str(Path("a", ONE)) in shown
    # without digests a strip that looks like one is taken for it
    code, _, lines = glass("report", "old")
    told = harm != "swapped"
    assert code == 0 and len(lines) == told
    assert _tiles_of(Path("old/report.html").read_text()) == whole["old"] - 8 * told


@pytest.mark.parametrize("changed", [False, True])
def test_a_newer_version(glass: Any, changed: bool) -> None:
    """Read where it is understood, never gone on with, and never called damaged."""
    assert glass("sample", *POINTS, "hydra.run.dir=a")[0] == 0
    for name in ("identity.json", "summary.json", "results/00000/0000.json"):
        record = json.loads(Path("a", name).read_text())
        record |= {"new": {"of": [1]}, "format": 99}
        if name == "identity.json":
            record["glass_version"] = "99.0.0"
        if changed and name.startswith("results"):
            record["rewards"] = {"values": record["rewards"]}
        Path("a", name).write_text(json.dumps(record))
    before = files(Path("a"))
    code, _, lines = glass("sample", *POINTS, "hydra.run.dir=a")
    assert code == 2 and len(lines) == 1 and "glass_version=99.0.0 (now " in lines[0]
    code, _, lines = glass("report", "a", "--out", "page.html")
    if changed:
        assert code == 2 and len(lines) == 1 and "was written by glass 99.0.0" in lines[0]
        assert "read it with that version" in lines[0]
    else:
        assert code == 0 and not lines
    assert files(Path("a")) == before
