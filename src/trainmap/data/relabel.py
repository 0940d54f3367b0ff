"""Other labels for a training set: the mistakes that people made, or what a person decided, from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from trainmap.array_files import read_npz
from trainmap.data.dataset import Dataset
from trainmap.dynamics.index import MISSING, find_rows
from trainmap.errors import TrainmapError, counted, some, unknown
from trainmap.files import as_it_stands_or_under, is_file, reading
from trainmap.parquet_files import read_frame

SHEETS = (".csv", ".parquet")
STAY = ("keep", "unsure")
"""Decisions that leave a label as it is."""


def relabelled(train: Dataset, source: str, root: Path) -> Dataset:
    """The training set with the labels of a file.

    Args:
        train: for an array its ids are places in it, as those of an official training set are.
        source: ``FILE.npz:ARRAY``: (M,) integers, 0 to classes - 1, M above every id. Or a sheet, ``FILE.csv`` or
            ``FILE.parquet``, as the explorer writes it: columns ``id`` and ``label``, and perhaps ``decision``. Its ids
            have its labels, where no decision stands beside them or "relabel"; those with "drop" are left out, those
            with "keep" and "unsure" stay as they are, as all others do. The file as it stands or under ``root``.
        root: the folder of the data.

    Raises:
        TrainmapError: a file, an array or a column that is not there, labels or ids that are not those of this dataset.
    """
    if source.endswith(SHEETS):
        return _by_sheet(train, _found(source, root, "give FILE.csv or FILE.parquet"))
    name, _, array = source.rpartition(":")
    path = _found(name, root, "give FILE.npz:ARRAY")
    labels = read_npz(path, (array,))[array]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or train.ids.min() < 0 or train.ids.max() >= len(labels):
        raise TrainmapError(
            f"labels must be integers with one entry for each id up to {train.ids.max()} of {train.name}, got "
            f"{labels.dtype} {labels.shape}"
        )
    return replace(train, y=labels[train.ids].astype(np.int64))


def _found(name: str, root: Path, cure: str) -> Path:
    path = as_it_stands_or_under(root, name)
    if not is_file(path):
        raise TrainmapError(f"labels: {path} is not there, nor under {root}; {cure}")
    return path


def _by_sheet(train: Dataset, path: Path) -> Dataset:
    sheet = _sheet(path)
    ids, labels = sheet["id"].to_numpy(), sheet["label"].fill_null(-1).to_numpy()
    rows = find_rows(train.ids, ids, np.argsort(train.ids, kind="stable"))
    if (strange := ids[rows == MISSING]).size:
        raise TrainmapError(
            f"{path}: {counted(strange.size, 'id')} of the sheet not among those of {train.name}'s training (first: "
            f"{some(strange)}); take them out, or split the data as it was recorded"
        )
    said = sheet["decision"].fill_null("relabel").to_list() if "decision" in sheet.columns else ["relabel"] * len(ids)
    if others := sorted(set(said) - {"relabel", "drop", *STAY}):
        raise unknown(f"decision of {path.name}", others[0], ("relabel", "drop", *STAY))
    new, gone = np.asarray([one == "relabel" for one in said]), np.asarray([one == "drop" for one in said])
    if len(ids) and (wrong := ids[new & ((labels < 0) | (labels >= train.classes))]).size:
        raise TrainmapError(
            f"{path}: labels of {train.name} must be 0 to {train.classes - 1}, for {counted(wrong.size, 'id')} they "
            f"are something else (first: {some(wrong)})"
        )
    if not len(ids):
        return train
    y = train.y.copy()
    y[rows[new]] = labels[new]
    kept = np.ones(len(train), bool)
    kept[rows[gone]] = False
    if not kept.any():
        raise TrainmapError(f"{path} drops every training example of {train.name}; keep some")
    whole = replace(train, y=y)
    return whole if kept.all() else whole.subset(whole.ids[kept])


def _sheet(path: Path) -> pl.DataFrame:
    with reading(path, "sheet of labels"):
        sheet = read_frame(path, "sheet of labels") if path.suffix == ".parquet" else pl.read_csv(path)
        if lacking := [name for name in ("id", "label") if name not in sheet.columns]:
            raise TrainmapError(f"{path} must have columns id and label, it lacks {', '.join(lacking)}")
        for name in ("id", "label"):
            if not sheet[name].dtype.is_integer() and len(sheet):
                raise TrainmapError(f"{path}: the column '{name}' must hold whole numbers, got {sheet[name].dtype}")
        if sheet["id"].null_count() or sheet["id"].n_unique() != len(sheet):
            raise TrainmapError(f"{path}: the column 'id' must hold an id in every row, each of them once")
        return sheet.with_columns(pl.col("id", "label").cast(pl.Int64))
