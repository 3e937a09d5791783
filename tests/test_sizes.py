"""Numbers of particles that change on the way, and lam that does: the law aimed at stays."""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import pytest
import torch
from worlds import (
    GLASS,
    GaussianFlow,
    exact_laws,
    fk,
    linear,
    stable_diffusion_table,
    steered,
)

from glass_cli.config.build import build
from glass_cli.config.choice_files import choice_settings
from glass_cli.launch import launch
from glass_cli.method.budget import picture_calls
from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise
from glass_cli.method.ode import Ode
from glass_cli.method.path import DiscreteVP
from glass_cli.method.sde import Sde
from glass_cli.output.reader import read_run
from glass_cli.report.tree import tree_of
from glass_cli.steering.budget import planned_calls, run_calls
from glass_cli.steering.feynman_kac import lam_of_ess
from glass_cli.steering.independent import BestOfN
from glass_cli.steering.loop import steer
from glass_cli.steering.particles import Particles
from glass_cli.steering.sizes import of_ess, steering_sizes

EMPTY = torch.empty(0, dtype=torch.float64)
SDE = Sde(4, 2, method="ancestral")
BREADTH_FIRST: dict[str, object] = {
    "potential": "max",
    "tempering": "linear",
    "resampling": "ssp",
    "ess_threshold": 1.0,
}


@pytest.mark.parametrize("sampler", [GLASS, SDE], ids=["glass", "sde"])
@pytest.mark.parametrize("way", ["constant", "linear", "ess", "bfs"])
@pytest.mark.parametrize("sizes", [None, (24, 18, 12, 9), (12, 18, 30, 40), "ess"])
def test_a_gaussian_is_tilted(
    way: str, sizes: tuple[int, ...] | Literal["ess"] | None, sampler: Sampler
) -> None:
    """Z-hat, and Z-hat times the weighted mean, are unbiased whatever the numbers.

    For N(m, c^2) data and r(x) = x, exp(lam x) moves the mean by lam c^2 and has log-normaliser
    lam m + lam^2 c^2/2. Tempering by ESS, and numbers by it, adapt to the particles, which biases
    both by O(1/N): the bound has 1/24 for that.

    way: a tempering, or bfs.yaml's settings.
    """
    lam, repeats = 1.2, 80
    flow = GaussianFlow(mean=0.3, std=0.6)
    law = exact_laws(flow, sampler, exact_start=False)[-1]
    mean, log_z = law.mean + lam * law.std**2, lam * law.mean + 0.5 * (lam * law.std) ** 2
    chosen = BREADTH_FIRST if way == "bfs" else {"tempering": way}
    settings = fk(**{"resampling": "ssp", **chosen}, sizes=sizes, lam=lam)
    z, zx = [], []
    for seed in range(repeats):
        begin = sizes[0] if isinstance(sizes, tuple) else 24
        noise = ParticleNoise(seed, "a", begin, (1,), EMPTY)
        choice = torch.Generator().manual_seed(seed)
        *_, last = steer(flow, sampler, settings, linear, noise, choice)
        z.append(math.exp(last.particles.log_normaliser - log_z))
        zx.append(z[-1] * float(last.particles.log_w.exp() @ (last.particles.x[:, 0] - mean)))
    bias = 1.0 / 24.0 if "ess" in (way, sizes) else 0.0
    for values, exact in ((z, 1.0), (zx, 0.0)):
        found = torch.tensor(values, dtype=torch.float64)
        error = float(found.std()) / repeats**0.5
        assert error < 0.08
        assert float(found.mean()) == pytest.approx(exact, abs=4 * error + bias)


def test_numbers_and_calls_are_those_asked_for() -> None:
    flow = GaussianFlow()
    steps = steered(fk(sizes=(6, 9, 4, 2), lam=1.0), flow=flow, particles=6)
    assert [len(step.log_w) for step in steps] == [6, 6, 9, 4, 2]
    assert [len(step.particles.x) for step in steps] == [6, 9, 4, 2, 2]
    # GLASS(4, 2): x_hat is the first of two calls; the arriving number pays for it
    assert [n for _, n in flow.queries] == [6, 6, 6, 9, 9, 4, 4, 2]
    assert steps[-1].nfe == sum(n for _, n in flow.queries)
    changed = [step.ancestors for step in steps if step.ancestors is not None]
    assert [len(a) for a in changed] == [9, 4, 2]


@pytest.mark.parametrize("value", ["x_hat", "posterior"])
@pytest.mark.parametrize("budget", [100, 160, 333])
def test_what_fewer_particles_save_makes_later_transitions_longer(budget: int, value: str) -> None:
    """As many go on as twice the ESS, nothing is spent beyond the budget, and nothing is left of it
    that would buy the last transition another call."""
    settings = fk(sizes="ess", lam=15.0, value=value, value_samples=1, value_steps=2)
    sampler, fewer, longer = Glass(4), 0, 0
    for seed in range(20):
        flow = GaussianFlow()
        times = sampler.outer_times(flow)
        calls = run_calls(sampler, settings, times, 8, budget=budget)
        assert planned_calls(settings, times, 8, calls) <= budget
        steps = steered(
            settings, sampler=sampler, particles=8, seed=seed, flow=flow, calls=calls, budget=budget
        )
        made = sum(n for _, n in flow.queries)
        last = len(steps[-1].log_w)
        assert made == steps[-1].nfe and budget - last < made <= budget
        for step in steps[1:-1]:
            assert len(step.particles.x) <= of_ess(step.ess, 8)
            fewer += len(step.particles.x) < len(step.log_w)
        spent = [b.nfe - a.nfe for a, b in itertools.pairwise(steps)]
        longer += spent[-1] > last * calls[-1]
    assert fewer > 20 and longer > 10


def test_a_model_of_few_times_is_asked_no_more_often_than_it_knows() -> None:
    """A last transition from t=.9 of a model that was trained at 40 times has 3 of them."""
    flow = GaussianFlow(DiscreteVP(stable_diffusion_table(40)))
    sampler, settings = Glass(times=(0.0, 0.3, 0.6, 0.9, 1.0)), fk(sizes="ess", lam=50.0)
    calls = run_calls(sampler, settings, (0.0, 0.3, 0.6, 0.9, 1.0), 20, budget=240)
    for seed in range(10):
        steps = steered(
            settings, sampler=sampler, particles=20, seed=seed, flow=flow, calls=calls, budget=240
        )
        assert len(steps[-1].log_w) < 20 and steps[-1].nfe <= 240


def test_the_first_transition_is_as_planned() -> None:
    """Where an SDE begins depends on its calls."""
    flow, sampler, settings = GaussianFlow(), Sde(5), fk(sizes="ess", lam=15.0)
    calls = run_calls(sampler, settings, sampler.outer_times(flow), 8, budget=170)
    assert calls == (5, 4, 4, 4, 4)
    steps = steered(settings, sampler=sampler, particles=8, flow=flow, calls=calls, budget=170)
    assert steps[1].nfe == 8 * (5 + 1)


def test_how_many_go_on_is_one_or_more() -> None:
    @dataclass(frozen=True)
    class Empty(BestOfN):
        adapts = True

        def scored(self, times: Sequence[float]) -> list[int]:
            return [1]

        def size_now(self, particles: Particles, start: int) -> int:
            return 0

    with pytest.raises(ValueError, match=r"Empty\.size_now gave 0, not 1 or more"):
        steered(Empty())


def test_calls_that_are_asked_for_one_by_one_stay() -> None:
    """With sampler.steps what is unspent is saved."""
    steps = steered(fk(sizes="ess", lam=15.0), particles=12, sampler=Glass(4, 3))
    sizes = [len(step.particles.x) for step in steps[:-1]]
    assert min(sizes) < 12
    assert steps[-1].nfe == picture_calls((3,) * 4, sizes)


def test_a_slot_keeps_its_noise() -> None:
    """Particles that go on in the same slots draw what they would have drawn among more."""
    noise = ParticleNoise(3, "a", 5, (2,), EMPTY)
    other = ParticleNoise(3, "a", 5, (2,), EMPTY)
    first, second = noise(), noise(3)
    assert torch.equal(other(), first)
    assert torch.equal(other(5)[:3], second)
    assert torch.equal(noise.of([4]), ParticleNoise(3, "a", 5, (2,), EMPTY).of([4, 4])[1:])


def test_best_of_n_has_no_weights_to_decide_by() -> None:
    with pytest.raises(ValueError, match=r"null, halving or a list .*got ess"):
        BestOfN(sizes="ess")  # type: ignore[arg-type]


def test_best_of_n_drops_the_worst_half_by_half() -> None:
    flow = GaussianFlow()
    steps = steered(BestOfN(sizes="halving"), particles=9, sampler=Ode(4, 1), flow=flow)
    assert [len(step.particles.x) for step in steps] == [9, 4, 2, 1, 1]
    for step in steps[1:-1]:
        assert step.rewards is not None and step.ancestors is not None
        gone = sorted(set(range(len(step.rewards))) - set(step.ancestors.tolist()))
        assert step.rewards[step.ancestors].min() >= step.rewards[gone].max()
    # with the ODE and a linear reward x_hat's order is the final one: nothing is lost
    whole = steered(BestOfN(), particles=9, sampler=Ode(4, 1))
    best = whole[-1].particles.x[whole[-1].chosen]
    assert torch.equal(steps[-1].particles.x[0], best)
    assert sum(n for _, n in flow.queries) == 9 + 9 + 4 + 2


def test_breadth_first_search_is_such_a_way() -> None:
    settings = choice_settings("steering", "bfs", {"lam": 1.0})
    assert build(settings, "steering") == fk(**BREADTH_FIRST, lam=1.0)


def test_lam_leaves_the_effective_sample_size() -> None:
    r = torch.linspace(-1.0, 2.0, 20, dtype=torch.float64)
    flat = torch.full((20,), -math.log(20.0), dtype=torch.float64)
    lam = lam_of_ess(flat, lambda value: value * r, 50.0, 10.0)
    w = (lam * r).softmax(0)
    assert float(1.0 / (w * w).sum()) == pytest.approx(10.0, rel=1e-6)
    assert lam_of_ess(flat, lambda value: value * r, 0.1, 10.0) == 0.1
    one = torch.full((20,), -1e9, dtype=torch.float64)
    one[3] = 0.0
    assert lam_of_ess(one, lambda value: value * r, 5.0, 10.0) == pytest.approx(0.0, abs=1e-12)


def test_linear_tempering_is_lam_t() -> None:
    steps = steered(fk(tempering="linear", lam=2.0, ess_threshold=0.0))
    for before, step in itertools.pairwise(steps):
        assert step.rewards is not None
        scale = 2.0 * step.t
        assert torch.allclose(step.particles.log_g, scale * step.rewards, atol=1e-12)
        assert before.t < step.t


@pytest.mark.parametrize(
    ("sizes", "said"),
    [
        ((8, 4), "must be 4 numbers"),
        ((5, 4, 3, 2), "the first of them particles=8"),
        ((8, 4, 0, 1), "1 or more"),
        ("half", "null, halving"),
        ((), "or a list such as"),
    ],
)
@pytest.mark.parametrize("kind", [BestOfN, fk])
def test_what_cannot_be_is_one_line(kind: type, sizes: object, said: str) -> None:
    with pytest.raises(ValueError, match=said) as caught:
        steering_sizes(kind(sizes=sizes), 4, 8)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize(
    "words",
    [
        ["sampler=ode", "sampler.transitions=5", "steering=best_of_n", "steering.sizes=halving"],
        ["steering.sizes=[8,6,9,3,2]", "steering.tempering=ess", "steering.lam=3"],
        ["steering.sizes=ess", "steering.lam=3"],
    ],
)
def test_a_run_is_recorded_and_reported(
    words: list[str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Steps of changing numbers go through the files, the reader and the particle tree."""
    monkeypatch.chdir(tmp_path)
    run = [*words, "model=gaussian_mixture", "wandb.mode=disabled", "calls=10", "particles=8"]
    assert launch([*run, "hydra.run.dir=run"]) == 0
    (result,) = read_run(Path("run")).results
    numbers = [len(step.weights or ()) for step in result.steps]
    if words[0] == "steering.sizes=ess":
        assert numbers[:2] == [8, 8] and min(numbers) < 8 and result.nfe <= 80
    else:
        assert numbers in ([8, 8, 4, 2, 1, 1], [8, 8, 6, 9, 3, 2])
    assert len(result.rewards) == numbers[-1]
    tree = tree_of(result)
    assert tree.size == max(numbers)
    for column, before in zip(tree.columns[1:], tree.columns, strict=False):
        assert all(node.parent is not None and node.parent < len(before) for node in column)
    assert all(node.lives for node in tree.columns[-1])


def test_sizes_that_cannot_be_are_refused_before_anything(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    assert launch(["model=gaussian_mixture", "steering.sizes=[8,4]"]) == 2
    assert "must be 5 numbers of 1 or more" in capsys.readouterr().err
    assert not Path("outputs").exists()
