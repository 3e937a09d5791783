"""A vision-language model asked whether the picture shows the prompt (VQAScore)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from glass_cli.rewards import vision_language, vision_language_chat
from glass_cli.rewards.base import LoadedReward, Reward, check_common, place
from glass_cli.rewards.vision_language_chat import DEFAULT

if TYPE_CHECKING:
    import torch
    from torch import Tensor

KEY = "reward.path"
PLACE = "{prompt}"


@dataclass(frozen=True)
class Vqa(Reward):
    """The probability that a vision-language model answers yes rather than no, from 0 to 1.

    P(yes) / (P(yes) + P(no)) of the first token of its answer, over the ways to write the two
    words; VQAScore (Lin et al., arXiv 2404.01291) is P(yes) alone. Pictures are rounded to 8 bits
    and resized by Pillow as the model's own settings say. The score has no gradient.

    path: a model that transformers' AutoModelForImageTextToText loads, tuned to answer in a chat; a
        repository of the hub or a folder.
    question: what it is asked; {prompt} stands for the prompt.
    batch: pictures judged at a time, 1 or more.
    device: auto, cpu, mps, cuda or cuda:N; null for the model's.
    dtype: of the network; auto is bfloat16 on a GPU and float32 elsewhere.
    """

    path: str = DEFAULT
    question: str = f'Does this picture show "{PLACE}"? Answer yes or no.'
    batch: int = 8
    device: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        vision_language.check(self.path, KEY)
        if PLACE not in self.question:
            raise ValueError(
                f"reward.question must hold {PLACE}, where the prompt is put (got {self.question})"
            )
        check_common(self.batch, self.device)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedVqa:
        """Reads the model; in ``self.dtype``, whatever the drawing one's is. Raises GlassError."""
        from glass_cli.common.devices import choose_dtype

        chat = vision_language_chat.read(self.path, KEY)
        tokens = chat.yes_and_no()  # before the weights, which may take minutes
        own = place(self.device, device)
        kind = choose_dtype(self.dtype, own)
        judge = vision_language.load(self.path, KEY, chat, self.batch, own, kind)
        return LoadedVqa(judge, *tokens, self.question)


class LoadedVqa(LoadedReward):
    """See :class:`glass_cli.rewards.base.LoadedReward`."""

    def __init__(
        self,
        judge: vision_language.VisionLanguageJudge,
        yes: Sequence[int],
        no: Sequence[int],
        question: str,
    ) -> None:
        self.judge, self.yes, self.no, self.question = judge, yes, no, question

    def score(self, samples: Tensor, prompt: str) -> Tensor:
        # not by format: a prompt may have braces of its own
        asked = self.question.replace(PLACE, prompt)
        said = self.judge.first_token(samples, [asked] * len(samples))
        odds = said[:, self.yes].logsumexp(1) - said[:, self.no].logsumexp(1)
        return odds.sigmoid().to(samples.device)
