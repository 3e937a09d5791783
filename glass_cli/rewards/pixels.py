"""Pictures as the published reward models were shown them: 8 bits, resized, normalised.

The published code reads 8-bit pictures and resizes them with Pillow, which works in fixed point and
rounds after each of its two passes, across and down (from 13 on it may go down first in tall
pictures; the published scores are older). The same integers are computed here with matrices, so
that a score is that of the picture as it is saved; gradients go straight through the rounding, as
if it were not there. float64 holds Pillow's sums exactly. MPS lacks it: float32 moves a few values
in ten thousand by one of 255 levels.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from torch import Tensor

# what CLIP was trained with, and nearly everything since
CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)
FIXED_POINT = 2.0**22  # Pillow's weights are multiples of one over this


def to_uint8(images: Tensor) -> np.ndarray:
    """Images (N, 3, H, W) in [0, 1] as they are saved: uint8 (N, H, W, 3), on the CPU."""
    import torch

    rounded = (images.detach().float() * 255.0 + 0.5).clamp(0.0, 255.0).to(torch.uint8)
    return rounded.permute(0, 2, 3, 1).cpu().numpy()


def levels(images: Tensor, unit: float = 1.0) -> Tensor:
    """Images in [0, 1] to levels 0 to 255, as they are saved: multiples of ``unit``."""
    import torch

    # in half precision 255 levels would not be told apart
    single = images.to(torch.promote_types(images.dtype, torch.float32))
    scaled = (single * 255.0).clamp(0.0, 255.0)
    precise = torch.float32 if images.device.type == "mps" else torch.float64
    return _rounded(scaled, unit).to(precise)


def _rounded(x: Tensor, unit: float) -> Tensor:
    """The nearest multiple of ``unit`` (a power of two), halves upwards; gradient 1."""
    nearest = (x.detach() / unit + 0.5).floor() * unit
    return x + (nearest - x).detach()


def cubic(x: Tensor) -> Tensor:
    """Keys' cubic convolution with a = -1/2, Pillow's and (antialiased) torch's."""
    x = x.abs()
    near, far = (1.5 * x - 2.5) * x * x + 1.0, ((-0.5 * x + 2.5) * x - 4.0) * x + 2.0
    return near.where(x < 1.0, far.where(x < 2.0, x.new_zeros(())))


@lru_cache(maxsize=32)
def bicubic(old: int, new: int) -> Tensor:
    """Pillow's weights (new, old), float64: the cubic, widened where it shrinks.

    Each output's weights are cut at the borders, made to sum to 1, and put into fixed point.
    """
    import torch

    with torch.inference_mode(False), torch.no_grad():  # kept for calls with gradients too
        scale = old / new
        wide = max(scale, 1.0)
        centres = (torch.arange(new, dtype=torch.float64) + 0.5) * scale
        first = (centres - 2.0 * wide + 0.5).floor()[:, None]
        last = (centres + 2.0 * wide + 0.5).floor()[:, None]
        place = torch.arange(old, dtype=torch.float64)
        weights = cubic((place + 0.5 - centres[:, None]) / wide)
        weights = weights.where((place >= first) & (place < last), weights.new_zeros(()))
        weights = weights / weights.sum(1, keepdim=True)
        return (weights * FIXED_POINT + 0.5 * weights.sign()).trunc() / FIXED_POINT


def resized(x: Tensor, height: int, width: int, unit: float = 1.0) -> Tensor:
    """Levels (N, 3, H, W) resized by Pillow's bicubic: across, then down, rounding after each."""
    if width != x.shape[-1]:
        across = bicubic(x.shape[-1], width).to(x)
        x = _rounded((x @ across.T).clamp(0.0, 255.0), unit)
    if height != x.shape[-2]:
        down = bicubic(x.shape[-2], height).to(x)
        x = _rounded((down @ x).clamp(0.0, 255.0), unit)
    return x


def _normalised(x: Tensor, like: Tensor, mean: tuple[float, ...], std: tuple[float, ...]) -> Tensor:
    """(x - mean) / std, float32 unless ``like`` is float64."""
    import torch

    shift, scale = (x.new_tensor(values)[:, None, None] for values in (mean, std))
    return ((x - shift) / scale).to(torch.promote_types(like.dtype, torch.float32))


@dataclass(frozen=True)
class ShortestSide:
    """CLIP's: shortest side to a given one by Pillow's bicubic, the centre cut out, normalised.

    side: in pixels; the longer side is rounded down.
    mean, std: of each channel, that are taken off and divided by.
    corner: where the cut cannot be central, torchvision rounds its corner to the "even" neighbour,
        transformers "down".
    unit: the step of the rounding, in levels: only tests have another than 1.
    """

    side: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    corner: Literal["down", "even"] = "down"
    unit: float = 1.0

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1] to (N, 3, side, side)."""
        height, width = images.shape[-2:]
        short, side = min(height, width), self.side
        x = levels(images, self.unit)
        x = resized(x, side * height // short, side * width // short, self.unit)
        top, left = (self._corner(size - side) for size in x.shape[-2:])
        x = x[..., top : top + side, left : left + side] / 255.0
        return _normalised(x, images, self.mean, self.std)

    def _corner(self, spare: int) -> int:
        return spare // 2 if self.corner == "down" else round(spare / 2)


@dataclass(frozen=True)
class LongestSide:
    """HPSv2's: floating point first, longest side to a given one, padded with black, normalised.

    Its package resizes tensors, so nothing is rounded nor cut to [0, 1] afterwards; antialiased, as
    torchvision does it from 0.17 on.

    side: in pixels.
    mean, std, unit: as of :class:`ShortestSide`.
    """

    side: int
    mean: tuple[float, ...] = CLIP_MEAN
    std: tuple[float, ...] = CLIP_STD
    unit: float = 1.0

    def __call__(self, images: Tensor) -> Tensor:
        """Images (N, 3, H, W) in [0, 1] to (N, 3, side, side)."""
        import torch
        from torch.nn.functional import interpolate, pad

        side, (height, width) = self.side, images.shape[-2:]
        x = (levels(images, self.unit) / 255.0).to(torch.promote_types(images.dtype, torch.float32))
        scale = side / max(height, width)
        size = [max(1, round(height * scale)), max(1, round(width * scale))]
        if scale != 1.0:
            x = interpolate(x, size, mode="bicubic", antialias=True)
        spare_h, spare_w = side - size[0], side - size[1]
        left, top = spare_w // 2, spare_h // 2
        x = pad(x, [left, spare_w - left, top, spare_h - top])
        return _normalised(x, images, self.mean, self.std)
