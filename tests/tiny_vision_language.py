"""Tiny randomly initialised vision-language models of published kinds, saved as on the hub."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from tokenizers.pre_tokenizers import ByteLevel
from torch import Tensor
from transformers import (
    AutoModelForImageTextToText,
    CLIPImageProcessorPil,
    LlavaConfig,
    LlavaForConditionalGeneration,
    LlavaProcessor,
    Qwen2_5_VLConfig,
    Qwen2_5_VLForConditionalGeneration,
    Qwen2Tokenizer,
    Qwen2VLImageProcessorPil,
    Qwen3VLConfig,
    Qwen3VLForConditionalGeneration,
)

from glass_cli.rewards.pixels import to_uint8

SPECIAL = (
    "<|im_start|>",
    "<|im_end|>",
    "<|vision_start|>",
    "<|vision_end|>",
    "<|image_pad|>",
    "<|video_pad|>",
    "<s>",
    "<image>",
)
WORDS = ("yes", "Yes", "no", "No", "four", "two")
SPACED = ("Yes", "No")  # with a token for the word after a space; the others begin with the space's
PICTURE = "<|vision_start|><|image_pad|><|vision_end|>"
CHAT = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{% for part in message.content %}"
    "{% if part.type == 'image' %}" + PICTURE + "{% else %}{{ part.text }}{% endif %}{% endfor %}"
    "<|im_end|>\n{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
HEIGHT, WIDTH = 32, 40  # of the pictures
PATCH, MERGE = 4, 2
LLAVA_SIDE = 16


def tokenizer(kind: str = "qwen3_vl") -> Qwen2Tokenizer:
    """Bytes, and WORDS joined of them letter by letter; Llava's texts have a beginning."""
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        merges += [(word[:i], word[i]) for i in range(1, len(word))]
    merges += [("Ġ", word) for word in SPACED]
    merges = list(dict.fromkeys(merges))
    tokens = [*sorted(ByteLevel.alphabet()), *dict.fromkeys(a + b for a, b in merges)]
    vocab = {token: i for i, token in enumerate(tokens)}
    own = {"bos_token": "<s>"} if kind == "llava" else {}
    return Qwen2Tokenizer(vocab=vocab, merges=merges, extra_special_tokens=list(SPECIAL), **own)


def _qwen_image_processor() -> Any:
    return Qwen2VLImageProcessorPil(
        patch_size=PATCH,
        merge_size=MERGE,
        temporal_patch_size=2,
        size={"shortest_edge": 64, "longest_edge": 2048},
    )


def _text(tok: Any, **kwargs: Any) -> dict[str, Any]:
    return {
        "vocab_size": len(tok),
        "hidden_size": 32,
        "intermediate_size": 48,
        "num_hidden_layers": 2,
        "num_attention_heads": 4,
        "num_key_value_heads": 2,
        **kwargs,
    }


def _places(tok: Any) -> dict[str, int]:
    names = ("image", "video", "vision_start", "vision_end")
    tokens = ("<|image_pad|>", "<|video_pad|>", "<|vision_start|>", "<|vision_end|>")
    return {
        f"{name}_token_id": tok.convert_tokens_to_ids(token)
        for name, token in zip(names, tokens, strict=True)
    }


def qwen3_vl(tok: Any) -> tuple[Any, Any]:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    config = Qwen3VLConfig(
        text_config=_text(tok, head_dim=8, rope_parameters=rope),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "out_hidden_size": 32,
            "num_position_embeddings": 64,
            "deepstack_visual_indexes": [0],
        },
        **_places(tok),
    )
    return Qwen3VLForConditionalGeneration(config), _qwen_image_processor()


def qwen2_5_vl(tok: Any) -> tuple[Any, Any]:
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4}
    config = Qwen2_5_VLConfig(
        text_config=_text(tok, rope_parameters=rope),
        vision_config={
            "depth": 2,
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_heads": 2,
            "patch_size": PATCH,
            "spatial_merge_size": MERGE,
            "out_hidden_size": 32,
            "window_size": 16,
            "fullatt_block_indexes": [1],
        },
        **_places(tok),
    )
    return Qwen2_5_VLForConditionalGeneration(config), _qwen_image_processor()


def llava(tok: Any) -> tuple[Any, Any]:
    config = LlavaConfig(
        text_config={"model_type": "llama", **_text(tok)},
        vision_config={
            "model_type": "clip_vision_model",
            "hidden_size": 32,
            "intermediate_size": 48,
            "num_hidden_layers": 2,
            "num_attention_heads": 2,
            "image_size": LLAVA_SIDE,
            "patch_size": PATCH,
            "projection_dim": 32,
        },
        image_token_index=tok.convert_tokens_to_ids("<image>"),
        image_seq_length=(LLAVA_SIDE // PATCH) ** 2,
    )
    pixels = CLIPImageProcessorPil(
        size={"shortest_edge": LLAVA_SIDE}, crop_size={"height": LLAVA_SIDE, "width": LLAVA_SIDE}
    )
    return LlavaForConditionalGeneration(config), pixels


KINDS: dict[str, Callable[[Any], tuple[Any, Any]]] = {
    "qwen3_vl": qwen3_vl,
    "qwen2_5_vl": qwen2_5_vl,
    "llava": llava,
}


def write(folder: Path, kind: str = "qwen3_vl", chat: str | None = CHAT, seed: int = 0) -> Path:
    """Saves a model of one of KINDS, its tokenizer and its preprocessing; returns the folder."""
    tok = tokenizer(kind)
    if chat is not None:
        tok.chat_template = chat
    torch.manual_seed(seed)
    model, pixels = KINDS[kind](tok)
    with torch.no_grad():
        for parameter in model.parameters():
            # wider than as initialised, so that answers differ between pictures
            parameter.mul_(3.0)
    model.save_pretrained(folder)
    if kind == "llava":
        if chat is not None:
            tok.chat_template = "<s>" + chat.replace(PICTURE, "<image>")
        LlavaProcessor(
            pixels,
            tok,
            patch_size=PATCH,
            vision_feature_select_strategy="default",
            image_token="<image>",
            num_additional_image_tokens=1,
            chat_template=tok.chat_template,
        ).save_pretrained(folder)
    else:
        tok.save_pretrained(folder)
        pixels.save_pretrained(folder)
    return folder


def images(count: int, seed: int = 0) -> Tensor:
    """Noise on a different colour each."""
    g = torch.Generator().manual_seed(seed)
    colour = torch.rand(count, 3, 1, 1, generator=g)
    return (colour + 0.3 * torch.rand(count, 3, HEIGHT, WIDTH, generator=g)).clamp(0.0, 1.0)


def by_hand(folder: Path, kind: str, image: Tensor, question: str) -> Tensor:
    """The next token's probabilities: ids, pixels and the forward pass put together here."""
    tok = tokenizer(kind)
    token = tok.convert_tokens_to_ids
    picture = [Image.fromarray(to_uint8(image[None])[0])]
    if kind == "llava":
        sizes = {"height": LLAVA_SIDE, "width": LLAVA_SIDE}
        short = {"shortest_edge": LLAVA_SIDE}
        pixels = CLIPImageProcessorPil(size=short, crop_size=sizes)(picture, return_tensors="pt")
        seen = [token("<image>")] * (LLAVA_SIDE // PATCH) ** 2
        start = [token("<s>")]
    else:
        pixels = Qwen2VLImageProcessorPil(
            patch_size=PATCH,
            merge_size=MERGE,
            temporal_patch_size=2,
            size={"shortest_edge": 64, "longest_edge": 2048},
        )(picture, return_tensors="pt")
        step = PATCH * MERGE
        pads = [token("<|image_pad|>")] * (HEIGHT // step * (WIDTH // step))
        seen = [token("<|vision_start|>"), *pads, token("<|vision_end|>")]
        start = []

    def of(text: str) -> list[int]:
        return list(tok.encode(text, add_special_tokens=False))

    ids = [*start, token("<|im_start|>"), *of("user\n"), *seen, *of(question), token("<|im_end|>")]
    ids += [*of("\n"), token("<|im_start|>"), *of("assistant\n")]
    tokens = torch.tensor([ids])
    more: dict[str, Any] = dict(pixels)
    if kind != "llava":
        more["mm_token_type_ids"] = (tokens == token("<|image_pad|>")).int()
    model = AutoModelForImageTextToText.from_pretrained(folder, dtype=torch.float32).eval()
    with torch.no_grad():
        logits = model(input_ids=tokens, attention_mask=torch.ones_like(tokens), **more).logits
    return logits[0, -1].double().softmax(-1)
