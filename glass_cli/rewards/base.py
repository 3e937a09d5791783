"""What every reward settings class gives once it is loaded, and what the loaded ones share.

A settings class has the class variables ``accepts`` ("images" or "points") and ``differentiable``
(whether the gradient of a score with respect to the samples works), and
``load(device, dtype) -> LoadedReward``.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import TYPE_CHECKING, Generic, Protocol, TypeVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")


class LoadedReward(Protocol):
    """A reward in memory."""

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        """Scores (N,) of what the model decodes to: images (N, 3, H, W) in [0, 1], or points.

        Runs under the caller's grad mode; only what is computed of the text is without gradient.
        """


class OncePrompt(Generic[T]):
    """``encode(prompt)`` without gradient, kept until another prompt comes."""

    def __init__(self, encode: Callable[[str], T]) -> None:
        self._encode = encode
        self._last: tuple[str, T] | None = None

    def __call__(self, prompt: str) -> T:
        import torch

        if self._last is None or self._last[0] != prompt:
            # a tensor made in inference mode could not take part in a later gradient
            with torch.inference_mode(False), torch.no_grad():
                self._last = prompt, self._encode(prompt)
        return self._last[1]


def in_batches(
    samples: Tensor, batch: int, device: torch.device, score: Callable[[Tensor], Tensor]
) -> Tensor:
    """``score`` of every ``batch`` samples on ``device``, joined where the samples are.

    What comes in half precision leaves in single.
    """
    import torch

    found = torch.cat([score(part.to(device)) for part in samples.split(batch)]).to(samples.device)
    return found.float() if found.dtype in (torch.bfloat16, torch.float16) else found


def check_common(batch: int, device: str | None) -> None:
    """Raises ValueError for a ``batch`` or ``device`` that cannot be."""
    if batch < 1:
        raise ValueError(f"reward.batch must be at least 1 (got {batch})")
    if device is not None and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ValueError(
            "reward.device must be null (the model's), auto, cpu, mps, cuda or cuda:N"
            f" (got {device})"
        )


def place(own: str | None, models: torch.device) -> torch.device:
    """The reward's own device, or the model's. Raises GlassError for one that is not there."""
    from glass_cli.common.devices import choose_device

    return models if own is None else choose_device(own)


def number_type(word: str) -> torch.dtype:
    """``float32`` or ``bfloat16`` as torch's."""
    import torch

    found: torch.dtype = getattr(torch, word)
    return found
