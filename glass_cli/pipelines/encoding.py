"""Prompts encoded once, whatever the number of particles and of pipeline calls."""

from __future__ import annotations

import inspect
from collections import OrderedDict
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

_KEPT = 4  # encodings: of the present prompt, of the empty one, and of those just before


def encode_once(pipe: Any) -> None:
    """Makes ``pipe.encode_prompt``, where there is one, remember what it returned.

    Only for pipelines whose weights do not change afterwards.
    """
    encode = getattr(pipe, "encode_prompt", None)
    if encode is not None and not hasattr(encode, "remembers"):
        pipe.encode_prompt = remembering(encode)


def remembering(encode: Callable[..., Any]) -> Callable[..., Any]:
    """A pipeline's ``encode_prompt`` that remembers what it returned for the last few prompts.

    A pipeline encodes its prompt at every call, and repeats the result for each picture. Here it
    is encoded for one picture and repeated afterwards, so a call with another number of pictures
    finds it done; an offloaded text encoder is not fetched again. Calls with embeddings or several
    prompts are left alone.
    """
    signature = inspect.signature(encode)
    kept: OrderedDict[Any, Any] = OrderedDict()

    def remembered(*args: Any, **kwargs: Any) -> Any:
        bound = signature.bind(*args, **kwargs)
        pictures = bound.arguments.get("num_images_per_prompt", 1)
        if "num_images_per_prompt" in bound.arguments:
            bound.arguments["num_images_per_prompt"] = 1
        key = _key(bound.arguments)
        if key is None or not isinstance(pictures, int):
            return encode(*args, **kwargs)
        if key not in kept:
            with torch.no_grad():
                kept[key] = encode(*bound.args, **bound.kwargs)
            if len(kept) > _KEPT:
                kept.popitem(last=False)
        kept.move_to_end(key)
        return _repeated(kept[key], pictures)

    remembered.remembers = True  # type: ignore[attr-defined]  # a function takes attributes
    return remembered


def _key(arguments: dict[str, Any]) -> Any:
    """The call's arguments as a dictionary key; None where they are not plain words and numbers."""
    values = []
    for name, value in arguments.items():
        if isinstance(value, (list, tuple)):
            # several prompts; other lists are settings, such as the layers that are read
            several = len(value) != 1 and "prompt" in name
            if several or not all(isinstance(part, (str, int, float)) for part in value):
                return None
            value = tuple(value)
        elif isinstance(value, torch.device):
            value = str(value)
        elif value is not None and not isinstance(value, (str, int, float)):
            return None
        values.append((name, value))
    return tuple(values)


def _repeated(encoded: Any, pictures: int) -> Any:
    """A prompt's encoding for several pictures: whatever has one entry gets one for each."""
    if isinstance(encoded, Tensor):
        return encoded.repeat_interleave(pictures, 0) if _single(encoded) else encoded
    if isinstance(encoded, tuple):
        return tuple(_repeated(part, pictures) for part in encoded)
    if isinstance(encoded, list):
        return list(encoded)
    return encoded


def _single(encoded: Tensor) -> bool:
    return encoded.dim() > 1 and len(encoded) == 1
