"""What a plan is made from: a table of rewards under one prompt, and real runs of policies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from glass_cli.common.errors import GlassError
from glass_cli.engine.draw import Work, draw
from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.ode import Ode
from glass_cli.method.path import TooFewTimes
from glass_cli.steering.base import Steering
from glass_cli.steering.decision_window import RewardProbe
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.independent import BestOfN
from glass_cli.steering.policies import Draws, Forecast, Policy, moments_of, way, ways
from glass_cli.steering.state import NotFinite, Step

SEED = 1_000_033  # not that of a run, whose particles the table shall not have seen


def sampler_of(name: str, transitions: int) -> Sampler:
    """The sampler of a way of sampling, with its usual settings."""
    return Ode(transitions) if name == "ode" else Glass(transitions)


def steering_of(policy: Policy) -> Steering:
    """The steering that a policy stands for."""
    sizes = None if policy.constant else policy.sizes
    if policy.steering == "best_of_n":
        return BestOfN(sizes=sizes)
    return FeynmanKac(lam="auto", lam_strength=policy.lam_strength, sizes=sizes)


def work_of(work: Work, policy: Policy, budget: int) -> Work:
    """What a run by ``policy`` needs, with the model and the rewards of ``work``."""
    return work._replace(
        sampler=sampler_of(policy.sampler, len(policy.sizes)),
        steering=steering_of(policy),
        metrics={},
        calls=None,
        budget=budget,
    )


def measure_prompt(
    work: Work,
    prompt: str,
    negative_prompt: str,
    budget: int,
    samples: int,
    watch: Callable[[float], None],
) -> dict[str, Any]:
    """The table's rows of one prompt: of each way, ``samples`` rows of rewards of x_hat at the ends
    of transitions and of the end. Raises GlassError."""
    began = time.monotonic()
    rows: dict[str, list[list[float]]] = {}
    nfe = reward_calls = 0
    wanted = ways(budget)
    for number, (sampler, transitions, calls) in enumerate(wanted):
        watch(number / len(wanted))
        probe = work._replace(
            sampler=sampler_of(sampler, transitions),
            steering=RewardProbe(),
            metrics={},
            calls=calls,
            budget=None,
        )
        steps = _drawn(probe, prompt, negative_prompt, samples, SEED)
        seen = [step.rewards for step in steps if step.rewards is not None]
        rows[way(sampler, transitions, calls)] = np.stack([r.numpy() for r in seen], 1).tolist()
        nfe += steps[-1].nfe
        reward_calls += samples * len(seen)
    seconds = time.monotonic() - began
    return {
        "prompt": prompt,
        "rows": rows,
        "nfe": nfe,
        "reward_calls": reward_calls,
        "seconds": seconds,
    }


def check_prompt(
    work: Work, forecasts: Sequence[Forecast], prompt: str, negative_prompt: str, budget: int
) -> dict[str, Any]:
    """The rewards of the answers of real runs of each policy. Raises GlassError."""
    began = time.monotonic()
    rewards, nfe, reward_calls = list[float](), 0, 0
    for one in forecasts:
        policy = one.policy
        plan = work_of(work, policy, budget)
        steps = _drawn(plan, prompt, negative_prompt, policy.sizes[0], SEED + 1)
        last = steps[-1]
        assert last.rewards is not None and last.chosen is not None
        rewards.append(float(last.rewards[last.chosen]))
        nfe += last.nfe
        reward_calls += sum(len(step.rewards) for step in steps if step.rewards is not None)
    return {
        "prompt": prompt,
        "rewards": rewards,
        "nfe": nfe,
        "reward_calls": reward_calls,
        "seconds": time.monotonic() - began,
    }


def _drawn(work: Work, prompt: str, negative_prompt: str, particles: int, seed: int) -> list[Step]:
    try:
        return [d.step for d in draw(work, prompt, negative_prompt, particles, seed)]
    except (NotFinite, TooFewTimes) as error:
        raise GlassError(f'the plan\'s table, "{prompt}": {error}') from error


def table_of(parts: Sequence[Mapping[str, Any]]) -> dict[str, Draws]:
    """The moments of each way of sampling over all prompts."""
    names = parts[0]["rows"]
    return {
        name: moments_of([np.asarray(part["rows"][name], float) for part in parts])
        for name in names
    }
