"""What every reward settings class gives once it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from torch import Tensor


class LoadedReward(Protocol):
    """A reward in memory."""

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        """Scores (N,) of what the model decodes to: images (N, 3, H, W) in [0, 1], or points."""
