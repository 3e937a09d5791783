"""Tiny randomly initialised tokenizers, text encoders and autoencoders of published kinds."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import AutoencoderDC, AutoencoderKL, AutoencoderKLFlux2, AutoencoderKLQwenImage
from tiny_pipeline import LENGTH, WIDTH
from tiny_pipeline import tokenizer as clip_tokenizer
from tokenizers.pre_tokenizers import ByteLevel
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTextModelWithProjection,
    Gemma2Config,
    Gemma2Model,
    GemmaTokenizer,
    GlmConfig,
    GlmModel,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen3Config,
    Qwen3ForCausalLM,
    Qwen3Model,
    T5Config,
    T5EncoderModel,
    T5Tokenizer,
    UMT5Config,
    UMT5EncoderModel,
)

CHANNELS = 4
HEADS = {"num_attention_heads": 2, "attention_head_dim": 16}
# FLUX.1's time shift, by the picture's size
DYNAMIC = {
    "use_dynamic_shifting": True,
    "base_image_seq_len": 256,
    "max_image_seq_len": 4096,
    "base_shift": 0.5,
    "max_shift": 1.15,
}
"""Channels of latents, everywhere."""

LETTERS = "abcdefghijklmnopqrstuvwxyz ABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789.,:'-<>()"
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)


def t5_tokenizer() -> T5Tokenizer:
    special = [("<pad>", 0.0), ("</s>", 0.0), ("<unk>", 0.0)]
    pieces = [(c, -3.0) for c in LETTERS.replace(" ", "▁")]
    return T5Tokenizer(vocab=special + pieces, extra_ids=0, model_max_length=512)


def gemma_tokenizer() -> GemmaTokenizer:
    special = ["<pad>", "<eos>", "<bos>", "<unk>", "<mask>"]
    words = special + list(LETTERS.replace(" ", "▁"))
    return GemmaTokenizer(vocab={word: i for i, word in enumerate(words)}, merges=[])


def qwen_tokenizer() -> Qwen2Tokenizer:
    words = sorted(ByteLevel.alphabet())
    tok = Qwen2Tokenizer(
        vocab={word: i for i, word in enumerate(words)},
        merges=[],
        extra_special_tokens=["<|im_start|>", "<|im_end|>"],
    )
    tok.chat_template = CHAT
    return tok


def _clip_config() -> CLIPTextConfig:
    tok = clip_tokenizer()
    return CLIPTextConfig(
        vocab_size=len(tok),
        hidden_size=WIDTH,
        intermediate_size=32,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=LENGTH,
        projection_dim=WIDTH,
        bos_token_id=tok.bos_token_id,
        eos_token_id=tok.eos_token_id,
        pad_token_id=tok.pad_token_id,
    )


def clip() -> CLIPTextModel:
    return CLIPTextModel(_clip_config())


def clip_projected() -> CLIPTextModelWithProjection:
    return CLIPTextModelWithProjection(_clip_config())


def _t5_sizes() -> dict[str, int]:
    return {
        "vocab_size": len(t5_tokenizer()),
        "d_model": 2 * WIDTH,
        "d_kv": 8,
        "d_ff": 32,
        "num_layers": 1,
        "num_heads": 2,
    }


def t5() -> T5EncoderModel:
    return T5EncoderModel(T5Config(**_t5_sizes()))


def umt5() -> UMT5EncoderModel:
    return UMT5EncoderModel(UMT5Config(**_t5_sizes()))


def _decoder_sizes(tok: Any, layers: int) -> dict[str, int]:
    return {
        "vocab_size": len(tok),
        "hidden_size": WIDTH,
        "intermediate_size": 32,
        "num_hidden_layers": layers,
        "num_attention_heads": 2,
        "num_key_value_heads": 1,
        "head_dim": 8,
        "bos_token_id": tok.bos_token_id,
        "eos_token_id": tok.eos_token_id,
        "pad_token_id": tok.pad_token_id,
    }


def gemma() -> Gemma2Model:
    return Gemma2Model(Gemma2Config(**_decoder_sizes(gemma_tokenizer(), 2)))


def glm() -> GlmModel:
    return GlmModel(GlmConfig(**_decoder_sizes(t5_tokenizer(), 2)))


def qwen3() -> Qwen3Model:
    return Qwen3Model(Qwen3Config(**_decoder_sizes(qwen_tokenizer(), 2)))


def qwen3_deep() -> Qwen3ForCausalLM:
    """27 layers, as FLUX.2-klein reads the hidden states after the 9th, 18th and 27th."""
    return Qwen3ForCausalLM(Qwen3Config(**_decoder_sizes(qwen_tokenizer(), 27)))


def qwen_vl() -> Qwen2_5_VLForConditionalGeneration:
    tok = qwen_tokenizer()
    sizes = _decoder_sizes(tok, 1)
    del sizes["head_dim"]
    rope = {"type": "default", "rope_type": "default", "mrope_section": [2, 1, 1]}
    vision = {"depth": 1, "hidden_size": WIDTH, "intermediate_size": 16, "num_heads": 2}
    return Qwen2_5_VLForConditionalGeneration(
        Qwen2_5_VLConfig(
            text_config={**sizes, "rope_parameters": {**rope, "rope_theta": 1e6}},
            vision_config={**vision, "out_hidden_size": WIDTH},
        )
    )


def _conv_blocks() -> dict[str, Any]:
    """Four blocks: eight times smaller latents, as published."""
    return {
        "down_block_types": ("DownEncoderBlock2D",) * 4,
        "up_block_types": ("UpDecoderBlock2D",) * 4,
        "block_out_channels": (4, 4, 4, 4),
        "layers_per_block": 1,
        "latent_channels": CHANNELS,
        "norm_num_groups": 2,
    }


def vae(scaling: float, shift: float | None = None) -> AutoencoderKL:
    return AutoencoderKL(
        **_conv_blocks(),
        scaling_factor=scaling,
        shift_factor=shift,
        use_quant_conv=shift is None,
        use_post_quant_conv=shift is None,
    )


def vae_flux2() -> AutoencoderKLFlux2:
    """Its patchified latents are normalised by statistics, here neither 0 nor 1."""
    model = AutoencoderKLFlux2(**_conv_blocks())
    model.bn.running_mean.uniform_(-0.2, 0.2)
    model.bn.running_var.uniform_(2.0, 4.0)
    return model


def vae_qwen() -> AutoencoderKLQwenImage:
    return AutoencoderKLQwenImage(
        base_dim=4,
        z_dim=CHANNELS,
        dim_mult=[1, 1, 1, 1],
        num_res_blocks=1,
        temperal_downsample=[False, True, True],
        latents_mean=[-0.8, -0.7, 0.1, 0.9],
        latents_std=[2.8, 1.4, 2.3, 2.7],
    )


def vae_dc() -> AutoencoderDC:
    """Six blocks: 32 times smaller latents."""
    return AutoencoderDC(
        latent_channels=CHANNELS,
        attention_head_dim=4,
        encoder_block_out_channels=(4,) * 6,
        decoder_block_out_channels=(4,) * 6,
        encoder_layers_per_block=(1,) * 6,
        decoder_layers_per_block=(1,) * 6,
        encoder_qkv_multiscales=((),) * 6,
        decoder_qkv_multiscales=((),) * 6,
        scaling_factor=0.41407,
    )


def seeded() -> None:
    """Random weights are the same in every session."""
    torch.manual_seed(0)
