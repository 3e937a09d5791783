"""Experiments: files of the group `experiment`, each a run's settings under one name.

They lie in folders within the group's (`experiment=paper/table1_fks_glass`), which Hydra composes
but does not search by itself.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from fnmatch import fnmatch
from pathlib import Path
from typing import TYPE_CHECKING, Any

from glass_cli.config.command_line import EXPERIMENT, CommandLine

if TYPE_CHECKING:
    from hydra.core.override_parser.types import Override

PUBLISHED = "published"  # the setting with what a paper reports
_COMMAND = "glass "  # how a comment begins that is an experiment's command
_FEW = 20  # names that a message or a listing of everything spells out


def spelled_out(overrides: Sequence[Override], options: Callable[[str], list[str]]) -> list[str]:
    """The overrides as text, each `GROUP=glob(...)` as the list of what it stands for.

    Hydra's own sweeper leaves out what lies in folders. As in a shell, a star matches no slash. One
    that stands for nothing is left as it is, to be refused.
    """
    from hydra.core.override_parser.types import Glob

    lines = []
    for override in overrides:
        value: Any = override.value()
        names: list[str] = []
        if isinstance(value, Glob):
            slashes = {pattern.count("/") for pattern in value.include}
            there = [n for n in options(override.key_or_group) if n.count("/") in slashes]
            names = value.filter(there)
        spelled = f"{override.get_key_element()}={','.join(names)}"
        lines.append(spelled if names else str(override.input_line))
    return lines


def folded(names: Sequence[str]) -> list[str]:
    """The names; where they are many, each folder of them as `FOLDER/* (number)`."""
    if len(names) <= _FEW:
        return list(names)
    inside = Counter(name.partition("/")[0] for name in names if "/" in name)
    alone = [name for name in names if "/" not in name]
    return [*alone, *(f"{folder}/* ({count})" for folder, count in sorted(inside.items()))]


def names_evaluation(line: CommandLine, conf: Path) -> bool:
    """Whether a command line asks for a benchmark, or for an experiment that has one.

    conf: the folder of yaml files beside which the user's own is searched.
    """
    folders = [conf, *([line.config_dir] if line.config_dir else [])]
    for word in line.overrides:
        key, _, value = word.lstrip("+").partition("=")
        if key.partition(".")[0] == "benchmark":
            return True
        if key == EXPERIMENT and _has_benchmark(value, folders):
            return True
    return False


def _has_benchmark(value: str, folders: Sequence[Path]) -> bool:
    """Whether a file that the value of `experiment=` names (one, several, or a glob) chooses a
    benchmark, itself or through one that it is built on."""
    patterns = [word for word in re.split(r"[(),\[\]\s]+", value) if word]
    for folder in folders:
        base = folder / EXPERIMENT
        for path in sorted(base.rglob("*.yaml")):
            name = path.relative_to(base).with_suffix("").as_posix()
            if not any(fnmatch(name, pattern) for pattern in patterns):
                continue
            text = path.read_text(encoding="utf-8")
            if re.search(r"^\s*-\s*override\s+/benchmark:", text, re.MULTILINE):
                return True
            below = re.findall(rf"^\s*-\s+/{EXPERIMENT}/([\w/]+)\s*$", text, re.MULTILINE)
            if any(_has_benchmark(other, folders) for other in below):
                return True
    return False


def details(path: Path) -> list[str]:
    """What `glass ls experiment` says of a file beside its first line: command, published figures.

    The command is a comment of the file's head; the figures are its key `published`.
    """
    import yaml

    text = path.read_text(encoding="utf-8")
    head = [line.lstrip("#").strip() for line in text.splitlines() if line.startswith("#")]
    lines = [line for line in head if line.startswith(_COMMAND)]
    published = (yaml.safe_load(text) or {}).get(PUBLISHED)
    if isinstance(published, Mapping):
        lines.append(f"published: {figures(published)}")
    return lines


def figures(published: Mapping[str, Any]) -> str:
    """What a paper reports, on one line: with the experiment's own reward, then with others."""
    parts = [_figures(published.get("values") or {})]
    for reward, values in (published.get("with_reward") or {}).items():
        parts.append(f"with reward={reward} {_figures(values)}")
    return f"{'; '.join(part for part in parts if part)} ({published.get('source')})"


def _figures(values: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:g}" for name, value in values.items())
