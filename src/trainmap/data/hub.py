"""Datasets of the Hugging Face hub, by name, and folders that its ``datasets`` library saved."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.data.image_folders import pixels
from trainmap.data.index_columns import index_names
from trainmap.data.raw_rows import PART_NAMES, Rows, label_numbers
from trainmap.data.texts import joined, tokens, vocabulary_of
from trainmap.errors import StoreError, TrainmapError, cause, some
from trainmap.files import is_dir, reading, refuse_pipe

PAIR = "text_pair"
"""The column of second texts, beside one that is called ``text``."""


def hub_rows(name: str, size: int | None = None, columns: Mapping[str, str] | None = None) -> Rows:
    """A dataset with one ``ClassLabel`` column and one column of images or texts, or ``text`` and ``text_pair``.

    Ids count the rows, part by part: train, validation, test.

    Args:
        name: ``owner/name``, from the local cache or by download; or the path of a ``save_to_disk`` folder.
        size: of images; see ``folders.pixels``.
        columns: role -> the column that it is: ``label`` (class labels, whole numbers or words), ``text`` (texts or
            images) and ``text_pair``; what is named need not be the only one of its kind.

    Raises:
        TrainmapError: the library is missing, a dataset that cannot be loaded, no training part, or not exactly one
            column of labels and one of images or texts.
    """
    parts = hub_parts(name)
    with reading(name, "dataset of the datasets library"):
        return _rows(name, parts, size, columns or {})


def _rows(name: str, parts: dict[str, Any], size: int | None, columns: Mapping[str, str]) -> Rows:
    ordered = in_order(parts)
    if "train" not in (PART_NAMES[key] for key in ordered):
        raise TrainmapError(f"hf:{name} must have a part 'train', got {some(parts)}")
    features = parts[ordered[0]].features
    if strange := [role for role in columns if role not in ("label", "text", PAIR)]:
        raise TrainmapError(f"hf:{name} has columns of label, text and {PAIR} alone, got {strange[0]}=")
    if lacking := [column for column in columns.values() if column not in features]:
        raise TrainmapError(f"hf:{name}: there must be a column '{lacking[0]}', got {some(features, 20)}")
    label = columns.get("label") or _one(
        name, "ClassLabel", [key for key in features if type(features[key]).__name__ == "ClassLabel"]
    )
    values = [value for key in ordered for value in parts[key][label]]
    y, names = _labels(name, features[label], values)
    about: dict[str, Any] = {"names": names}
    part = np.concatenate([np.full(len(parts[key]), PART_NAMES[key], "<U24") for key in ordered])
    title = name.rstrip("/").rsplit("/", 1)[-1]
    images = [key for key in features if type(features[key]).__name__ == "Image"]
    texts = [key for key in features if getattr(features[key], "dtype", None) in ("string", "large_string")]
    texts = [key for key in texts if key not in index_names(texts) and key != label]
    said = columns.get("text")
    if said is not None and said not in (*images, *texts):
        raise TrainmapError(f"hf:{name}: column '{said}' must hold texts or images, got {features[said]}")
    if said in images or (said is None and images):
        column = said or _one(name, "image", images)
        x = pixels(title, (row[column] for key in ordered for row in parts[key].select_columns([column])), size)
        return Rows(title, y, len(names), part, lambda train: (x, 0), **about)
    column = said or _one(name, "text", [key for key in texts if key == "text"] or texts)
    second = columns.get(PAIR) or (PAIR if PAIR in texts and column == "text" else None)
    found = _texts(name, column, [text for key in ordered for text in parts[key][column]])
    pairs = None if second is None else _texts(name, second, [text for key in ordered for text in parts[key][second]])
    whole = joined(found, pairs)
    about |= {"texts": found, "pairs": pairs, "learn": partial(vocabulary_of, whole)}
    return Rows(title, y, len(names), part, tokens(whole), **about)


def _labels(name: str, feature: Any, values: list[Any]) -> tuple[NDArray[np.int64], tuple[str, ...]]:
    """(N,) class numbers and what the classes are called: as a ``ClassLabel`` numbers them, else in their order."""
    if type(feature).__name__ != "ClassLabel":
        if not isinstance(values[0] if values else 0, str | int | float):
            raise TrainmapError(f"hf:{name}: a label must be a word or a whole number in every row, got {feature}")
        y, called = label_numbers(f"hf:{name}", values)
        return y, tuple(called)
    y = np.array([-1 if number is None else number for number in values], dtype=np.int64)
    if unlabelled := int((y < 0).sum()):
        raise TrainmapError(f"hf:{name}: every row must have a label, {unlabelled} have none")
    if len(y) and y.max() >= feature.num_classes:
        raise TrainmapError(f"hf:{name}: labels must be 0 to {feature.num_classes - 1}, got {y.max()}")
    return y, tuple(map(str, feature.names))


def _texts(name: str, column: str, found: list[Any]) -> list[str]:
    if missing := sum(not isinstance(text, str) for text in found):
        raise TrainmapError(f"hf:{name}: column '{column}' must hold a text in every row, {missing} have none")
    return found


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
