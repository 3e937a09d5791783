"""How many network calls each transition of a run gets."""

from __future__ import annotations

from collections.abc import Sequence

from glass_cli.method.flow import Sampler


def share_calls(total: int, transitions: int) -> tuple[int, ...]:
    """``total`` network calls divided evenly; what is left over goes to the first transitions.

    Every call is given out: the numbers differ by one at most and add up to ``total``.

    total, transitions: 1 or more.

    Raises ValueError for fewer calls than transitions.
    """
    if total < transitions:
        raise ValueError(
            f"calls={total} are fewer than the {transitions} transitions, which take one each at"
            f" least; use sampler.transitions={total}"
        )
    each, left = divmod(total, transitions)
    return tuple(each + (k < left) for k in range(transitions))


def picture_calls(calls: Sequence[int], sizes: Sequence[int]) -> int:
    """Network calls of all particles together.

    calls: of a particle in each of the K transitions.
    sizes: how many particles make each. The first call of a transition, x_hat, is made by all that
        arrive, before any of them is left behind.
    """
    arriving = [sizes[0], *sizes[:-1]]
    return sum(n + size * (m - 1) for n, size, m in zip(arriving, sizes, calls, strict=True))


def spread_calls(budget: int, sizes: Sequence[int]) -> tuple[int, ...]:
    """Calls of a particle in each of the K transitions, for a ``budget`` of all together.

    As evenly as may be, and never more in all; what is left over makes the first transitions, of
    those that it suffices for, one call longer.

    budget: network calls of a picture, 1 or more.
    sizes: how many particles make each transition.

    Raises ValueError for a budget that does not suffice for one call each.
    """
    least = picture_calls([1] * len(sizes), sizes)
    if budget < least:
        raise ValueError(
            f"budget={budget} is less than the {least} network calls of one call a transition for"
            f" {sizes[0]} particles; use a higher budget, fewer particles or fewer transitions"
        )
    more, left = divmod(budget - least, sum(sizes))
    calls = []
    for size in sizes:
        extra = size <= left
        left -= size * extra
        calls.append(1 + more + extra)
    return tuple(calls)


def transition_calls(
    sampler: Sampler, transitions: int, calls: int | None = None, usual: int | None = None
) -> tuple[int, ...]:
    """The network calls a particle of each transition of a run by ``sampler``.

    The sampler's own ``steps`` in each, or ``calls`` of the whole run shared by
    :func:`share_calls`, or by default the model's usual number, raised to one a transition.

    transitions: K, one less than the sampler's outer times.
    calls: of the whole run, 1 or more; None where none are asked for.
    usual: the model's own number for a whole run, 1 or more; None where it is not known.

    Raises ValueError for fewer calls than transitions, for ``calls`` that contradict ``steps``, and
    where nothing says how many there are.
    """
    steps = sampler.steps
    if calls is not None:
        if steps is not None and steps * transitions != calls:
            raise ValueError(
                f"sampler.steps={steps} gives {transitions} transitions {steps * transitions} calls"
                f" in all, not calls={calls}; set only one of the two"
            )
        if calls < transitions and isinstance(sampler.times, tuple):
            raise ValueError(
                f"calls={calls} are fewer than the {transitions} transitions of sampler.times,"
                f" which take one each at least; use calls={transitions} or fewer times"
            )
        return share_calls(calls, transitions)
    if steps is not None:
        return (steps,) * transitions
    if usual is None:
        raise ValueError("the number of network calls is not set; give the sampler steps, or calls")
    return share_calls(max(usual, transitions), transitions)


def check_calls(sampler: Sampler, calls: int | None) -> None:
    """Checks the ``calls`` asked for (None: none) before any model is loaded.

    A sampler that has neither times nor transitions as settings is checked when it runs. Raises
    ValueError as :func:`transition_calls` does.
    """
    times, transitions = sampler.times, sampler.transitions
    if isinstance(times, tuple):
        transitions = len(times) - 1
    if calls is not None and transitions is not None:
        transition_calls(sampler, transitions, calls)
