"""Text in the picture against the text that the prompt puts in quotation marks."""

from __future__ import annotations

import importlib.util
import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glass_cli.common.errors import GlassError, one_line
from glass_cli.rewards.base import LoadedReward, Reward
from glass_cli.rewards.pixels import to_uint8

if TYPE_CHECKING:
    import torch
    from torch import Tensor

_MARKS = ('"{}"', "“{}”", "„{}“", "‘{}’", "«{}»", "「{}」", "『{}』")
_QUOTED = re.compile(
    "|".join(f"{a}([^{a}{b}]+){b}" for a, b in (mark.split("{}") for mark in _MARKS))
    # an apostrophe is no quotation mark: 'Joe's' is read, and don't ... can't is not
    + r"|(?<!\w)'(\S|\S.*?\S)'(?!\w)"
)


def quoted(prompt: str) -> list[str]:
    """The texts in quotation marks, in order; a pair of marks around white space counts not."""
    texts = ["".join(filter(None, match.groups())) for match in _QUOTED.finditer(prompt)]
    return [text for text in texts if _letters(text)]


def _letters(text: str) -> str:
    """``text`` as it is compared: compatible forms made one (NFKC), case and white space gone."""
    return "".join(unicodedata.normalize("NFKC", text).casefold().split())


def distance(a: str, b: str) -> int:
    """Levenshtein's: the fewest letters inserted, deleted or replaced that turn a into b."""
    row = list(range(len(b) + 1))
    for i, letter in enumerate(a, 1):
        corner, row[0] = row[0], i
        for j, other in enumerate(b, 1):
            corner, row[j] = row[j], min(row[j] + 1, row[j - 1] + 1, corner + (letter != other))
    return row[-1]


def similarity(wanted: str, lines: Sequence[str]) -> float:
    """max over runs of consecutive ``lines``, joined, of 1 - distance / length of the longer.

    From 0 (no letter in its place, or no lines) to 1; other text in the picture costs nothing.
    """
    a, read = _letters(wanted), [_letters(line) for line in lines]
    best = 0.0
    for first in range(len(read)):
        joined = ""
        for line in read[first:]:
            joined += line
            best = max(best, 1.0 - distance(a, joined) / max(len(a), len(joined)))
            if len(a) <= best * len(joined):
                break  # a run of length L > len(a) cannot exceed len(a) / L
    return best


@dataclass(frozen=True)
class Ocr(Reward):
    """How well the quoted texts of the prompt can be read in the picture, from 0 to 1.

    The mean over the quoted texts of :func:`similarity` with the lines that RapidOCR (PP-OCR on
    onnxruntime, on the CPU; its package has its models inside) reads. Letters are compared without
    case and white space. The score has no gradient, and is 0 as long as nothing can be read.

    confidence: that a line must have to count, 0 to 1.
    """

    confidence: float = 0.5

    def __post_init__(self) -> None:
        if not 0.0 <= self.confidence <= 1.0:
            raise ValueError(f"reward.confidence must lie between 0 and 1 (got {self.confidence})")
        missing = [n for n in ("rapidocr", "onnxruntime") if importlib.util.find_spec(n) is None]
        if missing:
            raise ValueError(
                f"reward=ocr needs {' and '.join(missing)}; pip install 'glass_cli[ocr]'"
            )

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raises ValueError for a prompt that quotes nothing."""
        for prompt in prompts:
            if not quoted(prompt):
                raise ValueError(
                    f"reward=ocr reads text that the prompt quotes, and this one quotes none:"
                    f" {one_line(prompt)[:80]}; write prompt='a sign that says \"Hello\"'"
                )

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedOcr:
        """Reads the models, which are part of the package. Raises GlassError where it cannot."""
        import numpy as np

        try:
            from rapidocr import RapidOCR

            read = RapidOCR(
                params={"Global.log_level": "critical", "Global.text_score": self.confidence}
            )
            read(np.zeros((64, 64, 3), dtype=np.uint8))
        except Exception as error:
            raise GlassError(
                f"reward=ocr: rapidocr cannot start ({type(error).__name__}: {one_line(error)});"
                " pip install --force-reinstall 'glass_cli[ocr]'"
            ) from error
        return LoadedOcr(read)


class LoadedOcr(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, read: Callable[..., Any]) -> None:
        self._read = read

    def lines(self, samples: Tensor) -> list[list[str]]:
        """The lines of text in each image (N, 3, H, W), from top to bottom."""
        from PIL import Image

        pictures = [Image.fromarray(picture) for picture in to_uint8(samples)]
        return [list(self._read(picture).txts or ()) for picture in pictures]

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        import torch

        wanted = quoted(prompt)
        if not wanted:
            raise GlassError(f"reward=ocr: no quoted text in the prompt {one_line(prompt)[:80]}")
        scores = [
            sum(similarity(text, lines) for text in wanted) / len(wanted)
            for lines in self.lines(samples)
        ]
        return torch.tensor(scores, device=samples.device)
