"""What a schedule is in the table: its options with their limits, what it is expected to visit, how it is made."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Callable
from dataclasses import MISSING, Field, dataclass, field, fields
from typing import TYPE_CHECKING, Any, ClassVar, get_args, get_type_hints

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError, number, shown, whole
from trainmap.scores.table import hard_end, score_named
from trainmap.selection.entry import check_epochs

if TYPE_CHECKING:
    from trainmap.maps.datamap import DataMap

LIMITS = ("ge", "gt", "le", "lt", "min_length")


def option(default: Any, description: str, newer: bool = False, **limits: float) -> Any:
    """A field of ``Options``.

    Args:
        default: ``...`` where one must be given.
        description: for the documentation of experiment files.
        newer: whether it came to a schedule that had runs by then: at its default it is not written down, so that
            finished runs are found again.
        limits: ``ge``, ``gt``, ``le``, ``lt``, of a text ``min_length``.
    """
    about = {"description": description, "newer": newer, **limits}
    return field(metadata=about) if default is ... else field(default=default, metadata=about)


@dataclass(frozen=True)
class Run:
    """What a schedule is made for.

    Attributes:
        ids: of all the training examples.
        epochs: of the whole training.
        seed: of the draws.
        datamap: of the training data, for a schedule that ``reads_map``.
        held_out: accuracy of the map's network on data that it was not trained on, where it is known.
        network: makes a small network by its name, for a filter within the steps.
        labels: (N,) of the ids, for a schedule that goes by class; None where they are not known.
    """

    ids: NDArray[Any]
    epochs: int
    seed: int
    datamap: DataMap | None = None
    held_out: float | None = None
    network: Callable[[Options], Any] | None = None
    labels: NDArray[Any] | None = None

    def count(self, share: float) -> int:
        """So many of the examples, one at least."""
        return max(1, round(share * len(self.ids)))


@dataclass(frozen=True)
class Options(ABC):
    """All options of a schedule; wrong ones are refused.

    Attributes:
        source: the paper.
        reads_map: whether it is made of a map, at least with some of its options.
        held_out: whether it wants to know how good the map's network is on data that it was not trained on.
        in_batches: whether it picks examples within each batch, and not those of an epoch.
        guessed: whether its share depends on what the training shows, so that ``share`` can only guess it.
    """

    source: ClassVar[str]
    reads_map: ClassVar[bool] = False
    held_out: ClassVar[bool] = False
    in_batches: ClassVar[bool] = False
    guessed: ClassVar[bool] = False

    def __post_init__(self) -> None:
        """Refuse values of another type, or outside their limits.

        Raises:
            TrainmapError: says which, and what it must be.
        """
        types = get_type_hints(type(self))
        for one in fields(self):
            _check(one, types[one.name], getattr(self, one.name))

    @property
    def columns(self) -> tuple[str, ...]:
        """The scores of a map that it reads, as far as its options name them."""
        return ()

    def check_map(self, epochs: int) -> None:
        """Refuse a map of so many epochs where they are too few for what is read.

        Raises:
            TrainmapError: says how many it must be.
        """
        for column in self.columns:
            check_column(column, epochs)

    @property
    def needs_map(self) -> bool:
        """Whether it is made of a map with these options."""
        return self.reads_map

    @property
    def opponent(self) -> Options | None:
        """What it has to be better than, where that is not random of its size: the same without what a map adds."""
        return None

    @abstractmethod
    def share(self) -> float:
        """Of the examples that an epoch is expected to visit, where it does not visit all."""

    def whole_epochs(self, epochs: int) -> int:
        """How many of the epochs visit everything."""
        return 0

    def visits(self, examples: int, epochs: int) -> int:
        """How many of so many examples an epoch is expected to train on, the mean over so many epochs."""
        all_of_them = min(self.whole_epochs(epochs), epochs) / epochs
        return max(1, round((all_of_them + (1 - all_of_them) * self.share()) * examples))

    @abstractmethod
    def make(self, run: Run) -> Any:
        """The schedule for a training, freshly made: what ``fit`` takes; a filter where it is ``in_batches``."""


def whole_ends(warmup: int, anneal: float, epochs: int) -> int:
    """How many of so many epochs lie within the warm-up or from ``anneal`` times them on."""
    return min(epochs, warmup + epochs - min(epochs, max(warmup, math.ceil(anneal * epochs))))


def check_column(column: str, epochs: int) -> None:
    """Refuse a map of too few epochs for one of its columns; over one epoch nothing varies."""
    known = 1 if hard_end(column) is None else score_named(column).epochs
    check_epochs(column, max(known, 2 if column == "variability" else 1), epochs)


def needed(one: Field[Any]) -> bool:
    """Whether an option must be given."""
    return one.default is MISSING


def _check(one: Field[Any], kind: Any, value: Any) -> None:
    limits = one.metadata
    if kind is int:
        whole(value, one.name, limits["ge"])
    elif kind is bool:
        if not isinstance(value, bool | np.bool_):
            raise TrainmapError(f"{one.name} must be true or false, got {shown(value)}")
    elif kind is str:
        if not isinstance(value, str) or len(value) < limits["min_length"]:
            raise TrainmapError(f"{one.name} must be a name, got {shown(value)}")
    elif kind is float:
        low, high = limits.get("ge", limits.get("gt")), limits.get("le", limits.get("lt"))
        told = f"{'above ' if 'gt' in limits else ''}{low} to {'below ' if 'lt' in limits else ''}{high}"
        try:
            plain = number(value, one.name, low, high)
            fits = plain != limits.get("gt") and plain != limits.get("lt")
        except TrainmapError:
            fits = False
        if not fits:
            raise TrainmapError(f"{one.name} must be {told}, got {shown(value)}")
    elif not isinstance(value, str) or value not in get_args(kind):
        *others, last = map(repr, get_args(kind))
        raise TrainmapError(f"{one.name} must be {', '.join(others)} or {last}, got {shown(value)}")
