"""``labels`` and ``pred_probs``, the arrays that cleanlab takes.

cleanlab asks for out-of-sample probabilities (cross-validation). Those of a recording are in-sample: the model has
trained on the example. Early epochs, or the mean over all, are nearer to what is meant than the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from numbers import Real
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.array_files import read_npz
from trainmap.dynamics.arrays import to_ids, to_labels, to_logits
from trainmap.dynamics.exchange.whole_folder import check_new, check_source, write_dynamics
from trainmap.dynamics.index import sort_ids
from trainmap.dynamics.logit_precision import widened
from trainmap.dynamics.manifest import Source
from trainmap.dynamics.probabilities import SUM_TOLERANCE, is_coarse
from trainmap.dynamics.roster import check_classes
from trainmap.dynamics.signals import UNKNOWN_LABEL, empty_signals, signals_from_logits
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, TrainmapError, shown, some
from trainmap.files import writing
from trainmap.kinds import check_kind

Array = NDArray[Any]

BLOCK_VALUES = 1 << 20
LEAST = np.finfo(np.float64).tiny


def pred_probs(dynamics: Dynamics, epoch: int | None = None) -> tuple[Array, Array]:
    """What ``cleanlab.filter.find_label_issues(labels, pred_probs)`` takes, in id order.

    Args:
        epoch: p_e = softmax(z_e) of that epoch; None for the mean over the epochs that saw an example, (1/E) sum_e p_e.

    Returns:
        labels (N,) int64 and pred_probs (N, C) float64, rows summing to 1. Only a masked class is 0: what double
        precision cannot hold is its least number, 2e-308.

    Raises:
        TrainmapError: the recording has no logits, or there are examples that were not seen.
    """
    check_kind(dynamics, Dynamics)
    dynamics.check_classes("cleanlab's pred_probs")
    if "logits" not in dynamics.signals:
        raise TrainmapError(
            f"pred_probs need logits, this recording (level '{dynamics.level}') has none; record with level='logits'"
        )
    chosen = list(range(dynamics.epochs)) if epoch is None else [epoch]
    total = np.zeros((len(dynamics), dynamics.classes))
    count = np.zeros(len(dynamics), np.int64)
    step = max(1, BLOCK_VALUES // dynamics.classes)
    for which in chosen:
        logits = dynamics.column(which, "logits")
        for start in range(0, len(dynamics), step):
            z = logits[start : start + step].astype(np.float64)
            seen = ~np.isnan(z[:, 0])
            total[start : start + step][seen] += np.where(z[seen] == -np.inf, 0, np.maximum(_softmax(z[seen]), LEAST))
            count[start : start + step] += seen
    if (count == 0).any():
        lacking = dynamics.ids[count == 0][:4].tolist()
        where = "any epoch" if epoch is None else f"epoch {epoch}"
        raise TrainmapError(
            f"{(count == 0).sum()} examples were not seen in {where} (first: {some(lacking)}), so they have no "
            "probabilities"
        )
    if (dynamics.labels == UNKNOWN_LABEL).any():
        raise TrainmapError("cleanlab needs every label; this recording lacks some")
    total /= count[:, None]
    return dynamics.labels, total


def _softmax(z: Array) -> Array:
    p = np.exp(z - z.max(axis=1, keepdims=True))
    return p / p.sum(axis=1, keepdims=True)


def export_pred_probs(dynamics: Dynamics, path: str | Path, epoch: int | None = None) -> Path:
    """Write ``ids``, ``labels`` and ``pred_probs`` as one .npz file; see ``pred_probs``."""
    target = Path(path)
    if target.suffix != ".npz":
        raise TrainmapError(f"pred_probs are written as .npz, got {target.name}")
    labels, probabilities = pred_probs(dynamics, epoch)
    with writing(target) as handle:
        np.savez(handle, ids=dynamics.ids, labels=labels, pred_probs=probabilities)
    return target


def import_pred_probs(
    pred_probs: Array | Sequence[Array],
    out: str | Path,
    labels: Any,
    ids: Any = None,
    *,
    source: Source = "sweep",
    floor: float | None = None,
) -> Dynamics:
    """Dynamics from probabilities: their logarithms, as float32, are the logits.

    Args:
        pred_probs: (E, N, C), or E arrays (N, C), of which one at a time is worked on (memory maps stay on disk);
            numpy's, torch's (any precision, with or without gradient) or lists. A row that is NaN in every class is
            an example that the epoch did not see.
        labels: (N,) gold classes.
        ids: (N,) int or str; None: the row numbers 0 to N - 1, for such arrays name their examples by position.
        source: "sweep" for an evaluation pass, "held-out" for cross-validation, "train" for the training step.
        floor: every probability below it, and what rounding left below 0 (by 1e-3 at most), is raised to it, and the
            row is scaled to sum to 1 again. Kept in the manifest. Without one, 0 is a masked class (logit -inf), and
            a gold class of probability 0, whose loss is infinite, is refused.

    Raises:
        TrainmapError: shapes that do not fit, values outside [0, 1], rows that do not sum to 1 within 1e-3 (1e-2 in
            half precision), a gold class of probability 0 without a floor.

    Not bit-exact: log and softmax in single precision return a probability p to within 1e-6.
    """
    check_source(source)
    check_new(out)
    _check_epochs(pred_probs, labels)
    gold = to_labels(labels)
    names, order = sort_ids(np.arange(len(gold)) if ids is None else to_ids(ids))
    if len(names) != len(gold):
        raise TrainmapError(f"{len(names)} ids need {len(names)} labels, got {len(gold)}")
    counted = hasattr(pred_probs, "__getitem__") and getattr(pred_probs, "shape", None) != () and len(pred_probs) > 0
    first: Array = _epoch(pred_probs[0]) if counted else np.empty(0)
    if first.ndim != 2:
        got = (len(pred_probs), *first.shape) if counted else getattr(pred_probs, "shape", (0,))
        raise TrainmapError(
            "pred_probs must be (epochs, examples, classes) or a list of (examples, classes) arrays, got "
            f"{got}; a single array goes in a list"
        )
    classes = int(first.shape[-1])
    if classes < 2:
        raise TrainmapError(
            f"pred_probs must have at least 2 classes, got {classes}; of one probability p stack [1 - p, p]"
        )
    check_classes(np.arange(len(gold)) if ids is None else to_ids(ids), gold, classes)
    if floor is not None and not (isinstance(floor, Real) and 0 < floor < 1 / classes):
        raise TrainmapError(f"floor must be a number between 0 and 1/{classes}, got {shown(floor)}")
    gold, given = gold[order], gold

    def epochs() -> Iterator[tuple[dict[str, Array], int]]:
        for epoch, probabilities in enumerate(pred_probs):
            logits = _logits(_epoch(probabilities), epoch, given, classes, floor)[order]
            seen = ~np.isnan(logits[:, 0])
            columns = empty_signals(len(names), classes)
            for name, column in signals_from_logits(logits[seen], gold[seen]).items():
                columns[name][seen] = column
            yield columns | {"logits": logits}, int(seen.sum())

    about = {"imported_from": "pred_probs"} | ({} if floor is None else {"floor": repr(floor)})
    return write_dynamics(out, names, gold, classes, source, epochs(), about)


def _check_epochs(pred_probs: Any, labels: Any) -> None:
    """Epochs that can be counted and read one by one, and not the labels in their place."""
    if isinstance(pred_probs, dict | set | str | bytes) or not hasattr(pred_probs, "__getitem__"):
        cure = "list(pred_probs.values())" if isinstance(pred_probs, dict) else "list(pred_probs)"
        raise TrainmapError(
            "pred_probs must be (epochs, examples, classes) or a list of (examples, classes) arrays, got a "
            f"{type(pred_probs).__name__}; {cure} makes a list of several arrays"
        )
    if _depth(pred_probs) == 1 and _depth(labels) > 1:
        raise TrainmapError("pred_probs come first and labels third; these are exchanged")


def _depth(value: Any) -> int:
    """How many dimensions an array has, or a list as its first items say; what it holds is not read."""
    if isinstance(value, list | tuple):
        return 1 + (_depth(value[0]) if value else 0)
    return len(getattr(value, "shape", ()))


def _epoch(probabilities: Any) -> Array:
    try:
        return widened(to_logits(probabilities))
    except RecordingError as error:
        raise TrainmapError(str(error).replace("logits", "pred_probs", 1)) from None


def _logits(p: Array, epoch: int, gold: Array, classes: int, floor: float | None) -> Array:
    """log p as float32, after checking that p holds probabilities; -inf where it is 0."""
    if p.shape != (len(gold), classes):
        raise TrainmapError(f"epoch {epoch}: pred_probs must be {(len(gold), classes)} floats, got {p.shape} {p.dtype}")
    rows = np.flatnonzero(~np.isnan(p).all(axis=1))
    q = p[rows].astype(np.float64)
    tolerance = SUM_TOLERANCE if is_coarse(q) else SUM_TOLERANCE / 10
    low = 0 if floor is None else -tolerance
    bad = ~((q >= low) & (q <= 1 + tolerance)).all(axis=1) | ~(np.abs(q.sum(axis=1) - 1) <= tolerance)
    if bad.any():
        first = q[bad][0]
        rounded = "pass floor=1e-8, say: it raises what rounding left below 0"
        raise TrainmapError(
            f"epoch {epoch}: rows of pred_probs must be in 0 to 1 and sum to 1 within {tolerance:g}; {bad.sum()} rows "
            f"are not (first: row {rows[bad][0]}, {first.min():.6g} to {first.max():.6g}, sum {first.sum():.6g}); "
            f"{rounded if -tolerance <= first.min() < 0 else 'are these logits?'}"
        )
    if floor is not None:
        q = np.maximum(q, floor)
    bad = q[np.arange(len(q)), gold[rows]] == 0
    if bad.any():
        raise TrainmapError(
            f"epoch {epoch}: {bad.sum()} rows of pred_probs hold a 0 for the gold class (first: row {rows[bad][0]}), "
            "whose loss is infinite; pass floor=1e-8, say, to raise every smaller probability to it"
        )
    out = np.full(p.shape, np.nan, np.float32)
    with np.errstate(divide="ignore"):  # 0 is a masked class
        out[rows] = np.log(q / q.sum(axis=1, keepdims=True))
    return out


def read_pred_probs(path: str | Path) -> dict[str, Any]:
    """The arrays of an .npz file, for ``import_pred_probs(**arrays, out=...)``.

    They are pred_probs (E, N, C), or (N, C) for one epoch, labels (N,), and ids (N,) where it has them.

    Raises:
        StoreError: not such a file, or pred_probs or labels are not in it.
    """
    arrays = read_npz(path, ("pred_probs", "labels"), ("ids",), "file of pred_probs and labels (.npz)")
    if arrays["pred_probs"].ndim == 2:
        arrays["pred_probs"] = arrays["pred_probs"][None]
    return arrays
