"""The Flower ClientApp: messages to what a client does, and back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps
from typing import Any

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from trainmap.errors import DivergedError, TrainmapError
from trainmap.federated.client import Client, Declined
from trainmap.federated.messages import (
    HELLO,
    METRICS,
    NUMBER,
    RECORD,
    MetricRecord,
    RecordDict,
    config_of,
    told,
    weights_in,
)

ClientOf = Callable[[Context], Client]
Answer = Callable[[Message, Context], Message]
log = logging.getLogger("trainmap")


def make_client_app(client_of: ClientOf) -> ClientApp:
    """A ClientApp over anybody's clients.

    Args:
        client_of: the context of a node -> its client; it is asked for each message, and may keep what it made.
    """
    app = ClientApp()

    @app.train()
    @answering
    def train(message: Message, context: Context) -> Message:
        client, config = client_of(context), config_of(message)
        weights, took = weights_in(message), None
        if (checkpoint := int(config["checkpoint"])) >= 0:
            took = client.record(weights, checkpoint)
        trained, one = client.train(weights, int(config["round"]), float(config.get("proximal-mu", 0.0)))
        return told(message, client.number, one if took is None else one.with_sweep(took), trained)

    @app.query(RECORD.partition(".")[2])
    @answering
    def record(message: Message, context: Context) -> Message:
        client, config = client_of(context), config_of(message)
        one = client.record(weights_in(message), int(config["checkpoint"]))
        return told(message, client.number, one)

    @app.query(HELLO.partition(".")[2])
    @answering
    def hello(message: Message, context: Context) -> Message:
        client = client_of(context)
        metrics: dict[str, Any] = {NUMBER: client.number, "examples": len(client.data), "classes": client.data.classes}
        return Message(RecordDict({METRICS: MetricRecord(metrics)}), reply_to=message)

    return app


def answering(act: Answer) -> Answer:
    """An error must not carry an example out: what a message may say of it is said of the server's network and settings
    alone (``Declined``, and that a training diverged); of any other only its kind leaves the client, and the client's
    own log has it whole."""

    @wraps(act)
    def answer(message: Message, context: Context) -> Message:
        try:
            return act(message, context)
        except (Declined, DivergedError) as error:
            why = str(error)
        except TrainmapError as error:
            log.error("%s", error)
            why = f"{type(error).__name__}; this client's own log has it whole"
        except Exception as error:
            raise RuntimeError(f"{type(error).__name__}; this client's own log has it whole") from error
        return Message(Error(ErrorCode.CLIENT_APP_RAISED_EXCEPTION, why), reply_to=message)

    return answer
