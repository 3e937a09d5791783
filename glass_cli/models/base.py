"""What every model settings class gives once it is loaded."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from glass_cli.method.flow import Flow

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class PromptedFlow(Flow, Protocol):
    """A model's flow under one prompt."""

    def close(self) -> None:
        """Lets go of whatever the prompt holds; the flow is not asked again."""


class LoadedModel(Protocol):
    """A model in memory."""

    @property
    def shape(self) -> tuple[int, ...]:
        """Shape of one particle."""

    @property
    def state(self) -> Tensor:
        """An empty tensor of the device and type in which particles are kept."""

    @property
    def calls(self) -> int:
        """Network calls a particle that the model is usually run with."""

    def prompted(self, prompt: str, negative_prompt: str, micro_batch: int) -> PromptedFlow:
        """The flow under a prompt, which is encoded once; ``micro_batch`` particles a call."""

    def decode(self, x: Tensor) -> Tensor:
        """Clean particles (N, *shape) to what rewards score: images (N, 3, H, W) in [0, 1] or
        points (N, d)."""


def state_dtype(device: torch.device) -> torch.dtype:
    """float64, or float32 where the device has no doubles."""
    import torch

    return torch.float32 if device.type == "mps" else torch.float64
