"""The apps on real SuperNodes, as processes on loopback: the same network to the last bit, kills, broken clients."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tests.federated.clients_of import MODEL, RECIPE
from tests.federated.machines import Machines, machines

from trainmap import Dynamics
from trainmap.data import load_splits
from trainmap.federated import (
    Choice,
    Deployment,
    Federation,
    LocalGrid,
    Outcome,
    Own,
    Privacy,
    Recording,
    federate,
    make_client_app,
    weights_of,
    write_app,
)
from trainmap.federated.global_thresholds import thresholds
from trainmap.models.build import build

pytestmark = pytest.mark.skipif(not Path("/proc/self/environ").exists(), reason="processes are found by /proc")


def deployment(folder: Path, federation: Federation, clients: int, **more: Any) -> Deployment:
    data = load_splits("digits").train
    told = Deployment(
        federation, clients, MODEL, RECIPE, data.inputs, data.classes, str(folder / "out"), data.names, test="digits"
    )
    return replace(told, **more)


def node_config(folder: Path, number: int, parts: int) -> str:
    return f'number={number} data="digits" parts={parts} by="dirichlet" alpha=1.0 folder="{folder}/client{number}"'


def in_one_process(folder: Path, told: Deployment) -> Outcome:
    """The same federation without processes or sockets."""
    owns = [
        Own(one, "digits", str(folder / f"{one}"), parts=told.clients, by="dirichlet", alpha=1.0)
        for one in range(told.clients)
    ]
    clients = [own.client(told) for own in owns]
    app = make_client_app(lambda context: clients[int(context.node_config["number"])])
    grid = LocalGrid(app, {70 - number: {"number": number} for number in range(told.clients)})
    network = build(told.model, told.classes, told.inputs, told.federation.seed)
    trained = [name for name, _ in network.named_parameters()]
    threads = torch.get_num_threads()
    torch.set_num_threads(1)  # as the processes: with another number the sums are taken in another order
    try:
        return federate(grid, weights_of(network), trained, told.federation, told.clients, lambda weights: {})
    finally:
        torch.set_num_threads(threads)


def rounds_of(told: Deployment) -> list[dict[str, Any]]:
    path = Path(told.out) / "rounds.json"
    return json.loads(path.read_text())["rounds"] if path.exists() else []


def finished(all_of_it: Machines, told: Deployment, seconds: float) -> None:
    all_of_it.until((Path(told.out) / "model.pt").exists, "the run ends", seconds)


def recorded(folder: Path) -> int:
    """Epochs of a recording that may be written just now."""
    path = folder / "dynamics" / "manifest.json"
    return len(json.loads(path.read_text())["epochs"]) if path.exists() else 0


@pytest.mark.slow
@pytest.mark.timeout(500)
def test_two_supernodes_reach_the_network_of_one_process_to_the_last_bit(tmp_path: Path) -> None:
    federation = Federation(rounds=2, local_epochs=2, choice=Choice("50% random"), recording=Recording(every=2))
    told = deployment(tmp_path, federation, 2, timeout=300.0)
    with machines(tmp_path / "m") as all_of_it:
        all_of_it.superlink()
        for number in range(2):
            all_of_it.supernode(number, node_config(tmp_path, number, 2))
        all_of_it.flwr("run", str(write_app(tmp_path / "app", told)), "here")
        finished(all_of_it, told, 350.0)
    alone = in_one_process(tmp_path / "alone", told)
    made = torch.load(Path(told.out) / "model.pt", weights_only=True)
    assert made.keys() == alone.weights.keys()
    assert all(np.array_equal(made[name].numpy(), value) for name, value in alone.weights.items())
    for number in range(2):
        here, there = (Dynamics.open(tmp_path / where / "dynamics") for where in (f"client{number}", f"alone/{number}"))
        assert here.epochs == there.epochs == 1
        assert np.array_equal(here.column(0, "p_gold"), there.column(0, "p_gold"))
    assert [one["absent"] for one in rounds_of(told)] == [[], [], []]
    assert not list(all_of_it.ours())


@pytest.mark.slow
@pytest.mark.timeout(700)
def test_three_supernodes_add_their_noised_histograms_up_unseen(tmp_path: Path) -> None:
    choice, privacy = Choice("50% ambiguous", bounds="global"), Privacy(8.0, secure=True)
    told = deployment(tmp_path, Federation(rounds=3, choice=choice, privacy=privacy), 3, timeout=100.0)
    with machines(tmp_path / "m", secure=True) as all_of_it:
        all_of_it.superlink()
        for number in range(3):
            all_of_it.supernode(number, node_config(tmp_path, number, 3))
        all_of_it.flwr("run", str(write_app(tmp_path / "app", told)), "here")
        finished(all_of_it, told, 500.0)  # eleven questions, and a process for each answer
    ledgers = [json.loads((tmp_path / f"client{number}" / "told.json").read_text()) for number in range(3)]
    assert [[one["round"] for one in ledger["told"]] for ledger in ledgers] == [[3]] * 3
    total = np.sum([ledger["told"][0]["counts"] for ledger in ledgers], axis=0)
    found = thresholds(total, choice.plan)
    assert found is not None
    rounds = rounds_of(told)
    assert rounds[3]["thresholds"] == json.loads(found.to_json())
    assert 7.5 < rounds[3]["epsilon"] <= 8.0
    assert not any(one["refused"] or one["absent"] for one in rounds)
    assert [rounds[3]["clients"][name]["mapped"] for name in "012"] == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_killed_supernode_is_missing_for_its_round_and_its_recording_goes_on(tmp_path: Path) -> None:
    federation = Federation(rounds=7, local_epochs=60, choice=Choice("50% ambiguous"))
    told = deployment(tmp_path, federation, 3, timeout=100.0)
    with machines(tmp_path / "m", secure=True) as all_of_it:
        all_of_it.superlink()
        for number in range(3):
            all_of_it.supernode(number, node_config(tmp_path, number, 3))
        app = str(write_app(tmp_path / "app", told))
        all_of_it.flwr("run", app, "here")
        all_of_it.until(lambda: recorded(tmp_path / "client1") == 2, "client 1 has recorded round 3", 250.0)
        all_of_it.kill("node1")
        before = Dynamics.open(tmp_path / "client1" / "dynamics").column(1, "p_gold")
        all_of_it.supernode_again(1, node_config(tmp_path, 1, 3))
        all_of_it.until(lambda: any("1" in one["clients"] for one in rounds_of(told)[4:]), "client 1 is back", 250.0)
        held = rounds_of(told)
        all_of_it.kill_server_app()
        all_of_it.flwr("run", app, "here")
        finished(all_of_it, told, 300.0)
    rounds = rounds_of(told)
    assert [one["number"] for one in rounds] == list(range(8))
    assert rounds[: len(held)] == held
    missed = [one["number"] for one in rounds if one["absent"]]
    assert missed == list(range(3, 3 + len(missed)))  # the one of the kill, and those until it was let in again
    for one in rounds[1:]:
        assert one["absent"] == ([1] if one["number"] in missed else [])
        assert sorted(one["clients"]) == (["0", "2"] if one["number"] in missed else ["0", "1", "2"])
        assert not one["refused"]
    for number in range(3):
        dynamics = Dynamics.open(tmp_path / f"client{number}" / "dynamics")
        seen = [bool(np.isfinite(dynamics.column(at, "p_gold")).all()) for at in range(dynamics.epochs)]
        assert seen == [number != 1 or at + 2 == 3 or at + 2 not in missed for at in range(7)]
    assert np.array_equal(before, Dynamics.open(tmp_path / "client1" / "dynamics").column(1, "p_gold"))
    assert rounds[-1]["clients"]["1"]["mapped"] == 1


SPOILING = """
import os

import numpy as np
from flwr.clientapp import ClientApp

from trainmap.federated.messages import ARRAYS, METRICS, WEIGHT, record_of, weights_in
from trainmap.federated.real_nodes import client_app as honest


def arrays(change):
    def spoil(reply):
        weights = weights_in(reply)
        name = next(iter(weights))
        weights[name] = change(weights[name])
        reply.content[ARRAYS] = record_of(weights)
    return spoil


def count(reply):
    reply.content[METRICS][WEIGHT] = 10**18


def fail(reply):
    raise KeyError("broken")


SPOILS = {"1": arrays(lambda x: x * np.float32("nan")), "2": arrays(lambda x: x[:1]), "3": count, "4": fail}


class Spoiled(ClientApp):
    def __call__(self, message, context):
        reply = honest(message, context)
        if message.metadata.message_type == "train" and "SPOIL" in os.environ:
            SPOILS.get(message.metadata.group_id, lambda reply: None)(reply)
        return reply


client_app = Spoiled()
"""


@pytest.mark.slow
@pytest.mark.timeout(600)
def test_a_broken_reply_is_refused_by_name_and_the_run_goes_on(tmp_path: Path) -> None:
    told = deployment(tmp_path, Federation(rounds=5, recording=Recording(nothing=True)), 2, timeout=300.0)
    app = write_app(tmp_path / "app", told) / "pyproject.toml"
    app.write_text(app.read_text().replace("trainmap.federated.real_nodes:client_app", "spoiling:client_app"))
    app.with_name("spoiling.py").write_text(SPOILING)
    with machines(tmp_path / "m") as all_of_it:
        all_of_it.superlink()
        all_of_it.supernode(0, node_config(tmp_path, 0, 2))
        all_of_it.supernode(1, node_config(tmp_path, 1, 2), SPOIL="yes")
        all_of_it.flwr("run", str(app.parent), "here")
        finished(all_of_it, told, 450.0)
    rounds = rounds_of(told)[1:]
    assert [sorted(one["clients"]) for one in rounds] == [["0"]] * 4 + [["0", "1"]]
    said = [one["refused"].get("1", "") for one in rounds]
    whys = ["not finite", "as it was sent, got", "must be a whole number, at most", "KeyError", ""]
    assert all(why in one for why, one in zip(whys, said)), said
