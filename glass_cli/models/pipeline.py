"""Text-to-image pipelines of diffusers as flows."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar, Literal

from glass_cli.method import path as paths

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from glass_cli.models.session import Session

EMBEDDED = Path(__file__).parents[1] / "weights"


@dataclass(frozen=True)
class DiffusersPipeline:
    """A pipeline folder: ``path`` is a folder, or ``embedded:<name>`` for one in the package.

    guidance: classifier-free guidance scale; null keeps the pipeline's own default. shift: time
    shift of the model's own schedule; null reads it from the scheduler's configuration.
    """

    output: ClassVar[Literal["images"]] = "images"

    path: str
    guidance: float | None = None
    shift: float | None = None

    def __post_init__(self) -> None:
        if not (self.folder / "model_index.json").is_file():
            raise ValueError(
                f"model.path={self.path} has no model_index.json ({self.folder}); give the folder"
                " of a diffusers pipeline"
            )
        if self.shift is not None and not self.shift > 0.0:
            raise ValueError(f"model.shift must be above 0 (got {self.shift})")

    @property
    def folder(self) -> Path:
        kind, _, name = self.path.partition(":")
        return EMBEDDED / name if kind == "embedded" else Path(self.path).expanduser()

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedPipeline:
        """Reads the weights (safetensors only, no remote code)."""
        import diffusers

        # diffusers takes a component from outside its own modules only where that is imported
        import glass_cli.models.codec  # noqa: F401
        from glass_cli.models.vendors import quiet

        quiet()
        pipe = diffusers.DiffusionPipeline.from_pretrained(
            self.folder, dtype=dtype, use_safetensors=True, local_files_only=True
        )
        pipe.set_progress_bar_config(disable=True)
        pipe.to(device)
        return LoadedPipeline(pipe, self.guidance, self.shift)


def _prediction(scheduler: Any) -> tuple[str, paths.Path, float]:
    """What the network predicts, its path, and its schedule's shift."""
    config = scheduler.config
    kind = str(config.get("prediction_type") or "flow_prediction")
    flow_matching = "FlowMatch" in type(scheduler).__name__
    if flow_matching or kind == "flow_prediction":
        shift = config.get("flow_shift") or config.get("shift") or 1.0
        return "flow", paths.CondOT(), float(shift)
    if kind not in ("epsilon", "v_prediction"):
        raise ValueError(f"the pipeline's scheduler has prediction_type={kind}, which is not known")
    table = scheduler.alphas_cumprod.double().tolist()
    return kind, paths.DiscreteVP(tuple(table)), 1.0


class LoadedPipeline:
    """A pipeline in memory; see :class:`glass_cli.models.base.LoadedModel`."""

    def __init__(self, pipe: Any, guidance: float | None, shift: float | None) -> None:
        import torch

        from glass_cli.models.base import state_dtype
        from glass_cli.models.session import Session

        self.pipe = pipe
        self.kind, self.path, own_shift = _prediction(pipe.scheduler)
        self.shift = own_shift if shift is None else shift
        self.arguments: dict[str, Any] = {} if guidance is None else {"guidance_scale": guidance}
        self.train_steps = int(pipe.scheduler.config.num_train_timesteps)
        device = pipe._execution_device
        self.state = torch.empty(0, device=device, dtype=state_dtype(device))
        # one network call on latents that the pipeline makes itself tells their shape
        probe = Session(pipe, {**self.arguments, "prompt": ""}, 1)
        with torch.no_grad():
            probe(None, 0.0)
        self.shape = probe.shape
        probe.close()

    def prompted(self, prompt: str, negative_prompt: str, micro_batch: int) -> PromptedPipeline:
        arguments = {**self.arguments, "prompt": prompt}
        if negative_prompt:
            arguments["negative_prompt"] = negative_prompt
        return PromptedPipeline(self, arguments, micro_batch)

    def decode(self, x: Tensor) -> Tensor:
        """Latents (N, *shape) to images (N, 3, H, W), float32 in [0, 1]."""
        vae = self.pipe.vae
        z = x / vae.config.scaling_factor + (vae.config.get("shift_factor") or 0.0)
        pixels: Tensor = vae.decode(z.to(vae.dtype), return_dict=False)[0]
        return (pixels.float() / 2 + 0.5).clamp(0.0, 1.0)


class PromptedPipeline:
    """The pipeline's flow under one prompt; one suspended pipeline call for each batch size."""

    def __init__(self, model: LoadedPipeline, arguments: dict[str, Any], micro_batch: int) -> None:
        self._model, self._arguments, self._micro_batch = model, arguments, micro_batch
        self._sessions: dict[int, Session] = {}

    @property
    def path(self) -> paths.Path:
        return self._model.path

    @property
    def shift(self) -> float:
        return self._model.shift

    def denoise(self, x: Tensor, t: float) -> Tensor:
        import torch

        return torch.cat([self._denoise(part, t) for part in x.split(self._micro_batch)])

    def _denoise(self, x: Tensor, t: float) -> Tensor:
        import torch

        from glass_cli.models.session import Session

        model = self._model
        if len(x) not in self._sessions:
            self._sessions[len(x)] = Session(model.pipe, self._arguments, len(x))
        if isinstance(model.path, paths.DiscreteVP):
            timestep = float(round(model.path.step_of(t)))
        else:
            timestep = model.train_steps * (1.0 - t)
        with torch.no_grad():
            out = self._sessions[len(x)](x.to(model.pipe.dtype), timestep).to(x.dtype)
        if model.kind == "flow":
            # diffusers' velocity points from data to noise
            return paths.denoiser_from_velocity(model.path, t, x, -out)
        if model.kind == "epsilon":
            return paths.denoiser_from_epsilon(model.path, t, x, out)
        return paths.denoiser_from_v(model.path, t, x, out)

    def close(self) -> None:
        """Ends the suspended pipeline calls."""
        for session in self._sessions.values():
            session.close()
        self._sessions.clear()
