"""Datasets: small arrays in memory, each example known by its id, split once and for all by id."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import cache, cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import ArrayLike, NDArray
from torch import Tensor

from trainmap.data.groups import Groups
from trainmap.data.inputs import Inputs, as_tensor, inputs_of, to_float, to_input
from trainmap.data.leave_out import LeaveOut, leave_out
from trainmap.data.names import open_rows
from trainmap.data.raw_rows import PARTS, Learnt, Limit, divide, limited
from trainmap.data.sources import DATASETS
from trainmap.dynamics.index import MISSING, find_rows
from trainmap.errors import TrainmapError, some
from trainmap.kinds import as_path

__all__ = [
    "DATASETS",
    "Dataset",
    "Inputs",
    "Limit",
    "Splits",
    "as_tensor",
    "augment",
    "load_out_of_scope",
    "load_splits",
    "to_float",
    "to_input",
]


@dataclass(frozen=True, eq=False)
class Dataset:
    """N examples with their labels and ids: images, spectrograms, tables, embeddings or texts.

    Attributes:
        name: for people and for cards.
        ids: (N,) int64, unique: what an example is called everywhere.
        x: one of three forms: pixels, uint8 (N, channels, H, W), for images and spectrograms; features, float32 (N, D),
            finite, for tables and embeddings; tokens, int32 (N, L), 0 to vocabulary - 1 with 0 for padding, for texts.
        y: (N,) int64, 0 to classes - 1.
        classes: number of classes.
        vocabulary: number of different tokens; 0 for the other forms.
        names: of the classes, by their numbers; sets from elsewhere are matched by them (``elsewhere``).
        encoding: gives how texts or rows of a table became x, learnt from the training part (when it is asked for);
            None where nothing is learnt. Neither it nor the names are part of a fingerprint.
        tokenizer: whose tokens they are, where they are a pretrained encoder's (``Inputs.tokenizer``).
        groups: the columns that say what examples belong to; None where the source has none. See ``group``.

    Raises:
        TrainmapError: arrays of other shapes or types, ids that repeat, labels out of range.
    """

    name: str
    ids: NDArray[np.int64]
    x: NDArray[Any]
    y: NDArray[np.int64]
    classes: int
    vocabulary: int = 0
    names: tuple[str, ...] = ()
    encoding: Callable[[], Learnt] | None = None
    tokenizer: str = ""
    groups: Groups | None = None

    def __post_init__(self) -> None:
        n = len(self.ids)
        if self.ids.shape != (n,) or self.y.shape != (n,) or len(self.x) != n:
            raise TrainmapError(
                f"{self.name}: ids (N,), x (N, ...) and labels (N,) must have the same N, "
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
        _ = self.inputs  # checks x

    def __len__(self) -> int:
        return len(self.ids)

    @cached_property
    def inputs(self) -> Inputs:
        """The form and shape of one example: what ``models.build`` needs to know."""
        return inputs_of(self.name, self.x, self.vocabulary, self.tokenizer)

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
        rows = find_rows(self.ids, wanted, self._by_id)
        strange = wanted[rows == MISSING]
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
        return replace(self, ids=self.ids[rows], x=self.x[rows], y=self.y[rows])

    def group(self, column: str) -> NDArray[Any]:
        """What each example belongs to, (N,) in row order: ``speaker`` of fsdd and speech-commands, any column of a
        table or beside texts, a feature or one that was left out by.

        Raises:
            TrainmapError: no such column, or none at all.
        """
        if self.groups is None:
            raise TrainmapError(
                f"{self.name} has no columns to group by; tables, texts with columns, fsdd and speech-commands have"
            )
        return self.groups.of(self.ids, column, self.name)

    def fingerprint(self) -> str:
        """SHA-256 (hex) of ids, x, labels and the number of classes, whatever the order of the rows."""
        return self._fingerprint

    @cached_property
    def _fingerprint(self) -> str:
        order = self._by_id
        form = "" if self.inputs.form == "pixels" else f" {self.inputs}"  # nothing for pixels: cards of old agree
        form += self.tokenizer and f" by {self.tokenizer}"
        digest = hashlib.sha256(f"{self.x.shape} {self.classes}{form}".encode())
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


def load_splits(
    name: str | Path,
    data_root: str | Path | None = None,
    seed: int = 0,
    validation: float = 0.2,
    left_out: LeaveOut | None = None,
    limit: Limit | None = None,
) -> Splits:
    """A dataset with its fixed split into train, validation and test.

    What a name may be:

    - ``digits``, ``breast-cancer``, ``wine`` come with scikit-learn, which downloads ``covtype``;
    - the other images of ``DATASETS`` are looked for, in this order, as ``data_root/<name>.npz`` (x_train, y_train,
      x_test, y_test; ``-`` or ``_`` in the name), as the four official idx files (plain or .gz) in
      ``data_root/<name>/`` or ``data_root``, in the operating system's package, and are else downloaded into
      ``data_root`` by torchvision;
    - ``clinc150``, ``sst2``, ``cad_nli`` (texts) and ``adult`` (a table) as ``data_root/<name>/<name>.parquet`` or
      ``data_root/<name>.parquet``; ``fsdd`` (spoken digits) and ``usps`` likewise as .npz;
      ``speech-commands`` as the folder ``data_root/speech_commands`` with its official lists;
    - a path that ends in ``.npz`` (images) or ``.parquet`` (a table with ``label``, or with ``text`` and ``label``;
      ``id`` and ``split`` are optional), as it stands or under ``data_root``;
    - ``folder:PATH`` (as it stands or under ``data_root``), or the path of a folder: images in a folder for each
      class; ``PATH@32`` scales them;
    - ``hf:owner/name``, or ``hf:PATH`` of a ``save_to_disk`` folder: a dataset of the Hugging Face hub;
    - ``synthetic``, or ``synthetic:wrong=0.2,seed=3`` with any of its settings: made, with known truth (``synthetic``);
    - any of texts with ``+embeddings``: frozen sentence embeddings in place of word tokens;
    - any of texts with ``+tokens:PATH``: the tokens of a pretrained encoder, for the network ``hf-encoder:PATH`` and
      all others of tokens; PATH is a folder, ``owner/name`` on the hub, or ``minilm-l6-v2``
      (``encoder_folders.encoder_folder``), and ``PATH@64`` cuts texts after 64 tokens in place of 128.

    Ids are the ``id`` column of a table, or count from 0 in the order of the source, the training set first. The test
    split is the official one or else a fixed stratified fifth (digits: a quarter), and never depends on the seed. The
    validation split is the official one where a dataset has one (clinc150, sst2, speech-commands, synthetic), whatever
    ``seed`` and ``validation`` say; else it is drawn from the rest by id, each class in proportion, and depends on the
    ids, labels and seed alone. Vocabularies, means and categories are learnt from the training split alone.

    Args:
        name: see above.
        data_root: where files are looked for and downloaded to; the folder ``data`` unless told.
        seed: of the validation split.
        validation: share of the examples outside the test split, 0 (none) to below 1.
        left_out: examples that are in none of the three splits; ``elsewhere.load_left_out`` has them.
        limit: keep so many examples of each part; the parts are what they are without. Vocabularies are learnt from
            the training examples that are kept.

    Raises:
        TrainmapError: an unknown name, files that are missing or not what they must be, a failed download, what
            ``leave_out.leave_out`` refuses, and a limit above what there is.
    """
    return _parts(name, data_root, seed, validation, left_out, limit)


def load_out_of_scope(
    name: str | Path,
    data_root: str | Path | None = None,
    seed: int = 0,
    validation: float = 0.2,
    limit: Limit | None = None,
) -> Splits:
    """The examples of a dataset that belong to none of its classes, encoded as ``load_splits`` encodes the others.

    For evaluation: can a model tell that it does not know? ``clinc150`` has 100 such texts beside its training, 100
    beside its validation and 1,000 beside its test split. Each part is a dataset of one class, "none of the others".

    Raises:
        TrainmapError: a dataset without such examples, and what ``load_splits`` raises.
    """
    return _parts(name, data_root, seed, validation, None, limit, outside=True)


def _parts(
    name: str | Path,
    data_root: str | Path | None,
    seed: int,
    validation: float,
    left_out: LeaveOut | None,
    limit: Limit | None,
    outside: bool = False,
) -> Splits:
    if not 0 <= validation < 1:
        raise TrainmapError(f"validation must be a fraction 0 to below 1, got {validation}")
    rows = open_rows(name, as_path("data" if data_root is None else data_root))
    rows = divide(rows if left_out is None else leave_out(rows, left_out), seed, validation)
    rows = limited(rows, limit)
    train = np.flatnonzero(rows.part == "train")
    x, vocabulary = rows.encode(train)
    told: dict[str, Any] = {"vocabulary": vocabulary, "names": () if outside else rows.called}
    told |= {"tokenizer": rows.tokenizer, "encoding": None if rows.learn is None else cache(partial(rows.learn, train))}
    prefix, classes = ("outside ", 1) if outside else ("", rows.classes)
    if outside and not np.strings.startswith(rows.part, prefix).any():
        raise TrainmapError(f"{name} has no examples outside its classes; clinc150 has")
    assert rows.ids is not None
    told["groups"] = Groups(rows.ids, rows.groups) if rows.groups else None
    parts = []
    for part in PARTS:
        here = np.flatnonzero(rows.part == prefix + part)
        here = here[np.argsort(rows.ids[here])]
        parts.append(Dataset(rows.name, rows.ids[here], x[here], rows.y[here], classes, **told))
    return Splits(*parts)


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
    flipped = torch.zeros(len(x), dtype=torch.bool)
    if flips:
        flipped = torch.rand(len(x), generator=generator) < 0.5
        mirrored = flipped.nonzero()[:, 0].to(x.device)
        x = x.index_copy(0, mirrored, x.index_select(0, mirrored).flip(-1))
    if crop:
        down, right = torch.randint(0, 2 * crop + 1, (2, len(x)), generator=generator)
        x = _cut(torch.nn.functional.pad(x, (crop, crop, crop, crop)), down, right, *x.shape[2:])
    return x, flipped.to(x.device)


def _cut(x: Tensor, down: Tensor, right: Tensor, height: int, width: int) -> Tensor:
    """Height x width out of each image, from (``down``, ``right``) on, (B,) each.

    As one choice of rows from the view in which a row begins at every pixel: 9 to 18 times faster than indexing pixels.
    """
    batch, channels, above, beside = x.shape
    rows = x.contiguous().as_strided((x.numel() - width + 1, width), (1, 1))
    image = torch.arange(batch) * (channels * above * beside) + down * beside + right
    channel, row = torch.arange(channels) * (above * beside), torch.arange(height) * beside
    starts = image[:, None, None] + channel[:, None] + row
    return rows.index_select(0, starts.flatten().to(x.device)).view(batch, channels, height, width)
