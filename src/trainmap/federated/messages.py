"""What travels between the server and the clients, as Flower's records: networks one way and the other, settings of a
round, counts. What may be in a client's reply stands here, in one table; nothing else leaves it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, fields
from typing import Any

import numpy as np
from flwr.app import Array, ArrayRecord, ConfigRecord, Message, MetricRecord, RecordDict
from numpy.typing import NDArray

from trainmap.errors import TrainmapError
from trainmap.federated.client import Told, Weights
from trainmap.federated.histograms import SHAPE

ARRAYS, CONFIG, METRICS, HISTOGRAM = "arrays", "config", "metrics", "histogram"
TRAIN, RECORD, HELLO, HISTOGRAMS = "train", "query.record", "query.hello", "query.histogram"

SECURE = "secure"
"""Of a histogram that is told masked, by Flower's SecAgg+, in four stages."""

NUMBER, WEIGHT = "client", "num-examples"
TOLD = tuple(one.name for one in fields(Told))
_FITRES: Mapping[str, tuple[str, ...]] = {
    "fitres.parameters": (),  # what was masked is taken out of it
    "fitres.num_examples": ("num_examples",),  # 1, whoever it is
    "fitres.metrics": (),
    "fitres.status": ("code", "message"),
}
REPLIES: Mapping[str, Mapping[str, tuple[str, ...]]] = {
    TRAIN: {ARRAYS: (), METRICS: (NUMBER, WEIGHT, *TOLD)},
    RECORD: {METRICS: (NUMBER, *TOLD)},
    HELLO: {METRICS: (NUMBER, "examples", "classes")},
    HISTOGRAMS: {HISTOGRAM: ("counts",), METRICS: (NUMBER, "examples")},
    **{
        f"{SECURE}.{stage}": {"secaggplus_configs": keys, **records}
        for stage, keys, records in (
            ("setup", ("pk1", "pk2"), {}),
            ("share_keys", ("dsts", "ctxts"), {}),
            ("collect_masked_vectors", ("masked_params",), _FITRES),
            ("unmask", ("nids", "shares"), {}),
        )
    },
}
"""What is asked -> the records of its reply -> the keys of each; of the arrays of a network: the names that were sent.
What is asked is the type of a message; of secure aggregation, whose messages all have one type, its stage."""


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
    """A client's reply of its work, with its network where it trained."""
    metrics: dict[str, Any] = {NUMBER: number, **asdict(one)}
    if weights is None:
        return reply(message, RECORD, {METRICS: MetricRecord(metrics)})
    metrics[WEIGHT] = one.kept
    return reply(message, TRAIN, {ARRAYS: record_of(weights), METRICS: MetricRecord(metrics)})


def told_hello(message: Message, number: int, examples: int, classes: int) -> Message:
    """A client's reply of who it is."""
    metrics: dict[str, Any] = {NUMBER: number, "examples": examples, "classes": classes}
    return reply(message, HELLO, {METRICS: MetricRecord(metrics)})


def told_histogram(message: Message, number: int, examples: int, counts: NDArray[Any]) -> Message:
    """A client's reply of its histogram, as it may be seen."""
    metrics: dict[str, Any] = {NUMBER: number, "examples": examples}
    return reply(
        message, HISTOGRAMS, {HISTOGRAM: ArrayRecord({"counts": Array(counts)}), METRICS: MetricRecord(metrics)}
    )


def histogram_in(message: Message) -> NDArray[Any]:
    """A histogram out of a message."""
    return message.content.array_records[HISTOGRAM]["counts"].numpy()


def reply(message: Message, asked: str, records: Mapping[str, Any]) -> Message:
    """A client's reply. Every one is made here: nothing leaves a client but what ``REPLIES`` names, a network of the
    names and shapes that were sent, a histogram of its one shape, and single numbers.

    Raises:
        TrainmapError: there is something else in it.
    """
    if (why := excess(records, asked)) or (why := _other_arrays(message, records)):
        raise TrainmapError(f"a reply to {asked} may not leave this client: {why}")
    return Message(RecordDict(dict(records)), reply_to=message)


def excess(records: Mapping[str, Any], asked: str) -> str | None:
    """What a reply has that it must not have, or lacks; None where its records and their keys are those of
    ``REPLIES``, and its metrics single numbers. The names of a network's arrays are not looked at."""
    wanted = REPLIES[asked]
    if records.keys() != wanted.keys():
        return f"a reply must have {', '.join(wanted)}, got {', '.join(sorted(records)) or 'nothing'}"
    for name, keys in wanted.items():
        if name != ARRAYS and set(records[name]) != set(keys):
            got = ", ".join(sorted(map(str, records[name]))) or "nothing"
            return f"its {name} must be {', '.join(keys) or 'empty'}, got {got}"
    if lists := [name for name, value in dict(records.get(METRICS, {})).items() if isinstance(value, list)]:
        return f"{lists[0]} must be one number, got a list"
    return None


def _other_arrays(message: Message, records: Mapping[str, Any]) -> str | None:
    if ARRAYS in records:
        sent = {name: list(array.shape) for name, array in message.content.array_records[ARRAYS].items()}
        if sent != {name: list(array.shape) for name, array in records[ARRAYS].items()}:
            return "its network has other arrays than the one that was sent"
    if HISTOGRAM in records and tuple(records[HISTOGRAM]["counts"].shape) != SHAPE:
        return f"a histogram is {SHAPE}"
    return None


def size_of(message: Message) -> int:
    """Bytes of what a message carries: of arrays their own, of the rest as it is written."""
    if not message.has_content():
        return 0
    records = message.content.values()
    return sum(one.count_bytes() if isinstance(one, ArrayRecord) else len(one.deflate()) for one in records)
