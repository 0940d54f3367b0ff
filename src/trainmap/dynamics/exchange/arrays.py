"""``labels`` and ``pred_probs``, the arrays that cleanlab takes.

cleanlab asks for out-of-sample probabilities (cross-validation). Those of a recording are in-sample: the model has
trained on the example. Early epochs, or the mean over all, are nearer to what is meant than the last.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.array_files import read_npz
from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.exchange.folder import check_new, check_source, write_dynamics
from trainmap.dynamics.index import sort_ids
from trainmap.dynamics.manifest import Source
from trainmap.dynamics.signals import empty_signals, signals_from_logits
from trainmap.dynamics.store import UNKNOWN_LABEL, Dynamics
from trainmap.errors import TrainmapError, some
from trainmap.files import writing

Array = NDArray[Any]

BLOCK_VALUES = 1 << 20
SUM_TOLERANCE = 1e-3


def pred_probs(dynamics: Dynamics, epoch: int | None = None) -> tuple[Array, Array]:
    """What ``cleanlab.filter.find_label_issues(labels, pred_probs)`` takes, in id order.

    Args:
        epoch: p_e = softmax(z_e) of that epoch; None for the mean over the epochs that saw an example, (1/E) sum_e p_e.

    Returns:
        labels (N,) int64 and pred_probs (N, C) float64, rows summing to 1.

    Raises:
        TrainmapError: the recording has no logits, or there are examples that were not seen.
    """
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
            total[start : start + step][seen] += _softmax(z[seen])
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
        pred_probs: (E, N, C), or E arrays (N, C), of which one at a time is worked on (memory maps stay on disk).
            A row that is NaN in every class is an example that the epoch did not see.
        labels: (N,) gold classes.
        ids: (N,) int or str; None: the row numbers 0 to N - 1, for such arrays name their examples by position.
        source: "sweep" for an evaluation pass (or cross-validation), "train" for the training step.
        floor: a probability of 0 has no finite logarithm and is refused; pass a floor and every probability below
            it is raised to it (the row is scaled to sum to 1 again). Kept in the manifest.

    Raises:
        TrainmapError: shapes that do not fit, values outside [0, 1], rows that do not sum to 1, zeros without a floor.

    Not bit-exact: log and softmax in single precision return a probability p to within 1e-6.
    """
    check_source(source)
    check_new(out)
    gold = to_labels(labels)
    names, order = sort_ids(np.arange(len(gold)) if ids is None else to_ids(ids))
    if len(names) != len(gold):
        raise TrainmapError(f"{len(names)} ids need {len(names)} labels, got {len(gold)}")
    if getattr(pred_probs, "shape", None) == () or len(pred_probs) == 0 or np.ndim(pred_probs[0]) != 2:
        raise TrainmapError(
            "pred_probs must be (epochs, examples, classes) or a list of (examples, classes) arrays, got "
            f"{np.shape(pred_probs)}; a single array goes in a list"
        )
    classes = np.shape(pred_probs[0])[1]
    if classes < 2 or gold.min() < 0 or gold.max() >= classes:
        raise TrainmapError(
            f"labels must be 0 to {classes - 1} and classes at least 2, got {gold.min()} to {gold.max()}"
        )
    if floor is not None and not 0 < floor < 1 / classes:
        raise TrainmapError(f"floor must lie between 0 and 1/{classes}, got {floor}")
    gold = gold[order].astype(np.int64)

    def epochs() -> Iterator[tuple[dict[str, Array], int]]:
        for epoch, probabilities in enumerate(pred_probs):
            logits = _logits(np.asarray(probabilities), epoch, (len(names), classes), floor)[order]
            seen = ~np.isnan(logits[:, 0])
            columns = empty_signals(len(names), classes)
            for name, column in signals_from_logits(logits[seen], gold[seen]).items():
                columns[name][seen] = column
            yield columns | {"logits": logits}, int(seen.sum())

    about = {"imported_from": "pred_probs"} | ({} if floor is None else {"floor": repr(floor)})
    return write_dynamics(out, names, gold, classes, source, epochs(), about)


def _logits(p: Array, epoch: int, shape: tuple[int, int], floor: float | None) -> Array:
    """log p as float32, after checking that p holds probabilities."""
    if p.shape != shape or p.dtype.kind != "f":
        raise TrainmapError(f"epoch {epoch}: pred_probs must be {shape} floats, got {p.shape} {p.dtype}")
    seen = ~np.isnan(p).all(axis=1)
    q = p[seen].astype(np.float64)
    if not ((q >= 0) & (q <= 1 + SUM_TOLERANCE)).all() or (np.abs(q.sum(axis=1) - 1) > SUM_TOLERANCE).any():
        wrong = ~((q >= 0) & (q <= 1 + SUM_TOLERANCE)).all(axis=1) | ~(np.abs(q.sum(axis=1) - 1) <= SUM_TOLERANCE)
        raise TrainmapError(
            f"epoch {epoch}: rows of pred_probs must be in 0 to 1 and sum to 1 within {SUM_TOLERANCE}; {wrong.sum()} "
            f"rows are not (first: row {np.flatnonzero(seen)[wrong][0]}); are these logits?"
        )
    if floor is not None:
        q = np.maximum(q, floor)
    elif (zero := (q == 0).any(axis=1)).any():
        raise TrainmapError(
            f"epoch {epoch}: {zero.sum()} rows of pred_probs hold a 0 (first: row {np.flatnonzero(seen)[zero][0]}), "
            "whose logarithm is infinite; pass floor=1e-8, say, to raise every smaller probability to it"
        )
    out = np.full(shape, np.nan, np.float32)
    out[seen] = np.log(q / q.sum(axis=1, keepdims=True))
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
