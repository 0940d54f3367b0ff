"""What a report reads of the result of each kind of task, and which type it must have: checked once, as it is read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

from pydantic import Field

from trainmap.typed import as_type

Name = Annotated[str, Field(pattern=r"^[\w-]{1,128}$")]
"""A hash; part of a file's name."""
Count = Annotated[int, Field(ge=0, lt=1 << 62)]
Cost = Annotated[float, Field(ge=0, allow_inf_nan=False)]
Share = Annotated[float, Field(ge=0, le=1)]
Number = Annotated[float, Field(allow_inf_nan=False)]


@dataclass(frozen=True)
class Trained:
    """Of a run that trained a network."""

    test_accuracy: Share
    test_macro_f1: Share
    train_flops: Cost
    train_seconds: Cost
    train_cpu_seconds: Cost
    parameters: Count
    steps: Count
    examples: Count = 0
    fraction: Share = 0.0
    nonzero: Cost = 0.0
    forward_flops: Cost = 0.0
    bytes: Cost = 0.0
    zipped_bytes: Cost = 0.0
    agreement: Share = 0.0
    inference_seconds: Cost = 0.0
    examples_seen: Count = 0
    teacher_flops: Cost = 0.0
    proxy_flops: Cost = 0.0
    compress_flops: Cost = 0.0
    compress_seconds: Cost = 0.0
    compress_cpu_seconds: Cost = 0.0


@dataclass(frozen=True)
class Taught(Trained):
    """Of a teacher."""

    epochs: Count = 0
    sweep_seconds: Cost = 0.0
    sweep_flops: Cost = 0.0


@dataclass(frozen=True)
class Scored:
    """Of a map."""

    epochs: Count
    recorded_epochs: Annotated[int, Field(ge=1)]
    scoring_seconds: Cost
    scoring_cpu_seconds: Cost
    overlap: Mapping[str, Share | None]
    fingerprint: str
    dataset: str


@dataclass(frozen=True)
class MembersAgreed:
    """How far two ensembles of so many members agree; None where there is no number."""

    score: str
    members: Annotated[int, Field(ge=1)]
    spearman: Number | None
    low: Number | None
    high: Number | None
    top: Number | None
    top_low: Number | None
    top_high: Number | None
    pairs: Count
    maps: Count


@dataclass(frozen=True)
class ScoredTogether(Scored):
    """Of a map of several recordings."""

    members: Annotated[int, Field(ge=2)]
    member_epochs: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=2)]
    agreement: tuple[MembersAgreed, ...]


@dataclass(frozen=True)
class Chosen:
    """Of a selection."""

    reason: str = ""
    selecting_seconds: Cost = 0.0


@dataclass(frozen=True)
class Raced:
    """Of a race."""

    winner: str
    reason: str
    trainings: Count
    train_flops: Cost
    train_seconds: Cost
    train_cpu_seconds: Cost


@dataclass(frozen=True)
class Prepared:
    """Of what strategies and students read: logits, features, clusters."""

    inference_flops: Cost = 0.0
    inference_seconds: Cost = 0.0
    inference_cpu_seconds: Cost = 0.0
    clustering_seconds: Cost = 0.0
    clustering_cpu_seconds: Cost = 0.0


@dataclass(frozen=True)
class Agreed:
    """How one score goes with people; None where there is no number."""

    score: str
    examples: Count
    disputed: Count
    spearman: Number | None
    low: Number | None
    high: Number | None
    auroc: Number | None
    auroc_low: Number | None
    auroc_high: Number | None


@dataclass(frozen=True)
class Disputed:
    """People's disagreement in one region."""

    entropy: Number
    examples: Count


@dataclass(frozen=True)
class Judged:
    """Of people beside a map."""

    scores: Annotated[tuple[Agreed, ...], Field(min_length=1)]
    regions: Mapping[str, Disputed]


@dataclass(frozen=True)
class Told:
    """How well one score tells one kind; None where there is no number."""

    score: str
    kind: str
    examples: Count
    others: Count
    auroc: Share | None
    hard_precision: Share | None
    easy_precision: Share | None
    clean_auroc: Share | None


@dataclass(frozen=True)
class Kinds:
    """Of scores beside the known kinds of examples."""

    settings: str
    data_seed: Count
    best_accuracy: Share
    found: Annotated[tuple[Told, ...], Field(min_length=1)]
    regions: Mapping[str, Mapping[str, Count]]


@dataclass(frozen=True)
class Trial:
    """Of a search."""

    peak_lr: Number
    validation_macro_f1: Share
    temperature: Number | None = None
    weight: Number | None = None
    weight_decay: Number | None = None


@dataclass(frozen=True)
class Found:
    """What a search chose: temperature, weight and gold of a distilled student, weight decay of a plain one."""

    peak_lr: Number
    temperature: Number | None = None
    weight: Number | None = None
    gold: Number | None = None
    weight_decay: Number | None = None

    @property
    def values(self) -> dict[str, float]:
        """Those that were searched."""
        told = {name: value for name, value in vars(self).items() if value is not None and name != "gold"}
        if told.keys() not in ({"peak_lr", "temperature", "weight"}, {"peak_lr", "weight_decay"}):
            raise ValueError(f"no search finds {', '.join(told)}")
        return told


@dataclass(frozen=True)
class Searched:
    """Of a search for hyperparameters."""

    train_flops: Cost
    train_cpu_seconds: Cost
    trials: tuple[Trial, ...]
    found: Found
    train_seconds: Cost = 0.0


@dataclass(frozen=True)
class Labelled:
    """Of a round of active learning."""

    labels: Count
    test_accuracy: Share
    test_macro_f1: Share
    train_flops: Cost
    train_cpu_seconds: Cost
    pool_flops: Cost


@dataclass(frozen=True)
class Asked:
    """Of active learning, with all of its rounds."""

    train_flops: Cost
    train_seconds: Cost
    train_cpu_seconds: Cost
    pool_flops: Cost
    parameters: Count
    rounds: Annotated[tuple[Labelled, ...], Field(min_length=2)]


@dataclass(frozen=True)
class FederatedRound:
    """Of a federation, after so many rounds."""

    round: Count
    test_accuracy: Share
    test_macro_f1: Share
    clients: Count
    mapped: Count
    kept: Share
    refused: Mapping[str, str]
    absent: tuple[Count, ...]
    bytes_down: Count
    bytes_up: Count
    train_flops: Cost
    sweep_flops: Cost
    train_cpu_seconds: Cost
    epsilon: Cost | None = None


@dataclass(frozen=True)
class OfClient:
    """Of a client of a federation; None where it took part in no round, or recorded no map."""

    client: Count
    examples: Annotated[int, Field(ge=1)]
    classes: tuple[Count, ...]
    noisy: bool
    rounds: Count
    kept: Share | None
    confidence: Share | None
    variability: Share | None


@dataclass(frozen=True)
class FederatedTold:
    """Of a federation, with all of its rounds, before any training first."""

    train_flops: Cost
    sweep_flops: Cost
    train_seconds: Cost
    train_cpu_seconds: Cost
    bytes_down: Count
    bytes_up: Count
    parameters: Count
    rounds: Annotated[tuple[FederatedRound, ...], Field(min_length=2)]
    clients: Annotated[tuple[OfClient, ...], Field(min_length=1)]


MAPS = ("map", "ensemble")
"""The kinds of task that make a map of the training data."""

FIELDS: Mapping[str, Any] = {
    "teacher": Taught,
    "teacher on a part": Taught,
    "smaller teacher": Taught,
    "teacher out of fold": Taught,
    "map": Scored,
    "ensemble": ScoredTogether,
    "selection": Chosen,
    "race": Raced,
    "teacher logits": Prepared,
    "features": Prepared,
    "clusters": Prepared,
    "student": Trained,
    "tuned": Trained,
    "compressed": Trained,
    "people": Judged,
    "kinds": Kinds,
    "search": Searched,
    "active": Asked,
    "federated": FederatedTold,
}

TEACHERS = tuple(kind for kind, fields in FIELDS.items() if fields is Taught)
"""The kinds of tasks that train a teacher, whatever on and in which form."""


SHARES = ("_macro_f1", "_accuracy", "_consistency", "_auroc", "_fpr95")
"""How the fields of results end that are shares, whatever set they are of."""


def check_result(path: Path, kind: str, result: Mapping[str, Any]) -> None:
    """Check what a report reads of the result of a task.

    Raises:
        StoreError: names the file, the field, what it must be and what it is.
    """
    cure = "remove it to run again"
    if kind in FIELDS:
        as_type(FIELDS[kind], dict(result), path, cure)
    shares = {name: value for name, value in result.items() if name.endswith(SHARES)}
    as_type(dict[str, Share], shares, path, cure)
