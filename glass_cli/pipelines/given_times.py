"""Network calls at times that a pipeline's caller gives, as diffusers' schedulers take them."""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from glass_cli.method.budget import share_calls
from glass_cli.method.times import Times, shifted
from glass_cli.pipelines.plan import too_few
from glass_cli.pipelines.prediction import Prediction

# settings by which FlowMatchEulerDiscreteScheduler moves given sigmas beyond its shift
_MOVED = ("shift_terminal", "use_karras_sigmas", "use_exponential_sigmas", "use_beta_sigmas")


class Given(NamedTuple):
    """The prediction with the shift and the clock of one call, and the times of network calls.

    times: rising from 0, below 1; None where only their number was given.
    """

    prediction: Prediction
    times: tuple[float, ...] | None


def given_times(
    prediction: Prediction,
    vendor: Any,
    sigmas: Sequence[float] | None = None,
    timesteps: Sequence[float] | None = None,
    mu: float | None = None,
) -> Given:
    """What ``vendor.set_timesteps`` would be told.

    prediction: of the vendor, before any shift of this call.
    sigmas: noise levels before the shift, falling from 1. Even ones, which pipelines pass where
        one asks for a number of steps, stand for their number.
    timesteps: by the vendor's clock. Beside sigmas, they say which clock the network is told:
        that of the sigmas before the shift, or after it.
    mu: the shift that a pipeline works out from the picture's size.

    Raises ValueError for times that do not go from noise towards data, and where sigmas and
    timesteps disagree.
    """
    moved = prediction.shifted_by(vendor, mu)
    if sigmas is None and timesteps is None:
        return Given(moved, None)
    if sigmas is None:
        assert timesteps is not None
        values = [float(value) for value in timesteps]
        return Given(moved, _checked(moved, [moved.time_at(value) for value in values], values))
    values = [float(sigma) for sigma in sigmas]
    if timesteps is None and _even(values, prediction.train_steps, exactly=True):
        return Given(moved, None)
    if prediction.kind != "flow":
        raise ValueError("sigmas are for flow matching; give this model timesteps")
    times = _vendors_times(vendor, values, mu)
    if times is None:
        times = [shifted(1.0 - sigma, moved.shift) for sigma in values]
    if timesteps is None:
        return Given(moved, _checked(moved, times, values))
    clock = [float(value) / prediction.train_steps for value in timesteps]
    if _near(clock, values, prediction.train_steps):
        moved = moved.with_unshifted_clock()
    elif not _near(clock, [1.0 - t for t in times], prediction.train_steps):
        raise ValueError(
            "sigmas and timesteps disagree: timesteps must be"
            f" {prediction.train_steps} times the sigmas, before the shift or after it"
        )
    if _even(values, prediction.train_steps):
        return Given(moved, None)
    return Given(moved, _checked(moved, times, values))


def ends_among(grid: tuple[float, ...], times: Times, transitions: int) -> tuple[float, ...]:
    """The ends of ``transitions`` that share the network calls at the times of ``grid``.

    times: the sampler's setting; raises ValueError where that already has ends of its own.
    """
    if not isinstance(times, str):
        raise ValueError(
            "the GlassScheduler has times of its own; leave them out where a call gives sigmas or"
            " timesteps"
        )
    if len(grid) < transitions:
        raise too_few(len(grid), transitions, f"transitions={len(grid)}")
    first = itertools.accumulate(share_calls(len(grid), transitions)[:-1], initial=0)
    return (*(grid[k] for k in first), 1.0)


def _even(values: Sequence[float], train_steps: int, exactly: bool = False) -> bool:
    """Whether sigmas fall evenly from 1, to 1 / N or to the vendor's last one.

    Unless ``exactly``, rounded to the vendor's whole numbers of time.
    """
    n = len(values)
    if _near(values, [1.0 - i / n for i in range(n)], 10_000):
        return True
    last = 1.0 / train_steps
    to_last = [1.0 - (1.0 - last) * i / max(n - 1, 1) for i in range(n)]
    return not exactly and _near(values, to_last, train_steps)


def _near(values: Sequence[float], others: Sequence[float], parts: int) -> bool:
    """Whether all differ by less than one of so many parts."""
    if len(values) != len(others):
        raise ValueError(f"{len(others)} sigmas and {len(values)} timesteps; give as many of both")
    return all(abs(a - b) < 1.001 / parts for a, b in zip(values, others, strict=True))


def _vendors_times(vendor: Any, sigmas: Sequence[float], mu: float | None) -> list[float] | None:
    """Where the vendor moves ``sigmas`` beyond a shift; None where it does not."""
    if not any(vendor.config.get(name) for name in _MOVED):
        return None
    vendor.set_timesteps(sigmas=list(sigmas), mu=mu)
    return [1.0 - sigma for sigma in vendor.sigmas[:-1].double().tolist()]


def _checked(
    prediction: Prediction, times: Sequence[float], values: Sequence[float]
) -> tuple[float, ...]:
    times = [0.0 if abs(t) < 1e-6 else t for t in times]  # as diffusers' float32 rounds it
    if times[0] != 0.0 or any(a >= b for a, b in itertools.pairwise([*times, 1.0])):
        shown = ", ".join(f"{value:g}" for value in values)
        raise ValueError(
            f"sigmas and timesteps must fall, from pure noise and without reaching 0 (got {shown})"
        )
    return tuple(prediction.path.snap(times, -1.0, 1.0))
