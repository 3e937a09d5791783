"""The jobs that the overrides of a sweep stand for."""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from hydra.core.override_parser.types import Glob, Override, ValueType

from glass_cli.common.errors import GlassError, shown

# Jobs of a sweep checked in every combination; in a larger sweep each value is checked once,
# and each job is checked when its turn comes.
ALL_COMBINATIONS = 24

Options = Callable[[str], list[str]]
"""Group -> its choices."""


def all_values(overrides: Sequence[Override], options: Options) -> list[list[str]]:
    """The single overrides that each of the overrides stands for, one or more."""
    return [_values(override, options) for override in overrides]


def _values(override: Override, options: Options) -> list[str]:
    key = override.get_key_element()
    if override.is_delete() and override.value() is None:
        return [key]
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if override.is_discrete_sweep():
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
            glob = cast(Glob, override.value())
            values = [f"{key}={name}" for name in glob.filter(options(override.key_or_group))]
        else:
            values = [f"{key}={name}" for name in override.sweep_string_iterator()]
        if not values:
            raise GlassError(
                f"{shown(override.input_line)} stands for no value; give it at least one"
            )
        return values
    interval: Any = override.value()
    return [f"{key}={interval.start}", f"{key}={interval.end}"]


def jobs(overrides: Sequence[Override], options: Options) -> Iterator[list[str]]:
    """The jobs of a sweep to check: all combinations of a small one, else every value once."""
    lists = all_values(overrides, options)
    if math.prod(len(values) for values in lists) <= ALL_COMBINATIONS:
        yield from (list(job) for job in itertools.product(*lists))
        return
    for number in range(max(len(values) for values in lists)):
        yield [values[number % len(values)] for values in lists]
