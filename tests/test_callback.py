"""SteeringCallback against the command line's loop; what it takes and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from tiny_pipeline import pipeline
from torch import Tensor

from glass_cli.callback import SteeringCallback
from glass_cli.method.glass import Glass
from glass_cli.method.noise import ParticleNoise, generator
from glass_cli.models.diffusers_pipeline import LoadedPipeline
from glass_cli.pipelines.encoding import encode_once
from glass_cli.pipelines.session import decode
from glass_cli.rewards.base import LoadedReward
from glass_cli.scheduler import GlassScheduler
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.independent import BestOfN, Independent, NoSteering
from glass_cli.steering.loop import steer
from glass_cli.steering.searching import Searching
from glass_cli.steering.sizes import Sizes

PROMPT = "a photo of a red apple"


@pytest.mark.parametrize(
    ("kind", "sizes"), [("flow", None), ("epsilon", None), ("flow", (6, 4, 4, 1))]
)
def test_the_callback_steers_as_the_loop_does(kind: str, sizes: Sizes) -> None:
    pipe = pipeline(kind)
    pipe.set_progress_bar_config(disable=True)
    encode_once(pipe)
    words = {"guidance_scale": 2.0}
    model = LoadedPipeline(pipe, words)

    def reward(pictures: Tensor) -> Tensor:
        return 10.0 * pictures[:, 0].mean((1, 2))

    steering = FeynmanKac(lam=4.0 if sizes is None else 40.0, ess_threshold=1.0, sizes=sizes)
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
    numbers = [len(step.log_w) for step in callback.steps]
    assert (min(numbers) < 6) == (sizes is not None) and len(images) == numbers[-1]
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


def test_a_call_is_of_one_prompt() -> None:
    """Pictures of two would be copied over each other's."""
    pipe = pipeline("flow")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=2)
    callback = SteeringCallback(lambda x: x.mean((1, 2, 3)))
    words = {"num_images_per_prompt": 2, "num_inference_steps": 2}
    with pytest.raises(ValueError, match=r"pictures of one prompt \(got 2\); call the pipeline"):
        pipe([PROMPT, "a photo of a dog"], callback_on_step_end=callback, **words)
    pipe([PROMPT, PROMPT], callback_on_step_end=callback, **words)
    assert callback.rewards is not None and len(callback.rewards) == 4


def test_a_loaded_reward_is_told_the_prompt() -> None:
    pipe = pipeline("flow")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=2)
    asked: list[str] = []

    class Red(LoadedReward):
        def score(self, samples: Tensor, prompt: str) -> Tensor:
            asked.append(prompt)
            return samples[:, 0].mean((1, 2))

    callback = SteeringCallback(Red())
    pipe(PROMPT, num_images_per_prompt=3, num_inference_steps=2, callback_on_step_end=callback)
    assert set(asked) == {PROMPT} and callback.rewards is not None and len(callback.rewards) == 3
    embedded, *_ = pipe.encode_prompt(PROMPT, "cpu", 1, False)
    with pytest.raises(ValueError, match="needs the pipeline's prompt as text"):
        pipe(prompt_embeds=embedded, num_inference_steps=2, guidance_scale=1.0,
             callback_on_step_end=callback)  # fmt: skip
    with pytest.raises(ValueError, match=r"the pictures of one prompt \(got 2\)"):
        pipe(prompt_embeds=embedded.repeat(2, 1, 1), num_inference_steps=2, guidance_scale=1.0,
             callback_on_step_end=SteeringCallback(lambda x: x.mean((1, 2, 3))))  # fmt: skip


def test_a_call_cannot_gain_pictures() -> None:
    pipe = pipeline("flow")
    pipe.set_progress_bar_config(disable=True)
    pipe.scheduler = GlassScheduler.from_scheduler(pipe.scheduler, transitions=2)
    scored: list[Tensor] = []

    def reward(images: Tensor) -> Tensor:
        scored.append(images)
        return images.mean((1, 2, 3))

    words = {"num_images_per_prompt": 4, "num_inference_steps": 2}
    callback = SteeringCallback(reward, FeynmanKac(sizes=(4, 6)))
    with pytest.raises(ValueError, match=r"cannot gain any \(got sizes=\[4, 6\]\)"):
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
