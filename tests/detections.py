"""Detections of a picture, given by hand, and the verdict on them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from glass_cli.benchmarks.geneval_rules import kept, verdict
from glass_cli.detectors.detections import Box, Detection


def at(x: float, y: float, size: float = 10.0) -> Box:
    return (x - size / 2, y - size / 2, x + size / 2, y + size / 2)


def thing(name: str, score: float = 0.95, box: Box = (0, 0, 10, 10), colour: str = "") -> Detection:
    return Detection(name, score, box, None, colour)


def seen_colours(found: Sequence[Detection], name: str) -> list[str]:
    assert all(d.name == name for d in found)
    return [d.colour or "" for d in found]


def judged(found: Sequence[Detection], **record: Any) -> tuple[bool, str]:
    record = {"tag": "single_object", **record}
    return verdict(kept(found, record["tag"]), record, seen_colours)
