"""Which examples are chosen from a map: one fixed subset."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any, ClassVar

from trainmap.audits.audit import audit
from trainmap.distillation.kept_logits import open_logits
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, counted
from trainmap.experiments.file.way_sections import Without
from trainmap.experiments.tasks.choices import TEACHER_LOSS, Settled, read_by, request_of
from trainmap.experiments.tasks.map import Map
from trainmap.experiments.tasks.materials import ClustersOf, Features, Logits, clusters_in, features_in
from trainmap.experiments.tasks.place import CARD, DYNAMICS, LOGITS, MAP, Place, held_out
from trainmap.experiments.tasks.student_ids import ids_hash
from trainmap.experiments.tasks.task import Cost, Result, Site, Task
from trainmap.maps.datamap import DataMap
from trainmap.selection.coverage import teacher_loss
from trainmap.selection.requests import Request
from trainmap.selection.select import explained, select, select_by


class Selection(Task):
    """Choose examples from a map; leaves ``card.json``.

    Attributes:
        map: from which.
        spec: in the mini-language; "" where a strategy with options chooses.
        rule: of the regions.
        balance: how the places are dealt out to the classes.
        seed: of what is drawn; 0 where nothing is.
        strategy: in place of a spec.
        size: how many a strategy takes; None where the spec says it.
        held_out: whether the choice is told how good the map's network is on the validation data.
        without: labels that look wrong and are cut away before.
    """

    kind: ClassVar = "selection/1"
    spelled: ClassVar = "trainmap.experiments.nodes:selection_run"
    part: ClassVar = "choosing"
    makes: ClassVar = "choosing"
    spends: ClassVar = ("selecting",)

    map: Map
    spec: str
    rule: str
    balance: str | None
    seed: int
    strategy: Settled | None = None
    size: int | None = None
    held_out: bool = False
    without: Without | None = None

    def identity(self) -> dict[str, Any]:
        told: dict[str, Any] = {"map": self.map.hash, "spec": self.spec, "rule": self.rule, "balance": self.balance}
        told |= {"seed": self.seed, "ties": "hash"}  # by the smaller id once: the two must not meet in one table
        if self.strategy is not None:
            told |= {"strategy": self.strategy.identity(), "size": self.size}
        if self.held_out:
            told |= {"size": self.size, "held_out": True}
        if self.without is not None:
            told["without"] = self.without.model_dump()
        return told | {name: task.hash for name, task in self.needs().items()}

    def needs(self) -> dict[str, Task]:
        """The map; the teacher where its recording is audited or its accuracy is read; what a strategy reads."""
        found: dict[str, Task] = {"map": self.map}
        found |= {} if self.strategy is None else materials_of(self.strategy, self.map)
        return found | ({"teacher": self.map.judged} if self.held_out or self.without else {})

    def told(self) -> str:
        return "one card of ids for each subset that is chosen from a map"

    def share_of(self, role: str, result: Mapping[str, Any]) -> float:
        """A draw at random from all the examples reads nothing of the map that its table has."""
        return 1.0 if role != "map" or self.without or self.request.reads_map else 0.0

    @property
    def request(self) -> Request:
        """What it asks of the map."""
        return request_of(self.spec, self.strategy)

    def cost(self, site: Site) -> Cost:
        return Cost(bytes=20 * (self.size or 0))

    def run(self, place: Place) -> Result:
        datamap = DataMap.open(place.of("map", MAP)).with_rule(self.rule)  # pyright: ignore[reportArgumentType]
        start = time.perf_counter()
        cut: Any = ()
        if self.without is not None:
            found = audit(Dynamics.open(place.of("teacher", DYNAMICS)), self.without.rule, epochs=datamap.epochs)
            cut = found.first(round(self.without.audit * len(datamap)))
        known: dict[str, Any] = {"held_out": held_out(place.of("teacher"))} if self.held_out else {}
        how: dict[str, Any] = {"balance": self.balance, "without": cut, **known}
        if self.strategy is None:
            selection = select(datamap, self.spec, seed=self.seed, **how)
        else:
            datamap, more = self._materials(place, datamap)
            how |= {**self.strategy.options, **known, **more}
            selection = select_by(datamap, self.strategy.name, self.size or 0, seed=self.seed, **how)
        seconds = time.perf_counter() - start
        selection.save(place.out / CARD)
        told = {"examples": len(selection), "ids": ids_hash(selection.ids), "selecting_seconds": seconds}
        if (word := self.request.explains) is not None:
            options = {} if self.strategy is None else self.strategy.options
            asked = {**options, **known, "balance": self.balance, "without": cut}
            told["reason"] = explained(datamap, word, len(selection), **asked)
        return told

    def _materials(self, place: Place, datamap: DataMap) -> tuple[DataMap, dict[str, Any]]:
        """The map with the column that comes of the teacher's logits, and what else a strategy is given."""
        more: dict[str, Any] = {}
        if "features" in place.others:
            more["features"] = features_in(place.of("features"))
        if "clusters" in place.others:
            more["clusters"] = clusters_in(place.of("clusters"))
        if "logits" in place.others:
            loss = teacher_loss(open_logits(place.of("logits", LOGITS)), datamap.labels)  # in the order of the ids
            datamap = datamap.with_scores(datamap.ids, {TEACHER_LOSS: loss})
        return datamap, more


def materials_of(strategy: Settled, one: Map) -> dict[str, Task]:
    """What a strategy reads besides the map.

    Raises:
        TrainmapError: a map of the first epochs alone, whose cost is not that of the network of the last one; a map of
            several teachers, which has no one network.
    """
    needs = read_by(request_of("", strategy))
    if needs and len(one.members) > 1:
        raise TrainmapError(
            f"{strategy.name} reads {', '.join(sorted(needs))} of one teacher, and this map is of {len(one.members)}; "
            "give it a map of one"
        )
    if needs & {"features", "logits"} and not one.teacher.has_network:
        raise TrainmapError(
            f"{strategy.name} reads the network of the map's teacher, and one that is recorded held-out has several; "
            "take a strategy that reads the map alone, or the map of another teacher"
        )
    if needs & {"features", "logits"} and not one.whole:
        raise TrainmapError(
            f"{strategy.name} reads the network that {one.teacher.model} ends with, which a map of its first "
            f"{counted(one.epochs or 0, 'epoch')} does not pay for; leave epochs of the map out"
        )
    if "features" in needs and not one.teacher.has_layers:
        raise TrainmapError(
            f"{strategy.name} reads the last hidden layer of the network, which a network of 8 bits does not show; "
            "take a strategy without features, or the map of another teacher"
        )
    found: dict[str, Task] = {}
    if "features" in needs:
        found["features"] = Features(teacher=one.teacher)
    if "clusters" in needs:
        found["clusters"] = ClustersOf(teacher=one.teacher, epochs=one.epochs, clusters=strategy.clusters or 0)
    if "logits" in needs:
        found["logits"] = Logits(teacher=one.teacher, flips=False)
    return found
