"""`glass doctor`: what is installed and what is not, and what to do about each.

Nothing is loaded or downloaded; only a W&B server for which there is a key is asked for an answer.
"""

from __future__ import annotations

import importlib
import os
import platform
import re
import shutil
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import NamedTuple

from glass_cli.commands.weights import Kept, kept_weights
from glass_cli.common.errors import GlassError, one_line
from glass_cli.common.hub import EMBEDDED
from glass_cli.common.paths import conf_dir
from glass_cli.common.version import __version__

PACKAGE = "glass_cli"
# what each extra is for; extras that only developers need are not looked at
EXTRAS = {
    "lora": "model.lora=FILE",
    "ocr": "reward=ocr",
    "ray": "launcher=ray",
    "sweep": "hydra/launcher=processes and slurm, hydra/sweeper=search",
    "sweep-ray": "hydra/launcher=ray_jobs",
    "terminal": "the contact sheet in the terminal (kitty, iTerm2, sixel)",
}
# of the embedded model: the default of `glass sample` needs the first two
_EMBEDDED = {
    "emoji": "emoji/model_index.json",
    "clip": "clip/config.json",
    "detector": "detector/config.json",
}
_ANSWER_SECONDS = 2.0
_GIB = 2**30


class Finding(NamedTuple):
    """One line of the report.

    name: what was looked at; empty for a line that belongs to the one before.
    text: what was found.
    advice: what to do; empty where nothing need be done.
    fatal: whether `glass sample` cannot run.
    """

    name: str
    text: str
    advice: str = ""
    fatal: bool = False


def doctor() -> tuple[str, bool]:
    """The report, and whether `glass sample` can run."""
    checks = list(findings())
    width = max(len(each.name) for each in checks) + 2
    lines = []
    for each in checks:
        mark = "cannot run: " if each.fatal else ""
        lines.append(f"{each.name:<{width}}{mark}{each.text}")
        if each.advice:
            lines.append(f"{'':<{width}}-> {each.advice}")
    return "\n".join(lines), not any(each.fatal for each in checks)


def findings() -> Iterator[Finding]:
    """What there is to say, in the order of a new user's questions."""
    system = f"{platform.system()} {platform.machine()}"
    yield Finding("glass", f"{__version__}, Python {platform.python_version()}, {system}")
    yield Finding("", f"in {Path(__file__).parents[1]}")
    yield from _packages()
    yield from _device()
    yield from _places()
    yield from _embedded()
    yield from _weights()
    yield _wandb()
    yield _fonts()
    yield from _extras()


def _packages() -> Iterator[Finding]:
    """The versions of what glass needs, and what is missing or too old."""
    wrong, shown = [], []
    for line in _requirements(None):
        name, least = _name(line), re.search(r">=([\d.]+)", line)
        version = _version(name)
        if version is None:
            wrong.append(f"{name} is missing")
        elif least and _numbers(version) < _numbers(least[1]):
            wrong.append(f"{name} {version} is older than {least[1]}")
        if name in ("torch", "diffusers", "transformers", "hydra-core", "wandb"):
            shown.append(f"{name} {version or 'missing'}")
    advice = f"pip install --upgrade {PACKAGE}, or make a new environment" if wrong else ""
    yield Finding("packages", ", ".join(shown or ["not known: glass is not installed by pip"]))
    if wrong:
        yield Finding("", "; ".join(wrong), advice, fatal=any("missing" in w for w in wrong))


def _device() -> Iterator[Finding]:
    try:
        torch = importlib.import_module("torch")
        devices = importlib.import_module("glass_cli.common.devices")
        device = devices.choose_device("auto")
    except (ImportError, OSError) as error:  # a torch whose libraries do not fit
        advice = "install it anew: https://pytorch.org/get-started/locally"
        yield Finding("device", f"torch cannot be imported: {one_line(error)}", advice, fatal=True)
        return
    dtype = str(devices.choose_dtype("auto", device)).removeprefix("torch.")
    if device.type == "cuda":
        for number in range(torch.cuda.device_count()):
            free, total = (part / _GIB for part in torch.cuda.mem_get_info(number))
            name = torch.cuda.get_device_name(number)
            text = f"cuda:{number}, {name}, {free:.0f} of {total:.0f} GiB free, dtype={dtype}"
            yield Finding("" if number else "device", text)
        return
    threads = torch.get_num_threads()
    text = f"{device.type}, dtype={dtype}, {threads} thread{'s' * (threads > 1)}"
    unused = device.type == "cpu" and shutil.which("nvidia-smi") is not None
    advice = (
        f"nvidia-smi is here, but torch {torch.__version__} sees no GPU: install its CUDA build"
        " (https://pytorch.org/get-started/locally), and look at CUDA_VISIBLE_DEVICES"
        if unused
        else ""
    )
    yield Finding("device", text, advice)


def _places() -> Iterator[Finding]:
    """Where settings are read from and results go to."""
    try:
        conf_dir()
    except GlassError as error:
        yield Finding("settings", str(error), fatal=True)
    here = Path.cwd()
    if not os.access(here, os.W_OK | os.X_OK):
        advice = "go to a folder of yours, or give hydra.run.dir=FOLDER"
        yield Finding("results", f"{here} cannot be written to", advice, fatal=True)
        return
    free = shutil.disk_usage(here).free / _GIB
    advice = "make room, or give hydra.run.dir=FOLDER on another disk" if free < 1 else ""
    yield Finding("results", f"in {here / 'outputs'}, {free:.0f} GiB free", advice)


def _embedded() -> Iterator[Finding]:
    missing = [name for name, file in _EMBEDDED.items() if not (EMBEDDED / file).is_file()]
    if missing:
        text = f"{', '.join(missing)} missing in {EMBEDDED}"
        yield Finding("embedded", text, f"install {PACKAGE} again", fatal=missing != ["detector"])
    else:
        yield Finding("embedded", f"{', '.join(_EMBEDDED)}: there, no download needed")


def _weights() -> Iterator[Finding]:
    try:
        from huggingface_hub import constants, get_token

        conf = conf_dir()
    except (ImportError, GlassError):  # both were named above
        return
    cache = Path(constants.HF_HUB_CACHE)
    offline = ", HF_HUB_OFFLINE is set: nothing is downloaded" if constants.HF_HUB_OFFLINE else ""
    login = "a token is set" if get_token() else "no token"
    advice = "" if get_token() else "hf auth login, for gated ones (FLUX.1 dev, SD3, SD3.5)"
    yield Finding("weights", f"hub cache {cache}, {login}{offline}", advice)
    kept = kept_weights(conf, cache)
    absent = [each for each in kept if not each.size]
    for each in kept:
        if each.size:
            yield _in_cache(each)
    if absent:
        named: dict[str, list[str]] = {}
        for choice in dict.fromkeys(user for each in absent for user in each.users):
            group, _, name = choice.partition("=")
            named.setdefault(group, []).append(name)
        text = "; ".join(f"{group}={', '.join(names)}" for group, names in named.items())
        advice = f"downloaded when first used; ahead of time: hf download {absent[0].repository}"
        yield Finding("", f"not in it: those of {text}", advice)


def _in_cache(kept: Kept) -> Finding:
    text = f"in it: {kept.repository}, {kept.size / _GIB:.1f} GiB, for {', '.join(kept.users)}"
    if kept.partial:
        return Finding("", f"{text}; not whole", f"hf download {kept.repository} goes on with it")
    return Finding("", text)


def _wandb() -> Finding:
    from glass_cli.output.wandb_server import account, server_problem

    quiet = os.environ.get("WANDB_MODE", "")
    if quiet in ("disabled", "offline", "dryrun"):
        return Finding("W&B", f"{quiet}, as WANDB_MODE says")
    if os.environ.get("WANDB_DISABLED", "").lower() in ("true", "1", "yes", "t", "y"):
        return Finding("W&B", "disabled, as WANDB_DISABLED says")
    url, key, known = account()
    if not known:
        advice = "wandb login, to see runs on line; wandb.mode=disabled for neither"
        return Finding("W&B", "offline, no API key: files in each run's wandb/", advice)
    problem = server_problem(url, key, _ANSWER_SECONDS)
    if problem is not None:
        return Finding("W&B", f"offline: {problem}", "wandb login --relogin, or wandb.mode=offline")
    return Finding("W&B", f"online, {url}")


def _fonts() -> Finding:
    from PIL import features

    if not features.check("freetype2"):
        return Finding("fonts", "Pillow without FreeType: rough letters", "pip install pillow")
    text = "contact sheets have Latin, Greek, Cyrillic, Hebrew and Arabic letters; others as boxes"
    return Finding("fonts", text)


def _extras() -> Iterator[Finding]:
    first = "extras"
    for extra, use in EXTRAS.items():
        missing = [name for name in map(_name, _requirements(extra)) if _version(name) is None]
        state = "not installed" if missing or not _requirements(extra) else "installed"
        advice = f"pip install '{PACKAGE}[{extra}]'" if state == "not installed" else ""
        yield Finding(first, f"{extra} {state}: {use}", advice)
        first = ""


def _requirements(extra: str | None) -> list[str]:
    """What the installed package asks for: always, or for an extra."""
    try:
        lines = metadata.requires(PACKAGE) or []
    except metadata.PackageNotFoundError:
        return []
    marked = [(line, re.search(r"extra\s*==\s*['\"]([\w-]+)", line)) for line in lines]
    return [line for line, of in marked if (of[1] if of else None) == extra]


def _name(requirement: str) -> str:
    return re.split(r"[^\w.-]", requirement, maxsplit=1)[0]


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _numbers(version: str) -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", version)[:3])
