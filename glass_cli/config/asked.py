"""What a command line asks for, as plain values: nothing is run, claimed or written."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from glass_cli.common.paths import conf_dir
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
