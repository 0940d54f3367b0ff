"""How good a global network is: one way for a run in one process and for real machines."""

from __future__ import annotations

from dataclasses import asdict

from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.evaluation.metrics import evaluate
from trainmap.federated.client import Weights, load
from trainmap.models.predict import predict


def measured(
    network: nn.Module, weights: Weights, test: Dataset, flips: bool, device: str | None = None
) -> dict[str, float]:
    """The metrics of a global network on test data.

    Args:
        network: the weights are put into it.
        flips: as its recipe has them: of images each with its mirror image.

    Raises:
        Declined: weights of another network, or that are not finite.
    """
    load(network, weights, "the server")
    return asdict(evaluate(predict(network, test, flips, device), test.y))
