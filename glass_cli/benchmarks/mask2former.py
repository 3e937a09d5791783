"""GenEval's own detector on transformers: Mask2Former (arXiv 2112.01527) and CLIP for colours.

Mask2Former Swin-S finds COCO's instances; CLIP ViT-L/14 names the colour of one by itself, zero
shot. Pictures are prepared and detections read as the published evaluator does on mmdet, whose
class order and weights the transformers checkpoint shares. Until compared with published scores on
a GPU machine, results carry the name "transformers detector".
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from glass_cli.benchmarks.geneval_rules import CONFIDENCE
from glass_cli.common import hub
from glass_cli.common.errors import GlassError, one_line
from glass_cli.detectors.detections import COLOURS, Box, Detection, Detector, LoadedDetector
from glass_cli.embedded.world.objects import CLASSES

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    from glass_cli.rewards.two_towers import TwoTowers

KEY = "benchmark.transformers"
LONGEST, SHORTEST = 1333, 800  # pixels, to which pictures are scaled, whichever binds first
PADDING = 32  # sides are filled up to its multiples
BEST = 100  # pairs of query and class
MEAN, STD = (123.675, 116.28, 103.53), (58.395, 57.12, 57.375)  # ImageNet's, of 255
GREY = 153  # #999999
_FILES = ("config.json", "*.safetensors", "*.safetensors.index.json")
_CLIP_FILES = ("config.json",)


@dataclass(frozen=True)
class Mask2Former(Detector):
    """A segmenter, and a CLIP that names colours; always in float32.

    path: the segmenter, a repository of the hub or a folder. It must know COCO's 80 classes in
        COCO's order, which is GenEval's; a few names differ in wording ("tv remote" is COCO's
        "remote"), so classes go by place.
    clip: the CLIP, likewise.
    """

    path: str = "facebook/mask2former-swin-small-coco-instance"
    clip: str = "openai/clip-vit-large-patch14"

    def __post_init__(self) -> None:
        hub.check(self.path, f"{KEY}.path", ["config.json"], "the folder of a Mask2Former")
        hub.check(self.clip, f"{KEY}.clip", _CLIP_FILES, "the folder of a CLIP model")

    @property
    def classes(self) -> None:
        """All 80."""
        return None

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedMask2Former:
        """Reads both (safetensors only). Raises GlassError where they cannot be had."""
        import torch
        from transformers import CLIPTokenizer

        from glass_cli.common import checkpoint
        from glass_cli.rewards import two_towers
        from glass_cli.rewards.pixels import ShortestSide

        segmenter, head = _segmenter(self.path)
        key = f"{KEY}.clip"
        clip = two_towers.model_of_folder(self.clip, key, torch.float32)
        vocabulary = clip.config.text_config.vocab_size
        tokenizer = checkpoint.tokenizer(CLIPTokenizer, self.clip, key, vocabulary)
        # torchvision's centre crop, which the evaluator uses
        pixels = ShortestSide(int(clip.config.vision_config.image_size), corner="even")
        towers = two_towers.TwoTowers(clip.to(device), tokenizer, pixels, batch=1)
        return LoadedMask2Former(segmenter.to(device), head.to(device), towers)


def _segmenter(path: str) -> tuple[Any, Any]:
    """Mask2Former without its training loss (which needs scipy), and its classifier of queries."""
    import torch
    from safetensors import safe_open
    from transformers import Mask2FormerModel

    from glass_cli.pipelines.vendors import quiet

    quiet()
    key = f"{KEY}.path"
    folder = hub.folder(path, key, _FILES)
    try:
        with hub.explained(path, key):
            model, info = Mask2FormerModel.from_pretrained(
                folder,
                dtype=torch.float32,
                use_safetensors=True,
                local_files_only=True,
                output_loading_info=True,
            )
    except GlassError:
        raise
    except Exception as error:
        # transformers refuses a folder in many ways
        raise GlassError(f"{key}={path} is no Mask2Former ({one_line(error)})") from error
    weights: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), "pt") as tensors:
            there = set(tensors.keys())
            for part in ("weight", "bias"):
                if f"class_predictor.{part}" in there:
                    weights[part] = tensors.get_tensor(f"class_predictor.{part}").float()
    lost = sorted(info["missing_keys"]) or [p for p in ("weight", "bias") if p not in weights]
    if lost:
        raise GlassError(f"{key}={path} lacks weights ({lost[0]}); download it again")
    classes = len(weights["bias"]) - 1
    if classes != len(CLASSES):
        raise GlassError(
            f"{key}={path} knows {classes} classes; GenEval needs COCO's {len(CLASSES)} instances"
        )
    _check_order(path, model.config.id2label)
    head = torch.nn.Linear(weights["weight"].shape[1], classes + 1)
    head.load_state_dict(weights)
    return model.requires_grad_(False).eval(), head.requires_grad_(False)


def _check_order(path: str, labels: dict[int, str]) -> None:
    """Every class that the checkpoint calls by GenEval's name stands in GenEval's place."""
    for place, label in labels.items():
        if label in CLASSES and CLASSES.index(label) != int(place):
            raise GlassError(
                f"{KEY}.path={path} has {label} as class {place}, COCO as"
                f" {CLASSES.index(label)}; give a model of COCO's instances"
            )


class Prepared(NamedTuple):
    """A picture for the network (1, 3, H, W), and its size before padding."""

    pixels: Tensor
    size: tuple[int, int]


def prepared(image: Tensor) -> Prepared:
    """An image (3, H, W) in [0, 1], scaled (bilinear, in 256 levels), normalised and padded."""
    from torch.nn.functional import interpolate, pad

    x = (image.float() * 255.0).round().clamp(0.0, 255.0)[None]
    height, width = x.shape[-2:]
    scale = min(LONGEST / max(height, width), SHORTEST / min(height, width))
    size = int(height * scale + 0.5), int(width * scale + 0.5)
    x = interpolate(x, size, mode="bilinear", align_corners=False).round()
    mean, std = (x.new_tensor(values)[:, None, None] for values in (MEAN, STD))
    x = (x - mean) / std
    return Prepared(pad(x, (0, -size[1] % PADDING, 0, -size[0] % PADDING)), size)


def instances(
    class_logits: Tensor,
    mask_logits: Tensor,
    padded: tuple[int, int],
    scaled: tuple[int, int],
    original: tuple[int, int],
) -> list[Detection]:
    """Detections from the logits of queries, (Q, classes + 1) and (Q, h, w).

    The best 100 pairs of query and class by the class's probability (softmax, the null class, the
    last, then left out). Mask logits go up to the ``padded`` picture's size, are cut to the
    ``scaled`` one's and go to the ``original`` one's, bilinear, and are cut at 0. A score is the
    class's probability times the mean probability of the mask's pixels; the box is the mask's.
    Pairs that cannot pass the least confidence, since their class's probability does not, are left
    out, and empty masks too, whose score is 0.
    """
    from torch.nn.functional import interpolate

    classes = class_logits.shape[1] - 1
    chances = class_logits.softmax(1)[:, :-1].flatten()
    best = chances.topk(min(BEST, len(chances)))
    masks: dict[int, tuple[Tensor, float, Box] | None] = {}
    detections: list[Detection] = []
    for chance, place in zip(best.values.tolist(), best.indices.tolist(), strict=True):
        if chance <= CONFIDENCE:
            break
        query, name = place // classes, CLASSES[place % classes]
        if query not in masks:
            logits = mask_logits[query][None, None]
            logits = interpolate(logits, padded, mode="bilinear", align_corners=False)
            logits = logits[..., : scaled[0], : scaled[1]]
            logits = interpolate(logits, original, mode="bilinear", align_corners=False)
            masks[query] = _mask(logits[0, 0])
        if (mask := masks[query]) is not None:
            detections.append(Detection(name, chance * mask[1], mask[2], mask[0]))
    return detections


def _mask(logits: Tensor) -> tuple[Tensor, float, Box] | None:
    """The mask (H, W), its pixels' mean probability and its box; None for an empty one."""
    mask = logits > 0
    if not bool(mask.any()):
        return None
    inside = logits.sigmoid()[mask]
    mean = float(inside.sum() / (len(inside) + 1e-6))
    rows, columns = mask.any(1).nonzero()[:, 0], mask.any(0).nonzero()[:, 0]
    box = (columns[0], rows[0], columns[-1] + 1, rows[-1] + 1)
    x0, y0, x1, y1 = (float(v) for v in box)
    return mask.cpu(), mean, (x0, y0, x1, y1)


class LoadedMask2Former(LoadedDetector):
    """See :class:`glass_cli.detectors.detections.LoadedDetector`."""

    def __init__(self, segmenter: Any, head: Any, towers: TwoTowers) -> None:
        self._segmenter, self._head, self._towers = segmenter, head, towers
        self._texts: dict[str, Tensor] = {}

    def detect(self, images: Tensor) -> list[list[Detection]]:
        import torch

        detections = []
        with torch.no_grad():
            for image in images:
                x, scaled = prepared(image.to(self._segmenter.device))
                out = self._segmenter(x, output_hidden_states=True)
                # (queries, 1, width) after the decoder's last layer
                queries = out.transformer_decoder_intermediate_states[-1].transpose(0, 1)
                height, width = x.shape[-2:]
                detections.append(
                    instances(
                        self._head(queries)[0],
                        out.masks_queries_logits[-1][0],
                        (height, width),
                        scaled,
                        (image.shape[-2], image.shape[-1]),
                    )
                )
        return detections

    def colours(self, image: Tensor, detections: Sequence[Detection], name: str) -> list[str]:
        import torch

        with torch.no_grad():
            texts = self._classifier(name)
            seen = [
                self._towers.pictures(cut_out(image, detection)[None].to(texts.device))[0]
                for detection in detections
            ]
            return [COLOURS[int((texts @ one).argmax())] for one in seen]

    def _classifier(self, name: str) -> Tensor:
        """A unit vector for each of COLOURS, (10, d): the mean over the prompt's wordings."""
        import torch

        if name not in self._texts:
            rows = []
            for colour in COLOURS:
                wordings = (
                    f"a photo of a {colour} {name}",
                    f"a photo of a {colour}-colored {name}",
                    f"a photo of a {colour} object",
                )
                mean = torch.stack([self._towers.text(wording) for wording in wordings]).mean(0)
                rows.append(mean / mean.norm())
            self._texts[name] = torch.stack(rows)
        return self._texts[name]


def cut_out(image: Tensor, detection: Detection) -> Tensor:
    """The object's box of the image (3, H, W) in 256 levels, all but its mask painted #999999."""
    import torch

    levels = (image.float() * 255.0).round().clamp(0.0, 255.0)
    if detection.mask is not None:
        levels = torch.where(detection.mask.to(levels.device), levels, GREY)
    x0, y0, x1, y1 = (round(v) for v in detection.box)
    return levels[:, y0:y1, x0:x1] / 255.0
