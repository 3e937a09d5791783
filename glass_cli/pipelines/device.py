"""The device of a pipeline found once, and not by a walk over its modules at every call."""

from __future__ import annotations

from typing import Any


def find_device_once(pipe: Any) -> None:
    """Makes ``pipe`` remember where it computes.

    A pipeline looks for its device at all modules' hooks, text encoders included, in every call.
    Beside a small network, or where the number of particles changes often, that is what a call
    costs most. Only for pipelines that are not moved afterwards, hooks of offloading in place.

    A property of a class cannot be overruled on one of its instances, so the pipeline becomes one
    of a class of its own, of the same name.
    """
    kind = type(pipe)
    own = {"_execution_device": pipe._execution_device, "__module__": kind.__module__}
    pipe.__class__ = type(kind.__name__, (kind,), own)
