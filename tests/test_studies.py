"""benchmark=window and benchmark=posterior, from the command line and against closed forms."""

from __future__ import annotations

import json
import math
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
from glass_cli.studies.posterior import Posterior
from glass_cli.studies.posterior_measurement import (
    METHODS,
    correlation_cell,
    posterior_rows,
    within_correlation,
)
from glass_cli.studies.window import Window

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
    told: dict[str, Any] = json.loads(path.read_text())
    return told


def test_window_of_a_gaussian(capsys: pytest.CaptureFixture[str]) -> None:
    """r = x of N(m, c^2): open is sigma^2 / (alpha^2 c^2 + sigma^2), foretold what it leaves."""
    assert evaluate(*WINDOW, "model.std=0.5", "benchmark.calls=12", "benchmark.chain_calls=4") == 0
    told = summary()
    for row in told["curves"]:
        t = row["t"]
        still = (1 - t) ** 2 / ((t * 0.5) ** 2 + (1 - t) ** 2)
        # 12 x 32 x_t: 0.05 is the standard error of their share of variance at its largest
        assert row["open"] == pytest.approx(still, abs=0.15)
        assert row["foretold"] == pytest.approx(1 - still, abs=0.15)
        low, high = row["open_interval95"]
        assert 0.0 <= low <= high <= 1.0
        if still < 0.8:
            assert row["agreement"] == pytest.approx(1.0, abs=0.02), "E r is r(x_hat) itself"
    assert told["prompts"] == len(PROMPTS)
    assert told["nfe"] == 12 * 32 * (4 * 11 + 10 * 4 * 11)
    assert told["reward_calls"] == 12 * 32 * (10 * 5 + 1)
    # half is foretold where t c = 1 - t
    half = told["means"]["half is foretold from t"]
    assert half["mean"] == pytest.approx(1 / 1.5, abs=0.05)
    assert half["interval95"][0] < half["mean"] < half["interval95"][1]
    assert told["times"] == told["times_by_transitions"]["5"]
    said = capsys.readouterr().out
    assert "sampler.times=[0," in said and "half is foretold from t" in said
    (plot,) = Path("outputs/eval").glob("*/window.png")
    with Image.open(plot) as picture:
        assert min(picture.size) > 400
        assert np.asarray(picture.convert("L")).std() > 5


def test_window_is_kept_for_times_auto(capsys: pytest.CaptureFixture[str]) -> None:
    from glass_cli.launch import launch

    assert evaluate(*WINDOW) == 0
    capsys.readouterr()
    words = [*POINTS, "model.components=1", "sampler.times=auto", "sampler.transitions=3"]
    assert launch([*words, "hydra.run.dir=a"], False, "glass_cli.engine.sample") == 0
    assert "pilot" not in capsys.readouterr().err
    told = json.loads(Path("a/summary.json").read_text())
    assert told["pilot_nfe"] == 0
    assert told["times"] == pytest.approx(summary()["times_by_transitions"]["3"], abs=1e-6)


@pytest.mark.parametrize("words", [WINDOW, POSTERIOR], ids=["window", "posterior"])
def test_a_study_goes_on_where_it_stopped(
    words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    few = [*words, "benchmark.limit=3", "benchmark.samples=4"]
    assert evaluate(*few) == 0
    (folder,) = Path("outputs/eval").iterdir()
    parts = sorted((folder / "study").iterdir())
    assert [p.name for p in parts] == ["00000.json", "00001.json", "00002.json"]
    before, told = [json.loads(p.read_text()) for p in parts], summary()
    parts[1].write_text(parts[1].read_text()[:100])
    assert evaluate(*few) == 0
    after = [json.loads(p.read_text()) for p in parts]
    for one, other in zip(before, after, strict=True):
        one.pop("seconds"), other.pop("seconds")
        assert one == other
    again = summary()
    assert told.pop("seconds") and again.pop("seconds") and told == again
    monkeypatch.setattr("glass_cli.engine.sample.load", None)
    assert evaluate(*few) == 0, "nothing is loaded where all is done"


def test_another_setting_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    few = [*POSTERIOR, "benchmark.limit=1", "benchmark.samples=2"]
    assert evaluate(*few) == 0
    assert evaluate(*few, "benchmark.draws=3") == 2
    assert "benchmark.draws=6, now it is 3" in capsys.readouterr().err
    assert evaluate(*few, "benchmark.draws=3", "fresh=true") == 0
    (old,) = Path("outputs/eval").glob("*/replaced/1/study/00000.json")
    assert old.exists()


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
        (Window, {"samples": 1}, "benchmark.samples must be at least 2"),
        (Window, {"draws": 1}, "benchmark.draws must be at least 2"),
        (Window, {"first": 0.9}, "0 < first < last < 1"),
        (Posterior, {"times": (0.0,)}, "benchmark.times must be times between 0 and 1"),
        (Posterior, {"times": ()}, "benchmark.times must be times between 0 and 1"),
        (Posterior, {"calls": ()}, "benchmark.calls must be at least 1"),
        (Posterior, {"reference": 20}, "benchmark.reference must be at least 21"),
    ],
)
def test_settings_that_cannot_be(kind: Any, settings: dict[str, Any], line: str) -> None:
    with pytest.raises(ValueError, match=line):
        kind(**settings)


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

    told = posterior_rows(
        flow, x, t, draws, (3, 6, 12), 60, _normals((size * draws, 2)), reward, "times"
    )
    posterior = mixture.posterior(CONDOT, x.repeat_interleave(draws, 0), t)
    exact = posterior.sample(
        torch.randn(size * draws, 2, generator=g, dtype=torch.float64),
        torch.rand(size * draws, generator=g),
    )
    reference = next(z for z in seen[::-1] if len(z) == size * draws)
    # two sets of exact draws are as far apart; 1.5 covers that floor's own spread
    assert sliced_w2(reference, exact, size) < 1.5 * told["floor"]
    means = mixture.posterior(CONDOT, x, t).mean()[:, 0]
    spread = exact[:, 0].reshape(size, draws).std(1) / math.sqrt(draws)
    assert torch.tensor(told["x_hat"]) == pytest.approx(means)
    for key in ("reference", "again"):
        assert ((torch.tensor(told[key]) - means).abs() < 4.5 * spread).all()
    found = {(r["method"], r["calls"]): r for r in told["rows"]}
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
    told = summary()
    assert [at["t"] for at in told["posterior"]] == pytest.approx([0.2, 0.5])
    firsts = 50 + 2  # the samples' own calls, and x_hat at both times
    assert told["nfe"] == 4 * 12 * (firsts + 2 * 48 * (2 * 19 + 4 * 1 + 4 * 3))
    for at in told["posterior"]:
        assert len(at["rows"]) == 8
        for row in at["rows"]:
            correlation = row["value_correlation"]
            assert -1.0 <= correlation["interval95"][0] <= correlation["mean"] <= 1.0
            freed = row["w2_freed"]["mean"]
            assert 0.0 <= freed <= row["w2"]["mean"]
    # a mean of 48 draws tells its x_t apart almost as well as any
    assert told["posterior"][0]["second_reference_correlation"]["mean"] > 0.8
    # a linear reward of x_hat is the mean itself
    assert told["posterior"][0]["x_hat_correlation"]["mean"] > 0.9
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
