"""Human Preference Score v2 (Wu et al., arXiv 2306.09341): a CLIP trained on people's choices."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from glass_cli.common import checkpoint, hub
from glass_cli.rewards import two_towers
from glass_cli.rewards.base import LoadedReward, Reward, check_common, number_type, place
from glass_cli.rewards.pixels import LongestSide

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FILES = {"v2": "HPS_v2_compressed.pt", "v2.1": "HPS_v2.1_compressed.pt"}
# ViT-H/14: how wide an attention head is in the vision and the text tower
HEADS = (80, 64)


@dataclass(frozen=True)
class Hpsv2(Reward):
    """The cosine of picture and prompt, by a CLIP ViT-H/14 of open_clip trained on choices.

    Usually 0.2 to 0.3 (``v2``) or 0.35 (``v2.1``); papers' tables often show a hundred times as
    much. Pictures are preprocessed as by the authors' package: rounded to 8 bits, longest side to
    224 by torch's antialiased bicubic, padded with black.

    path: a repository of the hub, a folder with the file, or the file itself.
    version: v2 takes HPS_v2_compressed.pt, v2.1 takes HPS_v2.1_compressed.pt.
    tokenizer: a CLIP tokenizer, a repository of the hub or a folder.
    batch: pictures scored at a time, 1 or more.
    device: auto, cpu, mps, cuda or cuda:N; null for the model's.
    dtype: of the network; the authors' package computes in half precision on a GPU. In bfloat16
        scores moved by at most 0.0010 (their spread: 0.014), measured with random weights at full
        size on eight pictures.
    """

    differentiable = True

    path: str = "xswu/HPSv2"
    version: Literal["v2", "v2.1"] = "v2.1"
    tokenizer: str = "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"
    batch: int = 8
    device: str | None = None
    dtype: Literal["float32", "bfloat16"] = "float32"

    def __post_init__(self) -> None:
        hub.check(self.path, "reward.path", [FILES[self.version]], "the file or its folder")
        hub.check(self.tokenizer, "reward.tokenizer", (), "the folder of a CLIP tokenizer")
        check_common(self.batch, self.device)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedHpsv2:
        """Reads the weights; in ``self.dtype``, whatever the model's is. Raises GlassError."""
        from transformers import CLIPTokenizer

        name = f"reward.path={self.path}"
        file = hub.file(self.path, FILES[self.version], "reward.path")
        state = two_towers.from_open_clip(checkpoint.read(file, name), name)
        vocabulary = checkpoint.size(state, "text_model.embeddings.token_embedding.weight", 0, name)
        tokenizer = checkpoint.tokenizer(
            CLIPTokenizer, self.tokenizer, "reward.tokenizer", vocabulary
        )
        model = network(state, name, tokenizer.eos_token_id, number_type(self.dtype))
        pixels = LongestSide(int(model.config.vision_config.image_size))
        model.to(place(self.device, device))
        return LoadedHpsv2(two_towers.TwoTowers(model, tokenizer, pixels, self.batch))


def network(state: dict[str, Tensor], name: str, end: int, dtype: torch.dtype) -> Any:
    """The CLIPModel of a state dict under its own names. Raises GlassError."""
    import torch
    from transformers import CLIPModel

    from glass_cli.pipelines.vendors import quiet

    quiet()
    config = two_towers.open_clip_config(state, name, HEADS, end)
    with torch.device("meta"):
        model = CLIPModel(config)
    return checkpoint.fill(model, state, name, dtype)


class LoadedHpsv2(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, towers: two_towers.TwoTowers) -> None:
        self.towers = towers

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        return self.towers.cosines(samples, prompt)
