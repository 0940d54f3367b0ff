"""Whole trajectories of a signal, and clusters of examples that are learned alike (S2L).

A cluster is not a score: nothing in its number is hard or easy, except that clusters are numbered from the highest mean
loss to the lowest, so that the same clusters have the same numbers.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import FLOAT_SIGNALS, Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, unknown, whole
from trainmap.scores.compute import epochs_taken

Array = NDArray[Any]

BLOCK_BYTES = 32 << 20
SAMPLE = 100_000
UNCLUSTERED = -1


def trajectories(block: Block, signal: str = "loss") -> Array:
    """A signal of each example over the epochs: its features.

    Args:
        block: E epochs of n examples; uses ``signal``.
        signal: one of ``p_gold``, ``margin``, ``loss``, ``entropy``, ``el2n``; of a recording of another kind than
            classes any of its signals.

    Returns:
        (n, E) float32; NaN where an example was not seen.

    Source: Yang et al. 2024 (S2L), arXiv:2403.07384, section 4: the loss at the checkpoints of a small model.
    """
    known = FLOAT_SIGNALS if {"predicted", *FLOAT_SIGNALS} & set(block.signals) else tuple(block.signals)
    if not isinstance(signal, str) or signal not in (*known, *block.signals) or signal == "predicted":
        raise unknown("signal", signal, known)
    return np.ascontiguousarray(block[signal].T, dtype=np.float32)


@dataclass(frozen=True, eq=False)
class Clusters:
    """Examples that are learned alike.

    Attributes:
        ids: (N,) the examples, ascending.
        labels: (N,) int64, the cluster of each, 0 to k - 1; -1 for an example that missed an epoch.
        centres: (k, E) float64, the mean trajectory of each cluster (over the examples that it was fitted on).
    """

    ids: Array
    labels: Array
    centres: Array

    @property
    def sizes(self) -> Array:
        """(k,) how many examples each cluster has."""
        return np.bincount(self.labels[self.labels != UNCLUSTERED], minlength=len(self.centres))


def cluster(
    dynamics: Dynamics,
    clusters: int = 100,
    *,
    signal: str = "loss",
    epochs: int | None = None,
    seed: int = 0,
    iterations: int = 20,
    sample: int = SAMPLE,
) -> Clusters:
    """k-means over the trajectories of a recording.

    The centres are fitted on a random sample of the examples and every example then goes to its nearest centre, row
    block by row block, so that memory is bounded by the sample. The same recording and seed give the same clusters,
    whatever the number of cores.

    Args:
        dynamics: where the trajectories come from.
        clusters: k; 100 as in the paper.
        signal, epochs: what the features are, and how many of the first epochs.
        seed: of the sample and of the first centres.
        iterations: of k-means, at most; 20 as in the paper's code.
        sample: how many examples the centres are fitted on, at most.

    Raises:
        TrainmapError: fewer distinct trajectories (of examples seen in every epoch) than clusters.

    Source: Yang et al. 2024 (S2L), arXiv:2403.07384, algorithm 1; it then takes equal numbers from every cluster.
    Differs: k-means++ start and scikit-learn in place of Faiss; an example that missed an epoch has no cluster (their
    code sets a missing loss to 0).
    """
    from sklearn.cluster import KMeans
    from threadpoolctl import threadpool_limits

    for name, value in (("sample", sample), ("iterations", iterations)):
        whole(value, name, 1)
    whole(seed, "seed")
    if whole(clusters, "clusters") < 1 or sample < clusters:
        raise TrainmapError(f"clusters must be 1 to sample={sample}, got {clusters}")
    seen = np.concatenate([~np.isnan(part).any(axis=1) for part in _parts(dynamics, signal, epochs)])
    rows = np.flatnonzero(seen)
    if len(rows) > sample:
        rows = np.sort(np.random.Generator(np.random.PCG64(seed)).choice(rows, sample, replace=False))
    fitted, start = [], 0
    for part in _parts(dynamics, signal, epochs):
        here = rows[np.searchsorted(rows, start) : np.searchsorted(rows, start + len(part))]
        fitted.append(part[here - start])
        start += len(part)
    features = np.concatenate(fitted)
    distinct = len(np.unique(features, axis=0))
    if distinct < clusters:
        raise TrainmapError(f"clusters must be 1 to {distinct} (the distinct trajectories), got {clusters}")
    with threadpool_limits(1):  # several threads add up their parts in the order in which they finish
        means = KMeans(
            clusters,
            n_init=1,  # pyright: ignore[reportArgumentType]
            max_iter=iterations,
            random_state=seed,
        ).fit(features)
        order = np.argsort(-means.cluster_centers_.mean(axis=1), kind="stable")
        place = np.argsort(order)
        labels = np.full(len(seen), UNCLUSTERED, np.int64)
        start = 0
        for part in _parts(dynamics, signal, epochs):
            complete = seen[start : start + len(part)]
            if complete.any():
                labels[start : start + len(part)][complete] = place[means.predict(np.ascontiguousarray(part[complete]))]
            start += len(part)
    return Clusters(dynamics.ids, labels, means.cluster_centers_[order].astype(np.float64))


def _parts(dynamics: Dynamics, signal: str, epochs: int | None) -> Iterator[Array]:
    """The trajectories of all examples in row order, some rows at a time."""
    said = dynamics.manifest.signals
    known = FLOAT_SIGNALS if said is None else tuple(one.name for one in said)
    if not isinstance(signal, str) or signal not in known:
        raise unknown("signal", signal, known)
    taken = epochs_taken(dynamics, epochs)
    rows = max(1, BLOCK_BYTES // (4 * max(1, taken)))
    for block in dynamics.blocks(rows, [signal], taken):
        yield trajectories(block, signal)
