"""Every key that the command line can set, with its default, its comment and its values.

Read from the yaml files alone, so that a press of the Tab key is answered at once.
"""

from __future__ import annotations

import re
import typing
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Literal, NamedTuple

from glass_cli.common.paths import EVAL_CONFIG, MAIN_CONFIG

_OWN = "glass_cli."  # classes of the user's own are not imported: it may take long, or print


class Key(NamedTuple):
    """A key of the command line.

    text: the comment beside it in the yaml file.
    values: what it can be set to, where that is a short list.
    """

    text: str
    values: tuple[str, ...] = ()


def tree(config: str, choices: Mapping[str, str], folders: Sequence[Path]) -> dict[str, Key]:
    """Dotted key -> what is known of it, in the order of the files.

    config: the command's file, such as ``config`` or ``eval``.
    choices: group -> the chosen file.
    folders: of yaml files; of two files of one name the first counts.
    """
    from glass_cli.config.settings import Root

    keys: dict[str, Key] = {}
    for name in dict.fromkeys((MAIN_CONFIG, config)):
        node = _load(folders, name)
        known = {key: value for key, value in node.items() if key not in ("hydra", *choices)}
        keys.update(_keys(known, Root))
    for group, choice in choices.items():
        values, target = _settings(folders, group, choice)
        cls = _find(target)
        keys.update({f"{group}.{key}": value for key, value in _keys(values, cls).items()})
    if config == EVAL_CONFIG:
        for key in ("prompt", "prompts", "limit"):  # the benchmark's
            keys.pop(key, None)
    keys["hydra.run.dir"] = Key("the run's folder")
    keys["hydra.sweep.dir"] = Key("the folder of a sweep")
    return keys


class _Value(NamedTuple):
    value: Any
    text: str


def _settings(folders: Sequence[Path], group: str, choice: str) -> tuple[dict[str, _Value], str]:
    """The keys of a choice, those of the files that it builds on first, and its class."""
    node = _load(folders, f"{group}/{choice}")
    below = node.pop("defaults", _Value([], "")).value
    values: dict[str, _Value] = {}
    target = ""
    for entry in below if isinstance(below, list) else []:
        if isinstance(entry, str) and entry != "_self_":
            inherited, target = _settings(folders, group, entry)
            values.update(inherited)
    values.update(node)
    target = str(values.pop("_target_", _Value(target, "")).value)
    return values, target


def _load(folders: Sequence[Path], name: str) -> dict[str, _Value]:
    """Key -> value and comment of a yaml file; mappings within have their own as values."""
    import yaml

    for folder in folders:
        path = folder / f"{name}.yaml"
        if path.is_file():
            text = path.read_text(encoding="utf-8")
            node = yaml.compose(text, Loader=yaml.SafeLoader)
            if isinstance(node, yaml.MappingNode):
                return _read(node, text.splitlines(), yaml.SafeLoader(""))
    return {}


def _read(node: Any, lines: Sequence[str], loader: Any) -> dict[str, _Value]:
    values: dict[str, _Value] = {}
    for key, value in node.value:
        comment = re.search(r"\s#\s*(.*)$", lines[key.start_mark.line])
        block = value.id == "mapping" and not value.flow_style
        inner = _read(value, lines, loader) if block else loader.construct_object(value, deep=True)
        values.setdefault(str(key.value), _Value(inner, comment[1] if comment else ""))
    return values


def _keys(values: Mapping[str, _Value], cls: Any) -> dict[str, Key]:
    """Dotted keys of a mapping whose class is ``cls``."""
    hints = _hints(cls)
    keys: dict[str, Key] = {}
    for name, (value, text) in values.items():
        if isinstance(value, dict) and value and isinstance(next(iter(value.values())), _Value):
            within = dict(value)
            target = within.pop("_target_", None)
            inner = _find(str(target.value)) if target else hints.get(name)
            for key, item in _keys(within, inner).items():
                keys[f"{name}.{key}"] = item
        elif name not in ("_target_", "defaults"):
            keys[name] = Key(text, tuple(dict.fromkeys(_values(hints.get(name), value))))
    return keys


def _values(hint: Any, default: Any) -> Iterator[str]:
    """The words of a type annotation: of Literal, of bool, and of unions of them."""
    if typing.get_origin(hint) is Literal:
        yield from (str(each) for each in typing.get_args(hint))
    elif hint is bool or (hint is None and isinstance(default, bool)):
        yield from ("true", "false")
    elif typing.get_origin(hint) not in (list, tuple, dict):
        for part in typing.get_args(hint):
            yield from _values(part, None)


def _find(target: str) -> Any:
    """The class that a yaml file names, if it is glass's own."""
    import importlib

    module, _, name = target.rpartition(".")
    if not module.startswith(_OWN):
        return None
    try:
        return getattr(importlib.import_module(module), name, None)
    except ImportError:
        return None


def _hints(cls: Any) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls) if isinstance(cls, type) else {}
    except NameError:  # a type that is imported for the type checker alone
        return {}
