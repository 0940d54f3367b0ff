"""Each part of an example as an example of its own: (example, label) of two classes, (example, token) of C classes.

The parts are called "id/label" and "id/position", and are a recording of classes like any other: every score, map,
audit and selection works on it.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_logits, to_numpy
from trainmap.dynamics.class_names import ClassLabels
from trainmap.dynamics.class_reading import Batch, ClassReader
from trainmap.dynamics.manifest import IdType, Level
from trainmap.dynamics.multilabel_reading import given_labels, pairs
from trainmap.dynamics.probabilities import As
from trainmap.dynamics.roster import Known, Learned
from trainmap.dynamics.token_reading import TokenReader
from trainmap.errors import RecordingError, shown

Array = NDArray[Any]

BETWEEN = "/"


class PartReader(ClassReader):
    """What the two have in common.

    Attributes:
        example_type: of the examples' own ids, "int64" or "string"; None until some came.
    """

    example_type: IdType | None = None

    def labels(self, labels: Any) -> Array:
        raise RecordingError("labels= cannot be given for parts of examples; hand them over with each batch")

    def _parts(self, ids: Any, counts: Array, names: Sequence[str]) -> tuple[Array, Array]:
        """(b,) names "id/part" of the places of (B, P) that count, and (B,) ids as they came."""
        ids = to_ids(ids)
        if len(ids):
            kind: IdType = "string" if ids.dtype.kind == "U" else "int64"
            if self.example_type not in (None, kind):
                raise RecordingError(
                    f"ids must be all integers or all strings: they were {self.example_type}, now {kind}"
                )
            self.example_type = kind
        rows, places = np.nonzero(counts)
        told = [f"{one}{BETWEEN}{names[place]}" for one, place in zip(ids[rows].tolist(), places.tolist(), strict=True)]
        return to_ids(told) if told else np.empty(0, np.str_), ids


class LabelReader(PartReader):
    """(B, L) logits and labels of 0 and 1: each (example, label) that counts is an example of two classes.

    Args:
        names: of the L labels.
        ignore: the value of labels that do not count.
    """

    def __init__(
        self, names: Sequence[str], ignore: int | None = None, level: Level = "signals", as_: As | None = None
    ) -> None:
        super().__init__(ClassLabels(2), level, as_)
        self.names, self.ignore = list(names), ignore
        if odd := [name for name in self.names if BETWEEN in name]:
            raise RecordingError(f"with per='label' names must have no {BETWEEN}, got {shown(odd[0])}")

    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        return pairs(size, len(self.names), outputs, targets)

    def read(self, ids: Any, outputs: Any, targets: Any, roster: Known | Learned) -> Batch:
        ids = to_ids(ids)
        return self.settled(ids, self.measured(len(ids), outputs, targets), targets, roster)

    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch:
        del targets, roster
        y, counts = given_labels(to_ids(ids), values["labels"], self.ignore)
        parts, ids = self._parts(ids, counts, self.names)
        logits = self._two_of_one(to_logits(values["logits"])[counts])
        return Batch(parts, logits, y[counts].astype(np.int64), int((~counts.any(axis=1)).sum()))


class PerTokenReader(PartReader):
    """(B, T, C) logits and (B, T) labels: each token that counts is an example of C classes.

    Args:
        how: how labels are read; those that it ignores do not count.
        shift: the logits are of a causal model: place t tells of token t + 1.
    """

    def __init__(self, how: ClassLabels, shift: bool = False, level: Level = "signals", as_: As | None = None) -> None:
        super().__init__(how, level, as_)
        self.shape = TokenReader(how.classes, how.ignore or 0, shift)

    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        if targets is None:
            raise RecordingError("a batch of sequences needs labels (B, T); got none")
        shape = tuple(targets.shape) if hasattr(targets, "shape") else to_numpy(targets, "labels").shape
        self.shape.check_shapes(size, tuple(outputs.shape), shape)
        kept = outputs.detach() if hasattr(outputs, "detach") else outputs
        return {"logits": kept.reshape(-1, self.how.classes).clone()}

    def read(self, ids: Any, outputs: Any, targets: Any, roster: Known | Learned) -> Batch:
        return self._read(to_ids(ids), to_logits(outputs), targets)

    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch:
        labels = to_numpy(targets, "labels")
        return self._read(to_ids(ids), values["logits"].reshape(*labels.shape, self.how.classes), labels)

    def _read(self, ids: Array, logits: Array, targets: Any) -> Batch:
        if targets is None:
            raise RecordingError("a batch of sequences needs labels (B, T); got none")
        labels = to_numpy(targets, "labels")
        self.shape.check_shapes(len(ids), logits.shape, labels.shape)
        first = int(self.shape.shift)
        if first:
            logits, labels = logits[:, :-1], labels[:, 1:]
        gold, keep = self.how.read(labels.reshape(-1))
        counts = (np.ones(labels.size, bool) if keep is None else keep).reshape(labels.shape)
        names = [str(place + first) for place in range(labels.shape[1])]
        parts, _ = self._parts(ids, counts, names)
        return Batch(parts, logits[counts], gold, int((~counts.any(axis=1)).sum()))


def split_parts(parts: Array, example_type: IdType | None) -> tuple[Array, Array]:
    """(N,) the examples, int64 or text, and (N,) the labels or positions that parts called "id/part" are of."""
    split = [name.rpartition(BETWEEN) for name in parts.tolist()]
    examples = np.array([one for one, _, _ in split], dtype=np.str_)
    return examples.astype(np.int64) if example_type == "int64" else examples, np.array([part for _, _, part in split])
