"""Calls of tiny pipelines: through the command line's way in, and plain ones."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from families import FAMILIES, SIZE
from torch import Tensor
from worlds import GaussianFlow

from glass_cli.method.noise import generator
from glass_cli.models.diffusers_pipeline import LoadedPipeline

PROMPT = "a dog"
MEAN, STD = 0.7, 0.6
"""Of the data, in every element of the latents."""

# How a family is asked for classifier-free guidance, and how it is asked for none; FLUX and
# Qwen-Image have it only with a negative prompt, and FLUX.2 has no negative prompt.
GUIDED: dict[str, Callable[[float], dict[str, Any]]] = {
    **dict.fromkeys(FAMILIES, lambda scale: {"guidance_scale": scale}),
    **dict.fromkeys(
        ("flux_dev", "flux_schnell", "qwen_image"),
        lambda scale: {"true_cfg_scale": scale, "negative_prompt": " "},
    ),
}
NO_GUIDANCE = {"z_image": 0.0}
# Fewer tokens than the pipelines' own, for speed; SANA's instruction stands before every prompt.
T5_OR_CHAT = ("flux_dev", "flux_schnell", "sd3", "z_image", "flux2_klein", "auraflow")
SHORT: dict[str, dict[str, Any]] = {
    **{name: {"max_sequence_length": 32} for name in (*T5_OR_CHAT, "pixart_sigma")},
    "sana": {"max_sequence_length": 32, "complex_human_instruction": []},
}
# Qwen-Image and Lumina2 give the guided output the length of the unguided one.
RENORMALISED = ("qwen_image", "lumina2")


every_family = pytest.mark.parametrize("name", list(FAMILIES))


def loaded(name: str, calls: int | None = None, **arguments: Any) -> LoadedPipeline:
    """The family's pipeline as a model of ours, with arguments for every call of it."""
    words = {**SIZE, **SHORT.get(name, {}), **arguments}
    return LoadedPipeline(FAMILIES[name](), words, None, calls)


def unguided(name: str) -> dict[str, Any]:
    return GUIDED[name](NO_GUIDANCE.get(name, 1.0))


def called(
    name: str,
    steps: int,
    pictures: int,
    each: Callable[[Tensor], None] | None = None,
    **words: Any,
) -> tuple[Tensor, Tensor]:
    """A plain call of the pipeline, by whichever scheduler it has: its last latents and pictures.

    ``each`` is given the latents after every step.
    """
    last: list[Tensor] = []

    def keep(latents: Tensor) -> None:
        last[:] = [latents]
        if each is not None:
            each(latents)

    def on_step_end(_: Any, step: int, time: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        keep(tensors["latents"])
        return {}

    # PixArt has only the older callback
    callback: dict[str, Any] = (
        {"callback": lambda step, time, latents: keep(latents)}
        if name == "pixart_sigma"
        else {"callback_on_step_end": on_step_end}
    )
    made = FAMILIES[name]()(
        prompt=PROMPT,
        num_images_per_prompt=pictures,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(1),
        **{"output_type": "pt", **SIZE, **SHORT.get(name, {}), **callback, **words},
    )
    return last[0], made[0]


def denoised(model: LoadedPipeline, negative_prompt: str = "") -> list[Tensor]:
    """D_t(x) of the random network at two times, one asked after the other."""
    flow = model.prompted(PROMPT, negative_prompt, 2)
    x = torch.randn(2, *model.shape, dtype=torch.float64, generator=generator(6))
    out = [flow.denoise(x, t) for t in flow.path.snap([0.3, 0.6], -1.0, 1.0)]
    flow.close()
    return out


def ancestral_law(law: GaussianFlow, grid: list[float]) -> tuple[float, float]:
    """Slope and spread of x_t' given x_t through draws of p(x_next | x, z = D(x)) along a grid."""
    slope, spread = 1.0, 0.0
    for t, t_next in itertools.pairwise(grid):
        alpha, sigma, _, _ = law.path.at(t)
        alpha_next, sigma_next, _, _ = law.path.at(t_next)
        gain = alpha * law.std**2 / law.law(t)[1] ** 2
        # x_t is x_next, scaled by alpha/alpha_next, with fresh noise: so is p(x_next | x_t, z)
        gamma = alpha * sigma_next**2 / (alpha_next * sigma**2)
        step = gamma + (alpha_next - gamma * alpha) * gain
        fresh = sigma_next**2 - gamma**2 * sigma**2
        slope, spread = step * slope, math.sqrt(step**2 * spread**2 + fresh)
    return slope, spread
