"""The settings of a run on real machines, and what a node says of itself."""

from __future__ import annotations

import subprocess
import sys
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from flwr.app import Context, RecordDict
from flwr.common.config import validate_config
from tests.federated.clients_of import MODEL, RECIPE, parts_of_digits

from trainmap.checksums import read_sealed
from trainmap.data import Dataset, load_splits
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.federated import (
    Choice,
    Declined,
    Deployment,
    Federation,
    LocalGrid,
    Own,
    Privacy,
    Recording,
    Round,
    write_app,
)
from trainmap.federated.partition import Partition
from trainmap.federated.real_nodes import client_app, client_of, line_of, serve
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.state_file import load_state

FEDERATION = Federation(rounds=2, choice=Choice("50% random"), recording=Recording(every=2))

GLOBAL = Choice("50% ambiguous", bounds="global")
PRIVATE = Federation(rounds=3, choice=GLOBAL, privacy=Privacy(1.0, secure=True)).to_json()


def deployment(**more: Any) -> Deployment:
    data = load_splits("digits").train
    told = Deployment(FEDERATION, 2, MODEL, RECIPE, data.inputs, data.classes, "/results", data.names)
    return replace(told, **more)


def test_settings_travel_as_flower_has_them() -> None:
    told = deployment(test="digits", timeout=60, names=("null", *"123456789"))
    config = told.run_config()
    assert all(isinstance(value, str | int | float | bool) for value in config.values())
    assert Deployment.of(config) == told


def test_the_folder_for_flwr_run_is_a_flower_app_without_code(tmp_path: Path) -> None:
    told = deployment(out='/a "quoted" \\ pläce')
    folder = write_app(tmp_path / "app", told)
    assert [path.name for path in folder.iterdir()] == ["pyproject.toml"]
    config = tomllib.loads((folder / "pyproject.toml").read_text())
    assert validate_config(config)[:2] == (True, [])
    assert Deployment.of(config["tool"]["flwr"]["app"]["config"]) == told


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"clients": 0}, "clients must be"),
        ({"clients": "2"}, "'clients'"),
        ({"model": "mlp-257x"}, "unknown model"),
        ({"classes": 9}, "there are 9 classes, got 10 names"),
        ({"out": "results"}, "out must be a whole path"),
        ({"timeout": 0}, "timeout must be above 0"),
        ({"least": 3}, "least must be at most 2"),
        ({"federation": "{"}, "federation must be JSON"),
        ({"federation": '{"rounds": 0}'}, "rounds must be"),
        (
            {"federation": '{"rounds": 2, "aggregation": "fedavgg"}'},
            "did you mean 'fedavg'",
        ),
        ({"federation": '{"rounds": 2, "options": {"mu": 1}}'}, "fedavg has no options, got 'mu'"),
        ({"federation": PRIVATE.replace('"epsilon": 1.0', '"epsilon": 1e-300')}, "no noise makes 1 histograms"),
        ({"federation": PRIVATE}, "secure aggregation needs at least 3 clients, got 2"),
        ({"recipe": '{"epochs": "many"}'}, "'recipe.epochs'"),
        ({"time-out": 3}, "did you mean 'timeout'"),
        ({"model": None}, "run_config must say model"),
    ],
)
def test_settings_that_do_not_fit_are_refused(change: dict[str, Any], why: str) -> None:
    config = {name: value for name, value in {**deployment().run_config(), **change}.items() if value is not None}
    with pytest.raises(TrainmapError, match=why):
        Deployment.of(config)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"number": -1}, "number must be"),
        ({"number": 2}, "of 2 parts, numbered from 0, there is no number 2"),
        ({"number": True}, "'number'"),
        ({"by": "luck"}, "'by'"),
        ({"partition-id": 0}, "unknown setting of node_config"),
        ({"folder": None}, "node_config must say folder"),
        ({"parts": None, "by": "dirichlet", "alpha": 1.0}, "by, alpha: how parts .* without parts .* say parts=K"),
        ({"parts": 0, "alpha": 0.5}, "error, alpha: how parts are made"),
        ({"parts": None, "by": "iid"}, "error, by: how parts are made"),
        ({"parts": None, "by": "group", "column": "speaker"}, "error, by, column: how parts are made"),
        ({"column": "speaker"}, "by iid reads no column"),
    ],
)
def test_what_a_node_says_wrongly_is_refused(change: dict[str, Any], why: str) -> None:
    config = {"number": 0, "data": "digits", "folder": "/here", "parts": 2, **change}
    with pytest.raises(TrainmapError, match=why):
        Own.of({name: value for name, value in config.items() if value is not None})


def test_parts_are_disjoint_and_together_all(tmp_path: Path) -> None:
    told = deployment(clients=3)
    owns = [Own(number, "digits", str(tmp_path), parts=3, by="dirichlet") for number in range(3)]
    ids = np.concatenate([own.client(told).data.ids for own in owns])
    assert np.array_equal(np.sort(ids), np.sort(load_splits("digits", validation=0.0).train.ids))


def test_how_parts_are_made_is_as_a_partition_has_it_where_nothing_is_said() -> None:
    config = {"number": 0, "data": "digits", "folder": "/here"}
    assert Own.of(config).partition == Own.of({**config, "parts": 2}).partition == Partition()
    assert Own.of({**config, "parts": 2, "by": "dirichlet", "alpha": 1.0}).partition == Partition("dirichlet", 1.0)
    assert Own.of({**config, "parts": 2, "by": "group", "column": "a"}).partition == Partition("group", column="a")


def test_a_client_whose_data_is_another_is_declined(tmp_path: Path) -> None:
    own = Own(0, "digits", str(tmp_path))
    with pytest.raises(Declined, match="clients are numbered 0 to 1, this node says that it is 2"):
        replace(own, number=2).client(deployment())
    with pytest.raises(Declined, match="an example must be 3 x 32 x 32 pixels, here it is 1 x 8 x 8 pixels"):
        own.client(deployment(inputs=Inputs.images(3, 32)))
    with pytest.raises(Declined, match="10 of its classes are none of "):
        own.client(deployment(names=tuple("abcdefghij")))
    with pytest.raises(Declined, match="there must be 11 classes, here are 10"):
        own.client(deployment(names=(), classes=11))


def test_a_table_that_its_own_rows_would_encode_is_declined(tmp_path: Path) -> None:
    table = pl.DataFrame({"label": list("ab") * 20, "size": np.linspace(0, 1, 40)})
    table.write_parquet(tmp_path / "own.parquet")
    own = Own(0, str(tmp_path / "own.parquet"), str(tmp_path))
    told = deployment(inputs=Inputs("features", (1,)), classes=2, names=("a", "b"))
    with pytest.raises(Declined, match="by what its own rows teach"):
        own.client(told)
    assert len(replace(own, parts=2).client(told).data) == 16


def test_classes_are_brought_into_the_order_of_the_run(tmp_path: Path) -> None:
    data = parts_of_digits([50])[0]
    folder = tmp_path / "images"
    three = data.subset(data.ids[np.isin(data.y, (2, 5, 7))])
    _pictures(folder, three)
    names = ("9", "8", "7", "6", "5", "4", "3", "2", "1", "0")
    made = Own(0, f"folder:{folder}", str(tmp_path)).client(deployment(names=names)).data
    assert made.classes == 10
    assert set(np.unique(made.y)) <= {2, 4, 7}  # of 7, 5 and 2


def _pictures(folder: Path, data: Dataset) -> None:
    from PIL import Image

    for row, label in enumerate(data.y):
        place = folder / data.names[label]
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(data.x[row, 0]).save(place / f"{row}.png")


def test_a_client_is_made_once_in_a_process(tmp_path: Path) -> None:
    node = {"number": 1, "data": "digits", "parts": 2, "folder": str(tmp_path)}
    context = Context(1, 2, node, RecordDict(), deployment().run_config())
    assert client_of(context) is client_of(context)


def test_the_server_leaves_its_rounds_and_its_network_and_goes_on(tmp_path: Path) -> None:
    told = deployment(out=str(tmp_path / "out"), test="digits")
    nodes = {
        5 + number: {"number": number, "data": "digits", "parts": 2, "folder": str(tmp_path / str(number))}
        for number in range(2)
    }
    outcome = serve(LocalGrid(client_app, nodes, told.run_config()), told)
    held = read_sealed(tmp_path / "out" / "rounds.json")
    assert [one["number"] for one in held["rounds"]] == [0, 1, 2]
    assert held["rounds"][2]["metrics"]["accuracy"] == outcome.rounds[2].metrics["accuracy"] > 0.5
    made = load_state(tmp_path / "out" / "model.pt", "network")
    assert all(np.array_equal(made[name].numpy(), value) for name, value in outcome.weights.items())
    again = serve(LocalGrid(client_app, nodes, told.run_config()), told)
    assert again.rounds == outcome.rounds


def test_a_project_that_is_there_is_not_overwritten(tmp_path: Path) -> None:
    (tmp_path / "pyproject.toml").write_text("mine")
    with pytest.raises(TrainmapError, match=r"has a pyproject\.toml already, which is not overwritten"):
        write_app(tmp_path, deployment())
    assert (tmp_path / "pyproject.toml").read_text() == "mine"


def test_the_server_judges_with_the_flips_of_the_recipe(tmp_path: Path) -> None:
    told = deployment(out=str(tmp_path / "out"), test="digits", recipe=replace(RECIPE, flips=True))
    nodes = {
        5 + number: {"number": number, "data": "digits", "parts": 2, "folder": str(tmp_path / str(number))}
        for number in range(2)
    }
    outcome = serve(LocalGrid(client_app, nodes, told.run_config()), told)
    network, test = build(MODEL, told.classes, told.inputs, FEDERATION.seed), load_splits("digits").test
    network.load_state_dict(load_state(tmp_path / "out" / "model.pt", "network"))
    losses = [evaluate(predict(network, test, flips), test.y).loss for flips in (True, False)]
    assert outcome.rounds[-1].metrics["loss"] == pytest.approx(losses[0], rel=1e-4)
    assert losses[0] != pytest.approx(losses[1], rel=1e-2)


def test_a_round_is_a_line() -> None:
    one = Round(3, {"accuracy": 0.5, "loss": 1.25, "macro_f1": 0.4}, {"0": {}}, {"2": "why"}, (1,))
    assert line_of(one, 5) == "round 3 of 5, accuracy 0.5000, loss 1.2500, trained 0, absent 1, refused 2 (why)"
    assert "trained nobody" in line_of(replace(one, clients={}), 5)


def test_the_apps_are_found_where_the_folder_says(tmp_path: Path) -> None:
    write_app(tmp_path, deployment())
    components = tomllib.loads((tmp_path / "pyproject.toml").read_text())["tool"]["flwr"]["app"]["components"]
    code = "".join(f"import {ref.partition(':')[0]} as m; m.{ref.partition(':')[2]}\n" for ref in components.values())
    subprocess.run([sys.executable, "-c", code], check=True)
