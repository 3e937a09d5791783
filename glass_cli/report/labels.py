"""What tells runs apart: the choices and settings in which they differ."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import yaml

from glass_cli.common.files import json_text
from glass_cli.common.paths import conf_dir
from glass_cli.output.identity import identity
from glass_cli.output.results import Run

GROUPS = ("benchmark", "model", "sampler", "steering", "reward")
# How many prompts and images there are does not change what one shows.
_SIZES = ("limit", "benchmark.limit", "benchmark.images")
_VALUE_WIDTH = 40


def deciding_settings(run: Run) -> dict[str, Any]:
    """Dotted key -> value of all that decides what the run's pictures show, but for the seed."""
    settings = identity(run.config, (*_SIZES, "seed"))
    del settings["glass_version"]  # that of the reader
    return settings


def choice_name(run: Run, group: str) -> str | None:
    """The name of a group's choice, such as glass for the sampler; None where there is none.

    The one that was typed, or the file of glass's own whose settings are the run's; the name of
    the class where no file is nearest to them.
    """
    settings = run.config.get(group)
    if not isinstance(settings, Mapping) or "_target_" not in settings:
        return None
    for word in reversed(run.overrides):
        if typed := re.fullmatch(rf"\+*{group}=(\w+)", word):
            return typed[1]
    differences = {
        name: sum(settings.get(key) != value for key, value in own.items())
        for name, own in _files(group).items()
        if own.get("_target_") == settings["_target_"]
    }
    nearest = [name for name, n in differences.items() if n == min(differences.values())]
    return nearest[0] if len(nearest) == 1 else str(settings["_target_"]).rpartition(".")[2]


@cache
def _files(group: str) -> dict[str, dict[str, Any]]:
    """Name -> settings of the choices that come with glass, as they stand in their files."""
    return {p.stem: _settings_in(p) for p in sorted((conf_dir() / group).glob("*.yaml"))}


def _settings_in(path: Path) -> dict[str, Any]:
    """The settings of a choice, after those of the files of its group that it is based on.

    Nothing is resolved: what refers to other groups does not tell choices of one group apart.
    """
    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    settings: dict[str, Any] = {}
    for base in node.pop("defaults", []):
        if isinstance(base, str) and base != "_self_":
            settings |= _settings_in(path.with_name(f"{base}.yaml"))
    node = node.get(path.parent.name, node)  # of a file that sets other groups beside
    return settings | {k: v for k, v in node.items() if "${" not in str(v)}


def labels(runs: Sequence[Run], seeds: bool = False) -> list[str]:
    """A label for each run, such as "sde, lam=0.5": what differs between them.

    seeds: whether the seed counts among the settings.

    Runs that differ in nothing that decides their pictures are called by their prompts, and where
    these are the same by the names of their folders. A lone run is called by its sampler and
    steering.
    """
    if len(runs) == 1:
        names = (choice_name(runs[0], group) for group in ("sampler", "steering"))
        return [", ".join(name for name in names if name)]
    chosen = [[*names] for names in zip(*_choices(runs), strict=True)] or [[] for _ in runs]
    varying = _varying_settings(runs, seeds)
    whole = [", ".join(c + v) for c, v in zip(chosen, varying, strict=True)]
    # what is not set says little where the rest tells the runs apart
    set_alone = [[part for part in parts if not part.endswith("=null")] for parts in varying]
    brief = [", ".join(c + s) for c, s in zip(chosen, set_alone, strict=True)]
    texts = [b if b and brief.count(b) == 1 else w for b, w in zip(brief, whole, strict=True)]
    texts = _with_prompts(texts, runs)
    alike = [i for i, text in enumerate(texts) if texts.count(text) > 1]
    for i, name in zip(alike, folder_names([runs[i].folder for i in alike]), strict=True):
        texts[i] = f"{texts[i]} ({name})" if texts[i] else name
    return texts


def _with_prompts(texts: Sequence[str], runs: Sequence[Run]) -> list[str]:
    """The texts, where some are alike with the prompt or the list of prompts that differs."""
    alike = [texts.count(text) > 1 for text in texts]
    asked = [_asked(run) for run in runs]
    if len({text for text, same in zip(asked, alike, strict=True) if same}) < 2:
        return list(texts)
    return [
        ", ".join(part for part in (text, prompt) if part) if same else text
        for text, prompt, same in zip(texts, asked, alike, strict=True)
    ]


def _asked(run: Run) -> str:
    """The prompt of a run of glass sample, or its file or list of prompts; empty of glass eval."""
    if run.command != "sample":
        return ""
    prompts = run.config.get("prompts")
    return _value(run.config.get("prompt", "") if prompts is None else prompts)


def _choices(runs: Sequence[Run]) -> list[list[str]]:
    """For each group in which the runs differ, the names of their choices."""
    differing = []
    for group in GROUPS:
        names = [choice_name(run, group) for run in runs]
        if len(set(names)) > 1:
            without = "no benchmark" if group == "benchmark" else f"no {group}"
            differing.append([without if name is None else name for name in names])
    return differing


def _varying_settings(runs: Sequence[Run], seeds: bool) -> list[list[str]]:
    """For each run the settings in which it differs from others of the same choice, as text."""
    settings = [deciding_settings(run) for run in runs]
    if seeds:
        for each, run in zip(settings, runs, strict=True):
            each["seed"] = run.config.get("seed")
    chosen = {group: [choice_name(run, group) for run in runs] for group in GROUPS}
    varying: list[dict[str, str]] = [{} for _ in runs]
    for key in dict.fromkeys(key for each in settings for key in each):
        if key.endswith("._target_"):
            continue  # the choice says it
        names = chosen.get(key.partition(".")[0], [None] * len(runs))
        for each, name, more in zip(settings, names, varying, strict=True):
            alike = (s for s, other in zip(settings, names, strict=True) if other == name)
            if key in each and any(s.get(key) != each[key] for s in alike):
                more[key] = _value(each[key])
    short = _short_names(key for each in varying for key in each)
    return [[f"{short[key]}={value}" for key, value in each.items()] for each in varying]


def _short_names(keys: Iterable[str]) -> dict[str, str]:
    """The last part of each dotted key, the whole key where two have the same."""
    last = {key: key.rpartition(".")[2] for key in keys}
    return {key: end if [*last.values()].count(end) == 1 else key for key, end in last.items()}


def _value(value: Any) -> str:
    text = value if isinstance(value, str) else json_text(value).replace('"', "")
    text = " ".join(text.split())
    return text if len(text) <= _VALUE_WIDTH else text[: _VALUE_WIDTH - 3].rstrip() + "..."


def folder_names(folders: Sequence[Path]) -> list[str]:
    """Folder names that tell the runs apart, with as many parents as that takes."""
    paths = [folder.resolve() for folder in folders]
    names: list[str] = []
    for depth in range(1, max((len(path.parts) for path in paths), default=0) + 1):
        names = ["/".join(path.parts[-depth:]) for path in paths]
        if len(set(names)) == len(set(paths)):
            break
    return names
