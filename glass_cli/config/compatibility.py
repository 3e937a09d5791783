"""What one run's settings ask of each other."""

from __future__ import annotations

from glass_cli.common.errors import GlassError, one_line
from glass_cli.config.build import MOST
from glass_cli.config.reward_choices import Choices
from glass_cli.config.settings import Settings
from glass_cli.config.split import check_planned, picture_budget, reward_cost
from glass_cli.method.budget import check_calls
from glass_cli.rewards.base import Reward
from glass_cli.steering.auto import Auto
from glass_cli.steering.budget import run_calls


def check_together(settings: Settings, choices: dict[str, str], known: Choices) -> None:
    """Rewards must score what the model gives; steering and guidance may need a reward.

    ``choices`` names the chosen file of each group. Raises GlassError.
    """
    steering, reward = choices.get("steering", "?"), choices.get("reward", "?")
    guided = settings.steering.guidance > 0.0
    needed = settings.steering.needs_reward
    for name, metric in settings.metrics.items():
        _check_scores(metric, f"metrics={name}", "metrics=[]", settings, choices, known)
    judge = settings.benchmark
    if judge is not None and judge.accepts != settings.model.output:
        raise GlassError(
            f"benchmark={choices.get('benchmark')} judges {judge.accepts},"
            f" model={choices.get('model')} gives {settings.model.output}; choose another model"
            " (glass ls model)"
        )
    _check_network_calls(settings)
    planned = isinstance(settings.steering, Auto)
    if settings.study is None and not planned:  # a plan chooses sampler, particles and calls
        try:
            check_calls(settings.sampler, settings.root.calls)
            _check_budget(settings)
        except ValueError as error:
            raise GlassError(one_line(error)) from error
    if planned or (settings.study and settings.study.needs_budget):
        cost = reward_cost(settings)
        check_planned(picture_budget(settings.root), 0.0 if cost == "auto" else cost)
    if settings.study is None and settings.steering.needs_noise and not settings.sampler.stochastic:
        raise GlassError(
            f"steering={steering} draws several states from one, which"
            f" sampler={choices.get('sampler')} always takes to the same; use sampler=glass or"
            " sampler=sde"
        )
    if settings.reward is None and settings.sampler.times == "auto":
        raise GlassError(
            "sampler.times=auto needs a reward, whose decision window it is; choose one (glass ls"
            " reward) or sampler.times=schedule"
        )
    if settings.reward is None:
        if needed or guided:
            what = f"steering={steering}" if needed else "steering.guidance"
            raise GlassError(
                f"{what} needs a reward; choose one (glass ls reward) or steering=none"
                + (" steering.guidance=0" if guided else "")
            )
        return
    without = "steering=none reward=null" if needed else "reward=null"
    _check_scores(settings.reward, f"reward={reward}", without, settings, choices, known)
    if guided and not settings.reward.differentiable:
        ways = known.accepting("differentiable", True)
        raise GlassError(
            f"reward={reward} has no gradient, which steering.guidance needs; use a reward that"
            f" has one ({', '.join(ways) or 'none here'}) or steering.guidance=0"
        )


def _check_budget(settings: Settings) -> None:
    """Raises ValueError for particles and calls that the run's transitions cannot have."""
    times, transitions, root = settings.sampler.times, settings.sampler.transitions, settings.root
    if isinstance(times, tuple):
        transitions = len(times) - 1
    if transitions is None:
        return
    ends = [i / transitions for i in range(transitions + 1)]
    # where nothing is asked for, the model's own number has a call for each transition
    run_calls(
        settings.sampler,
        settings.steering,
        ends,
        root.particles,
        root.calls,
        root.budget,
        transitions,
    )


def _check_network_calls(settings: Settings) -> None:
    sampler = settings.sampler
    transitions = sampler.transitions or 1
    if isinstance(sampler.times, tuple):
        transitions = len(sampler.times) - 1
    calls = transitions * (sampler.steps or 1)
    if calls > MOST:
        raise GlassError(
            f"sampler.steps={sampler.steps} in each of {transitions} transitions are {calls}"
            f" network calls a particle, which must be at most {MOST}; use fewer of either"
        )


def _check_scores(
    reward: Reward,
    name: str,
    without: str,
    settings: Settings,
    choices: dict[str, str],
    known: Choices,
) -> None:
    """A reward or metric must score what the model gives, for every prompt of the run."""
    accepts, output = reward.accepts, settings.model.output
    if accepts != output:
        key = name.partition("=")[0]
        shape = "reward={}" if key == "reward" else "metrics=[{}]"
        ways = [*map(shape.format, known.accepting("accepts", output)), without]
        raise GlassError(
            f"{name} scores {accepts}, model={choices.get('model', '?')} gives {output}; use "
            + " or ".join(ways)
        )
    try:
        reward.check_model(settings.model)
        if settings.benchmark is None and settings.study is None:
            reward.check_prompts(settings.root.prompt_list())
    except ValueError as error:
        line = one_line(error)
        # settings of a reward may not know under which key they stand
        raise GlassError(line if line.startswith("reward") else f"{name}: {line}") from error
