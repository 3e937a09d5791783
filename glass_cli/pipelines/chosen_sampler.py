"""The sampler that the settings of a scheduler of diffusers' kind describe."""

from __future__ import annotations

from typing import Any

from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.method.ode import Ode
from glass_cli.method.sde import Sde
from glass_cli.method.times import Times
from glass_cli.pipelines.given_times import ends_among


def chosen_sampler(config: Any, grid: tuple[float, ...] | None = None) -> Sampler:
    """The sampler of :class:`glass_cli.scheduler.GlassScheduler`'s settings.

    config: has the settings as attributes.
    grid: times at which the network is called; None for the sampler's own.

    Raises ValueError for a wrong setting.
    """
    times: Times = tuple(config.times) if isinstance(config.times, (list, tuple)) else config.times
    # an ODE's steps fall where its schedule has them, not where transitions would end
    transitions = 1 if config.sampler == "ode" else config.transitions
    if grid is not None:
        times = ends_among(grid, times, transitions)
    if not isinstance(times, str) and times and times[0] != 0.0:
        raise ValueError(f"times must begin at 0, where a pipeline's noise is (got {times[0]})")
    if config.sampler == "glass":
        return Glass(transitions, None, config.rho, config.kappa, config.order, times, config.inner)
    if config.sampler == "ode":
        return Ode(transitions, None, "euler" if config.order == 1 else "multistep", times, grid)
    if config.sampler == "sde":
        return Sde(transitions, None, "ancestral", times, grid=grid)
    raise ValueError(f"sampler must be glass, ode or sde (got {config.sampler})")
