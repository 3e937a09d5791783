"""Settings of one yaml file of a group, for callers that compose nothing else."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.paths import conf_dir


def choice_settings(group: str, name: str, changes: Mapping[str, Any]) -> dict[str, Any]:
    """The plain settings of ``conf/<group>/<name>.yaml``, with ``changes`` to its keys.

    The files of the same group that its defaults list names come first. Raises GlassError for
    changes that cannot be merged.
    """
    return merged(_choice(group, name), changes)


def merged(settings: Any, changes: Mapping[str, Any]) -> dict[str, Any]:
    """Plain settings with ``changes``, which may be nested. Raises GlassError."""
    try:
        plain = OmegaConf.to_container(OmegaConf.merge(settings, changes), resolve=True)
    except OmegaConfBaseException as error:
        raise GlassError(one_line(error).partition(" full_key:")[0]) from error
    assert isinstance(plain, dict)
    return {str(key): value for key, value in plain.items()}


def _choice(group: str, name: str) -> Any:
    node = OmegaConf.load(conf_dir() / group / f"{name}.yaml")
    assert isinstance(node, DictConfig)
    below = [entry for entry in node.pop("defaults", []) if isinstance(entry, str)]
    node = node.get(group, node)  # of a file that sets other groups beside
    return OmegaConf.merge(*(_choice(group, entry) for entry in below if entry != "_self_"), node)
