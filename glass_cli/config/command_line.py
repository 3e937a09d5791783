"""The arguments of `glass sample`: Hydra's own flags, and `key=value` overrides.

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

from glass_cli.common.errors import GlassError, near, nearest, shown
from glass_cli.common.paths import MAIN_CONFIG
from glass_cli.config.settings import GROUPS, MORE_GROUPS, Root

FREE_TEXT = ("prompt", "negative_prompt")
INFO_TOPICS = ("all", "config", "defaults", "defaults-tree", "plugins", "searchpath")
EXPERIMENT = "experiment"  # a group of the user's own, of which none is chosen by default

_QUOTED = re.compile(r"""'(?:[^'\\]|\\.)*'|"(?:[^"\\]|\\.)*\"""", re.DOTALL)
_QUOTED_LIST = re.compile(rf"\s*(?:{_QUOTED.pattern})(?:\s*,\s*(?:{_QUOTED.pattern}))+\s*", re.S)
# mappings of the user's own keys: Hydra would refuse one that the yaml lacks, but for ++
_OPEN = re.compile(r"(?:reward\.(?:terms|arguments)|model\.(?:arguments|quantization))(?:\..+)?")
_SWEEP_CALL = re.compile(r"(?:choice|shuffle|sort)\(.*\)", re.DOTALL)
_CHOSEN = (*GROUPS, *MORE_GROUPS, EXPERIMENT)
# what other programs call it: a path of their own, or a key of glass
_FOLDER_NAMES = ("o", "out", "output", "outputs", "outdir", "out_dir", "output_dir", "folder")
OTHER_NAMES = {
    **dict.fromkeys(_FOLDER_NAMES, "hydra.run.dir"),
    "n": "particles",
    "num_images": "particles",
    "num_particles": "particles",
    "batch_size": "micro_batch",
    "nfe": "calls",
    "num_inference_steps": "calls",
    "guidance_scale": "model.guidance",
    "scheduler": "sampler",
}


class CommandLine(NamedTuple):
    """The command line of one run or sweep, read but not yet checked.

    overrides: key=value, free text quoted.
    flags: for Hydra, in front of the overrides.
    sweep: several jobs (-m, or `glass sweep`).
    shows: --cfg, --info or --hydra-help, which print and run nothing.
    config_dir: the user's own folder of yaml files.
    config_name: the file that is composed.
    """

    overrides: list[str]
    flags: list[str]
    sweep: bool
    shows: bool
    config_dir: Path | None
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


def hydra_options() -> dict[str, tuple[str, ...]]:
    """Hydra's options -> the values that each takes, where those are few."""
    return {
        option: tuple(action.choices or ())
        for action in _parser()._actions
        for option in action.option_strings
    }


def _fill_info(arguments: Sequence[str]) -> list[str]:
    """`--info` may stand alone; it gets the topic `all` then, so that it takes no other argument
    for its topic."""
    filled: list[str] = []
    for index, argument in enumerate(arguments):
        filled.append(argument)
        following = arguments[index + 1] if index + 1 < len(arguments) else ""
        if argument in ("-i", "--info") and following not in INFO_TOPICS:
            filled.append("all")
    return filled


def read_arguments(
    arguments: Sequence[str], sweep: bool = False, config: str = MAIN_CONFIG
) -> CommandLine:
    """Reads the command line. Raises GlassError.

    sweep: True for `glass sweep`.
    config: the file to compose where `--config-name` names no other.
    """
    args, unknown = _parser(config).parse_known_intermixed_args(_fill_info(arguments))
    if unknown:
        raise _unknown_option(unknown[0], arguments)
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
    return CommandLine(
        overrides=[quote_override(argument, several) for argument in args.overrides],
        flags=flags,
        sweep=several,
        shows=shows,
        config_dir=Path(args.config_dir).absolute() if args.config_dir else None,
        config_name=args.config_name,
    )


def _unknown_option(option: str, arguments: Sequence[str]) -> GlassError:
    """What an option that does not exist may have meant: another one, or a setting."""
    name, equals, value = option.lstrip("-").partition("=")
    fields = {field.name: field for field in dataclasses.fields(Root)}
    settings = [*fields, *_CHOSEN, "metrics", *OTHER_NAMES]
    setting = name.replace("-", "_")
    known = ["--fresh", *(o for action in _parser()._actions for o in action.option_strings)]
    hint = near(option.partition("=")[0], known)
    dotted = setting.partition(".")[0] in (*_CHOSEN, "wandb") and "." in setting
    close = setting if dotted else nearest(setting, settings)
    if close or (option.startswith("--") and not hint):
        key = OTHER_NAMES.get(close, close) if close else setting
        flag = key in fields and fields[key].type in ("bool", "bool | None")
        if not equals:
            place = arguments.index(option) + 1 if option in arguments else len(arguments)
            following = arguments[place] if place < len(arguments) else "-"
            # the next argument is its value, unless that is a setting or an option itself
            apart = following.startswith("-") or "=" in following or flag
            value = ("true" if flag else "VALUE") if apart else following
        hint = f"; settings are written key=value: {shown(key)}={shown(value)}"
    return GlassError(f"unknown option {shown(option)}{hint or '; see glass sample --help'}")


def quote_override(argument: str, sweep: bool = False) -> str:
    """`argument` with the value of a free-text key quoted for Hydra; any other is unchanged.

    Values already in quotes and `choice(...)` pass through, and in a sweep a comma-separated list
    of quoted values too. `prompts=` names a file: its value is quoted as well unless it is a list.
    `reward=null` means that there is none, and `+reward=x` is `reward=x`. New keys may be set in
    mappings that are open to them.
    """
    key, equals, value = argument.partition("=")
    if not equals:
        return argument
    bare = key.lstrip("+")
    if bare in FREE_TEXT:
        if bare == "negative_prompt" and value == "null":
            return f"{key}=''"  # no negative prompt, not the word null
        passes = _QUOTED.fullmatch(value) or _SWEEP_CALL.fullmatch(value)
        if passes or (sweep and _QUOTED_LIST.fullmatch(value)):
            return argument
        return f"{key}={quoted(value)}"
    if bare == "prompts" and value not in ("", "null"):
        passes = _QUOTED.fullmatch(value) or _SWEEP_CALL.fullmatch(value)
        if passes or value.startswith("[") or (sweep and "," in value):
            return argument
        return f"{key}={quoted(value)}"
    if bare in _CHOSEN:
        # Hydra takes no null for a group, which is removed, and no + for one that it knows
        return f"~{bare}" if value == "null" else f"{bare}={value}"
    return f"++{argument}" if _OPEN.fullmatch(key) else argument


def quoted(text: str) -> str:
    """`text` as a quoted string of Hydra's grammar that means exactly `text`.

    OmegaConf reads `${` as a reference to another key, also inside quotes: it is escaped by a
    backslash, and backslashes right before it are doubled.
    """
    from hydra.core.override_parser.types import Quote, QuotedString

    escaped = re.sub(r"(\\*)\$\{", lambda match: match[1] * 2 + r"\${", text)
    result: str = QuotedString(escaped, Quote.single).with_quotes()
    return result
