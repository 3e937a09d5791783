"""How a vision-language model is asked: its tokenizer, chat format and preprocessing."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from glass_cli.common import checkpoint, hub
from glass_cli.common.errors import GlassError, one_line
from glass_cli.rewards.base import OncePrompt

DEFAULT = "Qwen/Qwen3-VL-8B-Instruct"
FILES = (
    "config.json",
    "preprocessor_config.json",
    "processor_config.json",
    "chat_template.json",
    "chat_template.jinja",
    "merges.txt",
    "added_tokens.json",
    "tokenizer.model",
    *checkpoint.TOKENIZER_FILES,
)
PICTURE = 64  # pixels a side of the picture that a processor is tried on
_OTHER_SENSES = ("video_processor", "feature_extractor", "audio_tokenizer")


def read(path: str, key: str) -> Chat:
    """The chat of a model in a folder or a repository of the hub, whose weights are left alone.

    ``key`` is the setting's name. Raises GlassError, one line, unless it takes a picture and a
    question.
    """
    from glass_cli.pipelines.vendors import quiet

    quiet()
    name = f"{key}={path}"
    folder = hub.folder(path, key, FILES)
    chat = Chat(_processor(folder, config_of(folder, name), name), name)
    chat.try_out()
    return chat


def config_of(folder: Path, name: str) -> Any:
    """The model's settings. Raises GlassError where it does not take pictures and answer."""
    from transformers import MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING, AutoConfig

    kind = checkpoint.settings(folder, "config.json", name).get("model_type")
    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True, trust_remote_code=False)
    except Exception as error:
        # of another kind, newer than transformers, or damaged
        raise GlassError(
            f"{name}: transformers cannot read config.json of model type {kind}"
            f" ({one_line(error)[:120]})"
        ) from error
    if type(config) not in MODEL_FOR_IMAGE_TEXT_TO_TEXT_MAPPING:
        raise GlassError(
            f"{name} is a {kind} model, which answers no questions about pictures; give a"
            f" vision-language model, such as {DEFAULT}"
        )
    return config


def _processor(folder: Path, config: Any, name: str) -> Any:
    """Tokenizer and picture preprocessing as the model's own class joins them.

    Pictures go through Pillow, on whatever machine: torchvision's resizing differs by a level or
    two, and AutoProcessor insists on it for models that watch videos as well.
    """
    from transformers import PROCESSOR_MAPPING, AutoImageProcessor, AutoTokenizer

    options = {"local_files_only": True, "trust_remote_code": False}
    try:
        parts = {
            "tokenizer": AutoTokenizer.from_pretrained(folder, config=config, **options),
            "image_processor": AutoImageProcessor.from_pretrained(folder, backend="pil", **options),
        }
        kind: Any = PROCESSOR_MAPPING[type(config)]
        needed = [part for part in kind.get_attributes() if part not in _OTHER_SENSES]
        # a subclass, since the class itself asks for what videos and sound need
        own = {"get_attributes": classmethod(lambda cls: needed)}
        pictures_only: Any = type(kind.__name__, (kind,), own)
        settings, _ = kind.get_processor_dict(folder, local_files_only=True)
        settings = {key: value for key, value in settings.items() if key not in _OTHER_SENSES}
        processor = pictures_only.from_args_and_dict([parts[part] for part in needed], settings)
    except Exception as error:
        # transformers refuses a folder in many ways
        raise GlassError(
            f"{name}: its tokenizer or picture processor cannot be read"
            f" ({type(error).__name__}: {one_line(error)[:160]})"
        ) from error
    if processor.chat_template is None:
        processor.chat_template = parts["tokenizer"].chat_template
    if processor.chat_template is None:
        raise GlassError(
            f"{name} has no chat template, so it was not tuned to answer; give a model that was,"
            f" such as {DEFAULT}"
        )
    return processor


class Chat:
    """Makes questions about pictures into a model's inputs, and words into its tokens.

    processor: of transformers, with a tokenizer, an image processor and a chat template.
    name: what messages call the model, such as ``reward.path=Qwen/Qwen3-VL-8B-Instruct``.
    """

    def __init__(self, processor: Any, name: str) -> None:
        self.processor, self.name = processor, name
        self.ask = OncePrompt(self._ask)

    def _ask(self, question: str) -> tuple[str, int]:
        """The question in the chat's format, with a place for a picture, and its tokens' number."""
        text = self._written([{"type": "image"}, {"type": "text", "text": question}])
        return text, len(self.processor.tokenizer(text).input_ids)

    def _written(self, content: list[dict[str, str]]) -> str:
        template = self.processor.chat_template
        # of a model that can think before it answers, the first token shall be the answer's
        options = {"enable_thinking": False} if "enable_thinking" in str(template) else {}
        written: str = self.processor.apply_chat_template(
            [{"role": "user", "content": content}],
            add_generation_prompt=True,
            tokenize=False,
            **options,
        )
        return written

    def inputs(self, texts: Sequence[str], pictures: Sequence[Any]) -> Any:
        """The network's inputs for texts of :meth:`ask`, each with its picture (Pillow's).

        Nothing is padded where all texts are of one length and all pictures of one size.
        """
        beginning = self.processor.tokenizer.bos_token
        # a template that writes the beginning itself needs no second one
        has = beginning is not None and texts[0].startswith(beginning)
        options = {"add_special_tokens": False} if has else {}
        return self.processor(
            text=list(texts),
            images=[[picture] for picture in pictures],
            return_tensors="pt",
            **options,
        )

    def try_out(self) -> None:
        """Raises GlassError unless a picture and a question can be made into the model's inputs."""
        from PIL import Image

        try:
            asked, _ = self.ask("?")
            blind = self._written([{"type": "text", "text": "?"}])
            inputs = self.inputs([asked], [Image.new("RGB", (PICTURE, PICTURE))])
        except Exception as error:
            # of jinja, of the tokenizer or of the model's own processor
            raise GlassError(
                f"{self.name}: its chat template or processor cannot take a picture and a question"
                f" ({type(error).__name__}: {one_line(error)[:160]})"
            ) from error
        if asked.rstrip().endswith("<think>"):
            raise GlassError(
                f"{self.name} thinks before it answers, and its first token is no answer; give a"
                f" model that answers at once, such as {DEFAULT}"
            )
        if asked == blind or "pixel_values" not in inputs:
            raise GlassError(
                f"{self.name}: its chat template has no place for a picture; give a model tuned on"
                f" pictures, such as {DEFAULT}"
            )

    def first_tokens_of(self, answers: Iterable[str]) -> list[int]:
        """The numbers of the tokens that ``answers`` begin with, as they may be written.

        Each is tried as it is and with a capital, after a space and without. Tokens that are
        unknown or nothing but white space say nothing of an answer and are left out; so is a token
        that occurs again, that no probability is counted twice.
        """
        tokenizer = self.processor.tokenizer
        tokens = []
        for answer in answers:
            for word in dict.fromkeys((answer, answer.capitalize())):
                for written in (word, f" {word}"):
                    tokens += tokenizer.encode(written, add_special_tokens=False)[:1]
        return [
            token
            for token in dict.fromkeys(tokens)
            if token != tokenizer.unk_token_id and tokenizer.decode([token]).strip()
        ]

    def yes_and_no(self) -> tuple[list[int], list[int]]:
        """The first tokens of yes and of no, none of both. Raises GlassError where one has none."""
        yes, no = self.first_tokens_of(["yes"]), self.first_tokens_of(["no"])
        both = {*yes} & {*no}
        yes, no = ([t for t in tokens if t not in both] for tokens in (yes, no))
        if not yes or not no:
            word = "no" if yes else "yes"
            raise GlassError(
                f"{self.name}: its tokenizer has no token that {word} begins with; give a model"
                " that answers in English"
            )
        return yes, no
