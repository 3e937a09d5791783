"""A weighted sum of rewards whose units differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Term:
    """weight * (r - mean) / scale of one reward.

    ``mean`` and ``scale`` (above 0) are in the reward's own unit: take the mean and the standard
    deviation that it has on ordinary pictures, and weights compare what rewards find, whatever
    their units. A negative weight counts against.
    """

    reward: Any
    weight: float = 1.0
    mean: float = 0.0
    scale: float = 1.0

    def __post_init__(self) -> None:
        for name in ("weight", "mean"):
            if not math.isfinite(getattr(self, name)):
                raise ValueError(f"{name} must be a finite number (got {getattr(self, name)})")
        if not (math.isfinite(self.scale) and self.scale > 0.0):
            raise ValueError(f"scale must be above 0 (got {self.scale})")


@dataclass(frozen=True)
class Composite:
    """r = sum over terms of weight * (r_term - mean) / scale.

    ``terms`` maps a name to its :class:`Term`. On the command line each is a choice of reward/,
    and keys beside weight, mean and scale are that reward's own settings. The raw score of every
    term is recorded under its name.
    """

    of_terms: ClassVar[bool] = True

    terms: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError(
                "reward.terms is empty; name at least one, such as reward.terms.clip.weight=1"
            )
        for name, term in self.terms.items():
            if not isinstance(term, Term):
                raise ValueError(f"reward.terms.{name} must be a Term (got {type(term).__name__})")
        kinds = {name: str(t.reward.accepts) for name, t in self.terms.items()}
        if len(set(kinds.values())) > 1:
            shown = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
            raise ValueError(f"reward.terms must all score the same; here: {shown}")

    @property
    def accepts(self) -> str:
        return str(next(iter(self.terms.values())).reward.accepts)

    @property
    def differentiable(self) -> bool:
        """Whether every term is."""
        return all(getattr(t.reward, "differentiable", False) for t in self.terms.values())

    def check_model(self, model: Any) -> None:
        """Raises ValueError where a term does not fit the model."""
        for term in self.terms.values():
            if hasattr(term.reward, "check_model"):
                term.reward.check_model(model)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raises ValueError where a term cannot score one of the prompts."""
        for term in self.terms.values():
            if hasattr(term.reward, "check_prompts"):
                term.reward.check_prompts(prompts)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedComposite:
        loaded = {name: term.reward.load(device, dtype) for name, term in self.terms.items()}
        return LoadedComposite(self.terms, loaded)


class LoadedComposite:
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, terms: Mapping[str, Term], loaded: Mapping[str, Any]) -> None:
        self._terms, self._loaded = terms, loaded

    def score_terms(self, samples: Tensor, prompt: str) -> dict[str, Tensor]:
        """Every term's raw score (N,)."""
        return {name: reward.score(samples, prompt) for name, reward in self._loaded.items()}

    def combine(self, scores: Mapping[str, Tensor]) -> Tensor:
        """The weighted sum (N,) of raw scores."""
        addends = [t.weight * ((scores[n] - t.mean) / t.scale) for n, t in self._terms.items()]
        total = addends[0]
        for addend in addends[1:]:
            total = total + addend.to(total)
        return total

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        return self.combine(self.score_terms(samples, prompt))
