"""Published checkpoints of any size, in their original layouts, with random weights.

The names and shapes are those of ImageReward.pt, of HPS_v2.1_compressed.pt (open_clip), of the
folder of PickScore_v1 (transformers 4) and of LAION's aesthetic head, written down here once more
so that the tests do not take them from the code under test.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any, NamedTuple

import tiny_pipeline
import torch
from torch import Tensor

Shapes = dict[str, tuple[int, ...]]
WORDS = [
    "[PAD]",
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
    "a",
    "red",
    "cat",
    "dog",
    "##s",
    "photo",
    "of",
]
MEAN = [0.48145466, 0.4578275, 0.40821073]
STD = [0.26862954, 0.26130258, 0.27577711]


class Tower(NamedTuple):
    width: int
    hidden: int
    depth: int


class Sizes(NamedTuple):
    """Sizes of a model of a picture's and a text's tower."""

    vision: Tower
    text: Tower
    patch: int
    image: int
    words: int
    places: int  # longest text
    joint: int  # length of the vectors that are compared

    @property
    def tokens(self) -> int:
        return (self.image // self.patch) ** 2 + 1


VIT_H = Sizes(Tower(1280, 5120, 32), Tower(1024, 4096, 24), 14, 224, 49408, 77, 1024)
VIT_L = Sizes(Tower(1024, 4096, 24), Tower(768, 3072, 12), 14, 224, 49408, 77, 768)
BLIP_L = Sizes(Tower(1024, 4096, 24), Tower(768, 3072, 12), 16, 224, 30524, 512, 256)
# heads are 80 wide in the vision tower of ViT-H, 64 elsewhere: two in each tower
SMALL = Sizes(Tower(160, 48, 2), Tower(128, 40, 2), 8, 32, len(tiny_pipeline.tokenizer()), 12, 24)
SMALL_BLIP = Sizes(Tower(128, 48, 2), Tower(128, 40, 2), 8, 32, len(WORDS) + 2, 40, 24)
HEAD = (1024, 128, 64, 16, 1)
SMALL_HEAD = (12, 8, 1)


def linear(name: str, out: int, into: int) -> Shapes:
    return {f"{name}.weight": (out, into), f"{name}.bias": (out,)}


def norm(name: str, width: int) -> Shapes:
    return {f"{name}.weight": (width,), f"{name}.bias": (width,)}


def layers(before: str, into: int, widths: tuple[int, ...]) -> Shapes:
    """Linear layers numbered as if all but the last two were followed by a dropout."""
    numbers = [2 * i for i in range(len(widths) - 1)]
    shapes: Shapes = {}
    for number, out in zip([*numbers, numbers[-1] + 1], widths, strict=True):
        shapes |= linear(f"{before}{number}", out, into)
        into = out
    return shapes


def open_clip(s: Sizes) -> Shapes:
    shapes: Shapes = {
        "positional_embedding": (s.places, s.text.width),
        "text_projection": (s.text.width, s.joint),
        "logit_scale": (),
        "visual.class_embedding": (s.vision.width,),
        "visual.positional_embedding": (s.tokens, s.vision.width),
        "visual.proj": (s.vision.width, s.joint),
        "visual.conv1.weight": (s.vision.width, 3, s.patch, s.patch),
        "token_embedding.weight": (s.words, s.text.width),
        **norm("visual.ln_pre", s.vision.width),
        **norm("visual.ln_post", s.vision.width),
        **norm("ln_final", s.text.width),
    }
    for before, tower in (("visual.", s.vision), ("", s.text)):
        for i in range(tower.depth):
            block = f"{before}transformer.resblocks.{i}"
            shapes |= {
                **norm(f"{block}.ln_1", tower.width),
                **norm(f"{block}.ln_2", tower.width),
                f"{block}.attn.in_proj_weight": (3 * tower.width, tower.width),
                f"{block}.attn.in_proj_bias": (3 * tower.width,),
                **linear(f"{block}.attn.out_proj", tower.width, tower.width),
                **linear(f"{block}.mlp.c_fc", tower.hidden, tower.width),
                **linear(f"{block}.mlp.c_proj", tower.width, tower.hidden),
            }
    return shapes


def transformers_clip(s: Sizes) -> Shapes:
    """As transformers 4.27 saved a CLIPModel, positions 0, 1, 2, ... included."""
    shapes: Shapes = {
        "logit_scale": (),
        "text_model.embeddings.position_ids": (1, s.places),
        "text_model.embeddings.token_embedding.weight": (s.words, s.text.width),
        "text_model.embeddings.position_embedding.weight": (s.places, s.text.width),
        **norm("text_model.final_layer_norm", s.text.width),
        "vision_model.embeddings.class_embedding": (s.vision.width,),
        "vision_model.embeddings.position_ids": (1, s.tokens),
        "vision_model.embeddings.patch_embedding.weight": (s.vision.width, 3, s.patch, s.patch),
        "vision_model.embeddings.position_embedding.weight": (s.tokens, s.vision.width),
        **norm("vision_model.pre_layrnorm", s.vision.width),
        **norm("vision_model.post_layernorm", s.vision.width),
        "visual_projection.weight": (s.joint, s.vision.width),
        "text_projection.weight": (s.joint, s.text.width),
    }
    for kind, tower in (("vision_model", s.vision), ("text_model", s.text)):
        for i in range(tower.depth):
            layer = f"{kind}.encoder.layers.{i}"
            for part in ("k_proj", "v_proj", "q_proj", "out_proj"):
                shapes |= linear(f"{layer}.self_attn.{part}", tower.width, tower.width)
            shapes |= norm(f"{layer}.layer_norm1", tower.width)
            shapes |= norm(f"{layer}.layer_norm2", tower.width)
            shapes |= linear(f"{layer}.mlp.fc1", tower.hidden, tower.width)
            shapes |= linear(f"{layer}.mlp.fc2", tower.width, tower.hidden)
    return shapes


def image_reward(s: Sizes, head: tuple[int, ...]) -> Shapes:
    eye, text = "blip.visual_encoder", "blip.text_encoder"
    w, t = s.vision.width, s.text.width
    shapes: Shapes = {
        f"{eye}.cls_token": (1, 1, w),
        f"{eye}.pos_embed": (1, s.tokens, w),
        f"{eye}.patch_embed.proj.weight": (w, 3, s.patch, s.patch),
        f"{eye}.patch_embed.proj.bias": (w,),
        **norm(f"{eye}.norm", w),
        f"{text}.embeddings.position_ids": (1, s.places),
        f"{text}.embeddings.word_embeddings.weight": (s.words, t),
        f"{text}.embeddings.position_embeddings.weight": (s.places, t),
        **norm(f"{text}.embeddings.LayerNorm", t),
        **linear("blip.vision_proj", s.joint, w),
        **linear("blip.text_proj", s.joint, t),
        **layers("mlp.layers.", t, head),
    }
    for i in range(s.vision.depth):
        block = f"{eye}.blocks.{i}"
        shapes |= norm(f"{block}.norm1", w) | norm(f"{block}.norm2", w)
        shapes |= linear(f"{block}.attn.qkv", 3 * w, w) | linear(f"{block}.attn.proj", w, w)
        shapes |= linear(f"{block}.mlp.fc1", s.vision.hidden, w)
        shapes |= linear(f"{block}.mlp.fc2", w, s.vision.hidden)
    for i in range(s.text.depth):
        layer = f"{text}.encoder.layer.{i}"
        for kind, seen in (("attention", t), ("crossattention", w)):
            shapes |= linear(f"{layer}.{kind}.self.query", t, t)
            shapes |= linear(f"{layer}.{kind}.self.key", t, seen)
            shapes |= linear(f"{layer}.{kind}.self.value", t, seen)
            shapes |= linear(f"{layer}.{kind}.output.dense", t, t)
            shapes |= norm(f"{layer}.{kind}.output.LayerNorm", t)
        shapes |= linear(f"{layer}.intermediate.dense", s.text.hidden, t)
        shapes |= linear(f"{layer}.output.dense", t, s.text.hidden)
        shapes |= norm(f"{layer}.output.LayerNorm", t)
    return shapes


def meta(shapes: Shapes) -> dict[str, Tensor]:
    return {key: torch.empty(shape, device="meta") for key, shape in shapes.items()}


def random(shapes: Shapes, seed: int = 0) -> dict[str, Tensor]:
    """Weights under which every layer matters: matrices that about keep the size of a vector."""
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for key, shape in shapes.items():
        if key.endswith("position_ids"):
            state[key] = torch.arange(shape[-1]).expand(shape).clone()
            continue
        into = torch.Size(shape[1:]).numel() if len(shape) > 1 else 1
        x = torch.empty(shape).normal_(generator=generator)
        if "norm" in key.lower() or ".ln_" in key or key.startswith("ln_"):
            x = 0.3 * x + (1.0 if key.endswith("weight") else 0.0)
        else:
            x *= into**-0.5 if len(shape) > 1 and "embed" not in key else 0.3
        state[key] = x + 4.0 if key == "logit_scale" else x
    return state


def clip_config(
    s: Sizes, heads: tuple[int, int] = (2, 2), end: int | None = None
) -> dict[str, Any]:
    """A config.json as transformers 4 wrote it: every default spelt out, some twice."""
    old = {"_name_or_path": "", "add_cross_attention": False, "bad_words_ids": None, "dropout": 0.0}
    old |= {"torch_dtype": None, "transformers_version": "4.27.0.dev0", "output_scores": False}
    shared = {**old, "hidden_act": "gelu", "layer_norm_eps": 1e-05, "attention_dropout": 0.0}
    text = {
        **shared,
        "model_type": "clip_text_model",
        "hidden_size": s.text.width,
        "intermediate_size": s.text.hidden,
        "num_hidden_layers": s.text.depth,
        "num_attention_heads": heads[1],
        "vocab_size": s.words,
        "max_position_embeddings": s.places,
        "bos_token_id": 0,
        "eos_token_id": 2 if end is None else end,
        "pad_token_id": 1,
    }
    vision = {
        **shared,
        "model_type": "clip_vision_model",
        "hidden_size": s.vision.width,
        "intermediate_size": s.vision.hidden,
        "num_hidden_layers": s.vision.depth,
        "num_attention_heads": heads[0],
        "num_channels": 3,
        "image_size": s.image,
        "patch_size": s.patch,
    }
    return {
        "_name_or_path": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K",
        "architectures": ["CLIPModel"],
        "model_type": "clip",
        "initializer_factor": 1.0,
        "logit_scale_init_value": 2.6592,
        "projection_dim": s.joint,
        "text_config": text,
        "text_config_dict": dict(text),
        "vision_config": vision,
        "vision_config_dict": dict(vision),
        "torch_dtype": "float32",
        "transformers_version": None,
    }


def write_clip(
    folder: Path, s: Sizes, state: dict[str, Tensor], file: str = "model.safetensors"
) -> None:
    """A folder of a CLIPModel alone: configuration and weights."""
    from safetensors.torch import save_file

    folder.mkdir(parents=True, exist_ok=True)
    end = tiny_pipeline.tokenizer().eos_token_id
    (folder / "config.json").write_text(json.dumps(clip_config(s, end=end)))
    if file.endswith(".safetensors"):
        save_file(state, folder / file)
    else:
        torch.save(state, folder / file)


def write_processor(folder: Path) -> None:
    """A folder of a CLIPProcessor alone: tokenizer and colours."""
    folder.mkdir(parents=True, exist_ok=True)
    tiny_pipeline.tokenizer().save_pretrained(folder)
    settings = {"image_mean": MEAN, "image_std": STD, "size": {"shortest_edge": SMALL.image}}
    (folder / "preprocessor_config.json").write_text(json.dumps(settings))


def write_bert(folder: Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text("\n".join(WORDS) + "\n")


def write_all(folder: Path) -> dict[str, list[str]]:
    """Tiny checkpoints of every published reward; the settings that choose each."""
    torch.save(random(image_reward(SMALL_BLIP, SMALL_HEAD)), folder / "ImageReward.pt")
    hps = {"epoch": 1, "name": "x", "state_dict": random(open_clip(SMALL))}
    torch.save(hps, folder / "HPS_v2_compressed.pt")
    hps["state_dict"] = random(open_clip(SMALL), 1)
    torch.save(hps, folder / "HPS_v2.1_compressed.pt")
    write_clip(folder / "pick", SMALL, random(transformers_clip(SMALL)))
    write_processor(folder / "processor")
    head = random(layers("layers.", SMALL.joint, SMALL_HEAD))
    torch.save(
        head, folder / "sac+logos+ava1-l14-linearMSE.pth", _use_new_zipfile_serialization=False
    )
    write_bert(folder / "bert")
    f = str(folder)
    return {
        "imagereward": [f"path={f}/ImageReward.pt", f"tokenizer={f}/bert"],
        "hpsv2": [f"path={f}", f"tokenizer={f}/processor"],
        "pickscore": [f"path={f}/pick", f"processor={f}/processor"],
        "aesthetic": [f"path={f}/pick", f"head={f}"],
    }
