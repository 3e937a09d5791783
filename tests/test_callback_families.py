"""Particles that become fewer in a call of each family's unmodified pipeline."""

from __future__ import annotations

import itertools
from collections.abc import Iterator
from typing import Any

import pytest
import torch
from families import FAMILIES, SIZE
from family_calls import GUIDED, PROMPT, SHORT
from torch import Tensor

from glass_cli.callback import SteeringCallback
from glass_cli.pipelines.loading import network
from glass_cli.scheduler import GlassScheduler
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.independent import BestOfN, Independent


@pytest.fixture
def pipe(name: str) -> Iterator[Any]:
    """The family's pipeline with our scheduler."""
    pipe = FAMILIES[name]()
    vendor = pipe.scheduler
    pipe.scheduler = GlassScheduler.from_scheduler(vendor, transitions=2, seed=0)
    yield pipe
    pipe.scheduler = vendor


# PixArt's pipeline has only an older callback, which cannot change latents
@pytest.mark.parametrize("name", [n for n in FAMILIES if n not in ("pixart_sigma", "z_image")])
@pytest.mark.parametrize("guidance", [1.0, 3.0])
def test_those_that_stay_are_as_if_all_had(name: str, guidance: float, pipe: Any) -> None:
    """Of four pictures the first two go on, with their own noise: they are those of a call in which
    all four do, and the network is asked for two."""
    asked: list[int] = []
    hook = network(pipe).register_forward_pre_hook(
        lambda _, args, kwargs: asked.append(len(args[0] if args else next(iter(kwargs.values())))),
        with_kwargs=True,
    )

    def drawn(steering: Independent) -> tuple[Tensor, SteeringCallback]:
        callback = SteeringCallback(lambda pictures: -torch.arange(len(pictures)), steering)
        latents = pipe(
            prompt=PROMPT,
            num_images_per_prompt=4,
            num_inference_steps=4,
            generator=torch.Generator().manual_seed(0),
            output_type="pt",
            callback_on_step_end=callback,
            **SIZE,
            **SHORT.get(name, {}),
            **GUIDED[name](guidance),
        ).images
        return torch.as_tensor(latents), callback

    whole, _ = drawn(BestOfN())
    first, last = asked[: len(asked) * 3 // 4], asked[len(asked) * 3 // 4 :]
    asked.clear()
    few, callback = drawn(BestOfN(sizes=(4, 2)))
    hook.remove()
    assert len(whole) == 4 and len(few) == 2
    assert torch.allclose(few, whole[:2], atol=2e-3)
    assert asked == [*first, *(n // 2 for n in last)]
    assert callback.steps[-1].nfe == 4 + 4 + 4 + 2


@pytest.mark.parametrize("name", ["flux_dev"])
def test_a_call_that_fails_leaves_nothing_on_the_network(name: str, pipe: Any) -> None:
    hooks = dict(network(pipe)._forward_pre_hooks)
    asked: list[int] = []

    def fails(pictures: Tensor) -> Tensor:
        asked.append(len(pictures))
        if len(asked) > 1:
            raise RuntimeError("the reward's own")
        return pictures.mean((1, 2, 3))

    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=3)
    callback = SteeringCallback(fails, BestOfN(sizes=(4, 2, 1)))
    words = {"num_images_per_prompt": 4, "num_inference_steps": 3, **SIZE, **SHORT[name]}
    with pytest.raises(RuntimeError, match="the reward's own"):
        pipe(prompt=PROMPT, callback_on_step_end=callback, **words)
    assert asked == [4, 2] and network(pipe)._forward_pre_hooks == hooks
    with pytest.raises(ValueError, match="where a transition begins"):
        GlassScheduler.from_scheduler(pipe.scheduler).resample(torch.tensor([0]))


@pytest.mark.parametrize("name", ["flux_dev"])
def test_noise_that_knows_no_numbers_is_cut(name: str, pipe: Any) -> None:
    """``scheduler.noise`` may be any function of all particles' noise."""
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=3)
    drawn = torch.Generator().manual_seed(0)
    pipe.scheduler.noise = lambda: torch.randn(4, 16, 16, generator=drawn, dtype=torch.float64)
    callback = SteeringCallback(lambda p: p.mean((1, 2, 3)), BestOfN(sizes=(4, 2, 2)))
    words = {"num_images_per_prompt": 4, "num_inference_steps": 6, **SIZE, **SHORT[name]}
    images = pipe(prompt=PROMPT, callback_on_step_end=callback, output_type="pt", **words).images
    assert len(images) == 2


@pytest.mark.parametrize("name", ["z_image"])
def test_a_pipeline_that_counts_for_itself_is_refused(name: str, pipe: Any) -> None:
    callback = SteeringCallback(lambda pictures: pictures.mean((1, 2, 3)), BestOfN(sizes=(4, 2)))
    words = {"num_images_per_prompt": 4, "num_inference_steps": 4, **SIZE, **SHORT[name]}
    with pytest.raises(ValueError, match="ZImagePipeline goes on with as many pictures"):
        pipe(prompt=PROMPT, callback_on_step_end=callback, **words)


@pytest.mark.parametrize("name", ["flux_dev"])
def test_the_weights_say_how_many(name: str, pipe: Any) -> None:
    callback = SteeringCallback(
        lambda pictures: pictures.mean((1, 2, 3)), FeynmanKac(lam=1e3, sizes="ess")
    )
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=4, seed=0)
    images = pipe(PROMPT, num_images_per_prompt=6, num_inference_steps=8, output_type="pt",
                  callback_on_step_end=callback, **SIZE).images  # fmt: skip
    numbers = [len(step.log_w) for step in callback.steps]
    assert all(a >= b for a, b in itertools.pairwise(numbers)) and numbers[-1] < 6
    assert len(images) == numbers[-1]
    # a later call of the same pipeline is whole again
    assert len(pipe(PROMPT, num_images_per_prompt=6, num_inference_steps=4, **SIZE).images) == 6
