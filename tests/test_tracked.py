"""What W&B is shown of a run: the calls that it gets, by a module that only notes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from example_runs import eval_run, sample_run

from glass_cli.engine.tracked import track_results, track_summary
from glass_cli.launch import launch
from glass_cli.output import wandb_tracker
from glass_cli.output.reader import read_run
from glass_cli.output.tracking import NullTracker
from glass_cli.output.wandb_tracker import WandbTracker
from glass_cli.output.writer import RunFolder, Unit, short


class FakeWandb:
    """In place of the module wandb: every start, and what was logged."""

    def __init__(self) -> None:
        self.starts: list[dict[str, Any]] = []
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self.summary: dict[str, Any] = {}
        self.Run = SimpleNamespace

    def Settings(self, **options: Any) -> dict[str, Any]:
        return options

    def init(self, **options: Any) -> Any:
        self.starts.append(options)
        return SimpleNamespace(
            log=lambda values, step: self.logged.append((step, values)),
            summary=self.summary,
            finish=lambda **_: None,
            url=None,
        )

    def teardown(self) -> None: ...

    def Image(self, path: str, caption: str | None = None) -> tuple[str, Path]:
        return "image", Path(path)

    def Table(self, columns: list[str], data: list[list[Any]]) -> tuple[str, list[str], Any]:
        return "table", columns, data

    def tables(self) -> dict[str, list[dict[str, Any]]]:
        """Name -> rows of the tables that were logged last."""
        found = {}
        for _, values in self.logged:
            for name, value in values.items():
                if isinstance(value, tuple) and value[0] == "table":
                    found[name] = [dict(zip(value[1], row, strict=True)) for row in value[2]]
        return found


@pytest.fixture
def wandb(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> FakeWandb:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("WANDB_MODE", raising=False)
    module = FakeWandb()
    monkeypatch.setattr(wandb_tracker, "_import_wandb", lambda: module)
    return module


def start(folder: Path) -> WandbTracker:
    return WandbTracker(
        folder, {}, "a", mode="offline", project=None, entity=None, init_timeout=9.0
    )  # fmt: skip


def test_a_folder_is_one_run(wandb: FakeWandb, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.mkdir()
    for folder in (tmp_path, tmp_path, other):
        start(folder).finish()
    first, again, elsewhere = (options["id"] for options in wandb.starts)
    assert first == again != elsewhere and len(first) == 8
    assert {options["resume"] for options in wandb.starts} == {"allow"}
    (tmp_path / "wandb_id.txt").write_text("../../etc\n")
    start(tmp_path).finish()
    assert wandb.starts[-1]["id"] not in (first, "../../etc"), "what W&B would refuse is left"
    (other / "wandb_id.txt").unlink()
    (other / "wandb_id.txt").mkdir()
    start(other).finish()  # it cannot be kept, and the run goes on


def test_a_run_that_goes_on(wandb: FakeWandb, tmp_path: Path) -> None:
    Path("list.txt").write_text("one\ntwo\nthree\n")
    words = ["prompts=list.txt", "model=gaussian_mixture"]
    words += ["particles=3", "sampler.steps=2", "wandb.mode=offline", "hydra.run.dir=run"]
    words += ["wandb.group=mine", "sampler.transitions=2"]
    assert launch([*words, "limit=1"]) == 0
    steps = [step for step, _ in wandb.logged]
    assert launch([*words, "limit=3"]) == 0
    first, second = wandb.starts
    assert first["id"] == second["id"] == Path("run/wandb_id.txt").read_text().strip()
    assert second["group"] == "mine" and second["name"] == "run"
    # 3 steps a prompt, rising over both starts; a table is shown at the step of the last numbers
    own = [step for step, values in wandb.logged if "prompt" in values]
    assert own == list(range(9))
    assert [step for step, _ in wandb.logged] == sorted([*steps, *own[3:], 8, 8])
    rows = wandb.tables()["results"]
    assert [row["prompt"] for row in rows] == ["one", "two", "three"]
    results = read_run(Path("run")).results
    assert [row["best reward"] for row in rows] == [r.best_reward for r in results]
    assert "picture" not in rows[0] and "particles" not in wandb.tables()
    # a fresh start is another run
    assert launch([*words, "limit=1", "fresh=true"]) == 0
    assert wandb.starts[2]["id"] != first["id"]


class Recorder(NullTracker):
    def __init__(self) -> None:
        self.tables: dict[str, list[dict[str, Any]]] = {}
        self.values: Mapping[str, Any] = {}

    def table(self, name: str, columns: Sequence[str], rows: Sequence[Sequence[Any]]) -> None:
        self.tables[name] = [dict(zip(columns, row, strict=True)) for row in rows]

    def summary(self, values: Mapping[str, Any]) -> None:
        self.values = values


def shown(folder: Path) -> Recorder:
    out, recorder = RunFolder(folder), Recorder()
    units = [Unit(r.prompt_index, r.image_index) for r in read_run(folder).results]
    track_results(recorder, out, {unit: short(out.result(unit) or {}) for unit in units})
    return recorder


def test_a_benchmarks_results_have_their_pictures_and_scores(tmp_path: Path) -> None:
    results = [
        {"prompt": "a", "rewards": [1.0, 2.0], "judged": {"correct": True}},
        {"prompt": "b", "rewards": [4.0, 3.0], "judged": {"correct": False}},
    ]
    folder = eval_run(tmp_path / "run", results)
    recorder = shown(folder)
    first, second = recorder.tables["results"]
    assert first["picture"] == folder / "images/00000/samples/0000.png"
    assert second["picture"] == folder / "images/00001/samples/0000.png"
    assert (first["correct"], second["correct"], second["reward"]) == (1.0, 0.0, 4.0)
    assert [*recorder.tables] == ["results"], "of the particles no pictures were kept"
    scores = {
        "overall": {"mean": 0.5, "interval95": [0.25, 0.75], "prompts": 2},
        "counting": {"mean": 1.0, "interval95": None, "prompts": 1},
    }
    means = {"reward": {"mean": 3.0, "interval95": [2.0, 4.0], "prompts": 2}}
    track_summary(recorder, {"scores": scores, "means": means, "nfe": 8})
    assert recorder.values["score/overall"] == 0.5 and recorder.values["score/counting"] == 1.0
    assert recorder.values["nfe"] == 8 and "score/reward" not in recorder.values
    assert [[*row.values()] for row in recorder.tables["scores"]] == [
        ["overall", 0.5, 0.25, 0.75, 2],
        ["counting", 1.0, None, None, 1],
        ["reward", 3.0, 2.0, 4.0, 2],
    ]  # fmt: skip


def test_a_sample_shows_its_answers_and_all_particles(tmp_path: Path) -> None:
    rewards = {f"p{i}": [1.0, 3.0, 2.0] for i in range(80)}
    folder = sample_run(tmp_path / "run", rewards, metrics={"other": [7.0, 8.0, 9.0]}, size=4)
    tables = shown(folder).tables
    assert len(tables["results"]) == 80
    assert tables["results"][5]["picture"] == folder / "images/00005/0001.png"
    assert tables["results"][5]["other"] == 8.0
    rows = tables["particles"]
    assert len(rows) == 198, "whole prompts, up to 200 pictures"
    assert rows[4] == {
        "prompt_index": 1, "prompt": "p1", "particle": 1, "answer": True, "reward": 3.0,
        "other": 8.0, "picture": folder / "images/00001/0001.png",
    }  # fmt: skip
    assert not rows[5]["answer"]


def test_points_have_no_pictures(tmp_path: Path) -> None:
    tables = shown(sample_run(tmp_path / "run", {"a": [1.0, 2.0]}, size=None)).tables
    assert [*tables] == ["results"] and "picture" not in tables["results"][0]
