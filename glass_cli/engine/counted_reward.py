"""A reward whose calls are counted."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from glass_cli.rewards.base import LoadedReward


class CountedReward(LoadedReward):
    """A reward that counts how many samples it has scored."""

    def __init__(self, reward: LoadedReward) -> None:
        self._reward, self.calls = reward, 0

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        self.calls += len(samples)
        return self._reward.score(samples, prompt)

    def score_terms(self, samples: Tensor, prompt: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        self.calls += len(samples)
        return self._reward.score_terms(samples, prompt)

    def linear_coefficients(self, dim: int) -> Tensor | None:
        return self._reward.linear_coefficients(dim)
