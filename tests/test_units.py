"""Which prompts and images a summary names."""

from __future__ import annotations

from typing import Any

import pytest

from glass_cli.output.units import units_of, units_summary


@pytest.mark.parametrize("prompts", [[0], [0, 1, 2], [5, 3, 4, 9, 11, 12], []])
@pytest.mark.parametrize("images", [1, 3])
def test_units_are_read_back(prompts: list[int], images: int) -> None:
    units = [(prompt, image) for prompt in sorted(prompts) for image in range(images)]
    assert list(units_of(units_summary(prompts, images))) == units


def test_ranges_are_short() -> None:
    assert units_summary([*range(553), 600], 4)["prompts"] == [[0, 552], [600, 600]]


@pytest.mark.parametrize(
    "value",
    [
        None,
        [],
        {"images": 1},
        {"images": True, "prompts": [[0, 1]]},
        {"images": 1, "prompts": [[0]]},
        {"images": 1, "prompts": [[2, 1]]},
        {"images": 1, "prompts": [[0, 3], [3, 4]]},
        {"images": 1, "prompts": [[0, "9"]]},
        {"images": 1, "prompts": 7},
        {"images": -1, "prompts": []},
    ],
)
def test_other_values_are_refused(value: Any) -> None:
    with pytest.raises(ValueError, match="units are"):
        units_of(value)
