"""The manifest of a dynamics folder: what exists. An epoch that it does not list does not exist."""

from __future__ import annotations

import platform
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainmap.errors import StoreError, short, shown
from trainmap.files import read_json, reading, write_atomically

FORMAT = "trainmap-dynamics"
VERSION = 1
NAME = "manifest.json"

MOST_CLASSES = 1 << 24
"""A label of more is no class: one example's logits would take 64 MB."""

Count = Annotated[int, Field(ge=0, lt=1 << 62, strict=True)]
Source = Literal["train", "sweep"]
Level = Literal["stats", "signals", "logits"]


class FileEntry(BaseModel):
    """A file of the recording, relative to its folder, and how to tell a torn or damaged one from a whole one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: str = Field(pattern=r"^(epochs|stats)/\d{5,}\.arrow$")
    bytes: Count
    crc32: Count


class EpochEntry(FileEntry):
    """One recorded epoch, and how many examples were seen in it."""

    seen: Count


class StatsEntry(FileEntry):
    """The running sums over so many epochs."""

    epochs: Count


class Manifest(BaseModel):
    """The whole of ``manifest.json``; see the format in docs/format.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["trainmap-dynamics"] = FORMAT
    version: Literal[1] = VERSION
    examples: Count
    classes: Annotated[int, Field(ge=2, le=MOST_CLASSES, strict=True)]
    id_type: Literal["int64", "string"]
    source: Source
    level: Level
    part: Count | None = None
    parts: Count | None = None
    joined: str | None = None
    allow_missing: bool = False
    ids_given: bool = False
    epochs: list[EpochEntry] = []
    stats: StatsEntry | None = None
    written_by: dict[str, str] = {}

    @property
    def recorded(self) -> int:
        """How many epochs exist."""
        return self.stats.epochs if self.stats is not None else len(self.epochs)

    @property
    def files(self) -> list[FileEntry]:
        """Everything that must be there, apart from the examples."""
        return [*self.epochs, *([] if self.stats is None else [self.stats])]


def versions() -> dict[str, str]:
    """The libraries that wrote a folder, for whoever has to explain a difference later."""
    from trainmap import __version__

    return {"trainmap": __version__, "numpy": np.__version__, "python": platform.python_version()}


def manifest_bytes(manifest: Manifest) -> bytes:
    """The file's content: indented JSON in UTF-8."""
    return manifest.model_dump_json(indent=2).encode() + b"\n"


def write_manifest(folder: Path, manifest: Manifest) -> None:
    """Replace the manifest in one step; from then on its epochs exist."""
    with write_atomically(folder / NAME) as handle:
        handle.write(manifest_bytes(manifest))


def read_manifest(folder: Path) -> Manifest:
    """Read and check ``folder/manifest.json``.

    Raises:
        StoreError: no manifest, not JSON, another program's folder, a newer format, a field missing or unknown.
    """
    path = folder / NAME
    with reading(folder, "folder of dynamics"):
        if folder.exists() and not folder.is_dir():
            raise StoreError(f"{folder} is a file; a dynamics folder is needed")
        if not path.exists():
            raise StoreError(f"{folder} is not a dynamics folder: it has no {NAME} (was an epoch ever finished?)")
    raw: Any = read_json(path, "manifest in JSON")
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise StoreError(f"{path} was not written by trainmap: 'format' must be '{FORMAT}'")
    version = raw.get("version")
    if type(version) is not int or version > VERSION:
        raise StoreError(
            f"{path} has format version {short(str(version))}, this trainmap reads up to {VERSION}: upgrade trainmap"
        )
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(
            f"{path}: {shown(where)} is wrong ({first['msg']}, got {shown(first['input'])}); restore it from a copy"
        ) from error
