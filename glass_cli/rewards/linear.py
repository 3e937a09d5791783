"""A linear reward on points, whose tilted law is known in closed form."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.common.errors import shown
from glass_cli.rewards.base import LoadedReward, Reward, ScoredModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Linear(Reward):
    """r(x) = direction . x.

    direction: its first coordinates; missing ones count as 0.
    """

    accepts = "points"
    differentiable = True
    usual_lam = 0.5

    direction: tuple[float, ...] = (1.0,)

    def check_model(self, model: ScoredModel) -> None:
        """Raises ValueError where the model's points have too few coordinates."""
        if model.dim is not None and len(self.direction) > model.dim:
            given = ",".join(f"{value:g}" for value in self.direction)
            raise ValueError(
                f"reward.direction={shown(f'[{given}]')} has {len(self.direction)} coordinates,"
                f" more than the {model.dim} of the model; give at most {model.dim}, or set"
                f" model.dim={len(self.direction)}"
            )

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedLinear:
        return LoadedLinear(self.direction)


class LoadedLinear(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, direction: tuple[float, ...]) -> None:
        self._direction = direction

    def linear_coefficients(self, dim: int) -> Tensor:
        """The direction in ``dim`` coordinates, float64."""
        import torch

        vector = torch.zeros(dim, dtype=torch.float64)
        vector[: len(self._direction)] = torch.tensor(self._direction, dtype=torch.float64)
        return vector

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        return samples @ self.linear_coefficients(samples.shape[-1]).to(samples)
