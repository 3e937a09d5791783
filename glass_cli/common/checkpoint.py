"""Reading published weights: tensors only, nothing executed, and every mistake told in one line."""

from __future__ import annotations

import json
import pickle
import re
import warnings
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from glass_cli.common import hub
from glass_cli.common.errors import GlassError, one_line

if TYPE_CHECKING:
    import torch
    from torch import Tensor
    from torch.nn import Module

M = TypeVar("M", bound="Module")
State = dict[str, "Tensor"]

# what a tokenizer is saved as: in one file, or in its parts
TOKENIZER = ("tokenizer.json", "vocab.json", "merges.txt", "vocab.txt")
TOKENIZER_FILES = (*TOKENIZER, "tokenizer_config.json", "special_tokens_map.json")
_VOCABULARIES = ("tokenizer.json", "vocab.json", "vocab.txt")


def read(path: Path, name: str) -> State:
    """The tensors of a safetensors file or of a ``torch.save`` file, on the CPU.

    ``name`` is what messages call it, such as ``reward.path=zai-org/ImageReward``. A training
    checkpoint's own ``state_dict`` is taken out of it. Pickled code is refused, never run. Raises
    GlassError where the file cannot be read or holds a number that is not finite.
    """
    import torch
    from safetensors.torch import load_file

    try:
        if path.suffix == ".safetensors":
            content: Any = load_file(path)
        else:
            mapped = zipfile.is_zipfile(path)  # the older format cannot be mapped
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of pickle's protocol, just before refusing it
                content = torch.load(path, map_location="cpu", weights_only=True, mmap=mapped)
    except pickle.UnpicklingError as error:
        if re.search(r"GLOBAL|unrecognized function|Unsupported class", str(error)):
            raise GlassError(
                f"{name}: {path.name} holds more than numbers (pickled code), which is never run;"
                " get the published file, or one in safetensors"
            ) from error
        # torch's own words end in the advice to run what is in the file
        raise _unreadable(path, name, "not in torch's format") from error
    except Exception as error:
        # a file of other bytes can make the readers stumble over anything
        why = one_line(error).partition(". ")[0][:120] or type(error).__name__
        raise _unreadable(path, name, why) from error
    if isinstance(content, Mapping) and isinstance(content.get("state_dict"), Mapping):
        content = content["state_dict"]
    if not isinstance(content, Mapping) or not all(torch.is_tensor(v) for v in content.values()):
        raise GlassError(f"{name}: {path.name} is not a table of named weights; get another file")
    state = {str(key): value for key, value in content.items()}
    for key, value in state.items():
        if value.is_floating_point() and not bool(value.isfinite().all()):
            raise GlassError(
                f"{name}: {key} in {path.name} has numbers that are not finite; the file is"
                " damaged, download it again"
            )
    return state


def _unreadable(path: Path, name: str, why: str) -> GlassError:
    return GlassError(
        f"{name}: {path.name} cannot be read ({why}); it is cut short or no file of weights:"
        " download it again"
    )


def size(state: Mapping[str, Tensor], key: str, dim: int, name: str) -> int:
    """The length of ``state[key]`` along ``dim``. Raises GlassError where there is no such."""
    if key not in state or state[key].ndim <= dim:
        raise GlassError(f"{name} is of another architecture: it has no fitting {key}")
    return int(state[key].shape[dim])


def count(state: Mapping[str, Tensor], before: str, name: str) -> int:
    """How many layers ``before + "0."``, ``before + "1."``, ... there are."""
    indices = {key[len(before) :].partition(".")[0] for key in state if key.startswith(before)}
    if indices != {str(i) for i in range(len(indices))} or not indices:
        raise GlassError(f"{name} is of another architecture: it has no layers {before}0 and on")
    return len(indices)


def fill(model: M, state: Mapping[str, Tensor], name: str, dtype: torch.dtype) -> M:
    """Gives a model made on the meta device its weights, every one of them and no other.

    Raises GlassError where one is missing, unexpected or of another shape.
    """
    import torch

    own = model.state_dict()
    missing = [key for key in own if key not in state]
    unexpected = [key for key in state if key not in own]
    shapes = [
        f"{key} is {tuple(state[key].shape)}, not {tuple(own[key].shape)}"
        for key in own
        if key in state and state[key].shape != own[key].shape
    ]
    wrong = (
        [f"it has no {key}" for key in missing]
        + [f"{key} is unexpected" for key in unexpected]
        + shapes
    )
    if wrong:
        more = f" (and {len(wrong) - 1} more)" if len(wrong) > 1 else ""
        raise GlassError(f"{name} is of another architecture: {wrong[0]}{more}")
    # a number on its own, CLIP's logit_scale, is a logarithm: in bfloat16 its exponential would be
    # off by a percent
    kinds = {key: dtype if value.ndim else torch.float32 for key, value in own.items()}
    model.load_state_dict({key: state[key].to(kind) for key, kind in kinds.items()}, assign=True)
    for module in model.modules():
        # the only buffer of these models that no file holds: 0, 1, 2, ...
        ids = getattr(module, "position_ids", None)
        if ids is not None and ids.is_meta:
            module.position_ids = torch.arange(ids.shape[-1]).expand(ids.shape)
    return model.requires_grad_(False).eval()


def linear_stack(state: Mapping[str, Tensor], name: str) -> Module:
    """Linear layers without activations between, from ``<number>.weight`` and ``<number>.bias``.

    Such heads were trained with dropout, whose places in the numbering stay empty. Raises
    GlassError unless each takes what the one before gives and the last gives one number.
    """
    import torch

    numbers = sorted({int(n) for n in (key.partition(".")[0] for key in state) if n.isdigit()})
    layers = []
    with torch.device("meta"):
        for number in numbers:
            out, into = (size(state, f"{number}.weight", dim, name) for dim in (0, 1))
            layers.append(torch.nn.Linear(into, out))
    chain = [layer.in_features for layer in layers[1:]] + [1]
    if not layers or [layer.out_features for layer in layers] != chain:
        raise GlassError(f"{name} is of another architecture: its layers do not follow each other")
    again = {number: str(i) for i, number in enumerate(numbers)}
    renamed: State = {}
    for key, value in state.items():
        first, _, rest = key.partition(".")
        renamed[f"{again[int(first)]}.{rest}" if first.isdigit() else key] = value
    return fill(torch.nn.Sequential(*layers), renamed, name, torch.float32)


def folder_weights(folder: Path, path: str, key: str) -> State:
    """The weights of a transformers folder: ``model.safetensors``, else ``pytorch_model.bin``."""
    name = f"{key}={path}"
    file = folder / "model.safetensors"
    if not file.is_file():
        # an older repository of the hub, whose folder has been asked for safetensors only
        file = hub.file(path, "pytorch_model.bin", key)
    return read(file, name)


def settings(folder: Path, file: str, name: str) -> dict[str, Any]:
    """A JSON file of ``folder``. Raises GlassError where it is not one."""
    try:
        values = json.loads((folder / file).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise GlassError(f"{name}: {file} cannot be read ({one_line(error)})") from error
    if not isinstance(values, dict):
        raise GlassError(f"{name}: {file} is not a table of settings")
    return values


def tokenizer(kind: Any, path: str, key: str, vocabulary: int) -> Any:
    """A tokenizer of transformers from a folder or the hub, which must fit ``words`` embeddings."""
    folder = hub.folder(path, key, TOKENIZER_FILES)
    if not any((folder / file).is_file() for file in _VOCABULARIES):
        # transformers would make an empty one
        raise GlassError(f"{key}={path} has no tokenizer.json nor vocabulary ({folder})")
    try:
        with hub.explained(path, key):
            loaded = kind.from_pretrained(folder, local_files_only=True)
    except GlassError:
        raise
    except Exception as error:
        # tokenizers raises Exception itself on a bad file
        raise GlassError(
            f"{key}={path}: its tokenizer cannot be read ({one_line(error)})"
        ) from error
    if len(loaded) > vocabulary:
        raise GlassError(
            f"{key}={path} has {len(loaded)} words, the model {vocabulary}; give the model's own"
            " tokenizer"
        )
    return loaded


def first_of(folder: Path, files: Sequence[str]) -> str | None:
    """The first of ``files`` that is in ``folder``."""
    return next((file for file in files if (folder / file).is_file()), None)
