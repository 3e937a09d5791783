"""What a library call is given, checked before anything is drawn: as the command line does."""

from __future__ import annotations

import dataclasses
import inspect
from collections.abc import Callable
from typing import Any, TypeVar

from glass_cli.common.errors import GlassError
from glass_cli.config.build import build_class
from glass_cli.config.contracts import OURS
from glass_cli.models.base import LoadedModel
from glass_cli.rewards.base import LoadedReward

T = TypeVar("T")


def check_loaded(value: Any, key: str, function: str) -> None:
    """Raises GlassError for a name, or a class, in the place of something loaded.

    key: the argument's name. function: what loads one.
    """
    if isinstance(value, str):
        raise GlassError(f"{key}={value!r} is a name; give glass.{function}({value!r})")
    if isinstance(value, type):
        raise GlassError(f"{key}={value.__name__} is a class; give one that glass.{function} loads")


def type_checked(settings: T, key: str, example: str) -> T:
    """A sampler or a steering with every field of the type that it says.

    key: the argument's name. example: what one looks like.

    Raises GlassError.
    """
    if isinstance(settings, (str, type)):
        name = settings if isinstance(settings, str) else settings.__name__
        raise GlassError(f"{key} must be an object such as glass.{example} (got {name})")
    kind = type(settings)
    if not dataclasses.is_dataclass(kind) or not kind.__module__.startswith(OURS):
        return settings
    fields = [field.name for field in dataclasses.fields(kind) if field.init]
    built: T = build_class(kind, {name: getattr(settings, name) for name in fields}, key)
    return built


def check_scores(reward: LoadedReward | None, model: LoadedModel, prompt: str) -> None:
    """Raises ValueError where a reward cannot score the model's samples under the prompt, as far as
    it is known what both were loaded from."""
    if reward is None or reward.settings is None or model.settings is None:
        return
    accepts, output = reward.settings.accepts, model.settings.output
    if accepts != output:
        raise ValueError(f"the reward scores {accepts}, the model gives {output}")
    reward.settings.check_model(model.settings)
    reward.settings.check_prompts([prompt])


def takes_two(function: Callable[..., Any]) -> bool:
    """Whether a function needs two arguments by place; False where nothing is known of it."""
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return False
    placed = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    needed = [p for p in parameters if p.kind in placed and p.default is inspect.Parameter.empty]
    return len(needed) == 2
