"""LAION's aesthetic score: how much people like a picture, whatever its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from glass_cli.common import checkpoint, hub
from glass_cli.common.errors import GlassError
from glass_cli.rewards import two_towers
from glass_cli.rewards.base import (
    LoadedReward,
    Reward,
    check_common,
    in_batches,
    number_type,
    place,
)
from glass_cli.rewards.pixels import ShortestSide

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Aesthetic(Reward):
    """Linear layers (no activations between) on the unit image vector of CLIP ViT-L/14.

    Trained on ratings from 1 to 10 (github.com/christophschuhmann/improved-aesthetic-predictor);
    usually 4 to 7. The prompt plays no part. Pictures are preprocessed as by the authors: rounded
    to 8 bits, shortest side to 224 by Pillow's bicubic, torchvision's centre cut out.

    path: the CLIP, a repository of the hub or a folder.
    head: a repository of the hub or a folder that holds ``head_file``, or the file itself.
    head_file: its name; trl-lib/ddpo-aesthetic-predictor has it as aesthetic-model.pth.
    batch: pictures scored at a time, 1 or more.
    device: auto, cpu, mps, cuda or cuda:N; null for the model's.
    dtype: of the CLIP; the head always computes in float32. In bfloat16 scores moved by at most
        0.0011 (their spread: 0.009), measured with random weights at full size on eight pictures.
    """

    differentiable = True

    path: str = "openai/clip-vit-large-patch14"
    head: str = "camenduru/improved-aesthetic-predictor"
    head_file: str = "sac+logos+ava1-l14-linearMSE.pth"
    batch: int = 32
    device: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        hub.check(self.path, "reward.path", ["config.json"], "the folder of CLIP ViT-L/14")
        hub.check(self.head, "reward.head", [self.head_file], "the file or its folder")
        check_common(self.batch, self.device)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedAesthetic:
        """Reads the weights; the CLIP in ``self.dtype``. Raises GlassError."""
        name = f"reward.head={self.head}"
        file = hub.file(self.head, self.head_file, "reward.head")
        head = head_of(checkpoint.read(file, name), name)
        clip = two_towers.model_of_folder(self.path, "reward.path", number_type(self.dtype))
        given, taken = clip.config.projection_dim, head[0].in_features
        if given != taken:
            raise GlassError(
                f"{name} is for image vectors of {taken} numbers, reward.path={self.path} gives"
                f" {given}; give the CLIP that it was trained on"
            )
        own = place(self.device, device)
        return LoadedAesthetic(clip.to(own), head.to(own), self.batch)


def head_of(state: dict[str, Tensor], name: str) -> Any:
    """The linear layers of a state dict ``layers.<number>.weight``. Raises GlassError."""
    return checkpoint.linear_stack({k.removeprefix("layers."): v for k, v in state.items()}, name)


class LoadedAesthetic(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, clip: Any, head: Any, batch: int) -> None:
        self.clip, self.head, self.batch = clip, head, batch
        self.pixels = ShortestSide(int(clip.config.vision_config.image_size), corner="even")

    def _score(self, images: Tensor) -> Tensor:
        vectors = two_towers.unit(self.clip.get_image_features(self.pixels(images)).pooler_output)
        scores: Tensor = self.head(vectors)[:, 0]
        return scores

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        return in_batches(samples, self.batch, self.clip.device, self._score)
