"""A pipeline's network asked for fewer particles than its call began with.

A pipeline repeats the prompt's embeddings, and what else its network is told, once for every
picture before its loop begins, and hands out few of these to a callback. All pictures of a steered
call are of one prompt, so that their rows are the same: where latents are fewer, so many rows of
everything else are enough.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from torch import Tensor, nn

# Pipelines whose loop remembers how many pictures it began with.
COUNTS_ITSELF = ("ZImagePipeline",)
# Arguments whose first dimension counts pixels or words.
_NOT_ROWS = ("img_ids", "txt_ids", "latent_image_ids", "image_rotary_emb")


class FewerRows:
    """Cuts what ``network`` is told down to the rows of its latents.

    start: particles at the beginning of the call, 1 or more; guidance asks for several groups of so
        many in one go.
    goes_on: whether the call for which this was made still runs; afterwards nothing is cut.
    count: particles now, from 1 to ``start``.
    """

    def __init__(self, network: nn.Module, start: int, goes_on: Callable[[], bool]) -> None:
        self._start, self._goes_on, self.count = start, goes_on, start
        self._hook = network.register_forward_pre_hook(self._cut_arguments, with_kwargs=True)

    def remove(self) -> None:
        """Takes it off the network."""
        self._hook.remove()

    def _cut_arguments(
        self, _: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]
    ) -> tuple[tuple[Any, ...], dict[str, Any]] | None:
        if not self._goes_on():
            self.remove()
            return None
        latents = args[0] if args else next(iter(kwargs.values()))
        groups, beside = divmod(len(latents), self.count)
        if self.count == self._start or beside or not groups:
            return None
        return (
            tuple(self._cut(value, groups) for value in args),
            {name: self._cut(value, groups, name) for name, value in kwargs.items()},
        )

    def _cut(self, value: Any, groups: int, name: str = "") -> Any:
        if name in _NOT_ROWS:
            return value
        if isinstance(value, Mapping):
            return {key: self._cut(each, groups, str(key)) for key, each in value.items()}
        if isinstance(value, Tensor) and value.ndim > 0 and len(value) == groups * self._start:
            return value.unflatten(0, (groups, self._start))[:, : self.count].flatten(0, 1)
        if isinstance(value, list) and len(value) == groups * self._start:
            rows = range(len(value))
            return [value[i] for i in rows if i % self._start < self.count]
        return value
