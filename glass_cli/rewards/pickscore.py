"""PickScore (Kirstain et al., arXiv 2305.01569): which picture people would pick for a prompt."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.common import checkpoint, hub
from glass_cli.rewards import two_towers
from glass_cli.rewards.base import (
    FollowsModel,
    LoadedReward,
    check_common,
    number_type,
    place,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

PROCESSOR = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"


@dataclass(frozen=True)
class PickScore(FollowsModel):
    """exp(logit_scale) times the cosine of picture and prompt, by a CLIP ViT-H/14 trained on picks.

    Kirstain et al., arXiv 2305.01569. The published scale, usually 18 to 24, and about 30 by
    the embedded one; a difference of 1 means odds of e in the authors' model of people's choices.
    Pictures are preprocessed as by the authors: rounded to 8 bits, shortest side to 224 by Pillow's
    bicubic, the centre cut out.

    path: the model, a repository of the hub or a folder; ``embedded:pickscore`` for a small one in
        the package; None for that one with the embedded model, and for the published one with any
        other.
    processor: its tokenizer and colours, likewise; null for the published ones, or for those that
        lie beside the weights (preprocessor_config.json), as with the embedded model.
    batch: pictures scored at a time, 1 or more.
    device: auto, cpu, mps, cuda or cuda:N; null for the model's.
    dtype: of the network. In bfloat16 scores moved by at most 0.11 (their spread: 1.4), measured
        with random weights at full size on eight pictures.
    """

    differentiable = True
    published = "yuvalkirstain/PickScore_v1"
    embedded = "embedded:pickscore"

    path: str | None = None
    processor: str | None = None
    batch: int = 8
    device: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        two_towers.check_folders(self.weights, self.beside, "reward.processor")
        check_common(self.batch, self.device)

    @property
    def beside(self) -> str:
        """Where tokenizer and colours come from."""
        if self.processor is not None:
            return self.processor
        folder = hub.local(self.weights)
        own = folder is not None and checkpoint.first_of(folder, two_towers.PREPROCESSORS)
        return self.weights if own else PROCESSOR

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedPickScore:
        """Reads the weights; in ``self.dtype``, whatever the model's is. Raises GlassError."""
        towers = two_towers.load(
            self.weights, self.beside, "reward.processor", self.batch, number_type(self.dtype)
        )
        towers.model.to(place(self.device, device))
        return LoadedPickScore(towers)


class LoadedPickScore(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, towers: two_towers.TwoTowers) -> None:
        self.towers = towers
        self.scale = float(towers.model.logit_scale.double().exp())

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        return self.scale * self.towers.cosines(samples, prompt)
