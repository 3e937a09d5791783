"""GlassScheduler against diffusers' own schedulers, closed forms and the command line's loop."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from pathlib import Path as FilePath
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    StableDiffusionImg2ImgPipeline,
)
from tiny_pipeline import pipeline
from torch import Tensor

from glass_cli.callback import SteeringCallback
from glass_cli.method.glass import Glass, correlation
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.models.diffusers_pipeline import DiffusersPipeline, LoadedPipeline
from glass_cli.pipelines.encoding import encode_once
from glass_cli.pipelines.session import decode
from glass_cli.scheduler import GlassScheduler
from glass_cli.steering.base import Steering
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.independent import BestOfN, Independent, NoSteering
from glass_cli.steering.loop import steer
from glass_cli.steering.searching import Searching

MEAN, STD = 0.7, 0.6
BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


def ddim(kind: str, **more: Any) -> Any:
    """Stable Diffusion's times as the sampler takes them: from the last one, down to clean data."""
    return DDIMScheduler(
        **BETAS, prediction_type=kind, timestep_spacing="trailing", clip_sample=False, **more
    )


def flow(shift: float = 1.0) -> Any:
    return FlowMatchEulerDiscreteScheduler(shift=shift)


VENDORS: dict[str, Callable[[], Any]] = {
    "flow": flow,
    "shifted flow": lambda: flow(3.0),
    "epsilon": lambda: ddim("epsilon"),
    "v": lambda: ddim("v_prediction"),
    "sample": lambda: EulerDiscreteScheduler(**BETAS, prediction_type="sample"),
}
SAMPLERS: dict[str, dict[str, Any]] = {
    "glass": {},
    "glass first order": {"order": 1},
    "glass rho 0.4": {"rho": 0.4},
    "glass own times": {"inner": "times", "times": "uniform"},
    "ode": {"sampler": "ode"},
    "sde": {"sampler": "sde"},
}


def run(scheduler: Any, outputs: list[Tensor], x: Tensor, **words: Any) -> Tensor:
    for out, t in zip(outputs, scheduler.timesteps, strict=True):
        x = scheduler.step(out, t, x, return_dict=False, **words)[0]
    return x


def random_outputs(n: int) -> tuple[list[Tensor], Tensor]:
    """What a network might say, whatever it is asked: rules of steps are linear in it."""
    made = torch.randn(n + 1, 2, 4, 5, 5, generator=torch.Generator().manual_seed(n))
    return list(made[:n]), made[n]


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


class Network:
    """Says what the best network would of data N(MEAN, STD^2), from the vendor's clock alone."""

    def __init__(self, vendor: Any) -> None:
        self.kind = vendor.config.get("prediction_type", "flow")
        self.table = None if self.kind == "flow" else vendor.alphas_cumprod.double()

    def coefficients(self, timestep: float) -> tuple[float, float]:
        if self.table is None:
            return 1.0 - timestep / 1000.0, timestep / 1000.0
        alpha = math.sqrt(float(self.table[int(timestep)]))
        return alpha, math.sqrt(1.0 - alpha**2)

    def __call__(self, x: Tensor, timestep: float) -> Tensor:
        alpha, sigma = self.coefficients(timestep)
        z = MEAN + alpha * STD**2 / (alpha**2 * STD**2 + sigma**2) * (x - alpha * MEAN)
        eps = (x - alpha * z) / sigma
        said = {"flow": eps - z, "epsilon": eps, "v_prediction": alpha * eps - sigma * z}
        return said.get(self.kind, z)


N = 20_000
SE_MEAN, SE_STD = STD / math.sqrt(N), STD / math.sqrt(2 * N)


@pytest.mark.parametrize("vendor", VENDORS)
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_gaussian_data_come_out_and_transitions_correlate(vendor: str, sampler: str) -> None:
    scheduler = VENDORS[vendor]()
    network, whole = Network(scheduler), scheduler.config.get("prediction_type") is not None
    ours = GlassScheduler.from_scheduler(scheduler, seed=1, transitions=4, **SAMPLERS[sampler])
    ours.set_timesteps(300)
    clock = ours.timesteps.tolist()
    assert len(clock) == 300
    assert not whole or all(0 <= t <= 999 and t == int(t) for t in clock)
    x = torch.randn(1, N, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    starts = []
    for t in clock:
        x = ours.step(network(x, t), t, x).prev_sample
        if ours.start is not None:
            starts.append(ours.start)
    # four standard errors and the steps' discretisation; the noisiest trained time of a discrete
    # model holds 6.8 % of the data, which beginning at N(0, 1) takes away where that is carried on
    lost = 0.068 * MEAN if whole else 0.0
    assert abs(x.mean() - MEAN) < 4 * SE_MEAN + 0.01 * STD + lost
    assert abs(x.std() - STD) < 4 * SE_STD + 0.02 * STD
    if sampler == "ode":
        return
    assert [start.k for start in starts] == [0, 1, 2, 3]
    path, rho = ours._shifted.path, SAMPLERS[sampler].get("rho", "ddpm")
    for before, after in itertools.pairwise(starts[1:]):
        alpha, sigma, _, _ = path.at(before.t)
        alpha_next, sigma_next, _, _ = path.at(after.t)
        shared = correlation(path, before.t, after.t, rho) * sigma * sigma_next
        covariance = alpha * alpha_next * STD**2 + shared
        here, there = (a**2 * STD**2 + s**2 for a, s in ((alpha, sigma), (alpha_next, sigma_next)))
        found = torch.corrcoef(torch.stack([before.x[0], after.x[0]]))[0, 1]
        assert abs(found - covariance / math.sqrt(here * there)) < 4 / math.sqrt(N) + 0.01


@pytest.mark.parametrize("begin", [1, 30, 47])
@pytest.mark.parametrize("vendor", ["flow", "epsilon"])
@pytest.mark.parametrize("sampler", SAMPLERS)
def test_a_start_half_way_keeps_the_law(begin: int, vendor: str, sampler: str) -> None:
    scheduler = VENDORS[vendor]()
    network = Network(scheduler)
    ours = GlassScheduler.from_scheduler(scheduler, seed=1, transitions=3, **SAMPLERS[sampler])
    ours.set_timesteps(60)
    noise = torch.Generator().manual_seed(begin)
    z = MEAN + STD * torch.randn(1, N, generator=noise, dtype=torch.float64)
    eps = torch.randn(1, N, generator=noise, dtype=torch.float64)
    times = ours.timesteps[begin:]
    ours.set_begin_index(begin)
    x = ours.add_noise(z, eps, times[:1])
    for i, t in enumerate(times.tolist()):
        if i == 5:
            x = x.clone()  # as a pipeline hands on that has changed the latents
        x = ours.step(network(x, t), t, x).prev_sample
    assert abs(x.mean() - MEAN) < 4 * SE_MEAN + 0.02 * STD
    first_order = sampler in ("glass first order", "sde")  # too little spread, at 20 calls still
    assert abs(x.std() - STD) < 4 * SE_STD + (0.08 if first_order else 0.02) * STD


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
def test_it_is_saved_and_loaded(vendor: str, tmp_path: FilePath) -> None:
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


@pytest.mark.parametrize("kind", ["flow", "epsilon"])
def test_the_callback_steers_as_the_loop_does(kind: str) -> None:
    pipe = pipeline(kind)
    pipe.set_progress_bar_config(disable=True)
    encode_once(pipe)
    words = {"guidance_scale": 2.0}
    model = LoadedPipeline(pipe, words)

    def reward(pictures: Tensor) -> Tensor:
        return 10.0 * pictures[:, 0].mean((1, 2))

    steering = FeynmanKac(lam=4.0, ess_threshold=1.0)
    noise = ParticleNoise(3, PROMPT, 6, model.shape, model.state)
    own = model.prompted(PROMPT, "", 6)
    *steps, last = steer(
        own,
        Glass(4, 3),
        steering,
        lambda x: reward(decode(pipe, x, {**words, "prompt": PROMPT})),
        noise,
        generator(7, "choices"),
    )
    own.close()
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=4)
    noise = ParticleNoise(3, PROMPT, 6, model.shape, model.state)
    callback, latents = SteeringCallback(reward, steering, seed=7), noise().float()
    pipe.scheduler.noise = noise
    calls: list[int] = []
    pipe.unet.register_forward_pre_hook(lambda *_: calls.append(1))
    images = pipe(
        PROMPT,
        latents=latents,
        num_images_per_prompt=6,
        num_inference_steps=12,
        output_type="pt",
        callback_on_step_end=callback,
        **words,
    ).images
    assert len(calls) == 12
    assert callback.chosen == last.chosen
    assert callback.rewards is not None and last.rewards is not None
    steps.append(last)
    assert len(callback.steps) == 5
    for ours, theirs in zip(callback.steps, steps, strict=True):
        assert (ours.k, ours.nfe) == (theirs.k, theirs.nfe)
        assert ours.t == pytest.approx(theirs.t, abs=1e-12)
        assert ours.ess == pytest.approx(theirs.ess, rel=1e-3)
        assert torch.equal(ours.particles.lineage, theirs.particles.lineage)
    assert torch.allclose(callback.rewards, last.rewards, atol=1e-3)
    assert torch.allclose(reward(images).double(), callback.rewards, atol=1e-3)


def test_the_callback_needs_our_scheduler() -> None:
    pipe = pipeline("epsilon")
    pipe.set_progress_bar_config(disable=True)
    with pytest.raises(ValueError, match="is not a GlassScheduler"):
        pipe(PROMPT, num_inference_steps=2, callback_on_step_end=SteeringCallback(lambda x: x))


def test_what_a_callback_cannot_do_is_said() -> None:
    pipe = pipeline("flow")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=2)
    with pytest.raises(ValueError, match="cannot guide the pipeline's network"):
        SteeringCallback(lambda x: x, BestOfN(guidance=1.0))
    posterior = SteeringCallback(lambda x: x, FeynmanKac(value="posterior"))
    with pytest.raises(ValueError, match="cannot ask the network, which this steering's rewards"):
        pipe(PROMPT, num_inference_steps=2, callback_on_step_end=posterior)


@pytest.mark.parametrize("steering", [FeynmanKac(sizes=(4, 2)), BestOfN(sizes="halving")])
def test_a_callback_cannot_change_the_number_of_particles(steering: Steering) -> None:
    pipe = pipeline("flow")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=2)
    scored: list[Tensor] = []

    def reward(images: Tensor) -> Tensor:
        scored.append(images)
        return images.mean((1, 2, 3))

    callback = SteeringCallback(reward, steering)
    words = {"num_images_per_prompt": 4, "num_inference_steps": 2}
    with pytest.raises(ValueError, match=r"keeps its number of pictures.* sizes=None here"):
        pipe(PROMPT, callback_on_step_end=callback, **words)
    assert not scored
    same = SteeringCallback(reward, FeynmanKac(lam=1.0, sizes=(4, 4)))
    pipe(PROMPT, callback_on_step_end=same, **words)
    assert len(same.steps) == 3


def test_a_callback_cannot_search() -> None:
    class Search(Searching):
        def search(self, search: Any) -> Any:
            raise NotImplementedError

    with pytest.raises(ValueError, match=r"^Search searches in an order of its own"):
        SteeringCallback(lambda x: x, Search())


@pytest.mark.parametrize("cls", [BestOfN, NoSteering])
def test_the_callback_takes_any_steering(cls: type[Independent]) -> None:
    pipe = pipeline("flow")
    pipe.set_progress_bar_config(disable=True)
    x = torch.randn(3, 4, 4, 4, generator=torch.Generator().manual_seed(0))
    words = {"latents": x, "num_images_per_prompt": 3, "num_inference_steps": 4}
    ours = GlassScheduler.from_scheduler(pipe.scheduler, transitions=2, seed=0)
    pipe.scheduler = ours
    plain = pipe(PROMPT, output_type="pt", **words).images
    callback = SteeringCallback(lambda images: images.mean((1, 2, 3)), cls())
    images = pipe(PROMPT, output_type="pt", callback_on_step_end=callback, **words).images
    assert torch.equal(images, plain)
    assert callback.rewards is not None
    assert torch.allclose(callback.rewards, images.mean((1, 2, 3)).double(), atol=1e-6)
    best = int(callback.rewards.argmax())
    assert callback.chosen == (best if cls is BestOfN else None)
    assert [step.rewards is None for step in callback.steps] == [True, True, False]


@pytest.mark.parametrize(
    ("reward", "shown"),
    [
        (
            lambda images: images.mean(),
            r"scores of shape \(\) for 3 particles; it must give one each",
        ),
        (lambda images: 0.5, r"scores of shape \(\) for 3 particles"),
        (lambda images: images.mean((2, 3)), r"of shape \(3, 3\) for 3 .* one each: \(3,\)"),
        (lambda images: "red", r"gave a str; it must give a tensor of 3 scores"),
        (lambda images: None, r"gave a NoneType; it must give a tensor of 3 scores"),
    ],
)
def test_a_reward_of_another_shape_is_one_line(reward: Any, shown: str) -> None:
    pipe = pipeline("flow")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=2)
    callback = SteeringCallback(reward)
    words = {"num_images_per_prompt": 3, "num_inference_steps": 2}
    with pytest.raises(ValueError, match=shown) as refused:
        pipe(PROMPT, callback_on_step_end=callback, **words)
    assert "\n" not in str(refused.value)
