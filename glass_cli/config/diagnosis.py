"""Why Hydra refused a command line, in one line: which key, which choice, and the nearest one."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from glass_cli.common.errors import GlassError, near, one_line
from glass_cli.config.composition import Composer


def parse_error(word: str, error: HydraException) -> GlassError:
    """A word that is not `key=value` in Hydra's grammar."""
    key, equals, value = word.partition("=")
    if not equals:
        return GlassError(
            f'"{one_line(word)}" is not key=value; a prompt is written prompt="{one_line(word)}"'
        )
    if not key.strip():
        return GlassError(f'"{one_line(word)}" has no key before =; write key=value')
    return GlassError(
        f"cannot read the value of {one_line(key)} ({one_line(value)}); put it in two pairs of "
        f"""quotes: {one_line(key)}="'...'\""""
    )


def several_values(override: Override) -> GlassError:
    """A sweep over values in `glass sample` without -m."""
    return GlassError(
        f"{override.input_line} names several values; use glass sweep to run each, or "
        f"{override.key_or_group}='[...]' for a list"
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
    """One line for an error of composition: the words are tried apart to find the one at fault."""
    base: list[str] = []
    groups = _groups(composer)
    for override in overrides:
        is_group = override.key_or_group in groups or composer.options(override.key_or_group)
        if is_group and not override.is_delete():
            wrong = _wrong_choice(override, composer)
            if wrong:
                return wrong
            base.append(str(override.input_line))
    try:
        cfg = composer.compose(base)
    except Exception:  # noqa: BLE001 - whatever it is, the first error is the one to tell
        return GlassError(_shorten(error))
    known = list(leaf_keys(cfg))
    for override in overrides:
        key = override.key_or_group
        if str(override.input_line) in base or override.is_add() or override.is_force_add():
            continue
        root = cfg if not override.is_hydra_override() else None
        if root is None:
            hydra_keys = (f"hydra.{name}" for name in leaf_keys(cfg.hydra))
            known_here = list(hydra_keys)
        else:
            known_here = [*known, *groups]
        if key not in known_here and not _selectable(cfg, key):
            verb = "remove" if override.is_delete() else "set"
            hint = near(key, known_here) or f"; glass sample --cfg job shows what can be {verb}"
            return GlassError(f"unknown key {key}{hint}")
    return GlassError(_shorten(error))


def _selectable(cfg: DictConfig, key: str) -> bool:
    try:
        return OmegaConf.select(cfg, key) is not None
    except OmegaConfBaseException:
        return False


def _groups(composer: Composer) -> list[str]:
    """The groups of the configuration, `hydra/...` among them."""
    try:
        chosen = composer.compose([]).hydra.runtime.choices
    except Exception:  # noqa: BLE001 - without groups the error is told in Hydra's words
        return []
    return [str(key) for key in chosen]


def _wrong_choice(override: Override, composer: Composer) -> GlassError | None:
    group, value = override.key_or_group, override.value()
    options = sorted(composer.options(group))
    for word in value if isinstance(value, list) else [value]:
        if word is None or str(word) in options:
            continue
        known = ", ".join(options) or "none"
        return GlassError(f"unknown {group} {one_line(word)}{near(str(word), options)} ({known})")
    return None


def _shorten(error: BaseException) -> str:
    """Hydra's own words and their cause, on one line, without its listing of search paths."""
    cut = re.compile(r"\s*\n\s*(?:(?:Config )?[Ss]earch path|full_key).*", re.DOTALL)
    texts = [cut.sub("", str(error))]
    if isinstance(error.__cause__, OmegaConfBaseException):
        texts.append(cut.sub("", str(error.__cause__)))
    return one_line(": ".join(text for text in texts if text)) or type(error).__name__
