"""The Flower ClientApp: messages to what a client does, and back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from flwr.app import Context
from flwr.clientapp import ClientApp

from trainmap.federated.client import Client
from trainmap.federated.messages import (
    HELLO,
    METRICS,
    NUMBER,
    RECORD,
    Message,
    MetricRecord,
    RecordDict,
    config_of,
    told,
    weights_in,
)

ClientOf = Callable[[Context], Client]


def make_client_app(client_of: ClientOf) -> ClientApp:
    """A ClientApp over anybody's clients.

    Args:
        client_of: the context of a node -> its client; it is asked for each message, and may keep what it made.
    """
    app = ClientApp()

    @app.train()
    def train(message: Message, context: Context) -> Message:
        client, config = client_of(context), config_of(message)
        weights, took = weights_in(message), None
        if (checkpoint := int(config["checkpoint"])) >= 0:
            took = client.record(weights, checkpoint)
        trained, one = client.train(weights, int(config["round"]), float(config.get("proximal-mu", 0.0)))
        return told(message, client.number, one if took is None else one.with_sweep(took), trained)

    @app.query(RECORD.partition(".")[2])
    def record(message: Message, context: Context) -> Message:
        client, config = client_of(context), config_of(message)
        one = client.record(weights_in(message), int(config["checkpoint"]))
        return told(message, client.number, one)

    @app.query(HELLO.partition(".")[2])
    def hello(message: Message, context: Context) -> Message:
        client = client_of(context)
        metrics: dict[str, Any] = {NUMBER: client.number, "examples": len(client.data), "classes": client.data.classes}
        return Message(RecordDict({METRICS: MetricRecord(metrics)}), reply_to=message)

    return app
