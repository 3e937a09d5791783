"""FLUX.1 steered by a reward, in the style of diffusers' community pipelines.

As a script, from any folder where glass is installed:

    python pipeline_flux_glass.py "a red apple and a blue car" --reward imagereward --offload

or in a program of your own:

    import torch
    from diffusers import DiffusionPipeline

    pipe = DiffusionPipeline.from_pretrained(
        "black-forest-labs/FLUX.1-dev",
        custom_pipeline="pipeline_flux_glass.py",
        trust_remote_code=True,  # diffusers asks for it: the file is run
        dtype=torch.bfloat16,
    )
    pipe.enable_model_cpu_offload()
    result = pipe.steered("a red apple and a blue car", reward=my_reward, particles=8)
    result.images[result.best].save("best.png")

where ``my_reward`` scores pictures (N, 3, H, W) in [0, 1]. ``pipe(...)`` stays FLUX's own call.

The sampler is GLASS Flows (arXiv 2509.25170): transitions as random as an SDE's, each solved as
an ODE. Feynman-Kac steering (arXiv 2501.06848) scores the posterior mean where a transition begins,
and replaces particles by copies of better ones. Any text-to-image pipeline of diffusers can take
FluxPipeline's place here.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import FluxPipeline
from diffusers.utils import BaseOutput
from PIL import Image

import glass_cli as glass


@dataclass
class SteeredOutput(BaseOutput):
    """What :meth:`FluxGlassPipeline.steered` gives.

    images: the particles' pictures.
    rewards: theirs, (N,).
    best: the index of the picture with the highest reward.
    """

    images: list[Image.Image]
    rewards: torch.Tensor
    best: int


class FluxGlassPipeline(FluxPipeline):
    """FluxPipeline, and a call that is steered."""

    def steered(
        self,
        prompt: str,
        reward: Callable[[torch.Tensor], torch.Tensor],
        particles: int = 8,
        transitions: int = 5,
        rho: float | Literal["ddpm"] = "ddpm",
        lam: float | Literal["auto"] = "auto",
        seed: int = 0,
        **arguments: Any,
    ) -> SteeredOutput:
        """Draws particles of one prompt, steered by a reward.

        prompt: one.
        reward: scores pictures (N, 3, H, W) in [0, 1], float32; gives (N,).
        particles: N, drawn together.
        transitions: K; the particles are weighed where each begins, and at the end.
        rho: correlation of a transition's two ends, -1 to 1, or that of ancestral sampling.
        lam: how hard the reward pulls, in units of 1/reward; "auto" by the spread of the first.
        seed: decides all random numbers.
        arguments: of FluxPipeline's call: num_inference_steps, guidance_scale, height, width, ...
        """
        own = self.scheduler
        self.scheduler = glass.GlassScheduler.from_scheduler(
            own, transitions=transitions, rho=rho, seed=seed
        )
        callback = glass.SteeringCallback(reward, glass.FeynmanKac(lam=lam), seed=seed)
        # GLASS begins at the noise that the pipeline draws
        arguments.setdefault("generator", torch.Generator().manual_seed(seed))
        try:
            images = self(
                prompt,
                num_images_per_prompt=particles,
                callback_on_step_end=callback,
                **arguments,
            ).images
        finally:
            self.scheduler = own
        assert callback.rewards is not None
        return SteeredOutput(images, callback.rewards, int(callback.rewards.argmax()))


def main() -> None:
    """Draws one prompt, and saves every particle and the best."""
    parser = argparse.ArgumentParser(description="FLUX.1 steered by a reward")
    parser.add_argument("prompt")
    parser.add_argument("--model", default="black-forest-labs/FLUX.1-dev", help="or a folder")
    parser.add_argument("--reward", default="imagereward", help="see glass ls reward")
    parser.add_argument("--particles", type=int, default=8)
    parser.add_argument("--calls", type=int, default=50, help="network calls a particle")
    parser.add_argument("--size", type=int, nargs=2, default=[1024, 1024], help="height, width")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--offload", action="store_true", help="for GPUs of 24 GB")
    parser.add_argument("--out", type=Path, default=Path("flux_glass"))
    args = parser.parse_args()

    try:  # before the pipeline, which takes minutes
        scorer = glass.load_reward(args.reward)
    except glass.GlassError as error:
        parser.exit(2, f"{parser.prog}: {error}\n")
    cuda = torch.cuda.is_available()
    dtype = torch.bfloat16 if cuda else torch.float32
    pipe = FluxGlassPipeline.from_pretrained(args.model, dtype=dtype)
    if args.offload:
        pipe.enable_model_cpu_offload()
    elif cuda:
        pipe.to("cuda")
    height, width = args.size
    result = pipe.steered(
        args.prompt,
        lambda images: scorer.score(images, args.prompt),
        particles=args.particles,
        seed=args.seed,
        num_inference_steps=args.calls,
        height=height,
        width=width,
    )
    args.out.mkdir(parents=True, exist_ok=True)
    for i, image in enumerate(result.images):
        image.save(args.out / f"{i}.png")
    result.images[result.best].save(args.out / "best.png")
    for i, reward in enumerate(result.rewards.tolist()):
        print(f"{i}.png  {reward:8.3f}{'  best' if i == result.best else ''}")


if __name__ == "__main__":
    main()
