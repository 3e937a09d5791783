"""What the word at the cursor may become: commands, options, groups, keys, values, files."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from glass_cli.common.paths import EVAL_CONFIG, MAIN_CONFIG, conf_dir
from glass_cli.config.command_line import EXPERIMENT, FREE_TEXT, hydra_options
from glass_cli.config.listing import choices, defaults, groups
from glass_cli.config.settings import DEVICES, GROUPS, MORE_GROUPS

HYDRA_COMMANDS = {
    "sample": MAIN_CONFIG,
    "sweep": MAIN_CONFIG,
    "eval": EVAL_CONFIG,
    "plan": EVAL_CONFIG,
}
SCORE_KEYS = ("metrics", "device", "dtype", "wandb.mode")  # settings that `glass score` takes
# The words that a command takes first, in place of settings.
ARGUMENTS = {"completion": ("bash", "zsh", "fish"), "reproduce": ("embedded",)}
_PATH_ENDS = ("path", "dir", "prompts", "lora", "file")


class Command(NamedTuple):
    """A command as completion needs it: its line of help, its options and theirs."""

    text: str
    options: Mapping[str, str]


class Candidate(NamedTuple):
    """A word; ``more``: it goes on, so that no space belongs after it."""

    word: str
    text: str = ""
    more: bool = False


def candidates(words: Sequence[str], commands: Mapping[str, Command]) -> list[Candidate]:
    """What the last of ``words``, which follow `glass`, may become; it may be empty.

    commands: name -> command.
    """
    *before, word = words or [""]
    if not before:
        matching = [Candidate(name, command.text) for name, command in commands.items()]
        return _beginning(matching, word)
    name, *before = before
    command = commands.get(name)
    if command is None:
        return []
    if word.startswith("-"):
        hydra = dict.fromkeys(hydra_options(), "") if name in HYDRA_COMMANDS else {}
        options = {**hydra, **command.options}
        return _beginning([Candidate(option, text) for option, text in options.items()], word)
    if before and before[-1] in (*hydra_options(), "--config-dir", "-cd"):
        values = hydra_options().get(before[-1], ())
        if values:
            return _beginning([Candidate(value) for value in values], word)
        if before[-1] in ("-cd", "--config-dir"):
            return list(_paths("", word, folders=True))
    folders = _folders(before)
    if name == "reproduce" and before and before[-1] in ("--only", "--benchmark"):
        return _beginning([Candidate(value) for value in _parts_of_it(before[-1], folders)], word)
    if name in ARGUMENTS and not before:
        return _beginning([Candidate(argument) for argument in ARGUMENTS[name]], word)
    if name == "ls":
        return _beginning([Candidate(group) for group in groups(folders)], word)
    key, equals, value = word.partition("=")
    if name == "score" and key in SCORE_KEYS and equals:
        return _values("sample", key, value, before, folders)
    if name not in HYDRA_COMMANDS:
        keys = SCORE_KEYS if name == "score" and word else ()
        offered = [Candidate(f"{key}=", more=True) for key in keys]
        return [*_paths("", word), *_beginning(offered, word)]
    if equals:
        return _values(name, key, value, before, folders)
    return _keys(name, word, before, folders)


def _parts_of_it(option: str, folders: Sequence[Path]) -> list[str]:
    """What `glass reproduce` can be narrowed to by an option."""
    if option == "--benchmark":
        return ["compose", "geneval"]
    names = (name.partition("/") for name in choices(EXPERIMENT, folders))
    return [name for folder, _, name in names if folder in ARGUMENTS["reproduce"]]


def _keys(
    command: str, word: str, before: Sequence[str], folders: Sequence[Path]
) -> list[Candidate]:
    """Groups and keys as far as the next dot."""
    from glass_cli.commands.settings_tree import tree

    given = {each.partition("=")[0] for each in before}
    chosen = _chosen(command, before, folders)
    known = dict.fromkeys((*_groups(command, folders), "hydra/launcher", "hydra/sweeper"), "")
    known.update({k: key.text for k, key in tree(HYDRA_COMMANDS[command], chosen, folders).items()})
    keys: dict[str, Candidate] = {}
    for key, text in known.items():
        if key.startswith(word) and key not in given:
            head, dot, _ = key[len(word) :].partition(".")
            whole = f"{word}{head}{dot or '='}"
            keys.setdefault(whole, Candidate(whole, "" if dot else text, more=True))
    return list(keys.values())


def _values(
    command: str, key: str, value: str, before: Sequence[str], folders: Sequence[Path]
) -> list[Candidate]:
    """What a key may be set to; after a comma, one more value of a sweep."""
    from glass_cli.commands.settings_tree import tree

    if key in FREE_TEXT:
        return []
    if key.rpartition(".")[2].endswith(_PATH_ENDS):
        return list(_paths(f"{key}=", value, folders=key.endswith("dir")))
    done, comma, last = value.rpartition(",")
    head, given = f"{key}={done}{comma}", done.split(",")
    listed: dict[str, str] = {}
    if key == "metrics":
        head = f"{head}[" if not comma else head
        last = last.removeprefix("[")
        ending = "]"
        given = [name.strip("[]") for name in given]
        listed = {k: v for k, v in choices("reward", folders).items() if k not in given}
        values = [Candidate(f"{head}{name}{ending}", text) for name, text in listed.items()]
        return [each for each in values if each.word.startswith(f"{head}{last}")]
    if key in _groups(command, folders) or key.startswith("hydra/"):
        listed = choices(key, folders)
    elif key == "device":
        listed = dict.fromkeys(DEVICES, "")
    else:
        chosen = _chosen(command, before, folders)
        here = tree(HYDRA_COMMANDS[command], chosen, folders).get(key)
        listed = dict.fromkeys(here.values if here else (), "")
    return _named(head, last, {k: v for k, v in listed.items() if k not in given})


def _named(head: str, word: str, listed: Mapping[str, str]) -> list[Candidate]:
    """Those that begin as ``word`` does; of those in folders, the folders first."""
    named: dict[str, Candidate] = {}
    for name, text in listed.items():
        if name.startswith(word):
            folder, slash, _ = name[len(word) :].partition("/")
            whole = f"{head}{word}{folder}{slash}"
            named.setdefault(whole, Candidate(whole, "" if slash else text, more=bool(slash)))
    return list(named.values())


def _groups(command: str, folders: Sequence[Path]) -> list[str]:
    known = [*GROUPS, *MORE_GROUPS, *(g for g in groups(folders) if g not in MORE_GROUPS)]
    return [g for g in dict.fromkeys(known) if g != "benchmark" or command == "eval"]


def _chosen(command: str, before: Sequence[str], folders: Sequence[Path]) -> dict[str, str]:
    """Group -> choice: the defaults, those of an experiment, those on the command line."""
    known = _groups(command, folders)
    typed = dict(each.split("=", 1) for each in before if "=" in each)
    chosen = defaults(folders[0])
    for folder in folders:
        path = folder / EXPERIMENT / f"{typed.get(EXPERIMENT)}.yaml"
        if path.is_file():
            chosen.update(_overridden(path))
    chosen.update({key: value.partition(",")[0] for key, value in typed.items() if key in known})
    decided = {"benchmark": "plan"} if command == "plan" else {}
    return decided | {
        key: value
        for key, value in chosen.items()
        if key in known and key != EXPERIMENT and value != "null"
    }


def _overridden(path: Path) -> dict[str, str]:
    """Group -> choice, as an experiment's defaults list has them."""
    import yaml

    node = yaml.safe_load(path.read_text(encoding="utf-8"))
    entries = node.get("defaults", []) if isinstance(node, dict) else []
    overridden: dict[str, str] = {}
    for entry in entries:
        if isinstance(entry, dict):
            for key, value in entry.items():
                overridden[str(key).removeprefix("override ").lstrip("/")] = str(value)
    return overridden


def _folders(before: Sequence[str]) -> list[Path]:
    """The folders of yaml files: glass's own, and one that an option names."""
    folders = [conf_dir()]
    for i, word in enumerate(before):
        option, equals, value = word.partition("=")
        if option in ("-cd", "--config-dir"):
            named = value if equals else "".join(before[i + 1 : i + 2])
            folders.append(Path(named).expanduser())
    return [folder for folder in folders if folder.is_dir()]


def _paths(head: str, word: str, folders: bool = False) -> Iterator[Candidate]:
    """Files and folders whose names begin as ``word`` does; folders end in a slash."""
    typed, slash, last = word.rpartition("/")
    place = Path(f"{typed}{slash}" or ".").expanduser()
    try:
        entries = sorted(os.scandir(place), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if not entry.name.startswith(last) or (entry.name.startswith(".") and not last):
            continue
        if entry.is_dir():
            yield Candidate(f"{head}{typed}{slash}{entry.name}/", more=True)
        elif not folders:
            yield Candidate(f"{head}{typed}{slash}{entry.name}")


def _beginning(several: Sequence[Candidate], word: str) -> list[Candidate]:
    return [each for each in several if each.word.startswith(word)]
