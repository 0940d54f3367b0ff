"""Texts as the tokens of a pretrained encoder, by its own tokenizer."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.data.encoder_folders import SAVED, encoder_folder, needs_transformers
from trainmap.data.raw_rows import Encode
from trainmap.data.texts import LONGEST
from trainmap.errors import TrainmapError
from trainmap.files import reading

FILES = ("tokenizer.json", "vocab.txt", "vocab.json", "*.model")
"""One of them is there where a tokenizer is."""


@dataclass(frozen=True, eq=False)
class Tokenizer:
    """The tokenizer of an encoder.

    Attributes:
        path: of the encoder, as it was given.
        made: by transformers: texts to numbers.
        padding: its number of the padding; here, padding is 0.
        separator: its number of what ends a text; None for a tokenizer without.
        size: one more than its largest number.
        longest: tokens that it allows.
        word: SHA-256 (hex, its first 12) of what number each token has: encoders that share it read the same tokens.
    """

    path: str
    made: Any
    padding: int
    separator: int | None
    size: int
    longest: int
    word: str

    def encode(
        self, texts: Sequence[str], pairs: Sequence[str] | None = None, longest: int | None = None
    ) -> NDArray[np.int32]:
        """(N, L) int32, with 0 for padding: its numbers, counted from that of its padding on, round and round.

        A text stands between the marks that the encoder was trained with; of a pair, the longer text is cut first.

        Args:
            texts: N texts.
            pairs: a second text for each.
            longest: tokens, marks included; longer texts are cut. L is the length of the longest one.
        """
        if not len(texts):
            return np.zeros((0, 1), np.int32)
        limit = min(LONGEST, self.longest) if longest is None else longest
        more: Any = () if pairs is None else (list(pairs),)
        cut = {"truncation": True, "max_length": limit, "padding": False, "verbose": False}
        with reading(self.path, "tokenizer of an encoder"):
            found = self.made(list(texts), *more, **cut, return_attention_mask=False, split_special_tokens=True)
        lengths = [len(row) for row in found["input_ids"]]
        encoded = np.zeros((len(texts), max(lengths)), dtype=np.int32)
        for row, (tokens, length) in enumerate(zip(found["input_ids"], lengths, strict=True)):
            encoded[row, :length] = (np.asarray(tokens, dtype=np.int64) - self.padding) % self.size
        return encoded


@dataclass(frozen=True, eq=False)
class Subwords:
    """Further texts as a dataset's own are encoded: cut and padded to their length."""

    tokenizer: Tokenizer
    length: int

    def encode(self, texts: Sequence[str], pairs: Sequence[str] | None = None) -> NDArray[np.int32]:
        """(N, length) int32."""
        found = self.tokenizer.encode(texts, pairs, self.length)
        return np.pad(found, ((0, 0), (0, self.length - found.shape[1])))


def subwords(
    texts: Sequence[str], path: str, longest: int | None = None, pairs: Sequence[str] | None = None
) -> tuple[Encode, Callable[[NDArray[np.intp]], Subwords], str]:
    """The encoding of texts as an encoder's tokens, that of further texts beside them, and the word of its tokenizer.
    Nothing is learnt from the texts but their length.

    Args:
        texts: N texts.
        path: of the encoder; see ``encoder_folder``.
        longest: tokens of a text at most; 128 for None, or what the encoder allows where that is less.
        pairs: a second text for each.

    Raises:
        TrainmapError: no encoder, one without a tokenizer, or more tokens than it allows.
    """
    tokenizer = tokenizer_of(path)
    if longest is not None and not 3 <= longest <= tokenizer.longest:
        raise TrainmapError(f"the texts for {path} may have 3 to {tokenizer.longest} tokens, got {longest}")

    length = 1

    def encode(train: NDArray[np.intp]) -> tuple[NDArray[np.int32], int]:
        nonlocal length
        del train  # what a token is was settled long ago
        found = tokenizer.encode(texts, pairs, longest)
        length = found.shape[1]
        return found, tokenizer.size

    def learn(train: NDArray[np.intp]) -> Subwords:
        del train
        return Subwords(tokenizer, length)

    return encode, learn, tokenizer.word


def tokenizer_of(path: str) -> Tokenizer:
    """The tokenizer of an encoder; loaded once in a process.

    Raises:
        TrainmapError: there is none, or it has no padding.
    """
    folder = encoder_folder(path)
    if not any(next(folder.glob(name), None) for name in FILES):
        raise TrainmapError(f"the encoder {path} has no tokenizer ({', '.join(FILES)}) in its folder; {SAVED}")
    return _loaded(path, folder)


@lru_cache(maxsize=4)
def _loaded(path: str, folder: Path) -> Tokenizer:
    try:
        from transformers import AutoTokenizer
    except ImportError as error:
        raise TrainmapError(needs_transformers()) from error
    with reading(folder, "tokenizer of an encoder", SAVED):
        made: Any = AutoTokenizer.from_pretrained(str(folder), local_files_only=True)
        numbers = made.get_vocab()
    if made.pad_token_id is None:
        raise TrainmapError(f"the tokenizer of {path} has no padding token; the ones of encoders have")
    told = json.dumps([sorted(numbers.items()), made.pad_token_id, made.sep_token_id, made.cls_token_id])
    word = hashlib.sha256(told.encode()).hexdigest()[:12]
    longest = min(int(made.model_max_length), 100_000)
    size = max(numbers.values()) + 1
    return Tokenizer(path, made, made.pad_token_id, made.sep_token_id, size, longest, word)
