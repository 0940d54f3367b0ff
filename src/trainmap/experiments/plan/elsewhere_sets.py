"""What the networks of a dataset are judged on elsewhere: each set is made when planning, and must fit the dataset."""

from __future__ import annotations

from collections.abc import Sequence
from importlib.util import find_spec
from typing import Any

from trainmap.data.dataset import Dataset
from trainmap.data.known_sizes import is_missing
from trainmap.data.leave_out import LEFT_OUT
from trainmap.data.names import short_name
from trainmap.errors import TrainmapError
from trainmap.evaluation.corruptions import check_corruption
from trainmap.evaluation.shifts import is_made_for, load_shift
from trainmap.experiments.file.evaluation_sections import Evaluation, Outliers, Pairs, Shift
from trainmap.experiments.file.variants import Variant
from trainmap.experiments.file.yamlfile import Where
from trainmap.experiments.plan.graph import Graph
from trainmap.experiments.tasks.datasets import Data, Elsewhere, Foreign, fingerprint_of, foreign

TAKEN = ("test", "validation", "corrupted")
"""Words that results have for other sets."""


def check_holding(variants: Sequence[Variant]) -> None:
    """Each dataset for which an evaluation holds must be one of some point of the grid.

    Raises:
        TrainmapError: names file, line and field of another one.
    """
    known = {name for variant in variants for name in variant.experiment.data.names}
    for variant in variants:
        for at, one in enumerate(variant.experiment.evaluation):
            for place, name in enumerate(one.for_ or ()):
                if name not in known:
                    where = (*_where(variant, at), "for", place)
                    raise variant.wrong(where, f"'{name}' is none of the datasets, {', '.join(sorted(known))}")


def evaluation_of(variant: Variant, data: Data, test: Dataset, graph: Graph) -> Elsewhere:
    """What networks are judged on besides their test set: the evaluations that hold for the dataset, joined. Each set
    is loaded and has the fingerprint of its data.

    Raises:
        TrainmapError: names file, line and field of what does not fit the dataset.
    """
    made = _Made(variant, data, test, graph)
    for at, one in enumerate(variant.experiment.evaluation):
        if one.for_ is None or data.name in one.for_:
            made.add(one, _where(variant, at))
    if data.leave_out is not None:
        made.put(("data", "leave_out"), LEFT_OUT, Foreign(kind="left out", name=data.name, fingerprint=""))
    return Elsewhere(
        corruptions=tuple(made.corruptions), severities=tuple(made.severities), shifts=made.shifts, sets=made.sets
    )


def _where(variant: Variant, at: int) -> Where:
    """The place of an evaluation: that of the field, or of an entry of its list."""
    said = variant.source.part("evaluation")
    return ("evaluation", at) if said is not None and isinstance(said.value, list) else ("evaluation",)


class _Made:
    """The sets as they are put together."""

    def __init__(self, variant: Variant, data: Data, test: Dataset, graph: Graph) -> None:
        self.variant, self.data, self.test, self.graph = variant, data, test, graph
        self.corruptions: list[str] = []
        self.severities: list[int] = [1, 2, 3, 4, 5]  # as they were said, or by default: part of older tasks' hashes
        self.shifts: dict[str, str] = {}
        self.sets: dict[str, Foreign] = {}
        self.names: set[str] = set(TAKEN)

    def add(self, one: Evaluation, where: Where) -> None:
        """What one evaluation asks for."""
        wrong = self.variant.wrong
        for at, name in enumerate(one.corruptions):
            try:
                check_corruption(name, self.test)
            except TrainmapError as error:
                raise wrong((*where, "corruptions", at), error) from error
            if name in self.corruptions:
                raise wrong((*where, "corruptions", at), f"'{name}' stands twice for {self.data.name}; keep one")
            self.corruptions.append(name)
        if "severities" in one.model_fields_set or one.corruptions:
            if one.corruptions != self.corruptions and list(one.severities) != self.severities:
                message = f"two evaluations hold for {self.data.name} with other severities; make them equal"
                raise wrong((*where, "severities"), message)
            if len(set(one.severities)) < len(one.severities):
                raise wrong((*where, "severities"), f"must be different ones, got {one.severities}")
            self.severities = list(one.severities)
        for field in ("shifts", "pairs", "outliers"):
            for at, asked in enumerate(getattr(one, field)):
                self.ask(asked, (*where, field, at))

    def ask(self, asked: Shift | Pairs | Outliers, where: Where) -> None:
        """One set from elsewhere."""
        called = asked.called or short_name(asked.name)
        root = self.variant.experiment.data.root or "data"
        if (
            isinstance(asked, Shift)
            and is_made_for(asked.name, self.test, asked.part, asked.labels)
            and not asked.called
        ):
            try:
                self.shifts[asked.name] = load_shift(asked.name, root).fingerprint()
            except TrainmapError as error:
                raise self.variant.wrong(where, error) from error
            self.name(called, where)
            return
        told: dict[str, Any] = asked.model_dump(exclude={"called"})
        kind = {Shift: "shift", Pairs: "pairs", Outliers: "outliers"}[type(asked)]
        if kind == "outliers" and find_spec("pytorch_ood") is None:
            raise self.variant.wrong(where, "outliers need pytorch-ood: pip install 'trainmap[evaluate]'")
        self.put(where, called, Foreign(kind=kind, fingerprint="", **told))  # pyright: ignore[reportArgumentType]

    def put(self, where: Where, called: str, one: Foreign) -> None:
        """A set with its fingerprint, where it fits the dataset."""
        root = self.variant.experiment.data.root
        self.name(called, where)
        if self.graph.outlines and is_missing(one.name, root or "data"):
            self.graph.lacks(one.name)
            self.sets[called] = one
            return
        try:
            made = foreign(self.data, called, one, root, self.test)
        except TrainmapError as error:
            raise self.variant.wrong(where, error) from error
        for name in [] if isinstance(made, Dataset) else made:
            if name != called:
                self.name(name, where)
        self.sets[called] = one.model_copy(update={"fingerprint": fingerprint_of(made)})

    def name(self, called: str, where: Where) -> None:
        """Take a name for a set."""
        if called in self.names:
            raise self.variant.wrong(where, f"'{called}' is the name of another set; say called: and another name")
        self.names.add(called)
