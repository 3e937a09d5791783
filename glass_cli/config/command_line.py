"""The words after `glass sample`: Hydra's own flags, and `key=value` overrides.

Free text is quoted here, so that a prompt needs no escaping: commas, quotes, `=`, brackets, `#`,
`${`, backslashes and line ends reach the run as they were typed.
"""

from __future__ import annotations

import argparse
import dataclasses
import re
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple, NoReturn

from glass_cli.common.errors import GlassError, near
from glass_cli.common.paths import MAIN_CONFIG
from glass_cli.config.settings import GROUPS, MORE_GROUPS, Root

FREE_TEXT = ("prompt", "negative_prompt")
INFO_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_QUOTED_LIST = re.compile(rf"\s*(?:{_QUOTED.pattern})(?:\s*,\s*(?:{_QUOTED.pattern}))+\s*", re.S)
# mappings of the user's own keys: Hydra would refuse one that the yaml lacks, but for ++
_OPEN = re.compile(r"(?:reward\.(?:terms|arguments)|model\.(?:arguments|quantization))(?:\..+)?")
_SWEEP_CALL = re.compile(r"(?:choice|shuffle|sort)\(.*\)", re.DOTALL)


class Words(NamedTuple):
    """The command line of one run or sweep, read but not yet checked."""

    overrides: list[str]  # key=value, free text quoted
    flags: list[str]  # for Hydra, in front of the overrides
    sweep: bool  # several jobs (-m, or `glass sweep`)
    shows: bool  # --cfg, --info or --hydra-help: prints, runs nothing
    config_dir: Path | None  # the user's own folder of yaml files
    config_name: str

    def for_hydra(self, extra: Sequence[str] = ()) -> list[str]:
        """The arguments to give `hydra.main`; `extra` are further overrides."""
        return [*self.flags, *self.overrides, *extra]


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        raise GlassError(f"{message}; see glass sample --help")


def _parser(config: str = MAIN_CONFIG) -> _Parser:
    parser = _Parser(prog="glass", add_help=False, allow_abbrev=False)
    parser.add_argument("overrides", nargs="*")
    parser.add_argument("-m", "--multirun", action="store_true")
    parser.add_argument("-r", "--run", action="store_true")
    parser.add_argument("-c", "--cfg", choices=["job", "hydra", "all"])
    parser.add_argument("--resolve", action="store_true")
    parser.add_argument("-p", "--package")
    parser.add_argument("-i", "--info", choices=INFO_TOPICS)
    parser.add_argument("--hydra-help", action="store_true")
    parser.add_argument("-cd", "--config-dir")
    parser.add_argument("-cn", "--config-name", default=config)
    return parser


def _fill_info(words: Sequence[str]) -> list[str]:
    """`--info` may stand alone; give it the topic `all` then, so that it eats no other word."""
    filled: list[str] = []
    for index, word in enumerate(words):
        filled.append(word)
        following = words[index + 1] if index + 1 < len(words) else ""
        if word in ("-i", "--info") and following not in INFO_TOPICS:
            filled.append("all")
    return filled


def read_words(words: Sequence[str], sweep: bool = False, config: str = MAIN_CONFIG) -> Words:
    """Read the command line; `sweep` is True for `glass sweep`. Raises GlassError.

    `config` is the file to compose where `--config-name` names no other.
    """
    args, unknown = _parser(config).parse_known_intermixed_args(_fill_info(words))
    if unknown:
        raise _unknown_option(unknown[0], words)
    if args.config_dir and not Path(args.config_dir).is_dir():
        raise GlassError(f"--config-dir {args.config_dir} is not a folder; check its name")
    shows = bool(args.cfg or args.info or args.hydra_help)
    if args.resolve and not args.cfg:
        raise GlassError("--resolve belongs to --cfg; write --cfg job --resolve")
    several = (sweep or args.multirun) and not args.run
    flags: list[str] = []
    if args.config_dir:
        flags.append(f"--config-dir={Path(args.config_dir).absolute()}")
    flags.append(f"--config-name={args.config_name}")
    for name in ("cfg", "package", "info"):
        if getattr(args, name):
            flags.append(f"--{name}={getattr(args, name)}")
    for name in ("resolve", "hydra_help"):
        if getattr(args, name):
            flags.append("--" + name.replace("_", "-"))
    if several and not shows:
        flags.append("--multirun")
    return Words(
        overrides=[quote_word(word, several) for word in args.overrides],
        flags=flags,
        sweep=several,
        shows=shows,
        config_dir=Path(args.config_dir).absolute() if args.config_dir else None,
        config_name=args.config_name,
    )


def _unknown_option(option: str, words: Sequence[str]) -> GlassError:
    name, _, value = option.lstrip("-").partition("=")
    known = [o for action in _parser()._actions for o in action.option_strings]
    keys = [*(f.name for f in dataclasses.fields(Root)), *GROUPS, *MORE_GROUPS, "metrics"]
    setting = name.replace("-", "_")
    hint = near(option.partition("=")[0], known)
    if option.startswith("--") and (not hint or near(setting, keys)):
        place = words.index(option) if option in words else -1
        following = words[place + 1] if 0 <= place < len(words) - 1 else "VALUE"
        hint = f"; settings are written key=value: {setting}={value or following}"
    return GlassError(f"unknown option {option}{hint or '; see glass sample --help'}")


def quote_word(word: str, sweep: bool = False) -> str:
    """`word` with the value of a free-text key quoted for Hydra; any other word is unchanged.

    Values already in quotes and `choice(...)` pass through, and in a sweep a comma-separated list
    of quoted values too. `prompts=` names a file: its value is quoted as well unless it is a list.
    `reward=null` means that there is none. New keys may be set in mappings that are open to them.
    """
    key, equals, value = word.partition("=")
    if not equals:
        return word
    bare = key.lstrip("+")
    if bare in FREE_TEXT:
        if bare == "negative_prompt" and value == "null":
            return f"{key}=''"  # no negative prompt, not the word null
        passes = _QUOTED.fullmatch(value) or _SWEEP_CALL.fullmatch(value)
        if passes or (sweep and _QUOTED_LIST.fullmatch(value)):
            return word
        return f"{key}={quoted(value)}"
    if bare == "prompts" and value not in ("", "null"):
        passes = _QUOTED.fullmatch(value) or _SWEEP_CALL.fullmatch(value)
        if passes or value.startswith("[") or (sweep and "," in value):
            return word
        return f"{key}={quoted(value)}"
    if "." not in key and value == "null" and bare in (*GROUPS, *MORE_GROUPS):
        return f"~{bare}"  # Hydra takes no null for a group: it is removed
    return f"++{word}" if _OPEN.fullmatch(key) else word


def quoted(text: str) -> str:
    """`text` as a quoted string of Hydra's grammar that means exactly `text`.

    OmegaConf reads `${` as a reference to another key, also inside quotes: it is escaped by a
    backslash, and backslashes right before it are doubled.
    """
    from hydra.core.override_parser.types import Quote, QuotedString

    escaped = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    result: str = QuotedString(escaped, Quote.single).with_quotes()
    return result
