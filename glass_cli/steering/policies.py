"""Ways to spend a budget of network calls that are compared before it is spent.

:mod:`glass_cli.steering.replay` says what each may be expected to bring.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal, NamedTuple

from glass_cli.method.budget import picture_calls, spread_calls
from glass_cli.method.glass import Rho, check_rho
from glass_cli.method.times import check_times
from glass_cli.steering.evolution import Evolution
from glass_cli.steering.sizes import changes

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
        more += "" if self.rho == "ddpm" else f" rho {_rho_text(self.rho)}"
        return f"{self.sampler} {self.transitions}x{self.calls}{more}"


def _rho_text(rho: Rho) -> str:
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
            few = "" if self.crossover == COLLAGES else f", collages a child: {self.crossover}"
            return f"evolution, {self.calls} ODE calls a picture{few}"
        n = str(self.sizes[0]) if self.constant else ", ".join(map(str, self.sizes))
        if self.steering == "best_of_n":
            return f"the best of {n} go on, {self.calls} ODE calls to the end"
        inner = ", ".join(f"{t:.3g}" for t in self.times[1:-1]) if self.times else ""
        more = f", transitions end at {inner}" if inner else ""
        more += "" if self.rho == "ddpm" else f", rho {_rho_text(self.rho)}"
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
    budget: int, calls: Sequence[int], crossover: int, reward_cost: float = 0.0
) -> tuple[int, list[int], list[int]]:
    """About what an evolutionary search by its default settings does: how many pictures come from
    new noise; of each generation the transition before which its children begin; and how many.

    budget: network calls, with what reward calls count as. calls: of a picture in each of the K
        transitions, which are taken to be equal ones. reward_cost: see :func:`policies`.
    """
    rules = Evolution(crossover=crossover)
    costs = [sum(calls[k:]) + reward_cost * (1 + crossover) for k in range(len(calls))]
    first = max(1, int(int(rules.first * budget) / (sum(calls) + reward_cost) + 1e-9))
    left = budget - first * (sum(calls) + reward_cost) + 1e-9
    starts, counts = list[int](), list[int]()
    # of five equal transitions these begin within the usual window
    within = range(1, max(2, len(calls) - 1))
    while left >= costs[within[-1]]:
        for k in within:
            count = min(rules.parents * rules.children, int(left / costs[k]))
            if count:
                left -= count * costs[k]
                starts.append(k)
                counts.append(count)
    return first, starts, counts


def reward_calls(steering: str, sizes: Sequence[int]) -> int:
    """How many samples are scored by a steering that does not search."""
    if steering == "best_of_n":  # where some are dropped, and at the end
        return sum(sizes[k - 1] for k in changes(sizes)) + sizes[-1]
    return sum(sizes)


def run_budget(policy: Policy, budget: int, reward_cost: float) -> int:
    """The `budget=` that a run by ``policy`` is given out of a ``budget`` that pays for reward
    calls too: what those count as is taken off. An evolutionary search, which counts them itself,
    is given all of it.

    reward_cost: see :func:`policies`.
    """
    if policy.steering == "evolution":
        return budget
    return _left(policy.steering, policy.sizes, budget, reward_cost)


def _left(steering: str, sizes: Sequence[int], budget: int, reward_cost: float) -> int:
    """What reward calls leave of a budget; below 0 where they cost more."""
    return budget - math.ceil(reward_cost * reward_calls(steering, sizes) - 1e-9)


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
        steering = "best_of_n" if way.sampler == "ode" else "fk"
        for shape in SHAPES:
            if way.sampler == "ode" and shape == SHAPES[0]:
                candidates += _searches(way.calls, budget, reward_cost)
                continue
            sizes = _sizes(shape, way.calls, budget, steering, reward_cost)
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
    pictures = int(budget / (calls + reward_cost) + 1e-9)
    if pictures < 2:
        return []
    one = Policy("ode", calls, (pictures,) * TRANSITIONS, "evolution")
    return [one, replace(one, crossover=FEW_COLLAGES)] if reward_cost > 0.0 else [one]


def _sizes(
    shape: Sequence[float], calls: int, budget: int, steering: str, reward_cost: float
) -> tuple[int, ...] | None:
    """The largest numbers of that shape with ``calls`` a particle; None where two are too many."""
    for begin in range(budget, 1, -1):
        sizes = tuple(max(1, round(begin * share)) for share in shape)
        network = _left(steering, sizes, budget, reward_cost)
        least = picture_calls([1] * len(sizes), sizes)
        # spread_calls gives calls // transitions each, and what is left to the first
        if least <= network and min(spread_calls(network, sizes)) >= calls // len(sizes):
            return sizes
    return None
