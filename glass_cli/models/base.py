"""What a model is: its settings, what they load, and its flow under one prompt.

Classes inherit from these Protocols, which hold the defaults of everything optional. Settings
modules import neither torch nor diffusers outside of functions.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from glass_cli.method.flow import Flow
from glass_cli.rewards.base import Kind

if TYPE_CHECKING:
    import torch
    from torch import Tensor


class Model(Protocol):
    """The settings of a model, a frozen dataclass.

    Optional:

    output: what ``decode`` gives, "images" (the default) or "points".
    dim: the number of coordinates of a point; None (the default) for images.
    world: the name of the small world of pictures that it was trained on alone, such as "emoji",
        which rewards of that world can score; None (the default) for any picture.
    """

    output: Kind = "images"
    dim: int | None = None
    world: str | None = None

    @abstractmethod
    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedModel:
        """The model on ``device``, its network in ``dtype``.

        Raises GlassError, one line, where it cannot be had.
        """

    def unknown_words(self, prompt: str) -> Sequence[str]:
        """The words of a prompt that the model was never trained on; by default none.

        Asked before anything is loaded, so that a run can say them.
        """
        return ()


class LoadedModel(Protocol):
    """A model in memory.

    shape: of one particle, without the batch.
    state: an empty tensor of the device and type in which particles are kept.
    calls: network calls a particle that the model is usually run with, 1 or more.

    Optional:

    settings: what it was loaded from, which ``load_model`` fills in; None (the default) where
        that is not known.
    """

    shape: tuple[int, ...]
    state: Tensor
    calls: int
    settings: Model | None = None

    @abstractmethod
    def prompted(self, prompt: str, negative_prompt: str, micro_batch: int) -> PromptedFlow:
        """The flow under a prompt, which is encoded once; at most ``micro_batch`` particles a
        network call. Raises GlassError for a prompt that the model cannot take."""

    @abstractmethod
    def decode(self, x: Tensor) -> Tensor:
        """Clean particles (N, *shape) to what rewards score, see :data:`Kind`.

        Differentiable, for reward guidance.
        """

    def plot_density(
        self, points: Tensor, log_w: Tensor, tilt: Tensor | None, title: str
    ) -> bytes | None:
        """A PNG of weighted points over the model's density; None (the default) where that is not
        known.

        points: (N, d). log_w: log weights (N,). tilt: a vector a (d,) where the particles aim at
        the density times exp(a . x), None where they aim at the density itself. title: whose
        points they are.
        """
        return None


class PromptedFlow(Flow, Protocol):
    """A model's flow under one prompt."""

    def close(self) -> None:
        """Lets go of whatever the prompt holds; the flow is not asked again. By default nothing."""
        return
