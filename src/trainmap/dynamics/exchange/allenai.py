"""training_dynamics/dynamics_epoch_N.jsonl, the format of allenai/cartography (Swayamdipta et al. 2020).

One file for each epoch, N from 0, one JSON object on each line: ``guid`` (int or str), ``logits_epoch_N`` (C floats)
and ``gold`` (class index). Logits become float32, as the reference code makes them; they are kept as float32. A row
whose differences that would change by more than 1e-6 (100000000.1 and 100000000.3) is kept less its largest logit.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.dynamics.exchange.allenai_export import export_epochs as export_epochs
from trainmap.dynamics.exchange.allenai_lines import FOLDER, ORDER, Lines, Shape, float_guid, is_guid
from trainmap.dynamics.exchange.whole_folder import check_new, check_source, write_dynamics
from trainmap.dynamics.given import check_flag
from trainmap.dynamics.index import MISSING, Index, build_index, ids_from_arrow
from trainmap.dynamics.logit_precision import LIMIT, masks
from trainmap.dynamics.manifest import Source
from trainmap.dynamics.probabilities import Doubt
from trainmap.dynamics.signals import empty_signals, signals_from_logits
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError, shown, some
from trainmap.files import is_dir, reading

Array = NDArray[Any]

BLOCK_BYTES = 1 << 22
SURELY_NEAR = 8.0  # up to here float32 rounds the difference of two logits by less than 1e-6


def epoch_files(path: str | Path) -> list[Path]:
    """The epoch files of a model's folder (or of its training_dynamics folder), by epoch.

    Files of other names (.DS_Store) are left alone.

    Raises:
        StoreError: there is none, or epochs are missing: they must be 0 to E - 1.
    """
    folder = Path(path)
    if is_dir(folder / FOLDER):
        folder = folder / FOLDER
    if not is_dir(folder):
        raise StoreError(f"{path} must be a folder with {FOLDER}/dynamics_epoch_0.jsonl, ...; it is not a folder")
    found: dict[int, Path] = {}
    with reading(folder, "folder that can be listed"):
        items = list(folder.iterdir())
    for item in items:
        if match := re.fullmatch(r"dynamics_epoch_(\d+)\.jsonl", item.name):
            if str(int(match[1])) != match[1]:
                raise StoreError(f"{item}: an epoch's number has no leading zeros; rename it or remove it")
            with reading(item, "file of one epoch"):  # what is no file is refused here, before anyone waits for it
                found[int(match[1])] = item
        elif item.name.startswith("dynamics_epoch_"):
            raise StoreError(f"{item} is no dynamics_epoch_N.jsonl; rename, unpack or remove it")
    if not found:
        raise StoreError(f"{folder} holds no dynamics_epoch_N.jsonl")
    if lost := max(found) + 1 - len(found):
        first = next(epoch for epoch in range(len(found) + 1) if epoch not in found)
        raise StoreError(
            f"{folder}: epochs must be 0 to {max(found)} without a gap; dynamics_epoch_{first}.jsonl is missing"
            + (f" (and {lost - 1} more)" if lost > 1 else "")
        )
    return [found[epoch] for epoch in range(len(found))]


def import_allenai(
    path: str | Path,
    out: str | Path,
    *,
    source: Source = "train",
    allow_missing: bool = False,
    ignore_fields: bool = False,
    on_progress: Callable[[int], None] | None = None,
    as_: Literal["logits"] | None = None,
) -> Dynamics:
    """Dynamics from the epoch files of allenai/cartography, at level ``logits`` with float32 logits.

    Files are streamed: memory holds one epoch's arrays (4 C + 22 bytes an example) and a few blocks of text.

    Args:
        path: a model's folder, or its training_dynamics folder.
        out: the dynamics folder to make; it appears whole or not at all.
        source: what the logits are of; the reference code records those of the training step.
        allow_missing: keep a guid that some epochs lack (or that first comes later) as not seen there.
        ignore_fields: skip further fields of a line; without it they are an error, for they would be lost.
        on_progress: called with 1 after each epoch.
        as_: None refuses files of probabilities; "logits" for logits that look like probabilities all the same.

    Raises:
        StoreError: naming file and line: not JSON, a field missing or of another type, NaN or infinity, a gold
            outside the classes or changing, a guid twice in an epoch, missing, or new after epoch 0.

    Kept: guids with their type, gold, logits as float32 (less the largest of a row, where float32 would lose their
    differences), and the order in which guids first came (``order`` in examples.parquet), by which an export sorts.
    Not kept: the order within later epochs.
    """
    allow_missing, ignore_fields = (
        check_flag(allow_missing, "allow_missing"),
        check_flag(ignore_fields, "ignore_fields"),
    )
    check_source(source)
    check_new(out)
    files = epoch_files(path)
    shape = _look(files[0], ignore_fields)
    ids, labels, order = _examples(files if allow_missing else files[:1], shape)
    index = build_index(ids)

    def epochs() -> Iterator[tuple[dict[str, Array], int]]:
        for epoch, file in enumerate(files):
            yield _read_epoch(Lines(file, epoch, shape), index, ids, labels, allow_missing, as_)
            if on_progress is not None:
                on_progress(1)

    return write_dynamics(
        out, ids, labels, shape.classes, source, epochs(), {"imported_from": "allenai"}, {ORDER: order}
    )


def _look(file: Path, ignore_fields: bool) -> Shape:
    """The kind of guid and the number of classes, from the first line."""
    for line, record in Lines(file, 0, Shape(False, 0, 0, ignore_fields)).parsed():
        logits = record.get("logits_epoch_0") if isinstance(record, dict) else None
        if isinstance(record, dict) and isinstance(record.get("guid"), float):
            raise StoreError(f"{file} line {line}: {float_guid(record['guid'])}")
        if not isinstance(logits, list) or not is_guid(record.get("guid")):
            raise StoreError(f"{file} line {line}: must hold guid (int or str), logits_epoch_0 (a list) and gold")
        if len(logits) < 2:
            raise StoreError(f"{file} line {line}: logits_epoch_0 must have at least 2 values, got {len(logits)}")
        longest = 64 * len(logits) + 4 * len(json.dumps(record))
        block = min(max(BLOCK_BYTES, longest), 2**31 - 1)  # as Arrow counts them
        return Shape(isinstance(record["guid"], str), len(logits), block, ignore_fields)
    raise _no_lines(file)


def _no_lines(file: Path) -> StoreError:
    return StoreError(f"{file} has no lines; an epoch has one for each example")


def _examples(files: list[Path], shape: Shape) -> tuple[Array, Array, Array]:
    """(ids ascending, their gold, their place in the order of first appearance) over some epochs."""
    known: Array | None = None  # in the order of first appearance
    known_gold = np.empty(0, np.int64)
    for epoch, file in enumerate(files):
        batches = list(Lines(file, epoch, shape).batches("guid", "gold"))
        if not batches:
            raise _no_lines(file)
        names = to_ids(np.concatenate([ids_from_arrow(batch.column("guid")) for batch in batches]))
        gold = np.concatenate([batch.column("gold").to_numpy() for batch in batches])
        if known is not None:
            names, gold = np.concatenate([known, names]), np.concatenate([known_gold, gold])
        first = np.sort(np.unique(names, return_index=True)[1])
        known, known_gold = names[first], gold[first]
    assert known is not None
    by_id = np.argsort(known)
    return known[by_id], known_gold[by_id], by_id


def _read_epoch(
    lines: Lines, index: Index, ids: Array, labels: Array, allow_missing: bool, as_: Literal["logits"] | None
) -> tuple[dict[str, Array], int]:
    """The columns of one epoch in row order, and how many examples were seen."""
    classes = lines.shape.classes
    logits = np.full((len(ids), classes), np.nan, np.float32)
    seen, doubt = np.zeros(len(ids), bool), Doubt()
    for batch in lines.batches():
        names, gold = batch.column("guid"), batch.column("gold").to_numpy()
        values = batch.column(f"logits_epoch_{lines.epoch}")
        flat = values.flatten()
        if flat.null_count or not (values.value_lengths().to_numpy() == classes).all():
            lines.find_mistake(f"logits must be {classes} numbers on every line")
        with np.errstate(over="ignore"):
            wide = flat.to_numpy().reshape(-1, classes)
            here = wide.astype(np.float32)
        if not ((gold >= 0) & (gold < classes)).all() or _ends_in_nul(names):
            lines.find_mistake("gold or guid is wrong")
        masked = masks(here)
        if not ((np.abs(here) <= LIMIT) | masked).all() or masked[np.arange(len(gold)), gold].any():
            lines.find_mistake(f"logits must be finite and within ±{LIMIT:g}")
        here[masked] = -np.inf
        if as_ is None:
            _refuse_probabilities(lines, here, doubt)
        _keep_differences(here, wide)
        rows = index.rows(ids_from_arrow(names))
        _check_rows(lines, rows, names, gold, seen, labels)
        logits[rows] = here
        seen[rows] = True
    count = int(seen.sum())
    if not count:
        raise _no_lines(lines.file)
    if count < len(ids) and not allow_missing:
        raise StoreError(
            f"{lines.file}: {len(ids) - count} of {len(ids)} guids are missing "
            f"(first: {some(ids[~seen][:4].tolist())}); pass allow_missing=True to keep them as not seen in this epoch"
        )
    columns = empty_signals(len(ids), classes)
    for name, column in signals_from_logits(logits[seen] if count < len(ids) else logits, labels[seen]).items():
        columns[name][seen] = column
    columns["logits"] = logits
    return columns, count


def _keep_differences(here: Array, wide: Array) -> None:
    """Where float32 has no room for the differences of a row's logits, the row becomes those to its largest.

    A row of nine digits that name a float32 is that float32: so does an export write them.
    """
    if not np.abs(here, where=here != -np.inf, out=np.zeros_like(here)).max(initial=0) > SURELY_NEAR:
        return
    wide = np.where(here == -np.inf, -np.inf, wide)
    exact = wide - wide.max(axis=1, keepdims=True)
    there = here != -np.inf
    off = np.zeros(here.shape)
    np.subtract(
        here.astype(np.float64) - here.max(axis=1, keepdims=True).astype(np.float64), exact, out=off, where=there
    )
    for row in np.flatnonzero((np.abs(off) > 1e-6 + 1e-7 * np.abs(np.where(there, exact, 0))).any(axis=1)):
        if any(float(f"{a:.9g}") != b for a, b in zip(here[row].tolist(), wide[row].tolist(), strict=True)):
            here[row] = exact[row]


def _refuse_probabilities(lines: Lines, logits: Array, doubt: Doubt) -> None:
    try:
        doubt.look(logits, "write logits, or log p, or import them as pred-probs; as_='logits' if they are logits")
    except RecordingError as error:
        raise StoreError(f"{lines.file}: {error}") from None


def _ends_in_nul(names: pa.Array) -> bool:
    """numpy drops NUL characters at the end of a string, so such a guid could not be told from another."""
    return pa.types.is_string(names.type) and any(name.endswith("\0") for name in names.to_pylist())


def _check_rows(lines: Lines, rows: Array, names: pa.Array, gold: Array, seen: Array, labels: Array) -> None:
    """Every guid is known, comes once, and keeps its gold."""
    if rows.min() == MISSING:
        guid = names[int(np.argmin(rows))].as_py()
        lines.fail(
            lines.lines_of(guid)[0],
            f"guid {shown(guid)} is not in epoch 0; pass allow_missing=True to keep it as not seen there",
        )
    distinct, counts = np.unique(rows, return_counts=True)
    again = np.concatenate([distinct[counts > 1], rows[seen[rows]]])
    if len(again):
        guid = names[int(np.flatnonzero(rows == again[0])[0])].as_py()
        where = lines.lines_of(guid)
        lines.fail(where[1], f"guid {shown(guid)} came already on line {where[0]}; an epoch has each guid once")
    changed = np.flatnonzero(labels[rows] != gold)
    if len(changed):
        guid = names[int(changed[0])].as_py()
        lines.fail(
            lines.lines_of(guid)[0],
            f"guid {shown(guid)} has gold {gold[changed[0]]}, before it was {labels[rows[changed[0]]]}; "
            "an example keeps its gold label",
        )
