"""Ways to spend a budget of network calls that are compared before it is spent.

:mod:`glass_cli.steering.replay` says what each may be expected to bring.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from glass_cli.method.budget import picture_calls, share_calls, spread_calls
from glass_cli.method.glass import Rho, check_rho
from glass_cli.method.times import check_times
from glass_cli.steering.evolution import Evolution

TRANSITIONS = 5  # of policies that look at particles on the way
SPLITS = (3, 5, 10, 20, 50)  # calls a particle
# numbers of particles that make each transition, as shares of those that begin
SHAPES = (
    (1.0, 1.0, 1.0, 1.0, 1.0),
    (1.0, 0.5, 0.25, 0.125, 0.0625),
    (1.0, 0.625, 0.375, 0.25, 0.1875),
    (1.0, 1.0, 0.5, 0.25, 0.125),
)
STRENGTHS = (1.0, 2.5, 5.0)  # of lam, in standard deviations of the first rewards
# Collages a child of evolutionary search: its default, and beside it, where a reward call counts as
# network calls do, few.
COLLAGES, FEW_COLLAGES = Evolution().crossover, 1


class Way(NamedTuple):
    """A way of sampling: what a table holds the rewards of.

    sampler: "ode", "glass" or "sde".
    transitions: K, 1 or more.
    calls: network calls of a particle.
    times: where its transitions end; None for the model's own schedule.
    rho: of GLASS, see :func:`glass_cli.method.glass.correlation`.
    """

    sampler: Literal["ode", "glass", "sde"]
    transitions: int
    calls: int
    times: tuple[float, ...] | None = None
    rho: Rho = "ddpm"

    @property
    def name(self) -> str:
        """By which a table knows it, and a title."""
        more = (
            "" if self.times is None else f" at {', '.join(f'{t:.3g}' for t in self.times[1:-1])}"
        )
        more += "" if self.rho == "ddpm" else f" rho {rho_text(self.rho)}"
        return f"{self.sampler} {self.transitions}x{self.calls}{more}"


def rho_text(rho: Rho) -> str:
    """As it is written on a command line."""
    if not isinstance(rho, tuple):
        return str(rho)
    return f"[{','.join(f'[{time:g},{value}]' for time, value in rho)}]"


@dataclass(frozen=True)
class Policy:
    """One way to spend a budget.

    sampler: "ode", "glass" or "sde".
    calls: network calls of a particle that lives to the end.
    sizes: how many particles make each transition; of best-of-N with equal numbers, one transition.
        Of "evolution" the pictures that the budget would buy, for each transition.
    steering: "best_of_n" drops the worst where numbers fall, "fk" and "bfs" resample, "evolution"
        has children of finished pictures.
    lam_strength: of "fk" and "bfs", see :class:`glass_cli.steering.feynman_kac.FeynmanKac`.
    times, rho: see :class:`Way`.
    crossover: of "evolution", see :class:`glass_cli.steering.evolution.Evolution`.

    Raises ValueError for times or rho that no sampler takes.
    """

    sampler: Literal["ode", "glass", "sde"]
    calls: int
    sizes: tuple[int, ...]
    steering: Literal["best_of_n", "fk", "bfs", "evolution"]
    lam_strength: float = 2.5
    times: tuple[float, ...] | None = None
    rho: Rho = "ddpm"
    crossover: int = COLLAGES

    def __post_init__(self) -> None:
        object.__setattr__(self, "rho", check_rho(self.rho))
        if self.times is not None:
            check_times(self.times, len(self.sizes))
            if len(self.times) != len(self.sizes) + 1:
                raise ValueError(f"{len(self.sizes)} transitions, {len(self.times) - 1} ends")

    @property
    def way(self) -> Way:
        """What it draws with."""
        return Way(self.sampler, len(self.sizes), self.calls, self.times, self.rho)

    @property
    def constant(self) -> bool:
        return len(set(self.sizes)) == 1

    def title(self) -> str:
        """In a few words: method, numbers and calls."""
        if len(self.sizes) == 1:
            return f"best-of-{self.sizes[0]}, {self.calls} ODE calls each"
        if self.steering == "evolution":
            few = "" if self.crossover == COLLAGES else f", {self.crossover} collages a child"
            return f"evolution, {self.calls} ODE calls a picture{few}"
        n = str(self.sizes[0]) if self.constant else ", ".join(map(str, self.sizes))
        if self.steering == "best_of_n":
            return f"the best of {n} go on, {self.calls} ODE calls to the end"
        inner = ", ".join(f"{t:.3g}" for t in self.times[1:-1]) if self.times else ""
        more = f", transitions end at {inner}" if inner else ""
        more += "" if self.rho == "ddpm" else f", rho {rho_text(self.rho)}"
        strength = f"lam_strength {self.lam_strength:g}"
        method = f"{self.steering}-{self.sampler}".upper()
        return f"{method}, {n} particles, {self.calls} calls each, {strength}{more}"


def splits(budget: int) -> list[int]:
    """Calls a particle that leave two particles or more."""
    return [calls for calls in SPLITS if 2 * calls <= budget]


def ways(budget: int) -> list[Way]:
    """What the first table for ``budget`` is to hold."""
    candidates = [Way("ode", 1, calls) for calls in splits(budget)]
    for calls in splits(budget):
        if calls >= TRANSITIONS:
            candidates += [Way("ode", TRANSITIONS, calls), Way("glass", TRANSITIONS, calls)]
    return candidates


def generations(
    budget: int, calls: Sequence[int], crossover: int
) -> tuple[int, list[tuple[int, int]]]:
    """An evolutionary search as its default settings have it: how many pictures come from new
    noise, and of each generation the transition before which its children begin, and how many.

    budget: network calls. calls: of a picture in each of the K transitions, which are equal ones.
    """
    rules, last = Evolution(crossover=crossover), len(calls)
    first = max(1, int(rules.first * budget) // sum(calls))
    left = budget - first * sum(calls)
    bred: list[tuple[int, int]] = []
    # of five equal transitions these begin within the usual window
    for k in itertools.cycle(range(1, max(2, last - 1))):
        count = min(rules.parents * rules.children, left // sum(calls[k:]))
        if not count:
            return first, bred
        left -= count * sum(calls[k:])
        bred.append((k, count))
    raise AssertionError


def reward_calls(policy: Policy) -> int:
    """How many samples the reward scores, of an evolutionary search at most."""
    if policy.steering != "evolution":
        return sum(policy.sizes)
    return _search_rewards(policy.sizes[0] * policy.calls, policy.calls, policy.crossover)


def network_calls(policy: Policy, budget: int, reward_cost: float) -> int:
    """Network calls that a run by ``policy`` may make, where ``budget`` pays for both.

    reward_cost: of a scored sample, in network calls, 0 or more.
    """
    if policy.steering == "evolution":
        return _search_budget(policy.calls, policy.crossover, budget, reward_cost)
    return budget - math.ceil(reward_cost * reward_calls(policy) - 1e-9)


def _search_rewards(budget: int, calls: int, crossover: int) -> int:
    first, bred = generations(budget, share_calls(calls, TRANSITIONS), crossover)
    return first + (1 + crossover) * sum(count for _, count in bred)


def _search_budget(calls: int, crossover: int, budget: int, reward_cost: float) -> int:
    """The most network calls that leave enough for the rewards; 0 where no picture does."""
    network = budget
    while network >= calls:
        over = network + reward_cost * _search_rewards(network, calls, crossover) - budget
        if over <= 1e-9:
            return network
        # a call less saves itself and the rewards of one child at most
        network -= max(1, int(over / (1.0 + (1 + crossover) * reward_cost)))
    return 0


def policies(budget: int, further: Sequence[Way] = (), reward_cost: float = 0.0) -> list[Policy]:
    """All that are compared for a ``budget`` of network calls, with :func:`ways` and those of
    ``further``; best-of-N first.

    reward_cost: network calls that a scored sample counts as in the budget, 0 or more. Where it is
        above 0 there may be none.
    """
    candidates = [
        Policy("ode", calls, (particles,), "best_of_n")
        for calls in splits(budget)
        for particles in [int(budget / (calls + reward_cost) + 1e-9)]
        if particles > 1
    ]
    for way in [*ways(budget), *further]:
        if way.transitions == 1:
            continue
        for shape in SHAPES:
            if way.sampler == "ode" and shape == SHAPES[0]:
                candidates += _searches(way.calls, budget, reward_cost)
                continue
            sizes = _sizes(shape, way.calls, budget, reward_cost)
            if sizes is None:
                continue
            if way.sampler != "ode":
                one = Policy(way.sampler, way.calls, sizes, "fk", times=way.times, rho=way.rho)
                candidates += [replace(one, lam_strength=strength) for strength in STRENGTHS]
                if shape == SHAPES[0]:
                    candidates.append(replace(one, steering="bfs"))
            else:
                candidates.append(Policy("ode", way.calls, sizes, "best_of_n"))
    return list(dict.fromkeys(candidates))


def _searches(calls: int, budget: int, reward_cost: float) -> list[Policy]:
    """Evolutionary search, where rewards are not free with few collages too."""
    found = []
    for crossover in (COLLAGES, FEW_COLLAGES) if reward_cost > 0.0 else (COLLAGES,):
        pictures = _search_budget(calls, crossover, budget, reward_cost) // calls
        if pictures > 1:
            sizes = (pictures,) * TRANSITIONS
            found.append(Policy("ode", calls, sizes, "evolution", crossover=crossover))
    return found


def _sizes(
    shape: Sequence[float], calls: int, budget: int, reward_cost: float
) -> tuple[int, ...] | None:
    """The largest numbers of that shape with ``calls`` a particle; None where two are too many."""
    for begin in range(budget, 1, -1):
        sizes = tuple(max(1, round(begin * share)) for share in shape)
        network = budget - math.ceil(reward_cost * sum(sizes) - 1e-9)
        least = picture_calls([1] * len(sizes), sizes)
        # spread_calls gives calls // transitions each, and what is left to the first
        if least <= network and min(spread_calls(network, sizes)) >= calls // len(sizes):
            return sizes
    return None
