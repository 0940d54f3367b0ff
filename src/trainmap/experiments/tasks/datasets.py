"""Which data a task is of, and what its network is judged on elsewhere."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any, Literal

from trainmap.audits.planted import plan_flips
from trainmap.data.dataset import Dataset, Splits, load_splits
from trainmap.data.elsewhere import Part, Revised, load_elsewhere, load_left_out, load_outside, load_pairs
from trainmap.data.known_sizes import outline
from trainmap.data.leave_out import LeaveOut
from trainmap.data.raw_rows import Limit
from trainmap.data.relabel import relabelled
from trainmap.errors import TrainmapError
from trainmap.experiments.file.fields import Section, short


class Data(Section):
    """A dataset as an experiment has it, with what it held when it was planned.

    Attributes:
        name: as ``load_splits`` takes it.
        split_seed, validation: of the split.
        limit: how many examples of each part are kept; None for all.
        label_noise, noise_seed: share of the training labels that are exchanged for another class.
        labels: ``FILE.npz:ARRAY`` in place of those of the training part; "" for its own.
        leave_out: examples that are in none of the splits; None for none.
        fingerprint: of all of it, SHA-256 (hex); "" in a plan that was made without the data.
    """

    name: str
    split_seed: int
    validation: float
    label_noise: float
    noise_seed: int
    labels: str
    fingerprint: str
    limit: Limit | None = None
    leave_out: LeaveOut | None = None

    def identity(self) -> dict[str, Any]:
        """Without what is not asked for, as before there was such a thing."""
        return self.model_dump(exclude={name for name in ("limit", "leave_out") if getattr(self, name) is None})

    def told(self) -> str:
        """How it is split and what is done to its labels, for a reader."""
        parts = [f"{short(100 * self.validation)} % of the training data set aside for validation"]
        parts[0] = f"{parts[0]} (split seed {self.split_seed})" if self.validation else "no validation data"
        parts += [f"training labels of {self.labels}"] if self.labels else []
        noise = f"{short(100 * self.label_noise)} % of the training labels exchanged for another class"
        parts += [f"{noise}, drawn evenly (seed {self.noise_seed})"] if self.label_noise else []
        parts += [f"{self.leave_out} left out of all parts"] if self.leave_out else []
        kept = {} if self.limit is None else vars(self.limit)
        few = [f"{count:,} of {part}" for part, count in kept.items() if count is not None and part != "seed"]
        parts += [f"drawn of it by seed {kept['seed']}: {', '.join(few)}"] if few else []
        return "; ".join([*parts, f"fingerprint {self.fingerprint[:16]}"])

    def load(self, root: str | None) -> Splits:
        """The data, once in a process.

        Raises:
            TrainmapError: they are not what they were when the experiment was planned.
        """
        data = load(root=root, **self.read())
        if data.fingerprint() != self.fingerprint:
            raise TrainmapError(f"the data of {self.name} changed since the experiment was planned; plan it again")
        return data

    def to_measure(self, root: str | None) -> Splits:
        """The data, or their outline where the plan was made without them: for how fast a network is."""
        return self.load(root) if self.fingerprint else load(root=root, outlined=True, **self.read())

    def read(self) -> dict[str, Any]:
        """The arguments of ``load`` but for the root."""
        return {name: getattr(self, name) for name in type(self).model_fields if name != "fingerprint"}


class Foreign(Section):
    """A set that networks are judged on, besides the shifts that were made for a dataset.

    Attributes:
        kind: what it is.
        name: of its source; of the dataset itself for what is left out.
        fingerprint: of its data, encoded for the networks of the dataset.
        part, labels: of a shift or of outliers; see ``trainmap.data.elsewhere``.
        score: what tells outliers.
    """

    kind: Literal["shift", "pairs", "outliers", "left out"]
    name: str
    fingerprint: str
    part: Part = "test"
    labels: dict[str, str | None] = {}  # noqa: RUF012
    score: str = ""


class Elsewhere(Section):
    """What networks are judged on besides their test set.

    Attributes:
        corruptions, severities: of the test set.
        shifts: sets that were made for the dataset (``SHIFTS``), with the fingerprint of their data.
        sets: further sets by the names that reports have for them.
    """

    corruptions: tuple[str, ...] = ()
    severities: tuple[int, ...] = ()
    shifts: dict[str, str] = {}  # noqa: RUF012
    sets: dict[str, Foreign] = {}  # noqa: RUF012

    def identity(self) -> dict[str, Any]:
        """Nothing where nothing is asked for."""
        return self.model_dump(exclude=None if self.sets else {"sets"}) if self else {}

    def __bool__(self) -> bool:
        return bool(self.corruptions or self.shifts or self.sets)

    def told(self) -> str:
        """The sets, for a reader."""
        severities = ", ".join(map(str, self.severities))
        corrupted = (
            f"its corruptions {', '.join(self.corruptions)} at severity {severities}" if self.corruptions else ""
        )
        called = {"shift": "the shift {}", "pairs": "the pairs {}", "outliers": "the unknown examples {}"}
        sets = [called.get(one.kind, "what is {}").format(name) for name, one in self.sets.items()]
        shifts = [f"the shift {name}" for name in self.shifts]
        return ", ".join(filter(None, ("the test data", corrupted, *shifts, *sets)))

    @property
    def corrupted(self) -> list[str]:
        """The names of the corrupted test sets."""
        return [f"{kind} {level}" for kind in self.corruptions for level in self.severities]


Made = Dataset | dict[str, Revised]
"""A set of examples, or the sets of revised examples of ``pairs``."""


def foreign(data: Data, called: str, one: Foreign, root: str | None, test: Dataset) -> Made:
    """A set from elsewhere, made once in a process.

    Args:
        data: the dataset whose networks are judged.
        called: the name of the set, and of revised examples that are one set.
        test: its test part.

    Raises:
        TrainmapError: it does not fit the dataset.
    """
    made = _made(one.kind, one.name, root, one.part, tuple(one.labels.items()), data.leave_out, _Like(test))
    return made if isinstance(made, Dataset) or len(made) > 1 else dict.fromkeys([called], *made.values())


def fingerprint_of(made: Made) -> str:
    """Of a set from elsewhere, SHA-256 (hex)."""
    if isinstance(made, Dataset):
        return made.fingerprint()
    told = " ".join(f"{name} {pairs.fingerprint()}" for name, pairs in made.items())
    return hashlib.sha256(told.encode()).hexdigest()


class _Like:
    """A test set as a key: that of the same examples is the same."""

    def __init__(self, test: Dataset) -> None:
        self.test = test

    def __hash__(self) -> int:
        return hash(self.test.fingerprint())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, _Like) and self.test.fingerprint() == other.test.fingerprint()


@lru_cache(maxsize=8)
def _made(
    kind: str,
    name: str,
    root: str | None,
    part: Part,
    labels: tuple[tuple[str, str | None], ...],
    left_out: LeaveOut | None,
    like: _Like,
) -> Made:
    match kind:
        case "shift":
            return load_elsewhere(name, like.test, root, part, dict(labels))
        case "outliers":
            return load_outside(name, like.test, root, part)
        case "pairs":
            return load_pairs(name, like.test, root)
    assert left_out is not None
    return load_left_out(name, left_out, like.test, root)


@lru_cache(maxsize=2)
def as_it_comes(
    name: str,
    root: str | None,
    split_seed: int,
    validation: float,
    left_out: LeaveOut | None = None,
    limit: Limit | None = None,
) -> Splits:
    """A dataset, read once in a process."""
    return load_splits(name, root, split_seed, validation, left_out, limit)


@lru_cache(maxsize=2)
def load(
    name: str,
    root: str | None,
    split_seed: int,
    validation: float,
    label_noise: float = 0.0,
    noise_seed: int = 0,
    labels: str = "",
    leave_out: LeaveOut | None = None,
    limit: Limit | None = None,
    outlined: bool = False,
) -> Splits:
    """A dataset, made once in a process, with its label noise in the training part alone: labels of a file, or each
    chosen label exchanged for another class, drawn evenly. ``outlined``: its sizes alone, without its files."""
    if outlined:
        if leave_out is not None:
            raise TrainmapError(f"{name} has no columns to leave out by; tables, texts with columns and fsdd have")
        data = outline(name, split_seed, validation, limit)
    else:
        data = as_it_comes(name, root, split_seed, validation, leave_out, limit)
    if labels:
        data = replace(data, train=relabelled(data.train, labels, Path(root or "data")))
    if not label_noise:
        return data
    train = data.train
    flips = plan_flips(train.y, label_noise, noise_seed, ids=train.ids, classes=train.classes)
    return replace(data, train=replace(train, y=flips.apply(train.ids, train.y)))
