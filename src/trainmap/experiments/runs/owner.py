"""Whose a folder is: an experiment's, a demo's, a compressed network's, or somebody else's."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from trainmap.errors import StoreError, shown, some

EXPERIMENT = (  # by an experiment, besides its plan
    *("runs", "made", "plots", "report.html", "report.md", "report.tex", "table.csv", "results.csv", "results.json"),
    *("forgotten.csv", "trials.csv", "people.csv", "kinds.csv", "agreement.csv", "tensorboard", "wandb"),
)
DEMO = (*EXPERIMENT, "dynamics", "map.parquet", "map.png")
COMPRESSED = ("compressed.pt", "compressed.pt2", "compressed.onnx", "before.parquet", "after.parquet")
RECORDING = "manifest.json"
MARKS = {  # the file by which a folder is known
    "experiment.json": "an experiment",
    "teacher/plan.json": "a demo of trainmap 0.1",
    RECORDING: "a recording",
    "result.json": "a compressed network",
}


def check_free(folder: str | Path, mark: str, written: Iterable[str], who: str = "") -> None:
    """Refuse a folder whose files would be written over by ``who`` (that of ``mark`` by default): it lacks ``mark`` and
    holds something called as in ``written``. Other files in it are left alone and may be there.

    Raises:
        StoreError: says what is there.
    """
    place = Path(folder)
    if place.exists() and not place.is_dir():
        raise StoreError(f"{place} must be a folder, it is a file; choose another name")
    if (place / RECORDING).exists():
        what = who or MARKS[mark]
        raise StoreError(f"{place} holds {MARKS[RECORDING]}, which {what} would write over; choose another folder")
    if (place / mark).exists():
        return
    if there := [name for name in written if (place / name).exists() or (place / name).is_symlink()]:
        what = next((what for file, what in MARKS.items() if (place / file).is_file()), f"other files ({some(there)})")
        raise StoreError(f"{place} holds {what}, which {who or MARKS[mark]} would write over; choose another folder")


def changes(held: Mapping[str, Any], asked: Mapping[str, Any]) -> str:
    """What is asked for otherwise than a folder holds it, for a refusal: "seed 0, now 1; ..."; "" if all is alike."""
    return "; ".join(
        f"{key} {shown(held.get(key))}, now {shown(value)}" for key, value in asked.items() if held.get(key) != value
    )
