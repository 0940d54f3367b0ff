"""The apps that Flower runs on real machines: ``server_app`` beside the SuperLink, ``client_app`` at each SuperNode."""

from __future__ import annotations

import json
import logging
from collections.abc import Mapping
from dataclasses import asdict
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from flwr.app import Context
from flwr.serverapp import Grid, ServerApp

from trainmap.checksums import write_sealed
from trainmap.data.dataset import load_splits
from trainmap.federated.client import Client, Weights, weights_of
from trainmap.federated.client_app import make_client_app
from trainmap.federated.deployment import Deployment, Own
from trainmap.federated.measuring import measured
from trainmap.federated.server import Outcome, Round, federate
from trainmap.files import writing
from trainmap.models.build import build

STATE, ROUNDS, MODEL = "state.pt", "rounds.json", "model.pt"
MAY_CHANGE = ("out", "data-root", "timeout", "least", "federation", "clients")
"""Of a deployment: what may be another when it goes on, and what its state tells apart by itself."""
log = logging.getLogger("flwr")


def client_of(context: Context) -> Client:
    """The client that a node is, kept as long as the process lives."""
    return _client(json.dumps(context.node_config, sort_keys=True), json.dumps(context.run_config, sort_keys=True))


@lru_cache(maxsize=1)
def _client(node_config: str, run_config: str) -> Client:
    return Own.of(json.loads(node_config)).client(Deployment.of(json.loads(run_config)))


client_app = make_client_app(client_of)
server_app = ServerApp()


@server_app.main()
def main(grid: Grid, context: Context) -> None:
    """What Flower starts for a run."""
    serve(grid, Deployment.of(context.run_config))


def serve(grid: Grid, told: Deployment) -> Outcome:
    """Run a deployed federation; where ``told.out`` holds one with these settings, it goes on behind its last round.

    In ``told.out`` are then ``rounds.json`` (every finished round, with a checksum), ``state.pt`` (to go on from) and,
    at the end, ``model.pt`` (the weights of the global network).

    Raises:
        TrainmapError: as ``federate``, and test data that does not fit.
    """
    out, federation = Path(told.out), told.federation
    network = build(told.model, told.classes, told.inputs, federation.seed)
    test = load_splits(told.test, told.data_root).test if told.test else None
    rounds: list[dict[str, Any]] = []

    def measure(weights: Weights) -> Mapping[str, float]:
        return {} if test is None else measured(network, weights, test, told.recipe.flips)

    def on_round(one: Round) -> None:
        rounds.append(asdict(one))
        out.mkdir(parents=True, exist_ok=True)
        write_sealed(out / ROUNDS, {"federation": asdict(federation), "clients": told.clients, "rounds": rounds})
        log.info("%s", line_of(one, federation.rounds))

    outcome = federate(
        grid,
        weights_of(network),
        {name for name, _ in network.named_parameters()},
        federation,
        told.clients,
        measure,
        file=out / STATE,
        on_round=on_round,
        timeout=told.timeout,
        least=told.least or None,
        settings=json.dumps(
            {name: value for name, value in asdict(told).items() if name not in MAY_CHANGE}, default=str
        ),
    )
    with writing(out / MODEL) as handle:
        torch.save({name: torch.from_numpy(value.copy()) for name, value in outcome.weights.items()}, handle)
    return outcome


def line_of(one: Round, rounds: int) -> str:
    """A round for a log: what the network reached, who trained, who is missing and why."""
    said = [f"round {one.number} of {rounds}"]
    said += [f"{name} {value:.4f}" for name, value in one.metrics.items() if name in ("accuracy", "loss")]
    if one.number:
        said.append(f"trained {', '.join(one.clients) or 'nobody'}")
    if one.absent:
        said.append(f"absent {', '.join(map(str, one.absent))}")
    said += [f"refused {name} ({why})" for name, why in one.refused.items()]
    return ", ".join(said)
