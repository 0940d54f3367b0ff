"""The manifest of a dynamics folder: what exists. An epoch that it does not list does not exist."""

from __future__ import annotations

import json
import platform
from pathlib import Path
from typing import Annotated, Any, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from trainmap.checksums import KEY, sealed, unsealed, without_checksum
from trainmap.dynamics.supervision import Kind, Per, Signal
from trainmap.errors import StoreError, cause, shown
from trainmap.files import as_json, parse_json, read_bytes, reading, write_atomically

FORMAT = "trainmap-dynamics"
VERSION = 3
NAME = "manifest.json"
EXAMPLES = "examples.parquet"

MOST_CLASSES = 1 << 24
"""A label of more is no class: one example's logits would take 64 MB."""

Count = Annotated[int, Field(ge=0, lt=1 << 62, strict=True)]
Source = Literal["train", "sweep", "held-out"]
SOURCES: dict[Source, str] = {
    "train": "the training step",
    "sweep": "an evaluation pass",
    "held-out": "networks that did not train on the examples",
}
"""Whose numbers are recorded. They are different quantities, and never mixed."""
Level = Literal["stats", "signals", "logits"]
Repeats = Literal["refuse", "first", "mean"]
Step = Literal["epoch", "steps"]
IdType = Literal["int64", "string"]


class FileEntry(BaseModel):
    """A file of the recording, relative to its folder, and how to tell a torn or damaged one from a whole one."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    file: str = Field(pattern=r"^(examples(-[0-9]+)?\.parquet|(epochs|stats)/[0-9]{5,}(-[0-9]+)?\.arrow)$")
    bytes: Count
    crc32: int = Field(ge=0, lt=1 << 32)


class EpochEntry(FileEntry):
    """One recorded epoch, how many examples were seen in it, and how many were refused and left out."""

    seen: Count
    refused: Count = 0


class StatsEntry(FileEntry):
    """The running sums over so many epochs."""

    epochs: int = Field(ge=1)


class Folds(BaseModel):
    """Of a recording out of fold: how many folds, and which division of the examples it is (``CrossFit.split``)."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    count: int = Field(ge=2)
    split: str = Field(pattern=r"^[0-9a-f]{64}$")


class Manifest(BaseModel):
    """The whole of ``manifest.json``; see the format in docs/format.md."""

    model_config = ConfigDict(extra="forbid", frozen=True, strict=True)
    format: Literal["trainmap-dynamics"] = FORMAT
    version: Literal[1, 2, 3] = VERSION
    examples: Count
    classes: Annotated[int, Field(ge=0, le=MOST_CLASSES, strict=True)]
    id_type: IdType
    source: Source
    level: Level
    part: Count | None = None
    parts: Count | None = None
    joined: str | None = None
    allow_missing: bool = False
    ids_given: bool = False
    repeats: Repeats = "refuse"
    overwrote: bool | None = False
    examples_file: FileEntry | None = None
    epochs: list[EpochEntry] = []
    stats: StatsEntry | None = None
    written_by: dict[str, str] = {}
    kind: Kind = "classes"
    signals: list[Signal] | None = None
    class_names: list[str | int] | None = None
    per: Per | None = None
    example_type: IdType | None = None
    step: Step = "epoch"
    every: Annotated[int, Field(ge=1, lt=1 << 62, strict=True)] | None = None
    folds: Folds | None = None

    @model_validator(mode="after")
    def _fits(self) -> Manifest:
        """What no recorder writes, a damaged or forged manifest may say."""
        if (self.part is None) != (self.parts is None) or (self.part or 0) not in range(self.parts or 1):
            raise ValueError(f"part {self.part} of {self.parts} cannot be")
        if (self.stats is not None and self.epochs) or (self.level == "stats" and self.epochs):
            raise ValueError("running sums and epochs are not kept together")
        if self.level != "stats" and self.stats is not None:
            raise ValueError("running sums are kept at level 'stats'")
        if self.folds is not None and (self.source != "held-out" or self.parts not in (None, self.folds.count)):
            raise ValueError(f"{self.folds.count} folds cannot be of source '{self.source}' in {self.parts} parts")
        if self.kind == "classes" and (self.classes < 2 or self.signals is not None):
            raise ValueError(f"{self.classes} classes cannot be, or signals beside those of classes")
        if self.kind != "classes" and (not self.signals or self.level != "signals" or self.per is not None):
            raise ValueError(f"a recording of {self.kind} must name its signals, and keep them alone")
        if len({signal.name for signal in self.signals or []}) < len(self.signals or []):
            raise ValueError("a signal is named twice")
        if self.class_names is not None and not 0 < len(set(self.class_names)) == len(self.class_names) == self.classes:
            raise ValueError(f"{self.classes} classes need as many distinct names")
        names = [entry.file for entry in self.files]
        places = ["epochs/"] * len(self.epochs) + ["stats/"] * (self.stats is not None)
        if len(set(names)) < len(names) or not all(map(str.startswith, names, places)):
            raise ValueError("each epoch must have a file of its own, in epochs/")
        if not self.examples_name.startswith("examples"):
            raise ValueError(f"the examples cannot be in {self.examples_name}")
        if self.part is None and any(entry.seen > self.examples for entry in self.epochs):
            raise ValueError(f"an epoch cannot have seen more than the {self.examples} examples")
        return self

    @property
    def recorded(self) -> int:
        """How many epochs exist."""
        return self.stats.epochs if self.stats is not None else len(self.epochs)

    @property
    def examples_name(self) -> str:
        """The file with the examples; 0.1 did not list it."""
        return EXAMPLES if self.examples_file is None else self.examples_file.file

    @property
    def files(self) -> list[FileEntry]:
        """Everything that must be there, apart from the examples."""
        return [*self.epochs, *([] if self.stats is None else [self.stats])]


def versions() -> dict[str, str]:
    """The libraries that wrote a folder, for whoever has to explain a difference later."""
    from trainmap import __version__

    return {"trainmap": __version__, "numpy": np.__version__, "python": platform.python_version()}


SINCE_3 = {name: Manifest.model_fields[name].default for name in (
    "kind", "signals", "class_names", "per", "example_type", "step", "every", "folds"
)}  # fmt: skip
"""Fields of version 3, and what a recording of version 2 means by leaving them out."""


def manifest_bytes(manifest: Manifest) -> bytes:
    """The file's content: indented JSON in UTF-8, with its own checksum. A recording that uses nothing of version 3 is
    written as version 2, byte for byte what trainmap 0.2 wrote; what goes on in one of 0.1 is 2."""
    told = manifest.model_dump(mode="json")
    if told["source"] != "held-out" and all(told[name] == default for name, default in SINCE_3.items()):
        told = {name: value for name, value in told.items() if name not in SINCE_3} | {"version": 2}
    else:
        told["version"] = VERSION
    return as_json(sealed(told))


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
    return parse_manifest(read_bytes(path, "manifest in JSON"), path)


def is_torn_join(folder: Path) -> bool:
    """Whether ``folder`` has a manifest that is damaged, and was that of a join as far as can be told.

    One that says to be of another program, of a newer format or of a single process is not.
    """
    try:
        content = (folder / NAME).read_bytes()
    except OSError:
        return False
    try:
        parse_manifest(content, folder / NAME)
        return False
    except StoreError:
        pass
    try:
        raw = json.loads(content)
    except ValueError:
        return b'"joined": null' not in content
    version = raw.get("version") if isinstance(raw, dict) and raw.get("format") == FORMAT else None
    return isinstance(version, int) and version <= VERSION and raw.get("joined") is not None


def parse_manifest(content: bytes, path: Path) -> Manifest:
    """The manifest that these bytes are; ``path`` names it in errors. See ``read_manifest``."""
    with reading(path, "manifest in JSON"):
        raw: Any = parse_json(content.decode("utf-8-sig"))
    if not isinstance(raw, dict) or raw.get("format") != FORMAT:
        raise StoreError(f"{path} was not written by trainmap: 'format' must be '{FORMAT}'")
    version = raw.get("version")
    if type(version) is not int or version > VERSION:
        raise StoreError(
            f"{path} has format version {shown(version)}, this trainmap reads up to {VERSION}: upgrade trainmap"
        )
    if version > 1 and KEY not in raw:
        raise StoreError(f"{path}: '{KEY}' is missing; restore it from a copy")
    try:
        found = Manifest.model_validate(without_checksum(raw))
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(map(str, first["loc"])) or "manifest"
        raise StoreError(
            f"{path}: {shown(where)} is wrong ({cause(ValueError(first['msg']))}, got {shown(first['input'])}); "
            "restore it from a copy"
        ) from error
    unsealed(raw, path)
    return found
