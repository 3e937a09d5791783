"""Model, sampler, steering and rewards in memory, as one run's settings name them."""

from __future__ import annotations

from typing import Any

import torch

from glass_cli.common.devices import choose_device, choose_dtype
from glass_cli.common.stages import Stages
from glass_cli.config.settings import Settings
from glass_cli.engine.draw import Work
from glass_cli.rewards.base import LoadedReward


def load(settings: Settings, stages: Stages) -> tuple[Work, torch.device]:
    """Loads model and rewards onto the chosen device; seconds go to the stage "load"."""
    device = choose_device(settings.root.device)
    with stages.stage("load"):
        dtype = choose_dtype(settings.root.dtype, device)
        # first what is small, so that what is wrong with it is known soon
        reward, metrics = _load_rewards(settings, device, dtype)
        model = settings.model.load(device, dtype)
    work = Work(
        model,
        settings.sampler,
        settings.steering,
        reward,
        settings.root.micro_batch,
        stages,
        metrics,
        settings.root.calls,
        settings.root.budget,
    )
    return work, device


def _load_rewards(
    settings: Settings, device: torch.device, dtype: torch.dtype
) -> tuple[LoadedReward | None, dict[str, LoadedReward]]:
    """The reward and the metrics, those of equal settings only once."""
    loaded: list[tuple[Any, LoadedReward]] = []

    def once(reward: Any) -> LoadedReward:
        for known, there in loaded:
            if known == reward:
                return there
        loaded.append((reward, reward.load(device, dtype)))
        return loaded[-1][1]

    reward = None if settings.reward is None else once(settings.reward)
    return reward, {name: once(metric) for name, metric in settings.metrics.items()}
