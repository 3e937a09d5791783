"""Hydra's composition of configurations, beside its own main function."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from hydra import version
from hydra._internal.hydra import Hydra
from hydra._internal.utils import create_config_search_path
from hydra.core.config_search_path import SearchPathQuery
from hydra.core.global_hydra import GlobalHydra
from hydra.types import RunMode
from omegaconf import DictConfig


class Composer:
    """Composes configurations from one search path. Made by `composing`."""

    def __init__(self, hydra: Hydra, config_name: str) -> None:
        self.hydra = hydra
        self.config_name = config_name

    def compose(self, overrides: list[str], mode: RunMode = RunMode.RUN) -> DictConfig:
        """The configuration with its `hydra` node. Raises Hydra's and OmegaConf's errors."""
        cfg: DictConfig = self.hydra.compose_config(
            config_name=self.config_name,
            overrides=overrides,
            run_mode=mode,
            from_shell=False,
            with_log_configuration=False,
        )
        return cfg

    def options(self, group: str) -> list[str]:
        """The choices of a group, empty when there is no such group."""
        found: list[str] = self.hydra.config_loader.get_group_options(group)
        return found


@contextmanager
def composing(
    conf: Path, config_dir: Path | None = None, config_name: str = "config"
) -> Iterator[Composer]:
    """Hydra set up on the folder `conf`, and on the user's own `config_dir` after it."""
    version.setbase("1.3")
    path = create_config_search_path(str(conf))
    if config_dir is not None:
        path.prepend("command-line", f"file://{config_dir}", SearchPathQuery(provider="schema"))
    GlobalHydra.instance().clear()
    try:
        yield Composer(Hydra.create_main_hydra2("glass", path), config_name)
    finally:
        GlobalHydra.instance().clear()
