"""Everything that can be said about a command line before anything heavy is imported.

`preflight` composes the configuration of every job with Hydra, checks each value, and claims the
output folder; of a single run it gives the settings objects, of a sweep each job builds its own by
`build_settings`. Every complaint is a GlassError: one line.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from hydra.core.hydra_config import HydraConfig
from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException
from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from glass_cli.common.errors import GlassError, shown
from glass_cli.common.paths import conf_dir
from glass_cli.config.build import build, build_class
from glass_cli.config.command_line import EXPERIMENT, CommandLine, quoted
from glass_cli.config.compatibility import check_together
from glass_cli.config.composition import Composer, composing
from glass_cli.config.diagnosis import explain, parse_error, several_values, unresolved
from glass_cli.config.experiments import spelled_out
from glass_cli.config.reward_choices import Choices
from glass_cli.config.run_folder import RUN_DIR, SWEEP_DIR, claim, run_name, sweep_name
from glass_cli.config.settings import GROUPS, MORE_GROUPS, Root, Settings, Study
from glass_cli.config.split import with_particles
from glass_cli.config.sweep_jobs import all_values, jobs
from glass_cli.models.base import Model
from glass_cli.rewards.base import Reward


class CheckedLine(NamedTuple):
    """A checked command line: the settings of a single run, or the arguments of Hydra's own main.

    arguments: for `hydra.main`, which sweeps and shows configurations.
    folder: of the run or of the sweep, claimed; None when nothing runs.
    settings: of a single run; None for a sweep, whose jobs build their own.
    created: the folders that were not there before, the innermost first.
    resumed_by: what the same command needs, to find the folder again; None for nothing.
    swept: the keys that vary between the jobs of a sweep.
    apart: whether these run in other processes, which do not say anything here.
    """

    arguments: list[str]
    folder: Path | None
    settings: Settings | None = None
    created: tuple[Path, ...] = ()
    resumed_by: str | None = None
    swept: tuple[str, ...] = ()
    apart: bool = False


def build_settings(cfg: DictConfig, overrides: Sequence[str] = ()) -> Settings:
    """The checked settings of one composed configuration; ``overrides`` as typed.

    Raises GlassError.
    """
    try:
        own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
        plain = OmegaConf.to_container(own, resolve=True)
    except OmegaConfBaseException as error:
        raise unresolved(error) from error
    assert isinstance(plain, dict)
    values = with_particles({str(key): value for key, value in plain.items()})
    apart = (*GROUPS, *MORE_GROUPS, "metrics")  # built below
    root = build_class(Root, {k: v for k, v in values.items() if k not in apart})
    known = Choices(_folders(cfg))
    reward = None if values.get("reward") is None else known.build(values["reward"])
    values["steering"] = with_usual_lam(values.get("steering"), reward)
    built = {
        group: build(values.get(group), group)
        for group in (*GROUPS, "launcher")
        if group != "reward"
    }
    model: Model = built["model"]
    if reward is not None:
        reward = reward.for_model(model)
        values["reward"] = _with_path(values["reward"], reward)
    metrics = {n: m.for_model(model) for n, m in known.metrics(values.get("metrics")).items()}
    judge = None if values.get("benchmark") is None else build(values["benchmark"], "benchmark")
    checked = Settings(
        root,
        model,
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


def _with_path(node: Any, reward: Reward) -> Any:
    """The plain settings of a reward with the weights that its model decided on."""
    path = getattr(reward, "path", None)
    if not isinstance(node, Mapping) or path is None or node.get("path", path) is not None:
        return node
    return {**node, "path": path}


def with_usual_lam(steering: Any, reward: Reward | None) -> Any:
    """The plain settings of a steering with what is usual for the reward in place of `lam: null`;
    without a reward that is "auto"."""
    if not isinstance(steering, Mapping) or steering.get("lam", 0.0) is not None:
        return steering
    if reward is None or steering.get("lam_survivors") is not None:
        return {**steering, "lam": "auto"}
    return {**steering, "lam": reward.usual_lam}


def _folders(cfg: DictConfig) -> list[Path]:
    """The folders of yaml files that the configuration was composed from, first to last."""
    sources = _runtime(cfg, "config_sources") or []
    return [Path(str(s.path)) for s in sources if s.schema == "file"] or [conf_dir()]


def _runtime(cfg: DictConfig, key: str) -> Any:
    """What Hydra knows of this composition, for messages; None outside of Hydra."""
    value = OmegaConf.select(cfg, f"hydra.runtime.{key}")
    if value is None and HydraConfig.initialized():
        value = getattr(HydraConfig.get().runtime, key)
    return value


def _choices(cfg: DictConfig) -> dict[str, str]:
    """Group -> the chosen file."""
    return {str(k): str(v) for k, v in (_runtime(cfg, "choices") or {}).items()}


def compose_or_explain(composer: Composer, overrides: list[str]) -> DictConfig:
    """The configuration with its `hydra` node; every error is one line (GlassError)."""
    try:
        return composer.compose(overrides)
    except Exception as error:
        # Composition raises whatever its parts raise (Hydra, OmegaConf, yaml, ValueError); nothing
        # of this package runs in it, so every error there is about the arguments or the yaml.
        raise explain(error, parse(overrides), composer) from error


def parse(overrides: Sequence[str]) -> list[Override]:
    """The overrides in Hydra's grammar. Raises GlassError for one that is not in it."""
    parser = OverridesParser.create()
    parsed: list[Override] = []
    for override in overrides:
        try:
            if override.lstrip().startswith("="):
                raise HydraException("no key")
            parsed += parser.parse_overrides([override])
        except (HydraException, ValueError) as error:  # ValueError: a number of 5000 digits
            raise parse_error(override, error) from error
    return parsed


def preflight(line: CommandLine, conf: Path) -> CheckedLine:
    """Checks the whole command line and claims its output folder. Raises GlassError.

    Nothing is created when anything is wrong, nor when something is only shown (`--cfg`).
    """
    with composing(conf, line.config_dir, line.config_name) as composer:
        line = line._replace(overrides=spelled_out(parse(line.overrides), composer.options))
        overrides = parse(line.overrides)
        given = [o.key_or_group for o in overrides]
        first = [values[0] for values in all_values(overrides, composer.options)]
        master = compose_or_explain(composer, first)
        if line.shows:
            # Of a sweep the first job is shown; values are not checked, so that a configuration
            # that is refused can still be looked at.
            return CheckedLine([*line.flags, *first], None)
        # A yaml of the user's may ask for a sweep too (hydra.mode, hydra.sweeper.params).
        if line.sweep or master.hydra.mode == RunMode.MULTIRUN:
            return _sweep(line, [*overrides, *_sweeper_params(master)], given, master, composer)
        for override in overrides:
            if override.is_sweep_override():
                raise several_values(override)
            if override.key_or_group == "hydra/launcher" and not _is_basic(master):
                raise GlassError(
                    f"{shown(override.input_line)} starts the jobs of a sweep, and this is a single"
                    " run; add -m for a sweep, or use launcher=ray to share out the pictures of one"
                    " run"
                )
        _check_prompt_keys(master, given)
        typed = [override for override in line.overrides if not override.startswith("hydra.")]
        settings = build_settings(master, typed)
        default = _default(master, composer)
        name = run_name(master, _choices(master), default, given)
        folder = claim(master, RUN_DIR, given, name)
        return CheckedLine([], folder.folder, settings, folder.created, folder.resumed_by)


def _sweep(
    line: CommandLine,
    overrides: Sequence[Override],
    given: Sequence[str],
    master: DictConfig,
    composer: Composer,
) -> CheckedLine:
    """The plan of a sweep, whose jobs have been checked; `master` is the first of them."""
    apart = _launched_apart(master)
    for job in jobs(overrides, composer.options):
        cfg = compose_or_explain(composer, job)
        _check_prompt_keys(cfg, given)
        build_settings(cfg)
    swept = [o.key_or_group for o in overrides if o.is_sweep_override()]
    default = _default(master, composer)
    if default is not None:
        line = _named_by(line, [key for key in given if key not in swept])
    name = sweep_name(master, _choices(master), default, swept, given)
    folder = claim(master, SWEEP_DIR, given, name)
    arguments = line.for_hydra([f"{SWEEP_DIR}={quoted(str(folder.folder))}"])
    created, resumed_by = folder.created, folder.resumed_by
    return CheckedLine(arguments, folder.folder, None, created, resumed_by, tuple(swept), apart)


def _default(cfg: DictConfig, composer: Composer) -> DictConfig | None:
    """Of `glass eval`: the same choices, an experiment among them, without further settings."""
    if cfg.get("benchmark") is None:
        return None
    choices = _choices(cfg)
    chosen = {group: choices.get(group, "None") for group in (*GROUPS, "benchmark")}
    if choices.get(EXPERIMENT, "None") != "None":
        chosen[EXPERIMENT] = choices[EXPERIMENT]
    return compose_or_explain(
        composer, [f"~{g}" if choice == "None" else f"{g}={choice}" for g, choice in chosen.items()]
    )


def _check_prompt_keys(cfg: DictConfig, given: Sequence[str]) -> None:
    """One source of prompts: `prompt`, `prompts`, or the benchmark of `glass eval`."""
    if cfg.get("benchmark") is None:
        if "prompt" in given and cfg.get("prompts") is not None:
            raise GlassError(
                f"prompt= is not used beside prompts={shown(cfg.prompts)}; leave one of them out"
                " (prompts=null for none)"
            )
        return
    for key in ("prompt", "prompts", "limit"):
        if key in given:
            instead = (
                "benchmark.limit" if key == "limit" else "benchmark=prompts benchmark.path=FILE"
            )
            raise GlassError(
                f"{key}= is not for glass eval, whose prompts are the benchmark's; use {instead}"
            )


def _launched_apart(master: DictConfig) -> bool:
    """Whether the jobs of a sweep run in other processes. Raises GlassError where they cannot."""
    target = _sweep_launcher(master)
    if target.endswith(".SlurmLauncher") and shutil.which("srun") is None:
        raise GlassError(
            "hydra/launcher=slurm needs SLURM's srun, which this machine does not have; start it on"
            " a login node of the cluster, or use hydra/launcher=processes"
        )
    return not _is_basic(master)


def _sweep_launcher(master: DictConfig) -> str:
    """The class of Hydra's launcher, which starts the jobs of a sweep."""
    return str(OmegaConf.select(master, "hydra.launcher._target_"))


def _is_basic(master: DictConfig) -> bool:
    """Whether Hydra's launcher runs them here, one after the other."""
    return _sweep_launcher(master).endswith(".BasicLauncher")


def _named_by(line: CommandLine, fixed: Sequence[str]) -> CommandLine:
    """The command line with jobs' folders named by what differs, so that the same job finds the
    same folder."""
    keys = ",".join(quoted(key) for key in fixed)
    override = f"hydra.job.config.override_dirname.exclude_keys=[{keys}]"
    return line._replace(overrides=[*line.overrides, override])


def _sweeper_params(master: DictConfig) -> list[Override]:
    """What the configuration itself sweeps over (`hydra.sweeper.params`)."""
    params = OmegaConf.select(master, "hydra.sweeper.params")
    if not isinstance(params, DictConfig):
        return []
    return parse([f"{key!s}={value}" for key, value in params.items()])
