"""The page of every setting, made from the yaml files in conf/ and the classes they name.

A new yaml file is on the page at the next build. Defaults are the composed yaml's, types are the
fields', meanings the docstrings', and ranges of numbers are found by asking the code: values are
tried until it refuses them.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import math
import re
import types
import typing
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import yaml
from docstring_text import inline, parameters
from mkdocs.structure.files import File, Files

from glass_cli.common.errors import GlassError
from glass_cli.common.paths import conf_dir
from glass_cli.config.build import build_class
from glass_cli.config.command_line import EXPERIMENT
from glass_cli.config.listing import choices, defaults, groups, headline
from glass_cli.config.settings import Root

FIRST = ("sampler", "steering", "reward", "model", "benchmark", "launcher")
INTRODUCTION = Path(__file__).with_name("settings_introduction.md")
# stand in for settings that have no default, so that the others can be tried
_FILLERS = (
    "a/b",
    "math.sqrt",
    "http://localhost/score",
    str(Path(__file__).parents[1] / "prompts.txt"),
)


def on_files(files: Files, config: Any, **_: Any) -> Files:
    """Adds settings.md."""
    files.append(File.generated(config, "settings.md", content=page()))
    return files


def page() -> str:
    """The whole page, in Markdown."""
    conf = conf_dir()
    parts: list[str] = [INTRODUCTION.read_text(encoding="utf-8"), *_top_level(conf)]
    chosen = defaults(conf)
    present = groups([conf])
    for group in [*(g for g in FIRST if g in present), *(g for g in present if g not in FIRST)]:
        parts.append(f"## {group}\n")
        if group == EXPERIMENT:
            lines = choices(group, [conf]).items()
            parts.append("".join(f"- `{group}={name}`: {line}\n" for name, line in lines))
        else:
            parts.extend(_group(group, chosen.get(group)))
    for folder in sorted((conf / "hydra").iterdir()):
        listed = [(p.stem, headline(p)) for p in sorted(folder.glob("*.yaml"))]
        if folder.name in ("launcher", "sweeper"):
            parts.append(f"## hydra/{folder.name}\n")
            parts.append("".join(f"- `hydra/{folder.name}={n}`: {line}\n" for n, line in listed))
    return "\n".join(parts)


def _top_level(conf: Path) -> Iterator[str]:
    main = yaml.safe_load((conf / "config.yaml").read_text(encoding="utf-8"))
    comments = _comments(conf / "config.yaml")
    own = {k: v for k, v in main.items() if k not in ("defaults", "hydra", "reward")}
    yield "## Top level\n"
    yield _table("", Root, own, comments)


def _group(group: str, chosen: str | None) -> Iterator[str]:
    shown: dict[Any, str] = {}
    listed = choices(group, [conf_dir()])
    # the default first: others of the same class are told by what differs from it
    for name, line in sorted(listed.items(), key=lambda item: item[0] != chosen):
        mark = ", the default" if name == chosen else ""
        yield f"### {group}={name}{mark} {{#{group}-{name}}}\n\n{line}\n"
        path = conf_dir() / group / f"{name}.yaml"
        text = path.read_text(encoding="utf-8")
        settings = _settings(group, name)
        target = _class(settings.pop("_target_", None))
        if target is None:
            yield f"```yaml\n{text.rstrip()}\n```\n"
        elif target in shown:
            first = shown[target]
            base = _settings(group, first)
            changed = {k: v for k, v in settings.items() if base.get(k) != v}
            values = ", ".join(f"`{group}.{k}={_shown(v)}`" for k, v in changed.items())
            yield f"As [{group}={first}](#{group}-{first}), with {values}.\n"
        elif settings:
            shown[target] = name
            yield _table(f"{group}.", target, settings, _comments(path))


def _settings(group: str, name: str) -> dict[str, Any]:
    """The keys of a choice, those of the choices that its defaults list names included."""
    node = yaml.safe_load((conf_dir() / group / f"{name}.yaml").read_text(encoding="utf-8")) or {}
    below = [entry for entry in node.pop("defaults", []) if isinstance(entry, str)]
    merged: dict[str, Any] = {}
    for entry in below:
        merged |= _settings(group, entry) if entry != "_self_" else {}
    return merged | node.get(group, node)


def _class(target: Any) -> type | None:
    if target is None:
        return None
    module, _, name = str(target).rpartition(".")
    found = getattr(importlib.import_module(module), name)
    return found if isinstance(found, type) else None


def _table(prefix: str, target: type, values: Mapping[str, Any], comments: dict[str, str]) -> str:
    rows = "".join(_rows(prefix, target, values, comments))
    table = f"| key | type and range | default | |\n|---|---|---|---|\n{rows}"
    return f'<div class="settings" markdown="1">\n\n{table}\n</div>\n'


def _rows(
    prefix: str, target: type, values: Mapping[str, Any], comments: dict[str, str]
) -> Iterator[str]:
    hints = typing.get_type_hints(target)
    said: dict[str, str] = {}
    for base in reversed(target.__mro__):
        if base is not object and "__doc__" in vars(base):
            own = parameters(inspect.cleandoc(vars(base)["__doc__"] or ""))
            said.update({k: v for k, v in own.items() if k not in said or "see :class:" not in v})
    for key, value in values.items():
        hint = hints.get(key, Any)
        nested = _dataclass(hint)
        if nested is not None and isinstance(value, Mapping) and kind_of(hint) != "mapping":
            inner = {k: v for k, v in value.items() if k != "_target_"}
            inner = inner or {f.name: getattr(nested(), f.name) for f in dataclasses.fields(nested)}
            yield from _rows(f"{prefix}{key}.", nested, inner, {})
            continue
        kind = kind_of(hint)
        numbers = number_range(target, values, key, hint)
        kind += f", {numbers}" if numbers else ""
        meaning = said.get(key, "")
        beside = comments.get(key, "")
        if not meaning:
            meaning = beside
        elif (null := re.search(r"\bnull\b.*", beside)) and not re.search("null|None", meaning):
            meaning = f"{meaning.removesuffix('.')}; {null[0].removesuffix('.')}."
        meaning = re.sub(r"\bNone\b", "null", inline(meaning, lambda _: None))
        cells = [f"`{prefix}{key}`", kind, f"`{_shown(value)}`", meaning]
        yield "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def _dataclass(hint: Any) -> type | None:
    options = [hint, *typing.get_args(hint)]
    return next((o for o in options if isinstance(o, type) and dataclasses.is_dataclass(o)), None)


def _comments(path: Path) -> dict[str, str]:
    """Key -> the comment that stands beside it in a yaml file, or above it."""
    text = path.read_text(encoding="utf-8")
    beside = dict(re.findall(r"^ *(\w+):[^#\n]* # (.+)$", text, re.MULTILINE))
    above = re.findall(
        r"^((?: *# .*\n)+) *(\w+):", text.partition("_target_")[2] or text, re.MULTILINE
    )
    return {key: re.sub(r"\s*# ", " ", lines).strip() for lines, key in above} | beside


def _shown(value: Any) -> str:
    if value == "???":
        return "(must be given)"
    text = yaml.safe_dump(value, default_flow_style=True, width=10_000, allow_unicode=True)
    return text.removesuffix("\n").removesuffix("\n...")


def kind_of(hint: Any) -> str:
    """A type hint in words: ``Literal["ddpm"] | float`` is "`ddpm` or a number"."""
    origin, args = typing.get_origin(hint), typing.get_args(hint)
    if origin is typing.Literal:
        return _either([f"`{value}`" for value in args])
    if origin in (typing.Union, types.UnionType):
        kinds = [kind_of(arg) for arg in args if arg is not type(None)]
        return _either([*kinds, *(["`null`"] if type(None) in args else [])])
    if origin in (list, tuple):
        inner = [kind_of(arg) for arg in args if arg is not Ellipsis]
        many = origin is list or Ellipsis in args
        words = {"whole number": "whole numbers", "number": "numbers", "text": "texts"}
        return f"list of {words.get(inner[0], inner[0])}" if many else f"[{', '.join(inner)}]"
    if isinstance(origin or hint, type) and issubclass(origin or hint, Mapping):
        return "mapping"
    names = {int: "whole number", float: "number", str: "text", bool: "`true` or `false`"}
    return names.get(hint, "any value")


def _either(words: list[str]) -> str:
    flat = list(dict.fromkeys(word for one in words for word in one.split(" or ")))
    return " or ".join([", ".join(flat[:-1]), flat[-1]]) if len(flat) > 1 else "".join(flat)


def number_range(target: type, values: Mapping[str, Any], key: str, hint: Any) -> str:
    """The numbers that a field takes, in words; "" where it takes none, or where any will do.

    Found by building the class with the yaml's values and others in place of this one.
    """
    options = {hint, *typing.get_args(hint)}
    fields = {f.name: f for f in dataclasses.fields(target)}
    free = (dataclasses.MISSING, dataclasses.MISSING)
    # null may stand for something that is put in its place before the class is built
    values = {
        k: v
        for k, v in values.items()
        if k in fields and (v is not None or (fields[k].default, fields[k].default_factory) == free)
    }
    whole = int in options
    if not whole and float not in options:
        return ""

    def taken(value: float) -> bool:
        return any(
            _builds(target, {k: _stand_in(v, filler) for k, v in values.items()} | {key: value})
            for filler in _FILLERS
        )

    small = 1 if whole else 1e-6
    marks = [-1, 0, 1, 2] if whole else [-1.0, 0.0, 1.0]
    inside = next(
        (v for v in (1, 2, 0.5, 0.05, 16, 64) if (not whole or v % 1 == 0) and taken(v)), None
    )
    if inside is None:
        return ""
    low = _end(taken, [m for m in marks if m <= inside], small, -math.inf)
    tops = [1, 1_000_000, 2**63 - 1] if whole else [1.0, 100.0]
    high = _end(taken, [m for m in reversed(tops) if m >= inside], -small, math.inf)
    return _range_in_words(low, high)


def _stand_in(value: Any, filler: str) -> Any:
    if isinstance(value, str) and value.startswith("${"):
        return None
    return filler if value == "???" else value


def _builds(target: type, values: Mapping[str, Any]) -> bool:
    try:
        build_class(target, values)
    except GlassError:
        return False
    return True


def _end(taken: Any, marks: list[float], step: float, open_end: float) -> tuple[float, bool]:
    """The outermost of ``marks`` at which the values end, and whether it is itself taken.

    open_end: what to give where values beyond all of them are taken. step: towards the inside.
    """
    beyond = 1e9 if open_end > 0 else -1e9
    if taken(int(beyond) if isinstance(step, int) else beyond):
        return open_end, True
    for mark in marks:
        if taken(mark) and not taken(mark - step):
            return mark, True
    for mark in marks:
        if not taken(mark) and taken(mark + step):
            return mark, False
    return open_end, True


def _range_in_words(low: tuple[float, bool], high: tuple[float, bool]) -> str:
    def number(value: float) -> str:
        return (
            "2^63 - 1"
            if value == 2**63 - 1
            else f"{int(value):,}"
            if value % 1 == 0
            else f"{value:g}"
        )

    bottom = top = ""
    if math.isfinite(low[0]):
        bottom = f"{number(low[0])} or more" if low[1] else f"above {number(low[0])}"
    if math.isfinite(high[0]):
        top = f"at most {number(high[0])}" if high[1] else f"below {number(high[0])}"
    if bottom and top and low[1] and high[1]:
        return f"{number(low[0])} to {number(high[0])}"
    return ", ".join(word for word in (bottom, top) if word)
