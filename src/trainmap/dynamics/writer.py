"""The folder of a recording as its one writer sees it: what is in it, and how one epoch more gets there for good.

Order of writing: examples, then the epoch, then the manifest, each a temporary file that is flushed to disk and
renamed. A kill between two of them leaves files that the manifest does not list, and these do not exist. What the
manifest lists is never written over: newcomers and new labels bring new files under new names (see ``growing``), and
what is rewound or overwritten goes from the manifest before its names are used again. A reader that was opened before
that finds other bytes than it was told, and says so.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from numpy.typing import NDArray

from trainmap.dynamics.clearing import (
    clear,
    clear_others,
    remove_file,
    remove_files,
    remove_temporary,
    remove_unlisted,
)
from trainmap.dynamics.columns import Layout, check_file, write_columns, write_file
from trainmap.dynamics.entering import (
    check_half_precision,
    check_same_kind,
    make_folder,
    refuse_lost_part,
    unmake_part,
)
from trainmap.dynamics.examples import read_examples, write_examples
from trainmap.dynamics.folder_locks import Hold, locked, refuse_held
from trainmap.dynamics.growing import next_name, with_newcomers
from trainmap.dynamics.manifest import (
    EXAMPLES,
    NAME,
    IdType,
    Manifest,
    StatsEntry,
    manifest_bytes,
    read_manifest,
    versions,
)
from trainmap.dynamics.processes import holds, part_folder, refuse_mixture, whole_epochs
from trainmap.dynamics.stats import Stats, add_epoch, empty_stats, read_stats
from trainmap.errors import StoreError
from trainmap.files import sync_folder, write_atomically

Array = NDArray[Any]
State = tuple[bytes | None, Manifest, Stats, Array | None]  # manifest on disk, what it says, the sums, the listed ids


class Writer:
    """Writes a recording into ``path``, or into its part of it, and holds the folder until ``close``.

    Attributes:
        folder: where the files are.
        manifest: what is recorded by now; ``examples`` is 0 before the first epoch.
        examples: (ids, labels) of the recording that was there already, or None.
    """

    def __init__(self, path: Path, about: Manifest, resume: bool = False, overwrite: bool = False) -> None:
        """``about`` says what will be recorded; a recording that is there already must be of the same kind.

        Raises:
            StoreError: the folder cannot be made, holds something else, or is damaged; it holds epochs and neither
                ``resume`` nor ``overwrite`` is said; another recorder holds it.
        """
        self.folder = part_folder(path, about.part, about.parts)
        self.manifest = about
        self.examples: tuple[Array, Array] | None = None
        self._ids: Array | None = None
        self._on_disk: bytes | None = None
        self._stats = empty_stats(0)
        self._under_way: State | None = None
        if about.parts is not None:
            refuse_held(path)
        if not overwrite:
            refuse_mixture(path, about.parts, about.folds is not None)
        make_folder(self.folder)
        try:
            self._hold = Hold(self.folder)
            try:
                self._begin(path, resume, overwrite)
            except BaseException:
                self._hold.release()
                unmake_part(path, self.folder)
                raise
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror or error}") from error

    @property
    def epochs(self) -> int:
        return self.manifest.recorded

    def close(self) -> None:
        """Let the next recorder in."""
        self._hold.release()

    def _begin(self, path: Path, resume: bool, overwrite: bool) -> None:
        if self.manifest.parts is not None:
            refuse_held(path)  # a single process may have come between our looking and our part
        if overwrite:
            clear_others(path, self.manifest.parts)
        refuse_mixture(path, self.manifest.parts, self.manifest.folds is not None)
        with locked(self.folder) as alone:
            there = (self.folder / NAME).exists()
            if overwrite:
                self._overwrite(there)
            elif there:
                self._resume(path, resume)
            elif self.manifest.parts is not None:
                refuse_lost_part(path, self.folder, resume)
            if alone and self._on_disk is not None:
                remove_unlisted(self.folder, self.manifest)
            elif alone:
                remove_temporary(self.folder)

    def _overwrite(self, there: bool) -> None:
        """Begin anew. A part keeps a manifest of no epochs, which says so: see ``parts`` for what that is good for."""
        part = self.manifest.part is not None
        if there and part and (found := read_manifest(self.folder)):
            again = bool(found.recorded) or found.overwrote is True
            self._write_manifest(self.manifest.model_copy(update={"overwrote": True if again else None}))
        elif part:
            self.manifest = self.manifest.model_copy(update={"overwrote": None})
        else:
            clear(self.folder)

    def _resume(self, path: Path, resume: bool) -> None:
        found, wanted = read_manifest(self.folder), self.manifest
        if not found.recorded:  # rewound, overwritten or never finished: whatever comes begins here
            self.manifest = wanted.model_copy(update={"overwrote": found.overwrote})
            self._on_disk = (self.folder / NAME).read_bytes()
            return
        if not resume:
            raise holds(self.folder, found)
        check_same_kind(self.folder, found, wanted)
        for entry in found.files:
            check_file(self.folder, entry)
        if found.epochs:
            check_half_precision(Layout.of(check_file(self.folder, found.epochs[-1], whole=True)), found)
        if found.stats is not None:
            self._stats = read_stats(self.folder, found)
        if found.ids_given or found.parts is None:
            self.examples = read_examples(self.folder, found)
            self._ids = self.examples[0]
        self._on_disk = (self.folder / NAME).read_bytes()
        # A join whose parts were removed goes on as the recording of a single process.
        self.manifest = found.model_copy(
            update={
                "allow_missing": found.allow_missing or wanted.allow_missing,
                "repeats": wanted.repeats if found.repeats == "refuse" else found.repeats,
                "joined": None,
            }
        )
        if found.parts is not None and found.folds is None:  # folds come one after the other, each to its own end
            # The others may have been killed an epoch earlier: all go on where the last one is. What is dropped goes
            # from the manifest before its file is written again, so that no listed file is ever half old.
            common = whole_epochs(path, found.parts)
            if common < len(found.epochs):
                update: dict[str, Any] = {"epochs": found.epochs[:common]}
                if common == 0:  # nothing of a recording that another part has overwritten is left here
                    update["overwrote"] = None
                self._write_manifest(self.manifest.model_copy(update=update))

    def say_of_parts(self, example_type: IdType | None) -> None:
        """Of what kind the ids of the examples are, whose parts are recorded; goes to disk with the next epoch."""
        if example_type != self.manifest.example_type:
            self.manifest = self.manifest.model_copy(update={"example_type": example_type})

    def append(
        self,
        columns: Mapping[str, Array],
        seen: int,
        ids: Array,
        labels: Array,
        *,
        new_labels: bool,
        allow_missing: bool,
        refused: int = 0,
    ) -> None:
        """Write one epoch; when this returns, it is on disk.

        Args:
            columns: of the epoch; at level stats they are added to the sums and not written.
            ids, labels: of all examples, in the order of the rows: those of before, and newcomers among them.
            new_labels: the labels differ from those that were written last.
            refused: how many examples were left out of it.

        Raises:
            StoreError: it could not be written, or another recorder wrote here. What was recorded before is kept.
                The epoch exists all the same when ``epochs`` has grown.
        """
        epoch = self.epochs
        try:
            with locked(self.folder):
                self._check_alone()
                self._append(columns, seen, ids, labels, new_labels, allow_missing, refused)
        except OSError as error:
            if self.epochs > epoch:
                raise StoreError(
                    f"epoch {epoch} is in {self.folder}, but was not flushed to the disk ({error.strerror or error}): "
                    "a power cut may lose it; recording goes on with the next epoch"
                ) from error
            kept = kept_before(self.epochs)
            raise StoreError(
                f"epoch {self.epochs} could not be written to {self.folder}: {error.strerror or error}. "
                f"{kept[0].upper()}{kept[1:]}; make room (or the folder writable) and call end_epoch() again"
            ) from error

    def _append(
        self,
        columns: Mapping[str, Array],
        seen: int,
        ids: Array,
        labels: Array,
        new_labels: bool,
        allow_missing: bool,
        refused: int,
    ) -> None:
        epoch, before = self.epochs, self.manifest
        listed = before.ids_given or before.part is None  # otherwise every epoch of a part brings its own ids
        update: dict[str, Any] = {
            "examples": len(ids) if listed else 0,
            "id_type": "string" if ids.dtype.kind == "U" else "int64",
            "allow_missing": before.allow_missing or allow_missing,
            "written_by": versions(),
        }
        entries, stats = before.epochs, self._stats
        known = self._ids if listed else None
        grown = known is not None and len(ids) > len(known)
        if listed and (grown or new_labels or before.examples_file is None):
            # Under a new name: the manifest lists the old file with its checksum until the new manifest is there.
            name = next_name(before.examples_name) if before.examples else EXAMPLES
            update["examples_file"] = write_examples(
                self.folder, ids, labels, file=name, targets=before.kind == "regression"
            )
        if known is not None and grown:
            entries, stats = with_newcomers(self.folder, entries, stats, known, ids)
        if before.level == "stats":
            stats = add_epoch(stats if len(stats) else empty_stats(len(ids)), columns, labels)
            entry = write_file(self.folder, f"stats/{epoch + 1:05d}.arrow", stats.columns)
            update["stats"] = StatsEntry(epochs=epoch + 1, **entry.model_dump())
        else:
            entry = write_columns(self.folder, f"epochs/{epoch:05d}.arrow", columns, seen)
            update["epochs"] = [*entries, entry.model_copy(update={"refused": refused})]
        self._write_manifest(before.model_copy(update=update), stats, ids if listed else None)
        kept = {file.file for file in self.manifest.files}
        remove_files(self.folder, [file for file in before.files if file.file not in kept])
        if before.examples_name != self.manifest.examples_name:
            remove_file(self.folder / before.examples_name)

    def rewind(self, epoch: int) -> None:
        """Drop the epochs from ``epoch`` on: from the manifest first, then their files.

        Raises:
            StoreError: running sums, which hold no epochs to go back to; or it could not be written.
        """
        self.settle()
        before = self.manifest
        if epoch == self.epochs:
            return
        if before.stats is not None:
            raise StoreError(
                f"{self.folder} has level 'stats', running sums over {self.epochs} epochs, from which none can be "
                f"taken back: rewind({self.epochs}) drops the epoch under way; for more, record with level='signals'"
            )
        try:
            with locked(self.folder):
                self._check_alone()
                left = before.model_copy(update={"epochs": before.epochs[:epoch]})
                if epoch or before.part is not None:
                    self._write_manifest(left)
                else:
                    self._remove_manifest(left.model_copy(update={"examples": 0}))
                remove_files(self.folder, before.epochs[epoch:])
        except OSError as error:
            raise StoreError(
                f"{self.folder} could not be taken back to epoch {epoch}: {error.strerror or error}; "
                f"it is at epoch {self.epochs}: make the folder writable and call rewind({epoch}) again"
            ) from error

    def settle(self) -> None:
        """Look whether a manifest that was being written when something broke off is in place, and go on from there."""
        if self._under_way is not None:
            content, manifest, stats, ids = self._under_way
            if self._there() == content:
                self._on_disk, self.manifest, self._stats, self._ids = content, manifest, stats, ids
            self._under_way = None

    def _write_manifest(self, manifest: Manifest, stats: Stats | None = None, ids: Array | None = None) -> None:
        now = manifest_bytes(manifest)
        self._under_way = now, manifest, self._stats if stats is None else stats, self._ids if ids is None else ids
        try:
            with write_atomically(self.folder / NAME) as handle:
                handle.write(now)
        finally:  # what failed or was interrupted behind the rename changes nothing about what is there
            self.settle()

    def _remove_manifest(self, manifest: Manifest) -> None:
        """No epoch is left: as before the first one was ended."""
        self._under_way = None, manifest, self._stats, None
        try:
            (self.folder / NAME).unlink()
            sync_folder(self.folder)
        finally:
            self.settle()

    def _there(self) -> bytes | None:
        """What the manifest holds; None where there is none to be read."""
        try:
            return (self.folder / NAME).read_bytes()
        except OSError:
            return None

    def _check_alone(self) -> None:
        """Nobody else has written here since this writer looked or wrote."""
        path = self.folder / NAME
        now = path.read_bytes() if path.exists() else None
        if now != self._on_disk:
            raise StoreError(
                f"{path} was {'removed' if now is None else 'changed'} by someone else since epoch {self.epochs} "
                "began; one folder has one recorder: nothing of this epoch was written"
            )


def kept_before(epochs: int) -> str:
    """For a message: what stays of a recording whose epoch ``epochs`` is lost."""
    if epochs < 2:
        return "the epoch before it is kept" if epochs else "nothing was kept"
    return f"the {epochs} epochs before it are kept"
