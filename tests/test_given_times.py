"""``GlassScheduler.set_timesteps`` and ``step`` against diffusers' FlowMatchEuler scheduler."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from families import FAMILIES, SIZE
from torch import Tensor

from glass_cli.scheduler import GlassScheduler

UNEVEN = [1.0, 0.97, 0.9, 0.55, 0.5, 0.2, 0.05]
DYNAMIC = {"use_dynamic_shifting": True}
# float32, in which the vendor works, at values up to about 5
ROUNDED = 4e-6
VENDORS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "plain": ({}, {}),
    "shift": ({"shift": 3.0}, {}),
    "mu": (DYNAMIC, {"mu": 0.8}),
    "linear mu": ({**DYNAMIC, "time_shift_type": "linear"}, {"mu": 2.5}),
    "terminal": ({**DYNAMIC, "shift_terminal": 0.02}, {"mu": 0.6}),
    "karras": ({"use_karras_sigmas": True}, {}),
    "exponential": ({"use_exponential_sigmas": True, "shift": 2.0}, {}),
    "beta": ({"use_beta_sigmas": True}, {}),
    "train steps": ({"num_train_timesteps": 250, "shift": 2.0}, {}),
}


def both(settings: dict[str, Any], **words: Any) -> tuple[Any, GlassScheduler]:
    """The vendor, and ours as Euler's method made from it."""
    vendor = FlowMatchEulerDiscreteScheduler(**settings)
    return vendor, GlassScheduler.from_scheduler(vendor, sampler="ode", order=1, **words)


def outputs(n: int) -> tuple[list[Tensor], Tensor]:
    made = torch.randn(n + 1, 2, 4, 5, 5, generator=torch.Generator().manual_seed(n))
    return list(made[:n]), made[n]


def test_the_parameters_are_the_vendors_in_its_order() -> None:
    vendors, ours = (
        list(inspect.signature(kind.set_timesteps).parameters)
        for kind in (FlowMatchEulerDiscreteScheduler, GlassScheduler)
    )
    assert ours == vendors


@pytest.mark.parametrize("kind", [list, np.array, torch.tensor])
@pytest.mark.parametrize("name", VENDORS)
def test_sigmas_go_where_the_vendor_takes_them(name: str, kind: Any) -> None:
    settings, more = VENDORS[name]
    vendor, ours = both(settings)
    vendor.set_timesteps(sigmas=list(UNEVEN), **more)
    ours.set_timesteps(len(UNEVEN), "cpu", kind(UNEVEN), *more.values())
    steps = settings.get("num_train_timesteps", 1000)
    assert torch.allclose(ours.timesteps / steps, vendor.timesteps / steps, atol=1e-6)
    assert torch.allclose(ours.sigmas, vendor.sigmas, atol=1e-6)
    said, x = outputs(len(UNEVEN))
    expected = x
    for out, t in zip(said, vendor.timesteps, strict=True):
        sigma = vendor.sigmas[0 if vendor.step_index is None else vendor.step_index]
        step = ours.step(out, t, x)
        # the flow is noise less data, so that data are what is left of x_t without the noise
        assert torch.allclose(step.pred_original_sample, x - sigma * out, atol=ROUNDED)
        expected, x = vendor.step(out, t, expected).prev_sample, step.prev_sample
        assert torch.allclose(x, expected, atol=ROUNDED)


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("sigmas", [UNEVEN, [1 - i / 7 for i in range(7)]], ids=["uneven", "even"])
def test_timesteps_beside_sigmas_are_what_the_network_is_told(
    sigmas: list[float], shift: float
) -> None:
    vendor, ours = both({"shift": shift})
    for clock in (
        np.array(sigmas),
        shift * np.array(sigmas) / (1 + (shift - 1) * np.array(sigmas)),
    ):
        vendor.set_timesteps(sigmas=sigmas, timesteps=list(1000.0 * clock))
        ours.set_timesteps(sigmas=sigmas, timesteps=list(1000.0 * clock))
        assert torch.allclose(ours.timesteps, vendor.timesteps, atol=1e-3)
        assert torch.allclose(ours.sigmas, vendor.sigmas, atol=1e-6)
        said, x = outputs(7)
        expected = x
        for out, t in zip(said, ours.timesteps, strict=True):
            x, expected = ours.step(out, t, x)[0], vendor.step(out, t, expected)[0]
        assert torch.allclose(x, expected, atol=ROUNDED)


@pytest.mark.parametrize(("words", "shown"), [
    ({"sigmas": UNEVEN, "timesteps": [1000.0, 900, 800, 700, 500, 300, 100]}, "disagree"),
    ({"sigmas": UNEVEN, "timesteps": [1000.0, 500]}, "7 sigmas and 2 timesteps"),
    ({"sigmas": UNEVEN, "num_inference_steps": 6}, "the number of sigmas"),
    ({}, "at least 1"),
])  # fmt: skip
def test_what_the_vendor_would_not_take_either(words: dict[str, Any], shown: str) -> None:
    _, ours = both({})
    with pytest.raises(ValueError, match=shown) as refused:
        ours.set_timesteps(**words)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize("name", ["sd3", "flux_dev"])
def test_a_pipeline_draws_the_same_picture_at_given_sigmas(name: str) -> None:
    """FLUX works its shift out from the picture's size and hands it over as mu."""
    pipe = FAMILIES[name]()
    vendor = pipe.scheduler
    words = {"sigmas": UNEVEN, "num_inference_steps": 7, "output_type": "pt", **SIZE}
    pictures = []
    try:
        ours = GlassScheduler.from_scheduler(vendor, sampler="ode", order=1)
        for scheduler in (vendor, ours):
            pipe.scheduler = scheduler
            drawn = torch.Generator().manual_seed(0)
            pictures.append(pipe("a dog", generator=drawn, max_sequence_length=32, **words).images)
    finally:
        pipe.scheduler = vendor
    assert pictures[0].std() > 0.01
    assert torch.allclose(*pictures, atol=1e-4)
