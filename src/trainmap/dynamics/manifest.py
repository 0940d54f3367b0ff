"""The manifest of a dynamics folder: what exists. An epoch that it does not list does not exist."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from trainmap.errors import StoreError
from trainmap.files import write_atomically

FORMAT = "trainmap-dynamics"
VERSION = 1
NAME = "manifest.json"

Source = Literal["train", "sweep"]
Level = Literal["stats", "signals", "logits"]
Repeats = Literal["refuse", "first", "mean"]


class FileEntry(BaseModel):
    """A file of the recording, relative to its folder, and how to tell a torn or damaged one from a whole one."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    file: str = Field(pattern=r"^(epochs|stats)/\d{5,}(-\d+)?\.arrow$")
    bytes: int
    crc32: int


class EpochEntry(FileEntry):
    """One recorded epoch, how many examples were seen in it, and how many were refused and left out."""

    seen: int
    refused: int = 0


class StatsEntry(FileEntry):
    """The running sums over so many epochs."""

    epochs: int


class Manifest(BaseModel):
    """The whole of ``manifest.json``; see the format in docs/format.md."""

    model_config = ConfigDict(extra="forbid", frozen=True)
    format: Literal["trainmap-dynamics"] = FORMAT
    version: Literal[1] = VERSION
    examples: int
    classes: int
    id_type: Literal["int64", "string"]
    source: Source
    level: Level
    part: int | None = None
    parts: int | None = None
    joined: str | None = None
    allow_missing: bool = False
    ids_given: bool = False
    repeats: Repeats = "refuse"
    overwrote: bool | None = False
    examples_file: str = Field(default="examples.parquet", pattern=r"^examples(-\d+)?\.parquet$")
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
    try:
        raw: Any = json.loads(path.read_bytes())
    except FileNotFoundError as error:
        raise StoreError(
            f"{folder} is not a dynamics folder: it has no {NAME} (was an epoch ever finished?)"
        ) from error
    except NotADirectoryError as error:
        raise StoreError(f"{folder} is a file; a dynamics folder is needed") from error
    except OSError as error:
        raise StoreError(f"{path} cannot be read: {error.strerror or error}") from error
    except (UnicodeDecodeError, json.JSONDecodeError) as error:
        raise StoreError(f"{path} is not JSON ({error}); restore it from a copy") from error
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise StoreError(f"{path} was not written by trainmap: 'format' must be '{FORMAT}'")
    version = raw.get("version")
    if type(version) is not int or version > VERSION:
        raise StoreError(f"{path} has format version {version}, this trainmap reads up to {VERSION}: upgrade trainmap")
    try:
        return Manifest.model_validate(raw)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"]))
        raise StoreError(f"{path}: '{where}' is wrong ({first['msg']}); restore it from a copy") from error
