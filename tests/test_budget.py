"""The calls of a run: every one that is asked for is spent, and no more."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
import torch
from conftest import REPOSITORY
from worlds import GaussianFlow, fk, linear

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import read_arguments
from glass_cli.config.preflight import preflight
from glass_cli.method.budget import check_calls, share_calls, transition_calls
from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.method.ode import Ode
from glass_cli.method.sde import Sde
from glass_cli.steering.independent import NoSteering
from glass_cli.steering.loop import steer

SAMPLERS: list[Sampler] = [
    Glass(5),
    Glass(5, order=1, inner="times"),
    Ode(1),
    Ode(5, method="euler"),
    Ode(5, method="heun"),
    Sde(5),
    Sde(5, method="ancestral"),
    Glass(times=(0.0, 0.1, 0.4, 1.0)),
]


@pytest.mark.parametrize(
    ("total", "transitions"), [*itertools.product((12, 20, 23, 60), (1, 5, 12))]
)
def test_calls_are_shared_evenly_and_all_given_out(total: int, transitions: int) -> None:
    shares = share_calls(total, transitions)
    assert len(shares) == transitions and sum(shares) == total
    assert max(shares) - min(shares) <= 1 and list(shares) == sorted(shares, reverse=True)


@pytest.mark.parametrize("total", [5, 20, 23])
@pytest.mark.parametrize("sampler", SAMPLERS, ids=str)
def test_a_run_spends_what_it_is_given(sampler: Sampler, total: int) -> None:
    flow, like = GaussianFlow(), torch.empty(0, dtype=torch.float64)
    calls = transition_calls(sampler, len(sampler.outer_times(flow)) - 1, total)
    noise = ParticleNoise(0, "", 8, (1,), like)
    *_, last = steer(flow, sampler, fk(), linear, noise, generator(0), calls=calls)
    assert last.nfe == 8 * total == sum(n for _, n in flow.queries)


def test_calls_that_divide_are_the_samplers_steps() -> None:
    like, found = torch.empty(0, dtype=torch.float64), []
    for sampler, calls in ((Sde(5), (4,) * 5), (Sde(5, 4), None)):
        noise = ParticleNoise(0, "", 3, (1,), like)
        *_, last = steer(
            GaussianFlow(), sampler, NoSteering(), None, noise, generator(0), calls=calls
        )
        found.append(last.particles.x)
    assert torch.equal(*found)


def test_where_the_number_of_calls_comes_from() -> None:
    assert transition_calls(Glass(3), 3, None, 50) == (17, 17, 16)  # the model's own
    assert transition_calls(Glass(5), 5, None, 4) == (1,) * 5  # a default, which is raised
    assert transition_calls(Glass(3, 4), 3, None, 50) == (4, 4, 4)
    assert transition_calls(Glass(3, 4), 3, 12, 50) == (4, 4, 4)
    with pytest.raises(ValueError, match="is not set; give the sampler steps, or calls"):
        transition_calls(Glass(3), 3)


@pytest.mark.parametrize(
    ("sampler", "calls", "shown"),
    [
        (
            Glass(5),
            3,
            "calls=3 are fewer than the 5 transitions, which take one each at least; use"
            " sampler.transitions=3",
        ),
        (
            Sde(times=(0.0, 0.1, 0.5, 1.0)),
            2,
            "calls=2 are fewer than the 3 transitions of sampler.times, which take one each at"
            " least; use calls=3 or fewer times",
        ),
        (
            Glass(5, 4),
            25,
            "sampler.steps=4 gives 5 transitions 20 calls in all, not calls=25; set only one of"
            " the two",
        ),
    ],
)
def test_what_cannot_be_is_one_line(sampler: Sampler, calls: int, shown: str) -> None:
    with pytest.raises(ValueError) as refused:
        check_calls(sampler, calls)
    assert str(refused.value) == shown
    check_calls(sampler, None)


@pytest.mark.parametrize(
    ("words", "shown"),
    [
        (
            ["calls=3"],
            "fewer than the 5 transitions, which take one each at least; use sampler.tra",
        ),
        (["calls=3", "sampler.transitions=4"], "fewer than the 4 transitions"),
        (["calls=2", "sampler.times=[0,0.1,0.2,1]"], "3 transitions of sampler.times"),
        (["calls=3", "sampler.times=auto"], "fewer than the 5 transitions"),
        (["calls=30", "sampler.steps=4"], "not calls=30; set only one of the two"),
    ],
)
def test_the_command_line_says_so_before_anything_is_made(
    words: list[str], shown: str, tmp_path: Path
) -> None:
    folder = tmp_path / "run"
    words = ["model=gaussian_mixture", *words, f"hydra.run.dir={folder}"]
    with pytest.raises(GlassError) as refused:
        preflight(read_arguments(words, False, "config"), REPOSITORY / "conf")
    assert shown in str(refused.value) and "\n" not in str(refused.value)
    assert not folder.exists()


@pytest.mark.parametrize("calls", [(3, 3), (3, 3, 0)])
def test_a_loop_wants_calls_for_every_transition(calls: tuple[int, ...]) -> None:
    noise = ParticleNoise(0, "", 2, (1,), torch.empty(0, dtype=torch.float64))
    with pytest.raises(ValueError, match="one or more for each of 3 transitions"):
        next(steer(GaussianFlow(), Glass(3), NoSteering(), None, noise, generator(0), calls=calls))


@pytest.mark.parametrize("shape", [(), (6, 1), (5,)])
def test_a_reward_of_another_shape_is_one_line(shape: tuple[int, ...]) -> None:
    noise = ParticleNoise(0, "", 6, (1,), torch.empty(0, dtype=torch.float64))
    run = steer(
        GaussianFlow(), Glass(2, 2), fk(), lambda x: torch.zeros(shape), noise, generator(0)
    )
    with pytest.raises(ValueError, match=r"for 6 particles; it must give one each: \(6,\)$"):
        list(run)
