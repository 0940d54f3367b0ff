"""Which clients have wrong labels: found from their maps, or from their networks by a server with data of its own.

Every detector gives each client a number, high where it is suspected; none of them decides. In ``DETECTORS`` the two
ways stand beside each other. What each way reads, the server has without asking more of the clients: the histograms of
their maps that it reads thresholds from (with the noise of their privacy), and the networks that they send. Where these
histograms are added up by secure aggregation it has their sum alone, and nothing to read about one client.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from sklearn.metrics import roc_auc_score
from torch import nn

from trainmap.data.dataset import Dataset
from trainmap.errors import TrainmapError, shown, some, whole
from trainmap.evaluation.metrics import evaluate
from trainmap.federated.client import Weights, load
from trainmap.federated.histograms import CONFIDENCE, SHAPE, VARIABILITY, possible
from trainmap.federated.server import Round
from trainmap.models.predict import predict

Array = NDArray[Any]

WORST = 1e6
"""Nats; a number that JSON has, and that differences can be made of."""
CENTRES = (CONFIDENCE[1:] + CONFIDENCE[:-1]) / 2
HARD_CORNER = (VARIABILITY[1:] + VARIABILITY[:-1])[None, :] / 2 <= 0.5 - CENTRES[:, None]
"""The bins that are nearer to the hard corner (0, 0) of the map than to the others, see ``trainmap.maps.regions``."""


@dataclass(frozen=True, eq=False)
class Evidence:
    """What a server knows of K clients.

    Attributes:
        histograms: (K, *histograms.SHAPE) of their maps, exact or noised; None where there are no maps.
        losses, accuracies: (T, K) of the networks that they sent in T rounds, on the server's data; NaN where a client
            sent none. None where nothing was judged.
        examples: (K,) that each client said it has, NaN where it did not; None where none did. Against noise this is a
            better number than the sum of a histogram.

    Raises:
        TrainmapError: arrays of other shapes, a client that was never judged.
    """

    histograms: Array | None = None
    losses: Array | None = None
    accuracies: Array | None = None
    examples: Array | None = None

    def __post_init__(self) -> None:
        clients = {given.shape[shape] for shape, given in self._given() if given.ndim > 1}
        clients |= set() if self.examples is None else {self.examples.size}
        if len(clients) != 1:
            raise TrainmapError(f"evidence must be of the same clients, one or more, got {sorted(clients)} of them")
        if self.histograms is not None and (
            self.histograms.shape[1:] != SHAPE or not np.isfinite(self.histograms).all()
        ):
            raise TrainmapError(f"histograms must be (K, {SHAPE[0]}, {SHAPE[1]}) numbers, got {self.histograms.shape}")
        for told in (self.losses, self.accuracies):
            if told is not None and (told.ndim != 2 or np.isnan(told).all()):
                raise TrainmapError(f"losses and accuracies must be (T, K) numbers, got {shown(told)}")

    def _given(self) -> list[tuple[int, Array]]:
        """The arrays that are there, and the axis of each that is the clients'."""
        every = ((0, self.histograms), (1, self.losses), (1, self.accuracies))
        return [(axis, given) for axis, given in every if given is not None]

    @staticmethod
    def of(clients: int, rounds: Sequence[Round] = (), histograms: Sequence[Array] | None = None) -> Evidence:
        """From the rounds of a federation with a ``judge`` (``judging``), and the histograms of its clients.

        Args:
            clients: K.
            rounds: those of them in which nobody was judged are passed over.
            histograms: one for each client, by their numbers.

        Raises:
            TrainmapError: see above.
        """
        judged = [one.judged for one in rounds if one.judged]
        found: dict[str, Array] = {}
        for name, metric in (("losses", "loss"), ("accuracies", "accuracy")):
            if judged:
                rows = [[one.get(str(at), {}).get(metric, np.nan) for at in range(clients)] for one in judged]
                found[name] = np.array(rows, dtype=np.float64)
        if said := {int(name): told["examples"] for one in rounds for name, told in one.clients.items()}:
            found["examples"] = np.array([said.get(at, np.nan) for at in range(clients)], dtype=np.float64)
        return Evidence(None if histograms is None else np.array(histograms, dtype=np.float64), **found)


def low_confidence(evidence: Evidence) -> Array:
    """One minus the mean confidence of a client's map, (K,): wrong labels are not believed. An example that was never
    seen, and is not in the histogram, has one of a half."""
    return 0.5 - _counts(evidence).sum(axis=2) @ (CENTRES - 0.5) / _totals(evidence)


def low_ranks(evidence: Evidence) -> Array:
    """How low the confidences of a client's examples rank among those of all clients together, (K,): the mean of
    (rank from the top) / N, 1/2 for a client as all others. Unlike the mean, it does not ask how far training is."""
    counts = _counts(evidence).sum(axis=2)
    together = counts.sum(axis=0)
    above = (together[::-1].cumsum()[::-1] - together / 2) / max(together.sum(), 1.0)
    return 0.5 + counts @ (above - 0.5) / _totals(evidence)


def hard_corner(evidence: Evidence) -> Array:
    """The share of a client's examples in the hard corner of the map, (K,): confidence low, and it does not vary."""
    return (_counts(evidence) * HARD_CORNER).sum(axis=(1, 2)) / _totals(evidence)


def high_loss(evidence: Evidence) -> Array:
    """How far the loss of a client's network on the server's data is above the median of the round, (K,): the mean over
    the rounds in which it was judged. The difference, because losses fall from round to round and clients sit rounds
    out."""
    losses = _judged(evidence.losses)
    return _mean(losses - np.nanmedian(losses, axis=1, keepdims=True))


def low_accuracy(evidence: Evidence) -> Array:
    """How far the accuracy of a client's network on the server's data is below the median of the round, (K,): the mean
    over the rounds in which it was judged."""
    accuracies = _judged(evidence.accuracies)
    return _mean(np.nanmedian(accuracies, axis=1, keepdims=True) - accuracies)


@dataclass(frozen=True)
class Detector:
    """An entry of ``DETECTORS``.

    Attributes:
        name: what it is called.
        reads: "maps" or "networks".
        score: evidence -> (K,), high is suspected.
    """

    name: str
    reads: str
    score: Callable[[Evidence], Array]


DETECTORS: Mapping[str, Detector] = {
    one.name: one
    for one in (
        Detector("low confidence", "maps", low_confidence),
        Detector("low ranks", "maps", low_ranks),
        Detector("hard corner", "maps", hard_corner),
        Detector("high loss", "networks", high_loss),
        Detector("low accuracy", "networks", low_accuracy),
    )
}


def detected(evidence: Evidence, noisy: Collection[int]) -> dict[str, float]:
    """The area under the ROC curve of every detector that the evidence is there for: the chance that a noisy client is
    suspected more than a clean one, a half where they are told apart by luck.

    Args:
        noisy: numbers of the clients that are.

    Raises:
        TrainmapError: none or all are noisy, or a number that no client has.
    """
    clients = next(given.shape[axis] for axis, given in evidence._given())
    known = {whole(one, "a client") for one in np.asarray(list(noisy)).tolist()}
    if not known or len(known) >= clients or max(known) >= clients:
        raise TrainmapError(
            f"some of the {clients} clients, not all, must be noisy, got {some(sorted(known)) or 'none'}"
        )
    truth = np.isin(np.arange(clients), sorted(known))
    there = {"maps": evidence.histograms is not None, "networks": evidence.losses is not None}
    return {
        name: float(roc_auc_score(truth, one.score(evidence))) for name, one in DETECTORS.items() if there[one.reads]
    }


def judging(model: nn.Module, data: Dataset, device: str = "cpu") -> Callable[[Weights], dict[str, float]]:
    """A judge for ``federate``: loss and accuracy of a client's network on data of the server's own.

    A network whose outputs are not finite has the loss ``WORST`` and an accuracy of 0.
    """

    def judge(weights: Weights) -> dict[str, float]:
        load(model, weights, "the judge")
        logits = predict(model, data, device=device)
        if not np.isfinite(logits).all():
            return {"loss": WORST, "accuracy": 0.0}
        found = evaluate(logits, data.y)
        return {"loss": found.loss, "accuracy": found.accuracy}

    return judge


def _counts(evidence: Evidence) -> Array:
    if evidence.histograms is None:
        raise TrainmapError("this detector reads maps, and there are no histograms; let the clients record")
    return np.where(possible(), evidence.histograms, 0.0)


def _totals(evidence: Evidence) -> Array:
    """(K,) examples of each client, at least 1: as it said, or those in its histogram, which noise can outweigh."""
    seen = _counts(evidence).sum(axis=(1, 2))
    said = seen if evidence.examples is None else evidence.examples
    return np.maximum(np.where(np.isnan(said), seen, said), 1.0)


def _judged(values: Array | None) -> Array:
    """(T, K), of the rounds in which anybody was judged."""
    if values is None:
        raise TrainmapError("this detector reads networks, and none were judged; give federate a judge")
    return values[~np.isnan(values).all(axis=1)]


def _mean(values: Array) -> Array:
    """Over the rounds, (K,); a client that was never judged is suspected as the median of the others."""
    there = ~np.isnan(values)
    means = np.where(there, values, 0).sum(axis=0) / np.maximum(there.sum(axis=0), 1)
    known = there.any(axis=0)
    return np.where(known, means, np.median(means[known]))
