"""Why Hydra refused a command line, in one line: which key, which choice, and the nearest one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import fields
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import MissingConfigException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import (
    InterpolationKeyError,
    InterpolationResolutionError,
    OmegaConfBaseException,
)

from glass_cli.common.errors import GlassError, near, one_line, shown
from glass_cli.common.masks import masked
from glass_cli.config.command_line import EXPERIMENT, OTHER_NAMES
from glass_cli.config.composition import Composer
from glass_cli.config.experiments import folded
from glass_cli.config.settings import GROUPS, MORE_GROUPS, Root

# files of Hydra's plugins, which our own are built on, and the extra that installs each
_EXTRAS = {
    "hydra/launcher/submitit_local": "sweep",
    "hydra/launcher/submitit_slurm": "sweep",
    "hydra/launcher/ray": "sweep-ray",
    "hydra/sweeper/optuna": "sweep",
}

# OmegaConf's, for a list where settings belong and the other way round
_OTHER_KIND = re.compile(
    r"override (\S+?)=.*Cannot merge DictConfig with ListConfig.*object_type=(list|dict)", re.DOTALL
)
# of the settings at the top prompts alone may be a list, and metrics, which are built apart
_TAKE_NO_LIST = {*GROUPS, *MORE_GROUPS, *(f.name for f in fields(Root) if f.name != "prompts")}
# Hydra's, of choice(...), interval(...) and the like in a value
_UNKNOWN_FUNCTION = re.compile(r"Unknown function '(.+?)'\nAvailable: (\S+)")
_FAILED_CALL = re.compile(r"while evaluating '.*': (.+)")
_NO_BENCHMARK = "Could not override 'benchmark'"  # Hydra's, where glass sample composes


def parse_error(argument: str, error: Exception) -> GlassError:
    """An argument that is not `key=value` in Hydra's grammar; ``error`` is Hydra's."""
    key, equals, value = argument.partition("=")
    if not equals:
        text = shown(argument)
        return GlassError(f'"{text}" is not key=value; a prompt is written prompt="{text}"')
    if not key.strip():
        return GlassError(f'"{shown(argument)}" has no key before =; write key=value')
    quotes = f"""put it in two pairs of quotes: {shown(key)}="'...'\""""
    unknown = _UNKNOWN_FUNCTION.search(str(error))
    if unknown:
        known = unknown[2].split(",")
        return GlassError(
            f"{shown(key)}: unknown function {shown(unknown[1])}{near(unknown[1], known)}"
            f" ({', '.join(known)}); where it is text, {quotes}"
        )
    call = _FAILED_CALL.search(str(error))
    remedy = f"{shown(masked(call[1]))}; correct it" if call else "close its brackets and quotes"
    return GlassError(
        f"cannot read the value of {shown(key)} ({shown(masked(value))}); {remedy}, or {quotes}"
    )


def several_values(override: Override) -> GlassError:
    """A sweep over values in `glass sample` without -m."""
    key = override.key_or_group
    a_list = "" if key in _TAKE_NO_LIST else f", or {key}='[...]' for a list"
    return GlassError(
        f"{shown(override.input_line)} names several values; use glass sweep to run each{a_list}"
    )


def leaf_keys(cfg: Any, prefix: str = "") -> Iterator[str]:
    """Every dotted key of a configuration, leaves and inner nodes."""
    for key in cfg:
        name = f"{prefix}{key}"
        if key == "_target_" or name == "hydra":
            continue
        yield name
        node = cfg._get_node(key)
        if isinstance(node, DictConfig) and not node._is_none() and not node._is_missing():
            yield from leaf_keys(node, f"{name}.")


def explain(error: Exception, overrides: list[Override], composer: Composer) -> GlassError:
    """One line for an error of composition: which of the overrides is at fault, and why."""
    if _NO_BENCHMARK in str(error):
        keys = (EXPERIMENT, "benchmark")
        named = [str(o.input_line) for o in overrides if o.key_or_group in keys]
        return GlassError(
            f"{shown(' '.join(named) or 'the experiment')} is an evaluation; use glass eval in"
            " place of glass sample"
        )
    base: list[str] = []
    groups = _groups(composer)
    for override in overrides:
        group = override.key_or_group
        if (group in groups or composer.options(group)) and not override.is_delete():
            wrong = _wrong_choice(override, composer) or _missing_extra(override, error)
            if wrong:
                return wrong
            base.append(str(override.input_line))
    try:
        cfg = composer.compose(base)
    except Exception:  # noqa: BLE001 - whatever it is, the first error is the one to report
        return GlassError(_shorten(error))
    return (
        _unknown_key(overrides, base, cfg, groups)
        or _other_kind(error, overrides)
        or GlassError(_shorten(error))
    )


def _other_kind(error: Exception, overrides: list[Override]) -> GlassError | None:
    """A list under a key of settings, or settings under one of a list."""
    text = f"{error} {error.__cause__}"
    match = _OTHER_KIND.search(text)
    given = {o.key_or_group: o for o in overrides}.get(match[1]) if match else None
    if match is None or given is None:
        return None
    kind = "a list" if match[2] == "list" else "key=value settings"
    value = shown(given.get_value_element_as_str(space_after_sep=True))
    return GlassError(f"{match[1]} must be {kind} (got {value})")


def unresolved(error: OmegaConfBaseException) -> GlassError:
    """A reference ``${...}`` that leads nowhere, or a value that is missing."""
    why = one_line(error).partition(" full_key:")[0]
    key = str(error.full_key or "a setting")
    if not isinstance(error, (InterpolationKeyError, InterpolationResolutionError)):
        return GlassError(why)
    return GlassError(
        f"{key}: {why}; correct the reference in its value, or quote it twice where ${{...}} is"
        f""" text: {key}="'\\${{...}}'\""""
    )


def _unknown_key(
    overrides: list[Override], base: list[str], cfg: DictConfig, groups: list[str]
) -> GlassError | None:
    """The first override of a key that `cfg`, composed of `base`, has not."""
    keys = list(leaf_keys(cfg))
    hydra_keys = [f"hydra.{name}" for name in leaf_keys(cfg.hydra)]
    for override in overrides:
        key = override.key_or_group
        if str(override.input_line) in base or override.is_add() or override.is_force_add():
            continue
        known = hydra_keys if override.is_hydra_override() else [*keys, *groups]
        if key in known or _selectable(cfg, key):
            continue
        verb = "remove" if override.is_delete() else "set"
        other = OTHER_NAMES.get(key.lower().replace("-", "_"))
        if other == "hydra.run.dir":
            value = shown(override.get_value_element_as_str())
            hint = f"; the folder is hydra.run.dir={value} (of a sweep hydra.sweep.dir={value})"
        elif other is not None:
            hint = f"; did you mean {other}?"
        else:
            hint = near(key, known) or f"; glass sample --cfg job shows what can be {verb}"
        return GlassError(f"unknown key {shown(key)}{hint}")
    return None


def _selectable(cfg: DictConfig, key: str) -> bool:
    try:
        return OmegaConf.select(cfg, key) is not None
    except OmegaConfBaseException:
        return False


def _groups(composer: Composer) -> list[str]:
    """The groups of the configuration, `hydra/...` among them."""
    try:
        chosen = composer.compose([]).hydra.runtime.choices
    except Exception:  # noqa: BLE001 - without groups the error is reported as Hydra has it
        return []
    return [str(key) for key in chosen]


def _wrong_choice(override: Override, composer: Composer) -> GlassError | None:
    group, value = override.key_or_group, override.value()
    options = composer.options(group)
    for choice in value if isinstance(value, list) else [value]:
        if choice is None or str(choice) in options:
            continue
        known = ", ".join(folded(options)) or "there is none; -cd FOLDER adds a folder of your own"
        return GlassError(f"unknown {group} {shown(choice)}{near(str(choice), options)} ({known})")
    return None


def _missing_extra(override: Override, error: Exception) -> GlassError | None:
    """A choice that is built on a plugin which is not installed."""
    missing = getattr(error, "missing_cfg_file", None)
    extra = _EXTRAS.get(str(missing)) if isinstance(error, MissingConfigException) else None
    if extra is None or not str(missing).startswith(f"{override.key_or_group}/"):
        return None
    return GlassError(
        f"{override.input_line} needs a plugin of Hydra's that is not installed; pip install"
        f" 'glass_cli[{extra}]'"
    )


def _shorten(error: BaseException) -> str:
    """Hydra's own message and its cause, on one line, without its listing of search paths."""
    cut = re.compile(r"\s*\n\s*(?:(?:Config )?[Ss]earch path|full_key).*", re.DOTALL)
    texts = [cut.sub("", str(error))]
    if isinstance(error.__cause__, OmegaConfBaseException):
        texts.append(cut.sub("", str(error.__cause__)))
    return one_line(": ".join(text for text in texts if text)) or type(error).__name__
