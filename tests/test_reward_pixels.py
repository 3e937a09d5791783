"""Preprocessing against Pillow, pixel for pixel, and against transformers' own processors."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor
from transformers.models.clip.image_processing_pil_clip import CLIPImageProcessorPil

from glass_cli.rewards.pixels import (
    CLIP_MEAN,
    CLIP_STD,
    LongestSide,
    ShortestSide,
    bicubic,
    levels,
    resized,
)

CUBIC = Image.Resampling.BICUBIC
SIZES = [(16, 16), (24, 16), (16, 41), (48, 80), (100, 64), (37, 53), (9, 13), (200, 31), (96, 96)]


def bytes_of(height: int, width: int, seed: int = 0) -> np.ndarray:
    """Noise (H, W, 3) with many black and white pixels, so that the cubic overshoots and is cut."""
    g = np.random.default_rng((seed, height, width))
    x = g.integers(0, 256, (height, width, 3))
    return np.where(g.random(x.shape) < 0.3, 255 * g.integers(0, 2, x.shape), x).astype(np.uint8)


def tensor(pixels: np.ndarray) -> Tensor:
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def array(x: Tensor) -> np.ndarray:
    return x[0].permute(1, 2, 0).numpy()


def pillow(pixels: np.ndarray, width: int, height: int) -> np.ndarray:
    """Across and then down in two calls: the order of the Pillow that the scores are from."""
    across = Image.fromarray(pixels).resize((width, pixels.shape[0]), CUBIC)
    return np.asarray(across.resize((width, height), CUBIC))


@pytest.mark.parametrize("side", [16, 64, 224])
@pytest.mark.parametrize(("height", "width"), SIZES)
def test_resizing_is_pillows_bit_for_bit(height: int, width: int, side: int) -> None:
    pixels, short = bytes_of(height, width), min(height, width)
    size = side * width // short, side * height // short
    found = resized(levels(tensor(pixels)), size[1], size[0])
    np.testing.assert_array_equal(array(found), pillow(pixels, *size))


@pytest.mark.parametrize("side", [512, 768, 1024])
def test_square_pictures_are_one_call_of_pillow(side: int) -> None:
    pixels = bytes_of(side, side)
    expected = np.asarray(Image.fromarray(pixels).resize((224, 224), CUBIC))
    np.testing.assert_array_equal(array(resized(levels(tensor(pixels)), 224, 224)), expected)


def test_single_precision_is_off_by_a_level_at_most() -> None:
    """What MPS computes: at a tie of rounding a sum may fall on the other side."""
    pixels = bytes_of(300, 300)
    found = array(resized(levels(tensor(pixels)).float(), 224, 224))
    wrong = np.abs(found - pillow(pixels, 224, 224))
    assert wrong.max() <= 1.0
    assert (wrong > 0).mean() < 1e-3


def test_weights_are_fixed_point_and_sum_to_one() -> None:
    for old, new in ((512, 224), (20, 224), (7, 7)):
        weights = bicubic(old, new)
        assert torch.equal(weights * 2.0**22, (weights * 2.0**22).round())
        # half a unit for each of at most 5 * scale + 1 weights
        assert float((weights.sum(1) - 1.0).abs().max()) < 2.0**-23 * (5 * max(old / new, 1) + 1)
    assert torch.equal(bicubic(7, 7), torch.eye(7, dtype=torch.float64))


def test_levels_are_those_of_the_saved_picture() -> None:
    x = torch.rand(1, 3, 50, 50, generator=torch.Generator().manual_seed(0))
    saved = (x * 255.0 + 0.5).to(torch.uint8)  # as glass writes PNGs
    assert torch.equal(levels(x), saved.double())
    assert levels(torch.tensor([-0.3, 1.7])).tolist() == [0.0, 255.0]


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_shortest_side_is_transformers(height: int, width: int) -> None:
    """Up to single precision, on what went into Pillow in one piece."""
    size = {"height": 16, "width": 16}
    theirs = CLIPImageProcessorPil(size={"shortest_edge": 16}, crop_size=size)
    short = min(height, width)
    resized_ = pillow(bytes_of(height, width), 16 * width // short, 16 * height // short)
    expected = theirs(Image.fromarray(resized_), return_tensors="pt").pixel_values
    found = ShortestSide(16)(tensor(bytes_of(height, width)))
    torch.testing.assert_close(found, expected, atol=1e-6, rtol=1e-6)


@pytest.mark.parametrize(("width", "left"), [(16, 0), (17, 0), (19, 2), (21, 2), (23, 4), (24, 4)])
def test_the_even_corner_is_torchvisions(width: int, left: int) -> None:
    """torchvision cuts at round((width - side) / 2), Python's rounding."""
    pixels = bytes_of(16, width)
    found = ShortestSide(16, (0.0,) * 3, (1.0,) * 3, "even")(tensor(pixels))
    expected = pixels[:, left : left + 16].astype(np.float32) / 255
    np.testing.assert_allclose(array(found), expected, atol=1e-7)
    down = ShortestSide(16, (0.0,) * 3, (1.0,) * 3)(tensor(pixels))
    floor = (width - 16) // 2
    np.testing.assert_allclose(array(down) * 255, pixels[:, floor : floor + 16], atol=1e-4)


@pytest.mark.parametrize(("height", "width"), SIZES)
def test_longest_side_is_pillow_on_floats_with_black_around(height: int, width: int) -> None:
    """Pillow's own resizing of single-precision channels, which rounds and cuts nothing."""
    side, pixels = 40, bytes_of(height, width)
    scale = side / max(height, width)
    new = round(height * scale), round(width * scale)
    top, left = (side - new[0]) // 2, (side - new[1]) // 2
    canvas = np.zeros((side, side, 3), np.float32)
    for c in range(3):
        channel = Image.fromarray(pixels[..., c].astype(np.float32) / 255)
        small = np.asarray(channel.resize((new[1], new[0]), CUBIC))
        canvas[top : top + new[0], left : left + new[1], c] = small
    expected = (canvas - np.array(CLIP_MEAN)) / np.array(CLIP_STD)
    found = array(LongestSide(side)(tensor(pixels)))
    assert found.shape == (side, side, 3)
    np.testing.assert_allclose(found, expected, atol=3e-5)


@pytest.mark.parametrize("preprocess", [ShortestSide(16), LongestSide(16)])
@pytest.mark.parametrize("shape", [(16, 16), (30, 21), (9, 14)])
def test_gradient_goes_straight_through_the_rounding(
    preprocess: ShortestSide | LongestSide, shape: tuple[int, int]
) -> None:
    """The gradient of a weighted sum is that of the same resizing without rounding: linear in the
    picture, so it is the difference that each pixel makes, times 255 levels."""
    g = torch.Generator().manual_seed(0)
    x = (0.3 + 0.4 * torch.rand(1, 3, *shape, generator=g)).double().requires_grad_()
    weights = torch.randn(1, 3, 16, 16, generator=g, dtype=torch.float64)
    (grad,) = torch.autograd.grad((preprocess(x) * weights).sum(), x)
    v = torch.randn(x.shape, generator=g, dtype=torch.float64)
    fine = type(preprocess)(16, unit=2.0**-30)
    with torch.no_grad():
        ends = [(fine(x + sign * 1e-3 * v) * weights).sum() for sign in (1, -1)]
    # rounding to 2^-30 levels against a step of 1e-3
    slope = float(ends[0] - ends[1]) / 2e-3
    assert float((grad * v).sum()) == pytest.approx(slope, rel=1e-5, abs=1e-5)


def test_half_precision_pictures_keep_their_levels() -> None:
    x = torch.arange(256.0).reshape(1, 1, 16, 16).expand(1, 3, 16, 16) / 255
    found = ShortestSide(16)(x.half())
    assert found.dtype == torch.float32
    torch.testing.assert_close(found, ShortestSide(16)(x), atol=0, rtol=0)
