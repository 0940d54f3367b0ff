"""Recorder: takes (ids, logits, labels) from any training loop and writes a dynamics folder."""

from __future__ import annotations

import logging
import os
import sys
from pathlib import Path
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import on_accelerator, to_ids, to_labels, to_numpy
from trainmap.dynamics.columns import write_columns
from trainmap.dynamics.index import MISSING, Growing, Index, build_index, sort_ids
from trainmap.dynamics.manifest import NAME, EpochEntry, Level, Manifest, Source, read_manifest, versions, write_manifest
from trainmap.dynamics.signals import CHUNK_ELEMENTS, empty_signals, signals_from_logits
from trainmap.dynamics.store import UNKNOWN_LABEL, read_examples, write_examples
from trainmap.errors import RecordingError, StoreError, some

Array = NDArray[Any]

log = logging.getLogger("trainmap")

HELD_BYTES = 64 << 20  # what an accelerator holds back before one transfer


class Recorder:
    """Records the training dynamics of a run into a folder, one epoch at a time.

    ::

        with tm.Recorder("dynamics", classes=10) as recorder:
            for epoch in range(recorder.epoch, epochs):
                for ids, x, labels in loader:
                    logits = model(x); ...                    # your training step
                    recorder.update(ids, logits, labels)
                recorder.end_epoch()

    Args:
        path: the folder; made when it is not there. An interrupted recording goes on at ``recorder.epoch``.
        classes: C, at least 2.
        ids: the ids of all examples, int or str. None: those of the first epoch.
        labels: their gold labels, in the order of ``ids``. None: learned from the updates.
        source: ``"train"`` for logits of the training step, ``"sweep"`` for an evaluation pass after the epoch.
        level: what is kept: ``"signals"`` (22 bytes for an example and epoch), ``"logits"`` (half-precision logits
            as well, 2 bytes a class more) or ``"stats"`` (running sums only, whatever the number of epochs).
        allow_missing: keep examples that an epoch did not show as NaN instead of refusing the epoch.
        rank, world_size: which of how many processes this is; by default as ``torch.distributed`` or torchrun's
            environment says. Each process writes its own part; ``Dynamics.open`` joins them.

    Attributes:
        epoch: the next epoch to record, 0 in a new folder.

    Raises:
        RecordingError: for input that cannot be recorded; nothing of the refused batch is kept.
        StoreError: the folder holds something else, or a recording with other classes, ids, source or level.

    Logits of tensors on an accelerator stay there until the end of the epoch (or 64 MiB), so that no step waits for
    the device; their checks run at that moment.
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        classes: int,
        ids: Any = None,
        labels: Any = None,
        source: Source = "train",
        level: Level = "signals",
        allow_missing: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
    ) -> None:
        _check_choice("source", source, Source)
        _check_choice("level", level, Level)
        if isinstance(classes, bool) or not isinstance(classes, int | np.integer) or classes < 2:
            raise RecordingError(f"classes must be an integer of at least 2, got {classes!r}")
        if labels is not None and ids is None:
            raise RecordingError("labels need ids to belong to; pass ids as well")
        self.classes, self.source, self.level, self.allow_missing = int(classes), source, level, allow_missing
        self.epoch = 0
        self._closed = False
        self._entries: list[EpochEntry] = []
        self._labels_written = False
        self._ids_given = ids is not None
        self._rank, self._world = _place(rank, world_size)
        if self._world > 1 and level == "stats":
            raise RecordingError("level 'stats' cannot be joined from several processes; use level='signals'")
        self.path = Path(path)
        self.folder = self.path if self._world == 1 else part_folder(self.path, self._rank, self._world)

        given_ids, given_labels = _check_given(ids, labels, self.classes)
        self._grow: Growing | None = None
        if given_ids is not None:
            self._set_examples(given_ids, given_labels)
        _make_folder(self.folder)
        if (self.folder / NAME).exists():
            self._resume(given_ids, given_labels)
        elif self.path.is_dir() and self._world == 1 and (self.path / "parts").exists():
            raise StoreError(f"{self.path} holds the parts of several processes; record into another folder")
        if given_ids is None and (not self._entries or self._world > 1):
            self._learn_examples()
        self._start_epoch()

    # --- examples -------------------------------------------------------------------------------------------------

    def _set_examples(self, ids: Array, labels: Array | None) -> None:
        """From now on exactly these (sorted) ids exist."""
        self._grow = None
        self._ids = ids
        self._index: Index = build_index(ids)
        self._labels = np.full(len(ids), UNKNOWN_LABEL, np.int64) if labels is None else labels

    def _learn_examples(self) -> None:
        """The ids of this epoch will be the examples; rows in order of arrival until the epoch ends."""
        self._grow = self._index = Growing()
        self._labels = np.empty(0, np.int64)

    def _resume(self, ids: Array | None, labels: Array | None) -> None:
        """Continue the recording in the folder, after checking that it is the same one."""
        manifest = read_manifest(self.folder)
        for name, mine in (("classes", self.classes), ("source", self.source), ("level", self.level)):
            if getattr(manifest, name) != mine:
                raise StoreError(
                    f"{self.folder} was recorded with {name}={getattr(manifest, name)!r}, got {mine!r}; "
                    "two kinds of recording are never mixed: use another folder"
                )
        if (manifest.part, manifest.parts) != ((None, None) if self._world == 1 else (self._rank, self._world)):
            raise StoreError(f"{self.folder} is part {manifest.part} of {manifest.parts}, got {self._rank} of {self._world}")
        old_ids, old_labels = read_examples(self.folder)
        if ids is not None and not np.array_equal(ids, old_ids):
            raise StoreError(f"{self.folder} was recorded with other ids ({len(old_ids)}, got {len(ids)}); use another folder")
        if labels is not None and (changed := (old_labels != UNKNOWN_LABEL) & (old_labels != labels)).any():
            raise StoreError(f"{self.folder} has other labels for {changed.sum()} ids (first: {some(old_ids[changed])})")
        self._entries = list(manifest.epochs)
        if self._world == 1 or ids is not None:
            self._set_examples(old_ids, np.where(old_labels == UNKNOWN_LABEL, labels, old_labels) if labels is not None else old_labels)
        if self._world > 1:
            self._entries = self._entries[: whole_epochs(self.path, self._world)]
        self.epoch = len(self._entries)
        for leftover in [*self.folder.glob(".*.tmp"), *self.folder.glob("epochs/.*.tmp")]:
            leftover.unlink()
        if self.epoch:
            log.info("%s holds %d epochs; recording goes on at epoch %d", self.folder, self.epoch, self.epoch)

    # --- one epoch ------------------------------------------------------------------------------------------------

    def _start_epoch(self) -> None:
        rows = len(self._labels)
        self._columns = self._empty_columns(rows)
        self._arrival = np.full(rows, MISSING, np.int64)  # when an example came, in this epoch; MISSING: not yet
        self._seen = 0
        self._held: list[tuple[Any, Any, Any]] = []
        self._held_bytes = 0
        capacity = max(1, CHUNK_ELEMENTS // self.classes)
        self._buffer = np.empty((capacity, self.classes), np.float32)
        self._buffer_rows = np.empty(capacity, np.int64)
        self._fill = 0

    def _empty_columns(self, rows: int) -> dict[str, Array]:
        columns = empty_signals(rows, self.classes)
        if self.level == "logits":
            columns["logits"] = np.full((rows, self.classes), np.nan, np.float16)
        return columns

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """Record one batch: (B,) ids, (B, C) logits before the softmax, (B,) gold labels.

        Batches come in any order and size. A refused batch leaves no trace.

        Raises:
            RecordingError: wrong shapes, a NaN or infinite logit, a class outside [0, C), an id that is unknown or
                was already seen in this epoch, a label that differs from the one known.
        """
        if self._closed:
            raise RecordingError("this recorder is closed; open a new one to go on recording")
        if on_accelerator(logits):
            self._hold(ids, logits.detach(), labels)
        else:
            self._take(to_ids(ids), to_numpy(logits, "logits"), to_labels(labels))

    def _hold(self, ids: Any, logits: Any, labels: Any) -> None:
        """Keep a batch on its device; the copy is queued there and nothing waits for it."""
        self._held.append((ids, logits.clone(), labels.clone() if on_accelerator(labels) else labels))
        self._held_bytes += logits.numel() * logits.element_size()
        if self._held_bytes >= HELD_BYTES:
            self._fetch()

    def _fetch(self) -> None:
        """Bring over what an accelerator held back, in one transfer, and record it."""
        if not self._held:
            return
        import torch

        rows = to_numpy(torch.cat([logits for _, logits, _ in self._held]), "logits")
        while self._held:
            ids, logits, labels = self._held.pop(0)
            mine, rows = rows[: len(logits)], rows[len(logits) :]
            self._take(to_ids(ids), mine, to_labels(labels))
        self._held_bytes = 0

    def _take(self, ids: Array, logits: Array, labels: Array) -> None:
        size = len(ids)
        if logits.shape != (size, self.classes) or labels.shape != (size,):
            raise RecordingError(
                f"a batch of {size} ids needs logits of shape ({size}, {self.classes}) and labels of shape ({size},), "
                f"got {logits.shape} and {labels.shape}"
            )
        if not np.isfinite(logits).all():
            bad = ids[~np.isfinite(logits).all(axis=1)]
            raise RecordingError(
                f"epoch {self.epoch}: logits must be finite; {len(bad)} of {size} examples have NaN or infinity "
                f"(first: {some(bad.tolist())}); has the training diverged?"
            )
        if self.level == "logits" and size and max(logits.max(), -logits.min()) > np.finfo(np.float16).max:
            raise RecordingError("logits must lie within ±65504 to be kept in half precision; use level='signals'")
        rows = self._rows(ids, labels)
        self._seen += size
        while len(rows):
            space = len(self._buffer) - self._fill
            here = slice(self._fill, self._fill + min(space, len(rows)))
            self._buffer[here] = logits[:space]
            self._buffer_rows[here] = rows[:space]
            self._fill = here.stop
            rows, logits = rows[space:], logits[space:]
            if self._fill == len(self._buffer):
                self._flush()

    def _rows(self, ids: Array, labels: Array) -> Array:
        """Check ids and labels, mark them as seen, and return their rows."""
        if self._grow is not None:
            self._check_kind(ids)
        rows = self._index.rows(ids)
        if self._grow is not None:
            self._make_room(len(self._grow.row_of) + len(ids))
        elif len(rows) and rows.min() < 0:
            bad = ids[rows < 0].tolist()
            raise RecordingError(
                f"epoch {self.epoch}: {len(bad)} ids are unknown (first: {some(bad)}); the {len(self._ids)} examples "
                f"were fixed {'by ids=' if self._ids_given else 'by the first epoch'}"
            )
        known = self._labels[rows]
        if not (known == labels).all():
            self._check_labels(ids, known, labels)
        arrival = np.arange(self._seen, self._seen + len(ids))
        fresh = (self._arrival[rows] == MISSING).all()
        if fresh:
            self._arrival[rows] = arrival
            fresh = (self._arrival[rows] == arrival).all() and (self._grow is None or len(set(ids.tolist())) == len(ids))
            if not fresh:
                self._arrival[rows] = MISSING
        if not fresh:
            names, counts = np.unique(ids, return_counts=True)
            again = names[counts > 1].tolist() or ids[self._arrival[rows] != MISSING].tolist()
            raise RecordingError(
                f"epoch {self.epoch}: {len(again)} ids came twice (first: {some(again)}); each example is recorded "
                "once an epoch: call end_epoch() between epochs, and use a sampler without replacement"
            )
        if self._grow is not None:
            rows = self._grow.learn(ids)
        self._labels[rows] = labels
        return rows

    def _check_kind(self, ids: Array) -> None:
        assert self._grow is not None
        if self._grow.row_of and isinstance(next(iter(self._grow.row_of)), str) != (ids.dtype.kind == "U"):
            raise RecordingError("ids must be all integers or all strings, got both")

    def _check_labels(self, ids: Array, known: Array, labels: Array) -> None:
        outside = (labels < 0) | (labels >= self.classes)
        if outside.any():
            raise RecordingError(
                f"labels must be 0 to {self.classes - 1}, got {some(labels[outside].tolist())} "
                f"(ids {some(ids[outside].tolist())})"
            )
        changed = (known != UNKNOWN_LABEL) & (known != labels)
        if changed.any():
            first = int(np.flatnonzero(changed)[0])
            raise RecordingError(
                f"epoch {self.epoch}: {changed.sum()} labels changed (id {some([ids[first].item()])}: "
                f"{known[first]}, now {labels[first]}); an example keeps its gold label through a recording"
            )

    def _make_room(self, rows: int) -> None:
        """While ids are being learned: room for ``rows`` examples, at least doubling."""
        have = len(self._labels)
        if rows <= have:
            return
        more = max(rows, 2 * have, 1024) - have
        self._labels = np.concatenate([self._labels, np.full(more, UNKNOWN_LABEL, np.int64)])
        self._arrival = np.concatenate([self._arrival, np.full(more, MISSING, np.int64)])
        fresh = self._empty_columns(more)
        self._columns = {name: np.concatenate([column, fresh[name]]) for name, column in self._columns.items()}

    def _flush(self) -> None:
        """Turn the buffered logits into signals."""
        rows, logits = self._buffer_rows[: self._fill], self._buffer[: self._fill]
        for name, column in signals_from_logits(logits, self._labels[rows]).items():
            self._columns[name][rows] = column
        if self.level == "logits":
            self._columns["logits"][rows] = logits
        self._fill = 0

    def end_epoch(self, allow_missing: bool | None = None) -> None:
        """Write the epoch; when this returns, the epoch is on disk and survives a kill.

        Raises:
            RecordingError: not every example was seen (pass ``allow_missing=True`` here or to the Recorder to keep
                those as NaN), or none was. The epoch stays open: further updates can complete it.
        """
        if self._closed:
            raise RecordingError("this recorder is closed; open a new one to go on recording")
        self._fetch()
        if self._seen == 0:
            raise RecordingError(f"epoch {self.epoch}: nothing was recorded; call update(ids, logits, labels) first")
        missing = 0 if self._grow is not None or self._world > 1 else len(self._ids) - self._seen
        if missing and not (self.allow_missing if allow_missing is None else allow_missing):
            bad = self._ids[self._arrival == MISSING][:4].tolist()
            raise RecordingError(
                f"epoch {self.epoch}: {missing} of {len(self._ids)} ids were not recorded (first: {some(bad)}); "
                "pass allow_missing=True to keep them as NaN"
            )
        self._flush()
        if self._grow is not None:
            self._settle()
        columns = self._columns if self._world == 1 else self._part_columns()
        try:
            self._write(columns)
        except OSError as error:
            raise StoreError(
                f"epoch {self.epoch} could not be written to {self.folder}: {error.strerror}. The {self.epoch} epochs "
                "before it are kept; make room (or the folder writable) and call end_epoch() again"
            ) from error
        self.epoch += 1
        if self._world > 1 and not self._ids_given:
            self._learn_examples()
        self._start_epoch()

    def _write(self, columns: dict[str, Array]) -> None:
        """The examples when they are new or have new labels, the epoch, and last the manifest that lists it."""
        on_disk = len(read_manifest(self.folder).epochs) if (self.folder / NAME).exists() else 0
        if on_disk != len(self._entries) and self._world == 1:
            raise StoreError(f"{self.folder} has {on_disk} epochs, this recorder wrote {len(self._entries)}: does another one write there?")
        if self.epoch == 0 or (self._world == 1 and not self._labels_written):
            write_examples(self.folder, self._ids, self._labels)
        entry = write_columns(self.folder, f"epochs/{self.epoch:05d}.arrow", columns, self._seen)
        entries = [*self._entries, entry]
        write_manifest(self.folder, self._manifest(entries))
        self._entries = entries
        self._labels_written = bool((self._labels != UNKNOWN_LABEL).all())

    def _settle(self) -> None:
        """The first epoch is over: its ids, sorted, are the examples."""
        assert self._grow is not None
        ids, order = sort_ids(self._grow.ids())
        self._columns = {name: column[order] for name, column in self._columns.items()}
        self._arrival = self._arrival[order]
        self._set_examples(ids, self._labels[order])

    def _part_columns(self) -> dict[str, Array]:
        """What one of several processes writes: the examples that it saw, by name, with their place in its order."""
        here = self._arrival != MISSING
        columns = {"id": self._ids[here], "label": self._labels[here], "arrival": self._arrival[here]}
        return columns | {name: column[here] for name, column in self._columns.items()}

    def _manifest(self, entries: list[EpochEntry]) -> Manifest:
        several = self._world > 1
        return Manifest(
            examples=len(self._ids),
            classes=self.classes,
            id_type="string" if self._ids.dtype.kind == "U" else "int64",
            source=self.source,
            level=self.level,
            part=self._rank if several else None,
            parts=self._world if several else None,
            allow_missing=self.allow_missing,
            ids_given=self._ids_given,
            epochs=entries,
            written_by=versions(),
        )

    def close(self) -> None:
        """End the recording. An epoch under way (updates since the last ``end_epoch``) is an error, not lost silently."""
        if self._closed:
            return
        self._closed = True
        if self._seen or self._held:
            raise RecordingError(
                f"closed with {self._seen or 'some'} examples of epoch {self.epoch} recorded and not ended; call "
                f"end_epoch() before close(). Epochs 0 to {self.epoch - 1} are kept" if self.epoch else
                f"closed with {self._seen or 'some'} examples recorded and no end_epoch(); nothing was kept"
            )

    def __enter__(self) -> Recorder:
        return self

    def __exit__(self, kind: Any, *_: Any) -> None:
        if kind is None:
            self.close()
        self._closed = True


def part_folder(path: Path, rank: int, world_size: int) -> Path:
    """Where one of several processes writes."""
    return path / "parts" / f"{rank:04d}-of-{world_size:04d}"


def whole_epochs(path: Path, world_size: int) -> int:
    """How many epochs every part has."""
    counts: list[int] = []
    for rank in range(world_size):
        folder = part_folder(path, rank, world_size)
        counts.append(len(read_manifest(folder).epochs) if (folder / NAME).exists() else 0)
    return min(counts)


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """(rank, world size): as given, else as torch.distributed says, else as torchrun's environment says."""
    if (rank is None) != (world_size is None):
        raise RecordingError("rank and world_size go together; pass both or neither")
    if rank is None or world_size is None:
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            rank, world_size = distributed.get_rank(), distributed.get_world_size()
        else:
            rank, world_size = int(os.environ.get("RANK", "0")), int(os.environ.get("WORLD_SIZE", "1"))
    if not 0 <= rank < world_size:
        raise RecordingError(f"rank must be 0 to world_size - 1, got {rank} of {world_size}")
    return rank, world_size


def _check_choice(name: str, got: str, choices: Any) -> None:
    known = get_args(choices)
    if got not in known:
        raise RecordingError(f"{name} must be one of {', '.join(map(repr, known))}, got {got!r}")


def _check_given(ids: Any, labels: Any, classes: int) -> tuple[Array | None, Array | None]:
    """The caller's ids and labels, checked and sorted by id."""
    if ids is None:
        return None, None
    ordered, order = sort_ids(to_ids(ids))
    if labels is None:
        return ordered, None
    gold = to_labels(labels)
    if gold.shape != ordered.shape:
        raise RecordingError(f"{len(ordered)} ids need {len(ordered)} labels, got {gold.shape}")
    if gold.min() < 0 or gold.max() >= classes:
        raise RecordingError(f"labels must be 0 to {classes - 1}, got {gold.min()} to {gold.max()}")
    return ordered, gold[order].astype(np.int64)


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except FileExistsError as error:
        raise StoreError(f"{folder} is a file; a recording needs a folder") from error
    except PermissionError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}; choose a folder that you may write") from error
    foreign = [item.name for item in folder.iterdir() if item.name not in (NAME, "examples.parquet", "epochs", "parts")]
    foreign = [name for name in foreign if not name.endswith(".tmp")]
    if foreign and not (folder / NAME).exists():
        raise StoreError(f"{folder} holds other files ({some(sorted(foreign))}); a recording needs a folder of its own")
