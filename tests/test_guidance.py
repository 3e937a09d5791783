"""Reward guidance: its formula, its window, its cost, and the law it leads to.

On N(m, c^2) data D_t(x) is affine in x, so with a linear reward r = a z the guided denoiser is
D_t(x) + beta sigma^2/alpha slope a: everything stays affine and every law is known exactly.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from worlds import (
    CONDOT,
    DISCRETE,
    PATHS,
    VP,
    GaussianFlow,
    Normals,
    exact_laws,
    fk,
    linear,
    steered,
)

from glass_cli.method.flow import Flow, Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.ode import Ode
from glass_cli.method.path import Path
from glass_cli.method.sde import Sde
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.guidance import Guided, guidance_factor
from glass_cli.steering.independent import BestOfN, NoSteering

ALWAYS = (0.0, 1.0)
SAMPLERS = [Ode(4, 3), Ode(2, 6, "heun"), Sde(4, 3, "ancestral"), Sde(4, 3), Glass(4, 3)]


def ones(z: Tensor) -> Tensor:
    """The gradient of a reward that is the sum of all coordinates."""
    return torch.ones_like(z)


class Asked:
    """A gradient that keeps what it was asked about."""

    def __init__(self) -> None:
        self.at: list[Tensor] = []

    def __call__(self, z: Tensor) -> Tensor:
        self.at.append(z)
        return 2.0 * z


@pytest.mark.parametrize("t", [0.05, 0.3, 0.62, 0.97])
def test_the_factor_in_closed_form(t: float) -> None:
    assert guidance_factor(CONDOT, t) == pytest.approx((1 - t) ** 2 / t, rel=1e-12)
    for path in (VP, DISCRETE):  # sigma^2/alpha * alpha
        assert guidance_factor(path, t) == pytest.approx(path.at(t).sigma ** 2, rel=1e-9)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_the_factor_is_that_of_a_constant_velocity(path: Path) -> None:
    """sigma^2/alpha times the derivative in x of the denoiser that a velocity gives."""
    from glass_cli.method.path import denoiser_from_velocity

    t, u = 0.4, torch.tensor(0.37, dtype=torch.float64)
    x = torch.tensor(1.3, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(denoiser_from_velocity(path, t, x, u), x)
    alpha, sigma, _, _ = path.at(t)
    assert guidance_factor(path, t) == pytest.approx(sigma**2 / alpha * float(slope), rel=1e-9)


@pytest.mark.parametrize("path", PATHS.values(), ids=PATHS.keys())
def test_the_guided_denoiser(path: Path) -> None:
    plain, gradient = GaussianFlow(path), Asked()
    guided = Guided(plain, 0.3, (0.25, 0.75), gradient)
    x = torch.randn(5, 1, generator=torch.Generator().manual_seed(1), dtype=torch.float64)
    for t in (0.25, 0.5, 0.75):
        z = plain.denoise(x, t)
        expected = z + 0.3 * guidance_factor(path, t) * 2.0 * z
        assert torch.allclose(guided.denoise(x, t), expected, rtol=1e-14, atol=0.0)
        assert torch.equal(gradient.at[-1], z), "the gradient is taken at the denoised sample"
    asked = len(gradient.at)
    for t in (0.1, 0.2499, 0.7501, 0.99):
        assert torch.equal(guided.denoise(x, t), plain.denoise(x, t))
    assert len(gradient.at) == asked, "outside the window nothing is computed"


def test_nothing_is_added_where_alpha_is_zero() -> None:
    flow, gradient = GaussianFlow(), Asked()
    x = torch.ones(2, 1, dtype=torch.float64)
    assert torch.equal(Guided(flow, 1.0, ALWAYS, gradient).denoise(x, 0.0), flow.denoise(x, 0.0))
    assert not gradient.at


class Moved(GaussianFlow):
    """The guided flow of r = sum z by its formula, not by the class under test."""

    beta: float = 0.0

    def denoise(self, x: Tensor, t: float) -> Tensor:
        alpha, sigma, d_alpha, d_sigma = self.path.at(t)
        slope = -d_sigma / (d_alpha * sigma - alpha * d_sigma)
        extra = self.beta * sigma**2 / alpha * slope if 0.2 <= t <= 0.7 else 0.0
        return super().denoise(x, t) + extra


@pytest.mark.parametrize("path", [CONDOT, VP], ids=["condot", "vp"])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_every_sampler_follows_the_guided_denoiser(sampler: Sampler, path: Path) -> None:
    moved = Moved(path)
    moved.beta = 0.4
    guided: Flow = Guided(GaussianFlow(path), 0.4, (0.2, 0.7), ones)
    laws, expected = (exact_laws_of(flow, sampler, path) for flow in (guided, moved))
    plain = exact_laws_of(GaussianFlow(path), sampler, path)
    assert laws == pytest.approx(expected, rel=1e-12)
    assert laws[0] > plain[0] + 0.01, "the reward rises"
    # a linear reward only moves the law
    assert laws[1] == pytest.approx(plain[1], rel=1e-12)


def exact_laws_of(flow: Flow, sampler: Sampler, path: Path) -> tuple[float, float]:
    """Mean and standard deviation at t=1, from N(0, 1)."""

    class Shown(GaussianFlow):
        def denoise(self, x: Tensor, t: float) -> Tensor:
            return flow.denoise(x, t)

    law = exact_laws(Shown(path), sampler, exact_start=False)[-1]
    return law.mean, law.std


def test_the_guided_ode_has_its_mean_in_closed_form() -> None:
    """The ODE is d(x/sigma) = D^r d(alpha/sigma). With data at one point z0 on the straight path
    D^r = z0 + beta (1-t)^2/t and d(alpha/sigma) = dt/(1-t)^2, so x_t within the window that opens
    at 0.2 is t z0 + beta (1-t) log(t/0.2) for a start at 0; at t=1 no trace of guidance is left.
    """
    beta, steps = 0.4, 4000
    times = (0.0, 0.2, 0.6, 1.0)
    sampler = Ode(3, steps, "multistep", times)
    laws = exact_laws_at(GaussianFlow(mean=0.7, std=1e-9), beta, sampler)
    assert laws[2] == pytest.approx(0.6 * 0.7 + beta * 0.4 * math.log(3.0), abs=1e-3)
    assert laws[3] == pytest.approx(0.7, abs=1e-6)


def exact_laws_at(flow: GaussianFlow, beta: float, sampler: Sampler) -> list[float]:
    guided = Guided(flow, beta, (0.2, 0.7), ones)
    x = torch.zeros(1, 1, dtype=torch.float64)
    times, found = sampler.outer_times(guided), [0.0]
    for t, t_next in itertools.pairwise(times):
        noise = Normals(0, (1, 1))
        x = sampler.transition(guided, x, guided.denoise(x, t), t, t_next, noise, sampler.steps)
        found.append(float(x))
    return found


@pytest.mark.parametrize("steering", [BestOfN(), NoSteering(), fk(lam=2.0)], ids=str)
def test_within_steering_calls_are_the_same_and_rewards_higher(steering: object) -> None:
    flow = GaussianFlow()
    plain = steered(steering, particles=40, sampler=Glass(5, 3))  # type: ignore[arg-type]
    guided = steered(
        steering,  # type: ignore[arg-type]
        particles=40,
        sampler=Glass(5, 3),
        flow=Guided(flow, 0.5, (0.2, 0.7), ones),  # type: ignore[arg-type]
    )
    assert [step.nfe for step in guided] == [step.nfe for step in plain]
    assert sum(n for _, n in flow.queries) == guided[-1].nfe
    assert float(guided[-1].particles.x.mean()) > float(plain[-1].particles.x.mean()) + 0.05


def test_the_law_that_weights_tilt_is_the_guided_one() -> None:
    """Z-hat of FK on the guided flow is E[exp(lam x)] of the guided sampler's own output."""
    lam, beta, sampler = 1.2, 0.5, Glass(4, 3)
    moved = Moved()
    moved.beta = beta
    law = exact_laws(moved, sampler, exact_start=False)[-1]
    log_z = lam * law.mean + 0.5 * (lam * law.std) ** 2
    z = []
    for seed in range(60):
        guided = Guided(GaussianFlow(), beta, (0.2, 0.7), ones)
        last = steered(fk(lam=lam), linear, 32, sampler, seed, guided)[-1]  # type: ignore[arg-type]
        z.append(math.exp(last.particles.log_normaliser - log_z))
    found = torch.tensor(z)
    error = float(found.std()) / len(z) ** 0.5
    assert error < 0.06
    assert float(found.mean()) == pytest.approx(1.0, abs=4 * error)


@pytest.mark.parametrize("cls", [FeynmanKac, BestOfN, NoSteering])
@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"guidance": -0.1}, r"steering\.guidance must be a number of 0 or more \(got -0.1\)"),
        ({"guidance": math.inf}, r"steering\.guidance must be a number of 0 or more"),
        ({"guidance_window": (0.7, 0.2)}, r"steering\.guidance_window must be two times, 0 <="),
        ({"guidance_window": (0.2,)}, r"steering\.guidance_window .* \(got \[0.2\]\)"),
        ({"guidance_window": 0.2}, r"steering\.guidance_window must be two times"),
    ],
)
def test_settings_are_checked(cls: type, settings: dict[str, object], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        cls(**settings)
    assert cls(guidance_window=[0, 1]).guidance_window == (0.0, 1.0)
