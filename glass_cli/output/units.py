"""Which prompts and images a summary is of, compactly as JSON.

::

    "units": {"images": 4, "prompts": [[0, 5], [12, 12]]}   images 0 to 3 of prompts 0 to 5 and 12

A folder may hold results that are not of its last run, which had a smaller limit or fewer images.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import pairwise
from typing import Any

from glass_cli.output.finished import Unit


def units_summary(prompts: Iterable[int], images: int) -> dict[str, Any]:
    """The JSON value of images 0 to ``images`` - 1 of each of ``prompts``."""
    ranges: list[list[int]] = []
    for number in sorted(prompts):
        if ranges and number == ranges[-1][1] + 1:
            ranges[-1][1] = number
        else:
            ranges.append([number, number])
    return {"images": images, "prompts": ranges}


def units_of(value: Any) -> Iterator[Unit]:
    """The units that a JSON value names, by prompt and image.

    Raises ValueError for a value that :func:`units_summary` does not give.
    """
    try:
        images, ranges = value["images"], [(first, last) for first, last in value["prompts"]]
    except (TypeError, KeyError, ValueError) as error:
        raise ValueError("units are no count of images and ranges of prompts") from error
    numbers = [number for pair in ranges for number in pair]
    if not all(type(n) is int and n >= 0 for n in (images, *numbers)):
        raise ValueError("units are not whole numbers")
    if images < 1 and ranges:  # such as would be counted for ever, and give none
        raise ValueError("units are of no images")
    disjoint = all(a[1] < b[0] for a, b in pairwise(ranges))
    if not disjoint or not all(first <= last for first, last in ranges):
        raise ValueError("units are ranges that do not rise")
    return (
        Unit(prompt, image)
        for first, last in ranges
        for prompt in range(first, last + 1)
        for image in range(images)
    )
