"""Text-to-image pipelines of diffusers as flows."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from glass_cli.models import emoji_world
from glass_cli.models.base import LoadedModel, Model, PromptedFlow
from glass_cli.pipelines.options import PipelineOptions
from glass_cli.rewards.base import EMOJI

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from glass_cli.method.path import Path
    from glass_cli.pipelines.session import Session


@dataclass(frozen=True)
class DiffusersPipeline(PipelineOptions, Model):
    """Any text-to-image pipeline of diffusers; the fields are those of
    :class:`glass_cli.pipelines.options.PipelineOptions`."""

    @property
    def world(self) -> str | None:  # type: ignore[override]  # here the weights decide
        """ "emoji" for the embedded pipeline, and for others with its decoder."""
        return EMOJI if emoji_world.draws_emoji(self.path) else None

    def unknown_words(self, prompt: str) -> Sequence[str]:
        return emoji_world.unknown_words(prompt) if self.world == EMOJI else ()

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedPipeline:
        """Reads the weights onto ``device``. Raises GlassError where they cannot be had."""
        import glass_cli.scheduler  # noqa: F401 - diffusers finds a saved GlassScheduler only then
        from glass_cli.pipelines.loading import load
        from glass_cli.pipelines.pipeline_class import call_arguments

        pipe = load(self, device, dtype)
        arguments = call_arguments(self, type(pipe))
        return LoadedPipeline(pipe, arguments, self.shift, self.calls)


class LoadedPipeline(LoadedModel):
    """A pipeline in memory.

    pipe: the diffusers pipeline.
    arguments: of every call of it.
    shift, calls: replace its own; None keeps them.
    """

    def __init__(
        self,
        pipe: Any,
        arguments: dict[str, Any] | None = None,
        shift: float | None = None,
        calls: int | None = None,
    ) -> None:
        import inspect
        from dataclasses import replace

        import torch

        from glass_cli.common.errors import GlassError, one_line
        from glass_cli.pipelines.prediction import Prediction, state_dtype
        from glass_cli.pipelines.session import probe

        self.pipe, self.arguments = pipe, arguments or {}
        own = inspect.signature(type(pipe).__call__).parameters["num_inference_steps"].default
        self.calls = calls or int(own)
        try:
            prediction = Prediction.of(pipe.scheduler)
            probed = probe(pipe, {**self.arguments, "prompt": ""}, self.calls)
        except ValueError as error:
            raise GlassError(f"model: {one_line(error)}") from error
        self.shape = probed.shape
        prediction = prediction.shifted_by(pipe.scheduler, probed.mu, probed.given_times)
        self.prediction = prediction if shift is None else replace(prediction, shift=shift)
        device = pipe._execution_device
        self.state = torch.empty(0, device=device, dtype=state_dtype(device))
        self._prompted: dict[str, Any] = {**self.arguments, "prompt": ""}
        self._network_stays = True  # on the device while pictures are decoded, where it waits else

    @property
    def path(self) -> Path:
        return self.prediction.path

    @property
    def shift(self) -> float:
        return self.prediction.shift

    def prompted(self, prompt: str, negative_prompt: str, micro_batch: int) -> PromptedPipeline:
        import inspect

        from glass_cli.common.errors import GlassError

        arguments = {**self.arguments, "prompt": prompt}
        kind = type(self.pipe)
        if negative_prompt:
            takes = inspect.signature(kind.__call__).parameters
            if "negative_prompt" not in takes:
                raise GlassError(
                    f"{kind.__name__} takes no negative_prompt; leave it empty for this model"
                )
            true_cfg = takes.get("true_cfg_scale")
            if true_cfg and arguments.get("true_cfg_scale", true_cfg.default) <= 1.0:
                raise GlassError(
                    f"{kind.__name__} heeds a negative_prompt only where"
                    " model.arguments.true_cfg_scale is above 1; set it, or leave the prompt empty"
                )
            if not true_cfg and not self._guided(takes):
                raise GlassError(
                    f"{kind.__name__} heeds a negative_prompt only with classifier-free guidance,"
                    " which this model is used without; set model.guidance above 1, or leave the"
                    " prompt empty"
                )
            arguments["negative_prompt"] = negative_prompt
        # decoding is a call of the pipeline too: by the same words nothing is encoded anew
        self._prompted = arguments
        return PromptedPipeline(self, arguments, micro_batch)

    def _guided(self, takes: Mapping[str, Any]) -> bool:
        """Whether the pipeline asks its network without the prompt too, by its own rule."""
        if "guidance_scale" not in takes:
            return True
        default = takes["guidance_scale"].default
        # what a call sets before its first look at the rule
        self.pipe._guidance_scale = self.arguments.get("guidance_scale", default)
        return bool(getattr(self.pipe, "do_classifier_free_guidance", True))

    def decode(self, x: Tensor) -> Tensor:
        """Latents (N, *shape) to images (N, 3, H, W), float32 in [0, 1]; differentiable."""
        import torch

        from glass_cli.pipelines.offload import is_offloaded, network_stays
        from glass_cli.pipelines.session import decode

        if self._network_stays and is_offloaded(self.pipe):
            try:
                with network_stays(self.pipe):
                    return decode(self.pipe, x, self._prompted)
            except torch.OutOfMemoryError:
                self._network_stays = False  # there is no room for both
            self.pipe.maybe_free_model_hooks()
        return decode(self.pipe, x, self._prompted)


class PromptedPipeline(PromptedFlow):
    """The pipeline's flow under one prompt; one suspended pipeline call for each batch size."""

    def __init__(self, model: LoadedPipeline, arguments: dict[str, Any], micro_batch: int) -> None:
        from glass_cli.pipelines.batches import Batches

        self._model, self._arguments = model, arguments
        height, width = arguments.get("height"), arguments.get("width")
        self.aspect = float(height) / float(width) if height and width else 1.0
        self._batches = Batches(micro_batch, before_retry=self.close)
        self._sessions: dict[int, Session] = {}

    @property
    def path(self) -> Path:
        return self._model.path

    @property
    def shift(self) -> float:
        return self._model.shift

    def denoise(self, x: Tensor, t: float) -> Tensor:
        return self._batches.map(self._at(t), x)

    def _at(self, t: float) -> Callable[[Tensor], Tensor]:
        import torch

        from glass_cli.pipelines.session import Session

        model = self._model

        def denoised(x: Tensor) -> Tensor:
            if len(x) not in self._sessions:
                self._sessions[len(x)] = Session(model.pipe, self._arguments, len(x))
            with torch.no_grad():
                out = self._sessions[len(x)](x, model.prediction.timestep(t))
            return model.prediction.denoised(x, t, out.to(x.dtype))

        return denoised

    def close(self) -> None:
        """Ends the suspended pipeline calls, and puts offloaded weights away."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
        self._model.pipe.maybe_free_model_hooks()
