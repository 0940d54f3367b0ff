"""Natural language inference with counterfactual revisions: a test set, and what people made of it by small changes."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.data.dataset import Dataset, Splits, load_splits
from trainmap.data.elsewhere import Revised, load_pairs
from trainmap.data.names import EMBEDDINGS
from trainmap.errors import TrainmapError, shown


def load_counterfactual(
    data_root: str | Path = "data", representation: Literal["tokens", "embeddings"] = "tokens"
) -> tuple[Splits, dict[str, Dataset]]:
    """Pairs of SNLI, and the test pairs with the premise or the hypothesis revised so that the label changes: the
    dataset ``cad_nli`` and its revisions (``load_splits``, ``load_pairs``) in one call.

    Args:
        representation: word tokens with the vocabulary of the original training part, or frozen sentence embeddings.

    Returns:
        the original pairs in their three splits, and the revised test pairs: shifts of the test split, which
        ``shifts.evaluate_everywhere`` takes. Classes: contradiction, entailment, neutral.

    Raises:
        TrainmapError: a file that is missing or not what it must be.

    Source: Kaushik et al. 2020, arXiv:1909.12434.
    """
    if representation not in ("tokens", "embeddings"):
        raise TrainmapError(f"representation must be 'tokens' or 'embeddings', got {shown(representation)}")
    name = "cad_nli" if representation == "tokens" else f"cad_nli{EMBEDDINGS}"
    splits = load_splits(name, data_root)
    return splits, {called: pairs.revised for called, pairs in load_pairs(name, splits.test, data_root).items()}


def consistency(
    test: Dataset, predicted: NDArray[np.integer], revisions: Iterable[tuple[Revised, NDArray[np.integer]]]
) -> float:
    """How often a network is right on an example and on all of its revisions.

    ``mean over the test examples that have a revision of [right on it and on each of its revisions]``

    Args:
        test: the original examples.
        predicted: (N,) classes, rows aligned with ``test``.
        revisions: sets of revised examples, each with its (M,) predicted classes, rows aligned with the set.

    Returns:
        in [0, 1]; high is good. It is at most the accuracy on the revised originals.

    Raises:
        TrainmapError: predictions of another length, no revisions, or revisions of examples that are not in ``test``.

    Source: Gardner et al. 2020, arXiv:2004.02709, section 2.3 (contrast consistency).
    """
    right, has = np.asarray(predicted) == test.y if len(predicted) == len(test) else None, np.zeros(len(test), bool)
    if right is None:
        raise TrainmapError(f"predictions must be of the {len(test)} examples of {test.name}, got {len(predicted)}")
    for pairs, theirs in revisions:
        if len(theirs) != len(pairs.revised):
            raise TrainmapError(f"predictions must be of {len(pairs.revised)} revised examples, got {len(theirs)}")
        rows = test.rows(pairs.of)
        has[rows] = True
        np.logical_and.at(right, rows, theirs == pairs.revised.y)
    if not has.any():
        raise TrainmapError("consistency is of examples and their revisions; there are no revisions")
    return float(right[has].mean())
