"""Rewards named inside other settings: metrics, and the terms of a weighted sum.

There a reward is named like a choice of its group and read from the same yaml files, which Hydra
composes only for `reward=NAME` itself. Such a yaml stands for itself: its own defaults list and
references to other keys are not followed.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import yaml
from omegaconf import OmegaConf

from glass_cli.common.errors import GlassError, near, one_line, shown
from glass_cli.config.build import build, build_class, find_class
from glass_cli.rewards.base import Reward
from glass_cli.rewards.composite import Composite, Term

# in which a term says how it counts; every other key is a setting of its reward
TERM_KEYS = ("weight", "mean", "scale")


class Choices:
    """The reward choices of the folders of yaml files; the first folder that has one wins."""

    def __init__(self, folders: Sequence[Path]) -> None:
        self._files: dict[str, Path] = {}
        for folder in folders:
            for path in sorted((folder / "reward").glob("*.yaml")):
                self._files.setdefault(path.stem, path)

    def names(self) -> list[str]:
        return sorted(self._files)

    def node(self, name: str, what: str) -> dict[str, Any]:
        """The plain settings of the choice ``name``; ``what`` it is, for messages."""
        if name not in self._files:
            known = self.names()
            raise GlassError(
                f"unknown {what} {shown(name)}{near(name, known)} ({', '.join(known) or 'none'})"
            )
        try:
            node = OmegaConf.to_container(OmegaConf.load(self._files[name]), resolve=True)
        except (ValueError, OSError, yaml.YAMLError) as error:
            raise GlassError(f"{self._files[name]} cannot be read: {one_line(error)}") from error
        if not isinstance(node, dict):
            raise GlassError(f"{self._files[name]} holds no settings; give it a _target_")
        return {str(key): value for key, value in node.items() if key != "defaults"}

    def accepting(self, attribute: Literal["accepts", "differentiable"], value: Any) -> list[str]:
        """The choices whose settings class has ``attribute`` of Reward equal to ``value``."""
        names = []
        for name in self.names():
            try:
                target = find_class(str(self.node(name, "reward").get("_target_")), "reward")
            except GlassError:
                continue  # a broken neighbour is not what the user asked about
            if getattr(target, attribute, None) == value:
                names.append(name)
        return names

    def build(self, node: Any, where: str = "reward", group: str | None = None) -> Any:
        """The settings object that ``node`` describes, the terms of a weighted sum built along.

        group: see :func:`glass_cli.config.build.build`. Raises GlassError.
        """
        if not isinstance(node, Mapping) or not isinstance(node.get("terms"), Mapping):
            return build(node, where, group)
        target = find_class(str(node.get("_target_")), where)
        if not (isinstance(target, type) and issubclass(target, Composite)):
            return build(node, where, group)  # a reward of the user's with terms of another kind
        terms = {
            str(name): self._term(str(name), own, f"{where}.terms.{name}")
            for name, own in node["terms"].items()
            if own is not None
        }
        return build({**node, "terms": terms}, where, group)

    def _term(self, name: str, own: Any, where: str) -> Any:
        if not isinstance(own, Mapping):
            raise GlassError(f"{where} must be settings such as {{weight: 1.0}} (got {shown(own)})")
        numbers = {key: own[key] for key in TERM_KEYS if key in own}
        settings = {str(key): value for key, value in own.items() if key not in TERM_KEYS}
        reward = self._named(name, settings, where, "term", TERM_KEYS)
        return build_class(Term, {"reward": reward, **numbers}, where)

    def _named(
        self, name: str, own: Mapping[str, Any], where: str, what: str, also: Sequence[str] = ()
    ) -> Any:
        """The choice ``name`` with some settings of its ``own``, or what ``own`` describes."""
        node = dict(own) if "_target_" in own else _merged(self.node(name, what), own)
        target = find_class(str(node.get("_target_")), where)
        if dataclasses.is_dataclass(target):
            known = [f.name for f in dataclasses.fields(target) if f.init]
            for key in own:
                if key != "_target_" and key not in known:
                    hint = near(f"{where}.{key}", [f"{where}.{k}" for k in [*also, *known]])
                    raise GlassError(f"unknown key {where}.{key}{hint}")
        return self.build(node, where, "reward")

    def metrics(self, node: Any) -> dict[str, Reward]:
        """Name -> settings object of what `metrics=` asks for, in its order.

        It is a name or a list; a member is a name, ``{name: {key: value}}`` with settings of its
        own, or a mapping with ``_target_``, named by its class. A mapping of names works as well.
        """
        if node is None:
            return {}
        members = [{key: node[key]} for key in node] if _plain_mapping(node) else node
        if not isinstance(members, (list, tuple)):
            members = [members]
        rewards: dict[str, Reward] = {}
        for member in members:
            name, own = _member(member)
            if name in rewards:
                raise GlassError(f"metrics names {name} twice; leave one out")
            rewards[name] = self._named(name, own, f"metrics.{name}", "metric")
        return rewards


def _plain_mapping(node: Any) -> bool:
    return isinstance(node, Mapping) and "_target_" not in node


def _member(member: Any) -> tuple[str, Mapping[str, Any]]:
    if isinstance(member, str):
        return member, {}
    if isinstance(member, Mapping) and "_target_" in member:
        return str(member["_target_"]).rpartition(".")[2].lower(), member
    if isinstance(member, Mapping) and len(member) == 1:
        ((name, own),) = member.items()
        if own is None or isinstance(own, Mapping):
            return str(name), own or {}
    raise GlassError(
        f"metrics must be names of rewards such as metrics=[clip], each alone or as"
        f" {{name: {{key: value}}}} (got {shown(member)}); see glass ls reward"
    )


def _merged(base: Mapping[str, Any], own: Mapping[str, Any]) -> dict[str, Any]:
    """``base`` with the values of ``own`` over it, mappings merged key by key."""
    merged = dict(base)
    for key, value in own.items():
        both = isinstance(value, Mapping) and isinstance(merged.get(key), Mapping)
        merged[str(key)] = _merged(merged[key], value) if both else value
    return merged
