"""The embedded model's tokenizer, and how prompts are padded."""

from __future__ import annotations

import itertools
import json
import random
from pathlib import Path

import pytest
import tiny_pipeline
import torch
from conftest import REPOSITORY
from torch import Tensor
from transformers import CLIPTextModel, CLIPTokenizer

from glass_cli.embedded.train import clip, text
from glass_cli.embedded.train.data import scenes
from glass_cli.embedded.world.objects import CLASSES, COLORS, english_plural, plural
from glass_cli.embedded.world.scene import training_scenes

GENEVAL = REPOSITORY.parent / "shared" / "geneval"


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return text.train_tokenizer(0)


def test_words_of_the_world_are_single_tokens(tokenizer: CLIPTokenizer) -> None:
    forms = {form for name in CLASSES for form in (name, plural(name), english_plural(name))}
    words = {word for form in forms for word in form.split()} | set(COLORS)
    describing = "a an and of photo picture image left right above below two three four"
    words |= set(describing.split())
    assert [word for word in sorted(words) if len(tokenizer.tokenize(word)) != 1] == []
    rng = random.Random(5)
    for _ in range(500):
        prompt = training_scenes(rng)[0].prompt
        words_and_commas = prompt.replace(",", " ,").split()
        assert tokenizer.tokenize(prompt) == [f"{word}</w>" for word in words_and_commas]


@pytest.mark.skipif(not GENEVAL.is_dir(), reason="GenEval's prompts are not beside the repository")
def test_words_of_geneval_are_single_tokens(tokenizer: CLIPTokenizer) -> None:
    lines = (GENEVAL / "evaluation_metadata.jsonl").read_text().splitlines()
    prompts = [json.loads(line)["prompt"] for line in lines]
    for prompt in prompts:
        assert tokenizer.tokenize(prompt) == [f"{word}</w>" for word in prompt.split()]
    assert max(len(ids) for ids in tokenizer(prompts).input_ids) == 14 <= text.LENGTH


@pytest.mark.parametrize(
    "words", ["schr\u00f6dinger caf\u00e9", "zzyzx 42 q!", "\u6f22\u5b57 \U0001f408", "~ # \\ x_y"]
)
def test_other_words_come_back(tokenizer: CLIPTokenizer, words: str) -> None:
    ids = tokenizer(words, add_special_tokens=False).input_ids
    assert tokenizer.unk_token_id not in ids
    assert "".join(tokenizer.decode(ids).split()) == "".join(words.split())


def test_tokenizer_saved_and_loaded(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    assert again.get_vocab() == tokenizer.get_vocab()
    assert again.model_max_length == text.LENGTH
    prompts = ["a photo of a red apple", "caf\u00e9", "", "a " * 40]
    assert torch.equal(text.encode(again, prompts), text.encode(tokenizer, prompts))


def test_tokenizer_is_the_same_every_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """Checkpoints hold embeddings by number, and every process learns its tokenizer anew."""
    few = scenes(0, 0, 300)

    def learn() -> CLIPTokenizer:
        cycle = itertools.cycle(few)
        monkeypatch.setattr(text, "training_scenes", lambda *_: [next(cycle)])
        return text.train_tokenizer(0)

    first = learn()
    again = learn()
    assert again.get_vocab() == first.get_vocab()
    assert again.backend_tokenizer.to_str() == first.backend_tokenizer.to_str()


def test_prompts_are_padded_as_by_the_pipeline(tokenizer: CLIPTokenizer) -> None:
    pipe = tiny_pipeline.pipeline()
    config = clip.text_config(tokenizer, layers=1)
    pipe.register_modules(tokenizer=tokenizer, text_encoder=CLIPTextModel(config).eval())
    seen: list[Tensor] = []
    pipe.text_encoder.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
    prompts = ["a photo of a red apple and a blue car", "", "a cat " * 30]
    for prompt in prompts:
        pipe.encode_prompt(prompt, "cpu", 1, do_classifier_free_guidance=False)
    ids = text.encode(tokenizer, prompts)
    assert ids.shape == (3, text.LENGTH)
    assert torch.equal(torch.cat(seen), ids)
    assert set(ids[1, 1:].tolist()) == {tokenizer.eos_token_id}
