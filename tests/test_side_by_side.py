"""`glass sheet`: rows of several runs, answers side by side, and folders that hold none."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from example_runs import CONFIG, eval_run, sample_run, with_setting
from PIL import Image
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.common.errors import GlassError
from glass_cli.output.sheet import Row, contact_sheet
from glass_cli.report import side_by_side as module
from glass_cli.report.side_by_side import side_by_side

SDE = with_setting("sampler", {"_target_": "glass_cli.method.sde.Sde"})


@pytest.fixture
def drawn(monkeypatch: pytest.MonkeyPatch) -> list[tuple[list[Row], int, str | None]]:
    """What was put on each sheet: rows, columns and title; the sheets are drawn all the same."""
    calls: list[tuple[list[Row], int, str | None]] = []

    def spy(rows: Sequence[Row], columns: int, title: str | None) -> Image.Image:
        calls.append((list(rows), columns, title))
        return contact_sheet(rows, columns, title)

    monkeypatch.setattr(module, "contact_sheet", spy)
    return calls


Sheets = list[tuple[list[Row], int, str | None]]


def test_rows_of_particles_prompt_by_prompt(tmp_path: Path, drawn: Sheets) -> None:
    rewards = {"a dog": [1.0, 3.0, 2.0], "two cats": [5.0, 4.0, 6.0]}
    runs = [
        sample_run(tmp_path / "a", rewards, nfe=400),
        sample_run(tmp_path / "b", rewards, config=SDE, nfe=396),
    ]
    out = tmp_path / "new" / "two.png"
    assert side_by_side(runs, out) == f"wrote {out} (4 rows)"
    ((rows, columns, title),) = drawn
    assert [row.label for row in rows] == [
        "glass, 400 network calls: a dog",
        "sde, 396 network calls: a dog",
        "glass, 400 network calls: two cats",
        "sde, 396 network calls: two cats",
    ]
    assert [row.best for row in rows] == [1, 1, 2, 2] and (columns, title) == (8, None)
    assert rows[0].captions == ["1.000", "3.000", "2.000"]
    assert rows[1].pictures == [tmp_path / f"b/images/00000/{i:04d}.png" for i in range(3)]
    with Image.open(out) as sheet:
        # four rows of pictures of 128 pixels
        assert sheet.height > 4 * 128


def test_a_sweep_is_labelled_by_what_varies(tmp_path: Path, drawn: Sheets) -> None:
    for i, (lam, seed) in enumerate([(0.5, 0), (0.5, 1), (2.0, 0), (2.0, 1)]):
        config = with_setting("steering.lam", lam)
        sample_run(tmp_path / "sweep" / str(i), {"a dog": [1.0, 3.0]}, config=config, seed=seed)
    side_by_side([tmp_path / "sweep"], tmp_path / "out.png")
    assert [row.label.partition(" network")[0] for row in drawn[0][0]] == [
        "lam=0.5, seed=0, 16", "lam=0.5, seed=1, 16", "lam=2.0, seed=0, 16", "lam=2.0, seed=1, 16",
    ]  # fmt: skip


def evaluation(
    folder: Path, prompts: Sequence[str], images: int, config: dict[str, Any] = CONFIG
) -> Path:
    results = [
        {"prompt": prompt, "image": i, "rewards": [1.0, 10.0 * p + i],
         "judged": {"correct": i % 2 == 0}}
        for p, prompt in enumerate(prompts, 1) for i in range(images)
    ]  # fmt: skip
    return eval_run(folder, results, config=config)


def test_evaluations_stand_side_by_side(tmp_path: Path, drawn: Sheets) -> None:
    """A row a prompt, the runs' answers in it; of the images those that all of them have."""
    runs = [
        evaluation(tmp_path / "a", ["a dog", "two cats"], 3),
        evaluation(tmp_path / "b", ["two cats", "a dog", "a car"], 2, SDE),
    ]
    assert "(2 rows)" in side_by_side(runs, tmp_path / "out.png")
    ((rows, columns, title),) = drawn
    assert [row.label for row in rows] == ["a dog", "two cats"]
    assert rows[0].captions == [
        "glass\n10.000, right", "glass\n11.000, wrong", "sde\n20.000, right", "sde\n21.000, wrong",
    ]  # fmt: skip
    samples = [("a", 0), ("a", 0), ("b", 1), ("b", 1)]
    assert rows[0].pictures == [
        tmp_path / f"{run}/images/{prompt:05d}/samples/{image:04d}.png"
        for (run, prompt), image in zip(samples, [0, 1, 0, 1], strict=True)
    ]
    assert (columns, title) == (8, None) and rows[0].best is None


@pytest.mark.parametrize(("images", "columns"), [(1, 8), (3, 6), (5, 5), (9, 8)])
def test_a_line_ends_between_runs(tmp_path: Path, drawn: Sheets, images: int, columns: int) -> None:
    runs = [
        evaluation(tmp_path / str(i), ["a dog"], images, with_setting("steering.lam", float(i)))
        for i in range(3)
    ]
    side_by_side(runs, tmp_path / "out.png")
    assert drawn[0][1] == columns and len(drawn[0][0][0].pictures) == 3 * images


def test_a_sample_beside_an_evaluation_shows_its_answer(tmp_path: Path, drawn: Sheets) -> None:
    sample = sample_run(tmp_path / "a", {"a dog": [1.0, 3.0, 2.0]})
    side_by_side([sample, evaluation(tmp_path / "b", ["a dog"], 1)], tmp_path / "out.png")
    (row,) = drawn[0][0]
    assert row.captions == ["no benchmark\n3.000", "geneval\n10.000, right"]
    assert row.pictures[0] == sample / "images/00000/0001.png"


def test_a_sheet_has_bounds(tmp_path: Path, drawn: Sheets) -> None:
    rewards = {f"p{i}": [1.0] for i in range(30)}
    runs = [
        sample_run(tmp_path / str(i), rewards, config=with_setting("steering.lam", float(i)))
        for i in range(6)
    ]
    side_by_side(runs[:1], tmp_path / "out.png")
    side_by_side(runs, tmp_path / "out.png")
    assert [(len(rows), title) for rows, _, title in drawn] == [
        (24, "The first 24 of 30 prompts"), (96, "The first 16 of 30 prompts"),
    ]  # fmt: skip


def test_what_holds_no_sheet_is_one_line(tmp_path: Path) -> None:
    good = evaluation(tmp_path / "good", ["a dog"], 1)
    points = sample_run(tmp_path / "points", {"a dog": [1.0, 2.0]}, size=None)
    other = evaluation(tmp_path / "other", ["a car"], 1)
    damaged = sample_run(tmp_path / "damaged", {"a dog": [1.0, 2.0]})
    picture = damaged / "images/00000/0001.png"
    picture.write_bytes(picture.read_bytes()[:60])
    missing = evaluation(tmp_path / "missing", ["a dog"], 1)
    (missing / "results/00000/0000.json").unlink()
    (tmp_path / "empty").mkdir()
    stopped = evaluation(tmp_path / "stopped", ["a dog"], 1)
    (stopped / "summary.json").unlink()
    out = tmp_path / "out.png"
    for folders, said in (
        ([tmp_path / "empty"], "has no summary.json: nothing in it is a run's"),
        ([points], "has no pictures"),
        ([good, points], "has no pictures"),
        ([good, other], "no prompt in common"),
        ([damaged], "0001.png is not a whole picture"),
        ([missing], "results/00000/0000.json cannot be read"),
        ([stopped], "did not finish"),
    ):
        with pytest.raises(GlassError, match=said) as caught:
            side_by_side(folders, out)
        assert "\n" not in str(caught.value) and not out.exists()
        done = CliRunner().invoke(app, ["sheet", *map(str, folders), "-o", str(out)])
        assert done.exit_code == 2 and done.stderr.count("\n") == 1
    done = CliRunner().invoke(app, ["sheet", str(good), str(stopped), "-o", str(out)])
    assert done.exit_code == 0 and "(1 row)" in done.stdout
    assert done.stderr.count("\n") == 1 and "passing over" in done.stderr
