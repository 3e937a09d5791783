"""A PNG holds the picture bit for bit, and says how it was drawn."""

from __future__ import annotations

import io

import numpy as np
import pytest
from PIL import Image

from glass_cli.output.png import png_bytes


def test_pixels_and_text_come_back() -> None:
    picture = np.random.default_rng(0).integers(0, 256, (5, 7, 3), dtype=np.uint8)
    texts = {"prompt": "naïve 猫 🍎\nsecond line", "broken": "\ud800", "empty": ""}
    with Image.open(io.BytesIO(png_bytes(picture, texts))) as opened:
        assert opened.format == "PNG" and np.array_equal(np.asarray(opened), picture)
        assert opened.text == {**texts, "broken": "\\ud800"}  # type: ignore[attr-defined]


def test_the_same_picture_and_text_are_the_same_bytes() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    assert png_bytes(picture, {"a": "b"}) == png_bytes(picture, {"a": "b"})


@pytest.mark.parametrize(
    "picture", [np.zeros((8, 8, 3)), np.zeros((8, 8), np.uint8), np.zeros((8, 8, 4), np.uint8)]
)
def test_other_arrays_are_refused(picture: np.ndarray) -> None:
    with pytest.raises(ValueError, match="must be uint8"):
        png_bytes(picture, {})
