"""Rewards of your own: functions of pictures and prompts."""

import torch


def colourful(images: torch.Tensor, prompts: list[str]) -> torch.Tensor:
    """Colourfulness of pictures, 0 (grey) to about 110 (Hasler and Süsstrunk, 2003).

    images: (N, 3, H, W) in [0, 1]. prompts: N, not used here. Gives N scores.
    """
    red, green, blue = (255.0 * images).unbind(1)
    red_green = (red - green).flatten(1)
    yellow_blue = ((red + green) / 2 - blue).flatten(1)
    spread = (red_green.var(1) + yellow_blue.var(1)).sqrt()
    mean = (red_green.mean(1).square() + yellow_blue.mean(1).square()).sqrt()
    return spread + 0.3 * mean
