"""What a trained network predicts, and how good that is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from sklearn.metrics import f1_score
from torch import nn

from trainmap.dynamics.precision import check_logits, masks
from trainmap.dynamics.probabilities import refuse_probabilities
from trainmap.errors import TrainmapError
from trainmap.training.data import Dataset, as_tensor, to_input
from trainmap.training.models import is_convolutional
from trainmap.training.modes import device_of, evaluating

BINS = 15
BATCH = 500


@dataclass(frozen=True)
class Metrics:
    """Fractions 0 to 1 (accuracy, macro F1, calibration error) and the mean loss in nats."""

    accuracy: float
    macro_f1: float
    loss: float
    calibration_error: float


def predict(model: nn.Module, dataset: Dataset, flips: bool = False, device: str | None = None) -> NDArray[np.float32]:
    """Logits of every example, in the dataset's row order.

    Args:
        model: any network that takes the dataset's form of input; it is left in the mode (train or eval) it came in.
        dataset: N examples.
        flips: average the logits of the image and of its mirror image (test-time augmentation; twice the cost);
            pixels alone.
        device: where to compute, and the model is moved to; None: where it is.

    Returns:
        (N, C) float32; float64 of a network in double precision.

    Raises:
        TrainmapError: no examples, or flips of what is no image.
    """
    if flips:
        return predict_pairs(model, dataset, device).mean(axis=1)
    return _forward(model, dataset, device, mirror=False)


def predict_pairs(model: nn.Module, dataset: Dataset, device: str | None = None) -> NDArray[np.float32]:
    """Logits of every image and of its mirror image: (N, 2, C) float32, the image as it is first."""
    plain = _forward(model, dataset, device, mirror=False)
    return np.stack([plain, _forward(model, dataset, device, mirror=True)], axis=1)


def _forward(model: nn.Module, dataset: Dataset, device: str | None, mirror: bool) -> NDArray[np.float32]:
    if len(dataset) == 0:
        raise TrainmapError(f"nothing to predict: the dataset '{dataset.name}' has no examples")
    if mirror and dataset.inputs.form != "pixels":
        raise TrainmapError(f"flips are for images, but {dataset.name} has {dataset.inputs}; use flips=False")
    channels_last, device = is_convolutional(model), device or device_of(model)
    with evaluating(model.to(device)), torch.inference_mode():
        x = as_tensor(dataset.x, device)
        parts = [model(to_input(part.flip(-1) if mirror else part, channels_last)) for part in x.split(BATCH)]
        logits = torch.cat(parts)
    return logits.to(torch.promote_types(logits.dtype, torch.float32)).cpu().numpy()


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
