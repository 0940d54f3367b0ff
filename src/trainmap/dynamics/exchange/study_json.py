"""``*_training_dynamics.json`` of the study that trainmap grew from (github.com/timohromadka/L46_datamaps).

One JSON object: for each example, under its position in the unshuffled training split as a string, ::

    {"gold_label_probs": [E floats], "confidence": mean, "variability": population standard deviation,
     "correctness": fraction of epochs, "forgetfulness": least-squares slope of the probabilities}

measured in an evaluation pass after each epoch. The file knows neither the gold labels, nor the classes, nor in which
epochs the prediction was right: dynamics made from it hold ``p_gold`` alone, and keep the four numbers as they are.
"""

from __future__ import annotations

import json
import re
from array import array
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Literal, TextIO

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.dynamics.exchange.whole_folder import check_new, check_source, kept_column, write_dynamics
from trainmap.dynamics.index import sort_ids
from trainmap.dynamics.manifest import Source
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError, TrainmapError, short, some
from trainmap.files import JSON_MEMORY, as_written, distinct, reading, writing
from trainmap.kinds import check_kind
from trainmap.limits import check_room

Array = NDArray[Any]

PROBABILITIES = "gold_label_probs"
NUMBERS = ("confidence", "variability", "correctness", "forgetfulness")
KEPT = "study_"  # columns of examples.parquet: study_confidence, ...
TEXT_CHARACTERS = 1 << 20
EXPORT_ROWS = 1 << 14
FLOAT_MAX = float(np.finfo(np.float64).max)


def import_study(
    path: str | Path,
    out: str | Path,
    classes: int,
    *,
    labels: Mapping[Any, int] | None = None,
    source: Source = "sweep",
    id_type: Literal["int64", "string"] | None = None,
) -> Dynamics:
    """Dynamics that hold ``p_gold`` from one of the study's files.

    The file is streamed; memory holds the key, 4 E and 32 bytes of an example.

    Args:
        path: the JSON file.
        out: the dynamics folder to make.
        classes: C; the file does not say.
        labels: id -> gold label, where they are known.
        source: the study evaluates after each epoch, so "sweep".
        id_type: JSON keys are strings; None makes them integers where every key is one.

    Raises:
        StoreError: not such a file, an example twice, probabilities outside [0, 1] or not E of them.

    Scores that need predictions or other classes cannot be had; correctness can, for the file tells it: see
    ``trainmap.maps.exchange.study_map``.
    """
    check_source(source)
    check_new(out)
    keys: list[str] = []
    flat, four = array("f"), array("d")  # compact: a list of floats would take ten times as much
    epochs = 0
    for key, entry in _entries(Path(path)):
        values = _probabilities(path, key, entry)
        epochs = epochs or len(values)
        if len(values) != epochs:
            raise StoreError(
                f"{path}: example {short(key)} has {len(values)} epochs, the first has {epochs}; all need the same"
            )
        keys.append(key)
        flat.extend(values)
        four.extend(_number(path, key, entry, name) for name in NUMBERS)
    if not keys:
        raise StoreError(f"{path} holds no examples")
    ids, order = sort_ids(_ids(path, keys, id_type))
    p_gold = np.frombuffer(flat, np.float32).reshape(-1, epochs)[order].T
    kept = np.frombuffer(four).reshape(-1, len(NUMBERS))[order]
    return write_dynamics(
        out,
        ids,
        _labels(ids, labels, classes),
        classes,
        source,
        (({"p_gold": np.ascontiguousarray(row)}, len(ids)) for row in p_gold),
        {"imported_from": "study"},
        {KEPT + name: kept[:, place] for place, name in enumerate(NUMBERS)},
    )


def _labels(ids: Array, labels: Mapping[Any, int] | None, classes: int) -> Array:
    if classes < 2:
        raise TrainmapError(f"classes must be at least 2, got {classes}")
    gold = np.full(len(ids), UNKNOWN_LABEL, np.int64)
    if labels is not None:
        lacking = [name for name in ids.tolist() if name not in labels]
        if lacking:
            raise TrainmapError(f"labels lack {len(lacking)} of {len(ids)} ids (first: {some(lacking)})")
        gold[:] = [labels[name] for name in ids.tolist()]
        if gold.min() < 0 or gold.max() >= classes:
            raise TrainmapError(f"labels must be 0 to {classes - 1}, got {gold.min()} to {gold.max()}")
    return gold


def _ids(path: str | Path, keys: list[str], id_type: Literal["int64", "string"] | None) -> Array:
    numbers = all(re.fullmatch(r"0|-?[1-9]\d{0,17}", key) for key in keys)
    if id_type == "int64" and not numbers:
        raise StoreError(f"{path}: not every key is an integer; pass id_type='string'")
    if numbers and id_type != "string":
        return np.array([int(key) for key in keys], np.int64)
    try:
        return to_ids(keys)
    except RecordingError as error:
        raise StoreError(f"{path}: {error}; rename it at its source") from error


def _probabilities(path: str | Path, key: str, entry: Any) -> list[float]:
    values = entry.get(PROBABILITIES) if isinstance(entry, dict) else None
    if not isinstance(values, list) or not values or any(type(value) not in (int, float) for value in values):
        raise StoreError(f"{path}: example {short(key)} must have '{PROBABILITIES}', a list of numbers")
    if not all(0 <= value <= 1 for value in values):
        raise StoreError(f"{path}: example {short(key)} must have probabilities in 0 to 1, got {some(values)}")
    return values


def _number(path: str | Path, key: str, entry: dict[str, Any], name: str) -> float:
    value = entry.get(name)
    if not isinstance(value, int | float) or isinstance(value, bool) or not -FLOAT_MAX <= value <= FLOAT_MAX:
        raise StoreError(f"{path}: example {short(key)} must have a finite number '{name}', got {as_written(value)}")
    return float(value)


def _entries(path: Path) -> Iterator[tuple[str, Any]]:
    """(key, value) of one JSON object that is read piece by piece; a key that stands there twice comes twice."""
    with reading(path, "file of the study", "export it again"):
        try:
            with open(path, encoding="utf-8-sig") as handle:
                yield from _Stream(path, handle).members()
        except json.JSONDecodeError as error:
            raise StoreError(f"{path} must be one JSON object, whole: {error.msg} (is the file torn?)") from error


class _Stream:
    """A window on the text of a JSON object."""

    def __init__(self, path: Path, handle: TextIO) -> None:
        self.path, self.handle, self.text, self.at, self.ended = path, handle, "", 0, False
        self.decode = json.JSONDecoder(object_pairs_hook=distinct).raw_decode

    def more(self) -> None:
        """Twice as much as is there: a long value is decoded again and again until it is whole, which then takes twice
        the time of once, and not the square."""
        left = len(self.text) - self.at
        check_room(self.path, JSON_MEMORY * left)
        piece = self.handle.read(max(TEXT_CHARACTERS, left))
        self.ended = not piece
        self.text, self.at = self.text[self.at :] + piece, 0

    def token(self, allowed: str) -> str:
        """The next character that is not white space; it must be one of ``allowed``."""
        while True:
            while self.at < len(self.text) and self.text[self.at] in " \t\r\n":
                self.at += 1
            if self.at < len(self.text) or self.ended:
                break
            self.more()
        found = self.text[self.at : self.at + 1]
        if not found or found not in allowed:
            raise json.JSONDecodeError(f"expected one of {allowed}, got {found or 'the end'}", self.text, self.at)
        self.at += 1
        return found

    def value(self) -> Any:
        """The next whole value, reading on until it is whole."""
        while True:
            try:
                value, end = self.decode(self.text, self.at)
            except json.JSONDecodeError:
                if self.ended:
                    raise
            else:
                if end < len(self.text) or self.ended:
                    self.at = end
                    return value
            self.more()

    def members(self) -> Iterator[tuple[str, Any]]:
        self.token("{")
        found = self.token('"}')
        while found == '"':
            self.at -= 1
            key = self.value()
            self.token(":")
            self.token("{")
            self.at -= 1
            yield key, self.value()
            if self.token(",}") == "}":
                break
            found = self.token('"')
        while not self.ended and not self.text[self.at :].strip():
            self.more()
        if self.text[self.at :].strip():
            raise json.JSONDecodeError("more text after the object", self.text, self.at)


def export_study(dynamics: Dynamics, path: str | Path) -> Path:
    """Write a recording as one of the study's files; keys are ids, as strings, in id order.

    Probabilities are written so that the same float32 comes back. The four numbers are those that an import kept, or
    else the mean, the population standard deviation, the fraction of right predictions and the slope, in float64.

    Raises:
        TrainmapError: signals are missing, or an example was not seen in every epoch (the format cannot say so).
    """
    check_kind(dynamics, Dynamics)
    dynamics.check_classes("the study's file")
    kept = {name: kept_column(dynamics, KEPT + name) for name in NUMBERS}
    wanted = ["p_gold"] if all(column is not None for column in kept.values()) else ["p_gold", "predicted"]
    if lacking := [name for name in wanted if name not in dynamics.signals]:
        raise TrainmapError(f"the study's file needs {' and '.join(lacking)}; level '{dynamics.level}' has none")
    if any(entry.seen < len(dynamics) for entry in dynamics.manifest.epochs):
        raise TrainmapError(
            "the study's file has no place for examples that an epoch did not see; this recording has some"
        )
    target = Path(path)
    names = [json.dumps(str(name)) for name in dynamics.ids.tolist()]
    with writing(target) as handle:
        handle.write(b"{")
        for start in range(0, len(dynamics), EXPORT_ROWS):
            block = dynamics.block(start, min(start + EXPORT_ROWS, len(dynamics)), wanted)
            if "predicted" in wanted:
                time = np.arange(block.epochs) - (block.epochs - 1) / 2
                slope = time @ block.p_gold.astype(np.float64) / max(float(time @ time), 1.0)
                values = [block.mean("p_gold"), np.sqrt(block.variance), block.correct.mean(axis=0), slope]
            else:
                values = [np.asarray(kept[name])[start : start + len(block)] for name in NUMBERS]
            entries = [
                f"{names[start + row]}: "
                + json.dumps({PROBABILITIES: probabilities} | dict(zip(NUMBERS, four, strict=True)), indent=4)
                for row, (probabilities, four) in enumerate(
                    zip(block.p_gold.T.tolist(), np.stack(values, axis=1).tolist(), strict=True)
                )
            ]
            handle.write(((",\n" if start else "\n") + ",\n".join(entries)).encode())
        handle.write(b"\n}\n")
    return target
