"""Metrics, and composite rewards: named like choices, checked before the run, written after it."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from conftest import write_choice
from PIL import Image
from tiny_pipeline import pipeline
from torch import Tensor

from glass_cli.common.errors import GlassError
from glass_cli.common.statistics import bootstrap_interval
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight
from glass_cli.launch import launch
from glass_cli.rewards.composite import Composite, Term
from glass_cli.rewards.linear import Linear

MIXTURE = ["model=gaussian_mixture", "wandb.mode=disabled", "sampler.steps=2", "particles=5"]
RADIUS = "{python: {target: my_scores.radius, accepts: points}}"


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("my_scores.py").write_text(
        "def radius(x, prompts): return x.norm(dim=1)\n"
        "def red(x, prompts): return x[:, 0].mean((1, 2))\n"
        "def green(x, prompts): return x[:, 1].mean((1, 2))\n"
        "def bad(x, prompts): return x[:, 0] / 0.0\n"
    )
    yield
    sys.modules.pop("my_scores", None)


def run(*words: str) -> tuple[list[dict[str, Any]], dict[str, Any]]:
    """particles.jsonl and summary.json of ``glass sample``."""
    assert launch([*words, "hydra.run.dir=run"]) == 0
    records = Path("run/particles.jsonl").read_text().splitlines()
    return [json.loads(line) for line in records], json.loads(Path("run/summary.json").read_text())


def test_every_final_particle_is_scored_by_every_metric(capsys: pytest.CaptureFixture[str]) -> None:
    other = "{linear: {direction: [0.0, 1.0]}}"
    prompts = "prompts=[one,two,three]"
    particles, summary = run(*MIXTURE, prompts, f"metrics=[{other},{RADIUS}]")
    for p in particles:
        x, y = p["point"]
        assert p["reward"] == pytest.approx(x)
        assert p["metrics"] == pytest.approx({"linear": y, "python": (x * x + y * y) ** 0.5})
    results = [json.loads(p.read_text()) for p in sorted(Path("run/results").glob("*/0000.json"))]
    for index, result in enumerate(results):
        mine = [p for p in particles if p["prompt_index"] == index]
        (best,) = (p for p in mine if p["best"])
        assert result["metrics"] == pytest.approx(best["metrics"])
        for name, mean in result["mean_metrics"].items():
            assert mean == pytest.approx(sum(p["metrics"][name] for p in mine) / 5)
    for name in ("linear", "python"):
        for shown, key in ((name, "metrics"), (f"mean {name}", "mean_metrics")):
            values = [result[key][name] for result in results]
            assert summary["means"][shown]["mean"] == pytest.approx(sum(values) / 3)
            expected = pytest.approx(bootstrap_interval(values))
            assert summary["means"][shown]["interval95"] == expected
    table = capsys.readouterr().out.splitlines()
    assert table[0].split()[-4:] == ["linear", "python", "NFE", "seconds"]
    shown = [float(word) for word in table[2].split()[3:5]]
    assert shown == pytest.approx(list(results[0]["metrics"].values()), abs=6e-4)


def test_without_an_answer_the_table_shows_means(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*MIXTURE, "steering=none", "reward=null", "metrics=linear"]
    particles, summary = run(*words)
    mean = sum(p["point"][0] for p in particles) / 5
    assert summary["means"]["mean linear"]["mean"] == pytest.approx(mean)
    assert "linear" not in summary["means"], "nobody was chosen"
    line = capsys.readouterr().out.splitlines()[2]
    assert float(line.split()[-3]) == pytest.approx(mean, abs=6e-4)


def test_the_rewards_own_settings_are_not_scored_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    from glass_cli.rewards.linear import LoadedLinear

    calls: list[int] = []
    score = LoadedLinear.score

    def counted(self: LoadedLinear, samples: Tensor, prompt: str) -> Tensor:
        calls.append(len(samples))
        return score(self, samples, prompt)

    monkeypatch.setattr(LoadedLinear, "score", counted)
    particles, _ = run(*MIXTURE, "steering=best_of_n", "metrics=[linear]")
    assert calls == [5]
    assert all(p["metrics"]["linear"] == p["reward"] for p in particles)


def test_pictures_carry_their_metrics(tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "model")
    words = [f"model.path={tmp_path / 'model'}", "wandb.mode=disabled", "particles=2"]
    words += ["sampler.transitions=2", "sampler.steps=1", "reward=composite", "prompt=a dog"]
    words += ["reward.terms.clip=null", "steering.lam=1"]
    for name, weight in (("red", 2.0), ("green", -1.0)):
        target = f"_target_: glass_cli.rewards.python.Python, target: my_scores.{name}"
        words.append(f"reward.terms.{name}={{{target}, weight: {weight}, mean: 0.5, scale: 0.1}}")
    particles, _ = run(*words, "metrics=[{python: {target: my_scores.red}}]")
    for p in particles:
        terms = p["terms"]
        total = 2.0 * (terms["red"] - 0.5) / 0.1 - (terms["green"] - 0.5) / 0.1
        assert p["reward"] == pytest.approx(total, rel=1e-5)
        assert p["metrics"] == {"python": terms["red"]}
        with Image.open(Path("run") / p["file"]) as picture:
            text = picture.text  # type: ignore[attr-defined]
            assert json.loads(text["metrics"]) == p["metrics"]
            assert json.loads(text["terms"]) == terms


def test_a_metric_that_is_not_finite_is_named(capsys: pytest.CaptureFixture[str]) -> None:
    words = [*MIXTURE, "metrics=[{python: {target: my_scores.bad, accepts: points}}]"]
    assert launch([*words, "hydra.run.dir=run"]) == 2
    assert "gave inf for sample 0" in capsys.readouterr().err


# ruff: noqa: E501
# fmt: off
BAD = {
    "misspelt": (["metrics=[clpi]"], "unknown metric clpi; did you mean clip? (clip, composite, linear)"),
    "misspelt alone": (["metrics=clpi"], "unknown metric clpi; did you mean clip?"),
    "twice": (["metrics=[clip,clip]"], "metrics names clip twice"),
    "no name": (["metrics=[3]"], "metrics must be names of rewards such as metrics=[clip]"),
    "a number": (["metrics=3"], "metrics must be names of rewards"),
    "unknown key": (["metrics=[{linear: {dircetion: [1]}}]", "model=points", "reward=linear"],
                    "unknown key metrics.linear.dircetion; did you mean metrics.linear.direction?"),
    "bad value": (["metrics=[{linear: {direction: x}}]", "model=points", "reward=linear"],
                  "metrics.linear.direction must be a list"),
    "wrong kind": (["metrics=[linear]"],
                   "metrics=linear scores points, model=emoji gives images; use metrics=[clip] or metrics=[]"),
    "term misspelt": (["reward=composite", "reward.terms.clpi.weight=1"], "unknown term clpi; did you mean clip?"),
    "term key": (["reward=composite", "reward.terms.clip.wieght=1"],
                 "unknown key reward.terms.clip.wieght; did you mean reward.terms.clip.weight?"),
    "term value": (["reward=composite", "reward.terms.clip.weight=x"],
                   "reward.terms.clip.weight must be a number (got x)"),
    "scale": (["reward=composite", "reward.terms.clip.scale=0"], "reward.terms.clip: scale must be above 0"),
    "no term": (["reward=composite", "reward.terms.clip=null"], "reward.terms is empty"),
    "a bare number": (["reward=composite", "reward.terms.clip=2"], "reward.terms.clip must be settings such as"),
    "mixed": (["reward=composite", "reward.terms.linear={}"],
              "reward.terms must all score the same; here: clip images, linear points"),
    "composite of points": (["reward=composite", "reward.terms.clip=null", "reward.terms.linear={}"],
                            "reward=composite scores points, model=emoji gives images; use reward=clip"),
}
# fmt: on


@pytest.fixture
def conf(tiny_conf: Path) -> Path:
    target = "# a sum\n_target_: glass_cli.rewards.composite.Composite\nterms: {clip: {}}\n"
    (tiny_conf / "reward" / "composite.yaml").write_text(target)
    linear = "# on points\n_target_: glass_cli.rewards.linear.Linear\ndirection: [1.0]\n"
    (tiny_conf / "reward" / "linear.yaml").write_text(linear)
    return tiny_conf


@pytest.mark.parametrize(("words", "message"), BAD.values(), ids=BAD.keys())
def test_what_is_wrong_is_one_line(conf: Path, words: list[str], message: str) -> None:
    with pytest.raises(GlassError) as caught:
        preflight(read_arguments(words), conf)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert not Path("outputs").exists()


def test_a_folder_of_the_users_has_metrics_too(conf: Path, tmp_path: Path) -> None:
    write_choice(tmp_path / "mine", "reward/own", "# my own", "ImageReward", "")
    words = ["metrics=[own]", "reward=composite", "reward.terms.own.weight=2"]
    assert (
        preflight(read_arguments([*words, "-cd", str(tmp_path / "mine")]), conf).folder is not None
    )
    with pytest.raises(GlassError, match="unknown metric own"):
        preflight(read_arguments(words[:1]), conf)


def test_every_metric_of_a_sweep_is_checked(conf: Path) -> None:
    with pytest.raises(GlassError, match="unknown metric clpi"):
        preflight(read_arguments(["metrics=[clip],[clpi]"], sweep=True), conf)


def composite(**terms: Term) -> Composite:
    return Composite(dict(terms))


def test_a_composite_is_the_normalised_sum() -> None:
    settings = composite(
        x=Term(Linear((1.0,)), weight=2.0, mean=0.5, scale=4.0),
        y=Term(Linear((0.0, 1.0)), weight=-3.0, mean=-1.0, scale=0.5),
    )
    assert settings.accepts == "points" and settings.differentiable
    reward = settings.load(torch.device("cpu"), torch.float32)
    z = torch.randn(7, 2, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    z.requires_grad_()
    expected = 2.0 * (z[:, 0] - 0.5) / 4.0 - 3.0 * (z[:, 1] + 1.0) / 0.5
    scores = reward.score(z, "")
    assert torch.allclose(scores, expected, rtol=1e-14)
    _, parts = reward.score_terms(z, "")
    assert torch.equal(parts["x"], z[:, 0]) and torch.equal(parts["y"], z[:, 1])
    (gradient,) = torch.autograd.grad(scores.sum(), z)
    assert torch.allclose(gradient, torch.tensor([0.5, -6.0], dtype=torch.float64).expand(7, 2))


def test_a_composite_has_a_gradient_when_all_of_it_has() -> None:
    class NoGradient:
        accepts = "points"
        differentiable = False

    assert not composite(a=Term(Linear()), b=Term(NoGradient())).differentiable
    with pytest.raises(ValueError, match="more than the 2 of the model"):
        composite(a=Term(Linear((1.0, 0.0, 0.0)))).check_model(type("Model", (), {"dim": 2}))


def test_terms_may_be_swept_over(conf: Path) -> None:
    words = ["reward=composite", "reward.terms.clip.weight=1,2", "reward.terms.own={},null"]
    with pytest.raises(GlassError, match="unknown term own"):
        preflight(read_arguments(words, sweep=True), conf)
    plan = preflight(read_arguments(words[:2], sweep=True), conf)
    assert plan.folder is not None and plan.settings is None
