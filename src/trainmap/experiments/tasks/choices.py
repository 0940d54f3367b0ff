"""The words and strategies that a row may choose by, settled: with every option, and what they read."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, get_type_hints

from pydantic import ConfigDict, TypeAdapter, ValidationError

from trainmap.errors import TrainmapError, whole
from trainmap.experiments.file.fields import Section
from trainmap.selection.requests import Request
from trainmap.selection.strategies import named

CLUSTERS = 100  # of trajectories, unless told; the paper's
TEACHER_LOSS = "teacher_loss"  # the column that comes of the teacher's logits
STRICT = ConfigDict(strict=True, allow_inf_nan=False)


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


def request_of(spec: str, strategy: Settled | None) -> Request:
    """What a spec asks of a map, or the strategy in its place."""
    return Request.of_spec(spec) if strategy is None else Request.of_strategy(strategy.name, strategy.options)


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


def read_by(request: Request) -> set[str]:
    """What is made for a choice besides the map: "features", "clusters", "logits" of the map's teacher."""
    loss = {"logits"} if TEACHER_LOSS in request.columns else set()
    return {need for need in request.needs if need != "labels"} | loss
