"""AuraFlow and CogView4 as `families` has them: their networks need larger weights."""

from __future__ import annotations

from typing import Any

import diffusers
import tiny_parts as parts
from diffusers import FlowMatchEulerDiscreteScheduler as FlowMatchEuler
from tiny_parts import CHANNELS, DYNAMIC, HEADS
from tiny_pipeline import WIDTH


def _strong(network: Any) -> Any:
    """Twice the usual random weights, with which the prompt would hardly reach the output."""
    for parameter in network.parameters():
        if parameter.dim() > 1:
            parameter.data *= 2.0
    return network


def auraflow() -> Any:
    return diffusers.AuraFlowPipeline(
        scheduler=FlowMatchEuler(shift=1.73),
        vae=parts.vae(0.13025),
        text_encoder=parts.umt5(),
        tokenizer=parts.t5_tokenizer(),
        transformer=_strong(
            diffusers.AuraFlowTransformer2DModel(
                sample_size=8,
                num_mmdit_layers=1,
                num_single_dit_layers=1,
                **HEADS,
                joint_attention_dim=2 * WIDTH,
                caption_projection_dim=32,
                pos_embed_max_size=64,
            )
        ),
    )


def cogview4() -> Any:
    """Its network is told the time before the schedule's shift, not the noise level."""
    dynamic = {**DYNAMIC, "base_shift": 0.25, "max_shift": 0.75, "time_shift_type": "linear"}
    return diffusers.CogView4Pipeline(
        scheduler=FlowMatchEuler(**dynamic),
        vae=parts.vae(1.0),
        text_encoder=parts.glm(),
        tokenizer=parts.t5_tokenizer(),
        transformer=_strong(
            diffusers.CogView4Transformer2DModel(
                in_channels=CHANNELS,
                out_channels=CHANNELS,
                num_layers=1,
                **HEADS,
                text_embed_dim=WIDTH,
                time_embed_dim=32,
                condition_dim=8,
                pos_embed_max_size=8,
                sample_size=8,
                rope_axes_dim=(8, 8),
            )
        ),
    )
