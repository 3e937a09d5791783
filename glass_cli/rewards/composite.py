"""A weighted sum of rewards whose units differ."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from glass_cli.rewards.base import Kind, LoadedReward, Reward, ScoredModel

if TYPE_CHECKING:
    import torch
    from torch import Tensor


@dataclass(frozen=True)
class Term:
    """weight * (r - mean) / scale of one reward.

    With the mean and the standard deviation that the reward has on ordinary pictures, weights
    compare what rewards find, whatever their units.

    reward: the settings of the reward.
    weight: any finite number; a negative one counts against.
    mean, scale: in the reward's own unit; scale is above 0.
    """

    reward: Reward
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
class Composite(Reward):
    """r = sum over terms of weight * (r_term - mean) / scale.

    The raw score of every term is recorded under its name.

    terms: name to :class:`Term`, at least one, all of which score the same kind of samples. On the
        command line each is a choice of reward/, and keys beside weight, mean and scale are that
        reward's own settings.
    """

    terms: dict[str, Term] = field(default_factory=dict)

    def __post_init__(self) -> None:
        if not self.terms:
            raise ValueError(
                "reward.terms is empty; name at least one, such as reward.terms.clip.weight=1"
            )
        for name, term in self.terms.items():
            if not isinstance(term, Term):
                raise ValueError(f"reward.terms.{name} must be a Term (got {type(term).__name__})")
        kinds = {name: t.reward.accepts for name, t in self.terms.items()}
        if len(set(kinds.values())) > 1:
            shown = ", ".join(f"{name} {kind}" for name, kind in kinds.items())
            raise ValueError(f"reward.terms must all score the same; here: {shown}")

    # The Protocol's plain attributes: here the terms decide, and a frozen class sets none anyway.
    @property
    def accepts(self) -> Kind:  # type: ignore[override]  # here the terms decide
        return next(iter(self.terms.values())).reward.accepts

    @property
    def differentiable(self) -> bool:  # type: ignore[override]
        """Whether every term is."""
        return all(t.reward.differentiable for t in self.terms.values())

    def for_model(self, model: ScoredModel) -> Composite:
        terms = {n: replace(t, reward=t.reward.for_model(model)) for n, t in self.terms.items()}
        return replace(self, terms=terms)

    def check_model(self, model: ScoredModel) -> None:
        """Raises ValueError where a term cannot score the model's samples."""
        for term in self.terms.values():
            term.reward.check_model(model)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raises ValueError where a term cannot score one of the prompts."""
        for term in self.terms.values():
            term.reward.check_prompts(prompts)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedComposite:
        loaded = {name: term.reward.load(device, dtype) for name, term in self.terms.items()}
        return LoadedComposite(self.terms, loaded)


class LoadedComposite(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, terms: Mapping[str, Term], loaded: Mapping[str, LoadedReward]) -> None:
        self._terms, self._loaded = terms, loaded

    def score_terms(self, samples: Tensor, prompt: str) -> tuple[Tensor, dict[str, Tensor]]:
        raw = {name: reward.score(samples, prompt) for name, reward in self._loaded.items()}
        addends = [t.weight * ((raw[name] - t.mean) / t.scale) for name, t in self._terms.items()]
        total = addends[0]
        for addend in addends[1:]:
            total = total + addend.to(total)
        return total, raw

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        return self.score_terms(samples, prompt)[0]
