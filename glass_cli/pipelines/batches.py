"""Micro-batches that bound memory, halved where the device runs out of it."""

from __future__ import annotations

import gc
import logging
from collections.abc import Callable
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Tensor

log = logging.getLogger("glass")


class Batches:
    """Applies functions to a few particles at a time.

    size: how many at most, 1 or more. Where the device runs out of memory it is halved for good,
        with a warning, and the part is done again.
    before_retry: lets go of whatever was made for the old size.
    """

    def __init__(self, size: int, before_retry: Callable[[], None] = lambda: None) -> None:
        self.size, self._before_retry = size, before_retry

    def map(self, function: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """``function`` of ``x`` (N, ...), whose results are joined along the first dimension."""
        import torch

        done: list[Tensor] = []
        start = 0
        while start < len(x):
            part = x[start : start + self.size]
            try:
                done.append(function(part))
                start += len(part)
                continue
            except torch.OutOfMemoryError:
                if len(part) == 1:
                    raise
            # outside of the except block, whose traceback keeps the failed call's tensors alive
            self._halve(len(part))
        return torch.cat(done)

    def _halve(self, tried: int) -> None:
        import torch

        self.size = tried // 2
        log.warning(
            f"glass: out of memory with {tried} particles a network call; going on with {self.size}"
            f" (micro_batch={self.size} avoids the attempt)"
        )
        self._before_retry()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
