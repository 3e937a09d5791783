"""A vision-language model as a reward: its probabilities by hand, its inputs, its refusals."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import tiny_vision_language as tiny
import torch
from PIL import Image
from tiny_vision_language import by_hand, images
from transformers import AutoProcessor

from glass_cli.common.errors import GlassError
from glass_cli.rewards.pixels import to_uint8
from glass_cli.rewards.vqa import LoadedVqa, Vqa

CPU = torch.device("cpu")
PROMPT = "a red cat {left} of 100 % dogs"
ASKED = f'Does this picture show "{PROMPT}"? Answer yes or no.'


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    place = tmp_path_factory.mktemp("models")
    return {kind: tiny.write(place / kind, kind) for kind in tiny.KINDS}


@pytest.fixture
def folder(folders: dict[str, Path], tmp_path: Path) -> Path:
    """A copy of the Qwen3-VL that a test may spoil."""
    return Path(shutil.copytree(folders["qwen3_vl"], tmp_path / "model"))


def load(folder: Path, **kwargs: Any) -> LoadedVqa:
    return Vqa(str(folder), **kwargs).load(CPU, torch.float32)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_score_is_the_share_of_yes_by_hand(folders: dict[str, Path], kind: str) -> None:
    loaded = load(folders[kind])
    x = images(3)
    found = loaded.score(x, PROMPT)
    vocab = tiny.tokenizer(kind).get_vocab()
    yes, no = ([vocab[w] for w in words] for words in (("yes", "Yes", "ĠYes"), ("no", "No", "ĠNo")))
    wanted = []
    for image in x:
        chances = by_hand(folders[kind], kind, image, ASKED)
        wanted.append(float(chances[yes].sum() / (chances[yes].sum() + chances[no].sum())))
    assert found.tolist() == pytest.approx(wanted, rel=1e-4)
    assert found.dtype == torch.float32 and max(wanted) - min(wanted) > 1e-3


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_scores_do_not_depend_on_the_batch(folders: dict[str, Path], kind: str) -> None:
    x = images(5)
    together = load(folders[kind], batch=8).score(x, PROMPT)
    for batch in (1, 2):
        assert torch.allclose(
            load(folders[kind], batch=batch).score(x, PROMPT), together, atol=2e-6
        )
    turned = load(folders[kind]).score(x.flip(0), PROMPT).flip(0)
    assert torch.allclose(turned, together, atol=2e-6)


@pytest.mark.parametrize("kind", tiny.KINDS)
def test_questions_of_several_lengths_are_never_padded(folders: dict[str, Path], kind: str) -> None:
    judge = load(folders[kind], batch=4).judge
    questions = ["One?", "A longer question?", "Two?", "?", "Six?", "A longer question!"]
    x = images(len(questions))
    shapes = []
    inner = judge.chat.inputs

    def spied(*args: Any) -> Any:
        inputs = inner(*args)
        shapes.append(tuple(inputs["input_ids"].shape))
        assert bool(inputs["attention_mask"].all())
        return inputs

    judge.chat.inputs = spied  # type: ignore[method-assign]
    together = judge.first_token(x, questions)
    assert [rows for rows, _ in shapes] == [3, 2, 1]
    for i, question in enumerate(questions):
        alone = judge.first_token(x[i : i + 1], [question])[0]
        assert torch.allclose(together[i], alone, atol=2e-5)
    assert torch.allclose(together.exp().sum(1), torch.ones(len(x)), atol=1e-5)


def test_the_question_is_a_setting(folders: dict[str, Path]) -> None:
    x = images(1)
    own = load(folders["qwen3_vl"], question="Is {prompt} what you see? {prompt}!")
    chances = by_hand(folders["qwen3_vl"], "qwen3_vl", x[0], "Is a cat what you see? a cat!")
    odds = chances[own.yes].sum() / chances[own.no].sum()
    assert own.score(x, "a cat").item() == pytest.approx(float(odds / (1 + odds)), rel=1e-4)


def test_inputs_are_those_of_the_published_processor(folders: dict[str, Path]) -> None:
    """Of a family whose AutoProcessor needs nothing for videos: template, ids and pixels."""
    published = AutoProcessor.from_pretrained(folders["llava"], backend="pil")
    x = images(1)
    picture = Image.fromarray(to_uint8(x)[0])
    content = [{"type": "image", "image": picture}, {"type": "text", "text": "What?"}]
    wanted = published.apply_chat_template(
        [{"role": "user", "content": content}],
        add_generation_prompt=True,
        tokenize=True,
        return_dict=True,
        return_tensors="pt",
    )
    judge = load(folders["llava"]).judge
    found = judge.chat.inputs([judge.chat.ask("What?")[0]], [picture])
    assert {*found} == {*wanted}
    for key in wanted:
        assert torch.equal(found[key], wanted[key])
    beginning = judge.chat.processor.tokenizer.bos_token_id
    assert (found["input_ids"] == beginning).sum() == 1


def test_pictures_are_prepared_by_pillow(folders: dict[str, Path]) -> None:
    for folder in folders.values():
        assert type(load(folder).judge.chat.processor.image_processor).__name__.endswith("Pil")


def test_bfloat16_is_near(folders: dict[str, Path]) -> None:
    x = images(4)
    narrow = load(folders["qwen3_vl"], dtype="bfloat16")
    assert narrow.judge.model.dtype == torch.bfloat16
    found, wanted = narrow.score(x, PROMPT), load(folders["qwen3_vl"]).score(x, PROMPT)
    assert found.dtype == torch.float32
    assert 0 < (found - wanted).abs().max() < 0.05


def test_a_model_that_can_think_is_told_not_to(folder: Path) -> None:
    thought = "{% if enable_thinking is not defined or enable_thinking %}<think>{% endif %}"
    (folder / "chat_template.jinja").write_text(tiny.CHAT + thought)
    assert load(folder).judge.chat.ask("Who?")[0].endswith("assistant\n")
    (folder / "chat_template.jinja").write_text(tiny.CHAT + "<think>\n")
    assert complaint(folder).endswith(
        "thinks before it answers, and its first token is no answer; give a model that answers at"
        " once, such as Qwen/Qwen3-VL-8B-Instruct"
    )


def complaint(folder: Path, path: str | None = None) -> str:
    with pytest.raises(GlassError) as caught:
        load(Path(path) if path else folder)
    said = str(caught.value)
    assert "\n" not in said and said.startswith(f"reward.path={path or folder}")
    assert len(said) < 500
    return said


def rewrite(path: Path, change: Callable[[dict[str, Any]], None]) -> None:
    known = json.loads(path.read_text())
    change(known)
    path.write_text(json.dumps(known))


def test_no_chat_template(folder: Path) -> None:
    (folder / "chat_template.jinja").unlink()
    assert "has no chat template, so it was not tuned to answer" in complaint(folder)


@pytest.mark.parametrize("template", ["{{ messages[0].content[-1].text }}", "hello"])
def test_a_template_that_is_blind(folder: Path, template: str) -> None:
    (folder / "chat_template.jinja").write_text(template)
    said = complaint(folder)
    assert "cannot take a picture" in said or "has no place for a picture" in said


def test_a_template_that_is_wrong(folder: Path) -> None:
    (folder / "chat_template.jinja").write_text("{% for message in messages %}")
    assert "cannot take a picture and a question (TemplateSyntaxError" in complaint(folder)


def test_a_language_without_yes(folder: Path) -> None:
    """Whatever begins with yes begins with what no begins with, too."""
    chat = load(folder).judge.chat
    chat.first_tokens_of = lambda answers: [1, 2] if "yes" in answers else [2]  # type: ignore
    with pytest.raises(GlassError, match="has no token that no begins with; give a model"):
        chat.yes_and_no()


def test_first_tokens(folder: Path) -> None:
    chat, vocab = load(folder).judge.chat, tiny.tokenizer().get_vocab()
    assert chat.first_tokens_of(["yes"]) == [vocab["yes"], vocab["Yes"], vocab["ĠYes"]]
    # a space alone is none; "4" is one, and "Four" begins with F
    assert chat.first_tokens_of(["four", "4"]) == [vocab["four"], vocab["F"], vocab["4"]]
    assert chat.first_tokens_of(["yes", "yes", "yellow"]) == [
        vocab["yes"],
        vocab["Yes"],
        vocab["ĠYes"],
        vocab["ye"],
        vocab["Ye"],
    ]


def test_another_kind_of_model(folder: Path) -> None:
    rewrite(folder / "config.json", lambda known: known.update(model_type="bert"))
    assert "is a bert model, which answers no questions about pictures" in complaint(folder)
    rewrite(folder / "config.json", lambda known: known.update(model_type="qwen99"))
    assert "cannot read config.json of model type qwen99" in complaint(folder)


def test_missing_parts(folder: Path) -> None:
    shutil.move(folder / "preprocessor_config.json", folder / "elsewhere")
    assert "its tokenizer or picture processor cannot be read" in complaint(folder)
    shutil.move(folder / "elsewhere", folder / "preprocessor_config.json")
    weights = folder / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1000])
    assert "its weights cannot be loaded" in complaint(folder)
    weights.unlink()
    assert "its weights cannot be loaded" in complaint(folder)


def test_what_cannot_be_asked_is_refused_before_weights_are_read(folder: Path) -> None:
    (folder / "model.safetensors").unlink()
    (folder / "chat_template.jinja").unlink()
    assert "has no chat template" in complaint(folder)


def test_a_weight_too_few(folder: Path) -> None:
    from safetensors.torch import load_file, save_file

    state = load_file(folder / "model.safetensors")
    lost = next(key for key in state if "norm" in key)
    del state[lost]
    save_file(state, folder / "model.safetensors", {"format": "pt"})
    assert "lacks weights (" in complaint(folder)


def test_numbers_that_are_not_finite(folder: Path) -> None:
    loaded = load(folder)
    with torch.no_grad():
        next(loaded.judge.model.parameters()).fill_(torch.nan)
    with pytest.raises(GlassError, match="gives numbers that are not finite"):
        loaded.score(images(1), PROMPT)


def test_settings() -> None:
    with pytest.raises(ValueError, match=r"reward\.question must hold \{prompt\}"):
        Vqa(question="Is it good?")
    with pytest.raises(ValueError, match=r"reward\.path=nowhere is neither there"):
        Vqa("nowhere")
    with pytest.raises(ValueError, match=r"reward\.batch must be at least 1"):
        Vqa(batch=0)
    assert Vqa().path == "Qwen/Qwen3-VL-8B-Instruct" and not Vqa.differentiable
