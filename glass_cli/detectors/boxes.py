"""How two boxes lie to each other, by GenEval's rules (Ghosh et al., arXiv 2310.11513)."""

from __future__ import annotations

import math
from collections.abc import Sequence

from glass_cli.detectors.detections import Box

RELATIONS = ("left of", "right of", "above", "below")
MARGIN = 0.1  # of both sizes, by which objects must stand apart to stand in a relation


def iou(a: Box, b: Box) -> float:
    """Intersection over union, with sides one pixel longer than their difference."""

    def area(box: Sequence[float]) -> float:
        return max(box[2] - box[0] + 1, 0.0) * max(box[3] - box[1] + 1, 0.0)

    both = area((max(a[0], b[0]), max(a[1], b[1]), min(a[2], b[2]), min(a[3], b[3])))
    either = area(a) + area(b) - both
    return both / either if either else 0.0


def relations(a: Box, b: Box) -> set[str]:
    """How the object in box ``a`` stands to that in ``b``: none, one or two of RELATIONS."""
    offsets, shrunk = [], []
    for low, high in ((0, 2), (1, 3)):
        offset = (a[low] + a[high] - b[low] - b[high]) / 2
        sizes = abs(a[high] - a[low]) + abs(b[high] - b[low])
        offsets.append(offset)
        shrunk.append(math.copysign(max(abs(offset) - MARGIN * sizes, 0.0), offset))
    if all(abs(value) < 1e-3 for value in shrunk):
        return set()
    # the whole offset's length, not the shrunk one's: what the margin took counts against it
    norm = math.hypot(*offsets)
    dx, dy = shrunk[0] / norm, shrunk[1] / norm
    holds = (dx < -0.5, dx > 0.5, dy < -0.5, dy > 0.5)
    return {name for name, true in zip(RELATIONS, holds, strict=True) if true}
