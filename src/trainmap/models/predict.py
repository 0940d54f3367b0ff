"""What a trained network predicts for every example of a dataset."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.data.inputs import as_tensor, to_input
from trainmap.errors import TrainmapError
from trainmap.models.layout import is_convolutional
from trainmap.modes import device_of, evaluating

BATCH = 500


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
