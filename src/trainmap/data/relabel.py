"""Other labels for a training set: the mistakes that people made, from a file."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np

from trainmap.array_files import read_npz
from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError
from trainmap.files import as_it_stands_or_under, is_file


def relabelled(train: Dataset, source: str, root: Path) -> Dataset:
    """The training set with the labels of a file.

    Args:
        train: its ids are places in the file's array, as those of an official training set are.
        source: ``FILE.npz:ARRAY``, the file as it stands or under ``root``; (M,)
            integers, 0 to classes - 1, M above every id.
        root: the folder of the data.

    Raises:
        TrainmapError: a file or an array that is not there, or labels that are not those of this dataset.
    """
    name, _, array = source.rpartition(":")
    path = as_it_stands_or_under(root, name)
    if not is_file(path):
        raise TrainmapError(f"labels: {path} is not there, nor under {root}; give FILE.npz:ARRAY")
    labels = read_npz(path, (array,))[array]
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or train.ids.min() < 0 or train.ids.max() >= len(labels):
        raise TrainmapError(
            f"labels must be integers with one entry for each id up to {train.ids.max()} of {train.name}, got "
            f"{labels.dtype} {labels.shape}"
        )
    return replace(train, y=labels[train.ids].astype(np.int64))
