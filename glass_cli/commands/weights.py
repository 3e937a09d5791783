"""Which weights that glass's choices name are in the Hugging Face hub's cache."""

from __future__ import annotations

import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from glass_cli.rewards.base import FollowsModel

_GROUPS = ("model", "reward", "benchmark")
_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")


class Kept(NamedTuple):
    """A repository of the hub, and what of it is on this disk.

    repository: owner/name.
    users: the choices that name it, such as ``model=sdxl``.
    size: bytes of its finished files.
    partial: whether a download of it was broken off.
    """

    repository: str
    users: tuple[str, ...]
    size: int
    partial: bool


def kept_weights(conf: Path, cache: Path) -> list[Kept]:
    """Every repository that a choice in ``conf`` names, by the order of the choices.

    conf: the folder of yaml files.
    cache: of the hub, with a folder ``models--owner--name`` for each repository.
    """
    users: dict[str, list[str]] = {}
    for group in _GROUPS:
        for path in sorted((conf / group).glob("*.yaml")):
            for repository in dict.fromkeys(_repositories(path)):
                users.setdefault(repository, []).append(f"{group}={path.stem}")
    return [_kept(name, tuple(of), cache) for name, of in users.items()]


def _repositories(path: Path) -> Iterator[str]:
    import yaml

    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    yield from _strings(node)
    target = pkgutil.resolve_name(node["_target_"]) if "_target_" in node else None
    if isinstance(target, type) and issubclass(target, FollowsModel) and node["path"] is None:
        yield target.published


def _strings(node: Any) -> Iterator[str]:
    if isinstance(node, Mapping):
        for value in node.values():
            yield from _strings(value)
    elif isinstance(node, str) and _REPOSITORY.fullmatch(node):
        yield node


def _kept(repository: str, users: tuple[str, ...], cache: Path) -> Kept:
    blobs = cache / f"models--{repository.replace('/', '--')}" / "blobs"
    files = [path for path in blobs.glob("*") if path.is_file()] if blobs.is_dir() else []
    partial = [path for path in files if path.suffix == ".incomplete"]
    size = sum(path.stat().st_size for path in files if path not in partial)
    return Kept(repository, users, size, bool(partial))
