"""steering.lam=auto: lam from the spread of the rewards among the first particles scored."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor
from worlds import GLASS, GaussianFlow, exact_laws, fk, linear, steered

from glass_cli.method.glass import Glass
from glass_cli.steering.feynman_kac import lam_of_spread, lam_of_survivors
from glass_cli.steering.independent import NoSteering
from glass_cli.steering.particles import Particles
from glass_cli.steering.state import Step

POTENTIALS = ("difference", "max", "sum", "immediate")


def same(a: list[Step], b: list[Step]) -> None:
    for one, other in zip(a, b, strict=True):
        assert torch.equal(one.particles.x, other.particles.x)
        assert torch.equal(one.log_w, other.log_w)
        assert one.particles.log_normaliser == other.particles.log_normaliser
        assert one.chosen == other.chosen


@pytest.mark.parametrize("potential", POTENTIALS)
def test_the_run_is_that_of_the_lam_it_finds(potential: str) -> None:
    steps = steered(fk(lam="auto", lam_strength=2.0, potential=potential), linear, 12)
    first = steps[1].rewards
    assert first is not None
    lam = 2.0 / float(first.std(correction=0))
    assert [step.particles.lam for step in steps] == [None, lam, lam, lam, lam]
    same(steps, steered(fk(lam=lam, potential=potential), linear, 12))


@pytest.mark.parametrize("potential", POTENTIALS)
def test_posterior_values_find_it_from_the_draws_mean(potential: str) -> None:
    flow, drawn = GaussianFlow(), []

    def reward(x: Tensor) -> Tensor:
        drawn.append(x[:, 0])
        return x[:, 0]

    settings = fk(lam="auto", value="posterior", value_samples=3, potential=potential)
    steps = steered(settings, reward, 12, flow=flow)
    first = torch.stack(drawn[:3]).mean(0)
    assert steps[1].rewards is not None and torch.equal(steps[1].rewards, first)
    lam = 2.5 / float(first.std(correction=0))
    assert steps[-1].particles.lam == pytest.approx(lam, rel=1e-14)
    second = ((lam * torch.stack(drawn[3:6])).logsumexp(0) - math.log(3)) / lam
    assert steps[2].rewards is not None
    assert torch.allclose(steps[2].rewards, second, rtol=0.0, atol=1e-12)
    last = steps[-1]
    assert last.rewards is not None
    assert torch.allclose(last.particles.log_g, lam * last.rewards, rtol=0.0, atol=1e-10)


def test_lam_times_spread_is_the_strength_in_closed_form() -> None:
    """On Gaussian data x_hat at t is Gaussian, its spread the denoiser's gain times that of x_t."""
    flow, n = GaussianFlow(), 4000
    law = exact_laws(flow, GLASS, exact_start=False)[1]
    alpha, sigma, _, _ = flow.path.at(law.t)
    gain = alpha * flow.std**2 / (alpha**2 * flow.std**2 + sigma**2)
    lam = steered(fk(lam="auto", lam_strength=1.5), linear, n)[-1].particles.lam
    # the relative error of a standard deviation is 1/sqrt(2 n)
    assert lam == pytest.approx(1.5 / (gain * law.std), rel=4 / math.sqrt(2 * n))


@pytest.mark.parametrize("scale", [1e-6, 0.01, 1.0, 100.0])
def test_the_unit_of_the_reward_does_not_matter(scale: float) -> None:
    plain = steered(fk(lam="auto"), linear, 10)
    scaled = steered(fk(lam="auto"), lambda x: scale * x[:, 0] + 3.0 * scale, 10)
    for a, b in zip(plain, scaled, strict=True):
        assert torch.equal(a.particles.lineage, b.particles.lineage)
        assert torch.allclose(a.log_w, b.log_w, rtol=0.0, atol=1e-8)


@pytest.mark.parametrize("level", [0.0, 0.7, 1e6])
@pytest.mark.parametrize("value", ["x_hat", "posterior"])
@pytest.mark.parametrize("noise", [0.0, 3e-8])
def test_a_constant_reward_changes_nothing(level: float, value: str, noise: float) -> None:
    """Also one that is constant up to the rounding of float32."""
    plain = steered(NoSteering(), None, particles=7, sampler=Glass(4, 3))
    jitter = noise * level * torch.linspace(-1, 1, 7, dtype=torch.float64)
    for potential, ess_threshold in itertools.product(POTENTIALS, (0.5, 1.0)):
        settings = fk(lam="auto", potential=potential, ess_threshold=ess_threshold, value=value)
        steps = steered(settings, lambda x: level + jitter, particles=7, sampler=Glass(4, 3))
        for a, b in zip(plain, steps, strict=True):
            assert torch.equal(a.particles.x, b.particles.x)
        assert steps[-1].particles.lam == 0.0 and steps[-1].particles.log_normaliser == 0.0


@pytest.mark.parametrize("potential", POTENTIALS)
def test_steps_without_spread_pass_as_if_unscored(potential: str) -> None:
    """A reward that is 0 on every blurred x_hat, as reading text is: lam waits for the first
    difference, and the potentials still multiply up to exp(lam r)."""
    asked = 0

    def late(x: Tensor) -> Tensor:
        nonlocal asked
        asked += 1
        return x[:, 0] if asked > 2 else torch.zeros(len(x), dtype=x.dtype)

    steps = steered(fk(lam="auto", potential=potential), late, 9, Glass(6, 2))
    assert [step.particles.lam is None for step in steps] == [True] * 3 + [False] * 4
    third = steps[3].rewards
    assert third is not None
    lam = steps[-1].particles.lam
    assert lam == pytest.approx(2.5 / float(third.std(correction=0)), rel=1e-14)
    last = steps[-1]
    assert last.rewards is not None
    assert torch.allclose(last.particles.log_g, lam * last.rewards, rtol=0.0, atol=1e-10)


def test_rewards_at_the_end_alone() -> None:
    """Nothing is scored on the way: lam comes from the final rewards, for the draw's weights."""
    last = steered(fk(lam="auto", window=(0.0, 0.0)), linear, 8)[-1]
    assert last.rewards is not None and last.particles.lam is not None
    assert last.particles.lam * float(last.rewards.std(correction=0)) == pytest.approx(2.5)
    expected = (last.particles.lam * last.rewards).log_softmax(0)
    assert torch.allclose(last.log_w, expected, rtol=0.0, atol=1e-12)


def test_one_particle_has_no_spread() -> None:
    assert steered(fk(lam="auto"), linear, 1)[-1].particles.lam == 0.0
    assert lam_of_spread(torch.tensor([2.0]), 2.5) is None


@pytest.mark.parametrize("share", [0.2, 0.5, 0.9])
def test_survivors_in_closed_form(share: float) -> None:
    """Normal rewards under exp(lam r) have an effective share exp(-(lam spread)^2)."""
    n = 200_000
    r = 3.0 + 0.7 * torch.randn(n, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    lam = lam_of_survivors(r, share)
    w = (lam * r).softmax(0)
    assert float(1 / w.square().sum()) == pytest.approx(share * n, rel=1e-6)
    # the spread has a relative error of 1/sqrt(2 n), the effective size one of about 3/sqrt(n)
    assert lam * 0.7 == pytest.approx(math.sqrt(-math.log(share)), rel=0.04)


def test_survivors_do_not_rest_on_one_that_is_far_off() -> None:
    r = torch.linspace(0.0, 1.0, 40, dtype=torch.float64)
    with_one = torch.cat([r, torch.tensor([-100.0], dtype=torch.float64)])
    assert lam_of_survivors(with_one, 0.25 * 40 / 41) == pytest.approx(lam_of_survivors(r, 0.25))
    assert lam_of_spread(with_one, 2.5) < 0.05 * lam_of_spread(r, 2.5)


def test_survivors_of_equal_rewards() -> None:
    assert lam_of_survivors(torch.full((5,), 2.0), 0.5) is None
    # three equal best of six: no lam leaves fewer, so 5 % more are left
    r = torch.tensor([0.0, 0.0, 0.0, 1.0, 1.0, 1.0], dtype=torch.float64)
    w = (lam_of_survivors(r, 0.2) * r).softmax(0)
    assert float(1 / w.square().sum()) == pytest.approx(1.05 * 3)


def test_a_run_with_survivors_is_that_of_the_lam_it_finds() -> None:
    steps = steered(fk(lam="auto", lam_survivors=0.3), linear, 12)
    assert steps[1].rewards is not None
    lam = lam_of_survivors(steps[1].rewards, 0.3)
    assert steps[-1].particles.lam == lam
    same(steps, steered(fk(lam=lam), linear, 12))


def test_lam_survives_resampling() -> None:
    x = torch.zeros(3, 1, dtype=torch.float64)
    cloud = replace(Particles.at_start(x, x), lam=4.5)
    assert cloud.resampled(torch.tensor([0, 0, 1])).lam == 4.5
    steps = steered(fk(lam="auto", ess_threshold=1.0), linear, 8)
    assert any(step.ancestors is not None for step in steps)
    assert len({step.particles.lam for step in steps[1:]}) == 1


def test_a_given_lam_is_shown_too() -> None:
    steps = steered(fk(lam=3.0), linear, 8)
    assert [step.particles.lam for step in steps] == [None, 3.0, 3.0, 3.0, 3.0]
    assert all(step.particles.lam is None for step in steered(NoSteering(), linear))


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"potential": "maximum"}, r"steering\.potential must be one of difference, max, sum, im"),
        ({"resampling": "x"}, r"steering\.resampling must be one of systematic, .* \(got x\)"),
        ({"lam": "atuo"}, r"steering\.lam must be auto or a number \(got atuo\)"),
        ({"lam_strength": -1.0}, r"steering\.lam_strength must be a number of 0 or more"),
        ({"lam_strength": math.nan}, r"steering\.lam_strength must be a number of 0 or more"),
        ({"lam": "auto", "lam_survivors": 0.0}, r"lam_survivors must be above 0 and at most 1"),
        ({"lam": 3.0, "lam_survivors": 0.5}, r"lam_survivors=0\.5 needs steering\.lam=auto"),
    ],
)
def test_settings_are_checked(settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        fk(**settings)
