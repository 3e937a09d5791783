"""Every family's own pipeline call, with GlassScheduler in its scheduler's place."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from exact_network import exact, is_discrete
from families import FAMILIES
from family_calls import MEAN, STD, ancestral_law, called, every_family, loaded, unguided
from torch import Tensor
from worlds import GaussianFlow

from glass_cli.method.glass import correlation
from glass_cli.pipelines.vendors import quiet
from glass_cli.scheduler import GlassScheduler

ELEMENTS = 16384
CALLS, TRANSITIONS = 36, 3
SETTINGS: dict[str, dict[str, Any]] = {
    "ddpm": {},
    "rho": {"rho": 0.4},
    "ode": {"sampler": "ode"},
    "sde": {"sampler": "sde"},
}


@pytest.fixture(autouse=True, scope="module")
def _quiet_vendors() -> None:
    quiet()


@every_family
@pytest.mark.parametrize("kind", SETTINGS)
def test_the_laws_of_theory(name: str, kind: str) -> None:
    """Where transitions begin, between two such places, and at the end."""
    pipe, model = FAMILIES[name](), loaded(name, CALLS)
    law = GaussianFlow(model.path, MEAN, STD)
    vendor, starts = pipe.scheduler, dict[float, Tensor]()
    ours = GlassScheduler.from_scheduler(vendor, transitions=TRANSITIONS, seed=3, **SETTINGS[kind])

    def keep(latents: Tensor) -> None:
        if ours.start is not None:
            starts[ours.start.t] = ours.start.x.double()

    with exact(pipe, MEAN, STD) as seen:
        pipe.scheduler = ours
        try:
            pictures = ELEMENTS // math.prod(model.shape)
            words = {"output_type": "latent", **unguided(name)}
            x, _ = called(name, CALLS, pictures, keep, **words)
        finally:
            pipe.scheduler = vendor
    discrete = is_discrete(pipe)
    if discrete:
        assert all(time == round(time) and 0 <= time <= 999 for time in seen)
    assert len(starts) == (1 if kind == "ode" else TRANSITIONS)
    _, *later = sorted(starts)
    if kind == "sde":
        clock = ours.timesteps.tolist()
        grid = [1.0 - (time + discrete) / 1000.0 for time in clock]
        if name == "cogview4":  # a clock of its own, which the schedule's shift does not move
            grid = [1.0 - sigma for sigma in ours.sigmas[:-1].tolist()]
        slope, std = ancestral_law(law, [*grid, 1.0])
        std = math.hypot(slope, std)
    else:
        std = STD
    # the pipeline begins with N(0, 1), where Stable Diffusion holds 6.8 % of the data
    lost = 0.068 * MEAN if discrete else 0.0
    solver = 0.001 if kind == "sde" else 0.01
    assert abs(x.mean() - MEAN) < 4 * STD / math.sqrt(x.numel()) + 0.01 * STD + lost
    assert abs(x.std() / std - 1.0) < 4 / math.sqrt(2 * x.numel()) + solver
    if kind in ("ddpm", "rho"):
        t, t_next = later
        rho = correlation(model.path, t, t_next, 0.4 if kind == "rho" else "ddpm")
        slope, spread = law.transition_law(t, t_next, rho)
        r = slope * law.law(t)[1] / math.hypot(slope * law.law(t)[1], spread)
        both = torch.stack([starts[t].flatten(), starts[t_next].flatten()])
        for row, time in zip(both, later, strict=True):
            mean, std = law.law(time)
            assert abs(row.mean() - mean) < 4 * std / math.sqrt(ELEMENTS) + 0.01 * std + lost
            assert abs(row.std() / std - 1.0) < 4 / math.sqrt(2 * ELEMENTS) + 0.01
        assert abs(torch.corrcoef(both)[0, 1] - r) < 4 * (1 - r * r) / math.sqrt(ELEMENTS) + 0.01
