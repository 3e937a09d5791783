"""Weights that wait on the CPU (``enable_model_cpu_offload``), and which of them may stay."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from glass_cli.pipelines.session import replaced


def is_offloaded(pipe: Any) -> bool:
    """Whether whole models of ``pipe`` are moved to the device when they are called."""
    return bool(getattr(pipe, "_all_hooks", ()))


@contextmanager
def network_stays(pipe: Any) -> Iterator[None]:
    """While ``pipe`` decodes, its network stays on the device.

    diffusers puts the network away before it decodes and everything after it. A steered run
    decodes at each transition: the network, by far the largest model, would come and go each time.
    """
    decoders = [each.hook for each in pipe._all_hooks if each.model is getattr(pipe, "vae", None)]
    before = [hook.prev_module_hook for hook in decoders]
    for hook in decoders:
        hook.prev_module_hook = None
    try:
        with replaced(pipe, maybe_free_model_hooks=_nothing):
            yield
    finally:
        for hook, previous in zip(decoders, before, strict=True):
            hook.prev_module_hook = previous


def _nothing() -> None:
    return
