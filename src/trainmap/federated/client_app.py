"""The Flower ClientApp: messages to what a client does, and back."""

from __future__ import annotations

import logging
from collections.abc import Callable
from functools import wraps

from flwr.app import Context, Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode

from trainmap.errors import DivergedError, TrainmapError
from trainmap.federated.client import Client, Declined
from trainmap.federated.global_thresholds import Thresholds
from trainmap.federated.messages import (
    HELLO,
    HISTOGRAMS,
    RECORD,
    config_of,
    told,
    told_hello,
    told_histogram,
    weights_in,
)
from trainmap.federated.secure_sum import is_secure, masked

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
        client = client_of(context)
        if is_secure(message):
            return masked(message, context, client.share)
        config, weights, took = config_of(message), weights_in(message), None
        if (checkpoint := int(config["checkpoint"])) >= 0:
            took = client.record(weights, checkpoint)
        limits = Thresholds.from_json(config["thresholds"]) if "thresholds" in config else None
        mu = float(config.get("proximal-mu", 0.0))
        trained, one = client.train(weights, int(config["round"]), mu, limits)
        return told(message, client.number, one if took is None else one.with_sweep(took), trained)

    @app.query(RECORD.partition(".")[2])
    @answering
    def record(message: Message, context: Context) -> Message:
        client, config = client_of(context), config_of(message)
        one = client.record(weights_in(message), int(config["checkpoint"]))
        return told(message, client.number, one)

    @app.query(HISTOGRAMS.partition(".")[2])
    @answering
    def histogram(message: Message, context: Context) -> Message:
        client = client_of(context)
        counts = client.histogram(int(config_of(message)["round"]))
        return told_histogram(message, client.number, len(client.data), counts)

    @app.query(HELLO.partition(".")[2])
    @answering
    def hello(message: Message, context: Context) -> Message:
        client = client_of(context)
        return told_hello(message, client.number, len(client.data), client.data.classes)

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
