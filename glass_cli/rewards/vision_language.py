"""A vision-language model as a judge: how probable an answer to a question about a picture is.

The model is shown the picture and asked, in its own chat format, and the probabilities of the
first token of its answer are read off, as in VQAScore (Lin et al., arXiv 2404.01291) and Soft-TIFA
(Kamath et al., arXiv 2512.16853): nothing is sampled, and no text is parsed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from glass_cli.common import hub
from glass_cli.common.errors import GlassError, one_line
from glass_cli.rewards.pixels import to_uint8
from glass_cli.rewards.vision_language_chat import Chat, config_of

if TYPE_CHECKING:
    import torch
    from torch import Tensor

FILES = ("config.json", "generation_config.json", "*.safetensors", "*.safetensors.index.json")


def check(path: str, key: str) -> None:
    """Raises ValueError for a folder without a model. ``key`` is the setting's name."""
    hub.check(path, key, ["config.json"], "the folder of a vision-language model")


def load(
    path: str, key: str, chat: Chat, batch: int, device: torch.device, dtype: torch.dtype
) -> VisionLanguageJudge:
    """The judge in memory.

    path: a model that transformers' AutoModelForImageTextToText loads, tuned to answer in a chat:
        a folder, or a repository of the hub, of which the safetensors are taken.
    key: the setting's name, for messages.
    chat: the same model's, read before.
    batch: questions asked at a time.

    Raises GlassError, one line, where it cannot be had.
    """
    from transformers import AutoModelForImageTextToText

    folder = hub.folder(path, key, FILES)
    config = config_of(folder, chat.name)
    try:
        model, info = AutoModelForImageTextToText.from_pretrained(
            folder,
            config=config,
            dtype=dtype,
            use_safetensors=True,
            local_files_only=True,
            trust_remote_code=False,
            output_loading_info=True,
        )
    except Exception as error:
        # transformers and safetensors refuse a folder in many ways
        raise GlassError(
            f"{chat.name}: its weights cannot be loaded ({one_line(error)[:160]}); download it"
            " again"
        ) from error
    if missing := sorted(info["missing_keys"]):
        raise GlassError(f"{chat.name} lacks weights ({missing[0]}); download it again")
    return VisionLanguageJudge(model.requires_grad_(False).eval().to(device), chat, batch)


class VisionLanguageJudge:
    """A vision-language model that answers.

    model: a network of transformers that generates text.
    chat: how it is asked.
    batch: questions asked at a time, 1 or more.
    """

    def __init__(self, model: Any, chat: Chat, batch: int) -> None:
        self.model, self.chat, self.batch = model, chat, batch

    def first_token(self, images: Tensor, questions: Sequence[str]) -> Tensor:
        """Log-probabilities of the answers' first token, (N, vocabulary), float32.

        images: (N, 3, H, W) in [0, 1], rounded to 8 bits as when they are saved; questions: one of
        each. Questions of one length share a batch, so that none is padded and no answer depends
        on its company. Raises GlassError where the network's numbers are not finite.
        """
        import torch
        from PIL import Image

        pictures = [Image.fromarray(picture) for picture in to_uint8(images)]
        asked = [self.chat.ask(question) for question in questions]
        by_length: dict[int, list[int]] = {}
        for number, (_, length) in enumerate(asked):
            by_length.setdefault(length, []).append(number)
        logits_of: dict[int, Tensor] = {}
        for numbers in by_length.values():
            for start in range(0, len(numbers), self.batch):
                some = numbers[start : start + self.batch]
                logits = self._logits([asked[i][0] for i in some], [pictures[i] for i in some])
                logits_of |= dict(zip(some, logits, strict=True))
        logits = torch.stack([logits_of[number] for number in range(len(asked))])
        if not bool(logits.isfinite().all()):
            raise GlassError(
                f"{self.chat.name} gives numbers that are not finite; its weights are damaged"
                " (download it again), or its dtype is too narrow (set dtype=float32)"
            )
        return logits.log_softmax(-1)

    def _logits(self, texts: Sequence[str], pictures: Sequence[Any]) -> Tensor:
        """Of the token that follows each text with its picture: (n, vocabulary), float32."""
        inputs = self.chat.inputs(texts, pictures)
        out = self.model.generate(
            **inputs.to(self.model.device, dtype=self.model.dtype),
            max_new_tokens=1,
            do_sample=False,
            num_beams=1,
            use_cache=False,
            output_logits=True,  # the raw ones, which no repetition penalty has touched
            return_dict_in_generate=True,
        )
        logits: Tensor = out.logits[0].float()
        return logits
