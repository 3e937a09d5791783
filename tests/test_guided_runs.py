"""Reward guidance from the command line: gradients through decoder and reward, refusals, cost."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_pipeline import pipeline
from torch import Tensor

from glass_cli.common.errors import GlassError
from glass_cli.common.stages import Stages
from glass_cli.engine.draw import Work, _Scorer, draw
from glass_cli.launch import launch
from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.ode import Ode
from glass_cli.method.path import CondOT
from glass_cli.method.sde import Sde
from glass_cli.models.diffusers_pipeline import DiffusersPipeline
from glass_cli.models.gaussian_mixture import GaussianMixture
from glass_cli.rewards.linear import Linear
from glass_cli.rewards.python import Python
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.guidance import guidance_factor
from glass_cli.steering.independent import BestOfN, NoSteering
from glass_cli.steering.state import NotFinite, Step

MIXTURE = ["model=gaussian_mixture", "wandb.mode=disabled", "particles=6", "prompt=a"]


@pytest.fixture(autouse=True)
def module(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    Path("my_scores.py").write_text(
        "import torch\n"
        "def redness(x, prompts): return (x[:, 0] - x[:, 1]).mean((1, 2))\n"
        "def cut(x, prompts): return x.detach().mean((1, 2, 3))\n"
    )
    yield
    sys.modules.pop("my_scores", None)


def test_a_run_by_hand() -> None:
    """K=2 transitions of M=1 call (DDIM's step): x_hat + beta (1-t)^2/t a at t=1/2, none at 0."""
    model = GaussianMixture().load("cpu", None)  # type: ignore[arg-type]
    reward = Linear((1.0, -2.0)).load(torch.device("cpu"), torch.float32)
    times = (0.0, 0.5, 1.0)
    runs = []
    for strength in (0.0, 0.3):
        steering = NoSteering(guidance=strength)
        work = Work(model, Glass(2, 1, times=times), steering, reward, 4, Stages())
        runs.append([drawn.step.particles for drawn in draw(work, "a", "", 6, 0)])
    plain, guided = runs
    assert torch.equal(plain[0].x_hat, guided[0].x_hat)
    shift = 0.3 * guidance_factor(CondOT(), 0.5) * torch.tensor([1.0, -2.0], dtype=torch.float64)
    assert torch.allclose(guided[1].x_hat, plain[1].x_hat + shift, rtol=0.0, atol=1e-12)
    assert torch.allclose(guided[2].x, plain[2].x + shift, rtol=0.0, atol=1e-12)


def last(work: Work, particles: int, prompt: str = "a dog") -> Step:
    *_, drawn = draw(work, prompt, "", particles, 0)
    return drawn.step


SAMPLERS = {"ode": Ode(4, 4), "sde": Sde(4, 4), "glass": Glass(4, 4)}


@pytest.mark.parametrize("sampler", SAMPLERS.values(), ids=SAMPLERS.keys())
@pytest.mark.parametrize("cls", [NoSteering, BestOfN, partial(FeynmanKac, lam=0.5)])
def test_guidance_raises_the_reward_at_the_same_number_of_calls(
    sampler: Sampler, cls: Callable[..., Any]
) -> None:
    model = GaussianMixture().load("cpu", None)  # type: ignore[arg-type]
    reward = Linear().load(torch.device("cpu"), torch.float32)
    steps, seconds = [], []
    for settings in ({}, {"guidance": 5.0, "guidance_window": (0.999, 1.0)}, {"guidance": 0.5}):
        stages = Stages()
        work = Work(model, sampler, cls(**settings), reward, 16, stages)
        steps.append(last(work, 40))
        seconds.append(stages.seconds)
    plain, off, guided = steps
    assert plain.rewards is not None and guided.rewards is not None
    assert guided.nfe == plain.nfe
    assert float(guided.rewards.mean()) > float(plain.rewards.mean()) + 0.1
    assert torch.equal(off.particles.x, plain.particles.x)
    assert "guidance" in seconds[2] and "guidance" not in seconds[1]


def test_through_the_decoder_of_a_pipeline(tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "model")
    cpu = torch.device("cpu")
    model = DiffusersPipeline(str(tmp_path / "model")).load(cpu, torch.float32)
    settings = Python("my_scores.redness", differentiable=True)
    reward = settings.load(cpu, torch.float32)

    def rewards(strength: float, micro_batch: int) -> Tensor:
        steering = NoSteering(guidance=strength)
        step = last(Work(model, Glass(3, 2), steering, reward, micro_batch, Stages()), 5)
        assert step.rewards is not None
        return step.rewards

    whole = rewards(20.0, 5)
    for size in (1, 2):
        assert torch.allclose(rewards(20.0, size), whole, rtol=0.0, atol=1e-5)
    assert float(whole.mean()) > float(rewards(0.0, 5).mean()) + 1e-3


def test_the_gradient_is_that_of_finite_differences(tmp_path: Path) -> None:
    pipeline().save_pretrained(tmp_path / "model")
    cpu = torch.device("cpu")
    model = DiffusersPipeline(str(tmp_path / "model")).load(cpu, torch.float64)
    reward = Python("my_scores.redness", differentiable=True).load(cpu, torch.float32)
    work = Work(model, Glass(2, 1), NoSteering(guidance=1.0), reward, 2, Stages())
    scorer = _Scorer(work, "a dog")
    generator = torch.Generator().manual_seed(3)
    z = 0.3 * torch.randn(3, *model.shape, generator=generator, dtype=torch.float64)
    direction = torch.randn(z.shape, generator=generator, dtype=torch.float64)
    along = (scorer.gradient(z) * direction).flatten(1).sum(1)
    h = 1e-4  # pictures are float32, whose rounding is then 1e-7/h at most
    slope = (scorer(z + h * direction) - scorer(z - h * direction)).double() / (2 * h)
    assert float(along.abs().min()) > 0.01
    assert torch.allclose(along, slope, rtol=1e-3, atol=1e-3)


# fmt: off
REFUSED = {
    "no gradient": (["reward=ocr", 'prompt=a "b"', "steering.guidance=1"],
                    "reward=ocr has no gradient, which steering.guidance needs; use a reward that has one ("),
    "python without the promise": (["reward=python", "reward.target=my_scores.redness", "steering.guidance=1"],
                                   "reward=python has no gradient"),
    "no reward": (["reward=null", "steering=none", "steering.guidance=1"],
                  "steering.guidance needs a reward; choose one (glass ls reward) or steering=none steering.guidance=0"),
    "negative": (["steering.guidance=-1"], "steering.guidance must be a number of 0 or more"),
    "window": (["steering=none", "steering.guidance_window=[0.7,0.2]"], "steering.guidance_window must be two times"),
    "lam": (["steering.lam=atuo"], "steering.lam must be auto or a number (got atuo); did you mean auto?"),
}
# ruff: noqa: E501
# fmt: on


@pytest.mark.parametrize(("words", "message"), REFUSED.values(), ids=REFUSED.keys())
def test_what_cannot_be_guided_is_one_line(
    words: list[str], message: str, capsys: pytest.CaptureFixture[str]
) -> None:
    if "reward=ocr" in words:
        pytest.importorskip("rapidocr")
    assert launch(words) == 2
    (said,) = capsys.readouterr().err.splitlines()
    assert said.startswith(f"glass: {message}")
    assert not Path("outputs").exists()


def test_a_broken_promise_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pipeline().save_pretrained(tmp_path / "model")
    words = [f"model.path={tmp_path / 'model'}", "wandb.mode=disabled", "particles=2"]
    words += ["reward=python", "prompt=a dog", "reward.target=my_scores.cut"]
    words += ["reward.differentiable=true", "sampler.transitions=3", "sampler.steps=1"]
    assert launch([*words, "steering.guidance=1"]) == 2
    assert "the reward has no gradient, which steering.guidance needs" in capsys.readouterr().err


@pytest.mark.parametrize("kind", ["nan", "unused"])
def test_gradients_that_are_none(kind: str) -> None:
    class Wrong:
        def score(self, samples: Tensor, prompt: str) -> Tensor:
            if kind == "unused":
                return torch.zeros(len(samples), requires_grad=True) * 2.0
            zero = samples[:, 0] - samples[:, 0].detach()
            return torch.stack([r.abs().sqrt() if n == 1 else r for n, r in enumerate(zero)])

    model = GaussianMixture().load("cpu", None)  # type: ignore[arg-type]
    steering = BestOfN(guidance=1.0, guidance_window=(0.1, 1.0))
    work = Work(model, Glass(2, 2), steering, Wrong(), 4, Stages())
    if kind == "nan":
        with pytest.raises(NotFinite, match="the reward's gradient of particle 1 is not finite"):
            list(draw(work, "a", "", 3, 0))
    else:
        with pytest.raises(GlassError, match="the reward has no gradient"):
            list(draw(work, "a", "", 3, 0))


def test_lam_is_recorded_with_every_step() -> None:
    words = [*MIXTURE, "sampler.steps=2", "sampler.transitions=3", "steering.lam=auto"]
    assert launch([*words, "hydra.run.dir=run"]) == 0
    steps = [json.loads(line) for line in Path("run/steps.jsonl").read_text().splitlines()]
    first = torch.tensor(steps[1]["rewards"], dtype=torch.float64)
    lam = 2.5 / float(first.std(correction=0))
    assert steps[0]["lam"] is None
    assert [step["lam"] for step in steps[1:]] == pytest.approx([lam] * 3)
    assert Path("run/density.png").exists()


@pytest.mark.slow
def test_guidance_raises_the_embedded_reward_of_the_embedded_model() -> None:
    """On 36 prompts with 16 calls it did for every one (docs/prompts_36.txt); here on four."""
    prompts = "prompts=[a photo of a wine glass,a photo of a donut,a photo of four bears,a photo of a black giraffe]"
    words = [prompts, "sampler=ode", "sampler.steps=8", "steering=none", "particles=2"]
    means = []
    for strength in (0, 1):
        run = [*words, f"steering.guidance={strength}", f"hydra.run.dir=run{strength}"]
        assert launch([*run, "wandb.mode=disabled"]) == 0
        rows = json.loads(Path(f"run{strength}/summary.json").read_text())["prompts"]
        means.append([row["mean_reward"] for row in rows])
    plain, guided = means
    assert all(b > a for a, b in zip(plain, guided, strict=True))
