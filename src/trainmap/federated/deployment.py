"""A federation on real machines: what the run is told, what each node says of itself, the folder for ``flwr run``."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import MISSING, asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from trainmap.data.dataset import Dataset, load_splits
from trainmap.data.inputs import Inputs
from trainmap.errors import TrainmapError, number, shown, some, unknown, whole
from trainmap.federated.client import Client, Declined
from trainmap.federated.feasible import check_federation
from trainmap.federated.federation import Federation
from trainmap.federated.partition import By, Partition, partition
from trainmap.files import writing
from trainmap.models.build import check_model
from trainmap.training.recipes import Recipe
from trainmap.typed import as_type

APP = "trainmap.federated.real_nodes"
JSON = ("federation", "recipe", "inputs", "names")
Plain = str | int | float | bool
T = TypeVar("T")


@dataclass(frozen=True)
class Deployment:
    """What server and clients of a run on real machines are told alike: Flower's ``run_config``.

    Attributes:
        federation: its settings.
        clients: how many there are, K, numbered from 0 on.
        model: the name of the network, as ``trainmap.models.build`` takes it.
        recipe: of the local training.
        inputs: what an example is.
        classes: C.
        names: of the classes, by their numbers; a client's own are brought into this order. Empty: as each has them.
        out: the server's folder for its results; a path of its machine.
        test: the server's own dataset, whose test part the global network is measured on after every round, a name or
            a path of its machine; "" for none.
        data_root: where the server looks for it.
        timeout: seconds that a round waits for its clients.
        least: clients that must be there before the first round; 0 for all of them.

    Raises:
        TrainmapError: values out of range, a network that does not take the inputs, or as ``check_federation``.
    """

    federation: Federation
    clients: int
    model: str
    recipe: Recipe
    inputs: Inputs
    classes: int
    out: str
    names: tuple[str, ...] = ()
    test: str = ""
    data_root: str = "data"
    timeout: float = 3600.0
    least: int = 0

    def __post_init__(self) -> None:
        whole(self.clients, "clients", 1)
        whole(self.classes, "classes", 2)
        check_model(self.model, self.inputs)
        check_federation(self.federation, self.clients)
        if self.names and len(self.names) != self.classes:
            raise TrainmapError(f"there are {self.classes} classes, got {len(self.names)} names of them")
        if not Path(self.out).is_absolute():
            raise TrainmapError(f"out must be a whole path, the server starts in a folder of its own, got {self.out}")
        if not number(self.timeout, "timeout") > 0:
            raise TrainmapError(f"timeout must be above 0 seconds, got {self.timeout}")
        if whole(self.least, "least") > self.clients:
            raise TrainmapError(f"least must be at most {self.clients}, the clients that there are, got {self.least}")

    def run_config(self) -> dict[str, Plain]:
        """As Flower has it: what has parts as JSON text, names with dashes."""
        told = {name: _text(getattr(self, name)) for name in JSON}
        plain = {one.name: getattr(self, one.name) for one in fields(self) if one.name not in JSON}
        return {name.replace("_", "-"): value for name, value in {**plain, **told}.items()}

    @staticmethod
    def of(run_config: Mapping[str, Plain]) -> Deployment:
        """From Flower's ``run_config``.

        Raises:
            TrainmapError: a setting that is missing, unknown or not what it must be.
        """
        return _read(Deployment, run_config, "run_config", JSON)


@dataclass(frozen=True)
class Own:
    """What a node says of itself: Flower's ``node_config``. Nobody else is told.

    Attributes:
        number: which of the clients it is, from 0 on.
        data: its dataset, a name or a path, as ``load_splits`` takes them; it trains on the training part, with the
            validation part.
        folder: for its recording.
        data_root: where it looks for data.
        parts: to try things out: of so many parts of the dataset it has the one with its number; every node must say
            the same. 0: all of it.
        by, alpha, column: how these parts are made, as ``Partition`` has them where None; for ``parts`` alone.
        device: where to compute.

    Raises:
        TrainmapError: values out of range.
    """

    number: int
    data: str
    folder: str
    data_root: str = "data"
    parts: int = 0
    by: By | None = None
    alpha: float | None = None
    column: str | None = None
    device: str = "cpu"

    def __post_init__(self) -> None:
        whole(self.number, "number")
        _ = self.partition
        if not whole(self.parts, "parts") and self._of_parts:
            raise TrainmapError(
                f"{', '.join(self._of_parts)}: how parts are made, but without parts the node trains on all of its "
                "data; say parts=K, alike on every node, or leave this out"
            )
        if self.parts and self.number >= self.parts:
            raise TrainmapError(f"of {self.parts} parts, numbered from 0, there is no number {self.number}")

    @property
    def partition(self) -> Partition:
        """How the parts are made."""
        return Partition(**self._of_parts)

    @property
    def _of_parts(self) -> dict[str, Any]:
        told = {"by": self.by, "alpha": self.alpha, "column": self.column}
        return {name: value for name, value in told.items() if value is not None}

    @staticmethod
    def of(node_config: Mapping[str, Plain]) -> Own:
        """From Flower's ``node_config``.

        Raises:
            TrainmapError: a setting that is missing, unknown or not what it must be.
        """
        return _read(Own, node_config, "node_config")

    def client(self, told: Deployment) -> Client:
        """The client that this node is.

        Raises:
            TrainmapError: data that cannot be read, or that does not fit the run.
        """
        if not self.number < told.clients:
            raise Declined(f"clients are numbered 0 to {told.clients - 1}, this node says that it is {self.number}")
        data = self._fitting(self._examples(told.federation.seed), told)
        return Client(self.number, data, told.model, told.recipe, told.federation, self.folder, self.device)

    def _examples(self, seed: int) -> Dataset:
        data = load_splits(self.data, self.data_root, validation=0.0).train
        if self.parts:
            groups = data.group(self.column) if self.column else None
            return data.subset(partition(data.ids, data.y, self.parts, self.partition, seed, groups)[self.number])
        if data.encoding is not None and not data.tokenizer:
            raise Declined(
                f"client {self.number}: its data becomes numbers by what its own rows teach (a vocabulary, means, "
                "categories), which other clients' rows teach otherwise; take +embeddings or +tokens:PATH for texts"
            )
        return data

    def _fitting(self, data: Dataset, told: Deployment) -> Dataset:
        if data.inputs != told.inputs:
            raise Declined(f"client {self.number}: an example must be {told.inputs}, here it is {data.inputs}")
        if told.names and data.names and data.names != told.names:
            if odd := [name for name in data.names if name not in told.names]:
                raise Declined(f"client {self.number}: {len(odd)} of its classes are none of {some(told.names, 20)}")
            order = np.array([told.names.index(name) for name in data.names], np.int64)
            return replace(data, y=order[data.y], classes=told.classes, names=told.names)
        if data.classes != told.classes:
            raise Declined(f"client {self.number}: there must be {told.classes} classes, here are {data.classes}")
        return data


def write_app(folder: str | Path, told: Deployment) -> Path:
    """Make the folder that ``flwr run`` takes: a ``pyproject.toml`` that names the apps of the installed trainmap and
    has the settings. No code travels with it.

    Returns:
        the folder.

    Raises:
        TrainmapError: there is a pyproject.toml already.
        StoreError: it cannot be written.
    """
    if (Path(folder) / "pyproject.toml").exists():
        raise TrainmapError(f"{folder} has a pyproject.toml already, which is not overwritten; take another folder")
    lines = [
        "[project]",
        'name = "federated-maps"',
        'version = "1.0.0"',
        'description = "trainmap: many clients, each with its own map, and one network"',
        'license = "Apache-2.0"',
        "dependencies = []",
        "",
        "[tool.flwr.app]",
        'publisher = "trainmap"',
        "fab-format-version = 0",
        "",
        "[tool.flwr.app.components]",
        f'serverapp = "{APP}:server_app"',
        f'clientapp = "{APP}:client_app"',
        "",
        "[tool.flwr.app.config]",
        *(f"{name} = {json.dumps(value, ensure_ascii=False)}" for name, value in told.run_config().items()),
    ]
    with writing(Path(folder) / "pyproject.toml") as handle:
        handle.write("\n".join([*lines, ""]).encode())
    return Path(folder)


def _text(value: Any) -> str:
    return json.dumps(asdict(value) if hasattr(value, "__dataclass_fields__") else list(value), sort_keys=True)


def _read(kind: type[T], config: Mapping[str, Plain], what: str, json_text: tuple[str, ...] = ()) -> T:
    """A dataclass out of a mapping of Flower's."""
    known = {one.name.replace("_", "-"): one for one in fields(kind)}  # type: ignore[arg-type]
    if strange := [name for name in config if name not in known]:
        raise unknown(f"setting of {what}", strange[0], known)
    if lacking := [name for name, one in known.items() if one.default is MISSING and name not in config]:
        raise TrainmapError(f"{what} must say {', '.join(lacking)}")
    values: dict[str, Any] = {}
    for name, value in config.items():
        try:
            values[known[name].name] = json.loads(str(value)) if name in json_text else value
        except ValueError as error:
            raise TrainmapError(f"{what}: {name} must be JSON, got {shown(value)}") from error
    return as_type(kind, values, what, "give it as the page on real machines says")
