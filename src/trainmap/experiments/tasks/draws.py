"""The draws of a row: what a training visits, which part the row plays in the comparison, and what it needs for it.

A new draw is a class here and an entry of ``DRAWS``.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, ClassVar, Literal

import numpy as np

from trainmap.errors import TrainmapError
from trainmap.experiments.file.fields import Section, short
from trainmap.experiments.file.way_sections import Without
from trainmap.experiments.tasks.choices import Settled, request_of
from trainmap.experiments.tasks.place import CARD, MAP, RACE, Place, held_out
from trainmap.experiments.tasks.student_ids import random_ids
from trainmap.experiments.tasks.task import Site, Task
from trainmap.models.budget import training_flops
from trainmap.selection.requests import Request, check_choice
from trainmap.selection.strategies import AUTO

if TYPE_CHECKING:  # a report asks draws for their roles, and needs no torch
    from trainmap.data.dataset import Dataset
    from trainmap.experiments.tasks.map import Map
    from trainmap.experiments.tasks.selection import Selection

SAME_SIZE = 0.01
"""Sizes that differ by at most this share are the same size: class balance may cost a few examples."""

Role = Literal["opponent", "full data", "priced opponent", "judged"]
Visits = np.ndarray | Callable[[int], Any] | Any | None
"""Ids that stay the same, what an epoch visits by its number, a schedule, a proxy; None for all the examples."""


class Draw(Section):
    """Which examples a training visits.

    Attributes:
        kind: its word in a student's identity.
        called: its word in results: what it is, whatever people call the row.
        role: its part in the comparison: the opponent that the others meet, all the data, the opponent that may spend
            what their map costs as well, or one that is judged.
        by_map: whether the map of its table is read for it.
        fixed: whether it stays the same during training.
        count: examples that an epoch trains on; of a schedule those that it is expected to visit.
    """

    kind: ClassVar[str]
    called: ClassVar[str]
    role: ClassVar[Role] = "judged"
    by_map: ClassVar[bool] = False
    fixed: ClassVar[bool] = False

    count: int

    @classmethod
    def drawn(cls, steps: int | None) -> str:
        """Its word in results, of a training for so many steps; None for the epochs of its recipe."""
        return cls.called

    def told(self) -> str:
        """How it is drawn, for a reader of the table."""
        return self.called

    @property
    def reads_map(self) -> bool:
        """Whether the map has to be paid for."""
        return self.by_map

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the map that it reads by its own choice, beyond those that every map has."""
        return ()

    def needs(self, one: Map | None, seed: int) -> dict[str, Task]:
        """The tasks whose folders ``visits`` reads, by name.

        Args:
            one: the map of the row's table; None without one.
            seed: of the run.
        """
        return {}

    def check(self, name: str, epochs: int, classes: tuple[int, ...]) -> None:
        """Refuse what is bound to fail once the map is there.

        Args:
            name: of the row, for the message.
            epochs: of the map.
            classes: how many examples each class has.

        Raises:
            TrainmapError: too few epochs for what is read, options that are refused, too few examples left.
        """

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        """What the training visits.

        Args:
            place: has the folders of what it needs.
            train: all the examples.
            seed: of the run.
            epochs: that it is expected to take.
        """
        raise NotImplementedError

    def identity(self) -> dict[str, Any]:
        """What a student's identity says of it besides the tasks that it needs."""
        return {"kind": self.kind, "count": self.count}

    def beside(self, site: Site, seen: int) -> Mapping[str, int]:
        """FLOPs of the networks that run beside the training, which sees so many examples, by their names."""
        return {}


class Full(Draw):
    """All the data."""

    kind: ClassVar = "full"
    called: ClassVar = "full"
    role: ClassVar[Role] = "full data"

    @classmethod
    def drawn(cls, steps: int | None) -> str:
        """For the steps of a subset it is a row of its own."""
        return cls.called if steps is None else f"{cls.called}, equal steps"

    def told(self) -> str:
        return "all the examples"

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        return None


class Random(Draw):
    """A random subset, another one for every seed: the opponent."""

    kind: ClassVar = "random"
    called: ClassVar = "random"
    fixed: ClassVar = True
    role: ClassVar[Role] = "opponent"

    def told(self) -> str:
        return "drawn at random, another set for each seed"

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        return random_ids(train.ids, self.count, seed)


class IndependentRandom(Draw):
    """Another random subset for every epoch, drawn from all the examples each time.

    Source: Okanovic et al. 2024, arXiv:2305.18424 (RS2 with replacement between epochs).
    """

    kind: ClassVar = "repeated"
    called: ClassVar = "repeated random"

    def told(self) -> str:
        return "drawn at random, another set for each epoch"

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        from trainmap.schedules.repeated_random import IndependentRandom as Schedule

        schedule = Schedule(train.ids, self.count, seed)
        return lambda epoch: schedule.plan(epoch).ids


class Priced(Draw):
    """As much random data, and then as many more steps, as a training on a subset and the map that it is chosen from
    cost together: the opponent of equal total cost (``priced`` says how much that is)."""

    kind: ClassVar = "priced"
    called: ClassVar = "random at the map's cost"
    fixed: ClassVar = True
    role: ClassVar[Role] = "priced opponent"

    def told(self) -> str:
        return "at random, and with more steps where all the data cost less: what a subset and its map cost together"

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        return None if self.count >= len(train) else random_ids(train.ids, self.count, seed)


def priced(
    seen: int, spent: int, forward: int, examples: int, epochs: int, batch: int, live: int = 0
) -> tuple[int, int | None]:
    """What a training may visit for the cost of another one and of a map.

    It takes more random examples for as many epochs, up to all of them; what is left then goes into more steps, over
    which its learning rate falls as in any longer training.

    Args:
        seen: examples that all steps of the other training see together.
        spent: FLOPs of the map.
        forward: FLOPs of a forward pass of one example.
        examples: N, of all the data.
        epochs, batch: of the recipe.
        live: FLOPs of a forward pass of the teacher, where it runs at every step.

    Returns:
        how many examples, at most N; for how many steps, None for the epochs of the recipe. The FLOPs are at most those
        of the other training and the map.
    """
    whole = seen + spent // (training_flops(forward, 1) + live)
    if whole < epochs * examples:
        return whole // epochs, None
    return examples, whole * -(-examples // batch) // examples


class RepeatedAuto(Draw):
    """Another subset for every epoch, drawn by the rule of ``auto``."""

    kind: ClassVar = "map-repeated"
    called: ClassVar = "repeated auto"
    by_map: ClassVar = True

    def check(self, name: str, epochs: int, classes: tuple[int, ...]) -> None:
        check_choice(Request.of_strategy(AUTO.name), self.count, epochs, classes)

    def needs(self, one: Map | None, seed: int) -> dict[str, Task]:
        if one is None:
            return {}
        found: dict[str, Task] = {"map": one}
        return found if one.epochs is not None else found | {"judged": one.judged}

    def told(self) -> str:
        return "drawn by the rule of auto from the map, another set for each epoch"

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        from trainmap.maps.datamap import DataMap
        from trainmap.schedules.repeated_auto import RepeatedAuto as Schedule

        accuracy = held_out(place.of("judged")) if "judged" in place.others else None
        datamap = DataMap.open(place.of("map", MAP))
        schedule = Schedule(datamap, self.count, seed, held_out=accuracy)
        return lambda epoch: schedule.plan(epoch).ids


class Raced(Draw):
    """A subset by what won a race on the validation data; the random parts are drawn again for every seed.

    Attributes:
        settings: the cheap network ("" for the smallest), its epochs (None for its recipe's), the bound, and the wider
            network where there is one.
    """

    kind: ClassVar = "raced"
    called: ClassVar = "raced"
    by_map: ClassVar = True
    fixed: ClassVar = True

    settings: dict[str, Any]

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"settings": self.settings}

    def needs(self, one: Map | None, seed: int) -> dict[str, Task]:
        """The map; the race is of a student, and is planned with it (``plan.student_runs``)."""
        return {} if one is None else {"map": one}

    def told(self) -> str:
        return "by what won a race against even draws on the validation data, drawn again for each seed"

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        return _raced(place, seed).ids


class RepeatedRaced(Raced):
    """Another subset for every epoch, by what won a race on the validation data."""

    kind: ClassVar = "raced-repeated"
    called: ClassVar = "repeated raced"
    fixed: ClassVar = False

    def told(self) -> str:
        return "by what won a race against repeated random on the validation data, another set for each epoch"

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        schedule = _raced(place, seed)
        return lambda epoch: schedule.plan(epoch).ids


def _raced(place: Place, seed: int) -> Any:
    """The examples, or the schedule, of what won the race that a run needs."""
    from trainmap.maps.datamap import DataMap
    from trainmap.races.raced import Race

    return Race.open(place.of("race", RACE), DataMap.open(place.of("map", MAP))).draw(seed)


class Scheduled(Draw):
    """What a schedule visits, or a proxy picks.

    Attributes:
        schedule: its name and all its options.
    """

    kind: ClassVar = "schedule"
    called: ClassVar = "scheduled"

    schedule: dict[str, Any]

    def told(self) -> str:
        return f"by the schedule {', '.join(f'{key} {short(value)}' for key, value in self.schedule.items())}"

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        from trainmap.experiments.tasks.scheduled import schedule_or_proxy

        return schedule_or_proxy(self.schedule, train, epochs, seed)

    def identity(self) -> dict[str, Any]:
        return super().identity() | {"schedule": self.schedule}

    def beside(self, site: Site, seen: int) -> Mapping[str, int]:
        from trainmap.experiments.tasks.scheduled import proxy_flops

        return proxy_flops(self.schedule, site, seen)


class MapScheduled(Scheduled):
    """What a schedule visits that is made of the map of its table."""

    kind: ClassVar = "map-schedule"
    called: ClassVar = "scheduled by a map"
    by_map: ClassVar = True

    def told(self) -> str:
        return f"{super().told()} by the map"

    @property
    def columns(self) -> tuple[str, ...]:
        from trainmap.experiments.tasks.scheduled import options_of

        return options_of(self.schedule).columns

    def check(self, name: str, epochs: int, classes: tuple[int, ...]) -> None:
        from trainmap.experiments.tasks.scheduled import options_of

        options_of(self.schedule).check_map(epochs)

    def needs(self, one: Map | None, seed: int) -> dict[str, Task]:
        return {} if one is None else {"map": one}

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        from trainmap.experiments.tasks.scheduled import schedule_or_proxy
        from trainmap.maps.datamap import DataMap

        return schedule_or_proxy(self.schedule, train, epochs, seed, DataMap.open(place.of("map", MAP)))


class Chosen(Draw):
    """A subset that is chosen from a map, once.

    Attributes:
        spec, rule, balance: of the choice.
        strategy: in place of the spec.
        without: what is cut away before; None for nothing.
    """

    kind: ClassVar = "map"
    called: ClassVar = "chosen"
    by_map: ClassVar = True
    fixed: ClassVar = True

    spec: str = ""
    rule: str = "quantile"
    balance: str | None = None
    strategy: Settled | None = None
    without: Without | None = None

    @property
    def redrawn(self) -> bool:
        """Whether parts of it are drawn at random: then it is another set for every seed."""
        return self.request.random

    @property
    def reads_map(self) -> bool:
        """A draw at random from all the examples, also class by class, needs no map."""
        return bool(self.without) or self.request.reads_map

    @property
    def request(self) -> Request:
        """What it asks of the map."""
        return request_of(self.spec, self.strategy)

    @property
    def columns(self) -> tuple[str, ...]:
        return self.request.columns

    def check(self, name: str, epochs: int, classes: tuple[int, ...]) -> None:
        examples, left = sum(classes), None
        if self.without is not None:
            left = examples - round(self.without.audit * examples)
            if self.count > left:
                raise TrainmapError(
                    f"'{name}' takes {self.count} examples, and of {examples} {left} are left after the cut; cut fewer "
                    "or take fewer"
                )
        balance: Any = self.balance
        if self.strategy is None:
            check_choice(self.request, None, epochs, classes, balance, left)
        else:
            check_choice(self.request, self.count, epochs, classes, balance, left, self.strategy.clusters)

    def needs(self, one: Map | None, seed: int) -> dict[str, Task]:
        if one is None:
            return {}
        from trainmap.experiments.tasks.selection import Selection

        chosen = Selection(
            map=one,
            spec=self.spec,
            rule=self.rule,
            balance=self.balance,
            seed=seed if self.redrawn else 0,
            strategy=self.strategy,
            size=self.count,
            held_out=self.request.held_out and one.epochs is None,  # not of a map of the first epochs: another network
            without=self.without,
        )
        return {"selection": chosen}

    def told(self) -> str:
        how = f"'{self.spec}', rule {self.rule}" if self.strategy is None else f"the strategy {self.strategy.name}"
        if self.strategy is not None and self.strategy.options:
            how += f" {short(self.strategy.options)}"
        parts = [f"chosen from {'the map' if self.reads_map else 'all the examples'} by {how}"]
        parts += [f"classes in {self.balance} shares"] if self.balance else []
        parts += [f"the {self.without.audit:.0%} most suspect labels cut before"] if self.without else []
        return ", ".join([*parts, "drawn again for each seed" if self.redrawn else "one set for each map"])

    def visits(self, place: Place, train: Dataset, seed: int, epochs: int) -> Visits:
        from trainmap.selection.card import Selection as Card

        card = Card.open(place.of("selection", CARD))
        card.verify(train)
        return card.ids

    @classmethod
    def of(cls, count: int, made: Selection) -> Chosen:
        """The draw that a selection came of."""
        told = {"spec": made.spec, "rule": made.rule, "balance": made.balance}
        return cls(count=count, strategy=made.strategy, without=made.without, **told)  # pyright: ignore


DRAWS: Mapping[str, type[Draw]] = {
    draw.kind: draw
    for draw in (
        *(Full, Random, IndependentRandom, Priced, Raced, RepeatedAuto, RepeatedRaced),
        *(Scheduled, MapScheduled, Chosen),
    )
}


def subset_of(draw: Draw, drawn_from: Mapping[str, Task]) -> dict[str, Any]:
    """A draw and the tasks that it needs, as the identity of a task has them."""
    return {"selection": None} | draw.identity() | {name: task.hash for name, task in drawn_from.items()}


def drawn_of(told: Mapping[str, Any], tasks: Mapping[str, Task]) -> dict[str, Any]:
    """``draw`` and ``drawn_from`` of what ``subset_of`` said."""
    given = {name: tasks[told[name]] for name in ("selection", "map", "judged", "race") if told.get(name) is not None}
    return {"draw": draw_of(told, given), "drawn_from": given}


def draw_of(told: Mapping[str, Any], given: Mapping[str, Task]) -> Draw:
    """The draw that a student's identity tells of.

    Args:
        told: its ``subset``.
        given: the tasks that it names there.
    """
    from trainmap.experiments.tasks.selection import Selection

    if isinstance(made := given.get("selection"), Selection):
        return Chosen.of(told["count"], made)
    kind = DRAWS[told["kind"]]
    return kind.model_validate({name: told[name] for name in kind.model_fields}, strict=False)
