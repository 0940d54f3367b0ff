"""What a federation is told: its rounds, what a client trains on in each of them, when a map is recorded."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Literal, get_args

import numpy as np

from trainmap.errors import TrainmapError, number, shown, whole
from trainmap.federated.global_thresholds import axis_of
from trainmap.selection.requests import Request
from trainmap.selection.words import Plan, parse
from trainmap.typed import as_type

Source = Literal["checkpoints", "training"]
Bounds = Literal["local", "global", "mixed"]


@dataclass(frozen=True)
class Choice:
    """Which of its examples a client trains on in a round.

    Attributes:
        spec: of the mini-language, each part with a percentage of a client's own examples: "all", "33% ambiguous",
            "33% random", "33% auto". What draws at random is drawn afresh in every round.
        once: a spec that reads no map is drawn in the first round and kept.
        bounds: whose thresholds: ``local``, each client keeps the same share of its own examples; ``global``, each
            keeps what is beyond the thresholds of all clients together (``trainmap.federated.histograms``), so that the
            shares differ; ``mixed``, each keeps its own best, as many as the mean of the two.
        warmup: recorded checkpoints before the map is read, at least what the spec needs; until then a client trains
            on as many examples at random.

    Raises:
        TrainmapError: a spec that is none, a part without a percentage, options that do not go together.
    """

    spec: str = "all"
    once: bool = False
    bounds: Bounds = "local"
    warmup: int = 2

    def __post_init__(self) -> None:
        plan = self.plan
        for part in plan.parts:
            if part.percent is None:
                raise TrainmapError(f"'{part}' must say a percentage of each client's examples, such as '33% {part}'")
        if needs := [need for need in self.request.needs if need != "labels"]:
            raise TrainmapError(f"'{plan}' reads {' and '.join(needs)}, which clients do not make; take another word")
        if self.once and self.request.reads_map:
            raise TrainmapError(f"'{plan}' follows the map from round to round; only what reads no map is drawn once")
        if self.bounds not in get_args(Bounds):
            raise TrainmapError(f"bounds must be {', '.join(get_args(Bounds))}, got {shown(self.bounds)}")
        if self.bounds != "local" and not self.request.reads_map:
            raise TrainmapError(
                f"'{plan}' reads no map, and {self.bounds} bounds are thresholds on one; leave bounds out"
            )
        if self.bounds != "local":
            for part in plan.parts:
                axis_of(part)
        whole(self.warmup, "warmup", 1)

    @property
    def plan(self) -> Plan:
        """The spec, read."""
        return parse("100%" if self.spec == "all" else self.spec)

    @property
    def everything(self) -> bool:
        """Whether a client trains on all its examples."""
        return any(part.what == "all" for part in self.plan.parts)

    @property
    def request(self) -> Request:
        """What it asks of a map."""
        return Request.of_spec(self.plan)

    @property
    def least(self) -> int:
        """How many checkpoints it needs before it reads the map; 0 without a map."""
        return max(self.warmup, self.request.epochs) if self.request.reads_map else 0


@dataclass(frozen=True)
class Recording:
    """When and from what clients record the dynamics of their own examples.

    Attributes:
        source: ``checkpoints``: every client, whether it trains in the round or not, looks at all its examples with the
            global model as it was broadcast (a recording of source "sweep": its epochs are the same networks for all
            clients); ``training``: a client records the logits of its own training steps, in the rounds that it takes
            part in (source "train", free; what it does not visit, or sits out, is NaN). No choice reads such a map: it
            would know only what was chosen before.
        every: with checkpoints, rounds from one to the next; the first round is not recorded, its network knows
            nothing.
        nothing: record nothing at all.

    Raises:
        TrainmapError: values out of range.
    """

    source: Source = "checkpoints"
    every: int = 1
    nothing: bool = False

    def __post_init__(self) -> None:
        if self.source not in get_args(Source):
            raise TrainmapError(f"source must be {' or '.join(get_args(Source))}, got {shown(self.source)}")
        if whole(self.every, "every", 1) > 1 and self.source != "checkpoints":
            raise TrainmapError(f"every is of checkpoints; a training is recorded in each round, got {self.every}")

    def checkpoint(self, round_number: int) -> int | None:
        """The number, from 0 on, of the checkpoint that is recorded at the start of a round (from 1 on); None if none
        is."""
        if self.nothing or self.source != "checkpoints" or round_number < 2 or (round_number - 2) % self.every:
            return None
        return (round_number - 2) // self.every

    def made(self, round_number: int) -> int:
        """How many checkpoints are recorded when a round (from 1 on) chooses."""
        if self.nothing or self.source != "checkpoints" or round_number < 2:
            return 0
        return (round_number - 2) // self.every + 1


@dataclass(frozen=True)
class Privacy:
    """How what clients tell of their maps is protected: the Gaussian mechanism on their histograms, see
    ``trainmap.federated.privacy``.

    Attributes:
        epsilon, delta: of everything that a client's histograms tell of one example, over all rounds together, given
            the networks that were sent (which are not private).
        secure: add the histograms by secure aggregation (Flower's SecAgg+), so that the server sees their sum alone;
            each client then adds its share of the noise.

    Raises:
        TrainmapError: values out of range.
    """

    epsilon: float = 1.0
    delta: float = 1e-5
    secure: bool = False

    def __post_init__(self) -> None:
        number(self.epsilon, "epsilon", 0.0)
        number(self.delta, "delta", 0.0, 1.0)
        if not self.epsilon > 0 or not 0 < self.delta < 1:
            raise TrainmapError(f"epsilon must be above 0 and delta between 0 and 1, got {self.epsilon}, {self.delta}")


@dataclass(frozen=True)
class Federation:
    """How clients train together.

    Attributes:
        rounds: of training and averaging.
        local_epochs: that a client trains in a round, over what it chose.
        participation: share of the clients in each round, drawn afresh; at least one.
        aggregation: a key of ``trainmap.federated.AGGREGATIONS``.
        options: of it, such as ``{"proximal_mu": 0.1}``.
        choice: what a client trains on.
        recording: of the dynamics.
        privacy: of what is told of the maps; None: the exact histograms are told.
        seed: of the first weights, who takes part, the order of the data and what draws at random.

    Raises:
        TrainmapError: values out of range or that do not go together.
    """

    rounds: int
    local_epochs: int = 1
    participation: float = 1.0
    aggregation: str = "fedavg"
    options: Mapping[str, float] = field(default_factory=dict)
    choice: Choice = Choice()
    recording: Recording = Recording()
    privacy: Privacy | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        whole(self.rounds, "rounds", 1)
        whole(self.local_epochs, "local_epochs", 1)
        whole(self.seed, "seed")
        number(self.participation, "participation", 0.0, 1.0)
        if not self.participation > 0:
            raise TrainmapError(f"participation must be above 0 and at most 1, got {self.participation}")
        if self.choice.request.reads_map and self.recording.nothing:
            raise TrainmapError(f"'{self.choice.spec}' reads a map, and nothing is recorded; let the clients record")
        if self.choice.request.reads_map and self.recording.source == "training":
            raise TrainmapError(
                f"'{self.choice.spec}' reads a map, and a recording of the training would show it only what was chosen "
                "before; record checkpoints"
            )
        if self.choice.request.reads_map and self.recording.made(self.rounds) < self.choice.least:
            raise TrainmapError(
                f"'{self.choice.spec}' needs {self.choice.least} recorded checkpoints before it chooses, and "
                f"{self.rounds} rounds have {self.recording.made(self.rounds)}; more rounds, or record more often"
            )
        if self.privacy is not None and self.choice.bounds == "local":
            raise TrainmapError(
                "privacy is of the histograms that global and mixed bounds read; with local bounds clients tell "
                "nothing of their maps, so leave it out"
            )

    def tells(self, round_number: int) -> bool:
        """Whether clients tell histograms of their maps at the start of a round (from 1 on): the bounds are not local,
        the map can be read, and it is not that of the round before."""
        made = self.recording.made(round_number)
        new = made > self.recording.made(round_number - 1)
        return self.choice.bounds != "local" and new and made >= self.choice.least

    @property
    def releases(self) -> int:
        """How many histograms each client tells in the whole run."""
        return sum(self.tells(number) for number in range(1, self.rounds + 1))

    def to_json(self) -> str:
        """As text, for a message or a command line."""
        return json.dumps(asdict(self), sort_keys=True)

    @staticmethod
    def from_json(text: str) -> Federation:
        """From such a text.

        Raises:
            StoreError: it is none.
        """
        return as_type(Federation, json.loads(text), "the federation's settings", "send them as to_json() has them")


def participants(clients: int, federation: Federation, round_number: int) -> list[int]:
    """The numbers of the clients that train in a round (from 1 on), ascending: max(1, round(share x K)) of them, by the
    seed and the round alone."""
    count = max(1, int(federation.participation * clients + 0.5))
    generator = np.random.default_rng([federation.seed, round_number, 0xFED])
    return sorted(int(one) for one in generator.permutation(clients)[:count])
