"""What one run's settings ask of each other."""

from __future__ import annotations

from typing import Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.config.reward_choices import Choices
from glass_cli.config.settings import Settings


def fits_together(made: Settings, choices: dict[str, str], known: Choices) -> None:
    """Rewards must score what the model gives; steering and guidance may need a reward.

    ``choices`` names the chosen file of each group. Raises GlassError.
    """
    steering, reward = choices.get("steering", "?"), choices.get("reward", "?")
    guided = getattr(made.steering, "guidance", 0.0) > 0.0
    needed = getattr(made.steering, "needs_reward", False)
    for name, metric in made.metrics.items():
        _fits(metric, f"metrics={name}", "metrics=[]", made, choices, known)
    takes = getattr(made.benchmark, "accepts", None)
    if takes and takes != getattr(made.model, "output", takes):
        raise GlassError(
            f"benchmark={choices.get('benchmark')} judges {takes}, model={choices.get('model')}"
            f" gives {made.model.output}; choose another model (glass ls model)"
        )
    if made.reward is None and getattr(made.sampler, "times", None) == "auto":
        raise GlassError(
            "sampler.times=auto needs a reward, whose decision window it is; choose one (glass ls"
            " reward) or sampler.times=schedule"
        )
    if made.reward is None:
        if needed or guided:
            what = f"steering={steering}" if needed else "steering.guidance"
            raise GlassError(
                f"{what} needs a reward; choose one (glass ls reward) or steering=none"
                + (" steering.guidance=0" if guided else "")
            )
        return
    without = "steering=none reward=null" if needed else "reward=null"
    _fits(made.reward, f"reward={reward}", without, made, choices, known)
    if guided and not getattr(made.reward, "differentiable", False):
        ways = known.accepting("differentiable", True)
        raise GlassError(
            f"reward={reward} has no gradient, which steering.guidance needs; use a reward that"
            f" has one ({', '.join(ways) or 'none here'}) or steering.guidance=0"
        )


def _fits(
    reward: Any, name: str, without: str, made: Settings, choices: dict[str, str], known: Choices
) -> None:
    """A reward or metric must score what the model gives, for every prompt of the run."""
    accepts, output = getattr(reward, "accepts", None), getattr(made.model, "output", None)
    if accepts and output and accepts != output:
        key = name.partition("=")[0]
        shape = "reward={}" if key == "reward" else "metrics=[{}]"
        ways = [*map(shape.format, known.accepting("accepts", output)), without]
        raise GlassError(
            f"{name} scores {accepts}, model={choices.get('model', '?')} gives {output}; use "
            + " or ".join(ways)
        )
    try:
        if hasattr(reward, "check_model"):
            reward.check_model(made.model)
        if hasattr(reward, "check_prompts") and made.benchmark is None:
            reward.check_prompts(made.root.prompt_list())
    except ValueError as error:
        raise GlassError(one_line(error)) from error
