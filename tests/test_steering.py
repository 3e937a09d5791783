"""Feynman-Kac steering: the tilted law, its bookkeeping, its cost.

On N(m, c^2) data with reward r(x) = x every quantity is known: exp(lam x) moves the mean by
lam c^2 and has log-normaliser lam m + lam^2 c^2/2. m and c are those of what the sampler really
draws (`worlds.exact_laws`), so that discretisation plays no part.
"""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from torch import Tensor
from worlds import GLASS, GaussianFlow, Normals, exact_laws, fk, linear, steered, transition_law

from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.ode import Ode
from glass_cli.steering.budget import planned_calls, run_calls
from glass_cli.steering.independent import BestOfN, NoSteering
from glass_cli.steering.loop import steer
from glass_cli.steering.particles import Particles

POTENTIALS = ("difference", "max", "sum", "immediate")
SCHEMES = ("systematic", "multinomial", "stratified", "residual", "ssp")
each_potential = pytest.mark.parametrize("potential", POTENTIALS)


@pytest.mark.parametrize("ess_threshold", [0.0, 0.5, 1.0])
@pytest.mark.parametrize("resampling", SCHEMES)
@each_potential
def test_a_gaussian_is_tilted(potential: str, resampling: str, ess_threshold: float) -> None:
    """Z-hat and Z-hat times the weighted mean are unbiased for any number of particles."""
    lam, particles, repeats = 1.2, 32, 60
    flow = GaussianFlow(mean=0.3, std=0.6)
    law = exact_laws(flow, GLASS, exact_start=False)[-1]
    mean, log_z = law.mean + lam * law.std**2, lam * law.mean + 0.5 * (lam * law.std) ** 2
    settings = fk(potential=potential, resampling=resampling, ess_threshold=ess_threshold, lam=lam)
    normal, choice = Normals(21, (particles, 1)), torch.Generator().manual_seed(22)
    z, zx = [], []
    for _ in range(repeats):
        *_, last = steer(flow, GLASS, settings, linear, normal, choice)
        z.append(math.exp(last.particles.log_normaliser - log_z))
        zx.append(z[-1] * float(last.particles.log_w.exp() @ (last.particles.x[:, 0] - mean)))
    for values, exact in ((z, 1.0), (zx, 0.0)):
        found = torch.tensor(values, dtype=torch.float64)
        error = float(found.std()) / repeats**0.5
        assert error < 0.06  # tight enough to see a lost tilt: lam c^2 is 0.43
        assert float(found.mean()) == pytest.approx(exact, abs=4 * error)


@each_potential
@pytest.mark.parametrize("ess_threshold", [0.0, 0.5, 1.0])
def test_potentials_telescope_along_every_lineage(potential: str, ess_threshold: float) -> None:
    lam = 2.0
    steps = steered(fk(potential=potential, lam=lam, ess_threshold=ess_threshold))
    last = steps[-1]
    assert last.rewards is not None
    assert torch.allclose(last.particles.log_g, lam * last.rewards, rtol=0.0, atol=1e-12)
    assert torch.equal(last.particles.past[-1], last.rewards)


@each_potential
def test_potentials_are_those_of_the_table(potential: str) -> None:
    r = torch.tensor([[0.5, -1.0], [0.2, 3.0], [-0.4, 2.0]], dtype=torch.float64)
    by_hand = {
        "difference": [[0.5, -1.0], [-0.3, 4.0], [-0.6, -1.0]],
        "max": [[0.5, -1.0], [0.5, 3.0], [-1.4, 0.0]],
        "sum": [[0.5, -1.0], [0.7, 2.0], [-1.6, 1.0]],
        "immediate": [[0.5, -1.0], [0.2, 3.0], [-1.1, 0.0]],
    }[potential]
    settings = fk(potential=potential, lam=3.0)
    x = torch.zeros(2, 1, dtype=torch.float64)
    clouds = [Particles.at_start(x, x)]
    clouds += [settings.weigh(clouds[0], r[0])]
    clouds += [settings.weigh(clouds[1], r[1])]
    clouds += [settings.finish(clouds[2], r[2])]
    found = torch.stack([b.log_g - a.log_g for a, b in itertools.pairwise(clouds)])
    assert torch.allclose(found, 3.0 * torch.tensor(by_hand, dtype=torch.float64), atol=1e-12)
    final = 3.0 * r[2]
    assert torch.allclose(clouds[-1].log_w, final.log_softmax(0), atol=1e-12)
    exact = float(final.logsumexp(0)) - math.log(2)
    assert clouds[-1].log_normaliser == pytest.approx(exact, abs=1e-12)


@each_potential
def test_without_resampling_weights_carry_over(potential: str) -> None:
    steps = steered(fk(potential=potential, lam=2.0, ess_threshold=0.0))
    assert all(step.ancestors is None for step in steps)
    last = steps[-1]
    assert last.rewards is not None
    assert torch.allclose(last.log_w, (2.0 * last.rewards).log_softmax(0), atol=1e-12)
    plain = steered(NoSteering(), None)
    assert torch.equal(last.particles.x, plain[-1].particles.x)
    exact = float((2.0 * last.rewards).logsumexp(0)) - math.log(6)
    assert last.particles.log_normaliser == pytest.approx(exact, abs=1e-12)


@pytest.mark.parametrize("resampling", ["systematic", "stratified", "residual"])
@pytest.mark.parametrize(("value", "level"), [("x_hat", 0.7), ("x_hat", 1e6), ("posterior", 0.7)])
@pytest.mark.parametrize(
    "sampler", [Glass(4, 3), Glass(4, 3, order=1, rho=0.4), Ode(3, 2)], ids=str
)
def test_a_constant_reward_changes_nothing(
    sampler: Sampler, value: str, level: float, resampling: str
) -> None:
    plain = steered(NoSteering(), None, particles=7, sampler=sampler)
    for potential, ess_threshold in itertools.product(POTENTIALS, (0.5, 1.0)):
        settings = fk(
            potential=potential, resampling=resampling, ess_threshold=ess_threshold, value=value
        )
        steps = steered(
            settings, lambda x: torch.full((len(x),), level), particles=7, sampler=sampler
        )
        for a, b in zip(plain, steps, strict=True):
            assert torch.equal(a.particles.x, b.particles.x)
        assert any(step.ancestors is not None for step in steps) == (ess_threshold == 1.0)
        assert steps[-1].particles.lineages == 7


@pytest.mark.parametrize(
    ("window", "every", "scored"),
    [
        ((0.0, 1.0), 1, [1, 2, 3, 4, 5, 6, 7]),
        ((0.0, 1.0), 3, [1, 4, 7]),
        ((0.25, 0.75), 1, [2, 3, 4, 5, 6]),
        ((0.25, 0.75), 2, [2, 4, 6]),  # counted within the window
        ((0.5, 0.5), 2, [4]),
        ((0.51, 0.52), 1, []),
    ],
)
def test_rewards_are_scored_in_the_window(
    window: tuple[float, float], every: int, scored: list[int]
) -> None:
    steps = steered(fk(window=window, every=every, ess_threshold=1.0), sampler=Glass(8, 1))
    assert [step.k for step in steps if step.rewards is not None] == [*scored, 8]
    assert [step.k for step in steps if step.ancestors is not None] == scored
    assert [step.t for step in steps] == pytest.approx([k / 8 for k in range(9)])


@pytest.mark.parametrize("transitions", [5, 10, 20])
def test_the_windows_ends_belong_to_it(transitions: int) -> None:
    steering = fk(window=(0.2, 0.6))
    times = Glass(transitions, 1).outer_times(GaussianFlow())  # 1 - 0.8 is below 0.2
    found = [k / transitions for k in steering.scored(times)]
    assert (found[0], found[-1]) == pytest.approx((0.2, 0.6))


def test_a_run_costs_n_k_m_calls() -> None:
    for steering in (fk(), fk(ess_threshold=1.0), BestOfN(), NoSteering()):
        for sampler in (Glass(4, 3), Ode(2, 5, "heun")):
            flow = GaussianFlow()
            steps = steered(steering, sampler=sampler, flow=flow)
            per_step = 6 * sampler.steps
            expected = [6 + k * per_step for k in range(len(steps) - 1)]
            assert [step.nfe for step in steps] == [*expected, (len(steps) - 1) * per_step]
            assert sum(n for _, n in flow.queries) == steps[-1].nfe


@pytest.mark.parametrize("scale", [1e-3, 1e4])
@pytest.mark.parametrize("settings", [{}, {"potential": "max"}, {"tempering": "ess"}])
def test_by_default_the_scale_of_a_reward_does_not_matter(
    settings: dict[str, object], scale: float
) -> None:
    """The same particles live on, and the same one is the answer; the offset of a reward has no
    say either."""

    def scaled(x: Tensor) -> Tensor:
        return scale * (x[:, 0] + 3.0)

    runs = [steered(fk(**settings), reward, particles=16) for reward in (linear, scaled)]
    resampled = 0
    for one, other in zip(*runs, strict=True):
        assert torch.equal(one.particles.x, other.particles.x)
        assert one.chosen == other.chosen
        assert torch.allclose(one.log_w, other.log_w, atol=1e-8)
        resampled += one.ancestors is not None
    assert resampled > 0


def test_posterior_values_cost_their_draws() -> None:
    settings = fk(value="posterior", value_samples=3, value_steps=4, every=2)
    steps = steered(settings, sampler=Glass(6, 2))
    scored = sum(step.rewards is not None for step in steps[:-1])
    assert scored == 3
    assert steps[-1].nfe == 6 * 6 * 2 + 3 * 6 * (4 - 1) * scored
    times = Glass(6, 2).outer_times(GaussianFlow())
    assert steps[-1].nfe == planned_calls(settings, times, 6, (2,) * 6)


@pytest.mark.parametrize("sizes", [(2, 4, 8, 6), (8, 4, 2, 2), (3, 6, 3, 9)])
def test_posterior_values_of_a_changing_number_stay_within_the_budget(
    sizes: tuple[int, ...],
) -> None:
    """They are those of all that arrive, not of as many as began."""
    settings = fk(value="posterior", value_samples=2, value_steps=3, sizes=sizes)
    sampler, flow = Glass(4), GaussianFlow()
    times, budget = sampler.outer_times(flow), 160
    calls = run_calls(sampler, settings, times, sizes[0], budget=budget)
    steps = steered(settings, particles=sizes[0], sampler=sampler, calls=calls)
    assert steps[-1].nfe == planned_calls(settings, times, sizes[0], calls)
    assert budget - max(sizes) < steps[-1].nfe <= budget


@pytest.mark.parametrize("t", [0.2, 0.6])
def test_posterior_value_is_unbiased_for_exp(t: float) -> None:
    """exp(lam V-hat) has mean E[exp(lam z) | x_t], V_t = D + lam v/2 on a Gaussian."""
    lam, n, flow = 1.5, 10_000, GaussianFlow()
    x = torch.full((n, 1), 0.4, dtype=torch.float64)
    x_hat = flow.denoise(x, t)
    settings = fk(value="posterior", value_samples=2, value_steps=48, lam=lam)
    found = settings.rewards(flow, Particles.at_start(x, x_hat), t, linear, Normals(31, (n, 1)))
    _, spread = flow.transition_law(t, 1.0, 0.0)
    exact = float(x_hat[0]) + lam * spread**2 / 2
    # the inner ODE's own spread, so that only Monte-Carlo error is left
    drawn = transition_law(flow, Glass(1, 48), t, 1.0)[2]
    ratio = (lam * (found - float(x_hat[0]) - lam * drawn**2 / 2)).exp()
    assert float(ratio.mean()) == pytest.approx(1.0, abs=4 * float(ratio.std()) / n**0.5)
    assert lam * drawn**2 / 2 + float(x_hat[0]) == pytest.approx(exact, abs=3e-3)


def test_more_posterior_draws_reach_the_value() -> None:
    lam, n, t, flow = 1.5, 50, 0.3, GaussianFlow()
    x = torch.full((n, 1), 0.4, dtype=torch.float64)
    x_hat = flow.denoise(x, t)
    settings = fk(value="posterior", value_samples=100, value_steps=6, lam=lam)
    found = settings.rewards(flow, Particles.at_start(x, x_hat), t, linear, Normals(32, (n, 1)))
    drawn = transition_law(flow, Glass(1, 6), t, 1.0)[2]
    exact = float(x_hat[0]) + lam * drawn**2 / 2
    # log-mean-exp of J draws is low by (exp(lam^2 v) - 1)/(2 lam J) to first order, below 0.004
    assert float(found.mean()) == pytest.approx(exact, abs=0.004 + 4 * float(found.std()) / n**0.5)


def test_lam_zero_needs_no_posterior_draws() -> None:
    steps = steered(fk(value="posterior", lam=0.0))
    assert steps[-1].nfe == 6 * 4 * 2
    assert torch.equal(steps[-1].particles.x, steered(NoSteering(), None)[-1].particles.x)
