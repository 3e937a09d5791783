"""What a reward is: its settings, what they load, and what the loaded ones share.

Classes inherit from these Protocols, which hold the defaults of everything optional. Settings
modules import neither torch nor transformers outside of functions.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, ClassVar, Generic, Literal, Protocol, TypeVar

from glass_cli.common import hub

if TYPE_CHECKING:
    import torch
    from torch import Tensor

T = TypeVar("T")

Kind = Literal["images", "points"]
"""What models decode to and rewards score: images (N, 3, H, W) in [0, 1], or points (N, d)."""

EMOJI = "emoji"
"""The world of the package's own models and rewards."""


class ScoredModel(Protocol):
    """What a reward may read of the settings of the model whose samples it scores.

    output: "images" or "points". dim: the number of coordinates of a point; None for images.
    world: the small world of pictures that it was trained on alone; None for any.
    """

    @property
    def output(self) -> Kind: ...

    @property
    def dim(self) -> int | None: ...

    @property
    def world(self) -> str | None: ...


class Reward(Protocol):
    """The settings of a reward, a frozen dataclass.

    Optional:

    accepts: what it scores, "images" (the default) or "points".
    differentiable: whether a score has a gradient with respect to the samples, which
    ``steering.guidance`` needs; False by default.
    usual_lam: what ``steering.lam=null`` stands for, in units of 1/reward; "auto" by
    default, which needs no unit to be known.
    """

    accepts: Kind = "images"
    differentiable: bool = False
    usual_lam: float | Literal["auto"] = "auto"

    @abstractmethod
    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedReward:
        """The reward in memory; ``device`` and ``dtype`` are the model's.

        Raises GlassError, one line, where it cannot be had.
        """

    def for_model(self, model: ScoredModel) -> Reward:
        """The same settings with what is usual for ``model`` where that decides."""
        return self

    def check_model(self, model: ScoredModel) -> None:
        """Raises ValueError where the model's samples cannot be scored, beyond ``accepts``.

        Called before anything is loaded; by default every model will do.
        """
        return

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raises ValueError where pictures of one of the prompts cannot be scored.

        Called before anything is loaded; by default every prompt will do.
        """
        return


class LoadedReward(Protocol):
    """A reward in memory.

    Optional:

    settings: what it was loaded from, which ``load_reward`` fills in; None (the default) where
        that is not known.
    """

    settings: Reward | None = None

    @abstractmethod
    def score(self, samples: Tensor, prompt: str) -> Tensor:
        """Scores (N,), the higher the better, of what the model decodes to: images (N, 3, H, W) in
        [0, 1], or points (N, d).

        Runs under the caller's grad mode; only what is computed of the text is without gradient.
        """

    def score_terms(self, samples: Tensor, prompt: str) -> tuple[Tensor, Mapping[str, Tensor]]:
        """The scores (N,), and by name the raw scores (N,) of each term that they are made of.

        By default there are no terms.
        """
        return self.score(samples, prompt), {}

    def linear_coefficients(self, dim: int) -> Tensor | None:
        """The vector a (``dim``,) of a reward r(x) = a . x of points; None (the default) for any
        other. With it a model of known density also knows the law that steering aims at."""
        return None


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

    scores = torch.cat([score(part.to(device)) for part in samples.split(batch)]).to(samples.device)
    return scores.float() if scores.dtype in (torch.bfloat16, torch.float16) else scores


def check_common(batch: int, device: str | None, group: str = "reward") -> None:
    """Raises ValueError for a ``batch`` or ``device`` that cannot be, settings of ``group``."""
    if batch < 1:
        raise ValueError(f"{group}.batch must be at least 1 (got {batch})")
    if device is not None and not re.fullmatch(r"auto|cpu|mps|cuda(:\d+)?", device):
        raise ValueError(
            f"{group}.device must be null (the model's), auto, cpu, mps, cuda or cuda:N"
            f" (got {device})"
        )


def check_world(path: str, model: ScoredModel) -> None:
    """Raises ValueError where weights in the package are to score what they were not trained on."""
    if hub.is_embedded(path) and model.world != EMOJI:
        raise ValueError(
            f"{path} has seen the pictures of model={EMOJI} alone, and cannot score this model's;"
            " use reward=imagereward or pickscore with their published weights, or clip with"
            " path=openai/clip-vit-large-patch14"
        )


class FollowsModel(Reward):
    """A reward whose ``path`` None is a small one in the package with the embedded model, which was
    trained on its world, and the published one with any other.

    published, embedded: these two paths.
    """

    published: ClassVar[str]
    embedded: ClassVar[str]
    path: str | None

    def check_model(self, model: ScoredModel) -> None:
        """Raises ValueError where embedded weights are to score another model's pictures."""
        check_world(self.weights, model)

    def for_model(self, model: ScoredModel) -> Reward:
        if self.path is not None:
            return self
        path = self.embedded if model.world == EMOJI else self.published
        return replace(self, path=path)  # type: ignore[type-var]  # settings are dataclasses

    @property
    def weights(self) -> str:
        """Where they are; the published ones as long as no model is known."""
        return self.published if self.path is None else self.path


def place(own: str | None, models: torch.device) -> torch.device:
    """The reward's own device, or the model's. Raises GlassError for one that is not there."""
    from glass_cli.common.devices import choose_device

    return models if own is None else choose_device(own)


def number_type(word: str) -> torch.dtype:
    """``float32`` or ``bfloat16`` as torch's."""
    import torch

    dtype: torch.dtype = getattr(torch, word)
    return dtype
