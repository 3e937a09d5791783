"""`glass sheet`: rows of several runs, and folders that hold none."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from glass_cli.common.errors import GlassError
from glass_cli.output.recorder import Recorder
from glass_cli.output.tracking import NullTracker
from glass_cli.report.side_by_side import side_by_side


def _run(folder: Path, pictures: int) -> Path:
    config = {"sampler": {"_target_": "a.Ode"}, "steering": {"_target_": "b.BestOfN"}}
    with Recorder(folder, config, [], NullTracker()) as recorder:
        grey = np.full((pictures, 8, 8, 3), 128, np.uint8)
        particles = [{"particle": i, "reward": i, "best": i == 1} for i in range(pictures)]
        recorder.images(0, "a dog", grey, particles, {})
        recorder.finish({"prompts": [{"prompt": "a dog", "nfe": 16}]})
    return folder


def test_a_row_for_each_run(tmp_path: Path) -> None:
    runs = [_run(tmp_path / "a", 3), _run(tmp_path / "b", 3)]
    one = tmp_path / "one.png"
    side_by_side(runs[:1], one)
    said = side_by_side(runs, tmp_path / "new" / "two.png")
    assert "2 rows" in said
    assert Image.open(tmp_path / "new" / "two.png").height > 1.5 * Image.open(one).height


def test_a_folder_without_a_finished_run_is_named(tmp_path: Path) -> None:
    with pytest.raises(GlassError, match=r"is not a finished run \(no summary\.json\)"):
        side_by_side([tmp_path], tmp_path / "out.png")
    folder = _run(tmp_path / "points", 2)
    (folder / "particles.jsonl").write_text(json.dumps({"prompt_index": 0, "point": [0]}) + "\n")
    with pytest.raises(GlassError, match="has no pictures"):
        side_by_side([folder], tmp_path / "out.png")
