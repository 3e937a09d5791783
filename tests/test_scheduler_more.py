"""GlassScheduler and its callback as scripts use them: saved, copied, called again, steered."""

from __future__ import annotations

import copy
import inspect
import pickle
from pathlib import Path
from typing import Any

import diffusers
import pytest
import torch
from exact_network import exact
from families import FAMILIES, SIZE
from family_calls import MEAN, STD
from tiny_pipeline import pipeline
from torch import Tensor
from worlds import GaussianFlow

from glass_cli.callback import SteeringCallback
from glass_cli.models.diffusers_pipeline import DiffusersPipeline
from glass_cli.pipelines.prediction import Prediction
from glass_cli.pipelines.session import replaced
from glass_cli.scheduler import GlassScheduler
from glass_cli.steering.feynman_kac import FeynmanKac

PROMPT = "a dog"


def glass(kind: str, **settings: Any) -> Any:
    pipe = pipeline(kind)
    words = {"transitions": 3, **settings}
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, **words)
    return pipe


def redness(pictures: Tensor) -> Tensor:
    return pictures[:, 0].mean((1, 2))


def steered(pipe: Any, callback: SteeringCallback, **words: Any) -> Tensor:
    words = {"num_images_per_prompt": 3, "output_type": "pt", "num_inference_steps": 6, **words}
    pictures: Tensor = pipe(PROMPT, callback_on_step_end=callback, **words).images
    return pictures


@pytest.mark.parametrize("kind", ["flow", "epsilon"])
def test_a_pipeline_saved_with_it_is_one_like_any_other(
    kind: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    pipe = glass(kind, seed=2)
    pipe.save_pretrained(tmp_path)
    capfd.readouterr()
    again = diffusers.DiffusionPipeline.from_pretrained(tmp_path)
    assert "not expected" not in capfd.readouterr().err  # the vendor's settings are no surprise
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    words = {"latents": x, "num_inference_steps": 6, "output_type": "pt"}
    assert torch.equal(again(PROMPT, **words).images, pipe(PROMPT, **words).images)
    model = DiffusersPipeline(str(tmp_path)).load(torch.device("cpu"), torch.float32)
    assert model.prediction == Prediction.of(pipeline(kind).scheduler)


@pytest.mark.parametrize("steps", [0, 1, 2, 6])
def test_a_copy_begins_anew_and_the_original_goes_on(steps: int) -> None:
    ours = glass("flow", seed=None).scheduler
    x = torch.randn(2, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    outs = torch.randn(6, 2, 4, 4, 4, generator=torch.Generator().manual_seed(1))

    def run(scheduler: Any, first: int, x: Tensor, last: int = 6) -> Tensor:
        for out, t in zip(outs[first:last], scheduler.timesteps[first:last], strict=True):
            x = scheduler.step(out, t, x)[0]
        return x

    ours.noise = _Half()
    ours.set_timesteps(6)
    expected = run(ours, 0, x)
    ours.set_timesteps(6)
    there = run(ours, 0, x, steps)
    for copied in (copy.deepcopy(ours), pickle.loads(pickle.dumps(ours))):
        copied.set_timesteps(6)
        assert torch.equal(run(copied, 0, x), expected)
    assert torch.equal(run(ours, steps, there), expected)


class _Half:
    def __call__(self) -> Tensor:
        return torch.full((2, 4, 4, 4), 0.5, dtype=torch.float64)


def test_a_seed_decides_whether_or_not_the_pipeline_hands_on_its_generator() -> None:
    pipe = glass("epsilon", seed=0)
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    words = {"latents": x, "num_inference_steps": 6, "output_type": "pt"}
    one, other = (
        pipe(PROMPT, generator=generator, **words).images
        for generator in (None, torch.Generator().manual_seed(1))
    )
    assert torch.equal(one, other)


def test_noise_is_not_rounded_to_the_networks_type() -> None:
    pipe = glass("epsilon", transitions=2)
    pipe.scheduler.set_timesteps(2)
    state = torch.zeros(1, 4, 32, 32, dtype=torch.bfloat16)
    t = pipe.scheduler.timesteps[0]
    made = pipe.scheduler.step(state, t, state, torch.Generator().manual_seed(0))[0]
    drawn = torch.randn(1, 4, 32, 32, generator=torch.Generator().manual_seed(0))
    exact = pipe.scheduler._run._question
    assert made.dtype == torch.bfloat16
    # zeros in: what comes out is the noise times a constant
    assert torch.allclose(exact / exact.std(), (drawn / drawn.std()).double(), atol=1e-6)


def test_an_interrupted_call_leaves_nothing_behind() -> None:
    pipe, seen = glass("epsilon", seed=0), []
    x = torch.randn(1, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    words = {"latents": x, "num_inference_steps": 6, "output_type": "pt"}

    def interrupt(_: Any, i: int, t: Any, kwargs: dict[str, Any]) -> dict[str, Any]:
        seen.append(i)
        if i == 2:
            raise KeyboardInterrupt
        return kwargs

    expected = pipe(PROMPT, **words).images
    with pytest.raises(KeyboardInterrupt):
        pipe(PROMPT, callback_on_step_end=interrupt, **words)
    assert seen == [0, 1, 2]
    assert torch.equal(pipe(PROMPT, **words).images, expected)


def test_schedulers_that_are_not_diffusers_own_are_refused() -> None:
    class Mine(diffusers.DDIMScheduler):
        pass

    with pytest.raises(ValueError, match="Mine is none of diffusers' schedulers"):
        GlassScheduler.from_scheduler(Mine())


def test_times_that_begin_past_noise_are_refused() -> None:
    with pytest.raises(ValueError, match="times must begin at 0"):
        GlassScheduler.from_scheduler(pipeline("flow").scheduler, times=[0.3, 0.6, 1.0])


def test_steering_draws_no_bars_of_its_own(capfd: pytest.CaptureFixture[str]) -> None:
    pipe = glass("epsilon")
    pipe.set_progress_bar_config(disable=False)
    steered(pipe, SteeringCallback(redness, FeynmanKac(lam=1.0)))
    shown = capfd.readouterr().err
    assert "6/6" in shown and "/10000" not in shown
    assert pipe._progress_bar_config == {"disable": False}


def test_steering_scores_what_a_safety_checker_would_blacken(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def blacken(_: Any, image: Tensor, *__: Any) -> tuple[Tensor, list[bool]]:
        return torch.full_like(image, -1.0), [True] * len(image)

    monkeypatch.setattr(diffusers.StableDiffusionPipeline, "run_safety_checker", blacken)
    callback = SteeringCallback(redness, FeynmanKac(lam=1.0))
    pictures = steered(glass("epsilon"), callback)
    assert pictures.max() == -1.0  # the pipeline's own answer stays checked
    assert callback.rewards is not None and callback.rewards.min() > 0.1


def test_after_steering_a_changed_text_encoder_is_asked_again() -> None:
    pipe = glass("epsilon", seed=0)
    x = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    steered(pipe, SteeringCallback(redness, FeynmanKac(lam=0.0)))
    words = {"latents": x, "num_inference_steps": 6, "output_type": "pt"}
    before = pipe(PROMPT, num_images_per_prompt=3, **words).images
    with torch.no_grad():
        for parameter in pipe.text_encoder.parameters():
            parameter.mul_(1.5)
    after = pipe(PROMPT, num_images_per_prompt=3, **words).images
    assert not torch.equal(before, after)


def test_steering_encodes_no_prompt_twice() -> None:
    pipe, calls = glass("epsilon"), []
    pipe.text_encoder.register_forward_pre_hook(lambda *_: calls.append(1))
    steered(pipe, SteeringCallback(redness, FeynmanKac(lam=1.0)), num_inference_steps=12)
    assert len(calls) == 4  # the prompt, and the empty one for decoding; each with its negative


IMAGE_TO_IMAGE = {
    "sd_epsilon": diffusers.StableDiffusionImg2ImgPipeline,
    "sd_v": diffusers.StableDiffusionImg2ImgPipeline,
    "sdxl": diffusers.StableDiffusionXLImg2ImgPipeline,
    "sd3": diffusers.StableDiffusion3Img2ImgPipeline,
    "flux_dev": diffusers.FluxImg2ImgPipeline,
}


@pytest.mark.parametrize("strength", [0.3, 0.6, 0.9])
@pytest.mark.parametrize("name", IMAGE_TO_IMAGE)
def test_image_to_image_goes_from_the_noised_picture_along_the_flow(
    name: str, strength: float
) -> None:
    """Each latent of Gaussian data keeps its place in the law: x_1 is linear in x_t."""
    parts = FAMILIES[name]().components
    takes = inspect.signature(IMAGE_TO_IMAGE[name].__init__).parameters
    pipe = IMAGE_TO_IMAGE[name](**{key: part for key, part in parts.items() if key in takes})
    pipe.set_progress_bar_config(disable=True)
    ours = GlassScheduler.from_scheduler(pipe.scheduler, sampler="ode")
    noised, add_noise = [], ours.add_noise

    def kept(*given: Tensor) -> Tensor:
        noised.append(given)
        return add_noise(*given)

    with replaced(ours, add_noise=kept), exact(pipe, MEAN, STD) as seen:
        pipe.scheduler = ours
        out = pipe(
            prompt=PROMPT,
            image=torch.rand(1, 3, *SIZE.values(), generator=torch.Generator().manual_seed(0)),
            num_inference_steps=100,
            strength=strength,
            guidance_scale=1.0,
            generator=torch.Generator().manual_seed(1),
            output_type="latent",
            **({**SIZE, "max_sequence_length": 32} if name in ("sd3", "flux_dev") else {}),
        )[0]
    ((z, eps, clock),) = noised
    if name == "flux_dev":
        z, eps = (pipe._pack_latents(x, *x.shape) for x in (z, eps))
    assert len(seen) == round(100 * strength)
    flow = Prediction.of(parts["scheduler"])
    law = GaussianFlow(flow.path, MEAN, STD)
    t = ours._shifted.time_at(float(clock.flatten()[0]))
    alpha, sigma, _, _ = flow.path.at(t)
    mean, std = law.law(t)
    expected = MEAN + STD / std * (alpha * z + sigma * eps - mean)
    # second order in 30 steps or more
    assert (out - expected).abs().max() < 0.01 * STD


def test_steering_a_call_that_begins_at_a_picture_is_refused() -> None:
    parts = glass("epsilon").components
    pipe = diffusers.StableDiffusionImg2ImgPipeline(**parts, requires_safety_checker=False)
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(ValueError, match="Img2ImgPipeline begins at a picture"):
        steered(pipe, SteeringCallback(redness), image=torch.rand(1, 3, 8, 8), strength=0.6)


@pytest.mark.parametrize("name", ["flux_dev", "sd3", "sdxl"])
def test_steering_decodes_at_the_size_of_the_call(name: str) -> None:
    """Packed latents, as FLUX has, do not tell the size of their picture."""
    pipe = FAMILIES[name]()
    vendor = pipe.scheduler
    pipe.scheduler = GlassScheduler.from_scheduler(vendor, transitions=2)
    callback = SteeringCallback(redness)
    words = {"max_sequence_length": 32} if name != "sdxl" else {}
    try:
        pictures = steered(pipe, callback, **SIZE, **words)
    finally:
        pipe.scheduler = vendor
    assert pictures.shape[2:] == (SIZE["height"], SIZE["width"])
    assert callback.rewards is not None
    assert torch.allclose(callback.rewards, redness(pictures).double(), atol=1e-5)


def test_the_posterior_mean_comes_with_every_step() -> None:
    """Gaussian data: E[z | x_t] in closed form, in the pipeline's own type."""
    flow, ours = GaussianFlow(), glass("flow", transitions=2, sampler="ode").scheduler
    ours.set_timesteps(6)
    x = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    for clock in ours.timesteps.tolist():
        t = 1.0 - clock / 1000.0
        mean = flow.denoise(x.double(), t)
        velocity = (x - mean.float()) / max(1.0 - t, 1e-9)  # eps - z, as diffusers has it
        out = ours.step(velocity, clock, x)
        assert out.pred_original_sample.dtype == x.dtype
        assert torch.allclose(out.pred_original_sample, mean.float(), atol=1e-4)
        x = out.prev_sample
