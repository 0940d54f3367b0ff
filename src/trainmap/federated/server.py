"""The rounds of a federation, over any Flower grid: who trains, what is averaged, what was refused, what it took."""

from __future__ import annotations

import hashlib
import math
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from flwr.serverapp import Grid
from numpy.typing import NDArray

from trainmap.errors import StoreError
from trainmap.federated.aggregation import aggregation_of, averaged, restore, state_of
from trainmap.federated.asking import Asking
from trainmap.federated.client import Weights
from trainmap.federated.federation import Federation, participants
from trainmap.federated.global_thresholds import Thresholds, thresholds
from trainmap.federated.histograms import SHAPE
from trainmap.federated.messages import (
    HISTOGRAMS,
    RECORD,
    TRAIN,
    WEIGHT,
    Message,
    asked,
    histogram_in,
    metrics_of,
    record_of,
    weights_in,
)
from trainmap.federated.privacy import spent, variance
from trainmap.federated.roll_call import RollCall
from trainmap.federated.secure_sum import enough, secure_sum
from trainmap.files import writing
from trainmap.training.state_file import load_state
from trainmap.typed import as_type

Array = NDArray[Any]


@dataclass(frozen=True)
class Round:
    """A finished round.

    Attributes:
        number: from 1 on; 0 is the network before any training.
        metrics: of the global network after it, as ``evaluate`` gave them.
        clients: of each whose training was taken: "examples", "kept", "mapped", by its number as text.
        refused: of each whose reply was not taken, why; of a node that is no client of this federation, by "node ID".
        absent: numbers of the clients that were to take part and were not there, or did not answer.
        judged: of each whose training was taken, metrics of its own network, as ``judge`` gave them.
        bytes_down, bytes_up: of all messages of the round, to the clients and from them.
        train_flops, sweep_flops, seconds, cpu_seconds: of the clients together; sweeps are their looks at their own
            examples for the recording.
        thresholds: of all clients together, that the choices went by; those of the round before, where none could be
            made. None with local bounds, and while there are none.
        epsilon: what the histograms told so far have spent, at the delta of the privacy; None without privacy.
    """

    number: int
    metrics: Mapping[str, float]
    clients: Mapping[str, Mapping[str, int]] = field(default_factory=dict)
    refused: Mapping[str, str] = field(default_factory=dict)
    absent: tuple[int, ...] = ()
    judged: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    bytes_down: int = 0
    bytes_up: int = 0
    train_flops: int = 0
    sweep_flops: int = 0
    seconds: float = 0.0
    cpu_seconds: float = 0.0
    thresholds: Thresholds | None = None
    epsilon: float | None = None


@dataclass(frozen=True)
class Outcome:
    """What a federation came to.

    Attributes:
        weights: of the global network at the end.
        rounds: round 0, before any training, and every finished one.
    """

    weights: Weights
    rounds: tuple[Round, ...]


def federate(
    grid: Grid,
    weights: Weights,
    trained: Iterable[str],
    federation: Federation,
    clients: int,
    evaluate: Callable[[Weights], Mapping[str, float]],
    *,
    judge: Callable[[Weights], Mapping[str, float]] | None = None,
    file: str | Path | None = None,
    on_round: Callable[[Round], object] | None = None,
    timeout: float | None = 3600.0,
    least: int | None = None,
    settings: str = "",
) -> Outcome:
    """Run the rounds.

    In a round the clients that take part (``federation.participants``) get the global network, record it where a
    checkpoint is due, choose, train, and send theirs; the strategy makes the next global network of what is taken. The
    clients that sit out get the network only where a checkpoint is due. Replies are put in the order of the clients'
    numbers first: the result does not depend on who answers first.

    A reply that is not as it must be (``aggregation.refusal``) is refused by the client's number, and the round goes on
    with the others. A client that is not there, or does not answer within ``timeout``, is absent; who is there is
    looked at again before every round, so that one that comes back takes part again. A round in which nothing is taken
    keeps the network.

    Args:
        grid: an in-process one (``LocalGrid``), or the one that a Flower ServerApp is given.
        weights: of the network before any training.
        trained: the names among them that gradients move; the rest are batch-norm statistics and counters.
        federation: the settings, as the clients have them.
        clients: how many there are, K.
        evaluate: weights -> metrics of the global network, before the first round and after each.
        judge: weights -> metrics of one client's network on data of the server's own; asked for every client that
            trained in a round. See ``trainmap.federated.noisy_clients``.
        file: for the state after every round. When it is there, the federation goes on behind it, and ends as one that
            was not interrupted.
        on_round: called with every round as it ends, round 0 first; with those from ``file`` too.
        timeout: seconds that a round waits for its clients; None: without end.
        least: how many clients must be there before the first round; all of them by default. It waits for them as long
            as for a round. Before later rounds one must be there; a federation that goes on waits for as many as the
            last round had.
        settings: what else ``file`` must agree on, such as the clients' recipe.

    Raises:
        TrainmapError: too few clients, two with one number, settings that do not fit.
        StoreError: a damaged file, or one of another federation.
    """
    run = _Run(grid, federation, clients, frozenset(trained), evaluate, judge, timeout)
    path = None if file is None else Path(file)
    about = {"federation": federation.to_json(), "clients": str(clients), "model": _names(weights)}
    about |= {"settings": settings} if settings else {}
    current, rounds = {name: np.asarray(value) for name, value in weights.items()}, list[Round]()
    if path is not None and path.exists():
        current, rounds = run.resumed(path, about)
        run.limits = rounds[-1].thresholds
    roll, there = RollCall(grid, clients), clients if least is None else least
    if len(rounds) > 1:
        there = max(1, min(there, clients - len(rounds[-1].absent)))
    if len(rounds) <= federation.rounds:
        roll.meet(there, timeout)
    if not rounds:
        rounds.append(Round(0, run.measured(current)))
    for one in rounds:
        _tell(on_round, one)
    while len(rounds) <= federation.rounds:
        current, one = run.round(len(rounds), current, roll.meet(1, timeout), roll.refused)
        rounds.append(one)
        if path is not None:
            run.save(path, about, current, rounds)
        _tell(on_round, one)
    run.last_look(len(rounds), current, roll.look())
    return Outcome(current, tuple(rounds))


@dataclass
class _Run:
    grid: Grid
    federation: Federation
    clients: int
    trained: frozenset[str]
    evaluate: Callable[[Weights], Mapping[str, float]]
    judge: Callable[[Weights], Mapping[str, float]] | None
    timeout: float | None

    def __post_init__(self) -> None:
        self.limits: Thresholds | None = None  # of all clients together, in force
        self.deviation, privacy = 0.0, self.federation.privacy
        if privacy is not None:
            self.deviation = math.sqrt(variance(privacy, self.federation.releases))
            if privacy.secure:
                enough(self.clients)
        self.strategy = aggregation_of(self.federation.aggregation).make(self.federation.options)
        self.told = aggregation_of(self.federation.aggregation).told(self.federation.options)

    def asking(self, number: int, weights: Weights, nodes: Mapping[int, int], strangers: Mapping[str, str]) -> Asking:
        return Asking(self.grid, self.timeout, number, weights, nodes, self.deviation, dict(strangers))

    def round(
        self, number: int, weights: Weights, nodes: Mapping[int, int], strangers: Mapping[str, str]
    ) -> tuple[Weights, Round]:
        """One round: the next network, and what happened.

        Args:
            nodes: client number -> node id, of those that are there.
            strangers: nodes that cannot take part, and why.
        """
        federation, asking = self.federation, self.asking(number, weights, nodes, strangers)
        chosen = participants(self.clients, federation, number)
        due, arrays = federation.recording.checkpoint(number), record_of(weights)
        at = {"round": number, "checkpoint": -1 if due is None else due}
        if federation.tells(number):  # all of them record before the histograms are told, and these before the training
            if due is not None:
                asking.ask({one: (RECORD, asked(arrays, **at)) for one in nodes})
            at["checkpoint"] = -1
            self.limits = self.common(asking) or self.limits
        limits = {} if self.limits is None else {"thresholds": self.limits.to_json()}
        asks = {one: (TRAIN, asked(arrays, **at, **self.told, **limits)) for one in chosen}
        if at["checkpoint"] >= 0:
            asks |= {one: (RECORD, asked(arrays, **at)) for one in nodes if one not in asks}
        trained = {one: reply for one, reply in asking.ask(asks).items() if asks[one][0] == TRAIN}
        made, voting = weights, {one: reply for one, reply in trained.items() if metrics_of(reply)[WEIGHT]}
        judged = self.judged(voting)  # first: a strategy may empty the replies
        if voting:
            made = averaged(self.strategy, number, voting.values(), weights, set(self.trained))
        metrics = {one: metrics_of(reply) for one, reply in trained.items()}
        return made, Round(
            number,
            self.measured(made),
            {
                str(one): {name: int(told[name]) for name in ("examples", "kept", "mapped")}
                for one, told in metrics.items()
            },
            asking.refused,
            tuple(sorted(asking.absent)),
            judged,
            asking.bytes_down,
            asking.bytes_up,
            **asking.spent,
            thresholds=self.limits,
            epsilon=self.epsilon(number),
        )

    def common(self, asking: Asking) -> Thresholds | None:
        """The thresholds of all clients together, from what they tell of their maps now; None where it says nothing."""
        federation, number = self.federation, asking.number
        there = {
            one: node
            for one, node in asking.nodes.items()
            if one not in asking.absent and str(one) not in asking.refused
        }
        if federation.privacy is not None and federation.privacy.secure:
            total = secure_sum(asking.exchange, there.values(), enough(self.clients), number)
        else:
            replies = asking.ask({one: (HISTOGRAMS, asked(round=number)) for one in there})
            total = sum((histogram_in(reply) for reply in replies.values()), np.zeros(SHAPE, np.int64))
        return None if total is None else thresholds(total, federation.choice.plan)

    def epsilon(self, number: int) -> float | None:
        """What the histograms of the rounds until then have spent; None where they are not private."""
        if (privacy := self.federation.privacy) is None:
            return None
        told = sum(map(self.federation.tells, range(1, number + 1)))
        return spent(privacy, self.federation.releases, told)

    def last_look(self, number: int, weights: Weights, nodes: Mapping[int, int]) -> None:
        """The clients record the finished network too, where a checkpoint is due."""
        if (due := self.federation.recording.checkpoint(number)) is not None:
            content = asked(record_of(weights), round=number, checkpoint=due)
            self.asking(number, weights, nodes, {}).ask(dict.fromkeys(nodes, (RECORD, content)))

    def measured(self, weights: Weights) -> dict[str, float]:
        return {name: float(value) for name, value in self.evaluate(weights).items()}

    def judged(self, replies: Mapping[int, Message]) -> dict[str, dict[str, float]]:
        if self.judge is None:
            return {}
        found = {one: self.judge(weights_in(reply)) for one, reply in replies.items()}
        return {str(one): {name: float(value) for name, value in of.items()} for one, of in found.items()}

    def save(self, path: Path, about: Mapping[str, str], weights: Weights, rounds: list[Round]) -> None:
        state = {
            "run": dict(about),
            "weights": _tensors(weights),
            "strategy": {name: _tensors(value) for name, value in state_of(self.strategy).items()},
            "rounds": [asdict(one) for one in rounds],
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        with writing(path) as handle:
            torch.save(state, handle)

    def resumed(self, path: Path, about: Mapping[str, str]) -> tuple[Weights, list[Round]]:
        cure = "remove it to begin anew"
        state = load_state(path, "state of a federation", cure)
        if not isinstance(state, dict) or state.keys() != {"run", "weights", "strategy", "rounds"}:
            raise StoreError(f"{path} is no state of a federation; {cure}")
        if differs := [name for name in about if state["run"].get(name) != about[name]]:
            raise StoreError(f"{path} is of another federation (other {', '.join(differs)}); {cure}")
        restore(self.strategy, {name: _arrays(value) for name, value in state["strategy"].items()})
        return _arrays(state["weights"]), as_type(list[Round], state["rounds"], path, cure)


def _tensors(arrays: Mapping[str, Array]) -> dict[str, torch.Tensor]:
    return {name: torch.from_numpy(np.array(value)) for name, value in arrays.items()}


def _arrays(tensors: Mapping[str, torch.Tensor]) -> dict[str, Array]:
    return {name: value.numpy() for name, value in tensors.items()}


def _names(weights: Weights) -> str:
    told = "\n".join(f"{name} {np.asarray(value).shape}" for name, value in weights.items())
    return hashlib.sha256(told.encode()).hexdigest()


def _tell(on_round: Callable[[Round], object] | None, one: Round) -> None:
    if on_round is not None:
        on_round(one)
