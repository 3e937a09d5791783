"""GenEval's settings, lists and judge; the detector is one that sees what the test says."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch
from conftest import REPOSITORY
from torch import Tensor

from glass_cli.benchmarks import geneval_emoji, lists
from glass_cli.benchmarks.geneval import URL, GenEval, LoadedGenEval
from glass_cli.benchmarks.geneval_rules import TASKS
from glass_cli.common.errors import GlassError
from glass_cli.common.hub import EMBEDDED
from glass_cli.detectors.detections import Detection
from glass_cli.detectors.embedded_detector import EmbeddedDetector
from glass_cli.embedded.world.objects import CLASSES, COLORS

PUBLISHED = REPOSITORY.parent / "shared" / "geneval" / "evaluation_metadata.jsonl"
needs_list = pytest.mark.skipif(
    not PUBLISHED.is_file(), reason="GenEval's list is not beside the repository"
)
RECORD: dict[str, Any] = {
    "tag": "colors",
    "include": [{"class": "car", "count": 1, "color": "red"}],
    "prompt": "a photo of a red car",
}


@pytest.fixture(autouse=True)
def _no_network(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))

    def refused(*_: Any, **__: Any) -> None:
        raise httpx.ConnectError("no network in tests")

    monkeypatch.setattr(httpx, "get", refused)


class Sees:
    """Finds what it was told, in every picture."""

    def __init__(self, *found: Detection) -> None:
        self.found = list(found)

    def detect(self, images: Tensor) -> list[list[Detection]]:
        assert images.ndim == 4
        return [self.found for _ in images]

    def colours(self, image: Tensor, found: Sequence[Detection], name: str) -> list[str]:
        assert image.ndim == 3
        return [one.colour or "" for one in found]


def test_a_judged_picture_is_plain_json() -> None:
    judge = LoadedGenEval(
        Sees(
            Detection("car", 0.87654321, (1.0, 2.0, 30.123, 40.0), None, "red"),
            Detection("cat", 0.2, (0, 0, 1, 1)),
        )
    )
    judged = judge.judge(torch.zeros(3, 64, 64), RECORD)
    assert json.loads(json.dumps(judged)) == {
        "correct": True,
        "reason": "",
        "tag": "colors",
        "detections": [{"class": "car", "score": 0.87654, "box": [1.0, 2.0, 30.12, 40.0]}],
    }
    blue = LoadedGenEval(Sees(Detection("car", 0.9, (0, 0, 9, 9), None, "blue")))
    assert blue.judge(torch.zeros(3, 64, 64), RECORD)["reason"] == "1 red car wanted, 1 blue found"


def test_counting_uses_its_own_cut() -> None:
    judge = LoadedGenEval(Sees(Detection("car", 0.8, (0, 0, 9, 9))))
    include = [{"class": "car", "count": 1}]
    assert judge.judge(torch.zeros(3, 8, 8), {"tag": "single_object", "include": include})[
        "correct"
    ]
    counted = judge.judge(torch.zeros(3, 8, 8), {"tag": "counting", "include": include})
    assert not counted["correct"] and counted["detections"] == []


def test_the_answer_names_scores_prompts_and_groups() -> None:
    results = [
        {"prompt_index": i, "image_index": 0, "judged": {"correct": i == 0, "tag": tag}}
        for i, tag in enumerate(["colors", "position"])
    ]
    answer = GenEval().summarise(results)
    assert answer["scores"] == {"colors": 1.0, "position": 0.0, "overall": 0.5, "one right": 0.5}
    assert answer["groups"] == {"overall": ["colors", "position"]}
    assert set(answer["per_prompt"]) == {"colors", "position", "one right"}


# which detector, which list


def test_the_detector_follows_the_model() -> None:
    assert GenEval(model="embedded:emoji").judge_name == "embedded"
    assert GenEval(model="black-forest-labs/FLUX.1-dev").judge_name == "transformers"
    assert GenEval().judge_name == "transformers"
    chosen = GenEval(model="embedded:emoji", detector="transformers")
    assert chosen.judge_name == "transformers"


def test_the_embedded_model_has_a_list_of_its_own_offline() -> None:
    benchmark = GenEval(model="embedded:emoji")
    records = benchmark.records()
    assert benchmark.title == "GenEval (embedded detector, prompts made for it)"
    assert records == GenEval(model="embedded:emoji").records()
    counts = Counter(record["tag"] for record in records)
    # all 80 classes: the published numbers
    assert counts == geneval_emoji.PUBLISHED
    # and of fewer classes as much fewer
    few = Counter(record["tag"] for record in geneval_emoji.prompts(CLASSES[:32]))
    assert few == dict(zip(TASKS, (32, 40, 32, 38, 40, 40), strict=True))
    assert len({record["prompt"] for record in records}) == len(records)
    classes = Counter(c["class"] for r in records for c in r["include"])
    assert set(classes) == set(CLASSES) and min(classes.values()) >= 5


@needs_list
def test_the_list_made_has_the_published_forms() -> None:
    """Every published record of known classes, drawn anew from its own content, is the same."""
    published = [json.loads(line) for line in PUBLISHED.read_text().splitlines()]
    assert Counter(record["tag"] for record in published) == geneval_emoji.PUBLISHED

    def form(record: dict[str, Any]) -> tuple[Any, ...]:
        clauses = [*record["include"], *record.get("exclude", [])]
        words = record["prompt"]
        for clause in record["include"]:
            for colour in COLORS:
                words = words.replace(f"a {colour} {clause['class']}", "a COLOUR THING")
                words = words.replace(f"an {colour} {clause['class']}", "a COLOUR THING")
        for clause in record["include"]:  # after the colours, of which "orange" is one
            words = words.replace(f"an {clause['class']}", "a THING")
            words = words.replace(f"a {clause['class']}", "a THING")
        keys = tuple(tuple(sorted(clause)) for clause in clauses)
        counting = record["tag"] == "counting"
        return record["tag"], keys, counting or words, counting and words.split()[:4]

    forms = {str(form(record)) for record in published}
    for record in geneval_emoji.prompts(CLASSES):
        assert str(form(record)) in forms, record
    # and word for word where the published list asks for the same
    texts = {
        json.dumps(
            [r["include"], r.get("exclude")], sort_keys=True
        ): r["prompt"]
        for r in published
    }  # fmt: skip
    same = 0
    for record in geneval_emoji.prompts(CLASSES):
        key = json.dumps([record["include"], record.get("exclude")], sort_keys=True)
        if key in texts:
            same += 1
            assert texts[key] == record["prompt"]
    assert same > 30


@needs_list
def test_of_the_published_list_a_detector_takes_what_it_knows(tmp_path: Path) -> None:
    benchmark = GenEval(path=str(PUBLISHED), detector="embedded")
    assert benchmark.title == "GenEval (embedded detector)"
    published = [json.loads(line) for line in PUBLISHED.read_text().splitlines()]
    assert benchmark.records() == published
    # one that knows fewer classes
    for file in (EMBEDDED / "detector").iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((tmp_path / "config.json").read_text())
    few = config["classes"][:32]
    (tmp_path / "config.json").write_text(json.dumps({**config, "classes": few}))
    detector = EmbeddedDetector(str(tmp_path))
    benchmark = GenEval(path=str(PUBLISHED), detector="embedded", embedded=detector)
    known = [r for r in published if all(c["class"] in few for c in r["include"])]
    assert benchmark.records() == known and 0 < len(known) < 553
    assert benchmark.title == f"GenEval (embedded detector, {len(known)} of 553 prompts)"
    whole = GenEval(path=str(PUBLISHED))
    assert whole.title == "GenEval (transformers detector)"
    assert whole.records() == published


def test_a_limit_takes_the_tasks_in_turn_and_grows_by_adding() -> None:
    few, more = (GenEval(model="embedded:emoji", limit=n).records() for n in (7, 20))
    assert [record["tag"] for record in few] == [*TASKS, TASKS[0]]
    assert more[:7] == few and len(more) == 20
    everything = GenEval(model="embedded:emoji", limit=10_000).records()
    assert sorted(r["prompt"] for r in everything) == sorted(
        r["prompt"] for r in GenEval(model="embedded:emoji").records()
    )


def test_the_published_list_comes_from_the_cache_or_its_home(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    with pytest.raises(GlassError, match=r"cannot be downloaded.*benchmark\.path=PATH") as error:
        GenEval().records()
    assert "\n" not in str(error.value)
    asked = []

    def answer(url: str, **_: Any) -> httpx.Response:
        asked.append(url)
        request = httpx.Request("GET", url)
        return httpx.Response(200, text=json.dumps(RECORD) + "\n", request=request)

    monkeypatch.setattr(httpx, "get", answer)
    assert GenEval().records() == [RECORD]
    assert GenEval(path="published", detector="embedded").records() == [RECORD]
    assert asked == [URL]  # the second time from the cache
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    assert GenEval().records() == [RECORD]


def test_a_page_that_is_not_there_is_not_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    def missing(url: str, **_: Any) -> httpx.Response:
        return httpx.Response(404, text="not found", request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", missing)
    with pytest.raises(GlassError, match="404"):
        GenEval().records()
    assert not list(lists.cache().glob("*"))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(GlassError, match="HF_HUB_OFFLINE is set"):
        GenEval().records()


BAD = [
    ("{", "line 1 is not JSON"),
    ("[1]", "line 1 is not a table"),
    ('{"prompt": "a", "include": []}', "no prompt or no tag"),
    ('{"prompt": "a", "tag": "colors"}', "no list of include clauses"),
    ({"include": [{"class": "car"}]}, "needs a class and a count"),
    ({"include": [{"class": "car", "count": 0}]}, "count of at least 1"),
    ({"include": [{"class": "car", "count": True}]}, "count of at least 1"),
    ({"include": ["car"]}, "needs a class and a count"),
    ({"include": [{"class": "car", "count": 1, "color": "mauve"}]}, "mauve is not one of red"),
    ({"include": [{"class": "car", "count": 1, "position": ["above", 0]}]}, "earlier clause"),
    ({"include": [{"class": "car", "count": 1, "position": "above"}]}, "earlier clause"),
    ("\n\n", "has no prompt"),
]


@pytest.mark.parametrize(("line", "complaint"), BAD)
def test_a_bad_list_is_told_in_a_line(tmp_path: Path, line: Any, complaint: str) -> None:
    path = tmp_path / "list.jsonl"
    text = line if isinstance(line, str) else json.dumps({"prompt": "a", "tag": "colors", **line})
    path.write_text(text + "\n")
    with pytest.raises(GlassError, match=complaint) as error:
        GenEval(path=str(path)).records()
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_settings_are_checked() -> None:
    with pytest.raises(ValueError, match="is not a file"):
        GenEval(path="nowhere.jsonl")
    with pytest.raises(ValueError, match=r"benchmark\.images must be at least 1"):
        GenEval(images=0)
    with pytest.raises(ValueError, match=r"benchmark\.limit must be at least 1"):
        GenEval(limit=0)
