"""Steerings that search: what they aim at in closed form, what they spend, how they are written."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from searches import EMPTY, run
from worlds import VP, GaussianFlow, exact_laws, linear

from glass_cli.method.budget import transition_calls
from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.method.ode import Ode
from glass_cli.method.sde import Sde
from glass_cli.steering.base import Steering
from glass_cli.steering.depth_first import DepthFirst
from glass_cli.steering.evolution import Evolution
from glass_cli.steering.independent import BestOfN
from glass_cli.steering.loop import steer
from glass_cli.steering.noise_search import NoiseSearch
from glass_cli.steering.offspring import BestOffspring
from glass_cli.steering.rollover import RolloverBudget
from glass_cli.steering.tree_sampling import TreeSampling

SAMPLERS: dict[str, Sampler] = {
    "glass": Glass(4, 2),
    "sde": Sde(4, 2, method="ancestral"),
    "ode": Ode(4, 2),
}
SEARCHES: dict[str, Steering] = {
    "rbf": RolloverBudget(),
    "rbf_batch": RolloverBudget(at_once=3),
    "zero_order": NoiseSearch(),
    "random": NoiseSearch(method="random"),
    "dfs": DepthFirst(),
    "evolution": Evolution(),
    "evolution_kept": Evolution(children=4, keep=0.25),
    "dts": TreeSampling(lam=2.0),
    "dts_star": TreeSampling(lam=2.0, method="search"),
}
PARTICLES: dict[str, Steering] = {
    "svdd": BestOffspring(),
    "best_of_n": BestOfN(),
    "best_of_n_halving": BestOfN(sizes="halving"),
}
# a sampler without noise has no offspring
WITH_ODE = ("zero_order", "random", "dfs", "evolution", "evolution_kept")
PAIRS = [(n, s) for n in SEARCHES for s in SAMPLERS if s != "ode" or n in WITH_ODE]


@pytest.mark.parametrize(("name", "sampler"), PAIRS)
def test_more_budget_finds_more(name: str, sampler: str) -> None:
    """The mean best reward over 40 seeds rises with the budget, by more than its error, and falls
    nowhere; nothing is spent beyond it, and one picture's calls suffice."""
    means, errors = [], []
    for budget in (8, 32, 128):
        best = []
        for seed in range(40):
            flow = GaussianFlow()
            last = run(SEARCHES[name], SAMPLERS[sampler], budget, seed, flow=flow)[-1]
            made = sum(n for _, n in flow.queries)
            assert made == last.nfe <= budget
            assert last.chosen is not None and last.rewards is not None
            best.append(float(last.rewards[last.chosen]))
        means.append(sum(best) / len(best))
        errors.append(float(torch.tensor(best).std()) / len(best) ** 0.5)
    for i in (0, 1):
        assert means[i + 1] > means[i] - 2 * math.hypot(errors[i], errors[i + 1]), means
    assert means[2] > means[0] + 4 * math.hypot(errors[0], errors[2]), means


@pytest.mark.parametrize(
    ("name", "sampler"), [(n, s) for n in PARTICLES for s in SAMPLERS if (n, s) != ("svdd", "ode")]
)
def test_more_particles_find_more(name: str, sampler: str) -> None:
    """As with the budget of a search, by more than its error."""
    means, errors = [], []
    for particles in (4, 16, 64):
        best = []
        for seed in range(40):
            noise = ParticleNoise(seed, "p", particles, (1,), EMPTY)
            choice = generator(seed, "choices")
            flow, rules = GaussianFlow(), PARTICLES[name]
            *_, last = steer(flow, SAMPLERS[sampler], rules, linear, noise, choice)
            assert last.chosen is not None and last.rewards is not None
            best.append(float(last.rewards[last.chosen]))
        means.append(sum(best) / len(best))
        errors.append(float(torch.tensor(best).std()) / len(best) ** 0.5)
    for i in (0, 1):
        assert means[i + 1] > means[i] + math.hypot(errors[i], errors[i + 1]), means
    assert means[2] > means[0] + 4 * math.hypot(errors[0], errors[2]), means


def test_a_family_follows_its_best() -> None:
    """Families never mix, and everyone of a family goes on from its best one."""
    noise = ParticleNoise(0, "p", 12, (1,), EMPTY)
    steps = list(
        steer(GaussianFlow(), Glass(4, 2), BestOffspring(offspring=3), linear, noise, generator(0))
    )
    for step in steps[1:-1]:
        assert step.rewards is not None and step.ancestors is not None
        best = step.rewards.view(4, 3).argmax(1) + torch.arange(4) * 3
        assert torch.equal(step.ancestors, best.repeat_interleave(3))
    assert torch.equal(steps[-1].particles.lineage // 3, torch.arange(4).repeat_interleave(3))


def test_a_family_draws_by_the_reward() -> None:
    """The share of each offspring is exp(r / temperature) over its family's sum."""
    from glass_cli.steering.particles import Particles

    r = torch.tensor([0.0, 1.0, 2.0, -1.0], dtype=torch.float64)
    x = torch.zeros(4, 1)
    scored = Particles.at_start(x, x).scored(r)
    rules = BestOffspring(offspring=4, temperature=1 / 1.3)
    grid = (torch.arange(4000, dtype=torch.float64) + 0.5) / 4000
    taken = [int(rules.ancestors(scored, u.repeat(4), 4)[0]) for u in grid]  # type: ignore[index]
    share = torch.bincount(torch.tensor(taken), minlength=4) / 4000
    assert torch.allclose(share.double(), (1.3 * r).softmax(0), atol=1 / 2000)


@pytest.mark.parametrize("sampler", ["glass", pytest.param("sde", marks=pytest.mark.slow)])
def test_tree_sampling_tilts_a_gaussian(sampler: str) -> None:
    """The mean of exp(lam v) at the top, and the mean over the leaves' weights, are those of the
    tilted law up to the bias of a tree that grows where its values are high.

    N(m, c^2) data and r(x) = x: exp(lam x) has log-normaliser lam m + lam^2 c^2/2 and moves the
    mean by lam c^2 = 0.43. Where a state looks good by chance it is visited again and found to be
    worse, where it looks bad it is not: over 600 roll-outs this is 0.04 of Z and 0.02 to 0.04 of
    the mean here (0.1 of both with power = 0.5, which shrinks no further), for which the bound has
    0.06 beside four standard errors over 16 trees.
    """
    lam, flow = 1.2, GaussianFlow(mean=0.3, std=0.6)
    law = exact_laws(flow, SAMPLERS[sampler], exact_start=False)[-1]
    mean, log_z = law.mean + lam * law.std**2, lam * law.mean + 0.5 * (lam * law.std) ** 2
    rules = TreeSampling(lam=lam, power=0.3)
    z, x = [], []
    for seed in range(16):
        steps = run(rules, SAMPLERS[sampler], 1600, seed, keep=10_000, flow=flow)
        assert steps[0].rewards is not None
        log_mean = float((lam * steps[0].rewards).logsumexp(0)) - math.log(len(steps[0].rewards))
        z.append(math.exp(log_mean - log_z))
        x.append(float(steps[-1].log_w.exp() @ steps[-1].particles.x[:, 0]))
    for values, exact in ((z, 1.0), (x, mean)):
        found = torch.tensor(values)
        error = float(found.std()) / len(values) ** 0.5
        assert float(found.mean()) == pytest.approx(exact, abs=4 * error + 0.06)
        assert error < 0.02


@pytest.mark.parametrize("method", ["sample", "search"])
def test_a_tree_shares_its_trunk(method: str) -> None:
    """Roll-outs share what lies above where they part: more pictures than the budget has whole
    ones, from fewer starts, and better than as many independent calls find."""
    best, alone = [], []
    for seed in range(40):
        rules = TreeSampling(lam=3.0, method=method)
        steps = run(rules, Glass(4, 2), 320, seed, keep=10_000)
        finals, starts = len(steps[-1].log_w), len(steps[0].log_w)
        assert finals > 40 and starts <= 4 + math.ceil(finals**0.5)
        best.append(float(steps[-1].particles.x.max()))
        alone.append(float(run(NoiseSearch(method="random"), Glass(4, 2), 320, seed)[-1].rewards))  # type: ignore[arg-type]
    gains = torch.tensor(best) - torch.tensor(alone)
    assert float(gains.mean()) > 2 * float(gains.std()) / 40**0.5


def test_tree_sampling_draws_by_the_leaves_weights() -> None:
    chosen = []
    for seed in range(60):
        last = run(TreeSampling(lam=1.0, select="draw"), Glass(4, 2), 80, seed, keep=1000)[-1]
        assert last.chosen is not None
        chosen.append(float(last.log_w.exp()[last.chosen] * len(last.log_w)))
    # under its own weights w the mean of n w is n sum w^2 >= 1, under equal ones it is 1
    assert sum(chosen) / len(chosen) > 1.1


def test_random_search_is_best_of_n() -> None:
    """The same pictures, to the bit, as independent particles of the same seed."""
    sampler = Glass(4, 2)
    steps = run(NoiseSearch(method="random", neighbours=3), sampler, 64, keep=8)
    noise = ParticleNoise(0, "p", 8, (1,), EMPTY)
    *_, last = steer(GaussianFlow(), sampler, BestOfN(), linear, noise, generator(0))
    assert torch.equal(steps[-1].particles.x, last.particles.x)
    assert steps[-1].chosen == last.chosen and steps[-1].nfe == last.nfe == 64


def test_neighbours_are_normal_and_near() -> None:
    """Noise near another's is standard normal, with correlation sqrt(1 - radius^2)."""
    starts = []
    for seed in range(1500):
        rules = NoiseSearch(neighbours=1, radius=0.6)
        steps = run(rules, Ode(1, 1), 2, seed, keep=2, reward=lambda x: 0.0 * x[:, 0])
        starts.append(steps[0].particles.x[:, 0])
    pairs = torch.stack(starts)
    assert float(pairs[:, 1].std()) == pytest.approx(1.0, abs=4 * 0.5**0.5 / 1500**0.5)
    found = float(torch.corrcoef(pairs.T)[0, 1])
    assert found == pytest.approx(0.8, abs=4 * (1 - 0.64) / 1500**0.5)


def test_a_threshold_ends_the_search() -> None:
    """A picture that is good enough saves what is left of the budget."""
    nfe = [run(DepthFirst(threshold=0.0), Glass(4, 2), 400, seed)[-1].nfe for seed in range(20)]
    assert sum(nfe) / len(nfe) < 200
    easy = run(DepthFirst(threshold=-100.0), Glass(4, 2), 400)[-1]
    assert easy.nfe == 8 and len(easy.log_w) == 1


def test_going_back_keeps_the_law() -> None:
    """x_s drawn from x_t by forward noising has the law of x_s: mean and deviation."""
    from glass_cli.steering.node import Node
    from glass_cli.steering.search import Search
    from glass_cli.steering.state import CountedFlow

    for path_flow in (GaussianFlow(), GaussianFlow(VP)):
        times = (0.0, 0.3, 0.7, 1.0)
        noise = ParticleNoise(0, "p", 1, (20_000,), EMPTY)
        search = Search(
            CountedFlow(path_flow), Glass(3, 1), linear, noise, times, (1, 1, 1), 9, 1, generator(0)
        )
        mean, std = path_flow.law(0.7)
        x = mean + std * torch.randn(20_000, dtype=torch.float64, generator=generator(1))
        back = search.noised(Node(2, x, 0), 1)
        wanted, spread = path_flow.law(0.3)
        assert float(back.x.mean()) == pytest.approx(wanted, abs=4 * spread / 20_000**0.5)
        assert float(back.x.std()) == pytest.approx(spread, rel=4 / 40_000**0.5)


@pytest.mark.parametrize("name", SEARCHES)
def test_the_tree_is_written_as_steps(name: str) -> None:
    """Every state but a start is a copy of one of the time before, and costs add up."""
    steps = run(SEARCHES[name], Glass(4, 3), 200, keep=3)
    assert [step.k for step in steps] == [0, 1, 2, 3, 4]
    for step, following in itertools.pairwise(steps):
        assert step.ancestors is not None and step.t < following.t
        assert len(step.ancestors) == len(following.log_w) == len(step.particles.x)
        assert int(step.ancestors.max()) < len(step.log_w)
        assert step.nfe < following.nfe
    assert len(steps[-1].log_w) <= 3 and steps[-1].nfe <= 200
    assert float(steps[-1].log_w.exp().sum()) == pytest.approx(1.0)
    assert torch.equal(steps[-1].rewards, steps[-1].particles.x[:, 0])  # type: ignore[arg-type]


def test_a_budget_below_one_picture_is_refused() -> None:
    with pytest.raises(ValueError, match="budget=7"):
        run(RolloverBudget(), Glass(4, 2), 7)


def test_calls_of_a_run_without_budget_are_shared() -> None:
    """particles x calls is the budget of a search, as of every other steering."""
    noise = ParticleNoise(0, "p", 5, (1,), EMPTY)
    calls = transition_calls(Glass(4), 4, 8)
    *_, last = steer(
        GaussianFlow(), Glass(4), NoiseSearch(), linear, noise, generator(0), calls=calls
    )
    assert last.nfe == 40
