"""ImageReward (Xu et al., arXiv 2304.05977): a BLIP trained on people's rankings."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, NamedTuple

from glass_cli.common import checkpoint, hub
from glass_cli.common.errors import GlassError
from glass_cli.rewards.base import (
    FollowsModel,
    LoadedReward,
    OncePrompt,
    check_common,
    in_batches,
    number_type,
    place,
)
from glass_cli.rewards.pixels import ShortestSide

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FILE = "ImageReward.pt"
BERT = "google-bert/bert-base-uncased"
WORDS = 35  # tokens that a prompt is cut or padded to
HEAD = 64  # how wide an attention head is in both towers, which no shape tells
# mean and standard deviation of the raw score over the authors' validation set
MEAN, STD = 0.16717362830052426, 1.0333394966054072

TOP = {
    "cls_token": "embeddings.class_embedding",
    "pos_embed": "embeddings.position_embedding",
    "patch_embed.proj": "embeddings.patch_embedding",
    "norm": "post_layernorm",
}
BLOCK = {
    "norm1": "layer_norm1",
    "norm2": "layer_norm2",
    "attn.qkv": "self_attn.qkv",
    "attn.proj": "self_attn.projection",
    "mlp.fc1": "mlp.fc1",
    "mlp.fc2": "mlp.fc2",
}
_BLOCKS = re.compile(r"blocks\.(\d+)\.(.+)")
# BLIP's own comparison of picture and text, and a buffer 0, 1, 2, ...: not part of the reward
_UNUSED = ("blip.vision_proj.", "blip.text_proj.", "blip.text_encoder.embeddings.position_ids")


@dataclass(frozen=True)
class ImageReward(FollowsModel):
    """How well a picture fits its prompt and pleases, in standard deviations, usually -2 to 2.

    Xu et al., arXiv 2304.05977. A vision transformer L/16 reads the picture; a BERT reads the
    prompt and, by cross-attention, the picture; linear layers turn its first token into a number,
    less 0.167, over 1.033. Pictures are preprocessed as by the authors: rounded to 8 bits, shortest
    side to 224 by Pillow's bicubic, torchvision's centre cut out.

    path: a repository of the hub, a folder with ImageReward.pt, or the file itself;
        ``embedded:imagereward`` for a small one of the same architecture in the package; None for
        that one with the embedded model, and for the published one with any other.
    tokenizer: of BERT, a repository of the hub or a folder; null for the published one, or for the
        CLIP tokenizer that lies beside the weights (tokenizer.json), as with the embedded model.
    batch: pictures scored at a time, 1 or more.
    device: auto, cpu, mps, cuda or cuda:N; null for the model's.
    dtype: of the network; the linear layers always compute in float32. In bfloat16 scores moved by
        at most 0.010 (their spread: 1.2), measured with random weights at full size on eight
        pictures.
    """

    differentiable = True
    published = "zai-org/ImageReward"
    embedded = "embedded:imagereward"

    path: str | None = None
    tokenizer: str | None = None
    batch: int = 16
    device: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        hub.check(self.weights, "reward.path", [FILE], f"{FILE} or its folder")
        hub.check(self.words, "reward.tokenizer", (), "the folder of a BERT tokenizer")
        check_common(self.batch, self.device)

    @property
    def words(self) -> str:
        """Where the tokenizer comes from."""
        if self.tokenizer is not None:
            return self.tokenizer
        folder = hub.local(self.weights)
        return self.weights if folder and (folder / "tokenizer.json").is_file() else BERT

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedImageReward:
        """Reads the weights; in ``self.dtype``, whatever the model's is. Raises GlassError."""
        from transformers import BertTokenizer, CLIPTokenizer

        name = f"reward.path={self.weights}"
        state = checkpoint.read(hub.file(self.weights, FILE, "reward.path"), name)
        networks = Networks.of(state, name, number_type(self.dtype))
        vocabulary = networks.text.config.vocab_size
        # the embedded one reads the words of its world by CLIP's byte pairs
        kind = CLIPTokenizer if self.words == self.weights else BertTokenizer
        tokenizer = checkpoint.tokenizer(kind, self.words, "reward.tokenizer", vocabulary)
        return LoadedImageReward(networks.to(place(self.device, device)), tokenizer, self.batch)


class Networks(NamedTuple):
    """The three parts: ``BlipVisionModel``, ``BlipTextModel`` and linear layers."""

    vision: Any
    text: Any
    head: Any

    @classmethod
    def of(cls, state: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> Networks:
        """From a state dict under the authors' names. Raises GlassError."""
        import torch
        from transformers import BlipTextModel, BlipVisionModel

        from glass_cli.pipelines.vendors import quiet

        quiet()
        vision, text, head = split(state, name)
        wide = vision_config(vision, name)
        with torch.device("meta"):
            eye = BlipVisionModel(wide)
            reader = BlipTextModel(text_config(text, name), add_pooling_layer=False)
        parts = cls(
            checkpoint.fill(eye, vision, name, dtype),
            checkpoint.fill(reader, text, name, dtype),
            checkpoint.linear_stack(head, name),
        )
        joints = (
            (parts.text.config.encoder_hidden_size, wide.hidden_size),
            (parts.head[0].in_features, parts.text.config.hidden_size),
        )
        if any(a != b for a, b in joints):
            raise GlassError(f"{name} is of another architecture: its parts do not fit together")
        return parts

    def to(self, device: torch.device) -> Networks:
        return Networks(*(part.to(device) for part in self))


def split(
    state: Mapping[str, Tensor], name: str
) -> tuple[dict[str, Tensor], dict[str, Tensor], dict[str, Tensor]]:
    """The vision, text and linear parts of ImageReward.pt under the names of transformers.

    Raises GlassError for a key that belongs to none.
    """
    vision: dict[str, Tensor] = {}
    text: dict[str, Tensor] = {}
    head: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(_UNUSED):
            continue
        if key.startswith("blip.visual_encoder."):
            vision[_vision_key(key.removeprefix("blip.visual_encoder."))] = value
        elif key.startswith("blip.text_encoder."):
            text[key.removeprefix("blip.text_encoder.")] = value
        elif key.startswith("mlp.layers."):
            head[key.removeprefix("mlp.layers.")] = value
        else:
            raise GlassError(f"{name} is of another architecture: {key} is unexpected")
    return vision, text, head


def _vision_key(key: str) -> str:
    """The name in ``BlipVisionModel``; a name that is not known stays as it is."""
    block = _BLOCKS.fullmatch(key)
    before, key, names = (
        (f"encoder.layers.{block[1]}.", block[2], BLOCK) if block else ("", key, TOP)
    )
    module, _, kind = key.rpartition(".")
    if key in names:
        return before + names[key]
    return f"{before}{names[module]}.{kind}" if module in names else before + key


def _heads(width: int, name: str) -> int:
    if width % HEAD:
        raise GlassError(f"{name} is of another architecture: a tower is {width} wide")
    return width // HEAD


def vision_config(state: Mapping[str, Tensor], name: str) -> Any:
    """The sizes of the picture's tower, from the shapes of its weights."""
    from transformers import BlipVisionConfig

    patches = "embeddings.patch_embedding.weight"
    width, patch = (checkpoint.size(state, patches, dim, name) for dim in (0, 3))
    places = checkpoint.size(state, "embeddings.position_embedding", 1, name) - 1
    return BlipVisionConfig(
        hidden_size=width,
        intermediate_size=checkpoint.size(state, "encoder.layers.0.mlp.fc1.weight", 0, name),
        num_hidden_layers=checkpoint.count(state, "encoder.layers.", name),
        num_attention_heads=_heads(width, name),
        image_size=patch * round(places**0.5),
        patch_size=patch,
        layer_norm_eps=1e-6,
    )


def text_config(state: Mapping[str, Tensor], name: str) -> Any:
    """The sizes of the prompt's tower, from the shapes of its weights."""
    from transformers import BlipTextConfig

    vocabulary, places = (f"embeddings.{kind}_embeddings.weight" for kind in ("word", "position"))
    width = checkpoint.size(state, vocabulary, 1, name)
    keys = "encoder.layer.0.crossattention.self.key.weight"
    return BlipTextConfig(
        vocab_size=checkpoint.size(state, vocabulary, 0, name),
        hidden_size=width,
        encoder_hidden_size=checkpoint.size(state, keys, 1, name),
        intermediate_size=checkpoint.size(
            state, "encoder.layer.0.intermediate.dense.weight", 0, name
        ),
        num_hidden_layers=checkpoint.count(state, "encoder.layer.", name),
        num_attention_heads=_heads(width, name),
        max_position_embeddings=checkpoint.size(state, places, 0, name),
        is_decoder=True,  # which gives it the cross-attention
    )


class LoadedImageReward(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, networks: Networks, tokenizer: Any, batch: int) -> None:
        self.networks, self.tokenizer, self.batch = networks, tokenizer, batch
        self.pixels = ShortestSide(int(networks.vision.config.image_size), corner="even")
        self.tokens = OncePrompt(self._tokens)

    def _tokens(self, prompt: str) -> tuple[Tensor, Tensor]:
        """Numbers of the tokens and which of them are not padding, (1, L) each."""
        length = min(WORDS, self.networks.text.config.max_position_embeddings)
        tokens = self.tokenizer(
            prompt, padding="max_length", truncation=True, max_length=length, return_tensors="pt"
        )
        device = self.networks.vision.device
        return tokens.input_ids.to(device), tokens.attention_mask.to(device)

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        import torch

        vision, text, head = self.networks
        ids, mask = self.tokens(prompt)

        def score(images: Tensor) -> Tensor:
            seen = vision(self.pixels(images)).last_hidden_state
            n = len(images)
            # every picture token is attended to, so they need no mask
            read = text(
                ids.expand(n, -1),
                attention_mask=mask.expand(n, -1),
                encoder_hidden_states=seen,
                is_decoder=False,
            ).last_hidden_state[:, 0]
            raw = head(read.to(torch.promote_types(read.dtype, torch.float32)))[:, 0]
            scores: Tensor = (raw - MEAN) / STD
            return scores

        return in_batches(samples, self.batch, vision.device, score)
