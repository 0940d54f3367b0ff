"""Which of several processes this is, and where it records: each one writes its part, a single one the whole."""

from __future__ import annotations

import os
import re
import sys
from collections.abc import Sequence
from pathlib import Path

from trainmap.dynamics.manifest import NAME, Manifest, is_torn_join, read_manifest
from trainmap.errors import RecordingError, StoreError, shown, some, whole
from trainmap.files import is_dir

PARTS = "parts"


def rank_and_world(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """(rank, world size): as given, else as torch.distributed says, else as torchrun's environment says."""
    if rank is None and world_size is None:
        distributed = sys.modules.get("torch.distributed")
        if distributed is not None and distributed.is_available() and distributed.is_initialized():
            return distributed.get_rank(), distributed.get_world_size()
        rank, world_size = _environment()
    if rank is None or world_size is None:
        raise RecordingError("rank and world_size go together; pass both or neither")
    for value, name in ((rank, "rank"), (world_size, "world_size")):
        if type(value).__name__ in ("Tensor", "ndarray"):
            raise RecordingError(f"{name} must be a whole number, got {shown(value)}; pass int({name})")
    rank, world_size = whole(rank, "rank"), whole(world_size, "world_size", 1)
    if rank >= world_size:
        raise RecordingError(f"rank must be 0 to world_size - 1, got {rank} of {world_size}")
    return rank, world_size


def _environment() -> tuple[int, int]:
    rank, world_size = os.environ.get("RANK"), os.environ.get("WORLD_SIZE")
    if rank is None and world_size in (None, "1"):
        return 0, 1
    try:
        return int(rank or ""), int(world_size or "")
    except ValueError:
        raise RecordingError(
            f"the environment must set RANK and WORLD_SIZE to whole numbers, or neither; got {rank!r} and "
            f"{world_size!r}: correct it, or pass rank= and world_size="
        ) from None


def part_folder(path: Path, rank: int | None, world_size: int | None) -> Path:
    """Where one of several processes writes; the folder itself for a single one (None)."""
    return path if rank is None or world_size is None else path / PARTS / f"{rank:04d}-of-{world_size:04d}"


def has_parts(folder: Path) -> bool:
    """Whether several processes recorded into ``folder``."""
    return is_dir(folder / PARTS)


def refuse_mixture(path: Path, world_size: int | None, folds: bool = False) -> None:
    """A folder holds the recording of one process (``world_size`` None), or the parts of so many processes (or
    ``folds``), never both."""
    parts = "folds" if folds else "processes"
    if world_size is None:
        if has_parts(path):
            raise StoreError(
                f"{path} holds the parts of several processes or folds; a single recorder needs another folder"
            )
        return
    found = worlds(path / PARTS)
    torn = bool(found) and is_torn_join(path)  # it is made again from the parts
    if (path / NAME).exists() and not torn and (not found or read_manifest(path).joined is None):
        what = "a join whose parts are gone" if read_manifest(path).joined else "the recording of a single process"
        raise StoreError(f"{path} holds {what}; {world_size} {parts} need another folder")
    others = sorted(found - {world_size})
    if others:
        raise StoreError(
            f"{path} holds the parts of {some(others)} {parts}, this is one of {world_size}; go on with as many as "
            "before, or use another folder"
        )


def holds(folder: Path, manifest: Manifest) -> StoreError:
    """The refusal to record where something is recorded already, with both cures."""
    number = f"{manifest.recorded} epoch{'s' * (manifest.recorded != 1)}"
    origin = manifest.written_by.get("imported_from")
    cure = (
        f"an import cannot go on (resume=True): say overwrite=True to remove the {number} and begin anew"
        if origin
        else f"say resume=True to go on at epoch {manifest.recorded} (restore the model of that moment first, or "
        f"rewind the recorder to where it is), or overwrite=True to remove the {number} and begin anew"
    )
    return StoreError(f"{folder} holds {number}{f' imported from {shown(origin)}' if origin else ''} already; {cure}")


def whole_epochs(path: Path, world_size: int) -> int:
    """How many epochs every part has.

    Raises:
        StoreError: a part is not there, so that nobody can know.
    """
    folders = [part_folder(path, rank, world_size) for rank in range(world_size)]
    refuse_lost(path, folders)
    return min(len(read_manifest(folder).epochs) if (folder / NAME).exists() else 0 for folder in folders)


def refuse_lost(path: Path, folders: Sequence[Path]) -> None:
    lost = [rank for rank, folder in enumerate(folders) if not folder.is_dir()]
    if lost:
        raise StoreError(
            f"{path}: {len(lost)} of {len(folders)} parts are lost (rank {some(lost)}); copy every process's part into "
            f"{path / PARTS}"
        )


def worlds(folder: Path) -> set[int]:
    """Of how many processes there are parts."""
    names = [item.name for item in folder.iterdir()] if folder.is_dir() else []
    return {int(name[-4:]) for name in names if re.fullmatch(r"\d{4}-of-\d{4}", name)}
