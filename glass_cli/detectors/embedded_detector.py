"""The detector of the emoji world: it sees GenEval's 80 classes.

Trained on rendered scenes by ``python -m glass_cli.embedded.train detector``; the model card
(glass_cli/embedded/weights/README.md) says how, and how often it is right. It shares no weights and
no training pictures with the embedded rewards that were learned, so that steering by one of them
does not see its judge; ``reward=detector`` is the judge itself.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from glass_cli.common import hub
from glass_cli.common.errors import GlassError, one_line
from glass_cli.detectors.boxes import iou
from glass_cli.detectors.detections import Box, Detection, ObjectBelief

if TYPE_CHECKING:
    import torch
    from torch import Tensor

KEY = "benchmark.embedded"
LEAST = 0.05  # a score, far below GenEval's cut
SAME = 0.4  # boxes that overlap by more (IoU) are one object


@dataclass(frozen=True)
class EmbeddedDetector:
    """The detector of the embedded world.

    path: a folder with config.json and model.safetensors, or embedded:<name>.

    Raises ValueError for a path that is neither.
    """

    path: str = "embedded:detector"

    def __post_init__(self) -> None:
        what = "the folder of a detector that python -m glass_cli.embedded.train made"
        hub.check(self.path, f"{KEY}.path", ["config.json", "model.safetensors"], what)

    @cached_property
    def config(self) -> dict[str, Any]:
        """Classes, colours, picture size and the network's. Raises GlassError."""
        folder = hub.folder(self.path, f"{KEY}.path", ["config.json"])
        try:
            read = json.loads((folder / "config.json").read_text(encoding="utf-8"))
            return {
                key: read[key] for key in ("classes", "colours", "image_size", "width", "blocks")
            }
        except (OSError, ValueError, KeyError, TypeError) as error:
            raise GlassError(
                f"{KEY}.path={self.path}: config.json is not a detector's ({one_line(error)})"
            ) from error

    @property
    def classes(self) -> tuple[str, ...]:
        return tuple(self.config["classes"])

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedEmbeddedDetector:
        """Reads the weights; always float32. Raises GlassError."""
        import torch

        from glass_cli.common import checkpoint
        from glass_cli.detectors.grid_network import GridNetwork

        config = self.config
        folder = hub.folder(self.path, f"{KEY}.path", ["*.safetensors"])
        sizes = len(config["classes"]), len(config["colours"]), config["width"], config["blocks"]
        with torch.device("meta"):
            network = GridNetwork(*sizes)
        name = f"{KEY}.path={self.path}"
        state = checkpoint.read(folder / "model.safetensors", name)
        network = checkpoint.fill(network, state, name, torch.float32)
        return LoadedEmbeddedDetector(network.to(device), config)


class LoadedEmbeddedDetector:
    """See :class:`glass_cli.detectors.detections.LoadedDetector`."""

    def __init__(self, network: Any, config: dict[str, Any]) -> None:
        self.network = network
        self._classes: list[str] = config["classes"]
        self._colours: list[str] = config["colours"]
        self._side: int = config["image_size"]

    def beliefs(self, images: Tensor) -> list[list[ObjectBelief]]:
        """The distinct objects of each of the images (N, 3, H, W) in [0, 1], the surest first.

        Pictures of another size are scaled to the world's, whose object sizes it knows. Of an
        object is believed what its surest cell says: the sigmoid of its presence, and the softmax
        of its classes and colours.
        """
        import torch
        from torch.nn.functional import interpolate

        height, width = images.shape[-2:]
        side = self._side
        x = images.to(next(self.network.parameters())).clamp(0.0, 1.0)
        if (height, width) != (side, side):
            x = interpolate(x, (side, side), mode="bilinear", antialias=True)
        with torch.no_grad():
            cells = self.network(x)
        boxes = _boxes(cells.sides) * x.new_tensor([width, height, width, height]) / side
        presence = cells.presence.sigmoid().flatten(1)
        # (N, cells, classes) and (N, cells, colours)
        classes, colours = (
            part.softmax(1).flatten(2).transpose(1, 2) for part in (cells.classes, cells.colours)
        )
        scores = presence * classes.amax(2)
        rows = []
        for n, sides in enumerate(boxes.tolist()):
            cell = _distinct(sides, scores[n].tolist())
            parts = (presence[n], classes[n], colours[n])
            known = zip(cell, *(part[cell].tolist() for part in parts), strict=True)
            rows.append(
                [
                    ObjectBelief(
                        here,
                        dict(zip(self._classes, of_class, strict=True)),
                        dict(zip(self._colours, of_colour, strict=True)),
                        tuple(sides[i]),
                    )
                    for i, here, of_class, of_colour in known
                ]
            )
        return rows

    def detect(self, images: Tensor) -> list[list[Detection]]:
        """One class an object; its score is the chance that it is there times its class's."""
        return [[_most_likely(one) for one in objects] for objects in self.beliefs(images)]

    def colours(self, image: Tensor, detections: Sequence[Detection], name: str) -> list[str]:
        """As seen at detection; "" for an object in its own colours, which fits none."""
        return [detection.colour or "" for detection in detections]


def _boxes(sides: Tensor) -> Tensor:
    """Boxes (N, cells, 4) in pixels, from the distances (N, 4, H, W) to their sides."""
    import torch

    from glass_cli.detectors.grid_network import STRIDE, centres

    x, y = centres(sides.shape[-2], sides.shape[-1], sides.device)
    left, top, right, bottom = (STRIDE * sides).unbind(1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=-1).flatten(1, 2)


def _distinct(boxes: Sequence[Box], scores: Sequence[float]) -> list[int]:
    """The most confident cell of each object: those around it see the same one."""
    chosen: list[int] = []
    for i in sorted(range(len(scores)), key=lambda i: -scores[i]):
        if scores[i] <= LEAST:
            break
        if all(iou(boxes[i], boxes[other]) <= SAME for other in chosen):
            chosen.append(i)
    return chosen


def _most_likely(one: ObjectBelief) -> Detection:
    name, colour = (max(known, key=known.__getitem__) for known in (one.classes, one.colours))
    return Detection(name, one.presence * one.classes[name], one.box, None, colour)
