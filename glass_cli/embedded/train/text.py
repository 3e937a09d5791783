"""The embedded model's tokenizer: CLIP's byte-pair encoding, learned on the world's prompts."""

from __future__ import annotations

import json
import random

from tokenizers import Tokenizer, models, pre_tokenizers, trainers
from torch import Tensor
from transformers import CLIPTokenizer

from glass_cli.embedded.world.scene import training_scenes

LENGTH = 28  # the longest prompt of the grammar has 26 tokens with its two markers


def train_tokenizer(seed: int) -> CLIPTokenizer:
    """Learns merges until every word of the world is one token; other words fall back to bytes."""
    rng = random.Random(seed)
    prompts = [training_scenes(rng)[0].prompt for _ in range(40_000)]
    clip = CLIPTokenizer().backend_tokenizer
    bpe = Tokenizer(models.BPE(end_of_word_suffix="</w>", unk_token="<|endoftext|>"))
    bpe.normalizer, bpe.pre_tokenizer = clip.normalizer, clip.pre_tokenizer
    # Characters are listed in order: the trainer numbers those that it meets at the ends of words,
    # "a" among them, differently in every process, and checkpoints must fit the next process.
    characters = sorted(pre_tokenizers.ByteLevel.alphabet())
    ends = sorted({word[-1] + "</w>" for prompt in prompts for word in prompt.split()})
    trainer = trainers.BpeTrainer(
        vocab_size=4096,
        min_frequency=2,
        end_of_word_suffix="</w>",
        special_tokens=["<|startoftext|>", "<|endoftext|>", *characters, *ends],
        show_progress=False,
    )
    bpe.train_from_iterator(prompts, trainer)
    learned = json.loads(bpe.to_str())["model"]
    vocab: dict[str, int] = dict(learned["vocab"])
    # a byte that ends a word is a token of its own; the trainer adds only those that it met
    for char in characters:
        vocab.setdefault(char + "</w>", len(vocab))
    merges = [tuple(pair) for pair in learned["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=LENGTH)


def encode(tokenizer: CLIPTokenizer, prompts: list[str]) -> Tensor:
    """Token ids (N, LENGTH), padded as StableDiffusionPipeline pads them."""
    out = tokenizer(
        prompts, padding="max_length", truncation=True, max_length=LENGTH, return_tensors="pt"
    )
    ids: Tensor = out.input_ids
    return ids
