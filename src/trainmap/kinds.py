"""A recording, a map or a selection where another of them is needed, as a value or as a path, and what to do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from trainmap.errors import StoreError, TrainmapError, shown
from trainmap.files import is_dir, is_file

VALUES = {
    "Dynamics": ("a recording", "open it first: Dynamics.open(path)"),
    "DataMap": ("a map", "make one, DataMap.from_dynamics(dynamics), or open one, DataMap.open(path)"),
    "Flips": ("a plan of flipped labels", "plan_flips(labels) makes it, Flips.open(path) opens it"),
    "Selection": ("a selection", "choose one, select(datamap, '33% ambiguous'), or open one, Selection.open(path)"),
}
FILES = {
    "recording": "a dynamics folder is needed, as a Recorder writes it",
    "map": "a map is needed, a .parquet file; make it first: trainmap map {recording} --out map.parquet",
    "selection": "that is not a card, a .json file; choose first: trainmap select MAP '33% ambiguous' --out card.json",
}
DATA = (".csv", ".tsv", ".txt", ".jsonl", ".npz", ".npy", ".xlsx")  # no map, whoever renamed it


def check_kind(value: object, *kinds: type) -> None:
    """Refuse a value that is none of these kinds of ours.

    Raises:
        TrainmapError: names what is needed, what came, and how to get what is needed.
    """
    if not isinstance(value, kinds):
        what = " or ".join(VALUES[kind.__name__][0] for kind in kinds)
        cure = ", or ".join(VALUES[kind.__name__][1] for kind in kinds)
        plain = value is None or isinstance(value, str | int | float | Path)
        raise TrainmapError(f"{what} is needed, got {shown(value) if plain else f'a {type(value).__name__}'}; {cure}")


def check_path(path: Any, wanted: str) -> None:
    """Refuse a path at which something of another kind lies than the one ``wanted``, a key of ``FILES``.

    Raises:
        TrainmapError: no path at all.
        StoreError: names what is there and what to do. Where nothing lies, or what may be right, the reader decides.
    """
    there, found = as_path(path), "a file"
    if is_dir(there):
        recorded = any((there / name).exists() for name in ("manifest.json", "parts"))
        found, wrong = "a recording" if recorded else "a folder", wanted != "recording"
    else:
        others = {"recording": (there.suffix,), "map": (".json", *DATA), "selection": (".parquet", *DATA)}
        wrong = is_file(there) and there.suffix in others[wanted]
    if wrong:
        need = FILES[wanted].format(recording=path if found == "a recording" else "DYNAMICS")
        raise StoreError(f"{path} is {found}; {need}")


def check_name(name: object, what: str) -> None:
    """Refuse a name that is no text: ``what`` says whose."""
    if not isinstance(name, str):
        raise TrainmapError(f"{what} must be a name, got a {type(name).__name__}")


def as_path(path: Any) -> Path:
    """The path that a user gave; a value of another kind in its place is refused."""
    if not hasattr(path, "__fspath__") and not isinstance(path, str):
        raise TrainmapError(f"a path is needed, got a {type(path).__name__}")
    if "\0" in str(path):
        raise TrainmapError(f"a path must have no NUL character, got {shown(str(path))}")
    return Path(path)
