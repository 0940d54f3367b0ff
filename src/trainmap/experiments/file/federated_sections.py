"""The section of an experiment file about many clients: how they train together, and what each trains on in a round."""

# ruff: noqa: RUF012  (pydantic copies defaults; ruff knows that of its direct subclasses alone)

from __future__ import annotations

from typing import Annotated, Any, ClassVar, Literal

from pydantic import Field, model_validator

from trainmap.experiments.file.fields import Count, Section, Share, Way, Words
from trainmap.experiments.file.teacher_sections import Recipe


class Partition(Way):
    """How the training data are parted among the clients (``trainmap.federated.partition``). A bare word is the way."""

    chooser: ClassVar = "by"
    options: ClassVar = {
        "iid": {},
        "dirichlet": {"alpha": 0.5},
        "group": {"column": ...},
        "quantity": {"alpha": 0.5},
    }

    by: Literal["iid", "dirichlet", "group", "quantity"] = "iid"
    """``iid``: at random. ``dirichlet``: each class by shares that are drawn. ``group``: by a column, such as the
    speaker. ``quantity``: at random, by sizes that are drawn."""
    alpha: Annotated[float, Field(gt=0)] | None = None
    """Of the draw; the smaller, the more unequal."""
    column: Words | None = None
    """Of the dataset's groups."""
    least: Count = 1
    """Examples of each client, at least."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"by": value} if isinstance(value, str) else value


class Noise(Section):
    """Some clients have wrong labels."""

    clients: Annotated[float, Field(gt=0, le=1)]
    """Share of the clients that are noisy."""
    share: Annotated[float, Field(gt=0, le=0.5)]
    """Of their labels, exchanged for another class."""


class Record(Section):
    """When clients record the dynamics of their own examples, for rows that read a map: every client looks at all its
    examples with the network as it was broadcast, which counts as compute of the clients."""

    every: Count = 1
    """Rounds from one checkpoint to the next."""


class Protection(Section):
    """What is told of the maps, where bounds are of all clients together, is noised (the Gaussian mechanism)."""

    epsilon: Annotated[float, Field(gt=0)]
    delta: Annotated[float, Field(gt=0, lt=1)] = 1e-5
    secure: bool = False
    """Add the histograms by secure aggregation."""


class Federated(Section):
    """Federated learning on the training data, parted among clients (``trainmap.federated``). Each row of ``select`` is
    run for each of the experiment's seeds; the rows of a seed have the same parts, first weights and participants."""

    model: Words
    name: str = ""
    clients: Count
    rounds: Count
    participation: Annotated[float, Field(gt=0, le=1)] = 1.0
    """Share of the clients that train in a round, drawn afresh in each."""
    local_epochs: Count = 1
    """Of a client's training in a round."""
    aggregation: Words = "fedavg"
    """A key of ``trainmap.federated.AGGREGATIONS``."""
    options: dict[str, int | float] = {}
    """Of it: ``{proximal_mu: 0.1}``."""
    partition: Partition = Partition()
    noise: Noise | None = None
    select: Annotated[list[Words], Field(min_length=1)] = ["ambiguous"]
    """What clients train on in a round: a spec with percentages of each client's own examples ("33% ambiguous"), or a
    word at each of the experiment's sizes ("ambiguous", "random", "random once"). Always there: ``all``, ``random`` of
    the size of each row, and ``all at equal compute``."""
    record: Record = Record()
    warmup: Count = 2
    """Recorded checkpoints before a map is read; until then as many examples are drawn at random."""
    bounds: Literal["local", "global", "mixed"] = "local"
    """Whose thresholds on the map: each client's own, those of all together, or the mean of both."""
    privacy: Protection | None = None
    recipe: Recipe = Recipe()
    """Of the local training; its learning rate falls over all rounds."""
    target: Share | None = None
    """The test accuracy to which rounds, bytes and compute are counted; else the lowest of random's at the end."""

    @property
    def epochs(self) -> int:
        """Of a client that takes part in every round."""
        return self.rounds * self.local_epochs

    @model_validator(mode="after")
    def _fits(self) -> Federated:
        if self.privacy is not None and self.bounds == "local":
            raise ValueError("privacy is of what clients tell for global or mixed bounds; local bounds tell nothing")
        return self
