"""Datasets of the Hugging Face hub, by name, and folders that its ``datasets`` library saved."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from trainmap.data.image_folders import pixels
from trainmap.data.index_columns import index_names
from trainmap.data.raw_rows import PART_NAMES, Rows
from trainmap.data.texts import joined, tokens, vocabulary_of
from trainmap.errors import StoreError, TrainmapError, cause, some
from trainmap.files import is_dir, reading, refuse_pipe

PAIR = "text_pair"
"""The column of second texts, beside one that is called ``text``."""


def hub_rows(name: str, size: int | None = None) -> Rows:
    """A dataset with one ``ClassLabel`` column and one column of images or texts, or ``text`` and ``text_pair``.

    Ids count the rows, part by part: train, validation, test.

    Args:
        name: ``owner/name``, from the local cache or by download; or the path of a ``save_to_disk`` folder.
        size: of images; see ``folders.pixels``.

    Raises:
        TrainmapError: the library is missing, a dataset that cannot be loaded, no training part, or not exactly one
            column of labels and one of images or texts.
    """
    parts = hub_parts(name)
    with reading(name, "dataset of the datasets library"):
        return _rows(name, parts, size)


def _rows(name: str, parts: dict[str, Any], size: int | None) -> Rows:
    ordered = in_order(parts)
    if "train" not in (PART_NAMES[key] for key in ordered):
        raise TrainmapError(f"hf:{name} must have a part 'train', got {some(parts)}")
    features = parts[ordered[0]].features
    label = _one(name, "ClassLabel", [key for key in features if type(features[key]).__name__ == "ClassLabel"])
    images = [key for key in features if type(features[key]).__name__ == "Image"]
    texts = [key for key in features if getattr(features[key], "dtype", None) in ("string", "large_string")]
    texts = [key for key in texts if key not in index_names(texts)]
    numbers = [number for key in ordered for number in parts[key][label]]
    y = np.array([-1 if number is None else number for number in numbers], dtype=np.int64)
    if unlabelled := int((y < 0).sum()):
        raise TrainmapError(f"hf:{name}: every row must have a label, {unlabelled} have none")
    if len(y) and y.max() >= features[label].num_classes:
        raise TrainmapError(f"hf:{name}: labels must be 0 to {features[label].num_classes - 1}, got {y.max()}")
    part = np.concatenate([np.full(len(parts[key]), PART_NAMES[key], "<U24") for key in ordered])
    classes, names = features[label].num_classes, tuple(map(str, features[label].names))
    title = name.rstrip("/").rsplit("/", 1)[-1]
    if images:
        column = _one(name, "image", images)
        x = pixels(title, (row[column] for key in ordered for row in parts[key].select_columns([column])), size)
        return Rows(title, y, classes, part, lambda train: (x, 0), names=names)
    column = _one(name, "text", [key for key in texts if key == "text"] or texts)
    found = [text for key in ordered for text in parts[key][column]]
    if missing := sum(text is None for text in found):
        raise TrainmapError(f"hf:{name}: column '{column}' must hold a text in every row, {missing} have none")
    pairs = [text for key in ordered for text in parts[key][PAIR]] if PAIR in texts and column == "text" else None
    if missing := sum(text is None for text in pairs or ()):
        raise TrainmapError(f"hf:{name}: column '{PAIR}' must hold a text in every row, {missing} have none")
    whole = joined(found, pairs)
    about: dict[str, Any] = {"texts": found, "pairs": pairs, "names": names, "learn": partial(vocabulary_of, whole)}
    return Rows(title, y, classes, part, tokens(whole), **about)


def in_order(parts: Iterable[str]) -> list[str]:
    """The names of the parts in the order in which ids count their rows: training, validation, test."""
    return [key for part in ("train", "validation", "test") for key in parts if PART_NAMES.get(key) == part]


def hub_parts(name: str) -> dict[str, Any]:
    """The parts by name; a dataset that was saved without parts is one part, "train"."""
    try:
        import datasets
    except ImportError as error:
        raise TrainmapError("datasets of the hub need: pip install 'trainmap[hub]'") from error
    try:
        with reading(name, "dataset of the datasets library"):
            for path in Path(name).rglob("*"):
                refuse_pipe(path, "file of a dataset")
                if path.suffix == ".arrow" and path.is_file():
                    _check_arrow(path)
            loaded = datasets.load_from_disk(name) if is_dir(name) else datasets.load_dataset(name)
    except StoreError as error:
        said = cause(error.__cause__ or error)
        raise TrainmapError(
            f"hf:{name} could not be loaded ({said}); save it with save_to_disk and give the path"
        ) from error
    parts = dict(loaded) if isinstance(loaded, dict) else {"train": loaded}
    return {str(key): part.with_format(None) for key, part in parts.items()}  # saved as "torch", it would give tensors


def _check_arrow(path: Path) -> None:
    """Read the tables of a file and check them in full: the library maps it as it is, and damage ends the process."""
    with reading(path, "Arrow file of a dataset"), pa.memory_map(str(path)) as mapped:
        if path.stat().st_size and mapped.read(6) == b"ARROW1":
            file = pa.ipc.open_file(mapped)
            batches = (file.get_batch(at) for at in range(file.num_record_batches))
        else:
            mapped.seek(0)
            batches = iter(pa.ipc.open_stream(mapped))
        for batch in batches:
            batch.validate(full=True)


def _one(name: str, kind: str, columns: list[str]) -> str:
    if len(columns) != 1:
        raise TrainmapError(f"hf:{name} must have one {kind} column, got {some(columns) or 'none'}; drop the others")
    return columns[0]
