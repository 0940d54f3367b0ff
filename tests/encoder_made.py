"""A tiny pretrained encoder in a folder, as ``save_pretrained`` leaves it: random weights, eleven words."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

SPECIAL = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"]
WORDS = [*"abcdefg", "##a", "##b", "[", "]", "sep"]
SMALL: dict[str, Any] = {"hidden_size": 16, "num_hidden_layers": 3, "num_attention_heads": 2, "intermediate_size": 32}


def make_encoder(folder: Path, words: list[str] = WORDS, seed: int = 0, **changes: Any) -> Path:
    """A BERT of three layers; ``changes`` to its configuration."""
    from transformers import BertConfig, BertModel

    config = BertConfig(vocab_size=len(SPECIAL) + len(words), max_position_embeddings=32, **(SMALL | changes))
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        save(BertModel(config), folder)
    write_tokenizer(folder, words)
    return folder


def save(model: Any, folder: Path) -> None:
    from transformers.utils import logging

    logging.disable_progress_bar()
    model.save_pretrained(folder)
    logging.enable_progress_bar()


def write_tokenizer(folder: Path, words: list[str] = WORDS, first: tuple[str, str] = ("[PAD]", "[UNK]")) -> None:
    """Its ``tokenizer.json``: lower-cased word pieces; the first two of its tokens are told."""
    from tokenizers import Tokenizer, models, normalizers, pre_tokenizers, processors
    from transformers import PreTrainedTokenizerFast

    number = {token: place for place, token in enumerate([*first, *SPECIAL[2:], *words])}
    made = Tokenizer(models.WordPiece(number, unk_token="[UNK]"))
    made.normalizer, made.pre_tokenizer = normalizers.BertNormalizer(), pre_tokenizers.BertPreTokenizer()
    ends = [(token, number[token]) for token in ("[SEP]", "[CLS]")]
    made.post_processor = processors.BertProcessing(*ends)
    marks = {f"{name}_token": f"[{name.upper()}]" for name in ("pad", "unk", "cls", "sep", "mask")}
    folder.mkdir(parents=True, exist_ok=True)
    PreTrainedTokenizerFast(tokenizer_object=made, model_max_length=32, **marks).save_pretrained(folder)


def write_texts(path: Path, count: int = 60, pairs: bool = False) -> Path:
    """Texts of two classes: with an "a" among the words or without."""
    generator = np.random.default_rng(0)
    texts = [" ".join(generator.choice(list("abcdefg"), generator.integers(2, 9))) for _ in range(count)]
    columns: dict[str, Any] = {"text": texts, "label": ["a" in text for text in texts]}
    columns["label"] = [int(label) for label in columns["label"]]
    if pairs:
        columns["text_pair"] = texts[::-1]
    pl.DataFrame(columns).write_parquet(path)
    return path
