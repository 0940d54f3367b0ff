"""How a writer comes into a folder: into a new one, into its part of one, or back into a recording of the same kind."""

from __future__ import annotations

from contextlib import suppress
from pathlib import Path

import numpy as np

from trainmap.dynamics.clearing import is_own
from trainmap.dynamics.columns import Layout
from trainmap.dynamics.manifest import NAME, Manifest, read_manifest
from trainmap.dynamics.processes import PARTS, holds
from trainmap.errors import StoreError, some


def check_same_kind(folder: Path, found: Manifest, wanted: Manifest) -> None:
    """Whether a recording that is to be gone on with is of the kind that is recorded now.

    Raises:
        StoreError: it differs in what is never mixed, or came from another tool.
    """
    wanted = wanted.model_copy(update={"example_type": found.example_type})
    for name in (
        "kind",
        "classes",
        "class_names",
        "source",
        "level",
        "signals",
        "per",
        "step",
        "every",
        "part",
        "parts",
    ):
        if getattr(found, name) != getattr(wanted, name):
            raise StoreError(
                f"{folder} was recorded with {name}={getattr(found, name)!r}, got {getattr(wanted, name)!r}; "
                "two kinds of recording are never mixed: use another folder, or overwrite=True"
            )
    if found.folds != wanted.folds:
        raise StoreError(
            f"{folder} was recorded by another division into folds (other examples, folds or seed): go on with the "
            "CrossFit of before, or use another folder, or overwrite=True"
        )
    if {found.repeats, wanted.repeats} == {"first", "mean"}:
        raise StoreError(
            f"{folder} was recorded with repeats={found.repeats!r}, got {wanted.repeats!r}; two kinds of "
            "recording are never mixed: use another folder, or overwrite=True"
        )
    if found.parts is not None and found.ids_given != wanted.ids_given:
        raise StoreError(
            f"{folder} was recorded {'with' if found.ids_given else 'without'} ids=, "
            f"now it is {'with' if wanted.ids_given else 'without'}; do as before, or use another folder"
        )
    if origin := found.written_by.get("imported_from"):
        raise StoreError(
            f"{folder} was imported from {origin}; what is recorded now is something else: use another "
            "folder, or overwrite=True"
        )


def check_half_precision(layout: Layout, manifest: Manifest) -> None:
    """A recorder keeps logits in half precision; an imported recording may hold them otherwise."""
    if "logits" in layout.places and layout.places["logits"][1:] != (np.dtype(np.float16), manifest.classes):
        raise StoreError(
            f"{layout.path} has {layout.places['logits'][1]} logits, a recorder writes float16: it was imported from "
            "another tool; record into another folder"
        )


def refuse_lost_part(path: Path, part: Path, resume: bool) -> None:
    """A part without epochs beside a join of several: it was lost, or the recording is another one's."""
    if (path / NAME).exists() and (joined := read_manifest(path)).recorded:
        if not resume:
            raise holds(path, joined)
        raise StoreError(
            f"{part} is lost, and {path} holds the join of it: copy every process's part into {path / PARTS}"
        )


def make_folder(folder: Path) -> None:
    try:
        folder.mkdir(parents=True, exist_ok=True)
        names = sorted(item.name for item in folder.iterdir())
    except (FileExistsError, NotADirectoryError) as error:
        raise StoreError(f"{error.filename or folder} is a file; a recording needs a folder") from error
    except OSError as error:
        raise StoreError(f"{folder} cannot be made: {error.strerror}; choose a folder that you may write") from error
    foreign = [name for name in names if not is_own(name) and not name.endswith(".tmp")]
    if foreign and NAME not in names:
        raise StoreError(f"{folder} holds other files ({some(foreign)}); a recording needs a folder of its own")


def unmake_part(path: Path, folder: Path) -> None:
    """A refused process leaves no empty part: the recording of a single one would be taken for one of several."""
    if folder != path:
        with suppress(OSError):
            folder.rmdir()
            (path / PARTS).rmdir()
