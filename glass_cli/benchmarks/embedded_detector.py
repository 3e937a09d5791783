"""The detector of the emoji world: it sees the 32 classes that the embedded model draws.

Trained on rendered scenes by ``python -m glass_cli.embedded.train detector``; the model card
(glass_cli/embedded/weights/README.md) says how, and how often it is right. It shares no weights and
no training pictures with the embedded CLIP, so steering by that reward does not see its judge.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

from glass_cli.benchmarks.detections import Detection
from glass_cli.benchmarks.geneval_rules import iou
from glass_cli.common import hub
from glass_cli.common.errors import GlassError, one_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor

KEY = "benchmark.embedded"
LEAST = 0.05  # a score, far below GenEval's cut
SAME = 0.4  # boxes that overlap by more (IoU) are one object


@dataclass(frozen=True)
class EmbeddedDetector:
    """``path`` is a folder with config.json and model.safetensors, or ``embedded:<name>``."""

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

        from glass_cli.benchmarks.grid_network import GridNetwork
        from glass_cli.rewards import checkpoint

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
    """See :class:`glass_cli.benchmarks.detections.LoadedDetector`."""

    def __init__(self, network: Any, config: dict[str, Any]) -> None:
        self.network = network
        self._classes: list[str] = config["classes"]
        self._colours: list[str] = config["colours"]
        self._side: int = config["image_size"]

    def detect(self, images: Tensor) -> list[list[Detection]]:
        """One class an object; its score is the chance that it is there times its class's.

        Pictures of another size are scaled to the world's, whose object sizes it knows.
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
        chance, which = cells.classes.softmax(1).max(1)
        scores = (cells.presence.sigmoid() * chance).flatten(1).tolist()
        names, colours = which.flatten(1).tolist(), cells.colours.argmax(1).flatten(1).tolist()
        found = []
        for n, placed in enumerate(boxes.tolist()):
            seen = [
                Detection(
                    self._classes[names[n][i]],
                    score,
                    tuple(placed[i]),
                    None,
                    self._colours[colours[n][i]],
                )
                for i, score in enumerate(scores[n])
                if score > LEAST
            ]
            found.append(_distinct(seen))
        return found

    def colours(self, image: Tensor, found: Sequence[Detection], name: str) -> list[str]:
        """As seen at detection; "" for an object in its own colours, which fits none."""
        return [detection.colour or "" for detection in found]


def _boxes(sides: Tensor) -> Tensor:
    """Boxes (N, cells, 4) in pixels, from the distances (N, 4, H, W) to their sides."""
    import torch

    from glass_cli.benchmarks.grid_network import STRIDE, centres

    x, y = centres(sides.shape[-2], sides.shape[-1], sides.device)
    left, top, right, bottom = (STRIDE * sides).unbind(1)
    return torch.stack([x - left, y - top, x + right, y + bottom], dim=-1).flatten(1, 2)


def _distinct(seen: Sequence[Detection]) -> list[Detection]:
    """The most confident cell of each object: those around it see the same one."""
    chosen: list[Detection] = []
    for detection in sorted(seen, key=lambda d: -d.score):
        if all(iou(detection.box, other.box) <= SAME for other in chosen):
            chosen.append(detection)
    return chosen
