"""The GLASS transition: its inner path, its law, and the samplers it becomes in special cases."""

from __future__ import annotations

import itertools
import math

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal
from worlds import (
    CONDOT,
    DISCRETE,
    PATHS,
    VP,
    GaussianFlow,
    MixtureFlow,
    Normals,
    exact_laws,
    planar_mixture,
    transition_law,
)

from glass_cli.method.distance import sliced_w2
from glass_cli.method.glass import Glass, Inner, InnerPath, Rho, check_rho, correlation
from glass_cli.method.integrate import Node, step_weights
from glass_cli.method.ode import Ode
from glass_cli.method.path import Path
from glass_cli.method.sde import Sde

each_path = pytest.mark.parametrize("path", PATHS.values(), ids=PATHS)
each_rho = pytest.mark.parametrize("rho", ["ddpm", 0.4, 1.0, -0.5, -1.0, 0.0])
INTERVALS = [(0.0, 0.3), (0.25, 0.75), (0.4, 1.0), (0.0, 1.0), (0.1, 0.11)]
each_interval = pytest.mark.parametrize(("t", "t_next"), INTERVALS)


def inner_path(path: Path, t: float, t_next: float, rho: float | str) -> InnerPath:
    return InnerPath.between(path, t, t_next, correlation(path, t, t_next, rho))


@each_path
def test_ddpm_correlation_is_that_of_the_forward_process(path: Path) -> None:
    t, t_next = 0.3, 0.6
    alpha, sigma, _, _ = path.at(t)
    alpha_next, sigma_next, _, _ = path.at(t_next)
    # x_t = (alpha/alpha') x_t' + fresh noise, so Cov(x_t, x_t' | z) = alpha/alpha' sigma'^2
    rho = alpha / alpha_next * sigma_next**2 / (sigma * sigma_next)
    assert correlation(path, t, t_next, "ddpm") == pytest.approx(rho, rel=1e-14)
    assert correlation(path, t, t_next, "ddpm", 0.5) == pytest.approx(rho**0.5, rel=1e-14)
    assert correlation(path, t, t_next, -0.3, 0.5) == -0.3
    assert correlation(path, t, 1.0, "ddpm") == 0.0


@each_path
def test_rho_over_time_is_that_where_the_transitions_middle_lies(path: Path) -> None:
    rho = check_rho([[0, "ddpm"], [0.3, 0.4], [0.8, -1]])
    assert rho == ((0.0, "ddpm"), (0.3, 0.4), (0.8, -1.0))
    assert correlation(path, 0.1, 0.4, rho) == correlation(path, 0.1, 0.4, "ddpm")
    assert correlation(path, 0.1, 0.4, rho, 0.5) == correlation(path, 0.1, 0.4, "ddpm", 0.5)
    assert correlation(path, 0.1, 0.5, rho) == 0.4  # a value holds from its time on
    assert correlation(path, 0.5, 1.0, rho) == 0.4
    assert correlation(path, 0.7, 1.0, rho) == -1.0


@each_path
@each_rho
@each_interval
def test_the_inner_path_ends_on_the_law_of_x_next(
    path: Path, rho: float | str, t: float, t_next: float
) -> None:
    inner = inner_path(path, t, t_next, rho)
    alpha, sigma, _, _ = path.at(t)
    alpha_next, sigma_next, _, _ = path.at(t_next)
    A, S, _ = inner.node(1.0)
    assert A + inner.gamma * alpha == pytest.approx(alpha_next, abs=1e-14)
    assert math.hypot(S, inner.gamma * sigma) == pytest.approx(sigma_next, abs=1e-14)
    assert inner.node(0.0) == Node(0.0, 1.0, 0.0)
    assert inner.abar > 0.0


@each_path
@each_rho
@each_interval
def test_query_is_the_posterior_mean_given_both_looks(
    path: Path, rho: float | str, t: float, t_next: float
) -> None:
    """Against E[z | x_t, xbar_s] by conditioning a mixture on the 2-vector (x_t, xbar_s)."""
    alpha, sigma, _, _ = path.at(t)
    inner = inner_path(path, t, t_next, rho)
    weights, means, stds = np.array([0.6, 0.4]), np.array([1.0, -0.5]), np.array([0.3, 0.8])
    x, y = np.array([0.2, -1.1, 0.9]), np.array([0.4, 0.3, -1.7])
    for s in (0.05, 0.5, 0.95):
        A, S, _ = inner.node(s)
        gain = np.array([alpha, A + inner.gamma * alpha])
        off = inner.gamma * sigma**2
        noise = np.array([[sigma**2, off], [off, inner.gamma**2 * sigma**2 + S**2]])
        looks = np.stack([x, y + inner.gamma * x], 1)
        joint = np.zeros((2, 3))
        posterior = np.zeros((2, 3))
        for j in range(2):
            cov = noise + stds[j] ** 2 * np.outer(gain, gain)
            joint[j] = weights[j] * multivariate_normal(gain * means[j], cov).pdf(looks)
            slope = stds[j] ** 2 * np.linalg.solve(cov, gain)
            posterior[j] = means[j] + (looks - gain * means[j]) @ slope
        exact = (joint * posterior).sum(0) / joint.sum(0)

        asked, t_star = inner.query(torch.tensor(x)[:, None], torch.tensor(y)[:, None], s)
        data = planar_mixture()
        data = type(data)(
            torch.tensor(weights).log(), torch.tensor(means)[:, None], torch.tensor(stds)
        )
        z = data.denoise(path, asked, t_star)[:, 0].numpy()
        assert z == pytest.approx(exact, rel=1e-9, abs=1e-9)


@each_path
@each_rho
@each_interval
def test_effective_times_rise_and_are_inverted(
    path: Path, rho: float | str, t: float, t_next: float
) -> None:
    inner = inner_path(path, t, t_next, rho)
    s = [i / 20 for i in range(21)]
    times = [inner.effective_time(v) for v in s]
    assert times[0] == pytest.approx(t, abs=1e-12)
    assert all(a < b for a, b in itertools.pairwise(times)) and times[-1] <= 1.0
    if t_next == 1.0 or rho in (1.0, -1.0):
        assert times[-1] == 1.0
    for v, t_star in zip(s[1:-1], times[1:-1], strict=True):
        assert inner.s_of(t_star) == pytest.approx(v, abs=1e-9)


@each_path
@pytest.mark.parametrize("inner", ["snr", "s", "times"])
@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_inner_grid(path: Path, inner: Inner, shift: float) -> None:
    ends = inner_path(path, 0.25, 0.75, 0.4)
    grid = ends.grid(12, inner, shift)
    assert len(grid) == 13 and (grid[0], grid[-1]) == (0.0, 1.0)
    assert all(a < b for a, b in itertools.pairwise(grid))
    if path is DISCRETE:
        for s in grid[1:-1]:
            step = DISCRETE.step_of(ends.effective_time(s))
            assert step == pytest.approx(round(step), abs=1e-8)
    elif inner == "s":
        assert grid == [i / 12 for i in range(13)]
    elif inner == "snr":  # nu/(1 + nu) in equal parts, nu = r A/S
        alpha, sigma, _, _ = path.at(0.25)
        r = (4.0 * (alpha / sigma) ** 2 + 2.0 / shift**2) ** -0.5
        nu = [r * A / S for A, S, _ in map(ends.node, grid)]
        share = [v / (1.0 + v) for v in nu]
        assert share == pytest.approx([share[-1] * i / 12 for i in range(13)], abs=1e-14)
    assert ends.grid(1, inner, shift) == [0.0, 1.0]


@each_path
@pytest.mark.parametrize("rho", ["ddpm", 0.4, -0.5, 1.0])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize(("t", "t_next"), [(0.0, 0.5), (0.25, 0.75), (0.5, 1.0)])
def test_transition_converges_to_the_exact_conditional_law(
    path: Path, rho: float | str, order: int, t: float, t_next: float
) -> None:
    flow = GaussianFlow(path)
    exact = correlation(path, t, t_next, rho)
    slope, spread = flow.transition_law(t, t_next, exact)
    errors = []
    for steps in (32, 64):
        sampler = Glass(1, steps, rho=rho, order=order)
        offset, found, std = transition_law(flow, sampler, t, t_next)
        # a linear denoiser's mean is kept by any number of steps
        assert found == pytest.approx(slope, abs=1e-12)
        mean, mean_next = flow.law(t)[0], flow.law(t_next)[0]
        assert offset == pytest.approx(mean_next - slope * mean, abs=1e-12)
        errors.append(abs(std - spread))
    # sbar = 0 makes the coefficients of second order singular at the end
    sharp = t_next == 1.0 or rho == 1.0
    assert errors[1] < (0.015 if order == 1 else 1e-3 if sharp else 2e-5)
    # second order's two leading terms have opposite signs here, so its rate is tested below
    if path is not DISCRETE and order == 1:
        assert 0.85 < math.log2(errors[0] / errors[1]) < 1.2


def test_second_order_reaches_two_where_the_end_is_sharp() -> None:
    flow = GaussianFlow()
    errors = [
        abs(transition_law(flow, Glass(1, m), 0.5, 1.0)[2] - flow.transition_law(0.5, 1.0, 0.0)[1])
        for m in (128, 256)
    ]
    assert 1.85 < math.log2(errors[0] / errors[1]) < 3.0


@each_path
@pytest.mark.parametrize(
    ("rho", "kappa"),
    [
        ("ddpm", 1.0),
        ("ddpm", 0.5),
        (0.4, 1.0),
        (-0.5, 1.0),
        (((0.0, "ddpm"), (0.3, 0.4), (0.7, -0.5)), 0.5),
    ],
)
def test_neighbours_have_the_correlation_of_rho(path: Path, rho: Rho, kappa: float) -> None:
    flow = GaussianFlow(path)
    laws = exact_laws(flow, Glass(4, 64, rho=rho, kappa=kappa))
    for here, there in itertools.pairwise(laws):
        alpha, sigma, _, _ = path.at(here.t)
        alpha_next, sigma_next, _, _ = path.at(there.t)
        value = correlation(path, here.t, there.t, rho, kappa)
        exact = alpha * alpha_next * flow.std**2 + value * sigma * sigma_next
        # second order with 64 steps: marginals are right to 1e-4, of which this is a product
        assert here.covariance(there) == pytest.approx(exact, abs=4e-4)


@pytest.mark.parametrize("rho", ["ddpm", 0.4, -1.0])
def test_one_transition_is_the_ode(rho: float | str) -> None:
    flow = MixtureFlow(planar_mixture())
    normal = Normals(3, (5, 2))
    x = normal()
    x_hat = flow.denoise(x, 0.0)
    out, fine = (
        Glass(rho=rho, order=order, inner=inner).transition(flow, x, x_hat, 0.0, 1.0, normal, calls)
        for order, inner, calls in ((1, "times", 7), (2, "snr", 200))
    )
    expected = Ode(method="euler").transition(flow, x, x_hat, 0.0, 1.0, normal, 7)
    assert torch.allclose(out, expected, rtol=0.0, atol=1e-12)
    # of second order they take z_hat as linear in other variables: they meet in the limit
    expected = Ode(method="multistep").transition(flow, x, x_hat, 0.0, 1.0, normal, 200)
    assert torch.allclose(fine, expected, rtol=0.0, atol=1e-3)


@each_path
@pytest.mark.parametrize("inner", ["snr", "s", "times"])
def test_one_transition_is_the_ode_at_the_inner_grids_times(path: Path, inner: str) -> None:
    flow, x = MixtureFlow(planar_mixture(), path), Normals(3, (5, 2))()
    glass, noise = Glass(order=1, inner=inner), Normals(4, (5, 2))
    out = glass.transition(flow, x, flow.denoise(x, 0.0), 0.0, 1.0, noise, 9)
    ends = InnerPath.from_noise(path)
    times = [ends.effective_time(s) for s in ends.grid(9, inner, 1.0)]
    assert times[0] == pytest.approx(0.0, abs=1e-12) and times[-1] == 1.0
    state = x
    for t, t_next in itertools.pairwise(times):
        w = step_weights(Node(*path.at(t)[:2], t), Node(*path.at(t_next)[:2], t_next))
        state = w.y * state + w.now * flow.denoise(state, t)
    assert torch.allclose(out, state, rtol=0.0, atol=1e-9)


@each_path
@each_interval
@pytest.mark.parametrize("rho", ["ddpm", 0.4, 1.0])
@pytest.mark.parametrize("order", [1, 2])
def test_one_inner_step_is_ddim(
    path: Path, t: float, t_next: float, rho: float | str, order: int
) -> None:
    flow, normal = MixtureFlow(planar_mixture(), path), Normals(7, (5, 2))
    x, noise = normal(), normal()
    z = flow.denoise(x, t)
    alpha, sigma, _, _ = path.at(t)
    alpha_next, sigma_next, _, _ = path.at(t_next)
    stochastic = sigma_next * math.sqrt(1.0 - correlation(path, t, t_next, rho) ** 2)
    direction = math.sqrt(max(sigma_next**2 - stochastic**2, 0.0)) * (x - alpha * z) / sigma
    ddim = alpha_next * z + direction + stochastic * noise
    glass = Glass(rho=rho, order=order)
    out = glass.transition(flow, x, z, t, t_next, lambda: noise, 1)
    assert torch.allclose(out, ddim, rtol=0.0, atol=1e-12)
    if rho == "ddpm":
        sde = Sde(method="ancestral")
        ancestral = sde.transition(flow, x, z, t, t_next, lambda: noise, 1)
        assert torch.allclose(out, ancestral, rtol=0.0, atol=1e-13)


@pytest.mark.parametrize("path", [CONDOT, VP, DISCRETE], ids=PATHS)
@pytest.mark.parametrize("rho", ["ddpm", 0.4, -0.5])
def test_transition_of_a_mixture_is_sampled_exactly(path: Path, rho: float | str) -> None:
    t, t_next, n = 0.45, 0.9, 4000
    flow, normal = MixtureFlow(planar_mixture(), path), Normals(11, (n, 2))
    uniform = torch.Generator().manual_seed(12)
    x = torch.tensor([[0.15, 0.1]], dtype=torch.float64).expand(n, 2)
    posterior = flow.mixture.posterior(path, x, t)
    assert float(posterior.log_w[0].exp().max()) < 0.95  # more than one mode is left
    inner = inner_path(path, t, t_next, rho)

    def exact() -> torch.Tensor:
        u = torch.rand(n, generator=uniform, dtype=torch.float64)
        z = posterior.sample(normal(), u)
        return inner.abar * z + inner.gamma * x + inner.sbar * normal()

    draws = [exact() for _ in range(4)]
    floor = [sliced_w2(a, b, 1) for i, a in enumerate(draws) for b in draws[:i]]
    glass, x_hat = Glass(rho=rho), flow.denoise(x, t)
    out = glass.transition(flow, x, x_hat, t, t_next, normal, 60)
    distance = sum(sliced_w2(out, draw, 1) for draw in draws) / 4
    # the distance between two exact clouds spreads by about a third of its mean
    assert distance < 1.6 * sum(floor) / len(floor)
    crude = glass.transition(flow, x, x_hat, t, t_next, normal, 1)
    assert sliced_w2(crude, draws[0], 1) > 4 * distance  # the measure does see a wrong law
