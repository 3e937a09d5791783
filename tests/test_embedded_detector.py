"""The detector of the emoji world: how cells become detections, and what it sees."""

from __future__ import annotations

import json
import math
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from torch import Tensor

from glass_cli.benchmarks.geneval import LoadedGenEval
from glass_cli.common.errors import GlassError
from glass_cli.common.hub import EMBEDDED
from glass_cli.detectors.boxes import iou
from glass_cli.detectors.detections import COLOURS, Detection
from glass_cli.detectors.embedded_detector import EmbeddedDetector, LoadedEmbeddedDetector
from glass_cli.detectors.grid_network import Cells, GridNetwork, centres
from glass_cli.embedded.train import judging
from glass_cli.embedded.world.content import WEIGHTS, Content, Group, Relation
from glass_cli.embedded.world.negatives import RESPECTS
from glass_cli.embedded.world.objects import CLASSES
from glass_cli.embedded.world.render import FONT, render
from glass_cli.embedded.world.scene import Item, Scene
from glass_cli.pipelines.codec import PatchAutoencoder

NOTHING = Content(())  # of scenes of which only the objects matter
CONFIG = {"classes": ["cat", "dog"], "colours": ["red", "blue", ""], "image_size": 64}
needs_font = pytest.mark.skipif(not FONT.exists(), reason="fonts-noto-color-emoji is missing")


@pytest.fixture(scope="module")
def detector() -> LoadedEmbeddedDetector:
    return EmbeddedDetector().load(torch.device("cpu"), torch.float32)


class Says(torch.nn.Module):
    """A network that says the same of every picture, as many times as there are pictures."""

    def __init__(self, **values: dict[tuple[int, int], float | tuple[float, ...]]) -> None:
        super().__init__()
        self.anchor = torch.nn.Parameter(torch.zeros(()))
        self.cells = Cells(
            torch.full((8, 8), -20.0),
            torch.zeros(2, 8, 8),
            torch.zeros(3, 8, 8),
            torch.ones(4, 8, 8),
        )
        for name, places in values.items():
            for (row, column), value in places.items():
                getattr(self.cells, name)[..., row, column] = torch.tensor(value)

    def forward(self, x: Tensor) -> Cells:
        self.seen = x
        return Cells(*(part.expand(len(x), *part.shape) for part in self.cells))


def test_cells_become_detections() -> None:
    network = Says(
        presence={(1, 2): math.log(9), (5, 5): 20.0},
        classes={(1, 2): (0.0, math.log(3)), (5, 5): (20.0, 0.0)},
        colours={(1, 2): (0.0, 5.0, 0.0), (5, 5): (0.0, 0.0, 1.0)},
        sides={(1, 2): (1.0, 0.5, 2.0, 1.5)},
    )
    found = LoadedEmbeddedDetector(network, CONFIG).detect(torch.zeros(2, 3, 64, 64))
    assert found[0] == found[1]
    sure, other = found[0]
    assert (sure.name, sure.colour, sure.box) == ("cat", "", (36.0, 36.0, 52.0, 52.0))
    assert sure.score == pytest.approx(1.0, abs=1e-6)
    # 9 to 1 that it is there, 3 to 1 that it is a dog; centre of the cell (20, 12)
    assert (other.name, other.colour, other.box) == ("dog", "blue", (12.0, 8.0, 36.0, 24.0))
    assert other.score == pytest.approx(0.9 * 0.75, abs=1e-6)


def test_neighbouring_cells_that_see_one_object_are_one_detection() -> None:
    near = {(3, 3): (2.0, 2.0, 2.0, 2.0), (3, 4): (3.0, 2.0, 1.0, 2.0)}  # the same box
    presence = {(3, 3): 3.0, (3, 4): 4.0}
    classes = {(3, 3): (9.0, 0.0), (3, 4): (0.0, 9.0)}
    network = Says(presence=presence, classes=classes, sides=near)
    (one,) = LoadedEmbeddedDetector(network, CONFIG).detect(torch.zeros(1, 3, 64, 64))[0]
    # the surer cell names it, whatever the other one's class
    assert one.name == "dog" and one.box == (12.0, 12.0, 44.0, 44.0)
    # two that only touch are two
    network = Says(presence={(3, 2): 3.0, (3, 4): 3.0})
    assert len(LoadedEmbeddedDetector(network, CONFIG).detect(torch.zeros(1, 3, 64, 64))[0]) == 2


def test_pictures_of_another_size_are_scaled_and_boxes_back() -> None:
    network = Says(presence={(1, 2): 20.0})
    loaded = LoadedEmbeddedDetector(network, CONFIG)
    picture = torch.rand(1, 3, 128, 256, generator=torch.Generator().manual_seed(0))
    (one,) = loaded.detect(picture)[0]
    assert network.seen.shape == (1, 3, 64, 64)
    small = (12.0, 4.0, 28.0, 20.0)
    assert one.box == tuple(v * s for v, s in zip(small, (4, 2, 4, 2), strict=True))


def test_colours_are_those_seen() -> None:
    loaded = LoadedEmbeddedDetector(Says(), CONFIG)
    found = [Detection("cat", 0.9, (0, 0, 1, 1), None, colour) for colour in ("red", "", None)]
    assert loaded.colours(torch.zeros(3, 64, 64), found, "cat") == ["red", "", ""]


def test_centres_of_cells() -> None:
    x, y = centres(2, 3)
    assert x.tolist() == [[4.0, 12.0, 20.0]] * 2
    assert y.tolist() == [[4.0] * 3, [12.0] * 3]


def test_a_part_of_a_picture_shifted_by_cells_is_seen_shifted() -> None:
    """Fully convolutional: away from the borders the answer moves with the picture."""
    torch.manual_seed(0)
    network = GridNetwork(3, 2, width=16, blocks=0).eval()
    for module in network.modules():
        if isinstance(module, torch.nn.GroupNorm):
            module.forward = torch.nn.Identity().forward  # it looks at the whole picture
    x = torch.zeros(1, 3, 160, 160)
    x[..., 56:88, 56:88] = torch.rand(3, 32, 32)
    with torch.no_grad():
        here, there = (network(torch.roll(x, by, (2, 3))) for by in ((0, 0), (16, 24)))
    for a, b in zip(here, there, strict=True):
        inner = torch.roll(a, (2, 3), (-2, -1))[..., 7:-7, 7:-7]
        torch.testing.assert_close(b[..., 7:-7, 7:-7], inner)


# the trained one


def test_it_knows_the_worlds_classes_and_colours() -> None:
    settings = EmbeddedDetector()
    assert settings.classes == CLASSES
    assert settings.config["colours"] == [*COLOURS, ""]
    files = list((EMBEDDED / "detector").iterdir())
    assert sum(path.stat().st_size for path in files) < 5 * 2**20


@pytest.mark.parametrize("count", [0, 1, 2, 3, 4])
@pytest.mark.parametrize("color", ["red", "white", None])
def test_benches_are_found_where_they_stand(
    detector: LoadedEmbeddedDetector, count: int, color: str | None
) -> None:
    """The one class whose pictogram needs no font."""
    corners = [(0, 0), (40, 8), (8, 40), (40, 40)][:count]
    scene = Scene(NOTHING, tuple(Item("bench", color, *xy, 24) for xy in corners), 2, "")
    picture = torch.from_numpy(render(scene)).permute(2, 0, 1)[None] / 255
    found = [one for one in detector.detect(picture)[0] if one.score > 0.3]
    assert len(found) == count
    for one in found:
        assert (one.name, one.colour) == ("bench", color or "") and one.score > 0.9
    for x, y in corners:
        # a bench is wider than high: its outline within the square
        assert max(iou(one.box, (x + 1, y + 2.5, x + 23, y + 21.5)) for one in found) > 0.6


def test_a_picture_does_not_depend_on_its_batch(detector: LoadedEmbeddedDetector) -> None:
    x = torch.rand(4, 3, 64, 64, generator=torch.Generator().manual_seed(5))
    scene = Scene(NOTHING, (Item("bench", None, 8, 8, 32),), 0, "")
    x[2] = torch.from_numpy(render(scene)).permute(2, 0, 1) / 255
    together, alone = detector.detect(x)[2], detector.detect(x[2:3])[0]
    assert [one.name for one in together] == [one.name for one in alone] == ["bench"]
    assert together[0].score == pytest.approx(alone[0].score, abs=1e-5)
    assert together[0].box == pytest.approx(alone[0].box, abs=1e-3)


def test_noise_and_plain_grounds_hold_nothing(detector: LoadedEmbeddedDetector) -> None:
    generator = torch.Generator().manual_seed(6)
    x = torch.rand(8, 3, 64, 64, generator=generator)
    x[4:] = torch.rand(4, 3, 1, 1, generator=generator) * 0.3 + 0.65
    assert [one for found in detector.detect(x) for one in found if one.score > 0.3] == []


@needs_font
def test_verdicts_on_held_out_scenes(detector: LoadedEmbeddedDetector) -> None:
    """Goal 99.9 %: such a detector has 3 or fewer of 360 wrong, but for once in a thousand times.

    With a noise of 0.3 on the codes too, a quarter of their standard deviation.
    """
    vae = PatchAutoencoder.from_pretrained(EMBEDDED / "emoji" / "vae", dtype=torch.float32).eval()
    found = [
        judging.evaluate(detector, 56, change) for change in judging.changes(vae, 0.3).values()
    ]
    wrong = 112 * sum(1 - shares["all verdicts"] for shares in found)
    assert wrong < 3.5, found


# the measurement itself


class Oracle:
    """Sees the objects of the scenes in the order in which they are shown."""

    def __init__(self, blind: bool = False) -> None:
        self.blind = blind

    def detect(self, images: Tensor) -> list[list[Detection]]:
        scenes = [_KEPT[int(image[0, 0, 0] * 1e4 + 0.5)] for image in images]
        return [[] if self.blind else [_seen(item) for item in scene.items] for scene in scenes]

    def colours(self, image: Tensor, found: list[Detection], name: str) -> list[str]:
        return [one.colour or "" for one in found]


_KEPT: dict[int, Scene] = {}


def _seen(item: Item) -> Detection:
    box = (item.x, item.y, item.x + item.size, item.y + item.size)
    return Detection(item.name, 0.99, box, None, item.color or "")


def test_the_measurement_trusts_an_oracle_and_not_the_blind(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    def numbered(batch: list[Scene]) -> Tensor:
        """Each picture carries its scene's number."""
        _KEPT.update(enumerate(batch))
        numbers = torch.arange(len(batch)).double()[:, None, None, None] / 1e4
        return (2 * numbers - 1).expand(-1, 3, 2, 2)

    monkeypatch.setattr(judging, "pictures", numbered)
    found = judging.evaluate(Oracle(), 300, lambda x: x)
    assert set(found) == {
        *(f"right: {kind}" for kind in WEIGHTS),
        *(f"wrong: {respect}" for respect in RESPECTS),
        "all verdicts",
    }
    assert set(found.values()) == {1.0}
    blind = judging.evaluate(Oracle(blind=True), 300, lambda x: x)
    assert all(
        share == float(key.startswith("wrong")) for key, share in blind.items() if ":" in key
    )
    # 38 scenes of each of eight kinds are there, 43 negatives in each of seven respects
    assert blind["all verdicts"] == pytest.approx(7 * 43 / (7 * 43 + 8 * 38))


def test_records_ask_for_what_the_prompt_says() -> None:
    content = Content(
        (Group("dog", "red", 2), Group("cat"), Group("cup", "blue")), (Relation(0, "above", 1),)
    )
    assert judging.record_of(content, "compose") == {
        "tag": "compose",
        "prompt": "a photo of two red dogs above a cat and a blue cup",
        "include": [
            {"class": "dog", "count": 2, "color": "red"},
            {"class": "cat", "count": 1},
            {"class": "cup", "count": 1, "color": "blue"},
            {"class": "dog", "count": 2, "color": "red", "position": ["above", 1]},
        ],
        "exclude": [{"class": "dog", "count": 3}],
    }
    only = judging.record_of(content, "compose", ["cat", "car"])["exclude"]
    assert only == [{"class": "cat", "count": 2}, {"class": "car", "count": 1}]


def test_a_turned_side_is_wrong_by_the_record_and_its_scene_right() -> None:
    """Without any picture: the rules on the scenes' own boxes."""
    judge = SimpleNamespace(detect=lambda x: [[_seen(item) for item in x.items]])
    judge.colours = lambda image, found, name: [one.colour or "" for one in found]

    class Picture(SimpleNamespace):
        def __getitem__(self, _: None) -> Picture:
            return self

    cat, dog = Item("cat", None, 0, 0, 24), Item("dog", None, 40, 0, 24)
    content = Content((Group("dog"), Group("cat")), (Relation(0, "right of", 1),))
    loaded = LoadedGenEval(judge)  # type: ignore[arg-type]
    record = judging.record_of(content, "position")
    picture: Any = Picture(items=(dog, cat))
    assert loaded.judge(picture, record)["correct"]
    picture = Picture(items=(Item("dog", None, 0, 40, 24), cat))
    assert not loaded.judge(picture, record)["correct"]


# mistakes


def test_a_wrong_folder_is_told_in_a_line(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"benchmark\.embedded\.path=.* has no config\.json"):
        EmbeddedDetector(str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    (tmp_path / "model.safetensors").write_bytes(b"none")
    with pytest.raises(GlassError, match=r"config\.json is not a detector's \('classes'\)"):
        _ = EmbeddedDetector(str(tmp_path)).classes
    config = json.loads((EMBEDDED / "detector" / "config.json").read_text())
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(GlassError, match=r"model\.safetensors cannot be read"):
        EmbeddedDetector(str(tmp_path)).load(torch.device("cpu"), torch.float32)
    weights = (EMBEDDED / "detector" / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(weights)
    (tmp_path / "config.json").write_text(json.dumps({**config, "width": 80}))
    with pytest.raises(GlassError, match="of another architecture"):
        EmbeddedDetector(str(tmp_path)).load(torch.device("cpu"), torch.float32)
