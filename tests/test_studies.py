"""benchmark=window and benchmark=posterior, from the command line and against closed forms."""

from __future__ import annotations

import json
import math
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from test_eval import evaluate, write_benchmarks
from torch import Tensor
from worlds import CONDOT, MixtureFlow, planar_mixture

from glass_cli.method.distance import rms, sliced_w2
from glass_cli.method.flow import Normal
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.studies.base import PROMPTS
from glass_cli.studies.posterior import PosteriorStudy
from glass_cli.studies.posterior_measurement import METHODS, posterior_rows
from glass_cli.studies.posterior_plot import posterior_figure
from glass_cli.studies.posterior_summary import correlation_cell, summarise, within_correlation
from glass_cli.studies.window import WindowStudy
from glass_cli.studies.window_plot import window_figure
from glass_cli.studies.window_summary import summarise as summarise_window

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
    done = subprocess.run(command, capture_output=True, text=True, check=True)
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


@pytest.mark.parametrize("words", [WINDOW, POSTERIOR], ids=["window", "posterior"])
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


@pytest.mark.parametrize(
    ("kind", "settings", "line"),
    [
        (WindowStudy, {"samples": 1}, "benchmark.samples must be at least 2"),
        (WindowStudy, {"draws": 1}, "benchmark.draws must be at least 2"),
        (WindowStudy, {"first": 0.9}, "0 < first < last < 1"),
        (PosteriorStudy, {"times": (0.0,)}, "benchmark.times must be times between 0 and 1"),
        (PosteriorStudy, {"times": ()}, "benchmark.times must be times between 0 and 1"),
        (PosteriorStudy, {"calls": ()}, "benchmark.calls must be at least 1"),
        (PosteriorStudy, {"reference": 20}, "benchmark.reference must be at least 21"),
    ],
)
def test_settings_that_cannot_be(kind: Any, settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        kind(**settings)


def test_settings_import_nothing_heavy() -> None:
    """A command line is checked with them, before anything is loaded."""
    code = (
        "import sys, glass_cli.studies.window, glass_cli.studies.posterior;"
        "print([m for m in ('torch', 'numpy', 'scipy', 'matplotlib', 'hydra') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_posterior_plot_has_labels_and_a_legend() -> None:
    rng = np.random.default_rng(0)

    def record(t: float) -> dict[str, Any]:
        rows = [
            {
                "method": method,
                "calls": m,
                "endpoint": 0.1 if method.startswith("GLASS") else None,
                "w2": 1.0 + rng.random(),
                "values": rng.normal(size=4).tolist(),
            }
            for m in (2, 4, 8)
            for method in METHODS
        ]
        lists = ("x_hat_rewards", "reference_values", "second_reference_values")
        return {
            "t": t,
            "floor": 0.9,
            "rows": rows,
            **{name: rng.normal(size=4).tolist() for name in lists},
        }

    summaries = [summarise([record(t) for _ in range(3)]) for t in (0.2, 0.5)]
    figure = posterior_figure(summaries)
    assert len(figure.axes) == 4
    for axes in figure.axes:
        assert axes.get_xlabel() == "network calls $M$ a draw"
        assert axes.get_ylabel() and axes.get_title()
        assert [label.get_text() for label in axes.get_xticklabels()] == ["2", "4", "8"]
    (legend,) = figure.legends
    texts = [text.get_text() for text in legend.get_texts()]
    assert set(METHODS) < set(texts) and len(texts) == len(METHODS) + 2
    # the bars are the table's intervals
    bars = figure.axes[0].containers[METHODS.index("GLASS 2")].lines[2][0].get_segments()
    cells = [row["w2"] for row in summaries[0]["rows"] if row["method"] == "GLASS 2"]
    for segment, cell in zip(bars, cells, strict=True):
        assert segment[:, 1] == pytest.approx(cell["interval95"])
    # the numbers of calls are exact; on the page methods stand side by side, about the tick
    figure.canvas.draw()
    for axes in figure.axes:
        lines = [container.lines[0] for container in axes.containers]
        assert all(line.get_xdata().tolist() == [2, 4, 8] for line in lines)
        x = [line.get_transform().transform(line.get_xydata())[1][0] for line in lines]
        assert np.diff(x) == pytest.approx([3.5 * figure.dpi / 72] * 3)
        assert np.mean(x) == pytest.approx(axes.transData.transform((4, 1))[0])


def test_window_plot_has_labels_and_a_legend() -> None:
    rng = np.random.default_rng(0)
    parts = []
    for _ in range(3):
        seen = rng.normal(size=(3, 8))
        finals = seen[..., None] + rng.normal(size=(3, 8, 4))
        grid = [0.2, 0.5, 0.8]
        parts.append({"t": grid, "even": grid, "x_hat": seen, "finals": finals})
    figure = window_figure(summarise_window(parts), (0.0, 0.3, 0.6, 1.0))
    (axes,) = figure.axes
    assert axes.get_xlabel() and axes.get_ylabel() and axes.get_title()
    (legend,) = figure.legends
    texts = [text.get_text().partition(":")[0] for text in legend.get_texts()]
    assert texts == ["still open", "agreement", "foretold", "proposed ends of transitions"]


def _normals(shape: tuple[int, ...]) -> Any:
    def of(name: str) -> Normal:
        g = generator("test", name)
        return lambda: torch.randn(shape, generator=g, dtype=torch.float64)

    return of


def test_rows_of_a_mixture_against_its_exact_posterior() -> None:
    """The reference's draws have the exact law; errors fall with M; GLASS 2 falls fastest."""
    mixture, draws, size, t = planar_mixture(), 2000, 6, 0.4
    flow = MixtureFlow(mixture)
    g = generator("x_t")
    z = mixture.sample(
        torch.randn(size, 2, generator=g, dtype=torch.float64), torch.rand(size, generator=g)
    )
    x = t * z + (1 - t) * torch.randn(size, 2, generator=g, dtype=torch.float64)
    seen: list[Tensor] = []

    def reward(points: Tensor) -> Tensor:
        seen.append(points)
        return points[:, 0]

    record = posterior_rows(
        flow, x, t, draws, (3, 6, 12), 60, _normals((size * draws, 2)), reward, "times"
    )
    posterior = mixture.posterior(CONDOT, x.repeat_interleave(draws, 0), t)
    exact = posterior.sample(
        torch.randn(size * draws, 2, generator=g, dtype=torch.float64),
        torch.rand(size * draws, generator=g),
    )
    reference = next(z for z in seen[::-1] if len(z) == size * draws)
    # two sets of exact draws are as far apart; 1.5 covers that floor's own spread
    assert sliced_w2(reference, exact, size) < 1.5 * record["floor"]
    means = mixture.posterior(CONDOT, x, t).mean()[:, 0]
    spread = exact[:, 0].reshape(size, draws).std(1) / math.sqrt(draws)
    assert torch.tensor(record["x_hat_rewards"]) == pytest.approx(means)
    for key in ("reference_values", "second_reference_values"):
        assert ((torch.tensor(record[key]) - means).abs() < 4.5 * spread).all()
    found = {(r["method"], r["calls"]): r for r in record["rows"]}
    assert set(found) == {(name, m) for name in METHODS for m in (3, 6, 12)}
    for name in METHODS:
        errors = [found[name, m]["w2"] for m in (3, 6, 12)]
        assert errors[0] > errors[2]
        assert (found[name, 3]["endpoint"] is None) == (not name.startswith("GLASS"))
    ends = {order: [found[f"GLASS {order}", m]["endpoint"] for m in (3, 6, 12)] for order in (1, 2)}
    assert ends[1] == sorted(ends[1], reverse=True) and ends[2] == sorted(ends[2], reverse=True)
    assert ends[2][1] < ends[1][1] / 2 and ends[2][2] < ends[1][2] / 2
    assert found["GLASS 2", 12]["w2"] < found["SDE", 12]["w2"]


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


def test_within_correlation() -> None:
    """Levels of the groups do not count; it is numpy's correlation of centred values."""
    rng = np.random.default_rng(0)
    pairs = []
    for level in (0.0, 100.0, -50.0):
        x = rng.normal(size=5)
        pairs.append(((x + level).tolist(), (0.5 * x + rng.normal(size=5) - level).tolist()))
    centred = [np.concatenate([np.array(p[i]) - np.mean(p[i]) for p in pairs]) for i in (0, 1)]
    right = np.corrcoef(*centred)[0, 1]
    assert within_correlation(pairs) == pytest.approx(right)
    cell = correlation_cell(pairs)
    assert cell["interval95"][0] <= cell["mean"] <= cell["interval95"][1]
    assert correlation_cell(pairs[:1])["interval95"] is None
    assert within_correlation([([1.0, 1.0], [0.0, 2.0])]) is None


def test_distances() -> None:
    """W2 of a shift by v along random directions: |v|/sqrt(d) on average, whatever the order."""
    like = torch.empty(0, dtype=torch.float64)
    a = ParticleNoise(0, "a", 600, (2, 2), like)()
    shuffled = a.reshape(3, 200, 2, 2)[:, torch.randperm(200, generator=generator(1))]
    shuffled = shuffled.reshape(600, 2, 2)
    assert sliced_w2(a, shuffled, 3) == pytest.approx(0.0, abs=1e-12)
    shift = torch.tensor([[1.0, 2.0], [-1.0, 0.5]], dtype=torch.float64)
    right = float(shift.norm()) / 2
    assert sliced_w2(a, shuffled + shift, 3, directions=4000) == pytest.approx(right, rel=0.05)
    assert rms(a, a + shift) == pytest.approx(right)
