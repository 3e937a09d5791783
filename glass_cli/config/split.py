"""How many particles a run has, and what a picture may cost, where `budget=` says it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from glass_cli.common.errors import GlassError
from glass_cli.config.settings import PARTICLES, Root

if TYPE_CHECKING:
    from glass_cli.config.settings import Settings


def with_particles(values: Mapping[str, Any]) -> dict[str, Any]:
    """The plain settings of a run with a number in place of `particles: null`.

    The first of `steering.sizes`; what `budget` buys of `calls` each; else PARTICLES. Raises
    GlassError where particles and calls do not make the budget. Values of a wrong kind are left to
    those who check kinds.
    """
    budget, particles = _number(values.get("budget")), values.get("particles")
    calls, name = _calls(values)
    if particles is None:
        particles = _begin(values) or PARTICLES
        if budget and calls and _begin(values) is None:
            particles = budget // calls
            if particles < 1:
                raise GlassError(
                    f"budget={budget} is less than the network calls of one particle, {name}; use a"
                    " higher budget or fewer calls"
                )
    elif budget and calls and _number(particles) and _begin(values) is None:
        spent = calls * particles
        if not budget - particles < spent <= budget and not _searches(values):
            raise GlassError(
                f"particles={particles} of {name} are {spent} network calls, not budget={budget};"
                " leave one of the three out"
            )
    return {**values, "particles": particles}


def picture_budget(root: Root) -> int:
    """Network calls that a picture may cost: `budget`, else particles times calls.

    Raises GlassError where neither is given.
    """
    if root.budget is not None:
        return root.budget
    if root.calls is None:
        raise GlassError(
            "a plan (steering=auto, glass plan) needs to know what it may spend; set budget=,"
            " network calls a picture (all particles together), such as budget=400"
        )
    return root.particles * root.calls


def reward_cost(settings: Settings) -> float | Literal["auto"]:
    """Network calls that a scored sample counts as in the budget of a plan, see
    :class:`glass_cli.steering.auto.Auto`; 0 where no plan is made."""
    from glass_cli.steering.auto import Auto

    planned = settings.study or (settings.steering if isinstance(settings.steering, Auto) else None)
    cost: float | Literal["auto"] = getattr(planned, "reward_cost", 0.0)
    return cost


def check_planned(budget: int, cost: float) -> None:
    """Raises GlassError for a budget that a plan cannot split: two particles of the fewest calls
    take more.

    cost: network calls that a scored sample counts as, 0 or more.
    """
    from glass_cli.steering.policies import SPLITS  # for steering=auto alone

    least = math.ceil(2 * (SPLITS[0] + cost))
    if budget < least:
        counted = f" where a reward call counts as {cost:g} of them" if cost else ""
        raise GlassError(
            f"budget={budget} is too small to be split; use {least} network calls or more{counted}"
        )


def _number(value: Any) -> int | None:
    """A whole number above 0; None for anything else."""
    return value if isinstance(value, int) and not isinstance(value, bool) and value > 0 else None


def _begin(values: Mapping[str, Any]) -> int | None:
    """How many particles the numbers of each transition begin with, where they are given."""
    steering = values.get("steering")
    sizes = steering.get("sizes") if isinstance(steering, Mapping) else None
    return _number(sizes[0]) if isinstance(sizes, list) and sizes else None


def _calls(values: Mapping[str, Any]) -> tuple[int | None, str]:
    """Network calls of a particle, where the settings give them, and how they say it."""
    if _number(values.get("calls")):
        return values["calls"], f"calls={values['calls']}"
    sampler = values.get("sampler")
    if not isinstance(sampler, Mapping) or not _number(sampler.get("steps")):
        return None, ""
    times, transitions = sampler.get("times"), _number(sampler.get("transitions"))
    if isinstance(times, list):
        transitions = len(times) - 1
    if transitions is None:
        return None, ""
    steps = sampler["steps"]
    return steps * transitions, f"sampler.steps={steps} in each of {transitions} transitions"


def _searches(values: Mapping[str, Any]) -> bool:
    """Whether the steering draws what the budget buys, of which `particles` are kept."""
    from glass_cli.config.build import find_class
    from glass_cli.steering.searching import Searching

    steering = values.get("steering")
    if not isinstance(steering, Mapping) or "_target_" not in steering:
        return False
    target = find_class(str(steering["_target_"]), "steering")
    return isinstance(target, type) and issubclass(target, Searching)
