"""Dynamics: a recording on disk, opened, checked, and read in row blocks.

    dynamics/
      manifest.json         what exists (written last, by rename)
      examples.parquet      row, id, label, in the order of the rows: sorted by id (or the name in the manifest)
      epochs/00000.arrow    one row per example, one column per signal
      stats/00001.arrow     or, at level stats, the running sums over so many epochs

See docs/format.md.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.columns import Layout, check_file, check_files, empty_columns, map_columns, values
from trainmap.dynamics.damage import check_recording
from trainmap.dynamics.examples import read_examples
from trainmap.dynamics.examples import write_examples as write_examples
from trainmap.dynamics.given import check_flag
from trainmap.dynamics.manifest import NAME, SOURCES, Manifest, read_manifest
from trainmap.dynamics.parts import join_parts
from trainmap.dynamics.processes import has_parts
from trainmap.dynamics.roster import as_bits, as_targets
from trainmap.dynamics.signals import UNKNOWN_LABEL, Block, read_only
from trainmap.dynamics.stats import Stats, read_stats
from trainmap.dynamics.supervision import Kind, Per
from trainmap.errors import StoreError, TrainmapError, counted
from trainmap.files import reading
from trainmap.kinds import check_path
from trainmap.told import Lines, Told

Array = NDArray[Any]


def fingerprint(ids: Any, labels: Any) -> str:
    """SHA-256 over the (id, label) pairs in id order: the same data in any order has the same fingerprint."""
    ids, labels = to_ids(ids), to_labels(labels)
    if ids.shape != labels.shape:
        raise TrainmapError(f"ids and labels must be alike, got {len(ids)} ids and {len(labels)} labels")
    if (ids[1:] < ids[:-1]).any():  # those of a recording ascend: then nothing is copied
        order = np.argsort(ids, kind="stable")
        ids, labels = ids[order], labels[order]
    digest = hashlib.sha256()
    if ids.dtype.kind == "U":
        digest.update("\0".join(ids.tolist()).encode())
    else:
        digest.update(np.ascontiguousarray(ids, "<i8").data)
    digest.update(np.ascontiguousarray(labels, "<i8").data)
    return digest.hexdigest()


@dataclass(frozen=True, eq=False, repr=False)
class Dynamics(Told):
    """What was recorded of a training run; made by ``Dynamics.open``.

    Attributes:
        path: the folder.
        manifest: what it says about itself.
        ids: (N,) int64 or str, ascending; row i of every epoch is example ``ids[i]``.
        labels: (N,) int64 gold labels; -1 for an example that was never seen and whose label was never given, and for
            all where the recording is not of classes.
        checked: epochs are compared with their checksums when they are first read.
        targets: (N,) float64 of a recording of regression, in single precision; NaN for an example that was never seen
            and whose target was never given. None of the others.
    """

    path: Path
    manifest: Manifest
    ids: Array
    labels: Array
    checked: bool = True
    targets: Array | None = None

    def told(self) -> Lines:
        """What it is in a few lines."""
        classes = f", {counted(self.classes, 'class', 'classes')}" if self.kind == "classes" else f", of {self.kind}"
        audit = "" if self.kind == "numbers" else "tm.audit(dynamics), "
        return "Dynamics", {
            "examples": f"{self.examples:,}{classes}",
            "epochs": f"{self.epochs}, numbers of {SOURCES[self.manifest.source]}",
            "holds": ", ".join(self.signals) if self.manifest.epochs else f"level '{self.level}'",
            "folder": self.path,
            "look": f"tm.DataMap.from_dynamics(dynamics), {audit}dynamics.block()",
        }

    @staticmethod
    def open(path: str | Path, allow_missing: bool = False, verify: bool = True) -> Dynamics:
        """Open a recording, at its last whole epoch when it was interrupted.

        Checks the manifest and the examples, and that every listed file is there at its full length. The
        parts of several processes are joined by id first (see ``trainmap.dynamics.parts``).

        Args:
            path: the folder.
            allow_missing: when parts are joined, keep examples that an epoch lacks in all of them as NaN instead of
                refusing (a distributed sampler with ``drop_last=True`` makes such epochs). The join says so and is
                kept: later calls open it without.
            verify: compare every file with its checksum when it is first read: one pass at the speed of the disk (4
                GB/s and core from the page cache), once for each file and process. Without it damage inside a file of
                the right length gives other numbers.

        Raises:
            StoreError: not a dynamics folder, a newer format, a missing, torn, damaged or foreign file, a lost part.
                Damage inside an epoch is found, with this error, when the first of them is read.
        """
        allow_missing, verify = check_flag(allow_missing, "allow_missing"), check_flag(verify, "verify")
        check_path(path, "recording")
        folder = Path(path)
        if has_parts(folder):
            folder = join_parts(folder, allow_missing)
        manifest = read_manifest(folder)
        if manifest.part is not None:
            raise StoreError(
                f"{folder} is the part of one of {manifest.parts} processes; open {folder.parent.parent}, the join"
            )
        while True:
            try:
                return Dynamics._of(folder, manifest, verify)
            except StoreError:
                # At level stats a recorder removes the sums that newer ones replace: then look at those.
                before, manifest = manifest, read_manifest(folder)
                if manifest == before:
                    raise

    @staticmethod
    def _of(folder: Path, manifest: Manifest, verify: bool) -> Dynamics:
        """The recording that this manifest lists."""
        ids, labels = read_examples(folder, manifest, verify)
        for entry in manifest.files:
            check_file(folder, entry)
        targets = None
        if manifest.kind == "regression":
            targets, labels = as_targets(labels), np.full(len(ids), UNKNOWN_LABEL)
        dynamics = Dynamics(folder, manifest, ids, labels, verify, targets)
        if manifest.stats is not None:
            _ = dynamics.stats  # mapped now, for a recorder that goes on replaces the file
        return dynamics

    @property
    def epochs(self) -> int:
        """How many whole epochs are recorded."""
        return self.manifest.recorded

    @property
    def examples(self) -> int:
        return self.manifest.examples

    @property
    def classes(self) -> int:
        return self.manifest.classes

    @property
    def kind(self) -> Kind:
        """What the examples were trained on: "classes", "multilabel", "tokens", "regression" or "numbers"."""
        return self.manifest.kind

    @property
    def class_names(self) -> tuple[str | int, ...] | None:
        """What the classes (or labels) are called, by their numbers; None where nobody said."""
        names = self.manifest.class_names
        return None if names is None else tuple(names)

    @property
    def per(self) -> Per | None:
        """ "label" or "token" where an example is a part of one, called "id/part"; otherwise None."""
        return self.manifest.per

    @property
    def step(self) -> str:
        """What an epoch of the recording is: "epoch" or "steps" of the training, ``every`` so many of them."""
        return self.manifest.step

    @property
    def every(self) -> int | None:
        return self.manifest.every

    def check_classes(self, what: str) -> None:
        """Refuse a recording that is not of classes, one gold class for each example: ``what`` needs it.

        Raises:
            TrainmapError: names the kind that this one is of.
        """
        if self.kind != "classes":
            raise TrainmapError(
                f"{what} needs a recording of classes, with one gold class for each example; {self.path} is of kind "
                f"'{self.kind}'"
            )

    @property
    def main_signal(self) -> str:
        """What a map of it is of, and what is shown of it where nobody says what: "p_gold", or its first signal."""
        said = self.manifest.signals
        return "p_gold" if said is None else said[0].name

    @property
    def source(self) -> str:
        """ "train" (logits of the training step), "sweep" (an evaluation pass after the epoch) or "held-out" (such a
        pass by networks that did not train on the examples)."""
        return self.manifest.source

    @property
    def folds(self) -> int | None:
        """Of how many folds of a ``CrossFit`` it is; None of every other recording."""
        return None if self.manifest.folds is None else self.manifest.folds.count

    @property
    def level(self) -> str:
        return self.manifest.level

    def __len__(self) -> int:
        return self.examples

    @cached_property
    def fingerprint(self) -> str:
        """Of the dataset: its ids and labels (or targets)."""
        return fingerprint(self.ids, self.labels if self.targets is None else as_bits(self.targets))

    @cached_property
    def layouts(self) -> list[Layout]:
        """Where each epoch's columns lie; the epochs are compared with their checksums now."""
        with self._as_opened():
            if self.checked:
                check_files(self.path, self.manifest.epochs)
            layouts = [self._layout(self.path / entry.file) for entry in self.manifest.epochs]
        for layout in layouts:
            for name, (_, dtype, width) in layout.places.items():
                if (dtype, width) != layouts[0].places.get(name, (0, dtype, width))[1:]:
                    raise StoreError(f"{layout.path} has '{name}' of another type than {layouts[0].path}")
        return layouts

    def _layout(self, path: Path) -> Layout:
        """Where an epoch's columns lie, each of the type that it must have."""
        layout, expected = Layout.of(path), empty_columns(0, self.manifest)
        if layout.rows != self.examples:
            raise StoreError(f"{path} has {layout.rows} rows, the manifest says {self.examples}")
        for name, (_, dtype, width) in layout.places.items():
            if name in expected and (dtype, width) != (expected[name].dtype, 1):
                raise StoreError(f"{path} has '{name}' as {dtype}, it must be {expected[name].dtype}")
            if name == "logits" and width != self.classes:
                raise StoreError(f"{path} has {width} logits an example, the manifest says {self.classes}")
        return layout

    @cached_property
    def stats(self) -> Stats:
        """The running sums over the epochs, where the recording has level ``stats``."""
        if self.manifest.stats is None:
            raise TrainmapError(f"running sums are kept at level 'stats'; {self.path} has level '{self.level}'")
        return read_stats(self.path, self.manifest, self.checked)

    @property
    def signals(self) -> tuple[str, ...]:
        """The columns that every epoch has; none at level ``stats``, which keeps no epoch."""
        if not self.manifest.epochs:
            return ()
        return tuple(n for n in self.layouts[0].places if all(n in layout.places for layout in self.layouts))

    def bytes_per_value(self, signal: str) -> int:
        """What one example takes in one epoch's column."""
        _, dtype, width = self.layouts[0].places[signal]
        return dtype.itemsize * width

    def column(self, epoch: int, signal: str) -> Array:
        """One signal of one epoch, (N,) or (N, C), as a read-only memory map."""
        self._check_epochs_kept()
        if not 0 <= epoch < self.epochs:
            raise TrainmapError(f"epoch must be 0 to {self.epochs - 1}, got {epoch}")
        with self._as_opened():
            path = check_file(self.path, self.manifest.epochs[epoch])
            batch = map_columns(path)  # before it is compared: what is compared is then not older than this
            check_file(self.path, self.manifest.epochs[epoch], whole=self.checked)
            held = self._layout(path).places
        if signal not in held:
            raise TrainmapError(f"epoch {epoch} holds {', '.join(held)}; got '{signal}'")
        return values(batch.column(signal))

    def block(
        self, start: int = 0, stop: int | None = None, signals: Sequence[str] | None = None, epochs: int | None = None
    ) -> Block:
        """Rows [start, stop) of the first ``epochs`` epochs (all of them by default), read into memory.

        Args:
            signals: which columns; by default all signals, without the logits. Ask for ``"logits"`` by name.
        """
        stop = self.examples if stop is None else stop
        epochs = self.epochs if epochs is None else epochs
        self._check_epochs_kept()
        if not 0 <= start <= stop <= self.examples:
            raise TrainmapError(f"rows must be within 0 to {self.examples}, got {start} to {stop}")
        if not 1 <= epochs <= self.epochs:
            raise TrainmapError(f"epochs must be 1 to {self.epochs} (those recorded), got {epochs}")
        names = [n for n in self.signals if n != "logits"] if signals is None else list(signals)
        for name in names:
            if name not in self.signals:
                held = ", ".join(self.signals)
                raise TrainmapError(f"this recording (level '{self.level}') holds {held}; '{name}' is not in it")
        columns: dict[str, Array] = {}
        for name in names:
            _, dtype, width = self.layouts[0].places[name]
            columns[name] = np.empty((epochs, stop - start, width)[: 3 if name == "logits" else 2], dtype)
        layouts = self.layouts[:epochs]
        with self._as_opened():
            for epoch, layout in enumerate(layouts):
                with reading(layout.path, "whole Arrow file"), open(layout.path, "rb", buffering=0) as handle:
                    check_file(self.path, self.manifest.epochs[epoch], whole=self.checked)
                    for name, column in columns.items():
                        layout.read(name, start, column[epoch], handle)
        columns = {name: read_only(column) for name, column in columns.items()}
        logits = columns.pop("logits", None)
        complete = all(entry.seen == self.examples for entry in self.manifest.epochs[:epochs])
        return Block(self.labels[start:stop], self.classes, columns, complete, logits)

    def blocks(self, rows: int, signals: Sequence[str] | None = None, epochs: int | None = None) -> Iterator[Block]:
        """Every example once, ``rows`` at a time, in row order."""
        for start in range(0, self.examples, rows):
            yield self.block(start, min(start + rows, self.examples), signals, epochs)

    def verify(self) -> None:
        """Read every byte again, compare it with the checksums, and look whether every value can be one.

        Raises:
            StoreError: at the first damage. ``trainmap verify`` goes on and names all of it.
        """
        for _, _, damage in check_recording(self.path):
            if damage is not None:
                raise damage

    @contextmanager
    def _as_opened(self) -> Iterator[None]:
        """Around the reading of epochs: a recorder may have rewound, overwritten or joined them again meanwhile.

        It changes the manifest before it uses a name again. So what was read is what was listed if its bytes are, or,
        where these are not compared, if it is listed still when it has been read.
        """
        damage = None
        try:
            yield
        except StoreError as error:
            damage = error
        if (damage is not None or not self.checked) and self._was_changed():
            raise StoreError(
                f"{self.path}: it was changed by a recorder since it was opened; open it again"
            ) from damage
        if damage is not None and self.manifest.joined is not None and has_parts(self.path):
            cure = f"or remove {self.path / NAME}: then it is joined again from its parts"
            raise StoreError(f"{damage}, {cure}") from damage
        if damage is not None:
            raise damage

    def _was_changed(self) -> bool:
        """Whether the manifest is gone, or lists other files in place of these."""
        if not (self.path / NAME).exists():
            return self.path.is_dir()
        with suppress(StoreError):
            return read_manifest(self.path).epochs[: len(self.manifest.epochs)] != self.manifest.epochs
        return False

    def _check_epochs_kept(self) -> None:
        if self.manifest.stats is not None:
            raise TrainmapError(
                f"{self.path} has level 'stats': running sums, not the epochs; record with level='signals' to have them"
            )
