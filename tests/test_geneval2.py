"""GenEval 2: its list's format, and answers' probabilities against a model's own logits.

The published list may not be shipped; the records here are our own, in its format.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import tiny_vision_language as tiny
import torch
from scipy.stats import gmean
from tiny_vision_language import by_hand, images

from glass_cli.benchmarks import geneval2, lists
from glass_cli.benchmarks.geneval2 import GenEval2, LoadedGenEval2
from glass_cli.common.errors import GlassError

CPU = torch.device("cpu")
RECORDS: list[dict[str, Any]] = [
    {
        "prompt": "four wooden spoons",
        "atom_count": 3,
        "vqa_list": [
            ["How many spoons are in the image?", "four"],
            ["Are the spoons wooden?", "Yes"],
            ["Are there any spoons in the image?", "Yes"],
        ],
        "skills": ["count", "attribute", "object"],
    },
    {
        "prompt": "a fox chasing two hats",
        "atom_count": 4,
        "vqa_list": [
            ["How many foxs are in the image?", "one"],
            ["Are there any foxs in the image?", "Yes"],
            ["Is the fox chasing the hats?", "Yes"],
            ["How many hats are in the image?", "two"],
            ["Are there any hats in the image?", "Yes"],
        ],
        "skills": ["count", "object", "verb", "count", "object"],
    },
]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny.write(tmp_path_factory.mktemp("judge") / "Tiny-VL")


def write(place: Path, records: list[dict[str, Any]]) -> Path:
    place.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    return place


def many(each: int = 3) -> list[dict[str, Any]]:
    """Records of three and of four atoms, all those of three first, as in the published list."""
    return [
        {**record, "prompt": f"{record['prompt']} {i}"} for record in RECORDS for i in range(each)
    ]


@pytest.fixture
def benchmark(folder: Path, tmp_path: Path) -> GenEval2:
    return GenEval2(str(write(tmp_path / "list.jsonl", many())), str(folder))


@pytest.fixture(scope="module")
def loaded(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> LoadedGenEval2:
    path = write(tmp_path_factory.mktemp("list") / "list.jsonl", RECORDS)
    return GenEval2(str(path), str(folder), batch=2).load(CPU, torch.float32)


def test_records(benchmark: GenEval2) -> None:
    assert benchmark.records() == many()
    assert benchmark.title == "GenEval 2 (Tiny-VL)" and benchmark.images == 1
    some = GenEval2(benchmark.path, benchmark.judge, limit=5).records()
    assert [record["atom_count"] for record in some] == [3, 4, 3, 4, 3]


@pytest.mark.parametrize("record", RECORDS, ids=lambda record: record["prompt"])
def test_an_atom_is_its_answers_probability(
    loaded: LoadedGenEval2, folder: Path, record: dict[str, Any]
) -> None:
    vocab = tiny.tokenizer().get_vocab()
    first = {
        # " four" and " 4" begin with a space, "Four" and "Two" with a letter
        "four": ("four", "F", "4"),
        "two": ("two", "T", "2"),
        "one": ("o", "O", "1"),
        "Yes": ("yes", "Yes", "ĠYes"),
    }
    image = images(1, seed=5)[0]
    judged = loaded.judge(image, record)
    wanted = []
    for question, answer in record["vqa_list"]:
        chances = by_hand(folder, "qwen3_vl", image, f"{question} Answer in one word.")
        wanted.append(float(chances[[vocab[token] for token in first[answer]]].sum()))
    found = [atom["probability"] for atom in judged["atoms"]]
    assert found == pytest.approx(wanted, rel=1e-3, abs=1e-6) and max(wanted) > 1e-3
    assert [atom["skill"] for atom in judged["atoms"]] == record["skills"]
    assert judged["atoms"][0]["says"] == " ".join(record["vqa_list"][0])
    assert judged["geometric mean"] == pytest.approx(float(gmean(wanted)), rel=1e-3)
    assert judged["arithmetic mean"] == pytest.approx(float(np.mean(wanted)), rel=1e-3)
    assert judged["tag"] == f"{record['atom_count']} atoms"
    assert judged["correct"] == all(chance > 0.5 for chance in wanted)
    json.dumps(judged, allow_nan=False)


def test_questions_asked_together_or_one_by_one(
    folder: Path, loaded: LoadedGenEval2, tmp_path: Path
) -> None:
    path = str(write(tmp_path / "list.jsonl", RECORDS))
    image = images(1, seed=6)[0]
    for batch in (1, 8):
        other = GenEval2(path, str(folder), batch=batch).load(CPU, torch.float32)
        for record in RECORDS:
            ours, theirs = (
                [atom["probability"] for atom in judge.judge(image, record)["atoms"]]
                for judge in (loaded, other)
            )
            assert ours == pytest.approx(theirs, rel=1e-4, abs=2e-6)


def test_scores_are_those_of_the_published_analysis(
    benchmark: GenEval2, loaded: LoadedGenEval2
) -> None:
    """Skills by the mean over their atoms, numbers of atoms by the mean of geometric means."""
    records = benchmark.records()
    results = [
        {"prompt_index": i, "image_index": 0, "judged": loaded.judge(image, record)}
        for i, (image, record) in enumerate(zip(images(len(records), 7), records, strict=True))
    ]
    lists_ = [[atom["probability"] for atom in r["judged"]["atoms"]] for r in results]
    scores = benchmark.summarise(results)["scores"]
    for skill in ("object", "attribute", "count", "verb"):
        pooled = [
            chance
            for record, chances in zip(records, lists_, strict=True)
            for chance, own in zip(chances, record["skills"], strict=True)
            if own == skill
        ]
        assert scores[skill] == pytest.approx(np.mean(pooled), abs=1e-6)
    for atoms in (3, 4):
        means = [
            gmean(chances)
            for record, chances in zip(records, lists_, strict=True)
            if record["atom_count"] == atoms
        ]
        assert scores[f"geometric mean, {atoms} atoms"] == pytest.approx(np.mean(means), rel=1e-3)
    assert scores["arithmetic mean"] == pytest.approx(
        np.mean([np.mean(c) for c in lists_]), abs=1e-6
    )
    assert "position" not in scores and next(iter(scores)) == "geometric mean"


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"prompt": " "}, "record 1 has no prompt"),
        ({"atom_count": True}, "atom_count must be a number of at least 1"),
        ({"atom_count": "3"}, "atom_count must be a number of at least 1"),
        ({"vqa_list": []}, "vqa_list must be pairs of a question and its answer"),
        ({"vqa_list": [["How many?"]]}, "vqa_list must be pairs"),
        ({"vqa_list": [["How many?", 4]]}, "vqa_list must be pairs"),
        ({"vqa_list": [["How many?", ""]]}, "vqa_list must be pairs"),
        ({"skills": ["count"]}, "skills must be a word for each of the 3 questions"),
        ({"skills": None}, "skills must be a word for each of the 3 questions"),
    ],
)
def test_a_record_that_is_wrong(
    folder: Path, tmp_path: Path, change: dict[str, Any], said: str
) -> None:
    path = write(tmp_path / "list.jsonl", [{**RECORDS[0], **change}])
    with pytest.raises(GlassError, match=said) as caught:
        GenEval2(str(path), str(folder)).records()
    assert "\n" not in str(caught.value)


def test_a_list_without_records(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(GlassError, match="has no prompt in it"):
        GenEval2(str(write(tmp_path / "list.jsonl", [])), str(folder)).records()


def test_the_public_list_is_downloaded_once(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(GlassError, match=r"geneval2_data\.jsonl is not in the cache"):
        GenEval2(judge=str(folder)).records()
    (tmp_path / "glass").mkdir()
    write(tmp_path / "glass" / geneval2.NAME, RECORDS)
    assert GenEval2(judge=str(folder)).records() == RECORDS


def test_an_answer_without_a_token_is_refused_before_weights_are_read(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """An answer of white space cannot be: here the tokenizer knows none of a word's letters."""
    own = {**RECORDS[0], "vqa_list": [["What?", "x"]], "skills": ["object"]}
    path = write(tmp_path / "list.jsonl", [own])
    monkeypatch.setattr(geneval2.vision_language_chat.Chat, "first_tokens_of", lambda *_: [])
    monkeypatch.setattr(geneval2.vision_language, "load", lambda *_: pytest.fail("it was read"))
    with pytest.raises(GlassError, match=r"^benchmark\.judge=.* no token that the answer x begins"):
        GenEval2(str(path), str(folder)).load(CPU, torch.float32)


def test_settings(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"^benchmark\.judge=nowhere is neither there"):
        GenEval2(judge="nowhere")
    with pytest.raises(ValueError, match=r"^benchmark\.batch must be at least 1"):
        GenEval2(judge=str(folder), batch=0)
    with pytest.raises(ValueError, match=r"^benchmark\.device must be null"):
        GenEval2(judge=str(folder), device="gpu")
    with pytest.raises(ValueError, match=r"^benchmark\.path=none\.jsonl is not a file"):
        GenEval2("none.jsonl", str(folder))
    assert GenEval2().judge == "Qwen/Qwen3-VL-8B-Instruct"


def test_kinds_in_turn() -> None:
    assert lists.in_turn("aabbbc", str, None) == list("aabbbc")
    assert lists.in_turn("aabbbc", str, 5) == list("abcab")
    assert lists.in_turn("aabbbc", str, 9) == list("abcabb")
