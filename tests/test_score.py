"""`glass score`: metrics of finished pictures, without drawing, beside what was there."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import pytest
from example_runs import CONFIG, eval_run, picture, sample_run
from PIL import Image
from typer.testing import CliRunner

from glass_cli.cli import app
from glass_cli.common.statistics import bootstrap_interval
from glass_cli.launch import launch
from glass_cli.output.lock import Lock
from glass_cli.output.reader import read_run

RED = "metrics=[{python: {target: my_scores.red}}]"
REWARDS = {"one": [1.0, 3.0, 2.0], "two": [5.0, 4.0, 4.5], "three": [0.0, 1.0, 2.0]}
REDS = [float(picture(i)[..., 0].mean()) / 255 for i in range(3)]
MODULE = """
calls = []
def red(x, prompts):
    calls.append(prompts[0])
    if prompts[0] == stop_at:
        raise KeyboardInterrupt
    return x[:, 0].mean((1, 2))
stop_at = None
def green(x, prompts): return x[:, 1].mean((1, 2))
def bad(x, prompts): return x[:, 0].mean((1, 2)) / 0.0 * (-1) ** len(prompts)
"""


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [str(tmp_path), *sys.path])
    Path("my_scores.py").write_text(MODULE)
    yield
    sys.modules.pop("my_scores", None)


def score(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, ["score", *map(str, words)])
    return done.exit_code, done.stdout, done.stderr


def files(folder: Path) -> dict[str, bytes]:
    """All files of a run but its lock."""
    paths = (path for path in folder.rglob("*") if path.is_file() and path.name != ".lock")
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in paths}


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(path.read_text()) for path in sorted(folder.glob("results/*/*.json"))]


def without(record: Mapping[str, Any], name: str) -> dict[str, Any]:
    """A result without a metric."""
    left = json.loads(json.dumps(record))
    for own in (left["metrics"], left["mean_metrics"], *(p["metrics"] for p in left["particles"])):
        own.pop(name, None)
    return dict(left)


def test_every_picture_gets_its_score_and_all_else_stays(tmp_path: Path) -> None:
    folder = sample_run(tmp_path / "run", REWARDS, metrics={"other": [7.0, 8.0, 9.0]})
    before, drawn = files(folder), records(folder)
    code, said, error = score("run", RED)
    assert code == 0 and "9 pictures scored by python" in said, error
    after = files(folder)
    assert {name for name in before if not name.startswith(("results/", "summary"))} == {
        name for name in before if before[name] == after[name]
    }
    assert {*after} - {*before} == {"metrics.json", "particles.jsonl", "steps.jsonl"}
    for old, new in zip(drawn, records(folder), strict=True):
        assert without(new, "python") == old
        assert [p["metrics"]["python"] for p in new["particles"]] == pytest.approx(REDS, rel=1e-6)
        answer = pytest.approx(REDS[old["chosen"]], rel=1e-6)
        assert new["metrics"] == {"other": old["metrics"]["other"], "python": answer}
        assert new["mean_metrics"]["python"] == pytest.approx(sum(REDS) / 3, rel=1e-6)
    summary, was = (json.loads(all_files["summary.json"]) for all_files in (after, before))
    answers = [REDS[record["chosen"]] for record in drawn]
    cell = summary["means"].pop("python")
    assert cell["mean"] == pytest.approx(sum(answers) / 3, rel=1e-6)
    assert cell["interval95"] == pytest.approx(bootstrap_interval(answers), rel=1e-6)
    assert cell["prompts"] == 3
    assert summary["means"].pop("mean python")["mean"] == pytest.approx(sum(REDS) / 3, rel=1e-6)
    assert summary == {**was, "means": {}}
    rows = [json.loads(line) for line in after["particles.jsonl"].splitlines()]
    assert [row["metrics"]["python"] for row in rows] == pytest.approx(3 * REDS, rel=1e-6)


def test_compare_report_and_sheet_show_it(tmp_path: Path) -> None:
    for name in "ab":
        sample_run(tmp_path / name, REWARDS)
    assert score("a", "b", RED)[0] == 0
    run = CliRunner().invoke
    said = run(app, ["compare", "a", "b", "--show", "metrics.python"]).stdout
    mean = sum(REDS[result["chosen"]] for result in records(tmp_path / "a")) / 3
    assert "metric python" in said and f"{mean:.3f}" in said
    assert run(app, ["report", "a"]).exit_code == 0
    assert f"python {REDS[1]:.4g}" in Path("a/report.html").read_text()
    run(app, ["sheet", "a", "-o", "plain.png"])
    scored = Image.open("plain.png").height
    for name in "ab":
        sample_run(tmp_path / f"{name}0", REWARDS)
    run(app, ["sheet", "a0", "-o", "plain.png"])
    assert scored > Image.open("plain.png").height, "a line more below each picture"


def test_a_benchmark_keeps_its_answers_alone(tmp_path: Path) -> None:
    folder = eval_run(
        tmp_path / "run",
        [
            {"prompt": "one", "rewards": [1.0, 2.0], "judged": {"correct": True}},
            {"prompt": "two", "rewards": [None, None]},
        ],
    )
    assert score(folder, RED)[0] == 0
    first, second = read_run(folder).results
    assert first.chosen == 1 and second.chosen is None
    assert first.metrics == {"python": pytest.approx(picture(0)[..., 0].mean() / 255, rel=1e-6)}
    assert second.metrics == {"python": pytest.approx(picture(1)[..., 0].mean() / 255, rel=1e-6)}
    assert first.mean_metrics == second.mean_metrics == {}
    assert first.judged == {"correct": True} and first.particles[0].metrics == {}


def test_nothing_is_scored_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = sample_run(tmp_path / "run", REWARDS)
    assert score(folder, RED)[0] == 0
    before = {path: path.stat().st_mtime_ns for path in folder.rglob("*") if path.name != ".lock"}
    monkeypatch.setattr("glass_cli.rewards.python.Python.load", None)
    code, said, error = score(folder, RED)
    assert code == 0 and "nothing to do: every picture has its python" in said, error
    assert f"{REDS[1]:.1f}"[:3] in said
    assert before == {path: path.stat().st_mtime_ns for path in before}


def test_an_interrupted_scoring_goes_on(tmp_path: Path) -> None:
    import my_scores  # type: ignore[import-not-found]

    whole = sample_run(tmp_path / "whole", REWARDS)
    assert score(whole, RED)[0] == 0
    folder = sample_run(tmp_path / "run", REWARDS)
    my_scores.stop_at = "two"
    assert score(folder, RED)[0] != 0
    assert [set(record["metrics"]) for record in records(folder)] == [{"python"}, set(), set()]
    assert read_run(folder).summary.get("means") is None, "the run is as finished as before"
    my_scores.stop_at = None
    my_scores.calls.clear()
    assert score(folder, RED)[0] == 0
    assert my_scores.calls == ["two", "three"]
    assert files(folder) == files(whole)


def test_other_settings_are_refused_where_there_are_scores(tmp_path: Path) -> None:
    folder = sample_run(tmp_path / "run", REWARDS)
    green = "metrics=[{python: {target: my_scores.green}}]"
    assert score(folder, "metrics=[{python: {target: my_scores.bad}}]")[0] == 2
    assert score(folder, RED)[0] == 0, "of a metric that scored nothing settings do not matter"
    before = files(folder)
    code, _, error = score(folder, green)
    assert code == 2 and len(error.splitlines()) == 1
    assert "target=my_scores.red (now my_scores.green)" in error and "-cd" in error
    lacking = json.dumps(without(records(folder)[2], "python"))
    (folder / "results/00002/0000.json").write_text(lacking)
    assert score(folder, green)[0] == 2
    assert score(folder, RED)[0] == 0
    assert {name: data for name, data in files(folder).items() if name in before} == before


def test_metrics_that_were_drawn_along_stand(tmp_path: Path) -> None:
    """identity.json of the run says what scored while it was drawn."""
    folder = sample_run(tmp_path / "run", REWARDS, metrics={"python": REDS})
    target = {"metrics.python._target_": "glass_cli.rewards.python.Python"}
    identity = {"glass_version": "0.0.1", **target, "metrics.python.target": "my_scores.red"}
    more = {"metrics.python.accepts": "images", "metrics.python.arguments": None}
    (folder / "identity.json").write_text(json.dumps({**identity, **more}))
    code, _, error = score(folder, "metrics=[{python: {target: my_scores.green}}]")
    assert code == 2 and "target=my_scores.red (now my_scores.green)" in error


MISTAKES: dict[str, tuple[list[str], str]] = {
    "no run": ([RED], "needs the folder of a run"),
    "no metric": (["run"], "no metric is named; write metrics=[clip]"),
    "no such metric": (["run", "metrics=[clp]"], "unknown metric clp; did you mean clip?"),
    "another setting": (["run", RED, "devices=cpu"], "unknown setting devices; did you mean"),
    "a device": (["run", RED, "device=gpu"], "device must be auto, cpu"),
    "of points": (["run", "metrics=[linear]"], "metrics=linear scores points, run holds pictures"),
    "points": (["points", RED], "points has no pictures to score"),
    "no picture": (["torn", RED], "images/00000/0001.png is missing"),
    "another picture": (["changed", RED], "is not of the pictures that lie there"),
    "no folder": (["nowhere", RED], "nowhere is not a folder"),
    "not finished": (["stopped", RED], "did not finish"),
    "not finite": (["run", "metrics=[{python: {target: my_scores.bad}}]"], "must give finite"),
    "a text": (["run", "metrics=[ocr]"], "quotes"),
}  # fmt: skip


@pytest.mark.parametrize(("words", "line"), MISTAKES.values(), ids=MISTAKES.keys())
def test_mistakes_are_one_line(tmp_path: Path, words: list[str], line: str) -> None:
    for name in {"run", words[0]} & {"run", "torn", "changed", "stopped"}:
        sample_run(tmp_path / name, REWARDS)
    if words[0] == "points":
        sample_run(tmp_path / "points", REWARDS, size=None)
    elif words[0] == "torn":
        Path("torn/images/00000/0001.png").unlink()
    elif words[0] == "changed":
        Image.new("RGB", (16, 16)).save("changed/images/00000/0000.png")
    elif words[0] == "stopped":
        Path("stopped/summary.json").unlink()
    before = files(tmp_path / "run")
    code, said, error = score(*words)
    assert code == 2 and said == "" and line in error.splitlines()[-1], error
    assert "Traceback" not in error
    after = files(tmp_path / "run")
    assert after.pop("metrics.json", b"") == b"" or "bad" in words[1]
    assert after == before


def test_one_at_a_time(tmp_path: Path) -> None:
    folder = sample_run(tmp_path / "run", REWARDS)
    with Lock(folder):
        code, _, error = score(folder, RED)
    assert code == 2 and "is being written by" in error


def test_a_folder_with_an_equals_sign_and_yaml_of_the_users(tmp_path: Path) -> None:
    sample_run(tmp_path / "sweep" / "seed=1", REWARDS)
    sample_run(tmp_path / "sweep" / "seed=2", REWARDS, config={**CONFIG, "particles": 3})
    Path("conf/reward").mkdir(parents=True)
    Path("conf/reward/redness.yaml").write_text(
        "# red\n_target_: glass_cli.rewards.python.Python\ntarget: my_scores.red\n"
    )
    code, said, error = score("sweep/seed=1", "metrics=redness", "-cd", "conf")
    assert code == 0 and "9 pictures scored by redness" in said, error
    code, said, error = score("sweep", "metrics=redness", "-cd", "conf")
    assert code == 0 and "9 pictures scored by redness" in said, "those of the other job"


MKDIR = {"_target_": "os.mkdir", "path": "code_was_run"}


@pytest.mark.parametrize(
    "more",
    [
        {"model": MKDIR},
        {"model": {"_target_": "folders_own.Model"}},
        {"model": {**CONFIG["model"], "arguments": MKDIR}},
        {"model": {**CONFIG["model"], "arguments": {"x": [{"y": MKDIR}]}}},
        {"wandb": MKDIR},
        {"wandb": {"mode": "disabled", "project": MKDIR}},
    ],
    ids=["a function", "a module", "an argument", "deep inside", "W&B", "inside W&B"],
)
def test_nothing_that_a_folder_names_is_run(tmp_path: Path, more: dict[str, Any]) -> None:
    """The folder may be another's: its classes are not imported, nor its functions called."""
    code_of_its_own = "import os\nos.mkdir('code_was_run')\nclass Model: pass\n"
    Path("folders_own.py").write_text(code_of_its_own)
    sample_run(tmp_path / "run", REWARDS, config={**CONFIG, **more})
    code, said, error = score("run", RED)
    assert not Path("code_was_run").exists()
    if "wandb" in more:
        assert code == 2 and "config.yaml has wandb: {" in error and len(error.splitlines()) == 1
    else:
        assert code == 0 and "9 pictures scored by" in said, error


def test_scores_are_those_that_drawing_computes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """Offline, by the embedded CLIP: from the PNG files to the last digit what drawing gave."""
    words = ["wandb.mode=disabled", "particles=2", "calls=2", "sampler.transitions=2"]
    words += ["steering=none", "reward=null", "prompts=[a photo of a dog, a photo of two cars]"]
    assert launch([*words, "metrics=[clip]", "hydra.run.dir=along"]) == 0
    assert launch([*words, "hydra.run.dir=later"]) == 0
    capsys.readouterr()
    code, said, error = score("later", "metrics=[clip]")
    assert code == 0 and "4 pictures scored by clip" in said, error
    along, later = (records(tmp_path / name) for name in ("along", "later"))
    for record in (*along, *later):
        del record["sha256"]  # the PNG files of a run say what was scored while it was drawn
    assert along == later
    first, second = (
        json.loads((tmp_path / name / "summary.json").read_text())["means"]
        for name in ("along", "later")
    )
    assert first == second and first["mean clip"]["prompts"] == 2
