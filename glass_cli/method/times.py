"""Where transitions begin and end: the samplers' setting ``times``.

"uniform": K + 1 times evenly spaced in t. "schedule": evenly spaced along the model's own, shifted
schedule. A list rising from 0 to 1: as it stands, in place of ``transitions``. "auto": a measured
decision window's, which :mod:`glass_cli.engine.auto_times` puts in its place.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Sequence
from typing import Literal

from glass_cli.method.path import Path

Times = Literal["uniform", "schedule", "auto"] | tuple[float, ...]


def shifted(u: float, shift: float) -> float:
    """Time at progress u of a schedule with sigma -> shift sigma/(1 + (shift-1) sigma).

    u: from 0 to 1.
    shift: above 0; 1 is uniform, more spends more steps near noise (arXiv 2403.03206, eq. 23).
        ``shifted(shifted(u, s), 1/s) == u``.
    """
    sigma = 1.0 - u
    return 1.0 - shift * sigma / (1.0 + (shift - 1.0) * sigma)


def spaced_times(t: float, t_next: float, n: int, shift: float = 1.0) -> list[float]:
    """n + 1 times from t to t_next, evenly spaced in the progress of the shifted schedule."""
    u, u_next = shifted(t, 1.0 / shift), shifted(t_next, 1.0 / shift)
    inner = [shifted(u + (u_next - u) * i / n, shift) for i in range(1, n)]
    return [t, *inner, t_next]


def check_times(times: object, transitions: int) -> Times:
    """A sampler's ``times`` setting, as a tuple where it is a list of times.

    Raises ValueError for anything but "uniform", "schedule", "auto" or a list that rises from 0 to
    1, and for fewer than one of ``transitions``.
    """
    if transitions < 1:
        raise ValueError(f"sampler.transitions must be at least 1 (got {transitions})")
    if isinstance(times, str):
        if times not in ("uniform", "schedule", "auto"):
            raise ValueError(
                f"sampler.times must be uniform, schedule, auto or a list such as [0,0.1,1]"
                f" (got {times})"
            )
        return times  # type: ignore[return-value]  # narrowed by the test above
    if not isinstance(times, Sequence):
        raise ValueError(f"sampler.times must be uniform, schedule, auto or a list (got {times!r})")
    try:
        values = tuple(float(value) for value in times)
    except (TypeError, ValueError):
        raise ValueError(f"sampler.times must hold numbers (got {list(times)})") from None
    rising = all(a < b for a, b in itertools.pairwise(values))
    # particles begin as pure noise, which is a draw of x_t at t=0 alone
    ends = abs(values[0]) < 1e-9 and math.isclose(values[-1], 1.0) if values else False
    if len(values) < 2 or not rising or not ends:
        raise ValueError(f"sampler.times must rise from 0 to 1 (got {list(values)})")
    return (0.0, *values[1:-1], 1.0)


def check_steps(steps: int | None) -> None:
    """Raises ValueError for a sampler's ``steps`` that are neither null nor at least 1."""
    if steps is not None and steps < 1:
        raise ValueError(f"sampler.steps must be at least 1 (got {steps})")


def outer_times(times: Times, transitions: int, path: Path, shift: float) -> tuple[float, ...]:
    """The transitions' ends, moved to times at which the model may be queried.

    Raises ValueError for "auto", which a measured window must have replaced.
    """
    if times == "auto":
        raise ValueError("sampler.times=auto is for glass sample and glass eval; give a list")
    if isinstance(times, tuple):
        values = list(times)
    else:
        values = spaced_times(0.0, 1.0, transitions, shift if times == "schedule" else 1.0)
    return (*path.snap(values[:-1], -1.0, 1.0), 1.0)
