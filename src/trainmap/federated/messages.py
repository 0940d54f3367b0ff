"""What travels between the server and the clients, as Flower's records: networks one way and the other, settings of a
round, counts. What may be in a client's reply stands here, in one table; nothing else leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from trainmap.federated.client import Told, Weights

ARRAYS, CONFIG, METRICS, HISTOGRAM = "arrays", "config", "metrics", "histogram"
TRAIN, RECORD, HELLO, HISTOGRAMS = "train", "query.record", "query.hello", "query.histogram"

NUMBER, WEIGHT = "client", "num-examples"
TOLD = tuple(one.name for one in fields(Told))
REPLIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    TRAIN: {ARRAYS: (), METRICS: (NUMBER, WEIGHT, *TOLD)},
    RECORD: {METRICS: (NUMBER, *TOLD)},
    HELLO: {METRICS: (NUMBER, "examples", "classes")},
    HISTOGRAMS: {HISTOGRAM: ("counts",), METRICS: (NUMBER,)},
}
"""Message type -> the records of its reply -> the keys of each; of the arrays of a network: its own names."""


def record_of(weights: Weights) -> ArrayRecord:
    """A network's weights as a message has them."""
    return ArrayRecord({name: Array(np.asarray(value)) for name, value in weights.items()})


def weights_in(message: Message) -> dict[str, NDArray[Any]]:
    """A network's weights out of a message."""
    return {name: array.numpy() for name, array in message.content.array_records[ARRAYS].items()}


def config_of(message: Message) -> dict[str, Any]:
    """What the server asks, besides its network."""
    return dict(message.content.config_records[CONFIG])


def metrics_of(message: Message) -> dict[str, Any]:
    """The numbers of a reply."""
    return dict(message.content.metric_records[METRICS])


def asked(arrays: ArrayRecord | None = None, **config: Any) -> RecordDict:
    """What the server sends: a network, or none, and what is to be done with it."""
    records: dict[str, Any] = {} if arrays is None else {ARRAYS: arrays}
    return RecordDict({**records, CONFIG: ConfigRecord(config)})


def told(message: Message, number: int, one: Told, weights: Weights | None = None) -> Message:
    """A client's reply."""
    metrics: dict[str, Any] = {NUMBER: number, **asdict(one)}
    records: dict[str, Any] = {}
    if weights is not None:
        metrics[WEIGHT] = one.kept
        records[ARRAYS] = record_of(weights)
    records[METRICS] = MetricRecord(metrics)
    return Message(RecordDict(records), reply_to=message)


def size_of(message: Message) -> int:
    """Bytes of what a message carries."""
    if not message.has_content():
        return 0
    return sum(record.count_bytes() for record in message.content.values())
