"""What a client records, chooses and scores stays with it: federations with every option, every message read.

Two ways of looking. By form: a reply has the records and keys of the list below, which is written out here once more,
and no array but a network's and a histogram's. By content: the bytes of every message, as they would go over the wire,
are searched for ids and scores in all the types that a number may travel in, and as text.
"""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from flwr.app import Message
from flwr.common.serde import recorddict_to_proto
from tests.federated.clients_of import Small, parts_of_digits

import trainmap.federated.client as client_module
from trainmap import Dynamics
from trainmap.errors import RecordingError, TrainmapError
from trainmap.federated import AGGREGATIONS, Choice, Federation, Privacy, Recording
from trainmap.federated.client import Told
from trainmap.federated.client_app import answering
from trainmap.federated.histograms import SHAPE, histogram
from trainmap.federated.messages import (
    HELLO,
    HISTOGRAM,
    HISTOGRAMS,
    METRICS,
    RECORD,
    ArrayRecord,
    MetricRecord,
    histogram_in,
    record_of,
    reply,
    told,
    told_histogram,
)

Array = Any
FIRST = 7_000_001
COSTS = {"examples", "kept", "seen", "mapped", "train_flops", "sweep_flops", "seconds", "cpu_seconds"}
MASKED = {"pk1", "pk2"}, {"dsts", "ctxts"}, {"masked_params"}, {"nids", "shares"}
FITRES = {"fitres.num_examples": {"num_examples"}, "fitres.metrics": set(), "fitres.status": {"code", "message"}}
ALLOWED = {
    "train": [
        {"arrays": None, "metrics": {"client", "num-examples", *COSTS}},
        *({"secaggplus_configs": keys} for keys in MASKED if keys != {"masked_params"}),
        {"secaggplus_configs": {"masked_params"}, "fitres.parameters": set(), **FITRES},
    ],
    "query.record": [{"metrics": {"client", *COSTS}}],
    "query.histogram": [{"histogram": {"counts"}, "metrics": {"client", "examples"}}],
    "query.hello": [{"metrics": {"client", "examples", "classes"}}],
}
"""Type of a message -> what a reply to it may be; None: the names of the network's arrays."""


@dataclass
class Listener:
    """Keeps every message as it went over the wire, and the exact histograms that the clients counted."""

    run: Small
    sent: list[tuple[Message, bytes]] = field(default_factory=list)
    exact: list[Array] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.run.grid.on_message = self.hear

    def hear(self, message: Message) -> None:
        content = recorddict_to_proto(message.content).SerializeToString() if message.has_content() else b""
        told = message.error.reason or "" if message.has_error() else ""
        said = " ".join([told, message.metadata.group_id, message.metadata.message_type])
        self.sent.append((deepcopy(message), content + said.encode()))

    @property
    def replies(self) -> list[Message]:
        return [message for message, _ in self.sent if message.metadata.reply_to_message_id]


def recognisable(folder: Path, sizes: tuple[int, ...] = (9, 7, 6, 5), **settings: Any) -> Small:
    """A federation whose examples have ids that nothing else is called: 7,000,001 and on."""
    federation = replace(Federation(rounds=3), **settings)
    parts, first, data = parts_of_digits(sizes), FIRST, []
    for part in parts:
        data.append(replace(part, ids=np.arange(first, first + len(part))))
        first += len(part)
    return Small(federation, data, folder, "cnn-8")  # a small network: all its bytes are searched


def listened(folder: Path, monkeypatch: pytest.MonkeyPatch, **settings: Any) -> Listener:
    listener = Listener(recognisable(folder, **settings))

    def counted(confidence: Array, variability: Array) -> Array:
        listener.exact.append(histogram(confidence, variability))
        return listener.exact[-1]

    monkeypatch.setattr(client_module, "histogram", counted)
    monkeypatch.setattr(Small, "accuracy", lambda *_: {"accuracy": 0.0})  # nothing that travels
    listener.run.run()
    return listener


GLOBAL, MIXED = Choice("33% ambiguous", bounds="global"), Choice("33% ambiguous", bounds="mixed")
OPTIONS: dict[str, dict[str, Any]] = {
    **{name: {"aggregation": name, "choice": Choice("50% ambiguous")} for name in AGGREGATIONS},
    "everything": {},
    "nothing recorded": {"recording": Recording(nothing=True)},
    "random": {"choice": Choice("33% random")},
    "auto": {"choice": Choice("33% auto")},
    "training": {"recording": Recording("training")},
    "global": {"choice": GLOBAL},
    "mixed": {"choice": Choice("20% ambiguous + 20% hard-to-learn", bounds="mixed")},
    "training, some": {
        "choice": Choice("33% random"),
        "recording": Recording("training"),
        "participation": 0.6,
        "rounds": 8,
    },
    "private": {"choice": GLOBAL, "privacy": Privacy(5.0)},
    "private, mixed, some": {"choice": MIXED, "privacy": Privacy(5.0), "participation": 0.5},
    "secure": {"choice": GLOBAL, "privacy": Privacy(5.0, secure=True)},
    "secure, mixed, some": {"choice": MIXED, "privacy": Privacy(5.0, secure=True), "participation": 0.5},
}


@pytest.mark.parametrize("option", OPTIONS)
def test_nothing_of_an_example_is_in_any_message(option: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = OPTIONS[option]
    listener = listened(tmp_path, monkeypatch, **settings)
    assert len(listener.replies) > 12
    for message in listener.replies:
        check_form(message, listener)
    wires = b"\n".join(wire for _, wire in listener.sent)
    for name, values in secrets_of(listener.run).items():
        assert not any(value in wires for value in values), name
    private = settings.get("privacy")
    tells = settings.get("choice", Choice()).bounds != "local"
    assert bool(listener.exact) == tells
    if private is not None:
        for exact in listener.exact:
            for kind in ("<i8", "<f8", "<i4", "<f4"):
                assert exact.astype(kind).tobytes() not in wires
            assert (exact.sum() == 0) or not told_openly(listener, exact)
        assert ("query.histogram" in {one.metadata.message_type for one in listener.replies}) != private.secure


def told_openly(listener: Listener, exact: Array) -> bool:
    sent = [histogram_in(one) for one in listener.replies if HISTOGRAM in one.content]
    return any((one == exact).all() for one in sent)


def check_form(message: Message, listener: Listener) -> None:
    """A reply has the records and keys of ``ALLOWED``; its arrays are a network of the one shape, or a histogram."""
    assert message.has_content()
    content: Any = message.content
    keys = {name: set(record) for name, record in content.items()}
    network = {name: tuple(value.shape) for name, value in listener.run.network.state_dict().items()}
    allowed = [
        {name: set(network) if one is None else one for name, one in records.items()}
        for records in ALLOWED[message.metadata.message_type]
    ]
    assert keys in allowed
    for name, value in content.get("arrays", {}).items():
        assert tuple(value.shape) == network[name]
        assert len(value.data) < value.numpy().nbytes + 200
    for value in content.get("histogram", {}).values():
        assert tuple(value.shape) == SHAPE
        assert value.numpy().dtype == np.int64
    for value in content.get("metrics", {}).values():
        assert not isinstance(value, list)
        assert not FIRST <= value < FIRST + 1000


def secrets_of(run: Small) -> dict[str, list[bytes]]:
    """What must be in no message: name -> byte strings."""
    found: dict[str, list[bytes]] = {"an id": [], "an id as text": [], "a probability": [], "a score": []}
    for client in run.clients:
        for one in client.data.ids.tolist():
            found["an id"] += [np.array(one, kind).tobytes() for kind in ("<i8", ">i8", "<i4", ">i4", "<f8", ">f8")]
            found["an id"] += [varint(one), varint(2 * one)]  # as protocol buffers have it, without a sign and with one
            found["an id as text"].append(str(one).encode())
        if not (client.folder / "manifest.json").exists():
            continue
        dynamics = Dynamics.open(client.folder)
        for epoch in range(dynamics.epochs):
            found["a probability"] += encoded(dynamics.column(epoch, "p_gold"))
        if (datamap := client.map(run.federation.rounds)) is not None:
            found["a score"] += encoded(datamap.values("confidence")) + encoded(datamap.values("variability"))
    return found


def encoded(values: Array) -> list[bytes]:
    """Numbers as they may travel. In single precision and as text only where the number is no common one, and in
    single precision two neighbours together: four bytes are found by chance among a network's million."""
    values = np.asarray(values, np.float64)
    values = values[np.isfinite(values) & (np.abs(values * 4096 % 1) > 0)]
    single = values.astype("<f4")
    pairs = [single[at : at + 2].tobytes() for at in range(len(values) - 1) if single[at] != single[at + 1]]
    doubles = [np.array(one, kind).tobytes() for one in values for kind in ("<f8", ">f8")]
    return pairs + doubles + [repr(float(one))[:12].encode() for one in values if abs(one) > 1e-3]


def varint(value: int) -> bytes:
    """A whole number as protocol buffers have it."""
    made = bytearray()
    while value > 127:
        made.append(value & 127 | 128)
        value >>= 7
    return bytes([*made, value])


def test_the_search_finds_what_it_looks_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    listener = listened(tmp_path, monkeypatch, choice=Choice("50% ambiguous"))
    secrets, client = secrets_of(listener.run), listener.run.clients[0]
    datamap = client.map(3)
    assert datamap is not None
    leaks = {
        "an id": MetricRecord({"best": int(client.data.ids[3])}),
        "a probability": ArrayRecord([Dynamics.open(client.folder).column(0, "p_gold")]),
        "a score": MetricRecord({"mean": float(datamap.values("confidence")[2])}),
    }
    for name, record in leaks.items():
        message = Message(deepcopy(listener.replies[-1].content), reply_to=listener.sent[0][0])
        message.content["more"] = record
        wire = recorddict_to_proto(message.content).SerializeToString()
        assert any(value in wire for value in secrets[name]), name
        with pytest.raises(AssertionError):
            check_form(message, listener)
    assert any(value in b"epoch 3: ids 7000002 were not recorded" for value in secrets["an id as text"])


def asked() -> Message:
    from flwr.app import RecordDict

    message = Message(RecordDict({"arrays": record_of({"w": np.zeros((2, 3))})}), 1, "train")
    message.metadata.__dict__["_message_id"] = "1"
    return message


def test_a_reply_with_anything_else_is_not_made() -> None:
    def metrics(**more: Any) -> MetricRecord:
        return MetricRecord({"client": 0, "examples": 3, "classes": 2, **more})

    assert reply(asked(), HELLO, {METRICS: metrics()}).has_content()
    for records, why in (
        ({METRICS: metrics(), "ids": ArrayRecord([np.arange(3)])}, "got ids, metrics"),
        ({METRICS: metrics(best=FIRST)}, "got best, classes, client, examples"),
        ({METRICS: metrics(classes=[1, 2])}, "must be one number"),
        ({}, "got nothing"),
    ):
        with pytest.raises(TrainmapError, match=f"may not leave this client: .*{why}"):
            reply(asked(), HELLO, records)
    with pytest.raises(TrainmapError, match="may not leave this client: a histogram is"):
        told_histogram(asked(), 0, 5, np.zeros(5, np.int64))
    for weights in ({"w": np.zeros((2, 4))}, {"w": np.zeros((2, 3)), "ids": np.arange(3)}):
        with pytest.raises(TrainmapError, match="may not leave this client: its network has other arrays"):
            told(asked(), 0, Told(3, 3), weights)
    with pytest.raises(TrainmapError, match="may not leave this client"):
        reply(asked(), HISTOGRAMS, {METRICS: metrics()})
    assert told(asked(), 0, Told(3)).content.keys() == {METRICS}
    assert RECORD in ALLOWED


def test_an_error_tells_its_kind_and_nothing_of_an_example(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = recognisable(tmp_path)

    def fails(*_: Any, **__: Any) -> Any:
        raise RecordingError(f"17 of 50 ids were not recorded (first: {FIRST}, p 0.123456)")

    run.clients[1].record = fails  # type: ignore[method-assign]
    listener = Listener(run)
    rounds = run.run().rounds
    assert all(str(FIRST).encode() not in wire and b"0.1234" not in wire for _, wire in listener.sent)
    assert "RecordingError; this client's own log has it whole" in rounds[2].refused["1"]

    def breaks(*_: Any) -> Any:
        raise ValueError(f"example {FIRST}")

    with pytest.raises(RuntimeError) as caught:
        answering(breaks)(asked(), None)  # type: ignore[arg-type]
    assert str(FIRST) not in str(caught.value)
