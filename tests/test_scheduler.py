"""GlassScheduler's plan, noise, resampling, saving, and the embedded pipeline that it drives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionImg2ImgPipeline
from schedulers import VENDORS, flow, random_outputs, run
from tiny_pipeline import pipeline
from torch import Tensor

from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.models.diffusers_pipeline import DiffusersPipeline
from glass_cli.scheduler import GlassScheduler
from glass_cli.steering.independent import NoSteering
from glass_cli.steering.loop import steer


@pytest.mark.parametrize("sampler", ["glass", "sde"])
@pytest.mark.parametrize("vendor", ["flow", "shifted flow", "epsilon"])
def test_transitions_begin_at_given_times(vendor: str, sampler: str) -> None:
    clock = [999, 950, 880, 700, 500, 400, 30]
    ours = GlassScheduler.from_scheduler(VENDORS[vendor](), transitions=3, sampler=sampler)
    ours.set_timesteps(timesteps=[1000.0, *clock[1:]] if "flow" in vendor else clock)
    assert ours._plan.shares == (3, 2, 2)
    found = ours.timesteps.tolist()
    assert [found[k] for k in (3, 5)] == pytest.approx([700, 400], abs=1e-3)
    if sampler == "sde":
        assert found[1:] == pytest.approx(clock[1:], abs=1e-3)
    outputs, x = random_outputs(7)
    assert bool(run(ours, outputs, x).isfinite().all()) and ours.finished


@pytest.mark.parametrize(
    ("vendor", "words", "shown"),
    [
        ("flow", {"sigmas": [0.9, 0.5]}, "from pure noise"),
        ("flow", {"sigmas": [1.0, 0.5, 0.5]}, "must fall"),
        ("flow", {"sigmas": [1.0, 0.0]}, "without reaching 0"),
        ("flow", {"timesteps": [1000, 400], "num_inference_steps": 3}, "the number of sigmas or"),
        ("flow", {"timesteps": [1000, 400]}, "2 are fewer calls than the 3 transitions"),
        ("epsilon", {"sigmas": [14.0, 3.0, 1.0]}, "give this model timesteps"),
    ],
)
def test_given_times_that_cannot_be(vendor: str, words: dict[str, Any], shown: str) -> None:
    ours = GlassScheduler.from_scheduler(VENDORS[vendor](), transitions=3)
    with pytest.raises(ValueError, match=shown) as refused:
        ours.set_timesteps(**words)
    assert "\n" not in str(refused.value)


def test_calls_are_divided_and_counted() -> None:
    ours = GlassScheduler.from_scheduler(flow(), transitions=5)
    for n in (5, 8, 28):
        ours.set_timesteps(n)
        assert len(ours.timesteps) == n
        assert len(ours.ends) == 6
    assert ours._plan.shares == (6, 6, 6, 5, 5)
    outputs, x = random_outputs(28)
    run(ours, outputs, x)
    assert ours.finished
    with pytest.raises(ValueError, match="all planned calls are done"):
        ours.step(outputs[0], 0, x)


def test_noise_of_its_own_does_not_depend_on_the_batch() -> None:
    outputs, x = random_outputs(6)
    found = []
    for rows in (slice(0, 2), slice(0, 1)):
        ours = GlassScheduler.from_scheduler(flow(), transitions=3, seed=4)
        ours.set_timesteps(6)
        found.append(run(ours, [out[rows] for out in outputs], x[rows]))
    assert torch.equal(found[0][:1], found[1])
    assert not torch.equal(found[0][0], found[0][1])


@pytest.mark.parametrize("sampler", ["glass", "sde", "ode"])
def test_resampling_begins_the_transition_anew(sampler: str) -> None:
    """Copies of particle 1 go on as it would, with the noise of the particle they replace."""
    outputs, x = random_outputs(9)
    times = [0.0, 0.3, 0.6, 1.0]
    words = {"transitions": 3, "seed": 4, "sampler": sampler, "times": times}
    ours = GlassScheduler.from_scheduler(flow(), **words)
    ours.set_timesteps(9)
    state, ancestors = x, torch.tensor([1, 1])
    for i, t in enumerate(ours.timesteps):
        state = ours.step(outputs[i][ancestors] if i > 3 else outputs[i], t, state).prev_sample
        if i == 3:
            assert ours.start is not None and ours.start.k == 1
            before = ours.start
            state = ours.resample(ancestors)
            assert torch.equal(ours.start.x, before.x[ancestors])
            assert torch.equal(ours.start.x_hat, before.x_hat[ancestors])
    noise = ParticleNoise(4, "", 2, x.shape[1:], torch.empty(0, dtype=torch.float64))
    if sampler != "ode":
        _ = [noise() for _ in range(1 if sampler == "glass" else 3)]
    plan = ours._plan
    answers = iter(outputs[4:6])

    class Told:
        path, shift = ours._shifted.path, 1.0

        def denoise(self, x: Tensor, t: float) -> Tensor:
            out = next(answers)[ancestors].double()
            return ours._shifted.denoised(x, t, out)

    x_t, x_hat = before.x[ancestors], before.x_hat[ancestors]
    end = plan.sampler.transition(Told(), x_t, x_hat, 0.3, 0.6, noise, plan.shares[1])
    assert torch.allclose(end, _state_at(ours, outputs, x, ancestors, words), atol=1e-12)


def _state_at(
    ours: GlassScheduler, outputs: list[Tensor], x: Tensor, ancestors: Tensor, words: dict[str, Any]
) -> Tensor:
    """x at the third transition's beginning, from another run of the same scheduler."""
    again = GlassScheduler.from_scheduler(ours, **words)
    again.set_timesteps(9)
    state = x
    for i, t in enumerate(again.timesteps):
        state = again.step(outputs[i][ancestors] if i > 3 else outputs[i], t, state).prev_sample
        if i == 3:
            state = again.resample(ancestors)
        if i == 6:
            assert again.start is not None
            return again.start.x
    raise AssertionError


def test_resampling_elsewhere_is_refused() -> None:
    outputs, x = random_outputs(6)
    ours = GlassScheduler.from_scheduler(flow(), transitions=2)
    ours.set_timesteps(6)
    x = ours.step(outputs[0], 0, x).prev_sample
    ours.step(outputs[1], 0, x)
    with pytest.raises(ValueError, match="where a transition begins"):
        ours.resample(torch.tensor([0, 0]))


@pytest.mark.parametrize("vendor", VENDORS)
def test_it_is_saved_and_loaded(vendor: str, tmp_path: Path) -> None:
    ours = GlassScheduler.from_scheduler(
        VENDORS[vendor](), transitions=3, rho=0.3, times=[0.0, 0.2, 0.5, 1.0], seed=5
    )
    ours.save_pretrained(tmp_path)
    again = GlassScheduler.from_pretrained(tmp_path)
    outputs, x = random_outputs(7)
    for scheduler in (ours, again):
        scheduler.set_timesteps(7)
    assert torch.equal(run(ours, outputs, x), run(again, outputs, x))
    third = GlassScheduler.from_scheduler(again, transitions=2)
    assert third.config.vendor == ours.config.vendor


def test_what_cannot_be_is_said() -> None:
    with pytest.raises(ValueError, match="make it with GlassScheduler"):
        GlassScheduler.from_config(flow().config)
    with pytest.raises(ValueError, match="sampler must be glass, ode or sde"):
        GlassScheduler.from_scheduler(flow(), sampler="ddpm")
    with pytest.raises(ValueError, match=r"sampler\.rho"):
        GlassScheduler.from_scheduler(flow(), rho=2.0)
    ours = GlassScheduler.from_scheduler(flow(), times=[0.0, 0.5, 1.0])
    with pytest.raises(ValueError, match="has times of its own; leave them out"):
        ours.set_timesteps(sigmas=[1.0, 0.9, 0.1])
    with pytest.raises(ValueError, match=r"are fewer calls than the 2 .* with fewer times"):
        ours.set_timesteps(1)
    ours = GlassScheduler.from_scheduler(flow(), transitions=5)
    with pytest.raises(ValueError, match=r"steps=3 are fewer calls than the 5 .* transitions=3"):
        ours.set_timesteps(3)
    with pytest.raises(ValueError, match="at least 1"):
        ours.set_timesteps(0)


PROMPT = "a photo of a red apple"


def test_the_embedded_model_draws_the_same_by_every_way_in() -> None:
    """The command line's loop, and plain calls of the pipeline with one and with four pictures."""
    settings = DiffusersPipeline("embedded:emoji", guidance=3.0)
    model = settings.load(torch.device("cpu"), torch.float32)
    sampler = Glass(2, 2)
    found = []
    for micro_batch in (1, 4):
        noise = ParticleNoise(3, PROMPT, 4, model.shape, model.state)
        own = model.prompted(PROMPT, "", micro_batch)
        *_, last = steer(own, sampler, NoSteering(), None, noise, generator(0))
        own.close()
        found.append(model.decode(last.particles.x))
    pipe, vendor = model.pipe, model.pipe.scheduler
    for size in (1, 4):
        pictures = []
        for first in range(0, 4, size):
            pipe.scheduler = GlassScheduler.from_scheduler(vendor, transitions=2)
            noise = ParticleNoise(3, PROMPT, size, model.shape, model.state, first)
            latents = noise().float()
            pipe.scheduler.noise = noise
            words = {"num_inference_steps": 4, "guidance_scale": 3.0, "output_type": "pt"}
            pictures.append(
                pipe(PROMPT, latents=latents, num_images_per_prompt=size, **words).images
            )
        found.append(torch.cat(pictures))
    for other in found[1:]:
        # float32 networks round differently for other batch sizes; a level is 1/255
        assert (other - found[0]).abs().max() < 1 / 255


def test_img2img_takes_up_at_its_strength() -> None:
    components = pipeline("epsilon").components
    pipe = StableDiffusionImg2ImgPipeline(**components, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=3, seed=0)
    picture = torch.rand(1, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    close, far = (
        pipe(
            PROMPT,
            picture,
            strength=s,
            num_inference_steps=30,
            output_type="pt",
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(0),
        ).images
        for s in (0.05, 1.0)
    )
    assert close.isfinite().all() and far.isfinite().all()
    assert not torch.equal(close, far)
