"""Calls of tiny pipelines: through the command line's way in, and plain ones."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from families import FAMILIES, SIZE
from torch import Tensor

from glass_cli.method.noise import generator
from glass_cli.models.pipeline import LoadedPipeline

PROMPT = "a dog"

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


def loaded(name: str, calls: int | None = None, **arguments: Any) -> LoadedPipeline:
    """The family's pipeline as a model of ours, with arguments for every call of it."""
    words = {**SIZE, **SHORT.get(name, {}), **arguments}
    return LoadedPipeline(FAMILIES[name](), words, None, calls)


def unguided(name: str) -> dict[str, Any]:
    return GUIDED[name](NO_GUIDANCE.get(name, 1.0))


def vendors_own(name: str, steps: int, pictures: int, **words: Any) -> tuple[Tensor, Tensor]:
    """The pipeline's last latents and its pictures, by a plain call with its own scheduler."""
    pipe, last = FAMILIES[name](), []

    def keep(_: Any, step: int, time: Any, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
        last.append(tensors["latents"])
        return {}

    # PixArt has only the older callback
    callback = (
        {"callback": lambda step, time, latents: last.append(latents)}
        if name == "pixart_sigma"
        else {"callback_on_step_end": keep}
    )
    pictured = pipe(
        prompt=PROMPT,
        num_images_per_prompt=pictures,
        num_inference_steps=steps,
        generator=torch.Generator().manual_seed(1),
        output_type="pt",
        **SIZE,
        **SHORT.get(name, {}),
        **callback,
        **words,
    )
    return last[-1], pictured[0]


def denoised(model: LoadedPipeline, negative_prompt: str = "") -> list[Tensor]:
    """D_t(x) of the random network at two times, one asked after the other."""
    flow = model.prompted(PROMPT, negative_prompt, 2)
    x = torch.randn(2, *model.shape, dtype=torch.float64, generator=generator(6))
    out = [flow.denoise(x, t) for t in flow.path.snap([0.3, 0.6], -1.0, 1.0)]
    flow.close()
    return out
