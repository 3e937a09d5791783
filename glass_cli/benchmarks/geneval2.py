"""GenEval 2 (Kamath et al., arXiv 2512.16853): questions on every part of a prompt, answered by a
vision-language model (Soft-TIFA)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Literal

from glass_cli.benchmarks import lists, soft_tifa
from glass_cli.benchmarks.base import Answer, Benchmark, LoadedBenchmark, Record, check_sizes
from glass_cli.common.errors import GlassError
from glass_cli.rewards import vision_language, vision_language_chat
from glass_cli.rewards.base import check_common, place
from glass_cli.rewards.vision_language_chat import DEFAULT

if TYPE_CHECKING:
    import torch
    from torch import Tensor

URL = "https://raw.githubusercontent.com/facebookresearch/GenEval2/main/geneval2_data.jsonl"
NAME = "geneval2_data.jsonl"  # in the cache
KEY = "benchmark.judge"
SKILLS = ("object", "attribute", "count", "position", "verb")
MEANS = ("geometric mean", "arithmetic mean", "correct")
ASKED = "{question} Answer in one word."
COUNTED = "How many"  # begins the questions that a number answers
DIGITS = {
    word: str(number)
    for number, word in enumerate(
        ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
    )
}


@dataclass(frozen=True)
class GenEval2(Benchmark):
    """The published protocol: 800 prompts of 3 to 10 atoms, judged atom by atom.

    Each question of a prompt is put to the judge with the picture and "Answer in one word."; an
    atom's probability is that of the right answer's first token, over the ways to write it, a
    number also in digits. A picture has the arithmetic and the geometric mean of its atoms'
    (Soft-TIFA AM and GM); :mod:`glass_cli.benchmarks.soft_tifa` has the tables of the paper, GM by
    number of atoms and the mean by skill. ``correct``, which the paper does not have, is whether
    every answer is more probable than not. Unlike the published script, a token that begins two
    ways to write an answer is counted once, and one that is a space alone not at all.

    The list is CC BY-NC 4.0 and no part of this package: a JSON object a line with ``prompt``,
    ``atom_count``, ``vqa_list`` ([question, answer] of each atom) and ``skills`` (of each atom).
    "One" is asked about and is no atom of the count.

    path: the list's file; null downloads it once from the authors' repository.
    judge: a vision-language model, a repository of the hub or a folder; see
        :class:`glass_cli.rewards.vqa.Vqa`. The published one is Qwen3-VL-8B-Instruct.
    images: pictures a prompt, 1 or more; 1 in the paper.
    limit: so many prompts, 1 or more, taken from the numbers of atoms in turn; null for all.
    batch: questions asked at a time, 1 or more.
    device: of the judge: auto, cpu, mps, cuda or cuda:N; null for the drawing model's.
    dtype: of the judge; auto is bfloat16 on a GPU and float32 elsewhere.
    """

    path: str | None = None
    judge: str = DEFAULT
    images: int = 1
    limit: int | None = None
    batch: int = 8
    device: str | None = None
    dtype: Literal["auto", "float32", "bfloat16"] = "auto"

    def __post_init__(self) -> None:
        lists.check(self.path)
        vision_language.check(self.judge, KEY)
        check_sizes(self.images, self.limit)
        check_common(self.batch, self.device, "benchmark")

    @property
    def title(self) -> str:
        return f"GenEval 2 ({self.judge.rstrip('/').rpartition('/')[2]})"

    @cached_property
    def _all(self) -> list[dict[str, Any]]:
        text, name, _ = lists.source(self.path, URL, NAME)
        rows = lists.json_lines(text, name)
        for number, record in enumerate(rows, 1):
            check_record(record, f"{name}, record {number}")
        if not rows:
            raise GlassError(f"{name} has no prompt in it")
        return rows

    def records(self) -> list[dict[str, Any]]:
        """The prompts with their questions. Raises GlassError where the list cannot be had."""
        return lists.in_turn(self._all, lambda record: int(record["atom_count"]), self.limit)

    def load(self, device: torch.device, dtype: torch.dtype) -> LoadedGenEval2:
        """Reads the judge; in ``self.dtype``, whatever the drawing model's is. Raises GlassError,
        for answers that its tokenizer cannot write before its weights are read."""
        from glass_cli.common.devices import choose_dtype

        chat = vision_language_chat.read(self.judge, KEY)
        pairs = dict.fromkeys((q, a) for record in self._all for q, a in record["vqa_list"])
        for question, answer in pairs:
            tokens_of(chat, question, answer)
        own = place(self.device, device)
        kind = choose_dtype(self.dtype, own)
        judge = vision_language.load(self.judge, KEY, chat, self.batch, own, kind)
        return LoadedGenEval2(judge)

    def summarise(self, results: Sequence[Mapping[str, Any]]) -> Answer:
        """The geometric mean first, the paper's estimate for whole prompts; see
        :mod:`glass_cli.benchmarks.soft_tifa`."""
        return soft_tifa.summary(results, SKILLS, MEANS)


def check_record(record: Record, name: str) -> None:
    """Raises GlassError unless the record has what the judge reads."""

    def texts(value: Any, length: int | None = None) -> bool:
        return (
            isinstance(value, list)
            and len(value) == (length or len(value))
            and all(isinstance(text, str) and text.strip() for text in value)
        )

    atoms, asked, skills = (record.get(key) for key in ("atom_count", "vqa_list", "skills"))
    if not texts([record.get("prompt")]):
        raise GlassError(f"{name} has no prompt; give GenEval 2's {NAME}")
    if not isinstance(atoms, int) or isinstance(atoms, bool) or atoms < 1:
        raise GlassError(f"{name}: atom_count must be a number of at least 1 (got {atoms})")
    if not isinstance(asked, list) or not asked or not all(texts(pair, 2) for pair in asked):
        raise GlassError(f"{name}: vqa_list must be pairs of a question and its answer")
    if not isinstance(skills, list) or not texts(skills) or len(skills) != len(asked):
        raise GlassError(f"{name}: skills must be a word for each of the {len(asked)} questions")


def tokens_of(chat: vision_language_chat.Chat, question: str, answer: str) -> list[int]:
    """The tokens that the right answer may begin with. Raises GlassError where there are none."""
    word = answer.strip().lower()
    ways = [word]
    if question.startswith(COUNTED) and word in DIGITS:
        ways.append(DIGITS[word])
    tokens = chat.first_tokens_of(ways)
    if not tokens:
        raise GlassError(
            f"{chat.name}: its tokenizer has no token that the answer {answer} begins with; give"
            " a model that answers in English"
        )
    return tokens


class LoadedGenEval2(LoadedBenchmark):
    """See :class:`glass_cli.benchmarks.base.LoadedBenchmark`."""

    def __init__(self, judge: vision_language.VisionLanguageJudge) -> None:
        self._judge = judge

    def judge(self, image: Tensor, record: Record) -> dict[str, Any]:
        """See :func:`glass_cli.benchmarks.soft_tifa.judgement`; an atom ``says`` its question."""
        questions = [ASKED.format(question=question) for question, _ in record["vqa_list"]]
        said = self._judge.first_token(image.expand(len(questions), *image.shape), questions).exp()
        atoms = [
            {
                "skill": skill,
                "says": f"{question} {answer}",
                "probability": min(
                    float(chances[tokens_of(self._judge.chat, question, answer)].sum()), 1.0
                ),
            }
            for (question, answer), skill, chances in zip(
                record["vqa_list"], record["skills"], said, strict=True
            )
        ]
        return soft_tifa.judgement(atoms, soft_tifa.tag(record["atom_count"]))
