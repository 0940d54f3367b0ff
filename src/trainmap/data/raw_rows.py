"""A dataset before it is numbers: rows with labels and parts, and an encoding that may learn from the training part."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, some

PARTS = ("train", "validation", "test")
TEST_SHARE = 0.2
"""Of a dataset without a test set of its own: this share is set aside, the same for every seed."""

PART_NAMES = {"train": "train", "training": "train", "val": "validation", "valid": "validation", "dev": "validation"}
PART_NAMES |= {"validation": "validation", "test": "test", "testing": "test"}
"""What people call the parts."""


class Learnt(Protocol):
    """What an encoding learnt from the training part: a vocabulary, or the means and words of a table."""

    def encode(self, examples: Any, /) -> NDArray[Any]:
        """Further examples (texts, rows of the same table) as numbers."""
        ...


Encode = Callable[[NDArray[np.intp]], tuple[NDArray[Any], int]]
"""Rows of the training part → x of all rows, and the size of the vocabulary (0 when there is none)."""


@dataclass(frozen=True, eq=False)
class Rows:
    """N examples as a source gives them.

    Attributes:
        name: for people and for cards.
        y: (N,) int64, 0 to classes - 1; for examples outside the classes, 0.
        classes: number of classes.
        part: (N,) text: "train", "validation" or "test"; with "outside " before it for examples of no class.
        encode: makes x; what it learns (a vocabulary, means, categories), it learns from the rows it is given.
        ids: (N,) int64; 0 to N - 1 for None.
        test_share: share of the training rows that is set aside for testing when no row is in the part "test".
        texts: the texts, where the examples are texts.
        pairs: a second text for each, where they are pairs of texts.
        tokenizer: of tokens of a pretrained encoder, the word of its tokenizer.
        sound: a row → its samples and their rate, where the examples are sounds: for people, who do not listen to x.
        learn: rows of the training part → what ``encode`` learns from them; None where it learns nothing.
        names: of the classes, by which sets from elsewhere are matched; their numbers where they have none.
        table: the columns of features, where the examples are rows of a table.
        revises: (N,) int64, of a revised example the id of the one that it revises, else -1; None where none is.
        groups: columns that say of each row what it belongs to, such as its speaker; any of them can be left out by.
    """

    name: str
    y: NDArray[np.int64]
    classes: int
    part: NDArray[np.str_]
    encode: Encode
    ids: NDArray[np.int64] | None = None
    test_share: float = TEST_SHARE
    texts: Sequence[str] | None = None
    learn: Callable[[NDArray[np.intp]], Learnt] | None = None
    names: tuple[str, ...] = ()
    table: pl.DataFrame | None = None
    groups: Mapping[str, pl.Series] = field(default_factory=dict)
    revises: NDArray[np.int64] | None = None
    pairs: Sequence[str] | None = None
    tokenizer: str = ""
    sound: Callable[[int], tuple[NDArray[Any], int]] | None = None

    @property
    def called(self) -> tuple[str, ...]:
        """The names of the classes, or their numbers."""
        return self.names or tuple(map(str, range(self.classes)))


@dataclass(frozen=True)
class Limit:
    """How many examples of each part are kept: small draws of a large dataset.

    Attributes:
        train, validation, test: None keeps all of a part.
        seed: of the draw.
    """

    train: int | None = None
    validation: int | None = None
    test: int | None = None
    seed: int = 0


def divide(rows: Rows, seed: int, validation: float) -> Rows:
    """The rows with each in its part, ids filled in.

    Rows that come without a test part give a fixed stratified share to it, whatever the seed; rows without a
    validation part give the share ``validation`` of the others, drawn by ``seed``. Parts that came stay.

    Raises:
        TrainmapError: ids that repeat, or no training rows.
    """
    ids = np.arange(len(rows.y), dtype=np.int64) if rows.ids is None else rows.ids
    values, counts = np.unique(ids, return_counts=True)
    if (repeated := values[counts > 1]).size:
        raise TrainmapError(f"{rows.name}: ids must be unique, {repeated.size} repeat (first: {some(repeated)})")
    part = rows.part.astype("<U24")
    for name, share, stream in (("test", rows.test_share, 0), ("validation", validation, seed)):
        rest = part == "train"
        if not (part == name).any():
            part[np.isin(ids, draw(ids[rest], rows.y[rest], rows.classes, share, stream)) & rest] = name
    if not len(part):
        raise TrainmapError(f"{rows.name} must have training examples, but has no rows at all; write some into it")
    if not (part == "train").any():
        found = some(np.unique(part).tolist())
        raise TrainmapError(f"{rows.name} must have training examples, but its parts are: {found}")
    return replace(rows, part=part, ids=ids)


def limited(rows: Rows, limit: Limit | None) -> Rows:
    """Rows in their parts, of which each part keeps so many, each class in proportion; the others are in the part "".

    A draw depends on the ids and labels of the part and on the seed alone.

    Raises:
        TrainmapError: more than a part has, or fewer than one.
    """
    if limit is None:
        return rows
    assert rows.ids is not None
    part = rows.part.copy()
    for name in PARTS:
        count, here = getattr(limit, name), part == name
        if count is None:
            continue
        if not 1 <= count <= here.sum():
            raise TrainmapError(
                f"{rows.name}: limit.{name} must be 1 to {here.sum()}, what there is, got {count}; "
                f"without limit.{name} all of them are kept"
            )
        kept = draw(rows.ids[here], rows.y[here], rows.classes, count / int(here.sum()), limit.seed)
        part[here & ~np.isin(rows.ids, kept)] = ""
    return replace(rows, part=part)


def draw(
    ids: NDArray[np.int64], labels: NDArray[np.int64], classes: int, fraction: float, seed: int
) -> NDArray[np.int64]:
    """round(fraction N) of the ids, ascending, each class in proportion; the order of the rows changes nothing."""
    order = np.argsort(ids)
    ids, labels = ids[order], labels[order]
    counts = np.bincount(labels, minlength=classes) * fraction
    take = np.floor(counts).astype(np.int64)
    short = round(fraction * len(ids)) - int(take.sum())
    take[np.argsort(take - counts, kind="stable")[:short]] += 1  # the largest remainders get the places left over
    chosen = [
        np.random.default_rng([seed, label]).permutation(ids[labels == label])[: take[label]]
        for label in range(classes)
    ]
    return np.sort(np.concatenate([ids[:0], *chosen]))


def label_numbers(name: str, labels: Sequence[Any]) -> tuple[NDArray[np.int64], list[str]]:
    """Labels by name → their place among the sorted names, and the names; numbers are sorted as numbers.

    Raises:
        TrainmapError: a missing label (None, "" or NaN), or numbers that are not whole.
    """
    missing = [row for row, label in enumerate(labels) if label is None or label == "" or label != label]
    if missing:
        raise TrainmapError(f"{name}: every row must have a label, {len(missing)} have none (first: row {missing[0]})")
    numbers = all(isinstance(label, int | float) for label in labels)
    if numbers and (broken := [label for label in labels if not float(label).is_integer()]):
        raise TrainmapError(
            f"{name}: labels must be classes, whole numbers or words, but {len(broken)} of {len(labels)} are not whole "
            f"(first: {broken[0]}); regression is not supported: make classes of them"
        )
    names = list(map(str, sorted(set(labels)))) if numbers else sorted({str(label) for label in labels})
    place = {label: number for number, label in enumerate(names)}
    return np.array([place[str(label)] for label in labels], dtype=np.int64), names


def part_names(name: str, split: Sequence[Any]) -> NDArray[np.str_]:
    """What a ``split`` column says → the parts; "all" in every row is a dataset that comes without parts.

    Raises:
        TrainmapError: a word that names no part.
    """
    words = [str(word).lower() for word in split]
    if set(words) == {"all"}:
        return np.full(len(words), "train", "<U24")
    if strange := sorted(set(words) - set(PART_NAMES)):
        raise TrainmapError(f"{name}: split must be one of {', '.join(PART_NAMES)}, got {some(strange)}")
    return np.array([PART_NAMES[word] for word in words], "<U24")
