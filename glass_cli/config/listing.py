"""`glass ls`: the choices of each group, read from the folder of yaml files.

A file in conf/<group>/ is a choice; its first line, a comment, says what it is. Nothing heavy is
imported and nothing composed, so this is quick. A group listed alone is told with more words.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from glass_cli.common.errors import GlassError, near
from glass_cli.common.paths import EVAL_CONFIG, MAIN_CONFIG
from glass_cli.config.command_line import EXPERIMENT
from glass_cli.config.experiments import details, folded

# of a defaults list: "group: choice", "override /group@package: choice"
_ENTRY = re.compile(
    r"^\s*-\s+(?:override\s+|optional\s+)*/?([\w/]+)(?:@\S+)?:\s*(\S+)", re.MULTILINE
)
METRICS = "metrics"  # not a group: a list of rewards
_METRICS = """\
metrics= takes any of these, each by its name or with settings of its own, which are those of
reward=NAME (glass sample reward=NAME --cfg job shows them). They score every final picture:
    metrics='[clip]'
    metrics='[clip, {pickscore: {path: FOLDER}}, {hpsv2: {version: v2, batch: 4}}]'"""


def groups(folders: Sequence[Path]) -> list[str]:
    """The names of the groups in the given folders of yaml files."""
    names = {
        path.relative_to(folder).parts[0]
        for folder in folders
        for path in folder.glob("*/**/*.yaml")
    }
    return sorted(names - {"hydra"})


def choices(group: str, folders: Sequence[Path]) -> dict[str, str]:
    """Choice -> its one line, sorted; the first folder that has a choice wins, as in Hydra."""
    lines: dict[str, str] = {}
    for folder in folders:
        for name, path in _files(folder / group).items():
            lines.setdefault(name, headline(path))
    return dict(sorted(lines.items()))


def _files(folder: Path) -> dict[str, Path]:
    """Choice -> its file, sorted; of those in folders within, with slashes in their names."""
    paths = sorted(folder.rglob("*.yaml"))
    return {path.relative_to(folder).with_suffix("").as_posix(): path for path in paths}


def headline(path: Path) -> str:
    """The first comment of a yaml file, Hydra's `# @package` line left out."""
    for line in path.read_text(encoding="utf-8").splitlines():
        if not line.startswith("#"):
            break
        text = line.lstrip("#").strip()
        if text and not text.startswith("@package"):
            return text
    return ""


def defaults(folder: Path) -> dict[str, str]:
    """Group -> default choice, as the defaults lists of the commands' configurations say.

    Where the default model chooses a reward for itself, that one is the default.
    """
    chosen: dict[str, str] = {}
    for name in (EVAL_CONFIG, MAIN_CONFIG):
        chosen.update(_defaults_list(folder / f"{name}.yaml"))
    chosen.update(_defaults_list(folder / "model" / f"{chosen.get('model')}.yaml"))
    return chosen


def _defaults_list(path: Path) -> list[tuple[str, str]]:
    """The (group, choice) pairs of a yaml file's defaults list."""
    text = path.read_text(encoding="utf-8") if path.is_file() else ""
    block = re.search(r"^defaults:\n((?:[ \t]*(?:-.*|#.*)?\n)+)", text, re.MULTILINE)
    return _ENTRY.findall(block[1]) if block else []


def render(group: str | None, folders: Sequence[Path]) -> str:
    """The listing of one group, or of all. Raises GlassError for an unknown group.

    ``metrics`` are rewards, and what is said of one of them as such comes below.
    """
    known = groups(folders)
    if group == METRICS and "reward" in known:
        return "\n\n".join([_listing(["reward"], folders, marked=False), _METRICS])
    if group is not None and group not in known:
        hint = near(group, [*known, METRICS])
        raise GlassError(f"unknown group {group}{hint} ({', '.join(known)})")
    if group == EXPERIMENT:
        return _experiments(folders)
    names = [group] if group else known
    below = ["  * default"]
    if group == "model" and "emoji" in choices(group, folders):
        from glass_cli.models.emoji_world import vocabulary

        below.append(vocabulary())
    return "\n\n".join([_listing(names, folders), *below])


def _listing(names: Sequence[str], folders: Sequence[Path], marked: bool = True) -> str:
    """A block for each group; ``marked``: with a star at the default choice."""
    chosen = defaults(folders[0]) if marked else {}
    listed = {name: choices(name, folders) for name in names}
    if EXPERIMENT in listed:
        all_ = listed[EXPERIMENT]
        listed[EXPERIMENT] = {name: all_.get(name, "") for name in folded([*all_])}
    width = max((len(choice) for lines in listed.values() for choice in lines), default=0)
    blocks: list[str] = []
    for name, lines in listed.items():
        block = [] if len(names) == 1 else [f"{name}="]
        for choice, text in lines.items():
            mark = "*" if chosen.get(name) == choice else " "
            block.append(f"  {mark} {choice:<{width}}  {text}".rstrip())
        blocks.append("\n".join(block))
    return "\n".join(blocks)


def _experiments(folders: Sequence[Path]) -> str:
    """All experiments: for each its line, its command, and what is published of it."""
    blocks: list[str] = []
    shown: set[str] = set()
    for folder in folders:
        for name, path in _files(folder / EXPERIMENT).items():
            if name not in shown:
                shown.add(name)
                lines = [
                    f"  {name}",
                    *(f"      {line}" for line in [headline(path), *details(path)]),
                ]
                blocks.append("\n".join(lines))
    return "\n".join(blocks)
