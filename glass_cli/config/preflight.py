"""Everything that can be said about a command line before anything heavy is imported.

`preflight` composes the configuration of every job with Hydra, checks each value, and claims the
output folder; of a single run it gives the settings objects, of a sweep each job builds its own by
`build_settings`. Every complaint is a GlassError: one line.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override, ValueType
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.paths import claim_given, claim_new, conf_dir
from glass_cli.config.build import build, build_class
from glass_cli.config.command_line import Words, quoted
from glass_cli.config.compatibility import check_together
from glass_cli.config.composition import Composer, composing
from glass_cli.config.diagnosis import explain, parse_error, several_values
from glass_cli.config.reward_choices import Choices
from glass_cli.config.settings import GROUPS, MORE_GROUPS, Root, Settings, Study

# Jobs of a sweep checked in every combination; in a larger sweep each value is checked once,
# and each job checks itself when its turn comes.
ALL_COMBINATIONS = 24


class Plan(NamedTuple):
    """A checked command line: the settings of a single run, or the arguments of Hydra's own main.

    arguments: for `hydra.main`, which sweeps and shows configurations.
    folder: of the run or of the sweep, claimed; None when nothing runs.
    settings: of a single run; None for a sweep, whose jobs build their own.
    created: whether the folder is new.
    resumed_by: what the same command needs, to find the folder again; None for nothing.
    """

    arguments: list[str]
    folder: Path | None
    settings: Settings | None = None
    created: bool = False
    resumed_by: str | None = None


def build_settings(cfg: DictConfig, overrides: Sequence[str] = ()) -> Settings:
    """The checked settings of one composed configuration; ``overrides`` as typed.

    Raises GlassError.
    """
    try:
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        plain = OmegaConf.to_container(own, resolve=True)
    except OmegaConfBaseException as error:
        raise GlassError(one_line(error).partition(" full_key:")[0]) from error
    assert isinstance(plain, dict)
    values = {str(key): value for key, value in plain.items()}
    apart = (*GROUPS, *MORE_GROUPS, "metrics")  # built below
    root = build_class(Root, {k: v for k, v in values.items() if k not in apart})
    built = {
        group: build(values.get(group), group)
        for group in (*GROUPS, "launcher")
        if group != "reward"
    }
    known = Choices(_folders(cfg))
    reward = None if values.get("reward") is None else known.build(values["reward"])
    metrics = known.metrics(values.get("metrics"))
    judge = None if values.get("benchmark") is None else build(values["benchmark"], "benchmark")
    checked = Settings(
        root,
        built["model"],
        built["sampler"],
        built["steering"],
        reward,
        metrics,
        built["launcher"],
        benchmark=None if isinstance(judge, Study) else judge,
        study=judge if isinstance(judge, Study) else None,
        config=values,
        overrides=tuple(overrides),
    )
    check_together(checked, _choices(cfg), known)
    return checked


def _folders(cfg: DictConfig) -> list[Path]:
    """The folders of yaml files that the configuration was composed from, first to last."""
    sources = _runtime(cfg, "config_sources") or []
    return [Path(str(s.path)) for s in sources if s.schema == "file"] or [conf_dir()]


def _runtime(cfg: DictConfig, key: str) -> Any:
    """What Hydra knows of this composition, for messages; None outside of Hydra."""
    found = OmegaConf.select(cfg, f"hydra.runtime.{key}")
    if found is None and HydraConfig.initialized():
        found = getattr(HydraConfig.get().runtime, key)
    return found


def _choices(cfg: DictConfig) -> dict[str, str]:
    """Group -> the chosen file."""
    return {str(k): str(v) for k, v in (_runtime(cfg, "choices") or {}).items()}


def compose_or_explain(composer: Composer, overrides: list[str]) -> DictConfig:
    """The configuration with its `hydra` node; every error is one line (GlassError)."""
    try:
        return composer.compose(overrides)
    except Exception as error:
        # Composition raises whatever its parts raise (Hydra, OmegaConf, yaml, ValueError);
        # nothing of this package runs in it, so every error there is about the words or yaml.
        raise explain(error, parse(overrides), composer) from error


def parse(overrides: list[str]) -> list[Override]:
    """The words in Hydra's grammar. Raises GlassError for a word that is not in it."""
    parser = OverridesParser.create()
    parsed: list[Override] = []
    for word in overrides:
        try:
            if word.lstrip().startswith("="):
                raise HydraException("no key")
            parsed += parser.parse_overrides([word])
        except HydraException as error:
            raise parse_error(word, error) from error
    return parsed


def preflight(words: Words, conf: Path) -> Plan:
    """Check the whole command line and claim its output folder. Raises GlassError.

    Nothing is created when anything is wrong, nor when the words only show something (`--cfg`).
    """
    overrides = parse(words.overrides)
    given = [o.key_or_group for o in overrides]
    with composing(conf, words.config_dir, words.config_name) as composer:
        first = first_values(overrides)
        master = compose_or_explain(composer, first)
        if words.shows:
            # Of a sweep the first job is shown; values are not checked, so that a configuration
            # that is refused can still be looked at.
            return Plan([*words.flags, *first], None)
        _check_prompt_keys(master, given)
        # A yaml of the user's may ask for a sweep too (hydra.mode, hydra.sweeper.params).
        if not words.sweep and master.hydra.mode != RunMode.MULTIRUN:
            for override in overrides:
                if override.is_sweep_override():
                    raise several_values(override)
            typed = [word for word in words.overrides if not word.startswith("hydra.")]
            settings = build_settings(master, typed)
            claimed = _folder(master, "hydra.run.dir", given, f"-{_run_name(master)}")
            return Plan([], claimed.folder, settings, claimed.created, claimed.resumed_by)
        overrides += _sweeper_params(master)
        for job in jobs(overrides):
            build_settings(compose_or_explain(composer, job))
        swept = [o.key_or_group for o in overrides if o.is_sweep_override()]
        name = master.get("name") or "-".join(key.rpartition(".")[2] for key in swept)[:60]
        if master.get("benchmark") is not None:
            name = f"{_run_name(master)}-sweep-{name}"
            words = _named_by(words, [key for key in given if key not in swept])
        claimed = _folder(master, "hydra.sweep.dir", given, f"-{name}" if name else "")
        arguments = words.for_hydra([f"hydra.sweep.dir={quoted(str(claimed.folder))}"])
        return Plan(arguments, claimed.folder, None, claimed.created, claimed.resumed_by)


def _check_prompt_keys(cfg: DictConfig, given: list[str]) -> None:
    """`glass eval` takes its prompts from the benchmark."""
    for key in ("prompt", "prompts", "limit"):
        if cfg.get("benchmark") is not None and key in given:
            instead = (
                "benchmark.limit" if key == "limit" else "benchmark=prompts benchmark.path=FILE"
            )
            raise GlassError(
                f"{key}= is not for glass eval, whose prompts are the benchmark's; use {instead}"
            )


def _run_name(cfg: DictConfig) -> str:
    choices = _choices(cfg)
    if cfg.get("benchmark") is not None:
        parts = [choices.get(group) for group in ("benchmark", *GROUPS)]
        given = [str(part) for part in [*parts, cfg.get("name")]]
        return "-".join(part for part in given if part != "None")
    return str(cfg.get("name") or f"{choices.get('sampler')}-{choices.get('steering')}")


class _Claimed(NamedTuple):
    """See :class:`Plan`."""

    folder: Path
    created: bool
    resumed_by: str | None = None


def _folder(cfg: DictConfig, key: str, given: list[str], suffix: str) -> _Claimed:
    """The claimed folder: the one that the user named, or one of the run's own name."""
    folder = Path(str(OmegaConf.select(cfg, key)))
    if key in given or cfg.get("benchmark") is not None:
        if key not in given:  # the same command, the same folder
            folder = folder / suffix.lstrip("-")
        created = not folder.exists()
        return _Claimed(claim_given(folder, key), created)
    claimed = claim_new(folder.with_name(folder.name + suffix), key)
    return _Claimed(claimed, True, f"{key}={claimed}")


def _named_by(words: Words, fixed: list[str]) -> Words:
    """The words with jobs' folders named by what differs: the same job finds the same folder."""
    keys = ",".join(quoted(key) for key in fixed)
    word = f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"
    return words._replace(overrides=[*words.overrides, word])


def _sweeper_params(master: DictConfig) -> list[Override]:
    """What the configuration itself sweeps over (`hydra.sweeper.params`)."""
    params = OmegaConf.select(master, "hydra.sweeper.params")
    if not isinstance(params, DictConfig):
        return []
    return parse([f"{key!s}={value}" for key, value in params.items()])


def _values(override: Override) -> list[str]:
    """The words that an override stands for: one, or each value of a sweep."""
    key = override.get_key_element()
    if override.is_delete() and override.value() is None:
        return [key]
    if not override.is_sweep_override():
        return [f"{key}={override.get_value_element_as_str()}"]
    if override.is_discrete_sweep():
        if override.value_type == ValueType.GLOB_CHOICE_SWEEP:
            override.config_loader = GlobalHydra.instance().config_loader()
        values = [f"{key}={value}" for value in override.sweep_string_iterator()]
        if not values:
            raise GlassError(f"{override.input_line} stands for no value; give it at least one")
        return values
    interval: Any = override.value()
    return [f"{key}={interval.start}", f"{key}={interval.end}"]


def first_values(overrides: list[Override]) -> list[str]:
    """One job of a sweep: the first value of everything."""
    return [_values(override)[0] for override in overrides]


def jobs(overrides: list[Override]) -> Iterator[list[str]]:
    """The jobs of a sweep to check: all combinations of a small one, else every value once."""
    lists = [_values(override) for override in overrides]
    total = 1
    for values in lists:
        total *= len(values)
    if total <= ALL_COMBINATIONS:
        yield from (list(job) for job in itertools.product(*lists))
        return
    for number in range(max(len(values) for values in lists)):
        yield [values[number % len(values)] for values in lists]
