"""Network calls of each transition, from what a run was given: calls a particle, or a budget."""

from __future__ import annotations

from collections.abc import Sequence

from glass_cli.method.budget import picture_calls, share_calls, spread_calls, transition_calls
from glass_cli.method.flow import Sampler
from glass_cli.steering.base import Steering
from glass_cli.steering.searching import Searching
from glass_cli.steering.sizes import steering_sizes


def run_calls(
    sampler: Sampler,
    steering: Steering,
    times: Sequence[float],
    particles: int,
    calls: int | None = None,
    budget: int | None = None,
    usual: int | None = None,
) -> tuple[int, ...]:
    """Network calls of a particle in each of the K transitions between ``times``.

    particles: how many begin.
    calls: of a particle in all; None where they are not asked for.
    budget: of a picture, all particles together, with what posterior values cost; None where it
        is not asked for.
    usual: the model's own number a particle; None where it is not known.

    Raises ValueError for numbers that contradict each other, for more than the budget, and for
    less than one call a transition.
    """
    transitions = len(times) - 1
    sizes = steering_sizes(steering, transitions, particles) or (particles,) * transitions
    if budget is None:
        return transition_calls(sampler, transitions, calls, usual)
    extra = _extra_calls(steering, times, sizes)
    if calls is not None or sampler.steps is not None:
        shares = transition_calls(sampler, transitions, calls)
    elif isinstance(steering, Searching):
        if budget // particles < transitions:
            raise ValueError(
                f"budget={budget} leaves fewer than the {transitions} network calls that each of"
                f" {particles} pictures takes; use a higher budget, fewer particles or"
                " sampler.transitions"
            )
        shares = share_calls(budget // particles, transitions)
    else:
        shares = spread_calls(budget - extra, sizes)
    if isinstance(steering, Searching):
        total, of = sum(shares), "one picture takes"
    else:
        total, of = picture_calls(shares, sizes) + extra, f"{particles} particles take"
    if total > budget:
        raise ValueError(
            f"{of} {total} network calls, which is more than budget={budget}; use a higher budget,"
            " fewer calls or fewer particles"
        )
    return shares


def planned_calls(
    steering: Steering, times: Sequence[float], particles: int, calls: Sequence[int]
) -> int:
    """Network calls of a picture, all particles together, where no budget is given.

    particles: how many begin.
    calls: of a particle in each transition between ``times``, see :func:`run_calls`.

    A search, whose own numbers change on the way, may make fewer.
    """
    transitions = len(times) - 1
    sizes = steering_sizes(steering, transitions, particles) or (particles,) * transitions
    return picture_calls(calls, sizes) + _extra_calls(steering, times, sizes)


def _extra_calls(steering: Steering, times: Sequence[float], sizes: Sequence[int]) -> int:
    """Network calls of rewards on the way, which all that arrive are given, of a whole picture."""
    arriving = sum(sizes[max(k - 1, 0)] for k in steering.scored(times))
    return arriving * steering.extra_calls()
