"""How good predictions are: accuracy, macro F1, loss, calibration."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import f1_score

from trainmap.dynamics.logit_precision import check_logits, masks
from trainmap.dynamics.probabilities import refuse_probabilities
from trainmap.errors import TrainmapError

BINS = 15


@dataclass(frozen=True)
class Metrics:
    """Fractions 0 to 1 (accuracy, macro F1, calibration error) and the mean loss in nats."""

    accuracy: float
    macro_f1: float
    loss: float
    calibration_error: float


def evaluate(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> Metrics:
    """Accuracy, macro F1, mean loss and calibration error of predictions.

    The prediction is the class with the highest logit, the smaller class winning a tie. Macro F1 is scikit-learn's:
    the unweighted mean over the classes that occur among the labels or the predictions. The loss is the mean of
    ``-log softmax(logits)[label]``. Calibration error: see ``calibration_error``.

    Args:
        logits: (N, C) finite numbers; -inf is a masked class.
        labels: (N,) class indices.

    Raises:
        TrainmapError: shapes that do not fit, no examples, labels out of range, logits that are not finite (or that
            mask a label's class), or probabilities in place of logits.
    """
    log_probabilities = _log_softmax(logits, labels)
    predicted = log_probabilities.argmax(axis=1)
    gold = log_probabilities[np.arange(len(labels)), labels]
    macro_f1 = f1_score(labels, predicted, average="macro", zero_division=0.0)  # pyright: ignore[reportArgumentType]
    return Metrics(
        accuracy=float((predicted == labels).mean()),
        macro_f1=float(macro_f1),
        loss=float(-gold.mean()),
        calibration_error=calibration_error(logits, labels),
    )


def calibration_error(logits: NDArray[np.floating], labels: NDArray[np.integer], bins: int = BINS) -> float:
    """Expected calibration error: how far the stated certainty is from the share that is right.

    ``sum_b n_b / N |accuracy_b - confidence_b|`` over ``bins`` bins of equal width ``(b / bins, (b + 1) / bins]``,
    where an example's confidence is its highest softmax probability; an empty bin counts nothing.

    Args:
        logits: (N, C) finite floats.
        labels: (N,) class indices.
        bins: number of bins.

    Returns:
        in [0, 1]; low is good.

    Source: Guo et al. 2017, arXiv:1706.04599, equation 3 (15 bins, as in the paper's experiments).
    """
    log_probabilities = _log_softmax(logits, labels)
    confidence = np.exp(log_probabilities.max(axis=1))
    correct = log_probabilities.argmax(axis=1) == labels
    place = np.clip(np.ceil(confidence * bins).astype(np.int64) - 1, 0, bins - 1)
    gaps = np.bincount(place, weights=correct - confidence, minlength=bins)
    return float(np.abs(gaps).sum() / len(labels))


def _log_softmax(logits: NDArray[np.floating], labels: NDArray[np.integer]) -> NDArray[np.float64]:
    if logits.ndim != 2 or labels.shape != logits.shape[:1] or len(labels) == 0:
        raise TrainmapError(
            f"logits must be (N, C) and labels (N,) with N > 0, got {logits.shape} and {np.shape(labels)}"
        )
    if not np.issubdtype(labels.dtype, np.integer) or labels.min() < 0 or labels.max() >= logits.shape[1]:
        raise TrainmapError(
            f"labels must be integers 0 to {logits.shape[1] - 1}, got {labels.dtype} {labels.min()} to {labels.max()}"
        )
    refuse_probabilities(logits, "hand over the logits, or log p, whose softmax is p")
    z = check_logits(np.arange(len(labels)), logits, labels)
    z = np.where(masks(z), -np.inf, z - z.max(axis=1, keepdims=True)).astype(np.float64)
    return z - np.log(np.exp(z).sum(axis=1, keepdims=True))
