"""What a detector finds in a picture, and what a detector is."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    import torch
    from torch import Tensor

Box = tuple[float, float, float, float]

# GenEval's colours, in the order of its classifier
COLOURS = (
    "red",
    "orange",
    "yellow",
    "green",
    "blue",
    "purple",
    "pink",
    "brown",
    "black",
    "white",
)


class Detection(NamedTuple):
    """One object that was found.

    name: its class.
    score: in [0, 1].
    box: x0, y0, x1, y1 in pixels from the picture's top left corner, far sides excluded.
    mask: (H, W), bool; None where the detector makes none.
    colour: of detectors that see colours themselves: one of COLOURS, or "" for an object in colours
        of its own.
    """

    name: str
    score: float
    box: Box
    mask: Tensor | None = None
    colour: str | None = None


class ObjectBelief(NamedTuple):
    """One object with all that a detector believes of it.

    presence: the probability that it is there at all.
    classes, colours: the probabilities of what it is, given that it is there; each sum to 1, and ""
        is an object in colours of its own.
    box: as of :class:`Detection`.
    """

    presence: float
    classes: Mapping[str, float]
    colours: Mapping[str, float]
    box: Box


class LoadedDetector(Protocol):
    """A detector in memory."""

    def detect(self, images: Tensor) -> list[list[Detection]]:
        """All that is found in each of the images (N, 3, H, W) in [0, 1], in any order."""

    def colours(self, image: Tensor, detections: Sequence[Detection], name: str) -> list[str]:
        """The colour of each of the detections of class ``name`` in the image (3, H, W)."""


class Detector(Protocol):
    """The settings of a detector."""

    @property
    def classes(self) -> tuple[str, ...] | None:
        """The classes that it knows; None for all 80 of GenEval's."""

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedDetector: ...
