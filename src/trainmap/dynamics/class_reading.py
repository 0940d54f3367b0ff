"""How a recording of classes reads a batch: logits, or one logit of two classes, and a gold label for each example."""

from __future__ import annotations

import logging
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import check_shapes, on_accelerator, to_ids, to_logits
from trainmap.dynamics.class_names import ClassLabels
from trainmap.dynamics.epoch import Epoch
from trainmap.dynamics.logit_precision import widened
from trainmap.dynamics.manifest import Level, Repeats
from trainmap.dynamics.plain_epoch import PlainEpoch
from trainmap.dynamics.probabilities import As
from trainmap.dynamics.roster import Known, Learned
from trainmap.dynamics.visits import Means
from trainmap.errors import RecordingError

Array = NDArray[Any]

log = logging.getLogger("trainmap")

MANY = 1000  # single logits, all from 0 to 1, of which a warning says that they look like probabilities


class Batch(NamedTuple):
    """What a reader makes of a batch.

    Attributes:
        ids: (b,) of the examples, or of parts of them.
        values: (b, C) logits, or (b, K) signals.
        labels: (b,) int64: gold classes, the bits of targets, or ``UNKNOWN_LABEL`` where the kind has none.
        ignored: how many rows were left out.
    """

    ids: Array
    values: Array
    labels: Array
    ignored: int = 0


class Reader(Protocol):
    """How the batches of one kind of supervision are read.

    A batch on an accelerator is measured there (``measured``: names -> tensors, nothing waits) and becomes a ``Batch``
    when they have been fetched (``settled``); one in the CPU's memory does both at once (``read``).

    Attributes:
        gold: the number of classes that a label must be one of; 0 where it is no class.
        by_name: numbers come by their names.
    """

    by_name: bool

    @property
    def gold(self) -> int: ...

    def on_device(self, outputs: Any) -> bool: ...
    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]: ...
    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch: ...
    def read(self, ids: Any, outputs: Any, targets: Any, roster: Known | Learned) -> Batch: ...
    def labels(self, labels: Any) -> Array: ...
    def epoch(self, rows: int, repeats: Repeats) -> Epoch | PlainEpoch: ...


@dataclass
class ClassReader:
    """Logits (B, C), or (B,) and (B, 1) for two classes, the logit of class 1; labels as ``class_names`` reads them."""

    how: ClassLabels
    level: Level = "signals"
    as_: As | None = None
    by_name: bool = field(default=False, init=False)
    _in_unit: int = field(default=0, init=False)  # single logits from 0 to 1, in an unbroken run

    @property
    def gold(self) -> int:
        return self.how.classes

    def epoch(self, rows: int, repeats: Repeats) -> Epoch:
        return (Means if repeats == "mean" else Epoch)(rows, self.how.classes, self.level, self.as_)

    def labels(self, labels: Any) -> Array:
        """(N,) class numbers of all examples, as they are given at the start; none may be ignored."""
        gold, keep = self.how.read(labels)
        if keep is not None:
            raise RecordingError(
                f"{int((~keep).sum())} of {len(keep)} labels are ignore_index={self.how.ignore}; leave these examples "
                "out of ids= and labels="
            )
        return gold

    def on_device(self, outputs: Any) -> bool:
        return on_accelerator(outputs)

    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        """The logits where they are, checked for their shape alone."""
        self._shapes_of(size, outputs, targets)
        return {"logits": outputs.detach().clone()}

    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch:
        return self.read(ids, values["logits"], targets, roster)

    def read(self, ids: Any, outputs: Any, targets: Any, roster: Known | Learned) -> Batch:
        ids, logits, keep = to_ids(ids), to_logits(outputs), None
        if logits.ndim > 2:  # of labels alone nobody could tell that the kind is another
            self._shapes_of(len(ids), logits, targets)
        if targets is None:
            gold = roster.gold(ids)
        else:
            gold, keep = self.how.read(targets)
        size = len(gold) if keep is None else len(keep)
        self._check_shapes(len(ids), logits.shape, (size,))
        if logits.shape != (size, self.how.classes):
            logits = self._two_of_one(logits)
        if keep is None:
            return Batch(ids, logits, gold)
        return Batch(ids[keep], logits[keep], gold, int(size - len(gold)))

    def _shapes_of(self, size: int, outputs: Any, targets: Any) -> None:
        labels = tuple(targets.shape) if hasattr(targets, "shape") else (size,)
        self._check_shapes(size, tuple(outputs.shape), labels)

    def _check_shapes(self, size: int, logits: tuple[int, ...], labels: tuple[int, ...]) -> None:
        classes = self.how.classes
        if classes == 2 and logits in ((size,), (size, 1)):
            logits = (size, 2)
        if labels == (size, classes):
            labels = (size,)
        check_shapes(size, classes, logits, labels)

    def _two_of_one(self, single: Array) -> Array:
        """(B, 2) logits [0, z], or probabilities [1 - p, p], of (B,) or (B, 1) of class 1."""
        one = widened(single.reshape(-1, 1))[:, 0]
        if self.as_ == "probabilities":
            bad = ~((one >= 0) & (one <= 1))
            if bad.any():
                raise RecordingError(
                    f"probabilities of class 1 must be 0 to 1; {bad.sum()} of {len(one)} are not (first: "
                    f"{one[bad][0]:.6g}); are these logits?"
                )
            wide = one.astype(np.float64)
            return np.stack([1 - wide, wide], axis=1)
        if self.as_ is None:
            self._look(one)
        return np.stack([np.zeros_like(one), one], axis=1)

    def _look(self, single: Array) -> None:
        """Say once that single logits look like probabilities: two classes leave no sum to tell them by."""
        if self._in_unit < 0 or not len(single):
            return
        inside = single.min() >= 0 and single.max() <= 1
        self._in_unit = self._in_unit + len(single) if inside else 0
        if self._in_unit >= MANY:
            self._in_unit = -1
            log.warning(
                "the last %d single logits all lie in 0 to 1: if they are probabilities of class 1, pass "
                "as_='probabilities' (a sigmoid taken twice is another model); as_='logits' says that they are logits",
                MANY,
            )
