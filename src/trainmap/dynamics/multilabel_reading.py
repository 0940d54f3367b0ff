"""How a recording of several labels an example reads a batch: (B, L) logits, and (B, L) labels of 0 and 1.

With z the logit of a label, p = 1 / (1 + exp(-z)), y its value (0 or 1) and q = p where y = 1, else 1 - p; of the n
labels of an example that are not ignored:

    p_gold      (1/n) sum q        the probability of the given values
    loss        (1/n) sum -log q   binary cross entropy, in nats
    accuracy    share of the labels that are right: p >= 1/2 where y = 1, p < 1/2 where y = 0
    exact       1 where all are right, else 0

Labels that are NaN, or ``ignore_index``, are left out; an example of which none is left is left out itself, and
counted.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_logits, to_numpy
from trainmap.dynamics.class_reading import Batch
from trainmap.dynamics.logit_precision import widened
from trainmap.dynamics.number_reading import PlainReader
from trainmap.dynamics.probabilities import As
from trainmap.dynamics.roster import Known, Learned
from trainmap.dynamics.supervision import BY_KIND
from trainmap.errors import RecordingError, some

Array = NDArray[Any]


class MultilabelReader(PlainReader):
    """See the head of this file.

    Args:
        count: L.
        ignore: the value of labels that do not count; NaN never does.
        as_: None or "logits", or "probabilities".
    """

    def __init__(self, count: int, ignore: int | None = None, as_: As | None = None) -> None:
        super().__init__(BY_KIND["multilabel"])
        self.count, self.ignore, self.as_ = count, ignore, as_

    def measured(self, size: int, outputs: Any, targets: Any) -> dict[str, Any]:
        """The logits and labels where they are; they are as small as those of classes."""
        return pairs(size, self.count, outputs, targets)

    def settled(self, ids: Any, values: Any, targets: Any, roster: Known | Learned) -> Batch:
        del targets, roster
        ids = to_ids(ids)
        y, counts = given_labels(ids, values["labels"], self.ignore)
        loss, right = self._binary(ids, widened(to_logits(values["logits"])).astype(np.float64), y, counts)
        n = counts.sum(axis=1).astype(np.float64)
        keep = n > 0
        columns = {
            "p_gold": _mean(np.exp(-loss), counts, n)[keep],
            "loss": _mean(loss, counts, n)[keep],
            "accuracy": _mean(right.astype(np.float64), counts, n)[keep],
            "exact": np.asarray((right | ~counts).all(axis=1))[keep].astype(np.float64),
        }
        return self.batch(ids[keep], columns, ignored=int((~keep).sum()))

    def _binary(self, ids: Array, z: Array, y: Array, counts: Array) -> tuple[Array, Array]:
        """(B, L) each: -log q, 0 where a label does not count, and whether it is right."""
        if self.as_ == "probabilities":
            refuse(ids, counts & ~((z >= 0) & (z <= 1)), "probabilities must be 0 to 1", "; are these logits?")
            with np.errstate(divide="ignore", invalid="ignore"):
                loss, positive = -np.log(np.where(y == 1, z, 1 - z)), z >= 0.5
        else:
            with np.errstate(invalid="ignore"):  # of NaN, which is refused below
                loss, positive = np.logaddexp(0.0, np.where(y == 1, -z, z)), z >= 0
        rule = "logits must be finite, and no given value have probability 0"
        refuse(ids, counts & ~np.isfinite(loss), rule, "; has the training diverged?")
        return np.where(counts, loss, 0.0), positive == (y == 1)


def pairs(size: int, count: int, outputs: Any, targets: Any) -> dict[str, Any]:
    """Logits and labels of a batch, (B, L) each, where they are.

    Raises:
        RecordingError: other shapes, or no labels.
    """
    if targets is None:
        raise RecordingError("a batch needs labels of 0 and 1 for each example and label, (B, L); got none")
    outputs, targets = (_own(value, name) for value, name in ((outputs, "logits"), (targets, "labels")))
    shapes = tuple(outputs.shape), tuple(targets.shape)
    if shapes != ((size, count),) * 2:
        cure = "; a gold class an example is kind='classes'" if shapes[1] == (size,) and count > 1 else ""
        raise RecordingError(
            f"a batch of {size} ids needs logits and labels of shape ({size}, {count}), got {shapes[0]} and "
            f"{shapes[1]}{cure}"
        )
    return {"logits": outputs, "labels": targets}


def given_labels(ids: Array, labels: Array, ignore: int | None) -> tuple[Array, Array]:
    """(B, L) float64 of 0 and 1, and which of them count.

    Raises:
        RecordingError: labels other than 0 and 1.
    """
    given = to_numpy(labels, "labels")
    if given.dtype.kind not in "biuf":
        raise RecordingError(f"labels must be 0 or 1 for each example and label, got {given.dtype}")
    counts = np.ones(given.shape, bool) if given.dtype.kind != "f" else ~np.isnan(given)
    if ignore is not None:
        counts &= given != ignore
    wrong = counts & (given != 0) & (given != 1)
    if wrong.any():
        low = float(given[wrong].min())
        cure = f"; ignore_index={low:g} leaves them out" if low < 0 and low.is_integer() else ""
        refuse(ids, wrong, f"labels must be 0 or 1 (NaN is left out), got {low:g}", cure)
    return np.where(counts, given, 0).astype(np.float64), counts


def _own(value: Any, name: str) -> Any:
    if hasattr(value, "detach"):
        kept = value.detach()
        return kept.byte() if str(kept.dtype) == "torch.bool" else kept.clone()
    array = to_numpy(value, name)
    return array.astype(np.uint8) if array.dtype == bool else array


def refuse(ids: Array, bad: Array, rule: str, cure: str) -> None:
    """Raises RecordingError where any of (B, L) is bad."""
    if bad.any():
        row = bad.any(axis=1)
        raise RecordingError(
            f"{rule}; {row.sum()} of {len(ids)} examples have others (first: {some(ids[row].tolist())}){cure}"
        )


def _mean(values: Array, counts: Array, n: Array) -> Array:
    """(B,) the mean over the labels that count, added one after the other; NaN where none does."""
    total = np.add.accumulate(np.where(counts, values, 0.0), axis=1)[:, -1]
    return np.divide(total, n, out=np.full(len(n), np.nan), where=n > 0)
