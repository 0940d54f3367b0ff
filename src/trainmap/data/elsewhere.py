"""Sets from elsewhere as the networks of a dataset take them: its form of input, its encoding, its classes.

Nothing is learnt from such a set. Texts are written in the vocabulary of the dataset's training part, rows of a table
with its means and words, images in its size and channels.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray
from PIL import Image

from trainmap.data.dataset import Dataset
from trainmap.data.leave_out import LEFT_OUT, LeaveOut, leave_out
from trainmap.data.names import EMBEDDINGS, open_rows, representation
from trainmap.data.pairs import REVISED, revised
from trainmap.data.raw_rows import PARTS, Rows, divide
from trainmap.data.subwords import Subwords
from trainmap.data.tables import Encoding
from trainmap.data.texts import Vocabulary, joined
from trainmap.errors import TrainmapError, shown, some
from trainmap.kinds import as_path

Part = Literal["test", "all"]
Labels = Mapping[str, str | None]


def load_elsewhere(
    name: str | Path,
    like: Dataset,
    data_root: str | Path | None = None,
    part: Part = "test",
    labels: Labels | None = None,
) -> Dataset:
    """Examples of another source with the classes of a dataset: a shift of its test set.

    Classes are matched by their names (those of a table's labels, of folders, of the hub, of the official sets; the
    numbers of a file without names). A class of the dataset that the set lacks is not judged there.

    Args:
        name: as ``load_splits`` takes it.
        like: any part of the dataset whose networks are judged, as ``load_splits`` gives it.
        data_root: the folder of the data; ``data`` unless told.
        part: the test part of the other source (the official one or a fixed fifth), or all of it.
        labels: class of the set → class of ``like``, where their names differ; None leaves its examples out.

    Raises:
        TrainmapError: classes that cannot be matched, examples of another form, no examples, and what ``load_splits``
            raises.
    """
    rows = _open(name, like, data_root)
    at = _rows_of(rows, part)
    y, kept = _matched(rows, at, like, labels or {})
    if not kept.any():
        raise TrainmapError(f"{rows.name} has no examples in its part '{part}' with classes of {like.name}")
    return _made(rows, at[kept], y[kept], like)


def load_outside(name: str | Path, like: Dataset, data_root: str | Path | None = None, part: Part = "test") -> Dataset:
    """Examples that belong to none of a dataset's classes: outliers, whose labels mean nothing (all 0).

    The dataset itself, where it has such examples (``clinc150``), or another source whose classes are others.

    Args:
        name, like, data_root, part: as in ``load_elsewhere``.

    Raises:
        TrainmapError: another source that shares a class with the dataset, examples of another form, no examples.
    """
    rows = _open(name, like, data_root)
    own = _plain(rows.name) == _plain(like.name)
    if own and not np.strings.startswith(rows.part, "outside ").any():
        raise TrainmapError(f"{rows.name} has no examples outside its own classes; clinc150 has. Name another dataset")
    if not own and (shared := [word for word in rows.called if word in like.names]) and _named(rows, like):
        raise TrainmapError(
            f"outliers belong to none of the classes, but {rows.name} shares {some(shared)} with {like.name}; judge it "
            "as a shift"
        )
    at = _rows_of(rows, part, "outside " if own else "")
    if not len(at):
        raise TrainmapError(f"{rows.name} has no examples in its part '{part}'")
    return _made(rows, at, np.zeros(len(at), np.int64), like)


def load_left_out(name: str | Path, what: LeaveOut, like: Dataset, data_root: str | Path | None = None) -> Dataset:
    """The examples that ``load_splits(..., left_out=what)`` gives to none of its splits, whichever they were in.

    Args:
        name, data_root: as they were told there.
        like: one of those splits.
    """
    rows = leave_out(_open(name, like, data_root), what)
    at = np.flatnonzero(rows.part == LEFT_OUT)
    return _made(rows, at, rows.y[at], like)


@dataclass(frozen=True, eq=False)
class Revised:
    """Examples that people revised until their label changed.

    Attributes:
        revised: the examples.
        of: (N,) int64, the id of the test example that each of them revises.
    """

    revised: Dataset
    of: NDArray[np.int64]

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the examples and of what they revise, whatever the order of the rows."""
        order = np.argsort(self.revised.ids, kind="stable")
        return hashlib.sha256(self.revised.fingerprint().encode() + self.of[order].tobytes()).hexdigest()


def load_pairs(
    name: str | Path, test: Dataset, data_root: str | Path | None = None, labels: Labels | None = None
) -> dict[str, Revised]:
    """Revised examples of a test set, by the name of the set: of ``cad_nli`` "revised premise" and "revised
    hypothesis"; of a file one set, under the file's name.

    Args:
        name: the dataset itself, where it has revisions, or a .parquet file of revised examples like those of the
            dataset with a column ``pair``: the id of the test example that each revises.
        test: the test part of the dataset.
        data_root, labels: as in ``load_elsewhere``.

    Raises:
        TrainmapError: no revisions, revisions of examples that are not in the test set, and what ``load_elsewhere``
            raises.
    """
    rows = _open(name, test, data_root)
    if rows.revises is not None and _plain(rows.name) != _plain(test.name):
        raise TrainmapError(f"the pairs of {rows.name} are of its own test set; they cannot judge {test.name}")
    if rows.revises is None and _plain(rows.name) == _plain(test.name):
        raise TrainmapError(f"{rows.name} has no revised examples of its own; name a file of them")
    found: dict[str, Revised] = {}
    for which in ("",) if rows.revises is None else REVISED.values():
        at, of = revised(rows, which)
        y, kept = _matched(rows, at, test, labels or {})
        if rows.revises is not None:  # of a test set that keeps a draw of its own examples, the revisions of those
            kept &= np.isin(of, test.ids)
        at, y, of = at[kept], y[kept], of[kept]
        if not len(at):
            raise TrainmapError(f"{rows.name} has no revised examples")
        test.rows(of)  # all of them are there
        made = _made(rows, at, y, test)
        order = np.argsort(at_ids := _ids(rows)[at], kind="stable")
        assert (made.ids == at_ids[order]).all()
        found[which or rows.name] = Revised(made, of[order])
    return found


def _plain(name: str) -> str:
    return representation(name)[0]


def _ids(rows: Rows) -> NDArray[np.int64]:
    return np.arange(len(rows.y), dtype=np.int64) if rows.ids is None else rows.ids


def _open(name: str | Path, like: Dataset, data_root: str | Path | None) -> Rows:
    """The rows of another source, or of the same one; texts as embeddings where those of the dataset are."""
    told = str(name)
    if like.name.endswith(EMBEDDINGS) and not told.endswith(EMBEDDINGS):
        told += EMBEDDINGS
    return open_rows(told, as_path("data" if data_root is None else data_root))


def _rows_of(rows: Rows, part: str, prefix: str = "") -> NDArray[np.intp]:
    """The rows of a part; the test part of a source without one is the fifth that ``load_splits`` sets aside."""
    if (rows.part == "train").any():
        rows = divide(rows, 0, 0.0)
    wanted = [prefix + one for one in (PARTS if part == "all" else (part,))]
    return np.flatnonzero(np.isin(rows.part, wanted))


def _matched(
    rows: Rows, at: NDArray[np.intp], like: Dataset, labels: Labels
) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
    """The classes of some rows as the dataset numbers them, and which of them have one."""
    names = like.names or tuple(map(str, range(like.classes)))
    known = {name: number for number, name in enumerate(names)}
    if strange := [word for word in labels if word not in rows.called]:
        raise TrainmapError(f"labels: {rows.name} has no class {shown(strange[0])}; it has {some(rows.called, 20)}")
    if strange := [word for word in labels.values() if word is not None and word not in known]:
        raise TrainmapError(f"labels: {like.name} has no class {shown(strange[0])}; it has {some(names, 20)}")
    there = [rows.called[number] for number in np.unique(rows.y[at])]
    if unmatched := [word for word in there if word not in labels and word not in known]:
        be = "is" if len(unmatched) == 1 else "are"
        raise TrainmapError(
            f"the classes of {rows.name} must be those of {like.name} ({some(names, 10)}); {some(unmatched, 5)} {be} "
            f"not among them; say labels: {{{unmatched[0]}: ...}}, null leaves a class out"
        )
    numbers = np.full(rows.classes, -1, np.int64)
    for number, word in enumerate(rows.called):
        own = labels.get(word, word)
        numbers[number] = -1 if own is None else known.get(own, -1)
    y = numbers[rows.y[at]]
    return y, y >= 0


def _named(rows: Rows, like: Dataset) -> bool:
    """Whether equal names of classes mean equal classes: not where both are numbers and one is of a file."""
    return any(not word.isdigit() for word in rows.called) or {_plain(rows.name), _plain(like.name)} <= NUMBERED


NUMBERED = {"digits", "mnist", "usps", "fsdd"}
"""Datasets whose classes are the digits themselves."""


def _made(rows: Rows, at: NDArray[np.intp], y: NDArray[np.int64], like: Dataset) -> Dataset:
    """Some rows as a set that a network of the dataset is judged on, in the order of their ids."""
    order = np.argsort(_ids(rows)[at], kind="stable")
    at, y = at[order], y[order]
    told: dict[str, Any] = {"vocabulary": like.vocabulary, "names": like.names, "encoding": like.encoding}
    told["tokenizer"] = like.tokenizer
    made = Dataset(rows.name, _ids(rows)[at], _encoded(rows, at, like), y, like.classes, **told)
    if made.inputs != like.inputs:
        raise TrainmapError(f"{rows.name} must hold {like.inputs} as {like.name} does, got {made.inputs}")
    return made


def _encoded(rows: Rows, at: NDArray[np.intp], like: Dataset) -> NDArray[Any]:
    """x of some rows, by what the dataset's training part taught."""
    learnt = None if like.encoding is None else like.encoding()
    if isinstance(learnt, Vocabulary | Subwords):
        if rows.texts is None or rows.name.endswith(EMBEDDINGS):
            raise TrainmapError(f"{like.name} is made of texts, but {rows.name} is not")
        texts = [rows.texts[int(row)] for row in at]
        pairs = None if rows.pairs is None else [rows.pairs[int(row)] for row in at]
        return learnt.encode(texts, pairs) if isinstance(learnt, Subwords) else learnt.encode(joined(texts, pairs))
    if isinstance(learnt, Encoding):
        if rows.table is None:
            raise TrainmapError(f"{like.name} is a table, but {rows.name} is not")
        return learnt.encode(_alike(rows.name, rows.table[at], learnt, like.name))
    if like.vocabulary:
        raise TrainmapError(f"how the texts of {like.name} became tokens is not known; load it by load_splits")
    if rows.table is not None or (rows.texts is not None and not rows.name.endswith(EMBEDDINGS)):
        raise TrainmapError(f"{rows.name} must hold {like.inputs} as {like.name} does, and does not")
    return _fitted(rows.name, rows.encode(np.arange(0))[0][at], like)


def _alike(name: str, table: pl.DataFrame, learnt: Encoding, like: str) -> pl.DataFrame:
    """The table, where it has the columns that were learnt."""
    numbers, words = [one[0] for one in learnt.numbers], [one[0] for one in learnt.categories]
    if lacking := [column for column in (*numbers, *words) if column not in table.columns]:
        raise TrainmapError(f"{name} must have the columns of {like}; it lacks {some(lacking, 5)}")
    if strange := [column for column in numbers if not table[column].dtype.is_numeric()]:
        raise TrainmapError(f"{name}: the column '{strange[0]}' must hold numbers as in {like}")
    return table


def _fitted(name: str, x: NDArray[Any], like: Dataset) -> NDArray[Any]:
    """Images in the size and channels of the dataset: scaled (bilinear) where both are square, grey as three equal
    channels, colours as their luminance."""
    if like.inputs.form != "pixels" or x.dtype != np.uint8 or x.ndim != 4 or x.shape[1:] == like.inputs.shape:
        return x
    channels, height, width = like.inputs.shape
    if x.shape[2] != x.shape[3] or height != width:
        raise TrainmapError(
            f"{name} has pictures of {' x '.join(map(str, x.shape[1:]))}, {like.name} of {like.inputs}: only square "
            "ones are scaled to each other"
        )
    made = np.empty((len(x), channels, height, width), np.uint8)
    for row, pixels in enumerate(x):
        picture = Image.fromarray(pixels[0] if len(pixels) == 1 else np.ascontiguousarray(pixels.transpose(1, 2, 0)))
        picture = picture.convert("L" if channels == 1 else "RGB").resize((width, height), Image.Resampling.BILINEAR)
        made[row] = np.asarray(picture).reshape(height, width, channels).transpose(2, 0, 1)
    return made
