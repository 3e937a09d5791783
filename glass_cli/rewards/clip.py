"""CLIPScore (Hessel et al., arXiv 2104.08718): how well a picture fits its prompt."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

if TYPE_CHECKING:
    import torch
    from torch import Tensor

EMBEDDED = Path(__file__).parents[1] / "weights"
# where a CLIPImageProcessor keeps its settings, and a whole CLIPProcessor
_PREPROCESSORS = ("preprocessor_config.json", "processor_config.json")


@dataclass(frozen=True)
class Clip:
    """100 * max(cosine of picture and prompt, 0), by a ``transformers.CLIPModel`` folder.

    ``path`` is a folder, or ``embedded:<name>`` for one in the package. ``batch`` pictures are
    scored at a time.
    """

    accepts: ClassVar[Literal["images"]] = "images"

    path: str
    batch: int = 32

    def __post_init__(self) -> None:
        if not (self.folder / "config.json").is_file():
            raise ValueError(
                f"reward.path={self.path} has no config.json ({self.folder}); give the folder of a"
                " transformers CLIP model"
            )
        if not any((self.folder / name).is_file() for name in _PREPROCESSORS):
            raise ValueError(
                f"reward.path={self.path} has no {_PREPROCESSORS[0]} ({self.folder}); save the"
                " model's CLIPImageProcessor there"
            )
        if self.batch < 1:
            raise ValueError(f"reward.batch must be at least 1 (got {self.batch})")

    @property
    def folder(self) -> Path:
        kind, _, name = self.path.partition(":")
        return EMBEDDED / name if kind == "embedded" else Path(self.path).expanduser()

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedClip:
        """Reads the weights (safetensors only); always float32, whose scores are comparable."""
        import torch
        from transformers import CLIPModel, CLIPTokenizer

        from glass_cli.models.vendors import quiet

        quiet()
        # transformers would keep the precision of the file
        model = CLIPModel.from_pretrained(
            self.folder, dtype=torch.float32, use_safetensors=True, local_files_only=True
        )
        tokenizer = CLIPTokenizer.from_pretrained(self.folder, local_files_only=True)
        name = next(name for name in _PREPROCESSORS if (self.folder / name).is_file())
        settings = json.loads((self.folder / name).read_text(encoding="utf-8"))
        settings = settings.get("image_processor", settings)
        return LoadedClip(
            model.to(device).eval(),
            tokenizer,
            settings["image_mean"],
            settings["image_std"],
            self.batch,
        )


class LoadedClip:
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(
        self, model: Any, tokenizer: Any, mean: list[float], std: list[float], batch: int
    ) -> None:
        import torch

        self._model, self._tokenizer, self._batch = model, tokenizer, batch
        device = model.device
        self._mean = torch.tensor(mean, device=device)[:, None, None]
        self._std = torch.tensor(std, device=device)[:, None, None]
        self._side = int(model.config.vision_config.image_size)
        self._text: tuple[str, Tensor] | None = None

    def _embedded_text(self, prompt: str) -> Tensor:
        """The prompt's unit embedding (d,), computed once a prompt."""
        import torch
        from torch.nn.functional import normalize

        if self._text is None or self._text[0] != prompt:
            length = self._model.config.text_config.max_position_embeddings
            tokens = self._tokenizer(
                prompt,
                padding="max_length",
                truncation=True,
                max_length=length,
                return_tensors="pt",
            )
            with torch.no_grad():
                out = self._model.get_text_features(tokens.input_ids.to(self._model.device))
            self._text = prompt, normalize(out.pooler_output, dim=-1)[0]
        return self._text[1]

    def _pixels(self, images: Tensor) -> Tensor:
        """CLIP's preprocessing: shortest side to the model's by bicubic, centre crop, normalise."""
        from torch.nn.functional import interpolate

        side = self._side
        x = images.to(self._mean)
        height, width = x.shape[-2:]
        if min(height, width) != side:
            short = min(height, width)
            size = (side * height // short, side * width // short)  # rounded down, as CLIP does
            x = interpolate(x, size, mode="bicubic", antialias=True).clamp(0.0, 1.0)
        top, left = (x.shape[-2] - side) // 2, (x.shape[-1] - side) // 2
        return (x[..., top : top + side, left : left + side] - self._mean) / self._std

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        import torch
        from torch.nn.functional import normalize

        text = self._embedded_text(prompt)
        with torch.no_grad():
            cosines = [
                normalize(self._model.get_image_features(self._pixels(part)).pooler_output, dim=-1)
                @ text
                for part in samples.split(self._batch)
            ]
        return 100.0 * torch.cat(cosines).clamp(min=0.0)
