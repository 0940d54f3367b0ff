"""Counterfactual pairs: examples, and what people made of them by small changes that change the label."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.data.raw_rows import Rows
from trainmap.data.texts import joined, tokens, vocabulary_of
from trainmap.errors import TrainmapError, some
from trainmap.parquet_files import read_frame

LABELS = ("contradiction", "entailment", "neutral")
REVISED = {"revised_premise": "revised premise", "revised_hypothesis": "revised hypothesis"}
SPLITS = {"train": "train", "dev": "validation", "test": "test"}
COLUMNS = ("part", "split", "label", "premise", "hypothesis")
UNUSED = "unused"
"""The part of revised examples that are in no test set."""


def cad_nli_rows(path: Path) -> Rows:
    """SNLI pairs, in their three official splits, and the test pairs with the premise or the hypothesis revised so that
    the label changes: parts of their own, "revised premise" and "revised hypothesis".

    An example is a pair of texts, as words ``premise | hypothesis``. Ids are the rows of the file, which has the
    columns part (original, revised_premise, revised_hypothesis), split (train, dev, test), label, premise, hypothesis.
    The revisions of a split stand in the order of its originals, as many for each; ``revises`` has the id
    of the original.

    Raises:
        TrainmapError: a file that is missing or not what it must be.

    Source: Kaushik et al. 2020, arXiv:1909.12434.
    """
    table = read_frame(path, "table of counterfactual pairs")
    if lacking := [name for name in COLUMNS if name not in table.columns]:
        raise TrainmapError(f"{path} must have columns {', '.join(COLUMNS)}; it lacks {', '.join(lacking)}")
    if wrong := [name for name in COLUMNS if str(table[name].dtype) != "String" or table[name].null_count()]:
        raise TrainmapError(
            f"{path}: the column '{wrong[0]}' must hold a text in every row, got {table[wrong[0]].dtype}"
        )
    known: dict[str, Sequence[str]] = {"label": LABELS, "split": [*SPLITS], "part": ["original", *REVISED]}
    for column, words in known.items():
        if strange := sorted(set(table[column].to_list()) - set(words), key=str):
            raise TrainmapError(f"{path}: {column}s must be {', '.join(words)}, got {some(strange)}")
    y = np.array([LABELS.index(label) for label in table["label"]], dtype=np.int64)
    part, split = (table[name].to_numpy() for name in ("part", "split"))
    texts, others = table["premise"].to_list(), table["hypothesis"].to_list()
    whole = joined(texts, others)
    placed, revises = np.full(len(y), UNUSED, "<U24"), np.full(len(y), -1, dtype=np.int64)
    for when, name in SPLITS.items():
        originals = np.flatnonzero((part == "original") & (split == when))
        if not len(originals):
            raise TrainmapError(f"{path} has no rows with part 'original' and split '{when}'")
        placed[originals] = name
        for which, called in REVISED.items():
            rows = np.flatnonzero((part == which) & (split == when))
            if when == "test" and not len(rows):
                raise TrainmapError(f"{path} has no rows with part '{which}' and split '{when}'")
            if len(rows) % len(originals):
                raise TrainmapError(
                    f"{path}: each of the {len(originals)} original pairs of '{when}' must have as many rows with part "
                    f"'{which}', in the same order, got {len(rows)} rows"
                )
            revises[rows] = np.repeat(originals, len(rows) // len(originals))
            if when == "test":
                placed[rows] = called
    about: dict[str, Any] = {"names": LABELS, "revises": revises, "learn": partial(vocabulary_of, whole)}
    return Rows("cad_nli", y, len(LABELS), placed, tokens(whole), texts=texts, pairs=others, **about)


def revised(rows: Rows, which: str = "") -> tuple[NDArray[np.intp], NDArray[np.int64]]:
    """Which rows are revised examples, and the id of the example that each of them revises.

    Args:
        rows: with revisions of their own, or all of them revised examples with a column ``pair``.
        which: a part of revisions, where they have their own.

    Raises:
        TrainmapError: no such part, no such column, or one without an integer in every row.
    """
    if which:
        at = np.flatnonzero(rows.part == which)
        assert rows.revises is not None
        return at, rows.revises[at]
    pair = rows.groups.get("pair")
    if pair is None or not pair.dtype.is_integer() or pair.null_count():
        raise TrainmapError(
            f"{rows.name}: revised examples need a column 'pair' with the id of the test example that each of them "
            f"revises, an integer in every row; got {'no such column' if pair is None else pair.dtype}"
        )
    return np.arange(len(rows.y)), pair.cast(pl.Int64).to_numpy()
