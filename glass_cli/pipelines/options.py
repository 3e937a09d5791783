"""Which diffusers pipeline to load, and how."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from glass_cli.common import hub


@dataclass(frozen=True)
class PipelineOptions:
    """A text-to-image pipeline of diffusers: flow matching, epsilon, v or sample prediction.

    Names and meanings are diffusers' own where it has them. Weights are read from safetensors
    alone, and no code of a repository is run. Raises ValueError for a value out of its range.

    path: a folder, a hub repository (owner/name), or ``embedded:<name>``.
    guidance: strength of classifier-free guidance; null, as in the next four: the pipeline's own.
    height, width: of a picture, in pixels; both or neither.
    calls: network calls a particle, 1 or more.
    shift: time shift of the model's own schedule, above 0; 1 is uniform in t (arXiv 2403.03206,
        eq. 23).
    arguments: of every call of the pipeline (true_cfg_scale, max_sequence_length, ...).
    revision, variant, local_files_only: of the hub repository.
    offload: "model" or "sequential" keeps weights on the CPU while they are not used.
    vae_slicing, vae_tiling: decode picture by picture, or in tiles, to save memory.
    compile: torch.compile of the network.
    lora: LoRA weights (folder, file or repository); null for none.
    lora_file: the one to take where ``lora`` has several.
    lora_scale: strength of the LoRA weights; 1 as trained, 0 none.
    quantization: by component, the name and arguments of a quantisation class of diffusers (of
        transformers for text encoders), or the arguments of diffusers' PipelineQuantizationConfig.
    """

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
