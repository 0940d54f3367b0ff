"""What is asked of a map, a spec or a strategy with its options: what it reads, and whether it is bound to fail.

request = Request.of_strategy("ccs", {"cut": 0.3})
request.columns, request.random, request.held_out    # ("aum",), True, False
check_choice(request, 5000, epochs=30, classes=(5000,) * 10)
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from trainmap.errors import TrainmapError
from trainmap.maps.map_file import AXES
from trainmap.selection.entry import Need, Word, by_class, check_epochs
from trainmap.selection.pool import Candidates
from trainmap.selection.quotas import Balance
from trainmap.selection.strategies import named
from trainmap.selection.words import Plan, check_size, parse


@dataclass(frozen=True)
class Request:
    """What is asked of a map.

    Attributes:
        words: each with all its options; of a strategy one.
        plan: of a spec; None for a strategy.
    """

    words: tuple[tuple[Word, Mapping[str, Any]], ...]
    plan: Plan | None = None

    @staticmethod
    def of_spec(spec: str | Plan) -> Request:
        """The parts of a spec, by the defaults of their words.

        Raises:
            TrainmapError: as ``parse``.
        """
        plan = parse(spec) if isinstance(spec, str) else spec
        return Request(tuple((part.word, part.options) for part in plan.parts), plan)

    @staticmethod
    def of_strategy(name: str, options: Mapping[str, Any] | None = None) -> Request:
        """A strategy with its options.

        Raises:
            TrainmapError: an unknown strategy or option.
        """
        strategy = named(name)
        return Request(((strategy, strategy.options(options or {})),))

    @property
    def reads_map(self) -> bool:
        """Whether it needs a map at all."""
        return any(word.reads_map for word, _ in self.words)

    @property
    def random(self) -> bool:
        """Whether the seed matters: another set for every seed."""
        return any(word.random for word, _ in self.words)

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the map that it reads, each once."""
        return tuple(dict.fromkeys(name for word, options in self.words for name in word.columns(options)))

    @property
    def epochs(self) -> int:
        """Of the recording that the map must come from, at least."""
        return max(least for word, options in self.words for _, least in word.least_epochs(options))

    @property
    def needs(self) -> tuple[Need, ...]:
        """What else it reads, each once."""
        return tuple(dict.fromkeys(need for word, _ in self.words for need in word.needs))

    @property
    def held_out(self) -> bool:
        """Whether it wants to be told, by a run, how good the map's network is on data it was not trained on."""
        return any(word.held_out and options["held_out"] is None for word, options in self.words)

    @property
    def explains(self) -> Word | None:
        """The word that can say what it makes of the map (``trainmap.selection.select.explained``), where it is alone;
        None otherwise."""
        return self.words[0][0] if len(self.words) == 1 and self.words[0][0].explain else None


def check_choice(
    request: Request,
    size: int | None,
    epochs: int,
    classes: Sequence[int],
    balance: Balance | None = None,
    left: int | None = None,
    clusters: int | None = None,
    scores: Collection[str] | None = None,
) -> None:
    """Refuse what is bound to fail, before there is a map. What depends on the map's values is not foreseen.

    Args:
        size: how many examples are to be taken; None for as many as a spec says.
        epochs: of the map.
        classes: how many examples each class has.
        balance: as in ``select_by``.
        left: how many are left after a cut of unknown classes; None without a cut.
        clusters: of trajectories, how many are to be made; None where there are none.
        scores: columns of the map besides its axes; None where it holds all that is read.

    Raises:
        TrainmapError: too few epochs for what is read, options that a word refuses, too few examples.
    """
    examples = sum(classes)
    if request.plan is None:
        check_size(size, examples)
    sizes = [int(size or 0)] if request.plan is None else request.plan.sizes(examples, size)
    for word, options in request.words:
        for what, least in word.least_epochs(options):
            check_epochs(what, least, epochs)
        for column in word.columns(options):
            if scores is not None and column not in (*scores, *AXES):
                raise TrainmapError(
                    f"{word.name} needs the score {column}; add it to the map's scores: {', '.join(scores) or 'none'}"
                )
    if clusters is not None and clusters > examples:
        raise TrainmapError(f"clusters must be at most {examples}, the examples, got {clusters}")
    among = Candidates(examples, tuple(classes)) if left is None else Candidates(left)
    if sum(sizes) > among.count:
        raise TrainmapError(
            f"{sum(sizes)} examples are to be taken, and of {examples} {among.count} are left; take fewer"
        )
    for (word, options), count in zip(request.words, sizes, strict=True):
        if word.check is not None and count:
            for some, places in _by_class(word, among, count, balance):
                word.check(some, places, **options)
        among = Candidates(among.count - count)  # a part takes from what an earlier one leaves, of any class


def _by_class(word: Word, among: Candidates, size: int, balance: Balance | None) -> list[tuple[Candidates, int]]:
    """What a word is asked for at a time: of every class by itself under a balance that it does not keep itself;
    nothing that could be checked where the classes are not known."""
    if balance is None or word.shares:
        return [(among, size)]
    quotas = by_class(np.array(among.classes, np.int64), size, balance) if among.classes else ()
    found = zip(among.classes, quotas, strict=True)
    return [(Candidates(count, (count,)), int(quota)) for count, quota in found if quota]
