"""Files whole or absent, and values every JSON reader takes."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import numpy as np
import pytest

from glass_cli.common.errors import GlassError
from glass_cli.common.files import atomic_write, plain, read_jsonl, writing_to


def test_readers_skip_a_line_cut_short(tmp_path: Path) -> None:
    file = tmp_path / "steps.jsonl"
    file.write_text('{"step": 0}\n{"step": 1, "t": 0.', "utf-8")
    assert read_jsonl(file) == [{"step": 0}]


def test_plain_values() -> None:
    value = {1: (np.arange(2), Path("a")), "s": "\ud800", "n": float("-inf"), "b": np.bool_(False)}
    assert plain(value) == {"1": [[0, 1], "a"], "s": "\\ud800", "n": None, "b": False}
    assert plain(float("inf"), finite=False) == float("inf")


def test_atomic_write_keeps_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old", "utf-8")

    def fail() -> None:
        with atomic_write(path) as part:
            part.write_text("new", "utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text("utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]


def test_what_cannot_be_written_is_one_line(tmp_path: Path) -> None:
    taken = tmp_path / "taken"
    taken.write_text("", "utf-8")
    for block, advice, line in (
        (lambda: taken.mkdir(), "name another file", "a file of that name is in the way"),
        (lambda: (tmp_path / "x" / "y").mkdir(), "go away", "no such file or directory"),
    ):
        with pytest.raises(GlassError) as caught, writing_to(taken, advice):
            block()
        assert str(caught.value) == f"cannot write to {taken}: {line}; {advice}"


def test_other_errors_pass_and_the_run_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(KeyError), writing_to(tmp_path):
        raise KeyError("x")
    with pytest.raises(GlassError, match=r"no space left.*hydra\.run\.dir"), writing_to(tmp_path):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(tmp_path / "part"))
