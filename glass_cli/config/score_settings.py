"""The settings of `glass score`: metrics, as in `glass sample`, and where they are computed."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from glass_cli.common.errors import GlassError, near, one_line, shown
from glass_cli.common.paths import MAIN_CONFIG, conf_dir
from glass_cli.config.build import build, build_class
from glass_cli.config.command_line import quote_override
from glass_cli.config.composition import composing
from glass_cli.config.preflight import compose_or_explain
from glass_cli.config.reward_choices import Choices
from glass_cli.config.settings import Root, Wandb

if TYPE_CHECKING:
    from glass_cli.models.base import Model
    from glass_cli.rewards.base import Reward

_KEYS = ("metrics", "device", "dtype")
_WANDB = "wandb"
_CLASS = "_target_"
_OF_WANDB = [field.name for field in fields(Wandb)]


class ScoreSettings(NamedTuple):
    """What scores finished pictures.

    metrics: name -> settings, at least one.
    device, dtype: see :class:`glass_cli.config.settings.Root`.
    wandb: what was typed of the settings of W&B; all else of it is as each run had it.
    """

    metrics: Mapping[str, Reward]
    device: str
    dtype: str
    wandb: Mapping[str, Any]


def score_settings(overrides: Sequence[str], config_dir: Path | None = None) -> ScoreSettings:
    """The checked settings of the `overrides`, key=value as for `glass sample`.

    config_dir: a folder of the user's own yaml files.

    Raises GlassError.
    """
    takes = [*_KEYS, *(f"{_WANDB}.{name}" for name in _OF_WANDB)]
    typed = [word.partition("=")[0].lstrip("+") for word in overrides]
    for key in typed:
        if key not in takes:
            raise GlassError(
                f"unknown setting {key}{near(key, takes)}; glass score takes {', '.join(_KEYS)}"
                f" and {_WANDB}.mode"
            )
    if config_dir is not None and not config_dir.is_dir():
        raise GlassError(f"--config-dir {config_dir} is not a folder; check its name")
    with composing(conf_dir(), config_dir, MAIN_CONFIG) as composer:
        cfg = compose_or_explain(composer, [quote_override(word) for word in overrides])
    try:
        own = OmegaConf.to_container(OmegaConf.masked_copy(cfg, [*_KEYS, _WANDB]), resolve=True)
    except OmegaConfBaseException as error:
        raise GlassError(one_line(error).partition(" full_key:")[0]) from error
    assert isinstance(own, dict)
    root = build_class(Root, {"prompt": "-", **{k: own[k] for k in ("device", "dtype", _WANDB)}})
    folders = [conf_dir(), *([] if config_dir is None else [config_dir])]
    metrics = Choices(folders).metrics(own["metrics"])
    if not metrics:
        raise GlassError("no metric is named; write metrics=[clip] (glass ls reward)")
    wandb = {name: own[_WANDB][name] for name in _OF_WANDB if f"{_WANDB}.{name}" in typed}
    return ScoreSettings(metrics, root.device, root.dtype, wandb)


def wandb_of(config: Mapping[str, Any], settings: ScoreSettings) -> dict[str, Any]:
    """The settings of W&B in a run's configuration, with what was typed in place of its own.

    Without any there, as of a run that another program wrote, W&B is disabled. Raises GlassError.
    """
    own = config.get(_WANDB) or {"mode": "disabled"}
    if not isinstance(own, Mapping) or [*_classes(own)]:
        raise GlassError(f"the run's config.yaml has {_WANDB}: {shown(own)}; make it a table")
    return asdict(build_class(Wandb, {**own, **settings.wandb}, _WANDB))


def model_of(config: Mapping[str, Any], config_dir: Path | None = None) -> Model | None:
    """The settings of the model in a run's configuration; None where they cannot be built here.

    config_dir: a folder of the user's own yaml files.

    The run's folder may come from someone else: a class is built only if a yaml file of glass or
    of ``config_dir`` names it as a model.
    """
    node = config.get("model")
    if not {*_classes(node)} <= _models(config_dir):
        return None
    try:
        model: Model = build(node, "model")
    except GlassError:
        return None
    return model


def _classes(node: Any) -> Iterator[str]:
    """What plain settings name as classes, at any depth."""
    if isinstance(node, Mapping):
        for key, value in node.items():
            if key == _CLASS:
                yield str(value)
            yield from _classes(value)
    elif isinstance(node, list):
        for value in node:
            yield from _classes(value)


def _models(config_dir: Path | None) -> set[str]:
    """The classes of all choices of a model."""
    folders = [conf_dir(), *([] if config_dir is None else [config_dir])]
    files = [file for folder in folders for file in (folder / "model").glob("*.yaml")]
    named: set[str] = set()
    for file in files:
        with suppress(OSError, ValueError, yaml.YAMLError):
            named |= {*_classes(yaml.safe_load(file.read_text(encoding="utf-8")))}
    return named
