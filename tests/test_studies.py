"""benchmark=window and benchmark=posterior from the command line."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import child_process
import numpy as np
import pytest
from eval_runs import evaluate, write_benchmarks
from PIL import Image

from glass_cli.studies.base import PROMPTS

POINTS = ["model=gaussian_mixture", "wandb.mode=disabled", "reward=linear"]
WINDOW = ["benchmark=window", *POINTS, "model.components=1", "benchmark.samples=32"]
POSTERIOR = ["benchmark=posterior", *POINTS, "benchmark.calls=[2,4]", "benchmark.reference=20"]


@pytest.fixture(autouse=True)
def _in_an_empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    write_benchmarks(tmp_path / "mine")
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")


def summary() -> dict[str, Any]:
    (path,) = Path("outputs/eval").glob("*/summary.json")
    found: dict[str, Any] = json.loads(path.read_text())
    return found


def test_window_of_a_gaussian(capsys: pytest.CaptureFixture[str]) -> None:
    """r = x of N(m, c^2): open is sigma^2 / (alpha^2 c^2 + sigma^2), foretold what it leaves."""
    assert evaluate(*WINDOW, "model.std=0.5", "benchmark.calls=12", "benchmark.chain_calls=4") == 0
    answer = summary()
    for row in answer["curves"]:
        t = row["t"]
        still = (1 - t) ** 2 / ((t * 0.5) ** 2 + (1 - t) ** 2)
        # 12 x 32 x_t: 0.05 is the standard error of their share of variance at its largest
        assert row["open"] == pytest.approx(still, abs=0.15)
        assert row["foretold"] == pytest.approx(1 - still, abs=0.15)
        low, high = row["open_interval95"]
        assert 0.0 <= low <= high <= 1.0
        if still < 0.8:
            assert row["agreement"] == pytest.approx(1.0, abs=0.02), "E r is r(x_hat) itself"
    assert answer["prompts"] == len(PROMPTS)
    assert answer["nfe"] == 12 * 32 * (4 * 11 + 10 * 4 * 11)
    assert answer["reward_calls"] == 12 * 32 * (10 * 5 + 1)
    # half is foretold where t c = 1 - t
    half = answer["means"]["half is foretold from t"]
    assert half["mean"] == pytest.approx(1 / 1.5, abs=0.05)
    assert half["interval95"][0] < half["mean"] < half["interval95"][1]
    assert answer["times"] == answer["times_by_transitions"]["5"]
    said = capsys.readouterr().out
    assert "sampler.times=[0," in said and "half is foretold from t" in said
    (plot,) = Path("outputs/eval").glob("*/window.png")
    with Image.open(plot) as picture:
        assert min(picture.size) > 400
        assert np.asarray(picture.convert("L")).std() > 5


def test_times_auto_takes_the_window(capsys: pytest.CaptureFixture[str]) -> None:
    from glass_cli.launch import launch

    assert evaluate(*WINDOW) == 0
    capsys.readouterr()
    words = [*POINTS, "model.components=1", "sampler.times=auto", "sampler.transitions=3"]
    assert launch([*words, "hydra.run.dir=a"]) == 0
    assert "pilot" not in capsys.readouterr().err
    answer = json.loads(Path("a/summary.json").read_text())
    assert answer["pilot_nfe"] == 0
    assert answer["times"] == pytest.approx(summary()["times_by_transitions"]["3"], abs=1e-6)


def test_a_window_that_cannot_be_cached_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    Path("../cache").mkdir()
    Path("../cache/glass").write_text("in the way")
    assert evaluate(*WINDOW, "benchmark.limit=2", "benchmark.samples=2") == 0
    said = capsys.readouterr()
    (line,) = [line for line in said.out.splitlines() if line.startswith("cached")]
    assert line == "cached   no: the cache cannot be written; give the times as sampler.times=[...]"
    assert "cannot be cached in" in said.err and "None" not in said.out


def test_a_reward_that_does_not_vary(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["reward.direction=[0]", "benchmark.limit=2", "benchmark.samples=2"]
    assert evaluate(*WINDOW, *words) == 0
    answer = summary()
    assert answer["times"] is None and list(answer["means"]) == ["network calls a prompt"]
    assert "no times to propose: the reward did not vary" in capsys.readouterr().out


@pytest.mark.parametrize("name", ["window", "posterior"])
def test_numbers_are_printed_into_a_pipe(name: str) -> None:
    """In a process of its own, whose output goes to no terminal."""
    words = [f"benchmark={name}", *POINTS, "benchmark.limit=2", "benchmark.samples=2"]
    few = {"window": "benchmark.times=2", "posterior": "benchmark.calls=[2]"}[name]
    command = [sys.executable, "-m", "glass_cli", "eval", *words, few]
    done = child_process.run(command)
    assert done.returncode == 0, done.stderr
    titles = {"window": "Decision window over 2 prompts", "posterior": "t=0.3, 2 prompts"}
    lines = done.stdout.splitlines()
    assert titles[name] in lines[0]
    rows = [line.split() for line in lines if line[:5] in ("0.030", "0.850", "GLASS", "ances")]
    assert len(rows) == {"window": 2, "posterior": 3}[name]
    assert all(any(cell.strip("[],").startswith("0.") for cell in row[1:]) for row in rows)
    assert "measuring 2 prompts" in done.stderr and "2/2 prompts" in done.stderr


@pytest.mark.parametrize("name", ["window", "posterior"])
def test_a_reward_that_is_not_a_number_is_one_line(
    name: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    Path("no_number.py").write_text(
        "def score(points, prompts):\n    return points[:, 0] * float('nan')\n"
    )
    monkeypatch.syspath_prepend(str(Path.cwd()))
    reward = ["reward=python", "reward.target=no_number.score", "reward.accepts=points"]
    assert evaluate(f"benchmark={name}", *POINTS[:2], *reward) == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("glass: reward.target=no_number.score (") and "gave nan" in line


@pytest.mark.parametrize(
    "words",
    [
        pytest.param(WINDOW, id="window", marks=pytest.mark.slow),
        pytest.param(POSTERIOR, id="posterior"),
    ],
)
def test_a_study_goes_on_where_it_stopped(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [*words, "benchmark.limit=3", "benchmark.samples=4"]
    assert evaluate(*few) == 0
    (folder,) = Path("outputs/eval").iterdir()
    parts = sorted((folder / "study").iterdir())
    assert [p.name for p in parts] == ["00000.json", "00001.json", "00002.json"]
    before, answer = [json.loads(p.read_text()) for p in parts], summary()
    parts[1].write_text(parts[1].read_text()[:100])
    assert evaluate(*few) == 0
    after = [json.loads(p.read_text()) for p in parts]
    for one, other in zip(before, after, strict=True):
        one.pop("seconds"), other.pop("seconds")
        assert one == other
    again = summary()
    assert answer.pop("seconds") and again.pop("seconds") and answer == again
    monkeypatch.setattr("glass_cli.engine.load.load", None)
    assert evaluate(*few) == 0, "nothing is loaded where all is done"


def test_another_setting_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    few = [*POSTERIOR, "benchmark.limit=1", "benchmark.samples=2", "hydra.run.dir=run"]
    assert evaluate(*few) == 0
    assert evaluate(*few, "benchmark.draws=3") == 2
    line = capsys.readouterr().err.splitlines()[-1]
    assert line.startswith("glass: run holds results of") and "benchmark.draws=6" in line
    assert evaluate(*few, "benchmark.draws=3", "fresh=true") == 0
    assert Path("run/replaced/1/study/00000.json").exists()


@pytest.mark.parametrize("name", ["window", "posterior"])
def test_what_a_study_needs(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    words = [f"benchmark={name}", *POINTS[:2], "steering=none", "reward=null"]
    assert evaluate(*words) == 2
    assert "needs a reward; choose one" in capsys.readouterr().err
    assert evaluate(f"benchmark={name}", *POINTS, "benchmark.path=nowhere.txt") == 2
    assert "benchmark.path=nowhere.txt is not a file" in capsys.readouterr().err
    Path("mine.txt").write_text("one\ntwo\nthree\n")
    few = ["benchmark.path=mine.txt", "benchmark.limit=2", "benchmark.samples=2"]
    more = ["benchmark.calls=[2]"] if name == "posterior" else ["benchmark.times=2"]
    assert evaluate(f"benchmark={name}", *POINTS, *few, *more) == 0
    assert summary()["prompts"] == 2


def test_summary_of_the_posterior_study(capsys: pytest.CaptureFixture[str]) -> None:
    words = ["benchmark.draws=48", "benchmark.times=[0.2,0.5]", "benchmark.samples=12"]
    assert evaluate(*POSTERIOR, *words) == 0
    answer = summary()
    assert [at["t"] for at in answer["posterior"]] == pytest.approx([0.2, 0.5])
    firsts = 50 + 2  # the samples' own calls, and x_hat at both times
    assert answer["nfe"] == 4 * 12 * (firsts + 2 * 48 * (2 * 19 + 4 * 1 + 4 * 3))
    for at in answer["posterior"]:
        assert len(at["rows"]) == 8
        for row in at["rows"]:
            correlation = row["value_correlation"]
            assert -1.0 <= correlation["interval95"][0] <= correlation["mean"] <= 1.0
            freed = row["w2_freed"]["mean"]
            assert 0.0 <= freed <= row["w2"]["mean"]
    # a mean of 48 draws tells its x_t apart almost as well as any
    assert answer["posterior"][0]["second_reference_correlation"]["mean"] > 0.8
    # a linear reward of x_hat is the mean itself
    assert answer["posterior"][0]["x_hat_correlation"]["mean"] > 0.9
    said = capsys.readouterr().out
    assert "reference again" in said and "value correlation" in said
    (plot,) = Path("outputs/eval").glob("*/posterior.png")
    with Image.open(plot) as picture:
        assert np.asarray(picture.convert("L")).std() > 5
