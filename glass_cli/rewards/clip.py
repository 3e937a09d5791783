"""CLIPScore (Hessel et al., arXiv 2104.08718): how well a picture fits its prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.rewards import two_towers
from glass_cli.rewards.base import (
    LoadedReward,
    Reward,
    ScoredModel,
    check_common,
    check_world,
    number_type,
    place,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Clip(Reward):
    """100 * max(cosine of picture and prompt, 0), by a ``transformers.CLIPModel``.

    CLIPScore (Hessel et al., arXiv 2104.08718), with its scale of 2.5 replaced by 100; usually 15
    to 40 with openai/clip-vit-large-patch14, and about 70 with the embedded CLIP, which has seen
    emoji alone. Pictures are rounded to 8 bits and resized as Pillow
    does it (``transformers``' preprocessing), so a score is that of the picture as it is saved.

    path: a folder, ``embedded:<name>`` for one in the package, or a repository of the hub.
    batch: pictures scored at a time, 1 or more.
    device: auto, cpu, mps, cuda or cuda:N; null for the model's.
    dtype: of the network. In bfloat16 scores moved by at most 0.12 (their spread: 0.6), measured
        with random weights in a full ViT-L/14 on eight pictures.
    """

    differentiable = True

    path: str
    batch: int = 32
    device: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        two_towers.check_folders(self.path, self.path, "reward.path")
        check_common(self.batch, self.device)

    def check_model(self, model: ScoredModel) -> None:
        """Raises ValueError where embedded weights are to score another model's pictures."""
        check_world(self.path, model)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedClip:
        """Reads the weights; in ``self.dtype``, whatever the model's is. Raises GlassError."""
        towers = two_towers.load(
            self.path, self.path, "reward.path", self.batch, number_type(self.dtype)
        )
        towers.model.to(place(self.device, device))
        return LoadedClip(towers)


class LoadedClip(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, towers: two_towers.TwoTowers) -> None:
        self.towers = towers

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        return 100.0 * self.towers.cosines(samples, prompt).clamp(min=0.0)
