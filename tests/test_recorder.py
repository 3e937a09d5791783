"""The run folder, read back from disk: what was finished is there, whole, and nothing else."""

from __future__ import annotations

import json
import os
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from glass_cli.common.errors import GlassError
from glass_cli.common.files import read_jsonl
from glass_cli.output.recorder import Recorder, rows_of_run

PROMPT = 'naïve 红苹果 🍎, "quoted" = ${x} #1\nsecond line'
CONFIG = {"prompt": PROMPT, "sampler": {"steps": 6, "kappa": 0.5}, "lam": float("inf")}


class Spy:
    """A tracker that remembers its calls."""

    def __init__(self) -> None:
        self.logged: list[tuple[dict[str, float], int]] = []
        self.shown: list[tuple[str, list[Path], list[str]]] = []
        self.closing: dict[str, Any] | None = None
        self.finished: list[bool] = []

    def log(self, metrics: Any, step: int) -> None:
        self.logged.append((dict(metrics), step))

    def images(self, name: str, paths: Any, captions: Any) -> None:
        self.shown.append((name, list(paths), list(captions)))

    def summary(self, values: Any) -> None:
        self.closing = dict(values)

    def finish(self, ok: bool = True) -> None:
        self.finished.append(ok)


def pictures(n: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(n).integers(0, 256, (n, size, size, 3), dtype=np.uint8)


def particles(rewards: list[float | None], best: int = 0) -> list[dict[str, Any]]:
    return [
        {"particle": i, "seed": 7, "reward": r, "log_w": -0.5, "nfe": 12, "best": i == best}
        for i, r in enumerate(rewards)
    ]


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def test_settings_are_read_back(tmp_path: Path) -> None:
    Recorder(tmp_path / "a" / "b", CONFIG, ["prompt='a, b'", "particles=4"], Spy())
    folder = tmp_path / "a" / "b"
    assert yaml.safe_load((folder / "config.yaml").read_text("utf-8")) == CONFIG
    read = yaml.safe_load((folder / "overrides.yaml").read_text("utf-8"))
    assert read == ["prompt='a, b'", "particles=4"]


def test_steps_are_json_without_nan(tmp_path: Path) -> None:
    spy = Spy()
    recorder = Recorder(tmp_path, {}, [], spy)
    recorder.step(
        {
            "prompt_index": 0,
            "step": 0,
            "t": np.float32(0.25),
            "nfe": np.int64(8),
            "seconds": None,
            "rewards": np.array([0.5, np.nan, 1.5]),
            "ess": float("nan"),
            "lineages": 3,
            "log_normaliser": float("-inf"),
            "resampled": np.bool_(True),
            "ancestors": np.array([0, 0, 2]),
            "log_w": [0.0, float("inf"), -1.0],
        }
    )
    recorder.step({"prompt_index": 1, "step": 0, "t": 0.5, "rewards": None, "ess": 2.5})
    text = (tmp_path / "steps.jsonl").read_text("utf-8")
    assert "NaN" not in text
    assert "Infinity" not in text
    first, second = [json.loads(line) for line in text.splitlines()]
    assert first["rewards"] == [0.5, None, 1.5]
    assert first["log_w"] == [0.0, None, -1.0]
    assert (first["ess"], first["log_normaliser"], first["resampled"]) == (None, None, True)
    assert (first["ancestors"], first["nfe"], first["t"]) == ([0, 0, 2], 8, 0.25)
    assert second["rewards"] is None
    (metrics, at), (later, then) = spy.logged
    assert (at, then) == (0, 1)
    assert metrics == {
        "t": 0.25,
        "nfe": 8,
        "lineages": 3,
        "prompt": 0,
        "sampler_step": 0,
        "resampled": 1,
        "reward/best": 1.5,
        "reward/mean": 1.0,
    }
    assert later == {"t": 0.5, "ess": 2.5, "prompt": 1, "sampler_step": 0}


def test_pictures_and_their_text_are_read_back(tmp_path: Path) -> None:
    spy, shown = Spy(), pictures(3)
    recorder = Recorder(tmp_path, {}, [], spy)
    chosen = particles([0.1, float("nan"), 0.7], best=2)
    paths = recorder.images(4, PROMPT, shown, chosen, {"sampler": "glass", "lam": float("nan")})
    assert paths == [tmp_path / "images" / "00004" / f"000{i}.png" for i in range(3)]
    for i, path in enumerate(paths):
        with Image.open(path) as image:
            assert isinstance(image.text, dict)
            np.testing.assert_array_equal(np.asarray(image), shown[i])
            assert image.text["prompt"] == PROMPT
            assert image.text["seed"] == "7"
            assert image.text["particle"] == str(i)
            assert json.loads(image.text["reward"]) == [0.1, None, 0.7][i]
            assert json.loads(image.text["settings"]) == {"sampler": "glass", "lam": None}
    lines = read_jsonl(tmp_path / "particles.jsonl")
    assert [line["best"] for line in lines] == [False, False, True]
    assert [line["reward"] for line in lines] == [0.1, None, 0.7]
    assert lines[2] == {
        "prompt_index": 4,
        "prompt": PROMPT,
        "particle": 2,
        "seed": 7,
        "reward": 0.7,
        "log_w": -0.5,
        "nfe": 12,
        "best": True,
        "file": "images/00004/0002.png",
    }
    assert spy.shown[0][:2] == ("images/00004", paths)


def test_no_file_is_named_after_a_prompt(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "run", {}, [], Spy())
    recorder.images(0, "../../escape/\ud800", pictures(1), particles([None]), {})
    recorder.sheet()
    recorder.finish({})
    assert names(tmp_path) == {
        "run/config.yaml",
        "run/overrides.yaml",
        "run/images/00000/0000.png",
        "run/particles.jsonl",
        "run/sheet.png",
        "run/summary.json",
    }


@pytest.mark.parametrize("wrong", ["float", "grey", "count"])
def test_wrong_pictures_are_refused(tmp_path: Path, wrong: str) -> None:
    shown = {"float": pictures(2) / 255, "grey": pictures(2)[..., 0], "count": pictures(3)}[wrong]
    recorder = Recorder(tmp_path, {}, [], Spy())
    with pytest.raises(ValueError, match="picture"):
        recorder.images(0, "a", shown, particles([1.0, 2.0]), {})
    assert not (tmp_path / "images").exists()


@pytest.mark.parametrize("error", [KeyboardInterrupt, RuntimeError])
def test_interrupted_run_keeps_what_was_finished(
    tmp_path: Path, error: type[BaseException]
) -> None:
    spy = Spy()
    with pytest.raises(error), Recorder(tmp_path, CONFIG, [], spy) as recorder:
        recorder.step({"step": 0, "t": 0.5})
        recorder.images(0, "a", pictures(2), particles([1.0, 2.0]), {})
        raise error
    assert "summary.json" not in names(tmp_path)
    assert len(read_jsonl(tmp_path / "steps.jsonl")) == 1
    assert [(tmp_path / p["file"]).exists() for p in read_jsonl(tmp_path / "particles.jsonl")] == [
        True,
        True,
    ]
    assert spy.finished == [False]


def test_finish_marks_the_run_once(tmp_path: Path) -> None:
    spy = Spy()
    with Recorder(tmp_path, {}, [], spy) as recorder:
        recorder.finish({"best_reward": float("nan"), "seconds": {"sampling": 1.5}})
    expected = {"best_reward": None, "seconds": {"sampling": 1.5}}
    assert json.loads((tmp_path / "summary.json").read_text("utf-8")) == expected
    assert spy.closing == expected
    assert spy.finished == [True]


def test_interrupted_write_leaves_no_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def half(self: Image.Image, path: Path, **_: Any) -> None:
        Path(path).write_bytes(b"\x89PNG half")
        raise KeyboardInterrupt

    recorder = Recorder(tmp_path, {}, [], Spy())
    recorder.images(0, "a", pictures(1), particles([1.0]), {})
    before = names(tmp_path)
    monkeypatch.setattr(Image.Image, "save", half)
    with pytest.raises(KeyboardInterrupt):
        recorder.images(1, "b", pictures(1), particles([1.0]), {})
    assert names(tmp_path) == before
    assert len(read_jsonl(tmp_path / "particles.jsonl")) == 1


def test_full_disk_is_one_line_and_no_half_record(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recorder = Recorder(tmp_path, {}, [], Spy())
    recorder.step({"step": 0})
    write = os.write
    monkeypatch.setattr(os, "write", lambda file, data: write(file, data[: len(data) // 2]))
    with pytest.raises(GlassError, match="no space left") as caught:
        recorder.step({"step": 1, "log_w": [0.0] * 50})
    assert "\n" not in str(caught.value)
    monkeypatch.undo()
    recorder.step({"step": 2})
    assert [record["step"] for record in read_jsonl(tmp_path / "steps.jsonl")] == [0, 2]


def test_unwritable_folder_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("", "utf-8")  # a file in the way, which root cannot pass either
    with pytest.raises(GlassError, match="cannot write to the run folder") as caught:
        Recorder(tmp_path / "file" / "run", {}, [], Spy())
    assert "\n" not in str(caught.value)


def test_second_run_in_a_folder_is_refused(tmp_path: Path) -> None:
    Recorder(tmp_path, {"a": 1}, [], Spy()).step({"step": 0})
    with pytest.raises(GlassError, match="already holds a run"):
        Recorder(tmp_path, {"a": 2}, [], Spy())
    assert yaml.safe_load((tmp_path / "config.yaml").read_text("utf-8")) == {"a": 1}


def test_plot_is_written_aside(tmp_path: Path) -> None:
    spy = Spy()
    recorder = Recorder(tmp_path, {}, [], spy)

    def write(path: Path) -> None:
        assert path != tmp_path / "density.png"
        Image.new("RGB", (5, 4), "red").save(path)

    assert recorder.plot("density", write) == tmp_path / "density.png"
    with Image.open(tmp_path / "density.png") as image:
        assert image.size == (5, 4)
    assert spy.shown == [("density", [tmp_path / "density.png"], ["density"])]
    with pytest.raises(ValueError, match="name"):
        recorder.plot("../x", write)


def test_sheet_shows_the_recorded_particles(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, {}, [], Spy())
    assert recorder.sheet() is None
    recorder.images(0, "first", pictures(2, 64), particles([0.25, None], best=0), {})
    recorder.images(1, "second", pictures(3, 64), particles([1.0, 2.0, 3.0], best=2), {})
    rows = rows_of_run(tmp_path)
    assert [(row.label, len(row.pictures), row.best) for row in rows] == [
        ("first", 2, 0),
        ("second", 3, 2),
    ]
    assert rows[0].captions == ["0.250", "-"]
    assert rows_of_run(tmp_path, "GLASS + FK")[1].label == "GLASS + FK"
    path = recorder.sheet()
    assert path is not None
    with Image.open(path) as image:
        assert image.height > 2 * 128


def test_crowded_row_still_shows_the_best(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, {}, [], Spy())
    recorder.images(0, "many", pictures(70, 4), particles([float(i) for i in range(70)], 69), {})
    (row,) = rows_of_run(tmp_path)
    assert (len(row.pictures), row.best, row.captions[-1]) == (64, 63, "69.000")


def test_plumbing_is_light() -> None:
    import subprocess

    code = (
        "import sys, glass_cli.output.recorder, glass_cli.output.progress;"
        "print([m for m in ('torch', 'diffusers', 'wandb', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
