"""Files whole or absent, and values every JSON reader takes."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from glass_cli.common.files import aside, plain, read_jsonl


def test_readers_skip_a_line_cut_short(tmp_path: Path) -> None:
    file = tmp_path / "steps.jsonl"
    file.write_text('{"step": 0}\n{"step": 1, "t": 0.', "utf-8")
    assert read_jsonl(file) == [{"step": 0}]


def test_plain_values() -> None:
    value = {1: (np.arange(2), Path("a")), "s": "\ud800", "n": float("-inf"), "b": np.bool_(False)}
    assert plain(value) == {"1": [[0, 1], "a"], "s": "\\ud800", "n": None, "b": False}
    assert plain(float("inf"), finite=False) == float("inf")


def test_aside_keeps_the_old_file_when_the_block_fails(tmp_path: Path) -> None:
    path = tmp_path / "x.json"
    path.write_text("old", "utf-8")

    def fail() -> None:
        with aside(path) as part:
            part.write_text("new", "utf-8")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert path.read_text("utf-8") == "old"
    assert [file.name for file in tmp_path.iterdir()] == ["x.json"]
