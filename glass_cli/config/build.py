"""From a yaml node to a checked settings object.

Every group yaml names a dataclass in `_target_`. `build` checks each value against the type
annotation of its field, then calls the class, whose `__post_init__` checks the rest. Settings
modules import nothing heavy, so a bad value is reported before torch is loaded.
"""

from __future__ import annotations

import dataclasses
import importlib
import importlib.util
import math
import types
import typing
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Literal, Union

from glass_cli.common.errors import GlassError, near, one_line, shown
from glass_cli.common.files import why
from glass_cli.common.messages import describe as describe_error
from glass_cli.config.contracts import CONTRACTS, OURS, check_class, check_instance

# of a size: beyond it a list of times or of pictures alone would fill the memory
MOST = 1_000_000
_UNBOUNDED = ("seed", "limit")


class _Mismatch(Exception):
    """A value does not fit a type hint; the caller says so."""


def find_class(target: str, where: str) -> Callable[..., Any]:
    """Imports what `_target_` names. Raises GlassError, which names the key `where`."""
    module, _, name = target.rpartition(".")
    if not module:
        raise GlassError(f"{where}: there is no {target}; correct _target_ in its yaml")
    try:
        imported = importlib.import_module(module)
    except Exception as error:  # a module of the user's may raise anything
        advice = "install what is missing, or correct that module or _target_ in its yaml"
        if _is_here(module):
            advice = "it is in this folder, where `python -m glass_cli` looks and `glass` does not"
        raise GlassError(
            f"{where}: cannot import {target} ({describe_error(error)}); {advice}"
        ) from error
    if not callable(getattr(imported, name, None)):
        raise GlassError(f"{where}: there is no {target}; correct _target_ in its yaml")
    target_class: Callable[..., Any] = getattr(imported, name)
    return target_class


def _is_here(module: str) -> bool:
    """Whether Python does not find a module although it is in this folder."""
    top = module.partition(".")[0]
    here = Path(f"{top}.py").is_file() or Path(top).is_dir()
    return here and importlib.util.find_spec(top) is None


def build(node: Any, where: str, group: str | None = None) -> Any:
    """The object that a plain mapping with `_target_` describes, every field checked.

    where: the key the mapping stands under (`sampler`), for messages.
    group: whose contract the object keeps to; None where `where` names it, if anything does.

    Raises GlassError.
    """
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise GlassError(f"{where} needs a choice; see glass ls {where.partition('.')[0]}")
    target = find_class(str(node["_target_"]), where)
    values = {str(key): value for key, value in node.items() if key != "_target_"}
    check_class(target, where)
    settings = build_class(target, values, where)
    group = group or where
    if group in CONTRACTS:
        check_instance(settings, group, where)
    return settings


def build_class(target: Callable[..., Any], values: Mapping[str, Any], where: str = "") -> Any:
    """Calls `target` with `values`, whose names and types are checked if it is a dataclass.

    where: the key that the values stand under, for messages. Raises GlassError.
    """
    prefix = f"{where}." if where else ""
    kwargs: dict[str, Any]
    if dataclasses.is_dataclass(target):
        fields = {f.name: f for f in dataclasses.fields(target) if f.init}
        for key in values:
            if key not in fields:
                known = [f"{prefix}{name}" for name in fields]
                hint = near(f"{prefix}{key}", known) if known else ""
                hint = hint or f"; known here: {', '.join(known) or 'nothing'}"
                raise GlassError(f"unknown key {prefix}{key}{hint}")
        for name, field in fields.items():
            unset = field.default is field.default_factory is dataclasses.MISSING
            unset = unset or _is_from_protocol(field, typing.cast(type, target))
            if unset and values.get(name, "???") == "???":  # a prompt may well be ???
                raise GlassError(f"{prefix}{name} has no value; set it with {prefix}{name}=VALUE")
        hints = _hints(typing.cast(type, target))
        kwargs = {k: convert(v, hints.get(k, Any), f"{prefix}{k}") for k, v in values.items()}
        if target.__module__.startswith(OURS):
            _check_sizes(kwargs, prefix)
    else:
        kwargs = {k: convert(v, Any, f"{prefix}{k}") for k, v in values.items()}
    try:
        return target(**kwargs)
    except ValueError as error:
        message = one_line(error)
        named = not where or message.startswith((f"{where}.", f"{where}=", f"{where}:"))
        raise GlassError(message if named else f"{where}: {message}") from error
    except TypeError as error:
        raise GlassError(f"{where or 'the settings'}: {one_line(error)}") from error
    except OSError as error:  # a path that cannot be looked at: too long, or without permission
        keys = [k for k, v in values.items() if isinstance(v, str) and v == error.filename]
        key = f"{prefix}{keys[0]}={shown(error.filename)}" if keys else where or "the settings"
        raise GlassError(f"{key} cannot be looked at: {why(error)}; name another") from error
    except Exception as error:
        if target.__module__.startswith(OURS):
            raise
        raise GlassError(
            f"{where}: {target.__module__}.{target.__qualname__} raised {describe_error(error)}"
        ) from error


def _check_sizes(values: Mapping[str, Any], prefix: str) -> None:
    """Raises GlassError for a whole number that no size can be."""
    for key, value in values.items():
        for number in value if isinstance(value, (list, tuple)) else [value]:
            if isinstance(number, int) and number > MOST and key not in _UNBOUNDED:
                raise GlassError(f"{prefix}{key} must be at most {MOST} (got {shown(number)})")


def _is_from_protocol(field: dataclasses.Field[Any], cls: type) -> bool:
    """Whether a field has no default of its own, and only that of a Protocol under its name."""
    classes = [base for base in cls.__mro__ if dataclasses.is_dataclass(base)]
    own = any(field.name in vars(base) for base in classes)
    return field.default is not dataclasses.MISSING and not own


def _hints(cls: type) -> dict[str, Any]:
    try:
        return typing.get_type_hints(cls)
    except NameError:
        # A name imported under TYPE_CHECKING only: check the fields that can be resolved.
        hints: dict[str, Any] = {}
        for base in reversed(cls.__mro__):
            space = vars(importlib.import_module(base.__module__))
            for name, note in vars(base).get("__annotations__", {}).items():
                try:
                    hints[name] = eval(note, dict(space)) if isinstance(note, str) else note
                except NameError:
                    hints[name] = Any
        return hints


def convert(value: Any, hint: Any, where: str) -> Any:
    """`value` as the type `hint` asks: lists become tuples, whole numbers floats, where asked.

    Raises GlassError: `sampler.order must be one of 1, 2 (got 5)`.
    """
    try:
        return _fit(value, hint, where)
    except _Mismatch:
        blank = isinstance(value, str) and not value.strip()
        allowed = [str(literal) for literal in _literals(hint)]
        close = near(value, allowed) if isinstance(value, str) else ""
        got = repr(value) if blank else shown(value)
        each = _sweep_of(value, hint, where)
        raise GlassError(f"{where} must be {describe(hint)} (got {got}){close}{each}") from None


def _sweep_of(values: Any, hint: Any, where: str) -> str:
    """What runs each of a list of values that fit one by one; empty where they do not."""
    if not isinstance(values, (list, tuple)) or len(values) < 2:
        return ""
    try:
        for value in values:
            _fit(value, hint, where)
    except (_Mismatch, GlassError):
        return ""
    if where == "prompt":  # in which a comma is text
        return "; prompts=[...] takes several"
    return f"; glass sweep {where}={','.join(map(str, values))} runs each"


def _fit(value: Any, hint: Any, where: str) -> Any:
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if isinstance(value, Mapping) and "_target_" in value:
        built = build(value, where)
        # Any is a class from Python 3.11 on; a Protocol's members are checked by build
        checkable = isinstance(hint, type) and hint is not Any and not _is_protocol(hint)
        if checkable and not isinstance(built, hint):
            raise GlassError(f"{where}: {value['_target_']} is not a {hint.__name__}")
        return built
    if hint is Any or _is_protocol(hint):
        return value
    if origin is Literal:
        for literal in args:
            if literal == value and isinstance(literal, bool) == isinstance(value, bool):
                return literal
    elif origin in (Union, types.UnionType):
        for option in args:
            try:
                return _fit(value, option, where)
            except _Mismatch:
                continue
    elif origin in (list, tuple) or hint in (list, tuple):
        return _fit_sequence(value, origin or hint, args, where)
    elif origin is dict or hint is dict:
        if isinstance(value, Mapping):
            item = args[1] if args else Any
            return {key: convert(v, item, f"{where}.{key}") for key, v in value.items()}
    elif dataclasses.is_dataclass(hint):
        if isinstance(hint, type) and isinstance(value, hint):
            return value
        if isinstance(value, Mapping):
            return build_class(typing.cast(type, hint), {str(k): value[k] for k in value}, where)
    else:
        return _fit_scalar(value, hint)
    raise _Mismatch


def _is_protocol(hint: Any) -> bool:
    return bool(getattr(hint, "_is_protocol", False))


def _fit_sequence(value: Any, kind: type, args: tuple[Any, ...], where: str) -> Any:
    if not isinstance(value, (list, tuple)):
        raise _Mismatch
    fixed = kind is tuple and bool(args) and Ellipsis not in args
    if fixed and len(value) != len(args):
        raise _Mismatch
    items = args if fixed else [args[0] if args else Any] * len(value)
    return kind(
        convert(v, h, f"{where}[{i}]") for i, (v, h) in enumerate(zip(value, items, strict=True))
    )


def _fit_scalar(value: Any, hint: Any) -> Any:
    if hint in (None, type(None)):
        if value is None:
            return None
    elif hint is float:
        number = isinstance(value, (int, float)) and not isinstance(value, bool)
        if number and not math.isnan(value):
            return float(value)
    elif hint is int:
        if isinstance(value, int) and not isinstance(value, bool):
            return value
    elif hint is Path:
        if isinstance(value, str):
            return Path(value)
    elif not isinstance(hint, type) or isinstance(value, hint):
        return value  # a hint this checker does not know is left to the class
    raise _Mismatch


def _literals(hint: Any) -> list[Any]:
    if typing.get_origin(hint) is Literal:
        return list(typing.get_args(hint))
    return [literal for part in typing.get_args(hint) for literal in _literals(part)]


_PLAIN = {
    int: "a whole number",
    float: "a number",
    bool: "true or false",
    str: "text",
    Path: "a path",
    None: "null",
    type(None): "null",
    list: "a list",
    tuple: "a list",
    dict: "key=value settings",
}


def describe(hint: Any) -> str:
    """A type hint in plain English, for messages."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is Literal:
        return ("one of " if len(args) > 1 else "") + ", ".join(str(literal) for literal in args)
    if origin in (Union, types.UnionType):
        return " or ".join(describe(part) for part in args)
    if origin is tuple and args and Ellipsis not in args:
        return f"a list of {len(args)}: " + ", ".join(describe(part) for part in args)
    if origin in (list, tuple) and args:
        return f"a list, each {describe(args[0])}"
    return _PLAIN.get(origin or hint, "key=value settings")
