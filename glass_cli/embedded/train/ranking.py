"""How often a reward puts the right one of two pictures first: held-out scenes, hard negatives."""

from __future__ import annotations

import random
from collections.abc import Callable

import torch
from torch import Tensor

from glass_cli.embedded.train.data import pictures, unseen_pairs
from glass_cli.embedded.world.negatives import RESPECTS
from glass_cli.rewards.base import LoadedReward

SEED = 876_543_210  # of the held-out pairs; training has small ones


@torch.no_grad()
def accuracy(
    reward: LoadedReward, count: int, change: Callable[[Tensor], Tensor]
) -> dict[str, float]:
    """The share of ``count`` pairs of each of RESPECTS whose right picture has the higher score.

    Of the two scenes, the first shows the prompt and the second differs from that in one respect;
    equal scores count half. ``change`` is what is done to the pictures (N, 3, H, W) in [0, 1]
    before, such as one of ``judging.changes``.
    """
    rng = random.Random(SEED)
    shares: dict[str, float] = {}
    for respect in RESPECTS:
        wins = 0.0
        pairs = unseen_pairs(rng, respect, count)
        for right, wrong in pairs:
            x = change(pictures([right, wrong]) / 2 + 0.5)
            a, b = reward.score(x, right.prompt).tolist()
            wins += 1.0 if a > b else 0.5 if a == b else 0.0
        shares[respect] = wins / count
    return shares
