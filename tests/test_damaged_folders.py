"""Folders and caches of others, damaged: one line, and what is whole is used."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from example_runs import STEPS, sample_run

from glass_cli.cli import main
from glass_cli.engine.window_cache import read as read_window

Harm = Callable[[Path], object]


def _cut(path: Path) -> None:
    path.write_bytes(path.read_bytes()[:40])


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _other(path: Path) -> None:
    path.write_bytes(b"\x00\xff" * 500)


def _number(path: Path) -> None:
    path.write_text("[3]")


def _deep(path: Path) -> None:
    path.write_text("[" * 100_000)


DAMAGE = {"cut": _cut, "emptied": _empty, "other bytes": _other, "a number": _number, "deep": _deep}


def files(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


@pytest.fixture
def run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Callable[..., tuple[int, str]]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", [])

    def run(*words: str) -> tuple[int, str]:
        sys.argv[:] = ["glass", *words]
        with pytest.raises(SystemExit) as end:
            main()
        return int(end.value.code or 0), capsys.readouterr().err

    return run


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE.keys())
@pytest.mark.parametrize("kind", ["summary.json", "config.yaml", "0000.json", "png", "webp"])
def test_a_damaged_run_beside_whole_ones(
    run: Callable[..., tuple[int, str]], kind: str, harm: Harm
) -> None:
    """Each command says so in a line; those that take several go on with the others."""
    for i, name in enumerate(("damaged", "one", "two")):
        rewards = {"a dog": [1.0, 4.0, 2.0, 1.0 + i]}
        sample_run(Path(name), rewards, steps=STEPS, thumbs=True)
    for path in Path("damaged").rglob(f"*{kind}"):
        harm(path)
    before = files(Path())
    for words in (["report", "damaged"], ["sheet", "damaged", "one", "-o", "sheet.png"],
                  ["compare", "damaged", "one", "two"]):  # fmt: skip
        code, said = run(*words)
        assert "Traceback" not in said and code in (0, 2), (words, said)
        assert all(line.startswith("glass: ") for line in said.splitlines()), said
        if code == 2:
            assert said and "damaged" in said.splitlines()[0], (words, said)
    assert {n: d for n, d in files(Path()).items() if n in before} == before
    code, said = run("compare", "one", "two")
    assert code == 0, said


@pytest.mark.parametrize("harm", DAMAGE.values(), ids=DAMAGE.keys())
def test_damaged_window_is_measured_anew(tmp_path: Path, harm: Harm) -> None:
    """No error and no window: what asked for one measures it."""
    path = tmp_path / "cache.json"
    path.write_text(json.dumps({"version": 1, "t": [0.0, 1.0], "of": {}, "table": {}}) * 3)
    harm(path)
    assert read_window(path, quiet=True) is None
