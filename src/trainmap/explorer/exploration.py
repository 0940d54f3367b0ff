"""Exploration: a map with all that a page can show of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.audits.suspects import Audit
from trainmap.dynamics.index import MISSING, find_rows, ids_from_arrow
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, counted, shown
from trainmap.explorer.example_sources import Examples
from trainmap.explorer.replay import has_replay
from trainmap.explorer.review_log import Review
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS
from trainmap.scores.table import SCORES, hard_end
from trainmap.selection.card import Selection

Array = NDArray[Any]

TOLD = {
    "confidence": "the mean probability that the network gave the label; low is hard",
    "variability": "how much the probability of the label went up and down; high is ambiguous",
    "correctness": "in how many epochs the prediction was the label",
    "forgetting": "how often it was right and then wrong again",
    "aum": "the mean margin of the label over the other classes; low looks mislabelled",
    "el2n": "early error: distance of the prediction from the label",
    "entropy": "mean uncertainty of the prediction",
    "loss": "mean loss",
}
"""Scores in one line for people."""


@dataclass(frozen=True, eq=False)
class Side:
    """One recording or map: what stands on an axis.

    Attributes:
        datamap: its scores.
        recording: its epochs, where they are there.
        name: for people.
        rows: (N,) the row of each example of the page in it; ``MISSING`` where it has none.
    """

    datamap: DataMap
    recording: Dynamics | None
    name: str
    rows: Array | None = None

    def of(self, values: Array, none: Any) -> Array:
        """A column of this side in the rows of the page."""
        return values if self.rows is None else np.where(self.rows == MISSING, none, values[self.rows])


@dataclass(frozen=True, eq=False)
class Exploration:
    """A map with its recording, examples, suggested labels, selections and a review; made by ``trainmap.explore``.

    Attributes:
        title: for people.
        first: the map that is looked at.
        second: another map of the same examples, beside it.
        examples: what the ids stand for.
        found: which labels look wrong.
        selections: cards, by name.
        review: what was decided about labels.
        class_names: by their numbers; empty where nobody said them.
        notes: what is not there, and why, in a sentence each.
    """

    title: str
    first: Side
    second: Side | None = None
    examples: Examples | None = None
    found: Audit | None = None
    selections: Mapping[str, Selection] = field(default_factory=dict)
    review: Review = field(default_factory=lambda: Review(None, "", 0))
    class_names: tuple[str, ...] = ()
    notes: tuple[str, ...] = ()

    @property
    def datamap(self) -> DataMap:
        return self.first.datamap

    def __len__(self) -> int:
        return len(self.datamap)

    def __repr__(self) -> str:
        parts = [counted(len(self), "example"), f"data {self.examples.name}" if self.examples else "no examples"]
        parts += [f"beside {self.second.name}"] if self.second else []
        return f"{type(self).__name__}({self.title}: {', '.join(parts)})"

    @cached_property
    def columns(self) -> dict[str, Array]:
        """What the page knows of every example, name -> (N,): labels, regions, scores, suggestions, selections."""
        region = self.datamap.table["region"]
        numbers = region.replace_strict({name: place for place, name in enumerate(REGIONS)}, default=len(REGIONS))
        columns: dict[str, Array] = {
            "label": self.datamap.labels.astype(np.int32),
            "region": numbers.fill_null(len(REGIONS)).to_numpy().astype(np.uint8),
        }
        columns |= {f"score/{name}": self.datamap.values(name).astype(np.float32) for name in self.datamap.scores}
        if self.second is not None:
            for name in self.shared_scores:
                other = self.second.of(self.second.datamap.values(name), np.nan)
                columns[f"other/{name}"] = other.astype(np.float32)
        if self.found is not None:
            columns |= _of_audit(self.found, self.datamap.ids)
        for name, chosen in self.selections.items():
            columns[f"selection/{name}"] = chosen.mask(self.datamap.ids).astype(np.uint8)
        return columns

    @property
    def shared_scores(self) -> list[str]:
        """The scores that both sides have."""
        other = set() if self.second is None else set(self.second.datamap.scores)
        return [name for name in self.datamap.scores if name in other]

    @cached_property
    def classes(self) -> int:
        """How many classes there are."""
        known = self.first.recording.classes if self.first.recording is not None else 0
        return max(known, len(self.class_names), int(self.datamap.labels.max(initial=0)) + 1)

    def header(self) -> dict[str, Any]:
        """What the page must know before it draws."""
        recording = self.first.recording
        return {
            "format": "trainmap-explorer",
            "title": self.title,
            "examples": len(self),
            "classes": self.classes,
            "classNames": list(self.class_names),
            "epochs": self.datamap.epochs if recording is None else recording.epochs,
            "source": self.datamap.source,
            "rule": self.datamap.rule,
            "unclear": self.datamap.unclear,
            "regions": list(REGIONS),
            "scores": [_told(name) for name in self.datamap.scores],
            "columns": {name: values.dtype.name for name, values in self.columns.items()},
            "numbered": self._numbered,
            "selections": list(self.selections),
            "replay": has_replay(recording),
            "signals": [] if recording is None else list(recording.signals),
            "audit": self.found is not None,
            "rule of the audit": "" if self.found is None else self.found.rule,
            "second": None if self.second is None else {"name": self.second.name, "scores": self.shared_scores},
            "first": self.first.name,
            "secondEpochs": 0 if self.second is None else self.second.datamap.epochs,
            "secondReplay": self.second is not None and has_replay(self.second.recording),
            "data": None if self.examples is None else self.examples.name,
            "texts": self.examples is not None and self.examples.texts,
            "review": None if self.review.path is None else self.review.path.name,
            "notes": [*self.notes, *self.review.notes],
        }

    @property
    def _numbered(self) -> bool:
        """Whether the ids are 0 to N - 1."""
        ids = self.datamap.ids
        return ids.dtype.kind == "i" and (int(ids[0]), int(ids[-1])) == (0, len(ids) - 1)


def _of_audit(found: Audit, ids: Array) -> dict[str, Array]:
    """The columns of an audit in the order of the ids."""
    table = found.table
    order = find_rows(ids_from_arrow(table["id"].to_arrow()), ids)
    there = order != MISSING
    safe = np.where(there, order, 0)

    def column(name: str, none: float, dtype: Any) -> Array:
        return np.where(there, table[name].fill_null(none).to_numpy()[safe], none).astype(dtype)

    return {
        "suspicion": column("suspicion", np.nan, np.float32),
        "suspected": column("suspected", 0, np.uint8),
        "suggested": column("suggested", -1, np.int32),
        "support": column("support", np.nan, np.float32),
    }


def _told(name: str) -> dict[str, Any]:
    known = SCORES.get(name)
    told = TOLD.get(name) or (f"{known.range}; {known.source}" if known is not None else "")
    return {"name": name, "hard": hard_end(name) or "", "told": told}


def row_of(exploration: Exploration, row: int) -> int | str:
    """The id of a row, as JSON has it."""
    if not 0 <= row < len(exploration):
        raise TrainmapError(f"row must be 0 to {len(exploration) - 1}, got {shown(row)}")
    return exploration.datamap.ids[row].item()
