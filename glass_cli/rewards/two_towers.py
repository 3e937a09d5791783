"""CLIP's two towers: a picture and a text each become a vector, compared by their cosine."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from glass_cli.common import checkpoint, hub
from glass_cli.common.errors import GlassError, one_line
from glass_cli.rewards.base import OncePrompt, in_batches
from glass_cli.rewards.pixels import ShortestSide

if TYPE_CHECKING:
    import torch
    from torch import Tensor

MODEL_FILES = ("config.json", "model.safetensors")
# where a CLIPImageProcessor keeps its settings, and a whole CLIPProcessor
PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")

# open_clip's names to those of transformers, apart from the layers'
_TOP = {
    "logit_scale": "logit_scale",
    "positional_embedding": "text_model.embeddings.position_embedding.weight",
    "token_embedding.weight": "text_model.embeddings.token_embedding.weight",
    "ln_final.weight": "text_model.final_layer_norm.weight",
    "ln_final.bias": "text_model.final_layer_norm.bias",
    "visual.class_embedding": "vision_model.embeddings.class_embedding",
    "visual.positional_embedding": "vision_model.embeddings.position_embedding.weight",
    "visual.conv1.weight": "vision_model.embeddings.patch_embedding.weight",
    "visual.ln_pre.weight": "vision_model.pre_layrnorm.weight",
    "visual.ln_pre.bias": "vision_model.pre_layrnorm.bias",
    "visual.ln_post.weight": "vision_model.post_layernorm.weight",
    "visual.ln_post.bias": "vision_model.post_layernorm.bias",
}
# multiplied from the left there, from the right here
_TURNED = {"text_projection": "text_projection.weight", "visual.proj": "visual_projection.weight"}
_LAYER = {
    "ln_1": "layer_norm1",
    "ln_2": "layer_norm2",
    "attn.out_proj": "self_attn.out_proj",
    "mlp.c_fc": "mlp.fc1",
    "mlp.c_proj": "mlp.fc2",
}
_RESBLOCK = re.compile(r"(visual\.)?transformer\.resblocks\.(\d+)\.(.+?)[._](weight|bias)")


class TwoTowers:
    """A CLIP with what it needs.

    model: a ``transformers.CLIPModel``.
    tokenizer: of its text tower.
    pixels: images (N, 3, H, W) in [0, 1] to what its vision tower takes.
    batch: images a pass, 1 or more.
    """

    def __init__(
        self, model: Any, tokenizer: Any, pixels: Callable[[Tensor], Tensor], batch: int
    ) -> None:
        self.model, self.tokenizer, self.pixels, self.batch = model, tokenizer, pixels, batch
        self.text = OncePrompt(self._text)

    def _text(self, prompt: str) -> Tensor:
        """The prompt's unit vector (d,)."""
        length = self.model.config.text_config.max_position_embeddings
        # the text tower looks only backwards from the end of the text, so it needs no padding
        tokens = self.tokenizer(prompt, truncation=True, max_length=length, return_tensors="pt")
        out = self.model.get_text_features(tokens.input_ids.to(self.model.device))
        return unit(out.pooler_output)[0]

    def pictures(self, images: Tensor) -> Tensor:
        """Unit vectors (N, d) of a micro-batch of images on the model's device."""
        return unit(self.model.get_image_features(self.pixels(images)).pooler_output)

    def cosines(self, images: Tensor, prompt: str) -> Tensor:
        """Cosines (N,) of images (N, 3, H, W) in [0, 1] with a prompt."""
        text = self.text(prompt)
        return in_batches(
            images, self.batch, self.model.device, lambda part: self.pictures(part) @ text
        )


def unit(x: Tensor) -> Tensor:
    """Rows of length 1, in single precision or better."""
    import torch
    from torch.nn.functional import normalize

    return normalize(x.to(torch.promote_types(x.dtype, torch.float32)), dim=-1)


def model_of_folder(path: str, key: str, dtype: torch.dtype) -> Any:
    """A CLIPModel from a transformers folder or a repository of the hub. Raises GlassError."""
    import torch
    from transformers import CLIPConfig, CLIPModel

    from glass_cli.pipelines.vendors import quiet

    quiet()
    name = f"{key}={path}"
    folder = hub.folder(path, key, MODEL_FILES)
    read = checkpoint.settings(folder, "config.json", name)
    if read.get("model_type") != "clip":
        raise GlassError(
            f"{name} is a {read.get('model_type')} model; give the folder of a CLIP model"
        )
    try:
        config = CLIPConfig.from_dict(read)
        with torch.device("meta"):
            model = CLIPModel(config)
    except Exception as error:
        # transformers checks what a config.json says in many ways
        raise GlassError(f"{name}: config.json does not fit ({one_line(error)})") from error
    state = checkpoint.folder_weights(folder, path, key)
    # older versions of transformers saved 0, 1, 2, ...
    state = {k: v for k, v in state.items() if not k.endswith(".position_ids")}
    return checkpoint.fill(model, state, name, dtype)


def image_settings(path: str, key: str) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Mean and standard deviation of the colours that a CLIPImageProcessor takes off."""
    folder = hub.folder(path, key, PREPROCESSORS)
    file = checkpoint.first_of(folder, PREPROCESSORS)
    name = f"{key}={path}"
    if file is None:
        raise GlassError(
            f"{name} has no {PREPROCESSORS[0]} ({folder}); save its CLIPImageProcessor"
        )
    read = checkpoint.settings(folder, file, name)
    read = read.get("image_processor", read)
    try:
        mean, std = (tuple(float(v) for v in read[k]) for k in ("image_mean", "image_std"))
    except (KeyError, TypeError, ValueError) as error:
        raise GlassError(f"{name}: {file} has no image_mean and image_std") from error
    return mean, std


def from_open_clip(state: Mapping[str, Tensor], name: str) -> dict[str, Tensor]:
    """An open_clip state dict of a ViT under the names of ``CLIPModel``.

    Raises GlassError for a key that a plain CLIP of open_clip does not have.
    """
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key in _TOP:
            renamed[_TOP[key]] = value
        elif key in _TURNED:
            renamed[_TURNED[key]] = value.T.contiguous()
        elif (match := _RESBLOCK.fullmatch(key)) and match[3] in (*_LAYER, "attn.in_proj"):
            tower = "vision_model" if match[1] else "text_model"
            before = f"{tower}.encoder.layers.{match[2]}"
            if match[3] == "attn.in_proj":
                # queries, keys and values lie one on another
                for part, third in zip("qkv", value.chunk(3), strict=True):
                    renamed[f"{before}.self_attn.{part}_proj.{match[4]}"] = third
            else:
                renamed[f"{before}.{_LAYER[match[3]]}.{match[4]}"] = value
        else:
            raise GlassError(f"{name} is of another architecture: {key} is unexpected")
    return renamed


def open_clip_config(
    state: Mapping[str, Tensor], name: str, heads: tuple[int, int], end: int
) -> Any:
    """The CLIPConfig behind a state dict under the names of ``CLIPModel``, gelu.

    heads: how wide an attention head is in the vision and the text tower, which no shape tells;
    end: the tokenizer's number for the end of a text.
    """
    from transformers import CLIPConfig

    def length(key: str, dim: int = 0) -> int:
        return checkpoint.size(state, key, dim, name)

    def tower(kind: str, width: int, head: int) -> dict[str, Any]:
        if width % head:
            raise GlassError(f"{name} is of another architecture: its {kind} is {width} wide")
        return {
            "hidden_size": width,
            "intermediate_size": length(f"{kind}.encoder.layers.0.mlp.fc1.weight"),
            "num_hidden_layers": checkpoint.count(state, f"{kind}.encoder.layers.", name),
            "num_attention_heads": width // head,
            "hidden_act": "gelu",
        }

    patches = "vision_model.embeddings.patch_embedding.weight"
    patch = length(patches, 3)
    places = length("vision_model.embeddings.position_embedding.weight") - 1
    vision = tower("vision_model", length(patches), heads[0])
    vision |= {"patch_size": patch, "image_size": patch * round(places**0.5)}
    vocabulary = "text_model.embeddings.token_embedding.weight"
    text = tower("text_model", length(vocabulary, 1), heads[1])
    text |= {
        "vocab_size": length(vocabulary),
        "max_position_embeddings": length("text_model.embeddings.position_embedding.weight"),
        "eos_token_id": end,
    }
    wide = length("visual_projection.weight")
    return CLIPConfig(text_config=text, vision_config=vision, projection_dim=wide)


def load(path: str, processor: str, key: str, batch: int, dtype: torch.dtype) -> TwoTowers:
    """The towers of ``path`` with tokenizer and colours of ``processor``, whose setting is ``key``.

    Pictures are preprocessed as transformers did it for CLIP. Raises GlassError.
    """
    from transformers import CLIPTokenizer

    model = model_of_folder(path, "reward.path", dtype)
    mean, std = image_settings(processor, key)
    pixels = ShortestSide(int(model.config.vision_config.image_size), mean, std)
    vocabulary = model.config.text_config.vocab_size
    tokenizer = checkpoint.tokenizer(CLIPTokenizer, processor, key, vocabulary)
    return TwoTowers(model, tokenizer, pixels, batch)


def check_folders(path: str, processor: str, key: str) -> None:
    """Raises ValueError for a folder without a model, or without what preprocesses for it."""
    hub.check(path, "reward.path", ["config.json"], "the folder of a transformers CLIP model")
    folder = hub.local(processor)
    if folder is None or processor != path:
        hub.check(processor, key, (), "the folder of a CLIPProcessor")
    if folder is not None and checkpoint.first_of(folder, PREPROCESSORS) is None:
        raise ValueError(
            f"{key}={processor} has no {PREPROCESSORS[0]} ({folder}); save the model's"
            " CLIPImageProcessor there"
        )
