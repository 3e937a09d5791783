"""Text-to-image pipelines of diffusers as flows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from glass_cli.common import hub

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from glass_cli.method.path import Path
    from glass_cli.pipelines.session import Session


@dataclass(frozen=True)
class DiffusersPipeline:
    """Any text-to-image pipeline of diffusers: flow matching, epsilon, v or sample prediction.

    path: a folder, a hub repository, or ``embedded:<name>``; revision, variant and
    local_files_only as in diffusers. guidance, height, width, calls (network calls a particle) and
    shift (time shift of the model's own schedule) are the pipeline's own where they are null;
    ``arguments`` go to every call of the pipeline (true_cfg_scale, max_sequence_length, ...).

    offload: "model" or "sequential" keeps weights on the CPU while they are not used. lora: LoRA
    weights (folder, file or repository) at ``lora_scale``; ``lora_file`` is the one to take where
    there are several. quantization: by component, the name and arguments of a quantisation class of
    diffusers (of transformers for text encoders), or the arguments of diffusers'
    PipelineQuantizationConfig. compile: torch.compile of the network.

    Weights are read from safetensors alone, and no code of a repository is run.
    """

    output: ClassVar[Literal["images"]] = "images"

    path: str
    guidance: float | None = None
    height: int | None = None
    width: int | None = None
    calls: int | None = None
    shift: float | None = None
    arguments: dict[str, Any] = field(default_factory=dict)
    revision: str | None = None
    variant: str | None = None
    local_files_only: bool = False
    offload: Literal["none", "model", "sequential"] = "none"
    vae_slicing: bool = False
    vae_tiling: bool = False
    compile: bool = False
    lora: str | None = None
    lora_file: str | None = None
    lora_scale: float = 1.0
    quantization: dict[str, Any] | None = None

    def __post_init__(self) -> None:
        if not self.path.strip():
            raise ValueError("model.path is empty; give a folder or a hub repository (owner/name)")
        what = "the folder of a diffusers pipeline"
        hub.check(self.path, "model.path", ("model_index.json",), what)
        if self.lora is not None:
            hub.check(self.lora, "model.lora", what="LoRA weights")
        if self.shift is not None and not self.shift > 0.0:
            raise ValueError(f"model.shift must be above 0 (got {self.shift})")
        if (self.height is None) != (self.width is None):
            raise ValueError("model.height and model.width go together; give both")
        for name in ("height", "width", "calls"):
            value = getattr(self, name)
            if value is not None and value < 1:
                raise ValueError(f"model.{name} must be at least 1 (got {value})")

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedPipeline:
        """Reads the weights onto ``device``. Raises GlassError where they cannot be had."""
        from glass_cli.pipelines.loading import call_arguments, load

        pipe = load(self, device, dtype)
        arguments = call_arguments(self, type(pipe))
        return LoadedPipeline(pipe, arguments, self.shift, self.calls)


class LoadedPipeline:
    """A pipeline in memory; see :class:`glass_cli.models.base.LoadedModel`.

    ``arguments`` go to every call of the pipeline; ``shift`` and ``calls`` replace its own.
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
        from glass_cli.models.base import state_dtype
        from glass_cli.pipelines.prediction import Prediction
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
            arguments["negative_prompt"] = negative_prompt
        # decoding is a call of the pipeline too: by the same words nothing is encoded anew
        self._prompted = arguments
        return PromptedPipeline(self, arguments, micro_batch)

    def decode(self, x: Tensor) -> Tensor:
        """Latents (N, *shape) to images (N, 3, H, W), float32 in [0, 1]; differentiable."""
        from glass_cli.pipelines.session import decode

        return decode(self.pipe, x, self._prompted)


class PromptedPipeline:
    """The pipeline's flow under one prompt; one suspended pipeline call for each batch size."""

    def __init__(self, model: LoadedPipeline, arguments: dict[str, Any], micro_batch: int) -> None:
        from glass_cli.pipelines.batches import Batches

        self._model, self._arguments = model, arguments
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
        """Ends the suspended pipeline calls."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
