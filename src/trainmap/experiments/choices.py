"""The words and strategies that a row may choose by, settled: with every option, and what they read."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from trainmap.errors import TrainmapError, whole
from trainmap.experiments.file.fields import Section
from trainmap.selection.strategies import STRATEGIES, named
from trainmap.selection.words import parse

CLUSTERS = 100  # of trajectories, unless told; the paper's
TEACHER_LOSS = "teacher_loss"  # the column that comes of the teacher's logits
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


@dataclass(frozen=True)
class Chosen:
    """A word of the mini-language as a row uses it.

    Attributes:
        random: whether the seed matters.
        reads_map: whether it needs the map at all.
        held_out: whether its choice depends on how good the map's network is on other data.
        explains: whether it says why it chose so.
    """

    random: bool
    reads_map: bool
    held_out: bool
    explains: bool


def chosen_words(spec: str, strategy: Settled | None) -> list[Chosen]:
    """The words that a row chooses by: those of its spec, or its strategy."""
    words = [part.what for part in parse(spec).parts] if strategy is None else [strategy.name]
    return [
        Chosen(
            random=word == "random" or (word in STRATEGIES and STRATEGIES[word].random),
            reads_map=word not in ("random", "all"),
            held_out=word == "auto",
            explains=word == "auto",
        )
        for word in words
    ]


class Settled(Section):
    """A strategy with every option.

    Attributes:
        name: a key of ``trainmap.STRATEGIES``.
        options: all of them.
        clusters: how many, where it reads clusters of trajectories; None otherwise.
    """

    name: str
    options: dict[str, Any]
    clusters: int | None = None

    def identity(self) -> dict[str, Any]:
        told: dict[str, Any] = {"name": self.name, "options": self.options}
        return told if self.clusters is None else told | {"clusters": self.clusters}


def settled(name: str, given: Mapping[str, Any]) -> Settled:
    """A strategy with what was given in place of its defaults.

    Raises:
        TrainmapError: an unknown strategy or option, a value of another type, a number of clusters that is none.
    """
    strategy, options = named(name), dict(given)
    clusters = None
    if "clusters" in strategy.needs:
        clusters = whole(options.pop("clusters", CLUSTERS), "clusters", 1)
    settings, types = strategy.options(options), get_type_hints(strategy.function)
    for option, value in options.items():
        try:
            TypeAdapter(types[option], config=STRICT).validate_python(value)
        except ValidationError as error:
            must = error.errors()[0]["msg"].replace("Input should be", "must be")
            raise TrainmapError(f"option {option} of {name} {must}, got {value!r}") from error
    return Settled(name=name, options=settings, clusters=clusters)


def columns(strategy: Settled) -> list[str]:
    """The columns of the map that a strategy reads, but for the teacher's loss."""
    return [name for name in named(strategy.name).columns(strategy.options) if name != TEACHER_LOSS]


def read_by(strategy: Settled) -> set[str]:
    """What is made for a strategy besides the map: "features", "clusters", "logits" of the map's teacher."""
    found = STRATEGIES[strategy.name]
    loss = {"logits"} if TEACHER_LOSS in found.columns(strategy.options) else set()
    return {need for need in found.needs if need in ("features", "clusters")} | loss
