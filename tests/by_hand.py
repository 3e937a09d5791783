"""The published networks in plain torch, straight from the original state dicts, layer by layer."""

from __future__ import annotations

import math

import torch
from torch import Tensor

State = dict[str, Tensor]
# ViT-H/14's heads in the tower of pictures; 64 everywhere else
HEAD_H, HEAD = 80, 64
RAW_MEAN, RAW_STD = 0.16717362830052426, 1.0333394966054072


def affine(x: Tensor, s: State, name: str) -> Tensor:
    return x @ s[f"{name}.weight"].T + s[f"{name}.bias"]


def norm(x: Tensor, s: State, name: str, eps: float = 1e-5) -> Tensor:
    x = x - x.mean(-1, keepdim=True)
    x = x / (x.square().mean(-1, keepdim=True) + eps).sqrt()
    return x * s[f"{name}.weight"] + s[f"{name}.bias"]


def gelu(x: Tensor) -> Tensor:
    return x * 0.5 * (1.0 + torch.erf(x / math.sqrt(2.0)))


def attend(q: Tensor, k: Tensor, v: Tensor, head: int, seen: Tensor | None = None) -> Tensor:
    """Attention (L, d) of q to k, head by head; ``seen`` (L, M) says who may look at whom."""
    parts = []
    for i in range(0, q.shape[-1], head):
        a, b, c = (x[:, i : i + head] for x in (q, k, v))
        scores = a @ b.T / math.sqrt(head)
        if seen is not None:
            scores = scores.masked_fill(~seen, -math.inf)
        parts.append(scores.softmax(-1) @ c)
    return torch.cat(parts, -1)


def patches(pixels: Tensor, kernel: Tensor) -> Tensor:
    """Dot products (L, d) of a picture's (3, H, W) patches with a kernel (d, 3, p, p)."""
    p, rows = kernel.shape[-1], []
    for top in range(0, pixels.shape[1], p):
        for left in range(0, pixels.shape[2], p):
            patch = pixels[:, top : top + p, left : left + p]
            rows.append((kernel * patch).sum((1, 2, 3)))
    return torch.stack(rows)


def _resblocks(x: Tensor, s: State, before: str, head: int, seen: Tensor | None) -> Tensor:
    depth = sum(key.startswith(before) and key.endswith("ln_1.weight") for key in s)
    for i in range(depth):
        b = f"{before}{i}"
        y = norm(x, s, f"{b}.ln_1")
        y = y @ s[f"{b}.attn.in_proj_weight"].T + s[f"{b}.attn.in_proj_bias"]
        q, k, v = y.chunk(3, -1)
        x = x + affine(attend(q, k, v, head, seen), s, f"{b}.attn.out_proj")
        y = gelu(affine(norm(x, s, f"{b}.ln_2"), s, f"{b}.mlp.c_fc"))
        x = x + affine(y, s, f"{b}.mlp.c_proj")
    return x


def open_clip_cosine(s: State, pixels: Tensor, ids: list[int]) -> Tensor:
    """Of one normalised picture (3, side, side) and the tokens of a text, its end included."""
    x = torch.cat([s["visual.class_embedding"][None], patches(pixels, s["visual.conv1.weight"])])
    x = norm(x + s["visual.positional_embedding"], s, "visual.ln_pre")
    x = _resblocks(x, s, "visual.transformer.resblocks.", HEAD_H, None)
    image = norm(x[0], s, "visual.ln_post") @ s["visual.proj"]
    y = s["token_embedding.weight"][ids] + s["positional_embedding"][: len(ids)]
    before = torch.ones(len(ids), len(ids)).tril().bool()
    y = norm(_resblocks(y, s, "transformer.resblocks.", HEAD, before), s, "ln_final")
    text = y[-1] @ s["text_projection"]
    return image @ text / (image.norm() * text.norm())


def _layers(x: Tensor, s: State, before: str, heads: int, seen: Tensor | None) -> Tensor:
    depth = sum(key.startswith(before) and key.endswith("layer_norm1.weight") for key in s)
    for i in range(depth):
        b = f"{before}{i}"
        y = norm(x, s, f"{b}.layer_norm1")
        q, k, v = (affine(y, s, f"{b}.self_attn.{p}_proj") for p in "qkv")
        y = attend(q, k, v, x.shape[-1] // heads, seen)
        x = x + affine(y, s, f"{b}.self_attn.out_proj")
        y = gelu(affine(norm(x, s, f"{b}.layer_norm2"), s, f"{b}.mlp.fc1"))
        x = x + affine(y, s, f"{b}.mlp.fc2")
    return x


def clip_picture(s: State, pixels: Tensor, heads: int) -> Tensor:
    """The vector of one normalised picture, by a state dict of transformers."""
    e = "vision_model.embeddings"
    x = torch.cat(
        [s[f"{e}.class_embedding"][None], patches(pixels, s[f"{e}.patch_embedding.weight"])]
    )
    x = norm(x + s[f"{e}.position_embedding.weight"], s, "vision_model.pre_layrnorm")
    x = _layers(x, s, "vision_model.encoder.layers.", heads, None)
    return s["visual_projection.weight"] @ norm(x[0], s, "vision_model.post_layernorm")


def clip_text(s: State, ids: list[int], heads: int) -> Tensor:
    """The vector of a text, by a state dict of transformers."""
    e = "text_model.embeddings"
    y = s[f"{e}.token_embedding.weight"][ids] + s[f"{e}.position_embedding.weight"][: len(ids)]
    before = torch.ones(len(ids), len(ids)).tril().bool()
    y = _layers(y, s, "text_model.encoder.layers.", heads, before)
    return s["text_projection.weight"] @ norm(y[-1], s, "text_model.final_layer_norm")


def straight(x: Tensor, s: State, before: str) -> Tensor:
    """Linear layers one after another."""
    numbers = sorted({int(k.removeprefix(before).split(".")[0]) for k in s if k.startswith(before)})
    for number in numbers:
        x = affine(x, s, f"{before}{number}")
    return x


def image_reward(s: State, pixels: Tensor, ids: list[int], real: list[bool]) -> Tensor:
    """Of one normalised picture and a text's padded tokens, of which some are ``real``."""
    e, t = "blip.visual_encoder", "blip.text_encoder"
    x = patches(pixels, s[f"{e}.patch_embed.proj.weight"]) + s[f"{e}.patch_embed.proj.bias"]
    x = torch.cat([s[f"{e}.cls_token"][0], x]) + s[f"{e}.pos_embed"][0]
    for i in range(sum(k.startswith(f"{e}.blocks") and k.endswith("norm1.bias") for k in s)):
        b = f"{e}.blocks.{i}"
        q, k, v = affine(norm(x, s, f"{b}.norm1", 1e-6), s, f"{b}.attn.qkv").chunk(3, -1)
        x = x + affine(attend(q, k, v, HEAD), s, f"{b}.attn.proj")
        y = gelu(affine(norm(x, s, f"{b}.norm2", 1e-6), s, f"{b}.mlp.fc1"))
        x = x + affine(y, s, f"{b}.mlp.fc2")
    x = norm(x, s, f"{e}.norm", 1e-6)
    y = s[f"{t}.embeddings.word_embeddings.weight"][ids]
    y = y + s[f"{t}.embeddings.position_embeddings.weight"][: len(ids)]
    y = norm(y, s, f"{t}.embeddings.LayerNorm", 1e-12)
    seen = torch.tensor(real).expand(len(ids), -1)
    for i in range(sum(k.endswith("intermediate.dense.bias") for k in s)):
        b = f"{t}.encoder.layer.{i}"
        for kind, source, mask in (("attention", None, seen), ("crossattention", x, None)):
            from_ = y if source is None else source
            q = affine(y, s, f"{b}.{kind}.self.query")
            k, v = (affine(from_, s, f"{b}.{kind}.self.{p}") for p in ("key", "value"))
            z = affine(attend(q, k, v, HEAD, mask), s, f"{b}.{kind}.output.dense")
            y = norm(y + z, s, f"{b}.{kind}.output.LayerNorm", 1e-12)
        z = gelu(affine(y, s, f"{b}.intermediate.dense"))
        y = norm(y + affine(z, s, f"{b}.output.dense"), s, f"{b}.output.LayerNorm", 1e-12)
    return (straight(y[0], s, "mlp.layers.")[0] - RAW_MEAN) / RAW_STD
