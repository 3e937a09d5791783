"""What W&B is shown of a run: the calls that it gets, by a module that only notes them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from example_runs import CONFIG, STEPS, eval_run, sample_run

from glass_cli.common.errors import GlassError
from glass_cli.engine.tracked import track_results, track_summary
from glass_cli.engine.tracked_tree import tree_rows
from glass_cli.launch import launch
from glass_cli.output import wandb_tracker
from glass_cli.output.finished import Unit, short
from glass_cli.output.reader import read_run
from glass_cli.output.tracking import NullTracker
from glass_cli.output.wandb_tracker import WandbTracker
from glass_cli.output.writer import RunFolder
from glass_cli.report.scoring import score_runs


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
    # 3 steps a prompt, rising over both starts; what is no number is shown at the numbers before:
    # each prompt's plot, then tables and the page of plots
    own = [step for step, values in wandb.logged if "prompt" in values]
    assert own == list(range(9))
    assert [step for step, _ in wandb.logged] == sorted([*steps, *own[3:], 5, 8, 8, 8, 8, 8])
    rows = wandb.tables()["results"]
    assert [row["prompt"] for row in rows] == ["one", "two", "three"]
    results = read_run(Path("run")).results
    assert [row["best reward"] for row in rows] == [r.best_reward for r in results]
    assert "picture" not in rows[0] and "particles" not in wandb.tables()
    tree = wandb.tables()["tree"]
    assert [row["step"] for row in tree] == 3 * [0, 0, 0, 1, 1, 1, 2, 2, 2]
    # a fresh start is another run
    assert launch([*words, "limit=1", "fresh=true"]) == 0
    assert wandb.starts[2]["id"] != first["id"]


def test_a_step_is_logged_once(wandb: FakeWandb, tmp_path: Path) -> None:
    """W&B drops what comes at a step that it has: of a run that goes on, those of before."""
    init = wandb.init
    wandb.init = lambda **options: SimpleNamespace(**vars(init(**options)), starting_step=5)  # type: ignore[method-assign]
    tracker = start(tmp_path)
    tracker.table("first", ["a"], [[1]])
    for step in (3, 4, 9, 8):
        tracker.log({"x": 1.0}, step)
    tracker.table("last", ["a"], [[1]])
    tracker.finish()
    assert [step for step, _ in wandb.logged] == [5, 5, 6, 9, 10, 10]


def test_a_scoring_is_shown_in_the_runs_own(wandb: FakeWandb, tmp_path: Path) -> None:
    """As the run's settings say, but for what is typed; and where there is none, in none."""
    Path("scores.py").write_text("def red(x, prompts): return x[:, 0].mean((1, 2))\n")
    settings = {"mode": "offline", "project": "p", "group": "many", "name": None}
    metric = "metrics=[{python: {target: scores.red}}]"
    run = sample_run(tmp_path / "run", {"a": [1.0, 2.0]}, config={**CONFIG, "wandb": settings})
    (run / "wandb_id.txt").write_text("abcd1234\n")
    score_runs(["run", metric])
    (begun,) = wandb.starts
    assert (begun["id"], begun["resume"], begun["mode"]) == ("abcd1234", "allow", "offline")
    assert (begun["project"], begun["group"], begun["name"]) == ("p", "many", "run")
    mean = read_run(run).results[0].metrics["python"]
    assert wandb.logged[0] == (
        1,
        {"mean/python": mean, "mean/mean python": pytest.approx(0.5, 0.1)},
    )
    assert wandb.tables()["results"][0]["python"] == mean
    assert [row["python"] for row in wandb.tables()["particles"]][1] == mean
    assert wandb.summary["means"]["python"]["mean"] == mean
    score_runs(["run", metric])
    assert len(wandb.starts) == 1, "nothing was scored"
    quiet = {**CONFIG, "wandb": {**settings, "mode": "disabled"}}
    sample_run(tmp_path / "quiet", {"a": [1.0, 2.0]}, config=quiet)
    sample_run(tmp_path / "older", {"a": [1.0, 2.0]})
    score_runs(["quiet", "older", metric])
    assert len(wandb.starts) == 1
    sample_run(tmp_path / "loud", {"a": [1.0, 2.0]}, config=quiet)
    score_runs(["loud", metric, "wandb.mode=offline", "wandb.group=others"])
    assert (wandb.starts[1]["group"], wandb.starts[1]["project"]) == ("others", "p")
    assert wandb.starts[1]["id"] == Path("loud/wandb_id.txt").read_text().strip()
    with pytest.raises(GlassError, match=r"wandb\.mode must be one of online, offline, disabled"):
        score_runs(["loud", metric, "wandb.mode=of"])


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


def test_the_tree_is_a_row_a_particle_and_step(tmp_path: Path) -> None:
    given = {"prompt": "a", "rewards": STEPS[-1]["rewards"], "steps": STEPS}
    (row, *_), *_ = tables = [shown(eval_run(tmp_path / "run", [given])).tables["tree"]]
    assert row == {
        "prompt_index": 0, "image_index": 0, "prompt": "a", "step": 0, "t": 0.0, "slot": 0,
        "parent": None, "lineage": 0, "x_hat reward": None, "reward": None,
        "weight": pytest.approx(0.25), "copies": None, "answer": False,
    }  # fmt: skip
    (tree,) = tables
    by_step = {k: [row for row in tree if row["step"] == k] for k in range(3)}
    assert [row["copies"] for row in by_step[1]] == [0, 3, 1, 0]
    assert [row["x_hat reward"] for row in by_step[1]] == [1.0, 4.0, 3.0, 1.5]
    assert [row["weight"] for row in by_step[1]] == pytest.approx([0.05, 0.7, 0.2, 0.05])
    assert [row["parent"] for row in by_step[1]] == [0, 1, 2, 3]
    assert [row["parent"] for row in by_step[2]] == [1, 1, 1, 2]
    assert [row["lineage"] for row in by_step[2]] == [1, 1, 1, 2]
    assert [row["reward"] for row in by_step[2]] == [4.0, 6.0, 5.0, 3.0]
    assert [row["x_hat reward"] for row in by_step[2]] == [None] * 4
    # the answer, particle 1 of the end, and those that it descends from
    assert [row["slot"] for row in tree if row["answer"]] == [1, 1, 1]
    # of whole results, as many as fit
    folder = sample_run(tmp_path / "three", {p: [4.0, 6.0, 5.0, 3.0] for p in "abc"}, steps=STEPS)
    results = read_run(folder).results
    assert [row[0] for row in tree_rows(results, 24)] == [0] * 12 + [1] * 12
    assert len(tree_rows(results, 23)) == 12


def test_points_have_no_pictures(tmp_path: Path) -> None:
    tables = shown(sample_run(tmp_path / "run", {"a": [1.0, 2.0]}, size=None)).tables
    assert [*tables] == ["results"] and "picture" not in tables["results"][0]
