"""Telling examples of the training distribution from others, by what a network says of them."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from trainmap.dynamics.probabilities import refuse_probabilities
from trainmap.errors import TrainmapError


@dataclass(frozen=True)
class Detection:
    """How well an outlier score separates two sets; fractions 0 to 1.

    Out-of-distribution examples are the positive class, as in Hendrycks and Gimpel 2017 and in pytorch-ood, and a high
    score means out of distribution.

    Attributes:
        auroc: the chance that an outlier has the higher score of a random pair, ties counting half; 0.5 is guessing.
        fpr95: the share of in-distribution examples that are flagged where 95 % of the outliers are. Low is good.
        fpr95_in: the share of outliers that pass where 95 % of the in-distribution examples do: the same measure with
            in-distribution examples as the positive class, which other papers (ODIN, energy) call FPR95. Low is good.
        aupr: area under precision and recall of the outliers (trapezoids); guessing gives their share.
        inside, outside: how many examples there were of each.
    """

    auroc: float
    fpr95: float
    fpr95_in: float
    aupr: float
    inside: int
    outside: int


def detect(inside: NDArray[np.floating], outside: NDArray[np.floating]) -> dict[str, Detection]:
    """Every score of ``OUTLIER_SCORES`` on the logits of two sets.

    Args:
        inside: (N, C) logits of examples like the training data.
        outside: (M, C) logits, by the same network, of others.

    Returns:
        score's name -> how well it tells them apart.

    Raises:
        TrainmapError: shapes that do not fit, an empty set, logits that are not finite, or no pytorch-ood.
    """
    for name, logits in (("inside", inside), ("outside", outside)):
        if logits.ndim != 2 or not len(logits) or logits.shape[1] != inside.shape[-1]:
            raise TrainmapError(
                f"both sets of logits must be (examples, C) with at least one example, got {inside.shape} and "
                f"{outside.shape}"
            )
        if broken := int((~np.isfinite(logits).all(axis=1)).sum()):
            raise TrainmapError(f"logits must be finite; {broken} of {len(logits)} rows of '{name}' are not")
        refuse_probabilities(logits, "hand over the logits, or log p, whose softmax is p")
    return {name: separation(score(inside), score(outside)) for name, score in OUTLIER_SCORES.items()}


def separation(inside: NDArray[np.floating], outside: NDArray[np.floating]) -> Detection:
    """How well an outlier score (high: out of distribution) tells two sets apart.

    Args:
        inside: (N,) scores of examples like the training data.
        outside: (M,) scores of others.
    """
    functional = _pytorch_ood("metrics.functional")
    scores = torch.from_numpy(np.concatenate([inside, outside]).astype(np.float64))
    labels = torch.cat([torch.zeros(len(inside)), -torch.ones(len(outside))]).long()  # theirs: below 0 is outside
    return Detection(
        auroc=float(functional.auroc(scores, labels)),
        fpr95=float(functional.fpr_at_tpr(scores, labels)),
        fpr95_in=float(functional.fpr_at_tpr(-scores, -1 - labels)),
        aupr=float(functional.aupr(scores, labels)),
        inside=len(inside),
        outside=len(outside),
    )


def max_softmax(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """``-max_c softmax(z)_c``: (N,) in [-1, -1/C]. Hendrycks and Gimpel 2017, arXiv:1610.02136."""
    return _scored(logits, "MaxSoftmax")


def max_logit(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """``-max_c z_c``: (N,). Hendrycks et al. 2022, arXiv:1911.11132."""
    return _scored(logits, "MaxLogit")


def energy(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """``-log sum_c exp(z_c)`` (temperature 1): (N,). Liu et al. 2020, arXiv:2010.03759."""
    return _scored(logits, "EnergyBased")


def entropy(logits: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy of the softmax in nats: (N,) in [0, log C]; pytorch-ood takes probabilities as at least 1e-7."""
    return _scored(logits, "Entropy")


def _scored(logits: NDArray[np.floating], detector: str) -> NDArray[np.float64]:
    score = getattr(_pytorch_ood("detector"), detector).score
    return score(torch.from_numpy(logits.astype(np.float64))).numpy()


def _pytorch_ood(part: str) -> Any:
    try:
        return import_module(f"pytorch_ood.{part}")
    except ModuleNotFoundError as error:
        raise TrainmapError(
            "out-of-distribution scores need pytorch-ood; install it with: pip install 'trainmap[evaluate]'"
        ) from error


OUTLIER_SCORES: Mapping[str, Callable[[NDArray[Any]], NDArray[np.float64]]] = {
    "max_softmax": max_softmax,
    "max_logit": max_logit,
    "energy": energy,
    "entropy": entropy,
}
"""(N, C) logits -> (N,) float64; high means out of distribution."""
