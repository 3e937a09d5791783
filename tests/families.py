"""Tiny pipelines of the published text-to-image families.

Architectures, schedulers and autoencoder constants are those of the published repositories
(scheduler/scheduler_config.json, vae/config.json), sizes are not. Every call needs ``SIZE``, as
several families' default size does not depend on the network.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import diffusers
import tiny_parts as parts
import torch
from diffusers import FlowMatchEulerDiscreteScheduler as FlowMatchEuler
from families_strong import auraflow, cogview4
from families_unet import sd_epsilon, sd_v, sdxl
from tiny_parts import CHANNELS, DYNAMIC, HEADS
from tiny_pipeline import WIDTH

SIZE = {"height": 64, "width": 64}
FLUX_VAE = (0.3611, 0.1159)


def _flux(distilled: bool) -> Any:
    return diffusers.FluxPipeline(
        scheduler=FlowMatchEuler(shift=3.0, **DYNAMIC) if distilled else FlowMatchEuler(shift=1.0),
        vae=parts.vae(*FLUX_VAE),
        text_encoder=parts.clip(),
        tokenizer=parts.clip_tokenizer(),
        text_encoder_2=parts.t5(),
        tokenizer_2=parts.t5_tokenizer(),
        transformer=diffusers.FluxTransformer2DModel(
            in_channels=4 * CHANNELS,
            num_layers=1,
            num_single_layers=1,
            **HEADS,
            joint_attention_dim=2 * WIDTH,
            pooled_projection_dim=WIDTH,
            guidance_embeds=distilled,
            axes_dims_rope=(4, 4, 8),
        ),
    )


def flux_dev() -> Any:
    """FLUX.1-dev: guidance is an input of the network; the shift depends on the size."""
    return _flux(distilled=True)


def flux_schnell() -> Any:
    return _flux(distilled=False)


def _sd3(with_t5: bool) -> Any:
    return diffusers.StableDiffusion3Pipeline(
        scheduler=FlowMatchEuler(shift=3.0),
        vae=parts.vae(1.5305, 0.0609),
        text_encoder=parts.clip_projected(),
        tokenizer=parts.clip_tokenizer(),
        text_encoder_2=parts.clip_projected(),
        tokenizer_2=parts.clip_tokenizer(),
        text_encoder_3=parts.t5() if with_t5 else None,
        tokenizer_3=parts.t5_tokenizer() if with_t5 else None,
        transformer=diffusers.SD3Transformer2DModel(
            sample_size=8,
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            num_layers=1,
            **HEADS,
            joint_attention_dim=2 * WIDTH,
            caption_projection_dim=32,
            pooled_projection_dim=2 * WIDTH,
            pos_embed_max_size=8,
            qk_norm="rms_norm",
        ),
    )


def sd3() -> Any:
    return _sd3(with_t5=True)


def sd3_no_t5() -> Any:
    return _sd3(with_t5=False)


def sana() -> Any:
    return diffusers.SanaPipeline(
        scheduler=diffusers.DPMSolverMultistepScheduler(
            prediction_type="flow_prediction", use_flow_sigmas=True, flow_shift=3.0
        ),
        vae=parts.vae_dc(),
        text_encoder=parts.gemma(),
        tokenizer=parts.gemma_tokenizer(),
        transformer=diffusers.SanaTransformer2DModel(
            in_channels=CHANNELS,
            out_channels=CHANNELS,
            num_layers=1,
            **HEADS,
            num_cross_attention_heads=2,
            cross_attention_head_dim=16,
            cross_attention_dim=32,
            caption_channels=WIDTH,
            # the smallest that the pipeline's table of sizes knows
            sample_size=16,
        ),
    )


def qwen_image() -> Any:
    dynamic = {**DYNAMIC, "max_image_seq_len": 8192, "max_shift": 0.9}
    return diffusers.QwenImagePipeline(
        scheduler=FlowMatchEuler(**dynamic, shift_terminal=0.02),
        vae=parts.vae_qwen(),
        text_encoder=parts.qwen_vl(),
        tokenizer=parts.qwen_tokenizer(),
        transformer=diffusers.QwenImageTransformer2DModel(
            in_channels=4 * CHANNELS,
            out_channels=CHANNELS,
            num_layers=1,
            **HEADS,
            joint_attention_dim=WIDTH,
            axes_dims_rope=(8, 4, 4),
        ),
    )


def z_image() -> Any:
    return diffusers.ZImagePipeline(
        scheduler=FlowMatchEuler(shift=3.0),
        vae=parts.vae(*FLUX_VAE),
        text_encoder=parts.qwen3(),
        tokenizer=parts.qwen_tokenizer(),
        transformer=diffusers.ZImageTransformer2DModel(
            in_channels=CHANNELS,
            dim=32,
            n_layers=1,
            n_refiner_layers=1,
            n_heads=2,
            n_kv_heads=2,
            cap_feat_dim=WIDTH,
            axes_dims=[8, 4, 4],
            axes_lens=[1024, 64, 64],
        ),
    )


def flux2_klein() -> Any:
    return diffusers.Flux2KleinPipeline(
        scheduler=FlowMatchEuler(shift=3.0, **DYNAMIC),
        vae=parts.vae_flux2(),
        text_encoder=parts.qwen3_deep(),
        tokenizer=parts.qwen_tokenizer(),
        transformer=diffusers.Flux2Transformer2DModel(
            in_channels=4 * CHANNELS,
            num_layers=1,
            num_single_layers=1,
            **HEADS,
            joint_attention_dim=3 * WIDTH,
            axes_dims_rope=(4, 4, 4, 4),
            guidance_embeds=False,
        ),
    )


def lumina2() -> Any:
    return diffusers.Lumina2Pipeline(
        scheduler=FlowMatchEuler(shift=6.0),
        vae=parts.vae(*FLUX_VAE),
        text_encoder=parts.gemma(),
        tokenizer=parts.gemma_tokenizer(),
        transformer=diffusers.Lumina2Transformer2DModel(
            sample_size=8,
            in_channels=CHANNELS,
            hidden_size=32,
            num_layers=1,
            num_refiner_layers=1,
            num_attention_heads=2,
            num_kv_heads=1,
            multiple_of=8,
            axes_dim_rope=(8, 4, 4),
            cap_feat_dim=WIDTH,
        ),
    )


def pixart_sigma() -> Any:
    """Its network also predicts a variance, which the pipeline drops."""
    return diffusers.PixArtSigmaPipeline(
        scheduler=diffusers.DPMSolverMultistepScheduler(
            beta_start=0.0001, beta_end=0.02, beta_schedule="linear"
        ),
        vae=parts.vae(0.13025),
        text_encoder=parts.t5(),
        tokenizer=parts.t5_tokenizer(),
        transformer=diffusers.PixArtTransformer2DModel(
            **HEADS,
            num_layers=1,
            cross_attention_dim=32,
            # the smallest that the pipeline's table of sizes knows
            sample_size=32,
            caption_channels=2 * WIDTH,
            use_additional_conditions=False,
        ),
    )


def _cached(build: Callable[[], Any]) -> Callable[[], Any]:
    @cache
    def made() -> Any:
        parts.seeded()
        pipe = build()
        for part in pipe.components.values():
            if isinstance(part, torch.nn.Module):
                part.eval()
        pipe.set_progress_bar_config(disable=True)
        return pipe

    return made


FAMILIES: dict[str, Callable[[], Any]] = {
    build.__name__: _cached(build)
    for build in (
        flux_dev,
        flux_schnell,
        sd3,
        sd3_no_t5,
        sdxl,
        sd_epsilon,
        sd_v,
        sana,
        qwen_image,
        z_image,
        flux2_klein,
        lumina2,
        auraflow,
        pixart_sigma,
        cogview4,
    )
}
"""One pipeline of each family, made on the first call and shared by a test session."""
