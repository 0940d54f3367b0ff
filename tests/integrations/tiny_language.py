"""A language of ten digits and few signs, and a network that speaks it; nothing is downloaded."""

from __future__ import annotations

from typing import Any

import numpy as np
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

SIGNS = ["<pad>", "<eos>", *"0123456789+=?"]


def tokenizer() -> Any:
    words = Tokenizer(models.WordLevel({sign: number for number, sign in enumerate(SIGNS)}, unk_token="?"))
    words.pre_tokenizer = pre_tokenizers.Split("", "isolated")
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>")


def speaker(hidden: int = 16) -> Any:
    config = LlamaConfig(
        vocab_size=len(SIGNS),
        hidden_size=hidden,
        intermediate_size=2 * hidden,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        pad_token_id=0,
        eos_token_id=1,
        bos_token_id=None,
    )
    return LlamaForCausalLM(config)


def sums(count: int, seed: int = 0) -> list[dict[str, str]]:
    generator = np.random.default_rng(seed)
    pairs = [generator.integers(0, 10 ** generator.integers(1, 4), 2) for _ in range(count)]
    return [{"prompt": f"{a}+{b}=", "completion": str(a + b)} for a, b in pairs]
