"""What a steered run keeps count of, what it answers, and what it refuses."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from worlds import GaussianFlow, fk, linear, steered

from glass_cli.method.glass import Glass
from glass_cli.steering.base import Steering
from glass_cli.steering.independent import BestOfN, NoSteering
from glass_cli.steering.particles import Particles
from glass_cli.steering.state import NotFinite


def particles_of(*log_w: float) -> Particles:
    n = len(log_w)
    x = torch.arange(n, dtype=torch.float64)[:, None]
    weights = torch.tensor(log_w, dtype=torch.float64).log_softmax(0)
    return replace(Particles.at_start(x, 10.0 * x), log_w=weights)


@pytest.mark.parametrize("potential", ["difference", "max", "sum", "immediate"])
@pytest.mark.parametrize("ess_threshold", [0.5, 1.0])
def test_everything_moves_with_its_ancestor(potential: str, ess_threshold: float) -> None:
    flow = GaussianFlow()
    settings = fk(potential=potential, ess_threshold=ess_threshold, lam=6.0)
    steps = steered(settings, particles=12, sampler=Glass(6, 2), flow=flow)
    lineage = torch.arange(12)
    past = torch.zeros(0, 12, dtype=torch.float64)
    log_w = torch.full((12,), -math.log(12), dtype=torch.float64)
    resampled = 0
    for step in steps:
        if step.rewards is not None:
            past = torch.cat([past, step.rewards[None]])
        weights = step.log_w.exp()
        assert float(weights.sum()) == pytest.approx(1.0, abs=1e-14)
        assert step.ess == pytest.approx(1.0 / float(weights.square().sum()), rel=1e-12)
        if step.rewards is None:
            assert torch.equal(step.log_w, log_w)
        if 0 < step.k < 6:
            low = step.ess < ess_threshold * 12 or ess_threshold == 1.0
            assert (step.ancestors is not None) == low
        if step.ancestors is not None:
            resampled += 1
            lineage, past = lineage[step.ancestors], past[:, step.ancestors]
            assert torch.equal(
                step.particles.log_w, torch.full((12,), -math.log(12), dtype=torch.float64)
            )
        else:
            assert torch.equal(step.particles.log_w, step.log_w)
        log_w = step.particles.log_w
        assert torch.equal(step.particles.lineage, lineage)
        assert step.particles.lineages == len(set(lineage.tolist()))
        assert torch.equal(step.particles.past, past)
        if len(past):  # the reward that was scored is that of the x_hat that goes on
            assert torch.equal(step.particles.x_hat[:, 0], past[-1])
        if step.k < 6:
            expected = GaussianFlow().denoise(step.particles.x, step.t)
            assert torch.allclose(step.particles.x_hat, expected, rtol=0.0, atol=1e-15)
    assert resampled >= 1 and steps[-1].particles.lineages < 12


def test_resampled_weights_are_flat_to_the_last_bit() -> None:
    for n in (3, 8, 100):
        start = particles_of(*range(n))
        cloud = start.resampled(torch.arange(n))
        assert float(cloud.log_w.logsumexp(0)) == pytest.approx(0.0, abs=1e-15)
        assert cloud.ess == pytest.approx(n, rel=1e-14)
        assert torch.equal(cloud.log_w, Particles.at_start(start.x, start.x).log_w)


def test_resampling_moves_every_field() -> None:
    cloud = particles_of(0.0, 1.0, 2.0).weighted(torch.tensor([5.0, 6.0, 7.0]), torch.zeros(3))
    cloud = replace(cloud, log_g=torch.tensor([0.1, 0.2, 0.3], dtype=torch.float64))
    moved = cloud.resampled(torch.tensor([2, 2, 0]))
    assert moved.x[:, 0].tolist() == [2.0, 2.0, 0.0]
    assert moved.x_hat[:, 0].tolist() == [20.0, 20.0, 0.0]
    assert moved.past.tolist() == [[7.0, 7.0, 5.0]]
    assert moved.log_g.tolist() == pytest.approx([0.3, 0.3, 0.1])
    assert moved.lineage.tolist() == [2, 2, 0] and moved.lineages == 2
    assert moved.log_normaliser == cloud.log_normaliser


def test_any_number_of_copies_has_equal_weights() -> None:
    start = particles_of(*range(4))
    for ancestors in ([3], [0, 3, 3], [0, 1, 1, 2, 3, 3]):
        moved = start.resampled(torch.tensor(ancestors))
        assert moved.x[:, 0].tolist() == moved.lineage.tolist() == ancestors
        assert float(moved.log_w.logsumexp(0)) == pytest.approx(0.0, abs=1e-15)
        assert moved.ess == pytest.approx(len(ancestors), rel=1e-14)


def test_effective_sample_size() -> None:
    assert particles_of(0.0, 0.0, 0.0, 0.0).ess == pytest.approx(4.0)
    assert particles_of(0.0, -800.0, -800.0).ess == pytest.approx(1.0)
    assert particles_of(math.log(0.5), math.log(0.25), math.log(0.25)).ess == pytest.approx(8 / 3)


@pytest.mark.parametrize("scale", [1e5, -1e5])
def test_extreme_rewards_leave_weights_finite(scale: float) -> None:
    last = steered(fk(lam=10.0), lambda x: scale * x[:, 0])[-1]
    assert bool((last.log_w <= 0.0).all()) and math.isfinite(last.particles.log_normaliser)
    assert float(last.log_w.exp().sum()) == pytest.approx(1.0, abs=1e-9)


def test_a_draw_follows_the_weights() -> None:
    settings = fk(select="draw")
    cloud = particles_of(*(math.log(w) for w in (0.1, 0.35, 0.05, 0.5)))
    r = torch.tensor([4.0, 3.0, 2.0, 1.0], dtype=torch.float64)
    grid = (torch.arange(2000, dtype=torch.float64) + 0.5) / 2000
    counts = torch.bincount(
        torch.tensor([settings.choose(cloud, r, u[None]) for u in grid]), minlength=4
    )
    assert counts.tolist() == [200, 700, 100, 1000]


def test_a_drawn_answer_is_the_weighted_mean_on_average() -> None:
    chosen = []
    for seed in range(150):
        last = steered(fk(select="draw", lam=1.0), particles=8, seed=seed)[-1]
        assert last.chosen is not None
        mean = float(last.particles.log_w.exp() @ last.particles.x[:, 0])
        chosen.append(float(last.particles.x[last.chosen, 0]) - mean)
    values = torch.tensor(chosen)
    assert float(values.mean()) == pytest.approx(0.0, abs=4 * float(values.std()) / 150**0.5)


def test_the_answer_is_the_particle_of_highest_reward() -> None:
    for steering in (BestOfN(), fk()):
        last = steered(steering, lambda x: -(x[:, 0] - 0.2).abs(), particles=9)[-1]
        assert last.rewards is not None
        assert last.chosen == int((last.particles.x[:, 0] - 0.2).abs().argmin())
        assert float(last.rewards[last.chosen]) == float(last.rewards.max())
    assert steered(NoSteering(), linear)[-1].chosen is None
    assert steered(NoSteering(), None)[-1].rewards is None


@dataclass(frozen=True)
class Chooses(Steering):
    """A steering whose answer is what it is given."""

    answer: Any = None

    def choose(self, particles: Particles, r: Tensor | None, u: Tensor) -> Any:
        return self.answer


@pytest.mark.parametrize("answer", [torch.tensor(1.5), 4, -1, "0"])
def test_an_answer_is_the_number_of_a_particle(answer: Any) -> None:
    with pytest.raises(ValueError, match=r"Chooses\.choose\(\) gave .* from 0 to 3, or None"):
        steered(Chooses(answer), particles=4)
    for given in (torch.tensor(3), np.int64(3), 3):
        assert steered(Chooses(given), particles=4)[-1].chosen == 3


def test_best_of_n_and_unsteered_draw_the_same_particles() -> None:
    best, plain = steered(BestOfN()), steered(NoSteering(), None)
    for a, b in zip(best, plain, strict=True):
        assert torch.equal(a.particles.x, b.particles.x) and a.nfe == b.nfe
        assert a.rewards is None or a.k == 4
    assert best[-1].ess == pytest.approx(6.0)


def test_more_particles_leave_the_first_ones_alone() -> None:
    few, many = (steered(NoSteering(), None, particles=n)[-1].particles.x for n in (3, 8))
    assert torch.equal(few, many[:3])


def test_the_same_seed_gives_the_same_run() -> None:
    a, b, c = (steered(fk(lam=3.0), seed=seed)[-1] for seed in (1, 1, 2))
    assert torch.equal(a.particles.x, b.particles.x) and a.chosen == b.chosen
    assert not torch.equal(a.particles.x, c.particles.x)


@pytest.mark.parametrize(("bad", "word"), [(math.nan, "nan"), (math.inf, "inf")])
def test_a_reward_that_is_not_finite_names_particle_and_step(bad: float, word: str) -> None:
    calls = 0

    def reward(x: Tensor) -> Tensor:
        nonlocal calls
        calls += 1
        return torch.where(torch.arange(len(x)) == 2, bad if calls == 2 else 1.0, 0.0)

    with pytest.raises(NotFinite, match=rf"the reward of particle 2 is {word} at step 2 \(t=0.5\)"):
        steered(fk(), reward)
    calls = 1
    with pytest.raises(NotFinite, match=rf"particle 2 is {word} at step 4 \(t=1\)"):
        steered(BestOfN(), reward)


def test_a_particle_that_is_not_finite_is_named() -> None:
    class Broken(GaussianFlow):
        def denoise(self, x: Tensor, t: float) -> Tensor:
            out = super().denoise(x, t)
            out[3] = math.nan if t >= 0.75 else out[3]
            return out

    with pytest.raises(NotFinite, match=r"particle 3 is nan at step 4 \(t=1\)"):
        steered(NoSteering(), None, flow=Broken())


def test_float32_rewards_are_weighed_in_double() -> None:
    last = steered(fk(), lambda x: x[:, 0].float())[-1]
    assert last.rewards is not None and last.rewards.dtype == torch.float64
    assert last.particles.log_w.dtype == torch.float64


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"window": (0.5, 0.2)}, r"steering\.window must be two times, 0 <= from <= to <= 1"),
        ({"window": (0.0, 1.1)}, r"steering\.window .* \(got \[0.0, 1.1\]\)"),
        ({"window": (0.5,)}, r"steering\.window must be two times"),
        ({"window": (math.nan, 1.0)}, r"steering\.window must be two times"),
        ({"lam": -1.0}, r"steering\.lam must be a number of 0 or more \(got -1.0\)"),
        ({"lam": math.nan}, r"steering\.lam must be a number"),
        ({"lam": math.inf}, r"steering\.lam must be a number"),
        ({"ess_threshold": 1.5}, r"steering\.ess_threshold must lie between 0 and 1 \(got 1.5\)"),
        ({"ess_threshold": math.nan}, r"steering\.ess_threshold must lie"),
        ({"every": 0}, r"steering\.every must be at least 1 \(got 0\)"),
        ({"value_samples": 0}, r"steering\.value_samples must be at least 1"),
        ({"value_steps": 0}, r"steering\.value_steps must be at least 1"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fk(**settings)
    assert fk(window=[0, 1]).window == (0.0, 1.0)
