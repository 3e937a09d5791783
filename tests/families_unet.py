"""Stable Diffusion and SDXL as `families` has them: families with a U-Net."""

from __future__ import annotations

from typing import Any

import diffusers
import tiny_parts as parts
from tiny_parts import CHANNELS
from tiny_pipeline import WIDTH

SD_BETAS = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear"}


def _unet(cross_attention_dim: int, **more: Any) -> Any:
    return diffusers.UNet2DConditionModel(
        sample_size=8,
        in_channels=CHANNELS,
        out_channels=CHANNELS,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        block_out_channels=(8, 16),
        layers_per_block=1,
        cross_attention_dim=cross_attention_dim,
        attention_head_dim=2,
        norm_num_groups=4,
        **more,
    )


def sdxl() -> Any:
    return diffusers.StableDiffusionXLPipeline(
        scheduler=diffusers.EulerDiscreteScheduler(
            **SD_BETAS, steps_offset=1, timestep_spacing="leading"
        ),
        vae=parts.vae(0.13025),
        text_encoder=parts.clip(),
        tokenizer=parts.clip_tokenizer(),
        text_encoder_2=parts.clip_projected(),
        tokenizer_2=parts.clip_tokenizer(),
        unet=_unet(
            2 * WIDTH,
            addition_embed_type="text_time",
            addition_time_embed_dim=8,
            projection_class_embeddings_input_dim=6 * 8 + WIDTH,
        ),
    )


def _sd(scheduler: Any) -> Any:
    return diffusers.StableDiffusionPipeline(
        scheduler=scheduler,
        vae=parts.vae(0.18215),
        text_encoder=parts.clip(),
        tokenizer=parts.clip_tokenizer(),
        unet=_unet(WIDTH),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )


def sd_epsilon() -> Any:
    """Stable Diffusion 1.5."""
    return _sd(diffusers.PNDMScheduler(**SD_BETAS, skip_prk_steps=True, steps_offset=1))


def sd_v() -> Any:
    """Stable Diffusion 2.1."""
    return _sd(
        diffusers.DDIMScheduler(
            **SD_BETAS,
            prediction_type="v_prediction",
            clip_sample=False,
            set_alpha_to_one=False,
            steps_offset=1,
        )
    )
