"""Small federations for the tests: clients over parts of scikit-learn's digits, in one process."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from flwr.app import Context, Message

from trainmap.data import Dataset, load_splits
from trainmap.evaluation.metrics import evaluate
from trainmap.federated import Client, Federation, LocalGrid, Outcome, federate, make_client_app, weights_of
from trainmap.federated.client import load
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training import Recipe

RECIPE = Recipe(epochs=1, batch=16, peak_lr=0.05)
MODEL = "mlp-256"


def parts_of_digits(sizes: Sequence[int], seed: int = 0) -> list[Dataset]:
    """Disjoint parts of the training digits, of these sizes."""
    train = load_splits("digits").train
    order = np.random.default_rng(seed).permutation(len(train))
    ends = np.cumsum(sizes)
    return [train.subset(train.ids[order[end - size : end]]) for size, end in zip(sizes, ends)]


@dataclass
class Small:
    """A federation of a few clients on digits.

    Attributes:
        federation: its settings.
        data: of each client.
        folder: for their recordings.
        spoil: changes a client's reply before it is sent, by number.
        messages: all that were seen, as a grid has them.
    """

    federation: Federation
    data: list[Dataset]
    folder: Path
    model: str = MODEL
    spoil: dict[int, Callable[[Message, Message], Message]] = field(default_factory=dict)
    messages: list[Message] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clients = [
            Client(number, data, self.model, RECIPE, self.federation, self.folder / str(number), noise="seed")
            for number, data in enumerate(self.data)
        ]
        inner = make_client_app(lambda context: self.clients[int(context.node_config["number"])])

        def app(message: Message, context: Context) -> Message:
            reply, number = inner(message, context), int(context.node_config["number"])
            return self.spoil[number](message, reply) if number in self.spoil else reply

        nodes = {1000 - 7 * number: {"number": number} for number in range(len(self.data))}
        self.grid = LocalGrid(app, nodes, on_message=self.messages.append)  # type: ignore[arg-type]
        self.network = build(self.model, 10, self.data[0].inputs, self.federation.seed)
        self.test = load_splits("digits").test

    @property
    def trained(self) -> set[str]:
        return {name for name, _ in self.network.named_parameters()}

    def accuracy(self, weights: Any) -> dict[str, float]:
        load(self.network, weights, "the server")
        return {"accuracy": evaluate(predict(self.network, self.test), self.test.y).accuracy}

    def run(self, **how: Any) -> Outcome:
        first = weights_of(build(self.model, 10, self.data[0].inputs, self.federation.seed))
        return federate(self.grid, first, self.trained, self.federation, len(self.data), self.accuracy, **how)


def small(folder: Path, sizes: Sequence[int] = (60, 50, 40), model: str = MODEL, **settings: Any) -> Small:
    """A federation of clients of these sizes; three rounds unless said otherwise."""
    return Small(replace(Federation(rounds=3), **settings), parts_of_digits(sizes), folder, model)
