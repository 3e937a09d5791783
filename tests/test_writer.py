"""The run folder, read back from disk: what was finished is there, whole, and nothing else."""

from __future__ import annotations

import hashlib
import io
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import yaml
from PIL import Image

from glass_cli.common.errors import GlassError
from glass_cli.output.finished import Finished, Unit
from glass_cli.output.lock import Refused
from glass_cli.output.png import png_bytes
from glass_cli.output.writer import RunFolder

PROMPT = 'naïve 红苹果 🍎, "quoted" = ${x} #1\nsecond line'
CONFIG = {"prompt": PROMPT, "sampler": {"steps": 6, "kappa": 0.5}, "reward": None}


def picture(seed: int, size: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (size, size, 3), dtype=np.uint8)


def finished(unit: Unit, prompt: str = PROMPT, more: dict[str, Any] | None = None) -> Finished:
    """Two particles of ``unit``, with random pictures, and one step."""
    names = [f"images/{unit.prompt_index:05d}/{unit.image_index:04d}-{i}.png" for i in range(2)]
    files = {n: png_bytes(picture(hash(unit) % 97 + i), {}) for i, n in enumerate(names)}
    thumbs = (Path("thumbs") / unit.inside / "step-001.webp").as_posix()
    result = {
        **unit._asdict(),
        "prompt": prompt,
        "seed": 7,
        "particles": [{"particle": i, "file": name} for i, name in enumerate(names)],
        "steps": [{"step": 0, "t": 0.0, **(more or {})}],
    }
    return Finished(unit, result, {"seconds": 1.5}, {**files, thumbs: b"small"})


def names(folder: Path) -> set[str]:
    return {p.relative_to(folder).as_posix() for p in folder.rglob("*") if p.is_file()}


def lines(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text("utf-8").splitlines()]


def test_settings_are_read_back(tmp_path: Path) -> None:
    RunFolder(tmp_path).settings(CONFIG, ["prompt='a, b'", "particles=4"])
    assert yaml.safe_load((tmp_path / "config.yaml").read_text("utf-8")) == CONFIG
    typed = yaml.safe_load((tmp_path / "overrides.yaml").read_text("utf-8"))
    assert typed == ["prompt='a, b'", "particles=4"]


def test_a_unit_is_read_back(tmp_path: Path) -> None:
    folder, unit = RunFolder(tmp_path), Unit(4, 1)
    given = finished(unit)
    read = folder.write(given)
    assert folder.result(unit) == read
    digests = {key: read[key] for key in ("sha256", "thumbnails_sha256")}
    assert read == {**given.result, **digests}
    named = {name: digest for table in digests.values() for name, digest in table.items()}
    assert named == {name: hashlib.sha256(data).hexdigest() for name, data in given.files.items()}
    assert {Path(name).suffix for name in read["sha256"]} == {".png"}
    assert folder.times(unit) == {"seconds": 1.5}
    assert names(tmp_path) == {"results/00004/0001.json", "times/00004/0001.json", *given.files}
    # in memory of thousands of prompts there is no room for their particles and steps
    (short,) = folder.finished([unit, Unit(4, 0)]).values()
    assert short.keys() == {*read} - {"particles", "steps", "thumbnails_sha256"}


def test_tables_are_json_without_nan_in_the_order_of_units(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    numbers = {
        "ess": float("nan"),
        "log_normaliser": float("-inf"),
        "rewards": np.array([0.5, np.nan]),
        "nfe": np.int64(8),
        "resampled": np.bool_(True),
    }
    for unit in (Unit(10, 0), Unit(9, 1), Unit(9, 0)):
        folder.write(finished(unit, more=numbers))
    folder.write_tables([Unit(10, 0), Unit(9, 0), Unit(9, 1), Unit(11, 0)])
    steps, particles = lines(tmp_path / "steps.jsonl"), lines(tmp_path / "particles.jsonl")
    assert [(s["prompt_index"], s["image_index"]) for s in steps] == [(9, 0), (9, 1), (10, 0)]
    assert [p["particle"] for p in particles] == [0, 1] * 3
    assert {p["prompt"] for p in particles} == {PROMPT} and {p["seed"] for p in particles} == {7}
    first = {key: steps[0][key] for key in numbers}
    assert first == {
        "ess": None,
        "log_normaliser": None,
        "rewards": [0.5, None],
        "nfe": 8,
        "resampled": True,
    }
    assert "NaN" not in (tmp_path / "steps.jsonl").read_text("utf-8")


@pytest.mark.parametrize("what", ["a byte", "gone", "half a result", "not a mapping"])
def test_what_is_not_whole_does_not_count(tmp_path: Path, what: str) -> None:
    folder, unit = RunFolder(tmp_path), Unit(0, 0)
    folder.write(finished(unit))
    png, result = tmp_path / "images/00000/0000-1.png", tmp_path / "results/00000/0000.json"
    if what == "a byte":
        data = bytearray(png.read_bytes())
        data[-20] ^= 1
        png.write_bytes(data)
    elif what == "gone":
        png.unlink()
    elif what == "half a result":
        result.write_bytes(result.read_bytes()[:-40])
    else:
        result.write_text("[1, 2]")
    assert folder.result(unit) is None and folder.finished([unit]) == {}
    folder.write_tables([unit])
    assert lines(tmp_path / "particles.jsonl") == []


@pytest.mark.parametrize("stopped_at", range(1, 6))
def test_an_interrupted_write_is_no_result(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, stopped_at: int
) -> None:
    """Five files are renamed for a unit, the result last."""
    real, count = os.replace, [0]

    def replace(source: Any, target: Any) -> None:
        count[0] += 1
        if count[0] == stopped_at:
            raise KeyboardInterrupt
        real(source, target)

    folder, unit = RunFolder(tmp_path), Unit(0, 0)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(os, "replace", replace)
        folder.write(finished(unit))
    assert folder.result(unit) is None
    folder.remove_partial_files()
    assert not any(Path(name).name.startswith(".") for name in names(tmp_path))
    folder.write(finished(unit))
    assert folder.result(unit) is not None


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(file: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(GlassError, match="no space left on device") as caught:
        RunFolder(tmp_path).write(finished(Unit(0, 0)))
    assert "\n" not in str(caught.value) and str(tmp_path) in str(caught.value)
    assert names(tmp_path) == set()


def test_one_process_at_a_time(tmp_path: Path) -> None:
    with (
        RunFolder(tmp_path).locked(),
        pytest.raises(Refused, match="is being written by process"),
        RunFolder(tmp_path).locked(),
    ):
        pass


def test_a_folder_that_cannot_be_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")  # in the way, which root cannot pass either
    with pytest.raises(GlassError) as caught, RunFolder(tmp_path / "file" / "run").locked():
        pass
    assert "\n" not in str(caught.value)


def test_the_summary_marks_the_end(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    path = folder.finish({"score": float("nan"), "nfe": 4})
    assert json.loads(path.read_text("utf-8")) == {"score": None, "nfe": 4}
    folder.begin()
    assert not path.exists()


def test_set_aside_takes_everything_once(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.set_aside() is None
    folder.write(finished(Unit(0, 0)))
    folder.settings(CONFIG, [])
    before = names(tmp_path)
    assert folder.set_aside() == tmp_path / "replaced" / "1"
    assert names(tmp_path) == {f"replaced/1/{name}" for name in before}
    assert folder.set_aside() is None


def test_other_prompts_are_refused(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.check_records({0: {"prompt": "a"}}, metadata=False)
    folder.write(finished(Unit(0, 0), "a"))
    folder.check_records({0: {"prompt": "a"}, 1: {"prompt": "new"}}, metadata=False)
    with pytest.raises(Refused, match="prompt 0 was a, now it is b"):
        folder.check_records({0: {"prompt": "b"}}, metadata=False)
    assert not (tmp_path / "images" / "00000" / "metadata.jsonl").exists()


def test_records_of_a_benchmark_are_kept_beside_the_pictures(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    folder.check_records({3: {"prompt": "a", "tag": "x"}}, metadata=True)
    path = tmp_path / "images" / "00003" / "metadata.jsonl"
    assert lines(path) == [{"prompt": "a", "tag": "x"}]
    folder.check_records({3: {"prompt": "a", "tag": "y"}}, metadata=True)  # nothing is drawn yet
    assert lines(path) == [{"prompt": "a", "tag": "y"}]
    folder.write(finished(Unit(3, 0), "a"))
    with pytest.raises(Refused, match="another prompt list"):
        folder.check_records({3: {"prompt": "a", "tag": "x"}}, metadata=True)


def test_parts_of_a_study(tmp_path: Path) -> None:
    folder = RunFolder(tmp_path)
    assert folder.study_part(2, "these") is None
    part = folder.write_study_part(2, "these", {"value": np.float32(0.5)})
    assert part == folder.study_part(2, "these") == {"settings": "these", "value": 0.5}
    assert folder.study_part(2, "others") is None


def test_pictures_and_their_text_are_read_back() -> None:
    shown = picture(1)
    with Image.open(io.BytesIO(png_bytes(shown, {"prompt": PROMPT, "reward": "0.5"}))) as image:
        np.testing.assert_array_equal(np.asarray(image), shown)
        text = image.text  # type: ignore[attr-defined]
    assert text == {"prompt": PROMPT, "reward": "0.5"}


@pytest.mark.parametrize("wrong", ["float", "grey"])
def test_wrong_pictures_are_refused(wrong: str) -> None:
    shown = {"float": picture(2) / 255, "grey": picture(2)[..., 0]}[wrong]
    with pytest.raises(ValueError, match="picture"):
        png_bytes(shown, {})


def test_files_are_written_without_heavy_imports() -> None:
    code = (
        "import sys, glass_cli.output.writer, glass_cli.output.png, glass_cli.output.progress;"
        "print([m for m in ('torch', 'diffusers', 'wandb', 'matplotlib') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
