"""What is at a place before a verb writes there: its own kind is replaced, everything else is refused.

A rerun that writes the same kind of file again is normal work. A name that was mistyped, or completed to another file,
must cost nobody a recording, a map, a picture or a file that trainmap never wrote.
"""

from __future__ import annotations

import csv
import json
import zipfile
from collections.abc import Callable, Mapping
from pathlib import Path

from trainmap.errors import StoreError
from trainmap.files import reading

HEAD = 1 << 16  # bytes that say what a file is
LARGEST = 1 << 24  # bytes of a card or a schema


def replaceable(path: Path | None, kind: str) -> None:
    """Refuse a file that a verb would write over and that is of another kind than it writes; empty files are nobody's.

    Args:
        path: what an option named; None without the option.
        kind: a key of ``KINDS``.

    Raises:
        StoreError: says what the file is, where that is known.
    """
    if path is None or not path.exists():
        return
    if not path.is_file():
        raise StoreError(f"{path} is {'a folder' if path.is_dir() else 'not a file'}; name a file to write {kind} to")
    if not path.stat().st_size or _is(path, kind):
        return
    what = next((other for other in KINDS if _is(path, other)), "a file that this verb did not write")
    raise StoreError(f"{path} is {what}; {kind} would be written over it: choose another name, or remove it")


def _is(path: Path, kind: str) -> bool:
    try:
        with reading(path):
            return KINDS[kind](path)
    except StoreError:
        return False


def _head(path: Path) -> bytes:
    with open(path, "rb") as handle:
        return handle.read(HEAD)


def _columns(path: Path) -> list[str]:
    """The names of the columns of a Parquet or CSV file."""
    head = _head(path)
    if not head.startswith(b"PAR1"):
        return next(csv.reader(head.decode("utf-8", "replace").splitlines()[:1]), [])
    import pyarrow.parquet as pq

    return pq.read_schema(path).names


def _has(*names: str) -> Callable[[Path], bool]:
    return lambda path: set(names) <= set(_columns(path)) and not _map(path)


def _map(path: Path) -> bool:
    if not _head(path).startswith(b"PAR1"):
        return False
    import pyarrow.parquet as pq

    from trainmap.maps.table_file import METADATA

    schema = pq.read_schema(path)
    return METADATA in (schema.metadata or {}) and "region" in schema.names


def _scores(path: Path) -> bool:
    from trainmap.scores.table import SCORES

    names = _columns(path)
    return names[:2] == ["id", "label"] and set(names[2:]) <= SCORES.keys() and not _map(path)


def _json(path: Path) -> dict[str, object]:
    if path.stat().st_size > LARGEST:
        return {}
    found = json.loads(path.read_bytes())
    return found if isinstance(found, dict) else {}


def _picture(path: Path) -> bool:
    """Pictures name who made them: a PNG at its beginning, an SVG in its head, a PDF in its body."""
    head = _head(path)
    if head.startswith(b"%PDF"):
        return path.stat().st_size <= LARGEST and b"/Creator (trainmap)" in path.read_bytes()
    return b"Software\0trainmap" in head or (b"<svg" in head and b"<dc:title>trainmap</dc:title>" in head)


KINDS: Mapping[str, Callable[[Path], bool]] = {
    "a map": _map,
    "scores": _scores,
    "an audit": _has("id", "label", "suspicion", "suspected"),
    "a table of flips": _has("id", "label", "before", "after", "kind"),
    "the truth of synthetic data": _has("id", "part", "kind", "group", "posterior"),
    "a selection": lambda path: _json(path).get("format") == "trainmap-selection",
    "a picture of trainmap": _picture,
    "an explorer's page": lambda path: b'<meta name="generator" content="trainmap">' in _head(path),
    "a report of a recording": lambda path: b'<meta name="generator" content="trainmap report">' in _head(path),
    "the schema of experiments": lambda path: _json(path).get("title") == "ExperimentFile",
    "a recording as the study has it": lambda path: (
        _head(path).startswith(b'{\n"') and b'"gold_label_probs": [' in _head(path)
    ),
    "pred_probs": lambda path: zipfile.ZipFile(path).namelist() == ["ids.npy", "labels.npy", "pred_probs.npy"],
    "a long table": lambda path: _columns(path)[:3] == ["epoch", "id", "label"],
    "sample fields for FiftyOne": lambda path: _head(path).startswith(b'{"key_field": "trainmap_id"'),
    "a table for Spotlight": _has("id", "label", "region"),
    "td_metrics.jsonl": lambda path: False,  # the reference code writes the same: nothing is written over
}
