"""Which folder a run or a sweep writes into: its name, and that it is its own."""

from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

from omegaconf import DictConfig, OmegaConf

from glass_cli.common.errors import GlassError
from glass_cli.common.files import json_text
from glass_cli.common.paths import claim_given, claim_new
from glass_cli.config.settings import GROUPS
from glass_cli.config.split import with_particles
from glass_cli.output.identity import SIZES, identity

RUN_DIR, SWEEP_DIR = "hydra.run.dir", "hydra.sweep.dir"
# characters of a name's parts: one value, all of the values, all keys of a sweep
_VALUE, _VALUES, _KEYS = 24, 80, 60
_ABSENT = object()


class Claimed(NamedTuple):
    """A folder to write into.

    created: those that did not exist, the innermost first.
    resumed_by: what the same command needs, to find the folder again; None for nothing.
    """

    folder: Path
    created: tuple[Path, ...]
    resumed_by: str | None = None


def claim(cfg: DictConfig, key: str, given: Sequence[str], name: str) -> Claimed:
    """The folder that the user named, or one called `name`, created where it is not there.

    key: RUN_DIR or SWEEP_DIR.
    given: the keys that the user set.

    Of `glass eval` the same name is the same folder; of `glass sample` a new one, with the time in
    front. Raises GlassError where it cannot be written.
    """
    if key == SWEEP_DIR and "${" in os.getcwd():
        raise GlassError(
            f"a sweep cannot run in {os.getcwd()}: ${{ in a folder's name is a reference to Hydra,"
            " which would write elsewhere; start it in another folder"
        )
    folder = Path(str(OmegaConf.select(cfg, key)))
    if key in given or cfg.get("benchmark") is not None:
        if key not in given:
            folder = folder / name
        created = _missing(folder)
        return Claimed(claim_given(folder, key), created)
    folder = folder.with_name("-".join(part for part in (folder.name, name) if part))
    above = _missing(folder.parent)
    claimed = claim_new(folder, key)
    return Claimed(claimed, (claimed, *above), f"{key}={claimed}")


def _missing(folder: Path) -> tuple[Path, ...]:
    # not Path.exists, which raises for a name that is too long
    return tuple(p for p in (folder, *folder.parents) if not os.path.exists(p))


def run_name(
    cfg: DictConfig,
    choices: Mapping[str, str],
    default: DictConfig | None,
    given: Sequence[str] = (),
) -> str:
    """The name of a run's folder.

    choices: group -> the chosen file.
    default: of `glass eval`, what the same choices are without further settings; those that differ
        are in the name, so that two evaluations do not meet in one folder.
    given: the keys that the user set. An experiment stands for the choices that are not among them.
    """
    name = cfg.get("name")
    if default is None:
        return str(name or f"{choices.get('sampler')}-{choices.get('steering')}")
    parts = _chosen(choices, given)
    return "-".join(str(part) for part in (*parts, *differing(cfg, default), name) if part)


def _chosen(
    choices: Mapping[str, str], given: Sequence[str], swept: Sequence[str] = ()
) -> list[str]:
    """The names of an evaluation's choices but those that are `swept`: of an experiment its own,
    and those that were chosen beside it."""
    groups = [group for group in ("benchmark", *GROUPS) if group not in swept]
    experiment = choices.get("experiment", "None")
    if experiment != "None" or "experiment" in swept:
        groups = [group for group in groups if group in given]
    names = [choices.get(group, "None") for group in groups]
    if experiment != "None" and "experiment" not in swept:
        names.insert(0, re.sub(r"[^\w.+-]+", "-", experiment).strip("-"))
    return [name for name in names if name != "None"]


def sweep_name(
    cfg: DictConfig,
    choices: Mapping[str, str],
    default: DictConfig | None,
    swept: Sequence[str],
    given: Sequence[str] = (),
) -> str:
    """The name of a sweep's folder, see :func:`run_name`; `swept` are the keys that vary."""
    name = cfg.get("name")
    keys = "-".join(key.rpartition(".")[2] for key in swept)[:_KEYS]
    if default is None:
        return str(name or keys)
    parts = _chosen(choices, given, swept)
    fixed = differing(cfg, default, swept)
    return "-".join(str(part) for part in (*parts, *fixed, "sweep", keys, name) if part)


def differing(cfg: DictConfig, default: DictConfig, without: Sequence[str] = ()) -> list[str]:
    """`key_value` of each setting that decides results and is not the default, sorted by key.

    without: keys that are left out.

    Keys go without their group where no other group has the same. What is too long for a folder's
    name is replaced by a digest of it.
    """
    now, before = _flat(cfg), _flat(default)
    # the default has the same choice of a group that varies
    varying = [key for key in without if key not in (*GROUPS, "benchmark")]
    keys = sorted({*now, *before})
    last = [key.rpartition(".")[2] for key in keys]
    varied = {
        key: now.get(key)
        for key in keys
        if now.get(key, _ABSENT) != before.get(key, _ABSENT)
        and not any(key == other or key.startswith(f"{other}.") for other in varying)
    }
    parts = []
    for key, value in varied.items():
        short = key.rpartition(".")[2]
        parts.append(f"{short if last.count(short) == 1 else key}_{_value_text(value)}")
    if len("-".join(parts)) > _VALUES:
        return [f"settings_{_digest(varied)}"]
    return parts


def _flat(cfg: DictConfig) -> dict[str, Any]:
    """Dotted key -> value of what decides results, references to other keys left as they are."""
    own = OmegaConf.masked_copy(cfg, [str(key) for key in cfg if key != "hydra"])
    plain = OmegaConf.to_container(own)
    assert isinstance(plain, dict)
    flat = identity(with_particles({str(key): value for key, value in plain.items()}), SIZES)
    return {key: value for key, value in flat.items() if not key.endswith("_target_")}


def _value_text(value: Any) -> str:
    values = value if isinstance(value, list) else [value]
    text = "+".join(json_text(item).strip('"') for item in values)
    if re.fullmatch(rf"[\w.+-]{{1,{_VALUE}}}", text, re.ASCII):
        return text
    # of a path, its last part can be read
    shown = re.sub(r"[^\w.+-]", "", text.rpartition("/")[2], flags=re.ASCII)[: _VALUE - 7]
    named = isinstance(value, str) and "/" in value and shown
    return f"{shown}-{_digest(value)}" if named else _digest(value)


def _digest(value: Any) -> str:
    return hashlib.sha256(json_text(value).encode()).hexdigest()[:6]
