"""Which diffusers class a model's index names, and what calls of it take."""

from __future__ import annotations

import inspect
import json
import sys
from typing import Any

import diffusers

from glass_cli.common import hub
from glass_cli.common.errors import GlassError, near, shown
from glass_cli.pipelines.options import PipelineOptions

# what every text-to-image pipeline that can be driven through its scheduler takes
_NEEDED = ("prompt", "latents", "num_inference_steps", "num_images_per_prompt", "output_type")
# what the pipeline is told at every call and by nobody else
_OURS = {*_NEEDED, "generator", "return_dict", "timesteps", "sigmas"}
_OURS |= {"callback_on_step_end", "callback", "prompt_embeds"}


def find_class(settings: PipelineOptions) -> tuple[Any, dict[str, None]]:
    """The pipeline's class by its model_index.json, before any weights are read.

    And the components that are not loaded: those that the index leaves empty (diffusers takes them
    for missing files), and a safety checker.
    """
    source = settings.revision, settings.local_files_only
    index = hub.file(settings.path, "model_index.json", "model.path", *source)
    try:
        parts = json.loads(index.read_text(encoding="utf-8"))
        name = parts.get("_class_name")
    except (json.JSONDecodeError, AttributeError, UnicodeDecodeError):
        raise GlassError(f"model.path={settings.path}: {index} is damaged") from None
    pipeline = getattr(diffusers, name, None) if isinstance(name, str) else None
    if pipeline is None:
        raise GlassError(
            f"model.path={settings.path} is a {name}, which diffusers {diffusers.__version__} does"
            " not have (code from a model's repository is never run); a newer diffusers may have it"
        )
    takes = inspect.signature(pipeline.__call__).parameters
    missing = [word for word in _NEEDED if word not in takes]
    if missing:
        raise GlassError(
            f"model.path={settings.path} is a {name}, which takes no {missing[0]}; give a"
            " text-to-image pipeline"
        )
    for part, value in parts.items():
        # older diffusers import whatever module is named, which may be a file of the repository
        named = isinstance(value, list) and [type(word) for word in value[:2]] == [str, str]
        if named and not _is_known(library := value[0]):
            raise GlassError(
                f"model.path={settings.path}: {index} names {shown(library)} for its {part}, which"
                " is of neither diffusers nor transformers (code from a model's repository is"
                " never run)"
            )
    empty = [part for part, value in parts.items() if value == [None, None]]
    checker = {"safety_checker"} & parts.keys()
    return pipeline, dict.fromkeys([*empty, *checker])


def _is_known(library: str) -> bool:
    """Whether a pipeline's parts may come from a module: diffusers, a pipeline's own module in it,
    transformers, or what this program has imported of itself."""
    known = {"diffusers", "transformers", *sys.modules}
    return library in known or hasattr(diffusers.pipelines, library)


def without_watermark(pipeline_class: Any) -> dict[str, bool]:
    """SDXL's watermark would go into every picture that is scored, and has no gradient."""
    takes = inspect.signature(pipeline_class.__init__).parameters
    return {"add_watermarker": False} if "add_watermarker" in takes else {}


def call_arguments(settings: PipelineOptions, pipeline_class: Any) -> dict[str, Any]:
    """What every call of the pipeline is given beside its prompt. Raises GlassError."""
    takes = inspect.signature(pipeline_class.__call__).parameters
    given = {"guidance_scale": settings.guidance, "height": settings.height}
    given |= {"width": settings.width}
    arguments = {key: value for key, value in given.items() if value is not None}
    arguments |= settings.arguments
    for key in arguments:
        if key in _OURS:
            raise GlassError(
                f"model.arguments.{key} is given by glass itself; use its own settings (prompt,"
                " particles, calls, seed, ...)"
            )
        if key not in takes:
            where = "model.guidance" if key == "guidance_scale" else f"model.arguments.{key}"
            hint = near(key, takes)
            raise GlassError(f"{where}: {pipeline_class.__name__} takes no {key}{hint}")
    return arguments
