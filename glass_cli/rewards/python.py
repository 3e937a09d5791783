"""A reward of the user's own: any function or class that can be imported."""

from __future__ import annotations

import functools
import importlib
import inspect
import os
import sys
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from glass_cli.common.errors import GlassError, near, one_line
from glass_cli.common.messages import describe
from glass_cli.rewards.base import Kind, LoadedReward, Reward, check_common, in_batches, place

if TYPE_CHECKING:
    import torch
    from torch import Tensor


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
        found = self._found()
        if not callable(found):
            raise ValueError(
                f"reward.target={self.target} is a {type(found).__name__}, which cannot be called;"
                " name a function or a class"
            )
        calls = any("__call__" in vars(base) for base in getattr(found, "__mro__", ()))
        if inspect.isclass(found) and not calls:
            raise ValueError(
                f"reward.target={self.target}: the class has no __call__(self, images, prompts)"
            )

    def _found(self) -> Any:
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
            there = importlib.import_module(module)
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
        found = self._found()
        function: Any
        if inspect.isclass(found):
            try:
                function = found(**self.arguments)
            except TypeError as error:
                raise GlassError(
                    f"reward.target={self.target} cannot be made with reward.arguments"
                    f" {dict(self.arguments)}: {one_line(error)}"
                ) from error
            except (Exception, SystemExit) as error:
                raise _theirs(self.target, found, error) from error
        else:
            function = functools.partial(found, **self.arguments) if self.arguments else found
        return LoadedPython(self, function, place(self.device, device))


class LoadedPython(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(self, settings: Python, function: Callable[..., Any], device: torch.device):
        self._settings, self._function, self._device = settings, function, device

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        import torch

        def scored(part: Tensor) -> Tensor:
            try:
                found = self._function(part, [prompt] * len(part))
            except (GlassError, torch.OutOfMemoryError):  # with less at a time it may fit
                raise
            except (Exception, SystemExit) as error:
                raise _theirs(self._settings.target, self._function, error) from error
            return self._numbers(found, len(part))

        with torch.set_grad_enabled(torch.is_grad_enabled() and self._settings.differentiable):
            return in_batches(samples, self._settings.batch, self._device, scored)

    def _numbers(self, found: Any, n: int) -> Tensor:
        """``found`` as a tensor (n,) of floating point. Raises GlassError for anything else."""
        import numpy as np
        import torch

        what = f"reward.target={self._settings.target} ({_place_of(self._function)})"
        if isinstance(found, (list, tuple)) and any(isinstance(v, torch.Tensor) for v in found):
            found = torch.stack([torch.as_tensor(v) for v in found])
        if not isinstance(found, torch.Tensor):
            try:
                array = np.asarray(found)
            except ValueError:  # rows of different lengths
                array = np.asarray(None)
            if array.dtype.kind not in "biuf":
                raise GlassError(
                    f"{what} gave {one_line(repr(found))[:60]} for {n} samples; it must give {n}"
                    " numbers"
                )
            found = torch.as_tensor(array)
        if tuple(found.shape) != (n,) or found.is_complex():
            raise GlassError(
                f"{what} gave numbers of shape {tuple(found.shape)} for {n} samples; it must give"
                f" one each: ({n},)"
            )
        scores: Tensor = found if found.is_floating_point() else found.float()
        bad = (~scores.detach().isfinite()).nonzero()
        if len(bad):
            number = int(bad[0])
            raise GlassError(
                f"{what} gave {float(scores[number])} for sample {number} of {n}; it must give"
                " finite numbers"
            )
        return scores


def _theirs(target: str, function: Any, error: BaseException) -> GlassError:
    """The error of the user's own code, with the last of its lines on the way there."""
    frames = traceback.extract_tb(error.__traceback__)[1:]  # the first is this file's
    file = _source(function)[0]
    inner = [frame for frame in frames if frame.filename == file] or frames[:1]
    place = f" at {inner[-1].filename}:{inner[-1].lineno}" if inner else ""
    left = isinstance(error, SystemExit)
    what = f"ended the program (SystemExit: {error})" if left else f"raised {describe(error)}"
    return GlassError(f"reward.target={target} {what}{place}; correct that function or class")


def _place_of(function: Any) -> str:
    """FILE:LINE of a function, or of the class of what is called."""
    file, line = _source(function)
    return "of no file" if file is None else f"{file}:{line}"


def _source(function: Any) -> tuple[str | None, int]:
    found = function.func if isinstance(function, functools.partial) else function
    if not (inspect.isroutine(found) or inspect.isclass(found)):
        found = type(found)
    try:
        found = inspect.unwrap(found)
        return inspect.getsourcefile(found), inspect.getsourcelines(found)[1]
    except (OSError, TypeError):  # of a built-in one there is no source
        return None, 0
