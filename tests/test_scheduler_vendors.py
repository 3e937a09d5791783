"""GlassScheduler's steps against those of diffusers' own schedulers."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from schedulers import ddim, flow, random_outputs, run

from glass_cli.scheduler import GlassScheduler

ODE = [
    {"sampler": "ode", "order": 1},
    {"transitions": 1, "order": 1, "inner": "times"},
    {"transitions": 1, "order": 1, "inner": "times", "rho": 1.0},
]


@pytest.mark.parametrize("settings", ODE)
@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("n", [1, 5, 7])
def test_euler_and_one_transition_are_flow_match_euler(
    settings: dict[str, Any], shift: float, n: int
) -> None:
    vendor, (outputs, x) = flow(shift), random_outputs(n)
    ours = GlassScheduler.from_scheduler(vendor, **settings)
    vendor.set_timesteps(sigmas=[1 - i / n for i in range(n)])
    ours.set_timesteps(n)
    # the vendor works in float32: a few roundings of values up to about 5
    assert torch.allclose(ours.timesteps, vendor.timesteps, atol=2e-4)
    assert torch.allclose(run(ours, outputs, x), run(vendor, outputs, x), atol=4e-6)


UNEVEN = [1.0, 0.97, 0.9, 0.55, 0.5, 0.2, 0.05]


@pytest.mark.parametrize("shift", [1.0, 3.0])
def test_given_sigmas_are_flow_match_eulers(shift: float) -> None:
    vendor, (outputs, x) = flow(shift), random_outputs(7)
    ours = GlassScheduler.from_scheduler(vendor, sampler="ode", order=1)
    vendor.set_timesteps(sigmas=UNEVEN)
    ours.set_timesteps(sigmas=UNEVEN)
    assert torch.allclose(ours.timesteps, vendor.timesteps, atol=2e-4)
    assert torch.allclose(ours.sigmas, vendor.sigmas, atol=1e-6)
    expected = run(vendor, outputs, x)
    assert torch.allclose(run(ours, outputs, x), expected, atol=4e-6)
    shown = ours.timesteps.tolist()
    ours.set_timesteps(timesteps=shown)  # the same by the clock
    assert torch.allclose(ours.timesteps, vendor.timesteps, atol=2e-4)
    assert torch.allclose(run(ours, outputs, x), expected, atol=4e-6)


@pytest.mark.parametrize("settings", ODE)
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
@pytest.mark.parametrize("n", [1, 5, 8])  # where DDIM's own rounding of times is even
def test_euler_and_one_transition_are_ddim(settings: dict[str, Any], kind: str, n: int) -> None:
    vendor, (outputs, x) = ddim(kind), random_outputs(n)
    ours = GlassScheduler.from_scheduler(vendor, **settings)
    vendor.set_timesteps(n)
    ours.set_timesteps(n)
    assert torch.equal(ours.timesteps, vendor.timesteps)
    expected = run(vendor, outputs, x)
    assert (run(ours, outputs, x) - expected).abs().max() < 1e-6 * expected.abs().max()


@pytest.mark.parametrize("sampler", ["glass", "sde"])
@pytest.mark.parametrize("order", [1, 2])
@pytest.mark.parametrize("kind", ["epsilon", "v_prediction"])
def test_one_call_a_transition_is_ddim_with_noise(sampler: str, order: int, kind: str) -> None:
    vendor, (outputs, x) = ddim(kind), random_outputs(8)
    ours = GlassScheduler.from_scheduler(vendor, sampler=sampler, transitions=8, order=order)
    vendor.set_timesteps(8)
    ours.set_timesteps(8)
    noise = [torch.Generator().manual_seed(1) for _ in range(2)]
    expected = run(vendor, outputs, x, generator=noise[0], eta=1.0)
    found = run(ours, outputs, x, generator=noise[1])
    assert (found - expected).abs().max() < 1e-6 * expected.abs().max()
