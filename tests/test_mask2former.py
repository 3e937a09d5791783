"""GenEval's detector on transformers: tiny random models against reading by hand in numpy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import (
    CLIPConfig,
    CLIPModel,
    Mask2FormerConfig,
    Mask2FormerForUniversalSegmentation,
    SwinConfig,
)

from glass_cli.benchmarks.mask2former import (
    MEAN,
    STD,
    LoadedMask2Former,
    Mask2Former,
    cut_out,
    instances,
    prepared,
)
from glass_cli.common.errors import GlassError
from glass_cli.common.hub import EMBEDDED
from glass_cli.detectors.detections import COLOURS, Detection
from glass_cli.embedded.world.objects import CLASSES

CPU = torch.device("cpu")


def segmenter(labels: list[str]) -> Mask2FormerForUniversalSegmentation:
    swin = SwinConfig(
        image_size=64,
        embed_dim=8,
        depths=[1, 1, 1, 1],
        num_heads=[1, 1, 2, 2],
        window_size=4,
        out_features=["stage1", "stage2", "stage3", "stage4"],
    )
    config = Mask2FormerConfig(
        backbone_config=swin,
        feature_size=32,
        mask_feature_size=32,
        hidden_dim=32,
        encoder_feedforward_dim=16,
        dim_feedforward=16,
        encoder_layers=1,
        decoder_layers=2,
        num_attention_heads=2,
        num_queries=5,
        id2label=dict(enumerate(labels)),
        label2id={label: i for i, label in enumerate(labels)},
    )
    torch.manual_seed(0)
    model = Mask2FormerForUniversalSegmentation(config).eval()
    # random weights spread the classes evenly; a steeper head is confident of some
    model.class_predictor.weight.data.normal_(0, 3)
    return model


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """A tiny segmenter of COCO's classes, and the package's CLIP as it was trained."""
    path = tmp_path_factory.mktemp("segmenter")
    labels = [{"tv remote": "remote", "airplane": "aeroplane"}.get(c, c) for c in CLASSES]
    segmenter(labels).save_pretrained(path)
    return path, EMBEDDED / "clip"


@pytest.fixture(scope="module")
def loaded(folders: tuple[Path, Path]) -> LoadedMask2Former:
    return Mask2Former(*map(str, folders)).load(CPU, torch.float32)


def by_hand(
    class_logits: np.ndarray, mask_logits: np.ndarray, padded: Any, scaled: Any, original: Any
) -> list[tuple[str, float, tuple[float, ...], np.ndarray]]:
    """The published reading: softmax, best 100, masks up and cut, scores and boxes."""
    e = np.exp(class_logits - class_logits.max(1, keepdims=True))
    chances = (e / e.sum(1, keepdims=True))[:, :-1]
    pairs = sorted(np.ndindex(chances.shape), key=lambda p: -chances[p])[:100]
    found = []
    for query, label in pairs:
        logits = linear(mask_logits[query], padded)[: scaled[0], : scaled[1]]
        logits = linear(logits, original)
        mask = logits > 0
        if not mask.any():
            continue
        rows, columns = np.flatnonzero(mask.any(1)), np.flatnonzero(mask.any(0))
        box = (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1)
        mean = (1 / (1 + np.exp(-logits[mask]))).mean()
        found.append((CLASSES[label], chances[query, label] * mean, box, mask))
    return found


def linear(x: np.ndarray, size: tuple[int, int]) -> np.ndarray:
    """Bilinear with half-pixel centres, borders repeated, no smoothing when smaller."""
    for axis, new in enumerate(size):
        old = x.shape[axis]
        place = np.clip((np.arange(new) + 0.5) * old / new - 0.5, 0, old - 1)
        low = np.floor(place).astype(int)
        high = np.minimum(low + 1, old - 1)
        share = np.expand_dims(place - low, 1 - axis)
        x = x.take(low, axis) * (1 - share) + x.take(high, axis) * share
    return x


def test_reading_is_the_published_one() -> None:
    rng = np.random.default_rng(0)
    classes = 6 * rng.normal(size=(7, 81))
    blobs = 3 * rng.normal(size=(7, 6, 8))
    blobs[3] = -5.0  # an empty mask
    sizes = (24, 32), (24, 27), (50, 61)
    found = instances(torch.from_numpy(classes), torch.from_numpy(blobs), *sizes)
    wanted = [one for one in by_hand(classes, blobs, *sizes) if one[1] > 0.3]
    assert len(wanted) >= 3
    # instances leaves out only what cannot reach GenEval's cut
    kept = [one for one in found if one.score > 0.3]
    assert [one.name for one in kept] == [name for name, *_ in wanted]
    for one, (_, score, box, mask) in zip(kept, wanted, strict=True):
        assert one.score == pytest.approx(score, abs=1e-6)
        assert one.box == box
        assert one.mask is not None and np.array_equal(one.mask.numpy(), mask)


def test_a_query_may_be_two_classes() -> None:
    """As in the published evaluator: pairs are ranked, not queries."""
    logits = torch.full((1, 81), -20.0)
    logits[0, 15] = logits[0, 16] = 0.0
    found = instances(logits, torch.full((1, 4, 4), 20.0), (16, 16), (16, 16), (16, 16))
    assert sorted(one.name for one in found) == ["cat", "dog"]
    assert [one.score for one in found] == pytest.approx([0.5, 0.5], abs=1e-6)
    assert found[0].box == (0, 0, 16, 16)


def test_the_null_class_takes_its_share_but_is_never_found() -> None:
    logits = torch.full((2, 81), -20.0)
    logits[0, 80] = 10.0
    logits[1, 80], logits[1, 0] = 0.0, np.log(1.5)
    found = instances(logits, torch.full((2, 4, 4), 20.0), (16, 16), (16, 16), (16, 16))
    assert [(one.name, pytest.approx(one.score, abs=1e-5)) for one in found] == [("person", 0.6)]


@pytest.mark.parametrize(
    ("size", "scaled", "padded"),
    [
        ((64, 64), (800, 800), (800, 800)),
        ((100, 50), (1333, 667), (1344, 672)),  # the longer side binds first
        ((600, 1000), (800, 1333), (800, 1344)),
        ((1024, 1024), (800, 800), (800, 800)),
    ],
)
def test_pictures_are_scaled_and_padded_as_published(
    size: tuple[int, int], scaled: tuple[int, int], padded: tuple[int, int]
) -> None:
    image = torch.rand(3, *size, generator=torch.Generator().manual_seed(0))
    out, inside = prepared(image)
    assert inside == scaled and tuple(out.shape) == (1, 3, *padded)
    levels = np.round(image.numpy() * 255)
    for channel in range(3):
        wanted = np.round(linear(levels[channel], scaled))
        wanted = (wanted - MEAN[channel]) / STD[channel]
        got = out[0, channel, : scaled[0], : scaled[1]].numpy()
        # float32 may round a value half-way between two levels to the other; at these scales the
        # weights are often dyadic, and a few values in a thousand lie exactly there
        assert np.mean(np.abs(got - wanted) > 1e-3) < 5e-3
        assert np.abs(got - wanted).max() < 1.01 / STD[channel]
    assert (out[0, :, scaled[0] :] == 0).all() and (out[0, :, :, scaled[1] :] == 0).all()


def test_the_whole_agrees_with_transformers_own_model(
    loaded: LoadedMask2Former, folders: tuple[Path, Path]
) -> None:
    image = torch.rand(3, 40, 56, generator=torch.Generator().manual_seed(1))
    model = Mask2FormerForUniversalSegmentation.from_pretrained(folders[0]).eval()
    x, scaled = prepared(image)
    with torch.no_grad():
        out = model(x)
    logits = out.class_queries_logits[0].numpy(), out.masks_queries_logits[0].numpy()
    wanted = [one for one in by_hand(*logits, x.shape[-2:], scaled, (40, 56)) if one[1] > 0.3]
    found = [one for one in loaded.detect(image[None])[0] if one.score > 0.3]
    assert wanted, "the tiny model sees nothing; choose another seed"
    assert [one.name for one in found] == [name for name, *_ in wanted]
    assert [one.score for one in found] == pytest.approx([s for _, s, *_ in wanted], abs=1e-4)
    assert loaded.detect(torch.stack([image, image]))[1][0].box == found[0].box


def test_the_object_is_cut_out_of_grey() -> None:
    image = torch.rand(3, 20, 30, generator=torch.Generator().manual_seed(2))
    mask = torch.zeros(20, 30, dtype=torch.bool)
    mask[4:9, 10:13], mask[7:12, 12:18] = True, True
    found = Detection("cat", 0.9, (10.0, 4.0, 18.0, 12.0), mask)
    picture = Image.fromarray((image * 255).round().byte().permute(1, 2, 0).numpy())
    grey = Image.new("RGB", picture.size, "#999999")
    wanted = Image.composite(picture, grey, Image.fromarray(mask.numpy())).crop((10, 4, 18, 12))
    got = (cut_out(image, found) * 255).round().byte().permute(1, 2, 0).numpy()
    assert np.array_equal(got, np.asarray(wanted))
    # without a mask the box alone
    assert cut_out(image, found._replace(mask=None)).shape == (3, 8, 8)


def test_colours_are_clip_zero_shot_by_the_mean_of_three_wordings(
    loaded: LoadedMask2Former, folders: tuple[Path, Path]
) -> None:
    from transformers import CLIPTokenizer

    from glass_cli.rewards.pixels import ShortestSide

    image = torch.rand(3, 64, 64, generator=torch.Generator().manual_seed(3))
    boxes = [(0, 0, 40, 40), (10, 20, 64, 60), (30, 0, 50, 64)]
    found = [Detection("car", 0.9, tuple(map(float, box))) for box in boxes]
    model = CLIPModel.from_pretrained(folders[1], dtype=torch.float32).eval()
    tokenizer = CLIPTokenizer.from_pretrained(folders[1])
    rows = []
    for colour in COLOURS:
        words = [f"a photo of a {colour} car", f"a photo of a {colour}-colored car"]
        words.append(f"a photo of a {colour} object")
        vectors = []
        for text in words:
            ids = tokenizer(text, return_tensors="pt").input_ids
            with torch.no_grad():
                v = model.get_text_features(ids).pooler_output[0].numpy()
            vectors.append(v / np.linalg.norm(v))
        mean = np.mean(vectors, 0)
        rows.append(mean / np.linalg.norm(mean))
    wanted = []
    for x0, y0, x1, y1 in boxes:
        pixels = ShortestSide(64, corner="even")(image[None, :, y0:y1, x0:x1])
        with torch.no_grad():
            v = model.get_image_features(pixels).pooler_output[0].numpy()
        wanted.append(COLOURS[int(np.argmax(np.stack(rows) @ v))])
    assert loaded.colours(image, found, "car") == wanted
    assert loaded.colours(image, [], "car") == []


def test_a_model_of_other_classes_is_refused(tmp_path: Path, folders: tuple[Path, Path]) -> None:
    few, turned = tmp_path / "few", tmp_path / "turned"
    segmenter(list(CLASSES[:7])).save_pretrained(few)
    with pytest.raises(GlassError, match="knows 7 classes; GenEval needs COCO's 80"):
        Mask2Former(str(few), str(folders[1])).load(CPU, torch.float32)
    segmenter(sorted(CLASSES)).save_pretrained(turned)
    with pytest.raises(GlassError, match=r"has airplane as class 0, COCO as 4"):
        Mask2Former(str(turned), str(folders[1])).load(CPU, torch.float32)


def test_missing_weights_are_told_in_a_line(
    tmp_path: Path, folders: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(ValueError, match=r"benchmark\.transformers\.path=.* has no config.json"):
        Mask2Former(str(tmp_path), str(folders[1]))
    (tmp_path / "config.json").write_text((folders[0] / "config.json").read_text())
    with pytest.raises(GlassError, match=r"benchmark\.transformers\.path") as error:
        Mask2Former(str(tmp_path), str(folders[1])).load(CPU, torch.float32)
    assert "\n" not in str(error.value)
    assert Mask2Former().path == "facebook/mask2former-swin-small-coco-instance"
    assert CLIPConfig().model_type == "clip"
