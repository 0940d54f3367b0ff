"""Federated learning: clients with parts of the training data, their rounds in one process, judged after each."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import numpy as np
from torch import nn

from trainmap.data.dataset import Dataset, Splits
from trainmap.errors import counted
from trainmap.experiments.tasks.learning import Learning
from trainmap.experiments.tasks.place import CLIENTS, EPOCHS, FEDERATION, Place
from trainmap.experiments.tasks.recipe import recipe_told
from trainmap.experiments.tasks.task import Cost, Result, Site
from trainmap.experiments.tasks.tracking import track, write_epochs
from trainmap.federated.client import Client, Weights, weights_of
from trainmap.federated.federation import Choice, Federation, Privacy, Recording, participants
from trainmap.federated.partition import Noise, Partition, noisy, partition
from trainmap.models.budget import inference_flops, training_flops
from trainmap.models.build import build
from trainmap.models.cost import parameters

if TYPE_CHECKING:
    from trainmap.federated.server import Round

SPENT = ("train_flops", "sweep_flops", "train_seconds", "train_cpu_seconds", "bytes_down", "bytes_up")
RECORDED_BYTES = 26  # of an example in an epoch of a recording


@dataclass(frozen=True)
class Holding:
    """What the clients have: their examples, labels as they are to be trained on, and who of them has wrong ones."""

    data: tuple[Dataset, ...]
    noisy: tuple[int, ...]


class FederatedRun(Learning):
    """The rounds of a federation, all clients in this process; a killed one goes on after its last finished round.

    It leaves the recordings of the clients, ``clients/00/dynamics``, where they record. The seed is that of the parts,
    of who is noisy, of the first weights and of who takes part: rows of one seed share all of these.

    Attributes:
        clients: K.
        rounds: of the rows that are compared.
        own_rounds: its own, of all data at the compute of such a row; None: as many as these.
        participation, local_epochs, aggregation, options: see ``trainmap.federated.Federation``.
        partition, noise: who has which examples and wrong labels; see ``trainmap.federated.partition``.
        choice, recording, privacy: what a client trains on in a round.
    """

    kind: ClassVar = "federated/1"

    clients: int
    rounds: int
    own_rounds: int | None
    participation: float
    local_epochs: int
    aggregation: str
    options: dict[str, float]
    partition: Partition
    noise: Noise | None
    choice: Choice
    recording: Recording
    privacy: Privacy | None

    @property
    def federation(self) -> Federation:
        """What its clients are told."""
        return Federation(
            rounds=self.own_rounds or self.rounds,
            local_epochs=self.local_epochs,
            participation=self.participation,
            aggregation=self.aggregation,
            options=self.options,
            choice=self.choice,
            recording=self.recording,
            privacy=self.privacy,
            seed=self.seed,
        )

    @property
    def row(self) -> str:
        """What it is called beside other rows."""
        if self.own_rounds is not None:
            return f"all at equal compute, {counted(self.own_rounds, 'round')}"
        return "all" if self.choice.everything else f"{self.choice.plan}{' once' if self.choice.once else ''}"

    @property
    def is_random(self) -> bool:
        """Whether it is what others are held against: examples that are drawn afresh in every round."""
        return [part.what for part in self.choice.plan.parts] == ["random"] and not self.choice.once

    @property
    def share(self) -> float:
        """Of its examples that a client trains on in a round."""
        return share_of(self.choice)

    @property
    def looks(self) -> int:
        """How often a client looks at all its examples before the last round."""
        rounds = range(1, self.federation.rounds + 1)
        return sum(self.recording.checkpoint(one) is not None for one in rounds)

    @property
    def equal_rounds(self) -> int:
        """The rounds that training on all the data has for the compute of the clients here: those here, times the
        FLOPs of training and looking, divided by the FLOPs of training on all; at least one."""
        of_all = training_flops(1, self.local_epochs) * taking(self.clients, self.participation) / self.clients
        return max(1, round(self.federation.rounds * self.share + inference_flops(1, self.looks) / of_all))

    def told(self) -> str:
        """Who trains how, on what."""
        federation = self.federation
        who = counted(self.clients, "client") + (f", {self.noise}" if self.noise else "")
        how = f"{counted(federation.rounds, 'round')} of {counted(self.local_epochs, 'local epoch')}"
        takes = "" if self.participation == 1 else f", {100 * self.participation:g} % of them in a round"
        with_ = f"{self.aggregation}{''.join(f', {name} {value:g}' for name, value in self.options.items())}"
        once = ", drawn once" if self.choice.once else ""
        return (
            f"{self.model}, {recipe_told(self.recipe).partition(', ')[2]}; {who}, parted {self.partition}{takes}, by "
            f"{with_}; {how}, each on {self.choice.spec}{once}{self._mapped}"
        )

    @property
    def _mapped(self) -> str:
        if self.recording.nothing:
            return ""
        every = "" if self.recording.every == 1 else f" every {self.recording.every} rounds"
        told = self.privacy
        private = f", told with epsilon {told.epsilon:g}{' as a secure sum' if told.secure else ''}" if told else ""
        after = f"from {counted(self.choice.warmup, 'epoch')} on"
        return f" by their maps of checkpoints{every}, {after} ({self.choice.bounds} bounds{private})"

    def cost(self, site: Site) -> Cost:
        """FLOPs of the clients' training and looking, and of judging the network after each round."""
        federation, forward = self.federation, site.forward(self.model)
        visits = federation.rounds * self.local_epochs * taking(self.clients, self.participation) / self.clients
        seen = round(visits * self.share * site.examples)
        looked = self.looks * site.examples + (federation.rounds + 1) * site.tests
        kept = 0 if self.recording.nothing else RECORDED_BYTES * site.examples * (self.looks + 1)
        flops = training_flops(forward, seen) + inference_flops(forward, looked)
        return Cost(flops, seen, kept + 8 * site.parameters(self.model), self.model)

    def holding(self, train: Dataset) -> Holding:
        """What each client has.

        Raises:
            TrainmapError: what ``partition`` and ``noisy`` refuse, and a column that the data have not.
        """
        column = self.partition.column
        groups = train.group(column) if column else None
        parts = partition(train.ids, train.y, self.clients, self.partition, self.seed, groups)
        data, wrong = [train.subset(ids) for ids in parts], ()
        if self.noise is not None:
            labels = [one.y for one in data]
            found, changed = noisy(parts, labels, train.classes, self.noise, self.seed)
            wrong, data = tuple(map(int, found)), [replace(one, y=y) for one, y in zip(data, changed, strict=True)]
        return Holding(tuple(data), wrong)

    def run(self, place: Place) -> Result:
        """Returns ``rounds`` with their metrics, bytes, FLOPs and seconds, who was refused or absent; ``clients`` with
        what each has and kept; the last metrics, and the sums of what was spent. ``train_flops`` has the looks in it,
        ``sweep_flops``."""
        from trainmap.federated.client_app import make_client_app  # flwr, which a plan does not need
        from trainmap.federated.local_grid import LocalGrid
        from trainmap.federated.server import federate

        self.check_weights()
        data, federation = self.data.load(place.data_root), self.federation
        holding = self.holding(data.train)
        network = build(self.model, data.train.classes, data.train.inputs, self.seed)
        clients = [
            Client(
                number,
                own,
                self.model,
                self.recipe,
                federation,
                client_folder(place.out, number),
                self.device,
                noise="seed",  # a task repeats
            )
            for number, own in enumerate(holding.data)
        ]
        app = make_client_app(lambda context: clients[int(context.node_config["number"])])
        grid = LocalGrid(app, {number + 1: {"number": number} for number in range(self.clients)})
        trained, first = [name for name, _ in network.named_parameters()], weights_of(network)
        judge = self._judge(network, data)
        rounds: list[Round] = []
        with self._telling(place, rounds) as tell:
            state = place.out / FEDERATION
            federate(grid, first, trained, federation, self.clients, judge, file=state, on_round=tell)
        rows = [row_of(one) for one in rounds]
        return {
            **{name: value for name, value in rows[-1].items() if name.startswith("test_")},
            **{name: sum(row[name] for row in rows) for name in SPENT},
            "parameters": parameters(network),
            "rounds": rows,
            "noisy": list(holding.noisy),
            "clients": [client_told(client, rounds, client.number in holding.noisy) for client in clients],
        }

    def _judge(self, network: nn.Module, data: Splits) -> Callable[[Weights], dict[str, float]]:
        """Weights → test metrics of the network."""

        from trainmap.federated.measuring import measured

        return lambda weights: measured(network, weights, data.test, self.recipe.flips, self.device)

    @contextmanager
    def _telling(self, place: Place, rounds: list[Round]) -> Iterator[Callable[[Round], None]]:
        """A function that takes a finished round to ``rounds``, to the table of epochs, and to whoever looks on."""
        place.out.mkdir(parents=True, exist_ok=True)
        of, name = self.federation.rounds, place.name or place.out.name
        with (
            track(name, self.identity(), place.logs or place.out, place.tracking) as log,
            place.at_work() as say,
        ):

            def tell(one: Round) -> None:
                rounds.append(one)
                rows = [numbers_of(each) for each in rounds]
                write_epochs(place.out / EPOCHS, rows)
                log(one.number, rows[-1])
                say(f"round {one.number} of {of}")

            yield tell


def row_of(one: Round) -> dict[str, Any]:
    """A round as the result has it."""
    kept, had = (sum(client[what] for client in one.clients.values()) for what in ("kept", "examples"))
    return {
        "round": one.number,
        **{f"test_{name}": value for name, value in one.metrics.items()},
        "clients": len(one.clients),
        "mapped": sum(client["mapped"] for client in one.clients.values()),
        "kept": kept / had if had else 0.0,
        "refused": dict(one.refused),
        "absent": list(one.absent),
        "bytes_down": one.bytes_down,
        "bytes_up": one.bytes_up,
        "train_flops": one.train_flops + one.sweep_flops,
        "sweep_flops": one.sweep_flops,
        "epsilon": one.epsilon,
        "train_seconds": one.seconds,
        "train_cpu_seconds": one.cpu_seconds,
    }


def numbers_of(one: Round) -> dict[str, float]:
    """A round as a table of epochs has it."""
    row = row_of(one)
    counts = {"epoch": one.number, "refused": len(one.refused), "absent": len(one.absent)}
    rest = {name: float(value) for name, value in row.items() if name not in (*counts, "round") and value is not None}
    return {**counts, **rest}


def client_told(client: Client, rounds: Sequence[Round], is_noisy: bool) -> dict[str, Any]:
    """What the reports tell of a client: what it has, which share of it it kept, on average over the rounds that it
    took part in (None: in none), and the means of its last map (None: there is none)."""
    its = [one.clients[str(client.number)] for one in rounds if str(client.number) in one.clients]
    datamap = client.map(len(rounds)) if client.federation.choice.request.reads_map else None
    table = None if datamap is None else datamap.table
    return {
        "client": client.number,
        "examples": len(client.data),
        "classes": np.bincount(client.data.y, minlength=client.data.classes).tolist(),
        "noisy": is_noisy,
        "rounds": len(its),
        "kept": float(np.mean([one["kept"] / one["examples"] for one in its])) if its else None,
        "confidence": None if table is None else float(table["confidence"].to_numpy().mean()),
        "variability": None if table is None else float(table["variability"].to_numpy().mean()),
    }


def share_of(choice: Choice) -> float:
    """Of its examples that a client trains on in a round, as the spec says it."""
    return 1.0 if choice.everything else min(1.0, float(sum(part.percent or 0 for part in choice.plan.parts)) / 100)


def taking(clients: int, participation: float) -> int:
    """How many clients train in a round."""
    return len(participants(clients, Federation(rounds=1, participation=participation), 1))


def client_folder(out: Path, number: int) -> Path:
    """Where a client of a task works."""
    return out / CLIENTS / f"{number:02d}"
