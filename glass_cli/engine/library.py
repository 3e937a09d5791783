"""The package as a library: models and rewards by the names of the command line, and one prompt
drawn in one call. What `import glass_cli` gives comes from here and from below."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

import torch
from torch import Tensor

from glass_cli.common.devices import choose_device, choose_dtype
from glass_cli.common.errors import GlassError, near, one_line
from glass_cli.common.paths import conf_dir
from glass_cli.common.stages import Stages
from glass_cli.config.build import build, build_class
from glass_cli.config.choice_files import choice_settings, merged
from glass_cli.config.listing import choices
from glass_cli.config.reward_choices import Choices
from glass_cli.config.settings import Root
from glass_cli.config.split import with_particles
from glass_cli.engine import draw as drawing
from glass_cli.engine.library_checks import check_loaded, check_scores, takes_two, type_checked
from glass_cli.method.budget import check_calls
from glass_cli.method.flow import Sampler
from glass_cli.method.glass import Glass
from glass_cli.models.base import LoadedModel, Model
from glass_cli.rewards.base import LoadedReward, Reward
from glass_cli.rewards.pixels import to_uint8
from glass_cli.steering.auto import Auto
from glass_cli.steering.base import Steering
from glass_cli.steering.feynman_kac import FeynmanKac
from glass_cli.steering.independent import NoSteering
from glass_cli.steering.searching import Searching
from glass_cli.steering.state import Step

if TYPE_CHECKING:
    from PIL.Image import Image

Device = str | torch.device
DType = str | torch.dtype


def load_model(
    name: str, *, device: Device = "auto", dtype: DType = "auto", **settings: Any
) -> LoadedModel:
    """A model in memory.

    name: a choice of `glass ls model` ("emoji", the embedded one, "flux_dev", ...), or a diffusers
        pipeline: a folder, or owner/name on the hub.
    device: "auto" (CUDA, else MPS, else the CPU), "cpu", "mps", "cuda" or "cuda:N".
    dtype: of the network; "auto" is bfloat16 on a GPU and float32 elsewhere.
    settings: the choice's own by keyword, as `model.<name>=` on the command line: guidance=3.5.

    Raises GlassError, one line, for a name or a setting that is wrong, and for weights that cannot
    be had.
    """
    known = choices("model", [conf_dir()])
    if name not in known:
        if "/" not in name and not Path(name).is_dir():
            raise GlassError(
                f"unknown model {name}{near(name, known)} ({', '.join(known)}, a folder or"
                " owner/name on the hub)"
            )
        name, settings = "diffusers", {"path": name, **settings}
    model: Model = build(choice_settings("model", name, settings), "model")
    there = _device(device)
    loaded = model.load(there, _dtype(dtype, there))
    with suppress(AttributeError):  # a frozen class of the user's
        loaded.settings = model
    return loaded


def load_reward(
    name: str,
    *,
    model: LoadedModel | None = None,
    device: Device = "auto",
    dtype: DType = "auto",
    **settings: Any,
) -> LoadedReward:
    """A reward in memory.

    name: a choice of `glass ls reward`: "clip", "imagereward", "pickscore", "composite", ...
    model: from :func:`load_model`, whose samples it is to score: with the embedded model,
        "imagereward" and "pickscore" are those that know its pictures; None: the published ones.
    device, dtype: see :func:`load_model`; "auto" is float32 for rewards that have a dtype of their
        own.
    settings: the choice's own by keyword, as `reward.<name>=` on the command line: path=FOLDER.

    Raises GlassError, one line, for a name or a setting that is wrong, and for weights that cannot
    be had.
    """
    known, there = Choices([conf_dir()]), _device(device)
    number = _dtype(dtype, there)
    own = known.node(name, "reward")
    if "dtype" in own and dtype != "auto":
        settings = {"dtype": str(number).removeprefix("torch."), **settings}
    reward: Reward = known.build(merged(own, settings), "reward")
    if model is not None and model.settings is not None:
        reward = reward.for_model(model.settings)
    loaded = reward.load(there, number)
    with suppress(AttributeError):  # a frozen class of the user's
        loaded.settings = reward
    return loaded


def _device(device: Device) -> torch.device:
    return choose_device(device) if isinstance(device, str) else device


def _dtype(dtype: DType, device: torch.device) -> torch.dtype:
    if isinstance(dtype, torch.dtype):
        return dtype
    if dtype not in ("auto", "float32", "bfloat16", "float16"):
        raise GlassError(f"dtype must be auto, float32, bfloat16 or float16 (got {dtype})")
    return choose_dtype(dtype, device)


@dataclass(frozen=True)
class Drawing:
    """The particles of one prompt.

    samples: what the model drew, on the CPU: pictures (N, 3, H, W) in [0, 1], or points (N, d).
    rewards: the final rewards (N,), float64; None without a reward.
    best: the answer's index: the steering's choice, or the highest reward where it chooses none;
        None without a reward.
    nfe: network calls of all particles together.
    steps: a :class:`glass_cli.steering.state.Step` for each transition and the end, on the CPU.
    """

    samples: Tensor
    rewards: Tensor | None
    best: int | None
    nfe: int
    steps: tuple[Step, ...]

    @cached_property
    def images(self) -> list[Image]:
        """The pictures as Pillow's images. Raises GlassError for points."""
        from PIL import Image

        if self.samples.dim() != 4:
            raise GlassError("points are no pictures; look at samples")
        return [Image.fromarray(picture) for picture in to_uint8(self.samples)]


def draw(
    model: LoadedModel,
    prompt: str,
    *,
    sampler: Sampler | None = None,
    steering: Steering | None = None,
    reward: LoadedReward | Callable[..., Tensor] | None = None,
    particles: int | None = None,
    calls: int | None = None,
    budget: int | None = None,
    seed: int = 0,
    negative_prompt: str = "",
    micro_batch: int = 8,
) -> Drawing:
    """Draws the particles of one prompt, steered by a reward: `glass sample` without its files.

    model: from :func:`load_model`.
    sampler: None is GLASS with its default settings.
    steering: None is Feynman-Kac steering with lam="auto" where there is a reward, else none.
    reward: from :func:`load_reward`, and one that can score this model's samples; or a function
        from samples, (N, 3, H, W) in [0, 1] or points (N, d), to scores (N,), which may take a list
        of N prompts too, as ``reward=python`` has it.
    particles: N, 1 or more; None is what the budget buys of ``calls`` each, or 8.
    calls: network calls a particle, one a transition or more; None is the sampler's steps, what the
        budget leaves each, or the model's usual number.
    budget: network calls of all particles together; None is particles times calls.
    seed: 0 to 2^63 - 1; with the prompt and the particle's number it decides all random numbers, as
        on the command line.
    negative_prompt: what the picture shall not show, for models that take one.
    micro_batch: particles a network call, 1 or more; bounds memory.

    Raises GlassError, one line, for settings that are wrong together or on their own; ValueError
    for scores of another shape, NotFinite for those that are NaN or infinite.
    """
    check_loaded(model, "model", "load_model")
    check_loaded(reward, "reward", "load_reward")
    if not isinstance(prompt, str):
        raise GlassError(
            f"prompt must be text (got {type(prompt).__name__}); a call draws one prompt"
        )
    sampler = type_checked(Glass() if sampler is None else sampler, "sampler", "Glass()")
    if steering is None:
        steering = NoSteering() if reward is None else FeynmanKac()
    steering = type_checked(steering, "steering", "FeynmanKac()")
    values = {
        "prompt": prompt,
        "negative_prompt": negative_prompt,
        "particles": particles,
        "calls": calls,
        "budget": budget,
        "seed": seed,
        "micro_batch": micro_batch,
    }
    if particles is None or not isinstance(steering, Searching):  # which keeps so many of all
        sizes = getattr(steering, "sizes", None)
        begin = {"sizes": [*sizes]} if isinstance(sizes, tuple) else {}
        values["particles"] = with_particles({**values, "steering": begin})["particles"]
    root: Root = build_class(Root, values)
    if reward is None and (steering.needs_reward or steering.guidance > 0.0):
        what = type(steering).__name__ if steering.needs_reward else "guidance"
        raise GlassError(f"{what} needs a reward; give reward=, or steering=NoSteering()")
    if isinstance(steering, Auto):
        raise GlassError("steering=auto is for glass sample and glass eval; give a steering")
    if sampler.times == "auto":
        raise GlassError("times=auto is for glass sample and glass eval; give a list of times")
    scorer = _scorer(reward)
    try:
        check_calls(sampler, calls)
        check_scores(scorer, model, prompt)
    except ValueError as error:
        raise GlassError(one_line(error)) from error
    unknown = () if model.settings is None else model.settings.unknown_words(prompt)
    if unknown:
        warnings.warn(f"the model was never trained on: {', '.join(unknown)}", stacklevel=2)
    work = drawing.Work(
        model,
        sampler,
        steering,
        scorer,
        root.micro_batch,
        Stages(),
        calls=root.calls,
        budget=root.budget,
    )
    drawn, steps = None, list[Step]()
    for drawn in drawing.draw(work, root.prompt, root.negative_prompt, root.particles, root.seed):
        steps.append(drawn.step.cpu())
    assert drawn is not None and drawn.samples is not None
    r, best = steps[-1].rewards, steps[-1].chosen
    if best is None and r is not None:
        best = int(r.argmax())
    return Drawing(drawn.samples, r, best, steps[-1].nfe, tuple(steps))


class _FunctionReward(LoadedReward):
    """A function of samples as a reward, or of samples and as many prompts."""

    def __init__(self, function: Callable[..., Tensor]) -> None:
        self._function, self._told = function, takes_two(function)

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        return self._function(samples, *[[prompt] * len(samples)] * self._told)


def _scorer(reward: LoadedReward | Callable[..., Tensor] | None) -> LoadedReward | None:
    if reward is None:
        return None
    if LoadedReward in type(reward).__mro__:  # a Protocol, which isinstance does not take
        return cast(LoadedReward, reward)
    return _FunctionReward(cast("Callable[..., Tensor]", reward))
