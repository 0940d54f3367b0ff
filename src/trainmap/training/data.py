"""Datasets: small images in memory, each example known by its id, split once and for all by id."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from sklearn.datasets import load_digits
from torch import Tensor

from trainmap.errors import TrainmapError, some
from trainmap.training.sources import DATASETS, find

__all__ = ["DATASETS", "Dataset", "Splits", "as_tensor", "augment", "load_splits", "to_float"]

DIGITS_TEST = 0.25
"""The digits have no official test set: this share is set aside, the same for every seed."""


@dataclass(frozen=True, eq=False)
class Dataset:
    """N square images with their labels and ids.

    Attributes:
        name: for people and for cards.
        ids: (N,) int64, unique: what an example is called everywhere.
        x: (N, channels, size, size) uint8.
        y: (N,) int64, 0 to classes - 1.
        classes: number of classes.

    Raises:
        TrainmapError: arrays of other shapes or types, ids that repeat, labels out of range.
    """

    name: str
    ids: NDArray[np.int64]
    x: NDArray[np.uint8]
    y: NDArray[np.int64]
    classes: int

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.x.ndim != 4 or self.x.shape[2] != self.x.shape[3] or self.x.dtype != np.uint8:
            raise TrainmapError(
                f"{self.name}: images must be uint8 (N, channels, size, size), got {self.x.dtype} {self.x.shape}"
            )
        if self.ids.shape != (n,) or self.y.shape != (n,) or len(self.x) != n:
            raise TrainmapError(
                f"{self.name}: ids (N,), images (N, ...) and labels (N,) must have the same N, "
                f"got {self.ids.shape}, {self.x.shape}, {self.y.shape}"
            )
        if self.ids.dtype != np.int64 or self.y.dtype != np.int64:
            raise TrainmapError(f"{self.name}: ids and labels must be int64, got {self.ids.dtype} and {self.y.dtype}")
        if n and (self.y.min() < 0 or self.y.max() >= self.classes):
            raise TrainmapError(
                f"{self.name}: labels must be 0 to {self.classes - 1}, got {self.y.min()} to {self.y.max()}"
            )
        ordered = self.ids[self._by_id]
        if (repeated := ordered[1:][ordered[1:] == ordered[:-1]]).size:
            raise TrainmapError(f"{self.name}: ids must be unique, {repeated.size} repeat (first: {some(repeated)})")

    def __len__(self) -> int:
        return len(self.ids)

    @property
    def channels(self) -> int:
        return self.x.shape[1]

    @property
    def size(self) -> int:
        """Height and width of the images."""
        return self.x.shape[2]

    @cached_property
    def _by_id(self) -> NDArray[np.intp]:
        return np.argsort(self.ids, kind="stable")

    def rows(self, ids: ArrayLike) -> NDArray[np.intp]:
        """The row of each id, in the order of ``ids``; ids may repeat.

        Raises:
            TrainmapError: ids that are not in the dataset, or not integers.
        """
        wanted = np.asarray(ids)
        if wanted.ndim != 1 or (wanted.size and not np.issubdtype(wanted.dtype, np.integer)):
            raise TrainmapError(f"ids must be integers with one dimension, got {wanted.dtype} {wanted.shape}")
        place = np.searchsorted(self.ids, wanted, sorter=self._by_id)
        rows = self._by_id[np.minimum(place, len(self) - 1)] if len(self) else np.zeros(len(wanted), np.intp)
        strange = wanted if not len(self) else wanted[self.ids[rows] != wanted]
        if strange.size:
            raise TrainmapError(
                f"{strange.size} of {wanted.size} ids are not in {self.name} (first: {some(strange)}); "
                f"it has {len(self)} examples"
            )
        return rows

    def subset(self, ids: ArrayLike) -> Dataset:
        """The examples with these ids, rows in the order of ``ids``.

        Raises:
            TrainmapError: ids that are unknown or repeat.
        """
        rows = self.rows(ids)
        return Dataset(self.name, self.ids[rows], self.x[rows], self.y[rows], self.classes)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of ids, images, labels and the number of classes, whatever the order of the rows."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        order = self._by_id
        digest = hashlib.sha256(f"{self.x.shape} {self.classes}".encode())
        for array in (self.ids, self.y, self.x):
            digest.update(np.ascontiguousarray(array[order]).data)
        return digest.hexdigest()


@dataclass(frozen=True)
class Splits:
    """The three parts of a dataset; no id is in two of them."""

    train: Dataset
    validation: Dataset
    test: Dataset

    def fingerprint(self) -> str:
        """SHA-256 (hex) of the three parts: what a run was trained and judged on."""
        parts = (self.train, self.validation, self.test)
        return hashlib.sha256(" ".join(part.fingerprint() for part in parts).encode()).hexdigest()


def load_splits(name: str, data_root: str | Path | None = None, seed: int = 0, validation: float = 0.2) -> Splits:
    """A dataset with its fixed split into train, validation and test.

    ``digits`` comes with scikit-learn; the other names of ``DATASETS`` are looked for, in this order, as
    ``data_root/<name>.npz`` (x_train, y_train, x_test, y_test; ``-`` or ``_`` in the name), as the four official idx
    files (plain or .gz) in ``data_root/<name>/`` or ``data_root``, in the operating system's package, and are else
    downloaded into ``data_root`` by torchvision. A path that ends in ``.npz`` is a dataset as well.

    Ids are 0 to n - 1 in the official order of the training set, and go on with the test set. The test split is the
    official one (digits: a fixed stratified quarter) and never depends on the seed. The validation split is drawn
    from the rest by id, each class in proportion, and depends on the ids, labels and seed alone.

    Args:
        name: a key of ``DATASETS`` or a path to an .npz file.
        data_root: where files are looked for and downloaded to; the folder ``data`` unless told.
        seed: of the validation split.
        validation: share of the examples outside the test split, 0 (none) to below 1.

    Raises:
        TrainmapError: an unknown name, files that are missing or not what they must be, a failed download.
    """
    if not 0 <= validation < 1:
        raise TrainmapError(f"validation must be a fraction 0 to below 1, got {validation}")
    if name == "digits":
        bunch: Any = load_digits()
        x = (bunch.images * 255 // 16).astype(np.uint8)[:, None]  # the 17 levels 0..16 → 17 levels in 0..255
        whole = _dataset(name, x, bunch.target.astype(np.int64), 0, 10)
        rest, test = _split(whole, DIGITS_TEST, seed=0)
    else:
        found = find(name, Path("data" if data_root is None else data_root))
        title = Path(name).stem if name.endswith(".npz") else name
        rest = _dataset(title, found.x_train, found.y_train, 0, found.classes)
        test = _dataset(title, found.x_test, found.y_test, len(rest), found.classes)
    train, held_out = _split(rest, validation, seed)
    return Splits(train, held_out, test)


def _split(dataset: Dataset, fraction: float, seed: int) -> tuple[Dataset, Dataset]:
    """Two disjoint parts, ids ascending; the second has round(fraction N) examples, each class in proportion."""
    order = np.argsort(dataset.ids)
    ids, labels = dataset.ids[order], dataset.y[order]
    counts = np.bincount(labels, minlength=dataset.classes) * fraction
    take = np.floor(counts).astype(np.int64)
    short = round(fraction * len(ids)) - int(take.sum())
    take[np.argsort(take - counts, kind="stable")[:short]] += 1  # the largest remainders get the places left over
    chosen = [
        np.random.default_rng([seed, label]).permutation(ids[labels == label])[: take[label]]
        for label in range(dataset.classes)
    ]
    second = np.sort(np.concatenate(chosen))
    return dataset.subset(np.setdiff1d(ids, second)), dataset.subset(second)


def _dataset(name: str, x: NDArray[np.uint8], y: NDArray[np.int64], first_id: int, classes: int) -> Dataset:
    return Dataset(name, np.arange(first_id, first_id + len(x), dtype=np.int64), x, y, classes)


def as_tensor(array: NDArray[Any], device: str) -> Tensor:
    """The array on ``device``; a read-only array is copied, since torch has no read-only tensors."""
    return torch.from_numpy(array if array.flags.writeable else array.copy()).to(device)


def to_float(x: Tensor, channels_last: bool = False) -> Tensor:
    """Pixels 0..255 (uint8) → about -2..2, the same for every dataset.

    Nothing is measured on the data, so that a subset, its teacher and the test set are scaled alike.
    """
    memory_format = torch.channels_last if channels_last else torch.contiguous_format
    return x.to(torch.float32, memory_format=memory_format).sub_(127.5).div_(64.0)


def augment(x: Tensor, generator: torch.Generator, flips: bool, crop: int) -> tuple[Tensor, Tensor]:
    """Each image mirrored with probability 1/2 and moved by up to ``crop`` pixels, drawn for each one by itself.

    Args:
        x: (B, channels, H, W), any type and device.
        generator: a CPU generator that all the draws come from.
        flips: mirror left and right.
        crop: pad with zeros by this many pixels on every side, then cut out H x W at a random place.

    Returns:
        the images, and (B,) bool: which ones were mirrored.
    """
    batch, channels, height, width = x.shape
    flipped = torch.zeros(batch, dtype=torch.bool)
    if flips:
        flipped = torch.rand(batch, generator=generator) < 0.5
    flipped = flipped.to(x.device)
    if flips:
        x = torch.where(flipped[:, None, None, None], x.flip(-1), x)
    if crop:
        down, right = torch.randint(0, 2 * crop + 1, (2, batch, 1), generator=generator).to(x.device)
        padded = torch.nn.functional.pad(x, (crop, crop, crop, crop))
        rows = (down + torch.arange(height, device=x.device))[:, None, :, None]
        columns = (right + torch.arange(width, device=x.device))[:, None, None, :]
        image = torch.arange(batch, device=x.device)[:, None, None, None]
        channel = torch.arange(channels, device=x.device)[None, :, None, None]
        x = padded[image, channel, rows, columns]
    return x, flipped
