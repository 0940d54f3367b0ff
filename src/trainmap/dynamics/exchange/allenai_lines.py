"""The lines of one epoch's file of allenai/cartography: read fast, and slowly again to name the line of a mistake."""

from __future__ import annotations

import codecs
import itertools
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

import pyarrow as pa
from pyarrow import json as arrow_json

from trainmap.dynamics.logit_precision import LIMIT
from trainmap.errors import StoreError, cause, shown, some
from trainmap.files import JSON_MEMORY, as_written, parse_json, reading
from trainmap.limits import memory_allowed

FOLDER = "training_dynamics"
ORDER = "order"  # a column of examples.parquet: the order in which guids first came
WHAT = "file of one epoch"
_NO_OBJECT = re.compile(rb"\n[ \t\r]*[^{ \t\r\n]")


@dataclass(frozen=True)
class Shape:
    """What the first line says of all of them."""

    strings: bool
    classes: int
    block_bytes: int
    ignore_fields: bool


@dataclass(frozen=True)
class Lines:
    """One epoch's file."""

    file: Path
    epoch: int
    shape: Shape

    def fail(self, line: int, what: str) -> NoReturn:
        raise StoreError(f"{self.file} line {line}: {what}")

    def parsed(self) -> Iterator[tuple[int, Any]]:
        """Slowly, (line number, value) of every line that is not blank; only to name the line of a mistake."""
        longest = memory_allowed() // JSON_MEMORY
        with reading(self.file, WHAT), open(self.file, encoding="utf-8-sig") as handle:
            for line in itertools.count(1):
                text = handle.readline(longest + 1)
                if not text:
                    return
                if len(text) > longest:
                    self.fail(line, f"must have at most {longest:,} characters, for which there is memory")
                if text.strip():
                    try:
                        yield line, parse_json(text)
                    except json.JSONDecodeError as error:
                        torn = "" if text.endswith("\n") else "; is the file torn?"
                        self.fail(line, f"must be one JSON object ({error.msg} at column {error.colno}){torn}")
                    except (ValueError, RecursionError) as error:
                        self.fail(line, f"must be one JSON object ({cause(error)})")

    def lines_of(self, guid: int | str) -> list[int]:
        """The lines on which a guid stands."""
        return [line for line, record in self.parsed() if record["guid"] == guid]

    def batches(self, *fields: str) -> Iterator[pa.RecordBatch]:
        """The file's lines as record batches of some of the fields, checked to be whole."""
        types = {
            "guid": pa.string() if self.shape.strings else pa.int64(),
            f"logits_epoch_{self.epoch}": pa.list_(pa.float64()),
            "gold": pa.int64(),
        }
        asked = pa.schema([(name, kind) for name, kind in types.items() if name in fields or not fields])
        extra = "ignore" if fields or self.shape.ignore_fields else "error"
        self._check_objects()
        try:
            with arrow_json.open_json(
                str(self.file),
                read_options=arrow_json.ReadOptions(block_size=self.shape.block_bytes),
                parse_options=arrow_json.ParseOptions(explicit_schema=asked, unexpected_field_behavior=extra),
            ) as reader:
                for batch in reader:
                    if not batch.num_rows:
                        continue
                    if any(column.null_count for column in batch.columns):
                        self.find_mistake("a field is missing or null")
                    batch.validate(full=True)
                    yield batch
        except pa.ArrowInvalid as error:
            self.find_mistake(cause(error))
        except OSError as error:
            raise StoreError(f"{self.file} cannot be read: {cause(error)}") from error

    def _check_objects(self) -> None:
        """Every line begins as an object does. pyarrow's parser ends the process at a line that is null."""
        with reading(self.file, WHAT), open(self.file, "rb") as handle:
            if handle.read(len(codecs.BOM_UTF8)) != codecs.BOM_UTF8:
                handle.seek(0)
            before = b"\n"
            while chunk := handle.read(1 << 20):
                text = before + chunk
                if _NO_OBJECT.search(text):
                    self.find_mistake("a line is no JSON object")
                before = b"\n" if not text[text.rfind(b"\n") :].strip() else b""

    def find_mistake(self, otherwise: str) -> NoReturn:
        """Name the first line that is not as it must be."""
        logits_key = f"logits_epoch_{self.epoch}"
        fields = {"guid", logits_key, "gold"}
        for line, record in self.parsed():
            if not isinstance(record, dict):
                self.fail(line, f"must be a JSON object, got {type(record).__name__}")
            if lacking := sorted(fields - set(record)):
                self.fail(line, f"field '{lacking[0]}' is missing; it has {some(record, 9)}")
            if not self.shape.ignore_fields and (extra := sorted(set(record) - fields)):
                self.fail(line, f"field '{extra[0]}' has no place in dynamics; pass ignore_fields=True to leave it out")
            guid, gold, logits = record["guid"], record["gold"], record[logits_key]
            if isinstance(guid, float):
                self.fail(line, float_guid(guid))
            if not is_guid(guid) or isinstance(guid, str) != self.shape.strings:
                kind = "strings" if self.shape.strings else "integers"
                self.fail(line, f"guid must be like the first ones, which are {kind}, got {as_written(guid)}")
            if isinstance(guid, str) and (guid.endswith("\0") or _has_surrogate(guid)):
                self.fail(line, f"guid {shown(guid)} ends in NUL or is not Unicode text; rename it at its source")
            if isinstance(guid, int) and not -(2**63) <= guid < 2**63:
                self.fail(line, f"guid must fit in 64 bits, got {shown(guid)}; write it as a string")
            if type(gold) is not int or not 0 <= gold < self.shape.classes:
                self.fail(
                    line, f"gold must be 0 to {self.shape.classes - 1}, got {as_written(gold)} (guid {shown(guid)})"
                )
            if not isinstance(logits, list) or len(logits) != self.shape.classes:
                got = f"{len(logits)} values" if isinstance(logits, list) else as_written(logits)
                self.fail(line, f"{logits_key} must be {self.shape.classes} numbers, got {got} (guid {shown(guid)})")
            for place, value in enumerate(logits):
                self._check_logit(line, logits_key, guid, value, place == gold)
        raise StoreError(f"{self.file}: {otherwise}")

    def _check_logit(self, line: int, key: str, guid: int | str, value: Any, gold: bool) -> None:
        if type(value) in (int, float) and abs(value) <= LIMIT:
            return
        who = f"(guid {shown(guid)})"
        if type(value) is not float or not value <= LEAST_FLOAT32:
            what = (
                f"must be finite numbers within ±{LIMIT:g}, got {json.dumps(value)} {who}; has the training diverged?"
            )
        elif gold:
            what = f"masks the gold class {who}, whose probability would be 0; unmask it or leave the line out"
        else:
            return  # a masked class, as the least float32 or as Python's -Infinity
        self.fail(line, f"{key} {what}")


LEAST_FLOAT32 = -3.4028234663852886e38


def float_guid(guid: float) -> str:
    """What to do with a guid that is no name."""
    name = f"{guid:.0f}" if guid.is_integer() else f'"{guid}"'
    return f"guid must be an integer or a string, got {guid}; an id is a name: write {name}"


def is_guid(value: Any) -> bool:
    return isinstance(value, int | str) and not isinstance(value, bool)


def _has_surrogate(text: str) -> bool:
    return any(0xD800 <= ord(character) < 0xE000 for character in text)
