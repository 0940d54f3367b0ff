"""A task of an experiment: a typed value. Its fields are what it is; where its files lie is not.

A task's identity is its word and its fields as canonical JSON, in which another task stands as its hash: the hash of a
task stands for all that it came from. The word is no module path, so that a file may move and nothing is run again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, is_dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, ClassVar, Protocol, Self

import numpy as np
from pydantic import BaseModel

from trainmap.errors import TrainmapError
from trainmap.experiments.file.fields import Section, short

if TYPE_CHECKING:
    from trainmap.experiments.tasks.place import Place

Result = dict[str, Any]
"""What a task gives: values that JSON can hold, by name."""


@dataclass(frozen=True)
class Cost:
    """What a task is expected to take.

    Attributes:
        flops: in all, those of networks that run beside the trained one among them.
        examples: that a training or an inference sees.
        bytes: on disk.
        model: that the FLOPs are of; "" for a task that runs no network. Its speed is measured before a plan is shown.
        checkpoint: whether it is long enough to go on in the middle after a kill.
        beside: FLOPs among them of other networks, a live teacher or a proxy, by their names.
    """

    flops: int = 0
    examples: int = 0
    bytes: int = 0
    model: str = ""
    checkpoint: bool = False
    beside: Mapping[str, int] = field(default_factory=dict)


class Site(Protocol):
    """What is known of a dataset and its networks before anything is run."""

    examples: int
    tests: int
    classes: int

    def forward(self, model: str) -> int:
        """FLOPs of a network for one example."""
        ...

    def parameters(self, model: str) -> int: ...


class Task(Section):
    """One thing to do, once.

    A new kind of task is a class with fields, in a file of its own, and a line in ``trainmap.experiments.tasks.TASKS``.

    Attributes:
        kind: its stable word with a number, "student/1": another number where the same fields give another result.
        spelled: the word as 0.1 hashed it, for the kinds that are older than the words: their results stay found.
        part: as which part of a run's price its own cost counts, a key of ``trainmap.experiments.results.PARTS``.
        makes: the part as which the trainings and logits count that it needs; "" for their own.
        spends: how the fields of its result begin that say its own cost: "train" for ``train_flops``,
            ``train_seconds``, ``train_cpu_seconds``.
    """

    kind: ClassVar[str]
    spelled: ClassVar[str] = ""
    part: ClassVar[str] = "other"
    makes: ClassVar[str] = ""
    spends: ClassVar[tuple[str, ...]] = ("train", "inference")

    @property
    def word(self) -> str:
        """What is hashed with the fields: a kind that 0.1 knew was its number 1."""
        return self.spelled if self.spelled and self.kind.endswith("/1") else self.kind

    @property
    def what(self) -> str:
        """The kind as plans and folders have it: "student", "teacher logits"."""
        return self.kind.partition("/")[0]

    def identity(self) -> dict[str, Any]:
        """The fields as JSON has them; another task is its hash."""
        return {name: as_identity(getattr(self, name)) for name in type(self).model_fields}

    @classmethod
    def of(cls, identity: Mapping[str, Any], tasks: Mapping[str, Task]) -> Self:
        """The task with this identity; ``tasks`` are those that it can name, by their hashes.

        Raises:
            pydantic.ValidationError, KeyError: no identity of such a task.
        """
        told = {name: identity[name] for name in cls.model_fields if name in identity}
        named = {name: tasks.get(value, value) if isinstance(value, str) else value for name, value in told.items()}
        return cls.model_validate(named, strict=False)

    def needs(self) -> dict[str, Task]:
        """The tasks that must be finished first, by the names under which ``run`` asks for their folders."""
        return {name: value for name in type(self).model_fields if isinstance(value := getattr(self, name), Task)}

    def cost(self, site: Site) -> Cost:
        """What it is expected to take."""
        return Cost()

    def told(self) -> str:
        """What is done, in a phrase for the steps of a report; not of which seed, nor where it comes twice."""
        named = {name: getattr(self, name) for name in type(self).model_fields if name not in ("seed", "data")}
        told = [
            f"{name} {short(value)}" for name, value in named.items() if isinstance(value, bool | int | float | str)
        ]
        return ", ".join(told) or self.what

    def share_of(self, role: str, result: Mapping[str, Any]) -> float:
        """How much of a task that it needs counts as its cost, 0 to 1: all, unless it reads a part alone.

        Args:
            role: the name of that task in ``needs``.
            result: its own.
        """
        return 1.0

    def completed(self, result: Result, needs: Mapping[str, Result], forward: Callable[[str], int]) -> Result:
        """A result with the costs that earlier versions left out.

        Args:
            result: as it was kept.
            needs: the completed results of the tasks that it needs, by name; those that are there.
            forward: FLOPs of a network, by its name, for one example.
        """
        return result

    def run(self, place: Place) -> Result:
        """Do it: read what others left (``place.of("teacher")``), write into ``place.out``, return the result."""
        raise NotImplementedError

    @cached_property
    def canonical(self) -> str:
        """The identity as JSON without a choice left: sorted keys, no spaces."""
        return canonical_of(self.identity(), f"a task of kind {self.kind}")

    @cached_property
    def hash(self) -> str:
        """SHA-256 (hex) of the word and the canonical identity."""
        return hash_of(self.word, self.canonical)

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A copy with other fields, and so with another hash."""
        copied = super().model_copy(update=update, deep=deep)
        kept: dict[str, Any] = vars(copied)  # the copy has what was computed of the original's fields
        for name in ("canonical", "hash"):
            kept.pop(name, None)
        return copied

    def __hash__(self) -> int:
        return hash(self.hash)


def hash_of(word: str, canonical: str) -> str:
    """SHA-256 (hex) of a word and a canonical identity."""
    return hashlib.sha256(f"{word}\n{canonical}".encode()).hexdigest()


def canonical_of(identity: Mapping[str, Any], what: str) -> str:
    """An identity as JSON without a choice left.

    Raises:
        TrainmapError: it holds what JSON cannot, with its place.
    """
    try:
        return json.dumps(plain(identity, what), sort_keys=True, separators=(",", ":"), allow_nan=False)
    except ValueError as error:
        if isinstance(error, TrainmapError):
            raise
        raise TrainmapError(f"{what} must hold finite numbers, got NaN or infinity") from error


def as_identity(value: Any) -> Any:
    """A field as an identity has it."""
    if isinstance(value, Task):
        return value.hash
    if isinstance(value, BaseModel):
        return value.identity() if hasattr(value, "identity") else value.model_dump()  # pyright: ignore
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    return value


def plain(value: Any, where: str) -> Any:
    """``value`` as JSON holds it: tuples become lists, numpy scalars numbers; all else is refused with its place."""
    if isinstance(value, np.generic):
        value = value.item()
    if value is None or isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, Mapping):
        odd = [key for key in value if not isinstance(key, str)]
        if odd:
            raise TrainmapError(f"{where} must have strings as keys, got {odd[0]!r}")
        return {key: plain(item, f"{where}.{key}") for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [plain(item, f"{where}[{position}]") for position, item in enumerate(value)]
    raise TrainmapError(f"{where} must be a number, a string, a list or a dict, got {type(value).__name__}")
