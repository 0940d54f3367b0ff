"""How the clients' networks become one: Flower's strategies by name, and which replies they are given."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from flwr.serverapp.strategy import FedAdagrad, FedAdam, FedAvg, FedMedian, FedProx, FedYogi
from flwr.serverapp.strategy.fedopt import FedOpt

from trainmap.errors import TrainmapError, shown, unknown
from trainmap.federated.client import Weights
from trainmap.federated.histograms import SHAPE
from trainmap.federated.messages import (
    ARRAYS,
    HISTOGRAM,
    METRICS,
    NUMBER,
    REPLIES,
    SECURE,
    TRAIN,
    WEIGHT,
    ArrayRecord,
    Message,
    excess,
    histogram_in,
    metrics_of,
    weights_in,
)
from trainmap.federated.secure_sum import broken

LARGEST = 10**9
"""Examples that a client may say it trained on: more is a mistake or an attack, for it would decide alone."""
UNLIKELY = 8.0
"""Standard deviations that no noise is off: less than once in 10^14."""


@dataclass(frozen=True)
class Aggregation:
    """An entry of ``AGGREGATIONS``.

    Attributes:
        name: what it is called.
        strategy: Flower's.
        options: that may be given, with their defaults.
        source: the paper.
    """

    name: str
    strategy: Callable[..., FedAvg]
    options: Mapping[str, float]
    source: str

    def make(self, given: Mapping[str, float]) -> FedAvg:
        """Flower's strategy with these options; who takes part is not its business here.

        Raises:
            TrainmapError: an option that it does not have, or a value that is no finite number from 0 on.
        """
        for name, value in given.items():
            if name not in self.options:
                if not self.options:
                    raise TrainmapError(f"{self.name} has no options, got '{name}'")
                raise unknown(f"option of {self.name}", name, self.options)
            if isinstance(value, bool) or not isinstance(value, int | float) or not 0 <= value < math.inf:
                raise TrainmapError(f"{self.name}: {name} must be a number from 0 on, got {shown(value)}")
        return self.strategy(**{**self.options, **given})

    def told(self, given: Mapping[str, float]) -> dict[str, float]:
        """What the clients are told of it."""
        return {"proximal-mu": float({**self.options, **given}["proximal_mu"])} if self.name == "fedprox" else {}


MOMENTS = ("m_t", "v_t")
_ADAPTIVE = {"eta": 0.01, "beta_1": 0.9, "beta_2": 0.99, "tau": 1e-3}
AGGREGATIONS: Mapping[str, Aggregation] = {
    one.name: one
    for one in (
        Aggregation("fedavg", FedAvg, {}, "McMahan et al. 2017, arXiv:1602.05629"),
        Aggregation("fedprox", FedProx, {"proximal_mu": 0.01}, "Li et al. 2020, arXiv:1812.06127"),
        Aggregation("fedadam", FedAdam, _ADAPTIVE, "Reddi et al. 2021, arXiv:2003.00295"),
        Aggregation("fedyogi", FedYogi, _ADAPTIVE, "Reddi et al. 2021, arXiv:2003.00295"),
        Aggregation("fedadagrad", FedAdagrad, {"eta": 0.01, "tau": 1e-3}, "Reddi et al. 2021, arXiv:2003.00295"),
        Aggregation("fedmedian", FedMedian, {}, "Yin et al. 2018, arXiv:1803.01498"),
    )
}


def aggregation_of(name: str) -> Aggregation:
    """The aggregation of that name.

    Raises:
        TrainmapError: there is none.
    """
    if name not in AGGREGATIONS:
        raise unknown("aggregation", name, AGGREGATIONS)
    return AGGREGATIONS[name]


def refusal(
    reply: Message, sent: Weights, message_type: str = TRAIN, number: int | None = None, deviation: float = 0.0
) -> str | None:
    """Why a reply is not taken: None where it is as it must be.

    A reply must have the records and keys of ``REPLIES``; counts that are whole numbers and agree with one another;
    arrays of the names, shapes and kinds that were sent, all values finite; a histogram of its one shape, of no more
    examples than it says that it has, but for noise of this standard deviation (``UNLIKELY`` of them); and be of the
    client with that number.
    """
    if reply.has_error():
        return reply.error.reason or f"error {reply.error.code}"
    wanted = REPLIES[message_type]
    if why := excess(reply.content, message_type):
        return why
    if METRICS in wanted and (why := _wrong_metrics(metrics_of(reply), number)):
        return why
    if HISTOGRAM in wanted:
        return _wrong_histogram(reply, deviation)
    if message_type.startswith(SECURE):
        return broken(reply, message_type)
    return _wrong_arrays(reply, sent) if ARRAYS in wanted else None


def _wrong_metrics(metrics: Mapping[str, Any], number: int | None) -> str | None:
    for name, value in metrics.items():
        if not math.isfinite(value) or value < 0:
            return f"{name} must be a number from 0 on, got {shown(value)}"
    if not isinstance(metrics[NUMBER], int) or number not in (None, metrics[NUMBER]):
        return f"it says that it is client {shown(metrics[NUMBER])}"
    counts = [name for name in (WEIGHT, "examples", "kept") if name in metrics]
    for name in counts:
        if not isinstance(metrics[name], int) or metrics[name] > LARGEST:
            return f"{name} must be a whole number, at most {LARGEST:,}, got {shown(metrics[name])}"
    if WEIGHT in counts and not metrics[WEIGHT] == metrics["kept"] <= metrics["examples"]:
        return f"it says that it trained on {metrics[WEIGHT]} examples, kept {metrics['kept']} of {metrics['examples']}"
    return None


def _wrong_histogram(reply: Message, deviation: float) -> str | None:
    try:
        counts = histogram_in(reply)
    except (ValueError, TypeError, OSError, EOFError) as error:
        return f"its histogram cannot be read ({type(error).__name__})"
    if counts.shape != SHAPE or counts.dtype != np.int64:
        return f"a histogram must be int64 {SHAPE}, got {counts.dtype} {counts.shape}"
    examples, noise = metrics_of(reply)["examples"], UNLIKELY * deviation
    if counts.min() < -noise or counts.max() > examples + noise:
        return f"counts of {examples} examples must be 0 to {examples}, got {counts.min():,} to {counts.max():,}"
    if counts.sum() > examples + noise * counts.size**0.5:
        return f"it says that it has {examples} examples, and counts {counts.sum():,}"
    return None


def _wrong_arrays(reply: Message, sent: Weights) -> str | None:
    record = reply.content[ARRAYS]
    if not isinstance(record, ArrayRecord) or set(record) != sent.keys():
        return "its arrays have other names than those that were sent"
    for name, array in record.items():
        try:
            value = array.numpy()
        except (ValueError, TypeError, OSError, EOFError) as error:
            return f"{name} cannot be read ({type(error).__name__})"
        if value.shape != sent[name].shape or value.dtype.kind != sent[name].dtype.kind:
            return (
                f"{name} must be {sent[name].dtype} {sent[name].shape}, as it was sent, got {value.dtype} {value.shape}"
            )
        if not np.isfinite(value).all():
            return f"{name} has values that are not finite"
    return None


def averaged(strategy: FedAvg, round_number: int, replies: Iterable[Message], sent: Weights, trained: set[str]) -> Any:
    """The next global network.

    Flower's strategy says what becomes of what is trained. Batch-norm statistics and counters, which no gradient moves,
    are the clients' weighted mean under every strategy: an adaptive server step would make a variance negative.

    Args:
        replies: that were taken, with a weight above 0.
        sent: the network of this round.
        trained: the names of the parameters.
    """
    taken = list(replies)
    weights, theirs = [metrics_of(one)[WEIGHT] for one in taken], [weights_in(one) for one in taken]
    means = {  # first: a strategy may empty the replies
        name: np.average([one[name].astype(np.float64) for one in theirs], 0, weights) for name in sent.keys() - trained
    }
    if isinstance(strategy, FedOpt):
        strategy.current_arrays = {name: np.asarray(value) for name, value in sent.items()}
    arrays, _ = strategy.aggregate_train(round_number, taken)
    if arrays is None:
        raise TrainmapError(f"round {round_number}: {type(strategy).__name__} made no network of {len(taken)} replies")
    made = {name: array.numpy() for name, array in arrays.items()} | means
    return {name: as_sent(made[name], value) for name, value in sent.items()}


def as_sent(value: Any, like: Any) -> Any:
    """An average in the type of what it is the average of; counters are rounded."""
    return (np.rint(value) if like.dtype.kind in "iu" else value).astype(like.dtype).reshape(like.shape)


def state_of(strategy: FedAvg) -> dict[str, dict[str, Any]]:
    """What a strategy carries from round to round: the moments of the adaptive ones."""
    return {name: dict(getattr(strategy, name, None) or {}) for name in MOMENTS}


def restore(strategy: FedAvg, state: Mapping[str, Mapping[str, Any]]) -> None:
    """Give a strategy what one before it carried."""
    for name in MOMENTS:
        if state.get(name):
            setattr(strategy, name, dict(state[name]))
