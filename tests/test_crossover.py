"""Collages: which part is whose, for pictures and packed tokens; a search that breeds by them."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch
from torch import Tensor
from worlds import GaussianFlow

from glass_cli.method.flow import aspect_of
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.method.ode import Ode
from glass_cli.models.diffusers_pipeline import PromptedPipeline
from glass_cli.steering.crossover import collage, cut, has_sides
from glass_cli.steering.evolution import Evolution
from glass_cli.steering.loop import steer
from glass_cli.steering.state import CountedFlow, Step

SHAPE = (1, 4, 8)


@pytest.mark.parametrize(
    ("down", "share", "rows", "columns"),
    [(False, 0.5, 2, 8), (False, 0.25, 1, 8), (True, 0.5, 4, 4), (True, 0.75, 4, 6)],
)
def test_each_side_is_of_one_picture(down: bool, share: float, rows: int, columns: int) -> None:
    a, b = torch.ones(3, 4, 8), torch.zeros(3, 4, 8)
    made = collage(a, b, share, down)
    wanted = torch.zeros(3, 4, 8)
    wanted[:, :rows, :columns] = 1.0
    assert torch.equal(made, wanted)
    other = collage(b, a, share, down)
    assert torch.equal(made + other, torch.ones(3, 4, 8)), "what is not of one is of the other"


@pytest.mark.parametrize("down", [False, True])
@pytest.mark.parametrize(
    ("height", "width", "aspect"),
    [(6, 6, 1.0), (48, 85, 768 / 1360), (8, 32, 0.25), (32, 8, 4.0)],
)
def test_packed_tokens_are_the_same_picture(
    height: int, width: int, aspect: float, down: bool
) -> None:
    """A row of tokens after the other, as FLUX and Qwen-Image pack them; also where their number
    is the square of another, or the sides are rounded to whole tokens."""
    a, b = torch.rand(5, height, width), torch.rand(5, height, width)
    packed = collage(a.flatten(1).T, b.flatten(1).T, 0.5, down, aspect)
    assert torch.equal(packed, collage(a, b, 0.5, down).flatten(1).T)


def test_tokens_of_no_such_picture_are_cut_across() -> None:
    a, b = torch.ones(10, 2), torch.zeros(10, 2)
    for down in (False, True):
        assert collage(a, b, 0.3, down).sum(1).tolist() == [2.0] * 3 + [0.0] * 7


@pytest.mark.parametrize(
    ("arguments", "aspect"), [({"height": 768, "width": 1360}, 768 / 1360), ({}, 1.0)]
)
def test_a_pipeline_tells_the_aspect_of_its_pictures(
    arguments: dict[str, int], aspect: float
) -> None:
    flow = PromptedPipeline(None, arguments, 4)  # type: ignore[arg-type]  # no model is asked
    assert aspect_of(CountedFlow(flow)) == aspect and aspect_of(GaussianFlow()) == 1.0


def test_points_have_no_sides() -> None:
    assert not has_sides((7,)) and has_sides((16, 8)) and has_sides((16, 8, 8))


def two_sided(x: Tensor) -> Tensor:
    """High where the left half is near 1 and the right one near -1."""
    left, right = x[..., :4].flatten(1).mean(1), x[..., 4:].flatten(1).mean(1)
    return -((left - 0.5) ** 2) - (right + 0.5) ** 2


def run(rules: Evolution, seed: int, reward: Callable[[Tensor], Tensor] = two_sided) -> list[Step]:
    like = torch.empty(0, dtype=torch.float64)
    noise = ParticleNoise(seed, "p", 1, SHAPE, like)
    choice = generator(seed, "choices")
    return list(steer(GaussianFlow(), Ode(4, 1), rules, reward, noise, choice, budget=96))


def test_collages_take_reward_calls_and_no_network_calls() -> None:
    """Hand-counted: half of 96 calls are 12 pictures of 4; then come 4 children of 3 calls, 4 of 2,
    4 of 3, 4 of 2, and for the last 8 calls 2 of 3 and 1 of 2. A child has 5 collages."""
    scored = {0: 0, 5: 0}
    for crossover in scored:

        def reward(x: Tensor, crossover: int = crossover) -> Tensor:
            scored[crossover] += len(x)
            return two_sided(x)

        rules = Evolution(parents=4, children=1, window=(0.25, 0.5), crossover=crossover)
        *_, last = run(rules, 0, reward)
        assert last.nfe == 96
    children = scored[0] - 12
    assert children == 16 + 2 + 1 and scored[5] == 12 + children + 5 * children


@pytest.mark.parametrize("cost", [0.25, 1.0, 4.0])
@pytest.mark.parametrize("crossover", [0, 1, 4])
@pytest.mark.parametrize("keep", [0.5, 1.0])
def test_a_budget_may_pay_for_reward_calls(cost: float, crossover: int, keep: float) -> None:
    """What is spent on both is within it, and what is left buys no generation of one more child
    from where they are cheapest: two calls, as many rewards as it takes."""
    scored = 0

    def reward(x: Tensor) -> Tensor:
        nonlocal scored
        scored += len(x)
        return two_sided(x)

    rules = Evolution(
        window=(0.25, 0.5), crossover=crossover, keep=keep, reward_cost=cost, parents=4
    )
    *_, last = run(rules, 0, reward)
    left = 96 - last.nfe - cost * scored
    child = 2 + cost * (crossover + 1 + (keep < 1.0))
    assert 0.0 <= left < child
    assert last.nfe < 96 and scored >= 2


class Enlarged:
    """The reward of particles that are decoded to three times their size; counts either half."""

    def __init__(self) -> None:
        self.decoded = self.scored = 0

    def decode(self, x: Tensor) -> Tensor:
        self.decoded += len(x)
        return x.repeat_interleave(3, -1).repeat_interleave(3, -2)

    def of(self, samples: Tensor) -> Tensor:
        assert samples.shape[1:] == (1, 12, 24)
        self.scored += len(samples)
        return two_sided(samples[..., ::3, ::3])

    def __call__(self, x: Tensor) -> Tensor:
        return self.of(self.decode(x))


def test_collages_are_joined_of_what_is_decoded() -> None:
    """Of a decoder that mends no seam they are what the decoded collage is, so the pictures are the
    same; decoded is each finished picture, once."""
    rules = Evolution(parents=4, children=1, window=(0.25, 0.5), crossover=5)
    in_halves, whole = Enlarged(), Enlarged()
    last = run(rules, 0, in_halves)[-1]
    other = run(rules, 0, lambda x: whole(x))[-1]
    assert torch.equal(last.particles.x, other.particles.x)
    assert in_halves.scored == whole.scored == whole.decoded == 31 + 5 * 19
    assert in_halves.decoded == 31


@pytest.mark.parametrize("share", [0.25, 0.3, 0.74])
@pytest.mark.parametrize("down", [False, True])
def test_a_cut_is_the_same_before_and_after_decoding(share: float, down: bool) -> None:
    a, b = torch.rand(2, 1, 5, 7)
    share, down = cut(a, share, down)
    big = [one.repeat_interleave(8, -1).repeat_interleave(8, -2) for one in (a, b)]
    whole = collage(a, b, share, down).repeat_interleave(8, -1).repeat_interleave(8, -2)
    assert torch.equal(collage(big[0], big[1], share, down), whole)
    packed = a.flatten(1).T
    assert cut(packed, share, down, 5 / 7) == (share, down)
    assert cut(torch.rand(7, 2), share, True) == (round(share * 7) / 7, False)


def test_the_same_seed_breeds_the_same() -> None:
    first, again, other = (run(Evolution(), seed)[-1].particles.x for seed in (0, 0, 1))
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_two_parents_find_more_than_one() -> None:
    """What is asked of either half is had from different pictures: over 60 seeds the mean gain is
    four standard errors above 0."""
    gains = []
    for seed in range(60):
        found = []
        for crossover in (0, 4):
            last = run(Evolution(crossover=crossover), seed)[-1]
            assert last.rewards is not None
            found.append(float(last.rewards.max()))
        gains.append(found[1] - found[0])
    gain = torch.tensor(gains, dtype=torch.float64)
    assert float(gain.mean()) > 4 * float(gain.std()) / len(gains) ** 0.5


def test_the_answer_was_drawn_by_the_model() -> None:
    """A collage, which has a side in common with another picture that was scored, is what a child
    is noised from, and never an answer."""
    made: list[Tensor] = []

    def reward(x: Tensor) -> Tensor:
        made.extend(x)
        return two_sided(x)

    *_, last = run(Evolution(crossover=8, window=(0.25, 0.25)), 0, reward)
    answers = {tuple(x.flatten().tolist()) for x in last.particles.x}
    right = [x[..., 4:] for x in made]
    alike = [sum(torch.equal(x, y) for y in right) > 1 for x in right]
    collages = [x for x, one in zip(made, alike, strict=True) if one]
    assert collages and not answers & {tuple(x.flatten().tolist()) for x in collages}


def test_a_negative_number_is_refused() -> None:
    with pytest.raises(ValueError, match="crossover must be 0 or more"):
        Evolution(crossover=-1)
    for cost in (-0.1, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="reward_cost must be 0 or more"):
            Evolution(reward_cost=cost)
