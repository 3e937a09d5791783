"""reward=ocr: what is quoted, how texts compare, and reading pictures for real."""

from __future__ import annotations

import json
import random
from pathlib import Path

import matplotlib
import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw, ImageFont
from torch import Tensor

from glass_cli.common.errors import GlassError
from glass_cli.launch import launch

pytest.importorskip("rapidocr", reason="the extra ocr is not installed")
pytest.importorskip("onnxruntime", reason="the extra ocr is not installed")

from glass_cli.rewards.ocr import LoadedOcr, Ocr, distance, quoted, similarity

FONT = Path(matplotlib.get_data_path()) / "fonts" / "ttf" / "DejaVuSans.ttf"
CPU = torch.device("cpu")

# fmt: off
QUOTES = {
    'a sign that says "Hello"': ["Hello"],
    'a "stop" sign and a "GO slow" sign': ["stop", "GO slow"],
    "a sign that says 'Hello World'": ["Hello World"],
    "Joe's sign says 'Joe's'": ["Joe's"],
    "don't write, can't read": [],
    "the dogs' house": [],
    "“curly” and ‘single’": ["curly", "single"],
    "ein Schild „Hallo“": ["Hallo"],
    "un panneau « Bonjour »": [" Bonjour "],
    "写着「你好」的牌子": ["你好"],
    'nothing " " here': [],
    "a red apple": [],
    "": [],
    '"It\'s here"': ["It's here"],
}
# fmt: on


@pytest.mark.parametrize(("prompt", "expected"), QUOTES.items())
def test_what_is_quoted(prompt: str, expected: list[str]) -> None:
    assert quoted(prompt) == expected


def slow_distance(a: str, b: str) -> int:
    """By its definition, as a recursion."""
    if not a or not b:
        return len(a) + len(b)
    if a[0] == b[0]:
        return slow_distance(a[1:], b[1:])
    return 1 + min(slow_distance(a[1:], b), slow_distance(a, b[1:]), slow_distance(a[1:], b[1:]))


def test_distance_is_that_of_its_definition() -> None:
    draw = random.Random(0)
    for _ in range(200):
        a, b = ("".join(draw.choices("abc", k=draw.randint(0, 5))) for _ in range(2))
        assert distance(a, b) == slow_distance(a, b) == distance(b, a)
    assert distance("kitten", "sitting") == 3


# fmt: off
COMPARED = [
    ("Hello", [], 0.0),
    ("Hello", ["Hello"], 1.0),
    ("Hello", ["HELLO"], 1.0),
    ("Hello", ["xyz", "hello"], 1.0),          # other lines cost nothing
    ("Hello", ["xyzuv"], 0.0),
    ("Hello", ["Hallo"], 1 - 1 / 5),
    ("Hello", ["Hello World"], 1 - 5 / 10),    # more in the same line does
    ("Hello World", ["Hello", "World"], 1.0),  # over several lines
    ("Hello World", ["Hello", "x", "World"], 1 - 1 / 11),
    ("Hello World", ["HelloWorld"], 1.0),
    ("Hello World", ["World", "Hello"], 1 - 5 / 10),
    ("２４ Ｈ", ["24h"], 1.0),
]
# fmt: on


@pytest.mark.parametrize(("wanted", "lines", "expected"), COMPARED)
def test_similarity(wanted: str, lines: list[str], expected: float) -> None:
    assert similarity(wanted, lines) == pytest.approx(expected)


def test_no_run_of_lines_is_missed() -> None:
    """Against trying all runs without the bound that ends the search."""
    draw = random.Random(1)
    for _ in range(200):
        wanted = "".join(draw.choices("abc", k=draw.randint(1, 6)))
        lines = ["".join(draw.choices("abc", k=draw.randint(1, 4))) for _ in range(5)]
        runs = ["".join(lines[i:j]) for i in range(5) for j in range(i + 1, 6)]
        best = max(1 - distance(wanted, run) / max(len(wanted), len(run)) for run in runs)
        assert similarity(wanted, lines) == pytest.approx(best)


def picture(*lines: str, side: int = 160, size: int = 26) -> Tensor:
    """Dark text on a yellow ground, an image (3, side, side)."""
    canvas = Image.new("RGB", (side, side), (240, 220, 60))
    font = ImageFont.truetype(str(FONT), size)
    for i, line in enumerate(lines):
        ImageDraw.Draw(canvas).text((8, 12 + 2 * size * i), line, font=font, fill=(90, 0, 20))
    return torch.from_numpy(np.array(canvas)).permute(2, 0, 1) / 255.0


@pytest.fixture(scope="module")
def reward() -> LoadedOcr:
    return Ocr().load(CPU, torch.float32)


@pytest.mark.slow
def test_reading_pictures(reward: LoadedOcr) -> None:
    shown = torch.stack([picture("Hullo"), picture("OPEN", "hello"), picture()])
    assert reward.lines(shown) == [["Hullo"], ["OPEN", "hello"], []]
    scores = reward.score(shown, 'a sign that says "Hello"')
    assert scores.tolist() == pytest.approx([0.8, 1.0, 0.0])
    both = reward.score(shown[1:2], 'signs: "open" and "closed"')
    # "open" is there; of "closed" the nearest is "open": o and e stay, 4 of 6 letters are wrong
    assert both.tolist() == pytest.approx([(1.0 + 2 / 6) / 2])


def test_settings_and_prompts_are_checked() -> None:
    with pytest.raises(ValueError, match=r"reward\.confidence must lie between 0 and 1 \(got 2"):
        Ocr(confidence=2.0)
    Ocr().check_prompts(['a "sign"', "a 'b'"])
    with pytest.raises(ValueError, match="quotes none: a red car; write prompt="):
        Ocr().check_prompts(['a "sign"', "a red car"])
    with pytest.raises(GlassError, match="no quoted text"):
        LoadedOcr(lambda picture: None).score(torch.zeros(1, 3, 8, 8), "a red car")


def test_a_prompt_without_quotes_is_told_before_anything_is_loaded(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    for words in (["reward=ocr"], ["metrics=[ocr]"], ["reward=composite", "reward.terms.ocr={}"]):
        assert launch([*words, "prompt=a red car"]) == 2
        said = capsys.readouterr().err.splitlines()
        assert len(said) == 1 and "quotes none: a red car" in said[0]
    assert not Path("outputs").exists()


@pytest.mark.slow
def test_from_the_command_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Steered by ocr, which reads nothing in an emoji scene: every score is 0."""
    monkeypatch.chdir(tmp_path)
    words = ["reward=ocr", 'prompt=a sign that says "Hi"', "steering.lam=auto", "particles=2"]
    words += [
        "sampler.transitions=2",
        "sampler.steps=1",
        "wandb.mode=disabled",
        "hydra.run.dir=run",
    ]
    assert launch(words) == 0
    records = [json.loads(line) for line in Path("run/particles.jsonl").read_text().splitlines()]
    assert all(0.0 <= record["reward"] <= 1.0 for record in records)


def test_the_missing_extra_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("importlib.util.find_spec", lambda name: None)
    with pytest.raises(ValueError, match=r"needs rapidocr and onnxruntime; pip install 'glass_cli"):
        Ocr()
