"""Hydra's composition of configurations, beside its own main function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from hydra import compose, initialize_config_dir
from hydra.core.global_hydra import GlobalHydra
from hydra.core.object_type import ObjectType
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.errors import HydraException
from omegaconf import DictConfig

from glass_cli.common.errors import GlassError
from glass_cli.config.command_line import EXPERIMENT

_SEARCH_PATH = "hydra.searchpath"


class Composer:
    """Composes configurations from the folders that :func:`composing` was given.

    config_dir: the user's own folder of yaml files.
    config_name: the file that is composed.
    """

    def __init__(self, config_dir: Path | None, config_name: str) -> None:
        self._config_dir = config_dir
        self._config_name = config_name

    def compose(self, overrides: Sequence[str]) -> DictConfig:
        """The configuration with its `hydra` node. Raises Hydra's and OmegaConf's errors, and
        GlassError where an experiment's settings are not those of the run."""
        cfg = compose(self._config_name, self._with_own_folder(overrides), True)
        if EXPERIMENT in cfg:  # what no file of glass's has: the group's name instead of the top
            name = cfg.hydra.runtime.choices.get(EXPERIMENT)
            raise GlassError(
                f"{EXPERIMENT}={name}: the first line of {EXPERIMENT}/{name}.yaml must be"
                " `# @package _global_`, so that its settings are those of the run"
            )
        return cfg

    def options(self, group: str) -> list[str]:
        """The choices of a group, sorted; empty where there is no such group.

        Those in folders within the group's have slashes in their names.
        """
        try:
            return sorted(self._options(group))
        except OSError:  # a name that no folder can have
            return []

    def _options(self, group: str) -> Iterator[str]:
        loader = GlobalHydra.instance().config_loader()
        own = self._with_own_folder([])
        yield from loader.get_group_options(group, overrides=own)
        for folder in loader.get_group_options(group, ObjectType.GROUP, overrides=own):
            yield from (f"{folder}/{name}" for name in self._options(f"{group}/{folder}"))

    def _with_own_folder(self, overrides: Sequence[str]) -> list[str]:
        """The overrides, and the user's folder in front of a search path of theirs."""
        if self._config_dir is None:
            return list(overrides)
        others = [line for line in overrides if not line.startswith(f"{_SEARCH_PATH}=")]
        folders = [f"file://{self._config_dir}"]
        for line in overrides:
            if line not in others:
                folders += _folders_of(line)
        quoted = ",".join("'" + folder.replace("'", r"\'") + "'" for folder in folders)
        return [f"{_SEARCH_PATH}=[{quoted}]", *others]


def _folders_of(override: str) -> list[str]:
    try:
        value = OverridesParser.create().parse_override(override).value()
    except HydraException:
        value = None
    if not isinstance(value, list):
        raise GlassError(f"{override} must be a list: {_SEARCH_PATH}=[file:///FOLDER]")
    return [str(folder) for folder in value]


@contextmanager
def composing(
    conf: Path, config_dir: Path | None = None, config_name: str = "config"
) -> Iterator[Composer]:
    """Hydra set up on the folder `conf`, and on the user's own `config_dir` after it."""
    GlobalHydra.instance().clear()
    with initialize_config_dir(str(conf.absolute()), job_name="glass", version_base="1.3"):
        try:
            yield Composer(config_dir, config_name)
        finally:
            GlobalHydra.instance().clear()
