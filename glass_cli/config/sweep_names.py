"""What the runs of a sweep are called where they are shown beside others: in W&B."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from glass_cli.config.command_line import EXPERIMENT
from glass_cli.config.settings import GROUPS, MORE_GROUPS, Settings


def in_sweep(settings: Settings, sweep: str, swept: Sequence[str]) -> Settings:
    """The settings of a job, with W&B's group and name where the user gave none.

    sweep: the name of the sweep's folder, which becomes the group.
    swept: the keys that vary; their values in this job become the name.
    """
    own = dict(settings.config.get("wandb") or {})
    if own.get("group") is None:
        own["group"] = sweep
    if own.get("name") is None:
        own["name"] = job_name(settings.overrides, swept) or None
    return settings._replace(config={**settings.config, "wandb": own})


def job_name(overrides: Iterable[str], swept: Sequence[str]) -> str:
    """What varies of a job's `overrides`, such as "sde, lam=0.5"; empty where nothing does.

    A choice of a group is its name alone; other keys go by their last part where no two are alike.
    """
    ends = [key.rpartition(".")[2] for key in swept]
    parts = []
    for override in overrides:
        key, _, value = override.partition("=")
        key = key.lstrip("+~")
        if key not in swept:
            continue
        end = key.rpartition(".")[2]
        short = end if ends.count(end) == 1 else key
        chosen = key in (*GROUPS, *MORE_GROUPS, EXPERIMENT)
        parts.append(value if chosen and value else f"{short}={value}" if value else f"no {short}")
    return ", ".join(parts)
