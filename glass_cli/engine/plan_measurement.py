"""What a plan is made from: a table of rewards under one prompt, and real runs of policies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from statistics import median
from typing import Any

import numpy as np
import torch

from glass_cli.common.errors import GlassError
from glass_cli.engine.counted_reward import CountedReward
from glass_cli.engine.draw import Work, draw
from glass_cli.engine.plan_cache import Cost
from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise
from glass_cli.method.ode import Ode
from glass_cli.method.path import TooFewTimes
from glass_cli.method.sde import Sde
from glass_cli.method.times import Times, outer_times
from glass_cli.pipelines.batches import Batches
from glass_cli.steering.base import Steering
from glass_cli.steering.decision_window import RewardProbe, even_time, proposed_times
from glass_cli.steering.evolution import Evolution
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.independent import BestOfN
from glass_cli.steering.policies import TRANSITIONS, Policy, Way, run_budget
from glass_cli.steering.replay import Draws, Forecast, Numbers, further_ways, moments_of
from glass_cli.steering.state import NotFinite, Step

TRIES = 5  # at the seconds of a network call and a reward call
SEED = 1_000_033  # not that of a run, whose particles the table shall not have seen


def sampler_of(way: Way) -> Sampler:
    """The sampler of a way of sampling; what that does not say is as usual."""
    times: Times = "schedule" if way.times is None else way.times
    if way.sampler == "ode":
        return Ode(way.transitions, times=times)
    if way.sampler == "sde":
        return Sde(way.transitions, times=times)
    return Glass(way.transitions, times=times, rho=way.rho)


def steering_of(policy: Policy, reward_cost: float = 0.0) -> Steering:
    """The steering that a policy stands for; a search counts what rewards cost itself."""
    sizes = None if policy.constant else policy.sizes
    if policy.steering == "best_of_n":
        return BestOfN(sizes=sizes)
    if policy.steering == "evolution":
        return Evolution(crossover=policy.crossover, reward_cost=reward_cost)
    one = FeynmanKac(lam_strength=policy.lam_strength, sizes=sizes)
    if policy.steering == "bfs":  # as conf/steering/bfs.yaml, which a test compares
        return replace(
            one, potential="max", tempering="linear", resampling="ssp", ess_threshold=1.0
        )
    return one


def work_of(work: Work, policy: Policy, budget: int, reward_cost: float = 0.0) -> Work:
    """What a run by ``policy`` needs, with the model and the rewards of ``work``."""
    return work._replace(
        sampler=sampler_of(policy.way),
        steering=steering_of(policy, reward_cost),
        metrics={},
        calls=calls_of(policy),
        budget=run_budget(policy, budget, reward_cost),
    )


def calls_of(policy: Policy) -> int | None:
    """The `calls=` of a run by ``policy``. A search is told those of a picture, since its budget
    does not say how many pictures it buys; others share out their budget, None."""
    return policy.calls if policy.steering == "evolution" else None


def measure_prompt(
    work: Work,
    prompt: str,
    negative_prompt: str,
    ways: Sequence[Way],
    samples: int,
    watch: Callable[[float], None],
) -> dict[str, Any]:
    """A table's rows of one prompt: of each way, ``samples`` rows of rewards of x_hat at the ends
    of transitions and of the end. Raises GlassError."""
    began = time.monotonic()
    rows: dict[str, list[list[float]]] = {}
    nfe = reward_calls = 0
    for number, way in enumerate(ways):
        watch(number / len(ways))
        probe = work._replace(
            sampler=sampler_of(way),
            steering=RewardProbe(),
            metrics={},
            calls=way.calls,
            budget=None,
        )
        steps = _drawn(probe, prompt, negative_prompt, samples, SEED)
        seen = [step.rewards for step in steps if step.rewards is not None]
        rows[way.name] = np.stack([r.numpy() for r in seen], 1).tolist()
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
    work: Work,
    forecasts: Sequence[Forecast],
    prompt: str,
    negative_prompt: str,
    budget: int,
    turn: int = 0,
    reward_cost: float = 0.0,
) -> dict[str, Any]:
    """The rewards of the answers of real runs of each policy, with noise of this turn, and what
    each run took.

    reward_cost: network calls that a scored sample counts as in the budget.

    Raises GlassError.
    """
    assert work.reward is not None
    rewards, costs = list[float](), list[Cost]()
    for one in forecasts:
        policy, counted, began = one.policy, CountedReward(work.reward), time.monotonic()
        plan = work_of(work._replace(reward=counted), policy, budget, reward_cost)
        steps = _drawn(plan, prompt, negative_prompt, policy.sizes[0], SEED + 1 + turn)
        last = steps[-1]
        assert last.rewards is not None and last.chosen is not None
        rewards.append(float(last.rewards[last.chosen]))
        costs.append(Cost(last.nfe, counted.calls, time.monotonic() - began))
    total = Cost(*map(sum, zip(*costs, strict=True)))
    return {"prompt": prompt, "rewards": rewards, "costs": costs, **total._asdict()}


def measured_reward_cost(
    work: Work, prompt: str, negative_prompt: str, particles: int
) -> dict[str, Any]:
    """How many network calls take as long as decoding and scoring a sample: "reward_cost", with
    what measuring it took. Of several tries the middle one; the first of all is not among them.

    Raises GlassError.
    """
    assert work.reward is not None
    began = time.monotonic()
    reward, flow = work.reward, work.model.prompted(prompt, negative_prompt, work.micro_batch)
    decoding = Batches(work.micro_batch)
    x = ParticleNoise(SEED, prompt, particles, work.model.shape, work.model.state)()
    calls, scores = list[float](), list[float]()
    try:
        t = outer_times("schedule", TRANSITIONS, flow.path, flow.shift)[1]
        for _ in range(TRIES + 1):
            start = time.monotonic()
            x_hat = flow.denoise(x, t)
            x_hat.cpu()  # waits for the device
            middle = time.monotonic()
            with torch.no_grad():
                reward.score(decoding.map(work.model.decode, x_hat), prompt).cpu()
            calls.append(middle - start)
            scores.append(time.monotonic() - middle)
    except (NotFinite, TooFewTimes) as error:
        raise GlassError(f'the cost of a reward call, "{prompt}": {error}') from error
    finally:
        flow.close()
    tried = (TRIES + 1) * particles
    return {
        "prompt": prompt,
        "rows": {},
        "reward_cost": round(median(scores[1:]) / max(median(calls[1:]), 1e-9), 4),
        "nfe": tried,
        "reward_calls": tried,
        "seconds": time.monotonic() - began,
    }


def _drawn(work: Work, prompt: str, negative_prompt: str, particles: int, seed: int) -> list[Step]:
    try:
        return [d.step for d in draw(work, prompt, negative_prompt, particles, seed)]
    except (NotFinite, TooFewTimes) as error:
        raise GlassError(f'the plan\'s table, "{prompt}": {error}') from error


def table_of(parts: Sequence[Mapping[str, Any]]) -> dict[str, Draws]:
    """The moments of each way of sampling over the prompts whose rows are in ``parts``."""
    names = dict.fromkeys(name for part in parts for name in part["rows"])
    return {
        name: moments_of([np.asarray(p["rows"][name], float) for p in parts if name in p["rows"]])
        for name in names
    }


def second_ways(
    work: Work,
    parts: Sequence[Mapping[str, Any]],
    prompt: str,
    budget: int,
    reward_cost: float = 0.0,
) -> list[Way]:
    """What a second table is to hold by the first, see :func:`replay.further_ways`."""
    flow = work.model.prompted(prompt, "", work.micro_batch)
    path, shift = flow.path, flow.shift
    flow.close()
    times = outer_times("schedule", TRANSITIONS, path, shift)[1:-1]
    even = [even_time(path, t) for t in times]

    def times_of(foretold: Numbers) -> tuple[float, ...] | None:
        proposed = proposed_times(times, even, foretold, TRANSITIONS)
        return None if proposed is None else tuple(round(t, 6) for t in proposed)

    return further_ways(budget, table_of(parts), times_of, times[1], reward_cost)
