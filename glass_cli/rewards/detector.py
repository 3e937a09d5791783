"""A verifier: how probable it is, by a detector, that a picture shows what its prompt asks for."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from glass_cli.common.errors import GlassError, one_line
from glass_cli.detectors import atom_rules
from glass_cli.detectors.embedded_detector import EmbeddedDetector, LoadedEmbeddedDetector
from glass_cli.embedded.world import grammar
from glass_cli.embedded.world.content import Content
from glass_cli.rewards.base import (
    LoadedReward,
    OncePrompt,
    Reward,
    ScoredModel,
    check_common,
    check_world,
    in_batches,
    place,
)

if TYPE_CHECKING:
    import torch
    from torch import Tensor

LEAST = -5.0  # log-probability of an atom that is not there


def _content(prompt: str, detector: EmbeddedDetector) -> Content:
    """What a prompt asks for. Raises ValueError where that cannot be read or is unknown."""
    content = grammar.read(prompt)
    if content is None:
        raise ValueError(
            "reward=detector reads prompts such as 'a photo of two red apples left of a blue car',"
            f" and not this one: {one_line(prompt)[:80]}; reward=imagereward takes any words"
        )
    unknown = {group.name for group in content.groups} - {*detector.classes}
    if unknown:
        raise ValueError(
            f"reward=detector: {detector.path} was not trained on {', '.join(sorted(unknown))}"
        )
    return content


@dataclass(frozen=True)
class Detector(Reward):
    """The mean log-probability of the prompt's atoms, from -5 (nothing is there) to 0 (certain).

    Of the embedded world only. A prompt's atoms are its objects, counts, colours and relations
    (:mod:`glass_cli.detectors.atom_rules`), and exp of the score is the geometric mean of their
    probabilities, which GenEval 2 calls Soft-TIFA GM (Kamath et al., arXiv 2512.16853), each no
    lower than exp(-5). It is the judge of benchmark=compose itself: a reward without a fault of its
    own, by which methods can be compared apart from their reward. What it brings says nothing of a
    reward that was learned, and objects that no one asked for cost nothing.

    path: a folder with config.json and model.safetensors, or ``embedded:<name>``.
    batch: pictures a pass, 1 or more.
    device: auto, cpu, mps, cuda or cuda:N; null for the model's.
    """

    path: str = "embedded:detector"
    batch: int = 32
    device: str | None = None

    def __post_init__(self) -> None:
        EmbeddedDetector(self.path)
        check_common(self.batch, self.device)

    def check_model(self, model: ScoredModel) -> None:
        """Raises ValueError for the pictures of a model that draws other things."""
        check_world(self.path, model)

    def check_prompts(self, prompts: Sequence[str]) -> None:
        """Raises ValueError for a prompt that is not in the world's wording."""
        for prompt in prompts:
            _content(prompt, EmbeddedDetector(self.path))

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedDetectorReward:
        """Reads the detector, in float32 whatever the model's is. Raises GlassError."""
        settings = EmbeddedDetector(self.path)
        here = place(self.device, device)
        return LoadedDetectorReward(settings, settings.load(here, dtype), self.batch, here)


class LoadedDetectorReward(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(
        self,
        settings: EmbeddedDetector,
        detector: LoadedEmbeddedDetector,
        batch: int,
        device: torch.device,
    ) -> None:
        self._detector, self._batch, self._device = detector, batch, device
        self._atoms = OncePrompt(lambda prompt: atom_rules.atoms(_content(prompt, settings)))

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        import torch

        try:
            atoms = self._atoms(prompt)
        except ValueError as error:
            raise GlassError(str(error)) from None

        def means(images: Tensor) -> Tensor:
            scores = [
                sum(
                    max(math.log(max(atom_rules.probability(objects, atom), 1e-9)), LEAST)
                    for atom in atoms
                )
                / len(atoms)
                for objects in self._detector.beliefs(images)
            ]
            return torch.tensor(scores, device=images.device)

        return in_batches(samples, self._batch, self._device, means)
