"""PartiPrompts, DrawBench and lists of one's own."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import httpx
import pytest
import torch

from glass_cli.benchmarks import drawbench, partiprompts
from glass_cli.benchmarks.drawbench import DrawBench
from glass_cli.benchmarks.partiprompts import PartiPrompts
from glass_cli.benchmarks.prompts import Prompts
from glass_cli.common.errors import GlassError
from glass_cli.launch import launch

# in the published forms: tabs without quoting, and a table's CSV export
PARTI = (
    'Prompt\tCategory\tChallenge\tNote\n"Salvador" in paint\tArts\tBasic\t\na, b\tPeople\tx\ty\n'
)
DRAW = '"Prompts","Category"\n"A red car, and a ""sheep"".","Colors"\n"Two cats.","Counting"\n'


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("HF_HUB_OFFLINE", raising=False)


def served(pages: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> list[str]:
    asked: list[str] = []

    def get(url: str, **_: Any) -> httpx.Response:
        asked.append(url)
        return httpx.Response(200, text=pages[url], request=httpx.Request("GET", url))

    monkeypatch.setattr(httpx, "get", get)
    return asked


def test_published_lists_are_downloaded_once(monkeypatch: pytest.MonkeyPatch) -> None:
    asked = served({partiprompts.URL: PARTI, drawbench.URL: DRAW}, monkeypatch)
    for _ in range(2):
        assert PartiPrompts().records() == [
            {"prompt": '"Salvador" in paint', "category": "Arts"},
            {"prompt": "a, b", "category": "People"},
        ]
        assert DrawBench(limit=1).records() == [
            {"prompt": 'A red car, and a "sheep".', "category": "Colors"}
        ]
    assert asked == [partiprompts.URL, drawbench.URL]


@pytest.mark.parametrize("settings", [PartiPrompts, DrawBench])
def test_a_list_of_ones_own_stands_in_for_the_published_one(tmp_path: Path, settings: Any) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a cat\n\n  two dogs \n", encoding="utf-8-sig")
    assert settings(path=str(path)).records() == [{"prompt": "a cat"}, {"prompt": "two dogs"}]
    with pytest.raises(ValueError, match="is not a file"):
        settings(path=str(tmp_path))


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "a cat, red\na dog\n"),
        ("list.csv", 'PROMPT,note\n"a cat, red",x\na dog,\n,\n'),
        ("list.tsv", "note\tprompt\nx\ta cat, red\n\ta dog\n"),
        ("list.jsonl", '{"prompt": "a cat, red"}\n\n{"prompt": "a dog", "seed": 3}\n'),
    ],
)
def test_four_kinds_of_lists(tmp_path: Path, name: str, text: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    benchmark = Prompts(path=str(path))
    assert [record["prompt"] for record in benchmark.records()] == ["a cat, red", "a dog"]
    assert Prompts(path=str(path), limit=1).records() == [{"prompt": "a cat, red"}]
    assert benchmark.title == name


def test_categories_become_groups(tmp_path: Path) -> None:
    path = tmp_path / "list.csv"
    path.write_text("prompt,Tag\na cat,animals\na bus,\n")
    assert Prompts(path=str(path)).records() == [
        {"prompt": "a cat", "category": "animals"},
        {"prompt": "a bus"},
    ]


BAD = [
    ("list.txt", "\n \n", "has no prompt in it"),
    ("list.csv", "promt\na cat\n", r"record 1 has no prompt \(it has promt\); call"),
    ("list.csv", 'prompt\n"a cat\n', "is not a table"),
    ("list.jsonl", '{"prompt": "a"}\n{"text": "b"}\n', r"record 2 has no prompt \(it has text\)"),
    ("list.jsonl", "a cat\n", "line 1 is not JSON"),
    ("list.jsonl", '{"prompt": ""}\n', "has no prompt in it"),
]


@pytest.mark.parametrize(("name", "text", "complaint"), BAD)
def test_a_bad_list_is_told_in_a_line(tmp_path: Path, name: str, text: str, complaint: str) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(GlassError, match=complaint) as error:
        Prompts(path=str(path)).records()
    assert "\n" not in str(error.value) and str(path) in str(error.value)


def test_other_bytes_are_told_in_a_line(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_bytes(b"\xff\xfe\x00\x01")
    with pytest.raises(GlassError, match="cannot be read"):
        Prompts(path=str(path)).records()


def test_settings_are_checked(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a cat")
    with pytest.raises(ValueError, match=r"benchmark\.images must be at least 1"):
        Prompts(path=str(path), images=0)
    with pytest.raises(ValueError, match="is not a file; give a list of prompts"):
        Prompts(path=str(tmp_path / "nowhere.txt"))


def test_without_a_judge_there_is_nothing_to_say(tmp_path: Path) -> None:
    path = tmp_path / "list.txt"
    path.write_text("a cat\n")
    benchmark = Prompts(path=str(path))
    loaded = benchmark.load(torch.device("cpu"), torch.float32)
    judged = loaded.judge(torch.zeros(3, 8, 8), {"prompt": "a cat"})
    assert judged == {}
    results = [{"prompt_index": 0, "image_index": 0, "judged": judged}]
    assert benchmark.summarise(results) == {"scores": {}, "per_prompt": {}, "groups": {}}


@pytest.mark.parametrize(
    ("name", "text"),
    [
        (
            "list.jsonl",
            '{"id": 7, "prompt": "a cat"}\n{"id": 7, "prompt": "a dog"}\n'
            '{"id": 7, "prompt": "a cat"}\n',
        ),
        ("list.csv", "id,prompt\n7,a cat\n7,a dog\n7,a cat\n"),
    ],
)
def test_rows_of_one_id_are_kept_apart(
    name: str, text: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A row is known by its place in the list; ids are not read, and a prompt may come twice."""
    monkeypatch.chdir(tmp_path)
    Path(name).write_text(text, encoding="utf-8")
    words = ["benchmark=prompts", f"benchmark.path={name}", "launcher.threads=1"]
    words += ["particles=2", "sampler.transitions=2", "sampler.steps=1", "wandb.mode=disabled"]
    assert launch([*words, "hydra.run.dir=run"], config="eval") == 0
    told = [json.loads(path.read_text()) for path in sorted(Path("run").glob("results/*/*.json"))]
    assert [(row["prompt_index"], row["prompt"]) for row in told] == [
        (0, "a cat"),
        (1, "a dog"),
        (2, "a cat"),
    ]
    first, other, again = (row["reward"] for row in told)
    assert first == again != other, "the noise is that of the seed, whatever the row"
    # what a killed run lacks is drawn again as it was, the others stay
    (lost,) = Path("run").glob("results/00001/*.json")
    before = lost.read_bytes()
    lost.unlink()
    assert launch([*words, "hydra.run.dir=run"], config="eval") == 0
    assert lost.read_bytes() == before
