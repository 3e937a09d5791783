"""Evolutionary search: the law of its children, how near they are, and where they begin.

That more budget finds more, and how its tree is written, is in test_search.py.
"""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch
from searches import EMPTY, run
from worlds import VP, GaussianFlow, exact_laws, linear

from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.method.ode import Ode
from glass_cli.steering.base import Steering
from glass_cli.steering.evolution import Evolution
from glass_cli.steering.independent import BestOfN
from glass_cli.steering.loop import steer
from glass_cli.steering.node import reward_of
from glass_cli.steering.noise_search import NoiseSearch
from glass_cli.steering.search import Search
from glass_cli.steering.state import CountedFlow


@pytest.mark.parametrize("rules", [Evolution(first=1.0), NoiseSearch(method="random")])
@pytest.mark.parametrize("sampler", [Ode(4, 2), Glass(4, 2)])
def test_without_children_evolution_is_best_of_n(rules: Steering, sampler: Sampler) -> None:
    last = run(rules, sampler, 64, keep=8)[-1]
    noise = ParticleNoise(0, "p", 8, (1,), EMPTY)
    *_, best = steer(GaussianFlow(), sampler, BestOfN(), linear, noise, generator(0))
    assert torch.equal(last.particles.x.sort(0).values, best.particles.x.sort(0).values)
    assert last.nfe == 64


@pytest.mark.parametrize(
    "flow", [GaussianFlow(), pytest.param(GaussianFlow(VP), marks=pytest.mark.slow)]
)
def test_children_of_the_models_law_are_of_it(flow: GaussianFlow) -> None:
    """Without a choice between them (all rewards equal) a child is noised and drawn again: the
    mean and deviation of the law that the sampler gives."""
    sampler, count = Ode(10, 4), 400
    law = exact_laws(flow, sampler, exact_start=False)[-1]
    children = []
    for seed in range(count):
        rules = Evolution(first=0.4, parents=1, children=1, window=(0.3, 0.6))
        last = run(rules, sampler, 100, seed, keep=9, reward=lambda x: 0 * x[:, 0], flow=flow)[-1]
        assert len(last.particles.x) > 1
        children.append(last.particles.x[-1, 0])
    x = torch.stack(children)
    assert float(x.mean()) == pytest.approx(law.mean, abs=4 * law.std / count**0.5)
    assert float(x.std()) == pytest.approx(law.std, rel=4 / (2 * count) ** 0.5)


@pytest.mark.slow
def test_children_are_nearer_the_later_they_begin() -> None:
    """The correlation of child and parent is that of the forward noise, a^2 c^2 / law's variance,
    carried on by the ODE, which keeps ranks."""
    far = []
    for t in (0.25, 0.5, 0.75):
        pairs = []
        for seed in range(600):
            rules = Evolution(first=0.5, parents=1, children=1, window=(t, t))
            last = run(rules, Ode(4, 4), 32, seed, keep=9, reward=lambda x: 0 * x[:, 0])[-1]
            pairs.append(last.particles.x[:2, 0])
        found = float(torch.corrcoef(torch.stack(pairs).T)[0, 1])
        flow = GaussianFlow()
        alpha, *_ = flow.path.at(t)
        _, spread = flow.law(t)
        _, clean = flow.law(1.0)
        # x_t of the parent's forward noise: cov(x_1, x_t) = alpha c^2
        wanted = alpha * clean / spread
        far.append(found)
        assert found == pytest.approx(wanted, abs=4 * (1 - wanted**2) / 600**0.5 + 0.01), t
    assert far[0] < far[1] < far[2]


@pytest.mark.parametrize(("keep", "finished"), [(0.25, 2), (0.5, 4), (1.0, 8)])
def test_the_best_of_a_generation_are_finished(keep: float, finished: int) -> None:
    """Those of the highest reward of x_hat are, and each of the rest has cost one call."""
    rules = Evolution(first=0.5, parents=2, children=4, window=(0.5, 0.5), keep=keep)
    times, calls, pictures = (0.0, 0.25, 0.5, 0.75, 1.0), (2, 2, 2, 2), 8
    generation = 8 + finished * 3  # x_hat of each, and what is left of two transitions
    budget = pictures * 8 + generation
    flow, noise = CountedFlow(GaussianFlow()), ParticleNoise(0, "p", 1, (1,), EMPTY)
    share = replace(rules, first=pictures * 8 / budget)
    search = Search(flow, Ode(4, 2), linear, noise, times, calls, budget, 1, generator(0))
    list(share.search(search))
    children = search.levels[2][pictures:]
    assert len(children) == 8 and flow.calls == budget
    drawn_on = {node for node in children if node.children}
    assert len(drawn_on) == finished
    if keep < 1.0:
        assert drawn_on == {*sorted(children, key=lambda node: -reward_of(node))[:finished]}


def test_children_begin_at_the_nearest_transition() -> None:
    starts = Evolution(window=(0.3, 0.55))._starts
    assert starts((0.0, 0.2, 0.4, 0.5, 0.8, 1.0)) == [2, 3]
    assert starts((0.0, 0.2, 0.7, 1.0)) == [1]
    assert starts((0.0, 1.0)) == [0]
