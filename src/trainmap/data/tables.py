"""Tables as numbers: standardised columns and one column for each category, both learnt from the training part."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from math import frexp
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.data.column_roles import by_role
from trainmap.data.index_columns import index_names, pandas_index
from trainmap.data.leaks import leaks
from trainmap.data.raw_rows import Encode, Rows, label_numbers, part_names
from trainmap.data.texts import joined, tokens, vocabulary_of
from trainmap.errors import TrainmapError, some
from trainmap.files import reading
from trainmap.parquet_files import read_frame
from trainmap.text_tables import read_text_table

log = logging.getLogger("trainmap")

ROLES = ("id", "split", "text")
"""Columns that are no features; the label's name is told."""

MOST_CATEGORIES = 1000
"""A column with more different words than this is a name, not a category."""


@dataclass(frozen=True)
class Encoding:
    """How a table becomes features.

    Attributes:
        numbers: for each numeric column its name, mean and standard deviation (population) in the training part; a
            constant column, which has none, is divided by 1.
        categories: for each other column its name and its words in the training part, sorted.
    """

    numbers: tuple[tuple[str, float, float], ...]
    categories: tuple[tuple[str, tuple[str, ...]], ...]

    @property
    def names(self) -> list[str]:
        """Of the features: ``age``, ``colour=red``, ..., ``colour=?``; the last stands for a word never trained on."""
        made = [name for name, _, _ in self.numbers]
        return made + [f"{name}={word}" for name, kept in self.categories for word in (*kept, "?")]

    def encode(self, table: pl.DataFrame) -> NDArray[np.float32]:
        """(N, len(names)) float32."""
        columns = [
            _standard(table[name].cast(pl.Float64).to_numpy(), mean, scale) for name, mean, scale in self.numbers
        ]
        x = np.zeros((len(table), len(self.names)), dtype=np.float32)
        if columns:
            x[:, : len(columns)] = np.stack(columns, axis=1)
        start = len(columns)
        for name, kept in self.categories:
            place = {word: number for number, word in enumerate(kept)}
            hot = np.array([place.get(word, len(kept)) for word in table[name].cast(pl.String)], dtype=np.int64)
            x[np.arange(len(table)), start + hot] = 1
            start += len(kept) + 1
        return x


def learn_encoding(table: pl.DataFrame) -> Encoding:
    """The encoding of a training part: its numeric columns' means and deviations, its other columns' words."""
    numbers, categories = [], []
    for column in table:
        if column.dtype.is_numeric():
            values = column.cast(pl.Float64).to_numpy()
            # Not the deviation: that of 0.1, 0.1, 0.1 is 1e-17, and another value would become an enormous one.
            constant = values.min() == values.max()
            mean, deviation = _moments(values)
            numbers.append((column.name, mean, 1.0 if constant else deviation))
        else:
            words = tuple(sorted(column.cast(pl.String).unique().to_list()))
            categories.append((column.name, words))
    return Encoding(tuple(numbers), tuple(categories))


def _unit(largest: float) -> float:
    """1, or the power of two by which numbers near the ends of float64 are divided before they are squared: exact, so
    that the features of usual tables stay as they were to the last bit."""
    return 1.0 if largest == 0 or 1e-140 < largest < 1e140 else 2.0 ** (frexp(largest)[1] - 1)


def _moments(values: NDArray[np.float64]) -> tuple[float, float]:
    """Mean and deviation, of numbers whose sum or squares are beyond float64 as well."""
    unit = _unit(float(np.abs(values).max()))
    scaled = values / unit
    return float(scaled.mean() * unit), float(scaled.std() * unit)


def _standard(values: NDArray[np.float64], mean: float, scale: float) -> NDArray[np.float64]:
    """``(values - mean) / scale``, where the difference may be beyond float64."""
    unit = _unit(max(abs(mean), scale))
    return (values / unit - mean / unit) / (scale / unit)


def table_rows(name: str, frame: pl.DataFrame, label: str = "label", index: Sequence[str] = ()) -> Rows:
    """The rows of a table: a ``label`` column, optional ``id`` and ``split`` columns, and features or one ``text``.

    Ids are integers, each of them once, in any order. Labels are words or whole numbers.

    With a column ``text`` the examples are texts, with ``text_pair`` beside it pairs of texts, and other columns are
    not looked at. Else every other column is a
    feature: numbers (standardised) or words, categories and booleans (a column each). An index of pandas is none: the
    columns ``index``, and those that have its name (``__index_level_0__``, ``Unnamed: 0``), are left out. The logger
    "trainmap" warns of them, and of columns that give the label away (``leaks.leaks``), which stay.

    Raises:
        TrainmapError: no label, missing values, or columns that are no features.
    """
    if label not in frame.columns:
        raise TrainmapError(f"{name}: there must be a column '{label}', got {some(frame.columns, 20)}")
    if (kind := frame[label].dtype).is_nested():
        raise TrainmapError(
            f"{name}: the column '{label}' must hold one label in every row, words or numbers, got {kind}"
        )
    y, names = label_numbers(name, frame[label].to_list())
    part = part_names(name, frame["split"].to_list() if "split" in frame.columns else ["all"] * len(frame))
    ids = None
    if "id" in frame.columns:
        if not frame["id"].dtype.is_integer() or frame["id"].null_count():
            raise TrainmapError(
                f"{name}: the column 'id' must hold an integer in every row, got {frame['id'].dtype} with "
                f"{frame['id'].null_count()} missing; number the rows, and keep the names in a file of your own"
            )
        if frame["id"].len() and frame["id"].max() > 2**63 - 1:  # pyright: ignore[reportOperatorIssue]
            raise TrainmapError(f"{name}: the column 'id' must fit in 64-bit signed integers, got {frame['id'].max()}")
        ids = frame["id"].cast(pl.Int64).to_numpy()
    about: dict[str, Any] = {"names": tuple(names)}
    if "text" in frame.columns:
        texts = _texts(name, frame["text"])
        pairs = _texts(name, frame["text_pair"]) if "text_pair" in frame.columns else None
        others = frame.drop([column for column in (label, *ROLES) if column in frame.columns])
        about["groups"] = {column.name: column for column in others}
        whole = joined(texts, pairs)
        about |= {"texts": texts, "pairs": pairs, "learn": partial(vocabulary_of, whole)}
        return Rows(name, y, len(names), part, tokens(whole), ids, **about)
    features = _features(name, frame.drop([column for column in (label, *ROLES) if column in frame.columns]), index)
    for column, why in leaks(features, y).items():
        log.warning("%s: column '%s' may give the label away: %s Leave it out if so", name, column, why)
    about |= {
        "table": features,
        "learn": partial(learn_rows, features),
        "groups": {column.name: column for column in features},
    }
    return Rows(name, y, len(names), part, encoding_of(features), ids, **about)


def learn_rows(features: pl.DataFrame, train: NDArray[np.intp]) -> Encoding:
    """The encoding of those of the rows that are trained on."""
    return learn_encoding(features[train])


def encoding_of(features: pl.DataFrame) -> Encode:
    """The encoding of a table, learnt from its training part."""

    def encode(train: NDArray[np.intp]) -> tuple[NDArray[np.float32], int]:
        return learn_rows(features, train).encode(features), 0

    return encode


def _texts(name: str, column: pl.Series) -> list[str]:
    if column.dtype in (pl.Categorical, pl.Enum):
        column = column.cast(pl.String)
    if column.dtype != pl.String or column.null_count():
        raise TrainmapError(
            f"{name}: the column '{column.name}' must hold a text in every row, got {column.dtype} with "
            f"{column.null_count()} missing; cast it to text, and write '' for an empty text"
        )
    return column.to_list()


def _features(name: str, columns: pl.DataFrame, index: Sequence[str]) -> pl.DataFrame:
    """The columns without the index of a data frame, checked."""
    out = [column for column in columns.columns if column in {*index, *index_names(columns.columns)}]
    if out:
        log.warning(
            "%s: left out %s, the index of a pandas frame and no feature; if it is one, save it with reset_index() "
            "under a name of its own",
            name,
            some(out, 20),
        )
    features = columns.drop(out)
    _check_features(name, features)
    return features


def _check_features(name: str, features: pl.DataFrame) -> None:
    if not features.width:
        raise TrainmapError(
            f"{name}: there must be a column of features beside label, id, split and the index of a frame, got none"
        )
    for column in features:
        kind = column.dtype
        if not (kind.is_numeric() or kind in (pl.String, pl.Boolean, pl.Categorical, pl.Enum)):
            raise TrainmapError(
                f"{name}: column '{column.name}' must hold numbers, words or booleans, got {kind}; convert it or leave "
                "it out"
            )
        broken = column.is_null()
        if kind.is_float():
            broken = broken | ~column.is_finite().fill_null(True)
        if bad := int(broken.sum()):
            raise TrainmapError(
                f"{name}: column '{column.name}' must have a finite value in every row, {bad} of {len(column)} have "
                f"none (first: row {int(broken.arg_max() or 0)}); fill them in, with a column that says so, or leave "
                "the rows out"
            )
        if not kind.is_numeric() and column.n_unique() > MOST_CATEGORIES:
            raise TrainmapError(
                f"{name}: column '{column.name}' has {column.n_unique()} different words, more than {MOST_CATEGORIES}; "
                "leave it out, or name it 'text' if the examples are texts"
            )


def parquet_rows(
    path: str, label: str = "label", name: str | None = None, columns: Mapping[str, str] | None = None
) -> Rows:
    """The rows of a Parquet file; see ``table_rows``.

    Args:
        columns: role -> the column that it is in the file; see ``column_roles``.

    Raises:
        TrainmapError: a file that is missing or cannot be read, and what ``table_rows`` raises.
    """
    frame = read_frame(path, "readable Parquet file")
    with reading(path, "readable Parquet file"):
        index, ids = pandas_index(path)
        if ids is not None and "id" not in frame.columns:
            if len(ids) != len(frame):  # before memory is taken for as many as the note says
                raise ValueError(f"{len(frame)} rows, and by pandas' note on it {len(ids)} ids")
            frame = frame.with_columns(id=pl.Series(ids, dtype=pl.Int64))
    name = name or Path(path).stem
    return table_rows(name, by_role(name, frame, columns or {}), label, index)


def text_table_rows(path: str, columns: Mapping[str, str] | None = None) -> Rows:
    """The rows of a ``.csv``, ``.tsv`` or ``.jsonl`` file; see ``table_rows`` and ``text_tables``.

    A column is of numbers where all of its cells are; where only a few are not ("NA", "?"), the logger "trainmap" warns
    that it is taken for words. An empty cell is a missing value.
    """
    frame, name = read_text_table(path), Path(path).stem
    for column in frame:
        if column.dtype == pl.String and (odd := _odd_words(column)):
            log.warning(
                "%s: column '%s' is read as words: %d of %d cells are no numbers (%s); where these mean a missing "
                "value, fill them in",
                name,
                column.name,
                len(odd),
                len(column),
                some(sorted(set(odd)), 3),
            )
    return table_rows(name, by_role(name, frame, columns or {}))


def _odd_words(column: pl.Series) -> list[str]:
    """The cells that make words of a column of numbers: a tenth of them at most."""
    strange = column.drop_nulls().filter(column.drop_nulls().cast(pl.Float64, strict=False).is_null())
    return strange.to_list() if 0 < len(strange) <= len(column) / 10 else []


def scikit_rows(name: str, bunch: Any) -> Rows:
    """The rows of a dataset that scikit-learn carries or fetches: numeric features, labels counted from 0."""
    frame = pl.DataFrame(np.asarray(bunch.data, dtype=np.float64))
    y = np.unique(np.asarray(bunch.target), return_inverse=True)[1]
    return table_rows(name, frame.with_columns(label=pl.Series(y.astype(np.int64)).cast(pl.String).str.zfill(3)))
