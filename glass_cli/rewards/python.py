"""A reward of the user's own: any function or class that can be imported."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
from collections.abc import Callable
from dataclasses import dataclass, field
from importlib.machinery import PathFinder
from importlib.util import module_from_spec
from types import ModuleType
from typing import TYPE_CHECKING, Any

from glass_cli.common.errors import GlassError, near, one_line
from glass_cli.common.messages import describe
from glass_cli.rewards.base import Kind, LoadedReward, Reward, check_common, in_batches, place
from glass_cli.rewards.users_code import UsersCode

if TYPE_CHECKING:
    import torch
    from torch import Tensor


def _imported(module: str, here: str) -> ModuleType:
    """The module, from the folder ``here`` where it has one of that name.

    Of other folders that Python searches one may have it too: that of an editable installation, in
    which its user wrote such a file before.
    """
    top = module.partition(".")[0]
    spec = PathFinder.find_spec(top, [here]) if top not in sys.modules else None
    if spec is not None and spec.origin is not None and spec.loader is not None:
        own = module_from_spec(spec)
        sys.modules[top] = own
        try:
            spec.loader.exec_module(own)
        except BaseException:
            sys.modules.pop(top, None)
            raise
    return importlib.import_module(module)


@dataclass(frozen=True)
class Python(Reward):
    """A function or class that can be imported.

    target: ``module.name`` of a function ``f(samples, prompts) -> scores``, or of a class whose
        instance is called like that; installed, or in the working directory. It is imported before
        anything is loaded. ``samples`` are images (n, 3, H, W) in [0, 1], float32, or points
        (n, d); ``prompts`` is a list of n prompts; scores are n numbers: a tensor, an array or a
        list.
    arguments: of the class, once, when the run loads; of a function, at every call.
    accepts: "images" or "points".
    differentiable: promises a tensor with a gradient with respect to the samples; without it the
        target runs without gradient.
    batch: samples at a time, 1 or more.
    device: auto, cpu, mps, cuda or cuda:N; null for the model's.
    """

    target: str
    arguments: dict[str, Any] = field(default_factory=dict)
    accepts: Kind = "images"
    differentiable: bool = False
    batch: int = 32
    device: str | None = None

    def __post_init__(self) -> None:
        check_common(self.batch, self.device)
        target = self._imported()
        if not callable(target):
            raise ValueError(
                f"reward.target={self.target} is a {type(target).__name__}, which cannot be called;"
                " name a function or a class"
            )
        calls = any("__call__" in vars(base) for base in getattr(target, "__mro__", ()))
        if inspect.isclass(target) and not calls:
            raise ValueError(
                f"reward.target={self.target}: the class has no __call__(self, images, prompts)"
            )

    def _imported(self) -> Any:
        """What ``target`` names. Raises ValueError in one line where there is no such thing."""
        module, _, name = self.target.rpartition(".")
        if not module:
            raise ValueError(
                f"reward.target={self.target} must be module.function, such as"
                " my_rewards.brightness for brightness in my_rewards.py"
            )
        here = os.getcwd()
        if here not in sys.path:
            sys.path.append(here)  # last, so that no file here stands in for a package
        try:
            there = _imported(module, here)
        except (Exception, SystemExit) as error:
            raise ValueError(
                f"reward.target={self.target}: cannot import {module}"
                f" ({describe(error)}); it must be installed or lie in"
                f" {here}"
            ) from error
        if not hasattr(there, name):
            raise ValueError(
                f"reward.target={self.target}: {module} has no {name}"
                + near(name, [word for word in vars(there) if not word.startswith("_")])
            )
        return getattr(there, name)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedPython:
        """Makes the instance of a class. Raises GlassError where its arguments are wrong."""
        target = self._imported()
        function: Any
        if inspect.isclass(target):
            self._check_arguments(target)
            function = UsersCode(self._setting, target)(**self.arguments)
        else:
            function = functools.partial(target, **self.arguments) if self.arguments else target
        code = UsersCode(self._setting, function)
        return LoadedPython(self, code, place(self.device, device))

    @property
    def _setting(self) -> str:
        return f"reward.target={self.target}"

    def _check_arguments(self, target: Callable[..., Any]) -> None:
        """Raises GlassError where a class does not take ``arguments``."""
        try:
            signature = inspect.signature(target)
        except ValueError:  # of a built-in one nothing is known
            return
        try:
            signature.bind(**self.arguments)
        except TypeError as error:
            raise GlassError(
                f"{self._setting} cannot be made with reward.arguments {dict(self.arguments)}:"
                f" {one_line(error)}"
            ) from error


class LoadedPython(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, settings: Python, code: UsersCode, device: torch.device):
        self._settings, self._code, self._device = settings, code, device

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        import torch

        def scored(part: Tensor) -> Tensor:
            return self._numbers(self._code(part, [prompt] * len(part)), part)

        with torch.set_grad_enabled(torch.is_grad_enabled() and self._settings.differentiable):
            return in_batches(samples, self._settings.batch, self._device, scored)

    def _numbers(self, result: Any, part: Tensor) -> Tensor:
        """``found`` as a tensor of a finite number for each of ``part``, on its device.

        Raises GlassError for anything else.
        """
        n = len(part)
        what = f"reward.target={self._settings.target} ({self._code.place})"
        several = result if isinstance(result, (list, tuple)) else [result]
        if any(getattr(v, "is_meta", False) for v in several):
            raise GlassError(
                f"{what} gave a tensor on the device meta, which holds no numbers; give it on"
                f" {part.device}, where the samples are"
            )
        given, result = result, _tensor(result, part.device)
        if result is None:
            raise GlassError(
                f"{what} gave {one_line(repr(given))[:60]} for {n} samples; it must give {n}"
                " numbers"
            )
        if tuple(result.shape) != (n,) or result.is_complex():
            raise GlassError(
                f"{what} gave numbers of shape {tuple(result.shape)} for {n} samples; it must give"
                f" one each: ({n},)"
            )
        scores: Tensor = result if result.is_floating_point() else result.float()
        bad = (~scores.detach().isfinite()).nonzero()
        if len(bad):
            number = int(bad[0])
            raise GlassError(
                f"{what} gave {float(scores[number])} for sample {number} of {n}; it must give"
                " finite numbers"
            )
        return scores


def _tensor(result: Any, device: torch.device) -> Tensor | None:
    """A tensor, an array, a number or a list of those as one tensor on ``device``; None for what
    holds no numbers, or lists of different lengths."""
    import numpy as np
    import torch

    if isinstance(result, torch.Tensor):
        return result.to(device)
    try:
        if isinstance(result, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in result):
            return torch.stack([torch.as_tensor(v, device=device) for v in result])
        array = np.asarray(result)
    except (TypeError, ValueError, RuntimeError):
        return None
    return torch.as_tensor(array, device=device) if array.dtype.kind in "biuf" else None
