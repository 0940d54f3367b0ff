"""The folder of a recording as its one writer sees it: what is in it, and how one epoch more gets there for good.

Order of writing: examples, then the epoch, then the manifest, each a temporary file that is flushed to disk and
renamed. A kill between two of them leaves files that the manifest does not list, and these do not exist.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.columns import Layout, check_file, write_columns, write_file
from trainmap.dynamics.manifest import (
    NAME,
    Manifest,
    StatsEntry,
    manifest_bytes,
    read_manifest,
    versions,
    write_manifest,
)
from trainmap.dynamics.processes import locked, part_folder, refuse_mixture, whole_epochs
from trainmap.dynamics.stats import add_epoch, empty_stats
from trainmap.dynamics.store import EXAMPLES, read_examples, read_stats, write_examples
from trainmap.errors import StoreError, some
from trainmap.temporary import is_temporary

Array = NDArray[Any]


class Writer:
    """Writes a recording into ``path``, or into its part of it.

    Attributes:
        folder: where the files are.
        manifest: what is recorded by now; ``examples`` is 0 before the first epoch.
        examples: (ids, labels) of the recording that is there already, or None.
    """

    def __init__(self, path: Path, about: Manifest) -> None:
        """``about`` says what will be recorded; a recording that is there already must be of the same kind.

        Raises:
            StoreError: the folder cannot be made, holds something else, or is damaged.
        """
        self.folder = part_folder(path, about.part, about.parts)
        self.manifest = about
        self.examples: tuple[Array, Array] | None = None
        self._on_disk: bytes | None = None
        self._stats = empty_stats(0)
        refuse_mixture(path, about.parts)
        _make_folder(self.folder)
        try:
            with locked(self.folder) as alone:
                if (self.folder / NAME).exists():
                    self._resume(path)
                if alone:
                    self._remove_leftovers()
        except OSError as error:
            raise StoreError(f"{self.folder} cannot be written: {error.strerror or error}") from error

    @property
    def epochs(self) -> int:
        return self.manifest.recorded

    def _resume(self, path: Path) -> None:
        found, wanted = read_manifest(self.folder), self.manifest
        for name in ("classes", "source", "level", "part", "parts"):
            if getattr(found, name) != getattr(wanted, name):
                raise StoreError(
                    f"{self.folder} was recorded with {name}={getattr(found, name)!r}, got {getattr(wanted, name)!r}; "
                    "two kinds of recording are never mixed: use another folder"
                )
        if found.parts is not None and found.ids_given != wanted.ids_given:
            raise StoreError(
                f"{self.folder} was recorded {'with' if found.ids_given else 'without'} ids=, "
                f"now it is {'with' if wanted.ids_given else 'without'}; do as before, or use another folder"
            )
        if origin := found.written_by.get("imported_from"):
            raise StoreError(
                f"{self.folder} was imported from {origin}; what is recorded now is something else: use another folder"
            )
        for entry in found.files:
            check_file(self.folder, entry)
        if found.epochs:
            _check_columns(Layout.of(check_file(self.folder, found.epochs[-1], whole=True)), found)
        if found.stats is not None:
            self._stats = read_stats(self.folder, found)
        if found.ids_given or found.parts is None:
            self.examples = read_examples(self.folder, found)
        self._on_disk = (self.folder / NAME).read_bytes()
        # A join whose parts were removed goes on as the recording of a single process.
        allowed = found.allow_missing or wanted.allow_missing
        self.manifest = found.model_copy(update={"allow_missing": allowed, "joined": None})
        if found.parts is not None:
            # The others may have been killed an epoch earlier: all go on where the last one is. What is dropped goes
            # from the manifest before its file is written again, so that no listed file is ever half old.
            common = whole_epochs(path, found.parts)
            if common < len(found.epochs):
                self._write_manifest(self.manifest.model_copy(update={"epochs": found.epochs[:common]}))

    def append(
        self,
        columns: Mapping[str, Array],
        seen: int,
        ids: Array,
        labels: Array,
        *,
        new_labels: bool,
        allow_missing: bool,
    ) -> None:
        """Write one epoch; when this returns, it is on disk.

        Args:
            columns: of the epoch; at level stats they are added to the sums and not written.
            ids, labels: of all examples, in the order of the rows.
            new_labels: the labels differ from those that were written last.

        Raises:
            StoreError: it could not be written, or another recorder wrote here. What was recorded before is kept.
                The epoch exists all the same when ``epochs`` has grown.
        """
        epoch = self.epochs
        try:
            with locked(self.folder):
                self._check_alone()
                self._append(columns, seen, ids, labels, new_labels, allow_missing)
        except OSError as error:
            if self.epochs > epoch:
                raise StoreError(
                    f"epoch {epoch} is in {self.folder}, but was not flushed to the disk ({error.strerror or error}): "
                    "a power cut may lose it; recording goes on with the next epoch"
                ) from error
            before = f"The {self.epochs} epochs before it are kept" if self.epochs else "Nothing was kept"
            raise StoreError(
                f"epoch {self.epochs} could not be written to {self.folder}: {error.strerror or error}. {before}; make "
                "room (or the folder writable) and call end_epoch() again"
            ) from error

    def _append(
        self, columns: Mapping[str, Array], seen: int, ids: Array, labels: Array, new_labels: bool, allow_missing: bool
    ) -> None:
        epoch, part = self.epochs, self.manifest.part is not None
        listed = self.manifest.ids_given or not part  # otherwise every epoch of a part brings its own ids
        examples = self.manifest.examples_file
        if listed and (new_labels or self.manifest.examples == 0 or examples is None):
            examples = write_examples(self.folder, ids, labels)
        update: dict[str, Any] = {
            "examples_file": examples,
            "examples": len(ids) if listed else 0,
            "id_type": "string" if ids.dtype.kind == "U" else "int64",
            "allow_missing": self.manifest.allow_missing or allow_missing,
            "written_by": versions(),
        }
        stats = self._stats
        if self.manifest.level == "stats":
            stats = add_epoch(stats if len(stats) else empty_stats(len(ids)), columns, labels)
            entry = write_file(self.folder, f"stats/{epoch + 1:05d}.arrow", stats.columns)
            update["stats"] = StatsEntry(epochs=epoch + 1, **entry.model_dump())
        else:
            entry = write_columns(self.folder, f"epochs/{epoch:05d}.arrow", columns, seen)
            update["epochs"] = [*self.manifest.epochs, entry]
        before = self.manifest.stats
        try:
            self._write_manifest(self.manifest.model_copy(update=update))
        finally:
            if self.epochs > epoch:
                self._stats = stats
        if before is not None:
            _remove(self.folder / before.file)

    def _write_manifest(self, manifest: Manifest) -> None:
        content = manifest_bytes(manifest)
        try:
            write_manifest(self.folder, manifest)
        finally:  # what failed or was interrupted behind the rename changes nothing about what is there
            if self._there() == content:
                self._on_disk, self.manifest = content, manifest

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

    def _remove_leftovers(self) -> None:
        """What a kill left half done, and sums that a later file holds. They take room and do no harm.

        Only while nobody else can be writing: what looks left over may be about to be listed.
        """
        listed = {entry.file for entry in self.manifest.files}
        for item in [*self.folder.glob(".*.tmp"), *self.folder.glob("*/.*.tmp"), *self.folder.glob("stats/*.arrow")]:
            ours = item.suffix == ".arrow" or is_temporary(item.name)
            if ours and item.relative_to(self.folder).as_posix() not in listed:
                _remove(item)


def _remove(file: Path) -> None:
    with suppress(OSError):  # somebody has it open, on Windows
        file.unlink()


def _check_columns(layout: Layout, manifest: Manifest) -> None:
    """A recorder keeps logits in half precision; an imported recording may hold them otherwise."""
    if "logits" in layout.places and layout.places["logits"][1:] != (np.dtype(np.float16), manifest.classes):
        raise StoreError(
            f"{layout.path} has {layout.places['logits'][1]} logits, a recorder writes float16: it was imported from "
            "another tool; record into another folder"
        )


def _make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(item.name for item in folder.iterdir())
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(f"{error.filename or folder} is a file; a recording needs a folder") from error
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}; choose a folder that you may write") from error
    ours = (NAME, EXAMPLES, "epochs", "stats", "parts")
    foreign = [name for name in names if name not in ours and not name.endswith(".tmp")]
    if foreign and NAME not in names:
        raise StoreError(f"{folder} holds other files ({some(foreign)}); a recording needs a folder of its own")
