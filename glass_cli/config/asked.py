"""What a command line asks for, as plain values: nothing is run, claimed or written."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, fields, is_dataclass
from typing import Any

from glass_cli.common.files import json_text
from glass_cli.common.paths import conf_dir
from glass_cli.config.build import find_class
from glass_cli.config.command_line import read_arguments
from glass_cli.config.composition import composing
from glass_cli.config.experiments import spelled_out
from glass_cli.config.preflight import build_settings, compose_or_explain, parse


def asked_config(words: Sequence[str], config: str) -> Mapping[str, Any]:
    """The checked and resolved configuration of a single run with these arguments.

    config: the file that is composed, see :func:`glass_cli.launch.launch`.

    Raises GlassError.
    """
    line = read_arguments(words, False, config)
    with composing(conf_dir(), line.config_dir, line.config_name) as composer:
        spelled = spelled_out(parse(line.overrides), composer.options)
        return build_settings(compose_or_explain(composer, spelled)).config


def is_default(settings: Mapping[str, Any], key: str) -> bool:
    """Whether a setting is its class's default, as a run that was drawn before there was such a
    setting had it.

    settings: dotted key -> value.
    """
    group, _, name = key.rpartition(".")
    target = settings.get(f"{group}._target_")
    if not isinstance(target, str):
        return False
    kind = find_class(target, group)
    known = {each.name: each.default for each in fields(kind)} if is_dataclass(kind) else {}
    if name not in known or known[name] is MISSING:
        return False
    return bool(settings[key] == json.loads(json_text(known[name])))
