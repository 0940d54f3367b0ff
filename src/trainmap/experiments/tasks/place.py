"""Where a task works, and the files that tasks leave for each other: each is named here, once."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from trainmap.checksums import read_sealed, write_sealed
from trainmap.errors import TrainmapError, one_line
from trainmap.experiments.tasks.result_fields import Found, Share
from trainmap.files import reading, writing
from trainmap.typed import as_type

DYNAMICS = "dynamics"
TEST_DYNAMICS = "test-dynamics"
MODEL = "model.pt"
EPOCHS = "epochs.csv"
MAP = "map.parquet"
TEST_MAP = "test-map.parquet"
PICTURE = "map.png"
EXAMPLES = "examples.json"
CARD = "card.json"
RACE = "race.json"
LOGITS = "logits.npy"
FEATURES = "features.npz"
CLUSTERS = "clusters.npz"
EVERYWHERE = "everywhere.json"
TRIALS = "trials.db"
ROUNDS = "rounds.json"
CLIENTS = "clients"
FEDERATION = "federation.pt"
AT = "at.txt"
COMPRESSED = "compressed"  # with the suffix of its kind

_HELD_OUT = "held-out.json"
_ROW = "row.json"
_FOUND = "found.json"


@dataclass(frozen=True)
class Place:
    """The folders of a task. Nothing of it is part of a task's identity.

    Attributes:
        out: its own; made when something is written.
        others: the folders of the tasks that it needs, by name.
        files: besides what tasks made, by name.
        data_root: where datasets lie; None for the default.
        name: what people call the task.
        logs: where its epochs are told besides its own folder.
        tracking: settings of that.
        checkpoint: file from which it goes on after a kill; None for a short one.
    """

    out: Path
    others: Mapping[str, Path] = field(default_factory=dict)
    files: Mapping[str, Path] = field(default_factory=dict)
    data_root: str | None = None
    name: str = ""
    logs: Path | None = None
    tracking: Mapping[str, Any] = field(default_factory=dict)
    checkpoint: Path | None = None

    def of(self, role: str, file: str = "") -> Path:
        """The folder of a task that this one needs, or a file in it.

        Raises:
            TrainmapError: it needs no such task.
        """
        if role not in self.others:
            raise TrainmapError(f"the task has no folder of '{role}'; it has {', '.join(self.others) or 'none'}")
        return self.others[role] / file

    @contextmanager
    def at_work(self) -> Iterator[Callable[[str], None]]:
        """A function that says how far the task is, such as "round 7 of 20", to whoever looks on; see ``is_at``."""

        def say(text: str) -> None:
            with writing(self.out / AT) as handle:
                handle.write(text.encode())

        try:
            yield say
        finally:
            (self.out / AT).unlink(missing_ok=True)


def is_at(folder: Path, since: float = 0.0) -> str:
    """How far the task of a folder said that it is, at this time or later; "" where it said nothing. One that was
    killed says it still."""
    path = folder / AT
    try:
        return one_line(path.read_text("utf-8")) if path.stat().st_mtime >= since else ""
    except (OSError, UnicodeDecodeError):
        return ""


def leave_held_out(folder: Path, accuracy: float | None) -> None:
    """A teacher's accuracy on the validation data, or the mean of an ensemble's; None without any."""
    write_sealed(folder / _HELD_OUT, {"accuracy": accuracy})


def held_out(folder: Path) -> float | None:
    """What ``leave_held_out`` left. Raises StoreError."""
    path, cure = folder / _HELD_OUT, "train it again"
    kept = read_sealed(path, "accuracy of a teacher", cure)
    with reading(path, "accuracy of a teacher", cure):
        return as_type(Share | None, kept["accuracy"], path, cure)


def leave_row(folder: Path, row: Mapping[str, Any]) -> None:
    """The result of a student whose network is kept, for what is made of it."""
    write_sealed(folder / _ROW, dict(row))


def row_of(folder: Path, needed: tuple[str, ...]) -> dict[str, Any]:
    """What ``leave_row`` left. Raises StoreError, also where a needed field is missing."""
    path, cure = folder / _ROW, "run it again"
    kept = read_sealed(path, "row of a student", cure)
    with reading(path, "row of a student", cure):
        _ = [kept[name] for name in needed]
    return kept


def leave_found(folder: Path, found: Mapping[str, float]) -> None:
    """The hyperparameters that a search found, with the ``gold`` that follows where there is a teacher."""
    write_sealed(folder / _FOUND, dict(found))


def found_in(folder: Path) -> Found:
    """What ``leave_found`` left. Raises StoreError."""
    path, cure = folder / _FOUND, "search again"
    kept = read_sealed(path, "result of a search", cure)
    with reading(path, "result of a search", cure):
        found: Found = as_type(Found, kept, path, cure)
        if ("temperature" in found.values) != (found.gold is not None):
            raise ValueError("gold goes with a temperature")
        return found
