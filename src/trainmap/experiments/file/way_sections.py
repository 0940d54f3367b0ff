"""Sections that choose a way and its options: how the examples change during training, how a network gets smaller."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields
from typing import TYPE_CHECKING, Annotated, Any, ClassVar, Literal, get_type_hints

from pydantic import Field, create_model, model_validator

from trainmap.experiments.file.fields import Count, Section, Share, Way, Words, short
from trainmap.schedules.options import LIMITS, Options, needed
from trainmap.schedules.schedule_table import SCHEDULES

Upto1 = Annotated[float, Field(gt=0, le=1)]


NAMED = {name: options for name, options in SCHEDULES.items() if name != "repeated-auto"}
"""The schedules that a row can name; ``repeated-auto`` is a row by itself."""


def _option_fields() -> dict[str, Any]:
    """The schedules' names, and every option of one as a field: its type, its limits, what it is for."""
    of: dict[str, dict[str, Any]] = {}
    for name, options in NAMED.items():
        for one in fields(options):
            of.setdefault(one.name, {})[name] = one
    name: Any = Literal[tuple(NAMED)]
    return {"name": (name, ...)} | {option: _option_field(option, found) for option, found in of.items()}


def _option_field(name: str, of: Mapping[str, Any]) -> tuple[Any, Any]:
    """An option of the schedules that have it; where their limits differ, the widest: each refuses for itself."""
    limits = {
        limit: (max if limit in ("le", "lt") else min)(one.metadata[limit] for one in of.values())
        for limit in LIMITS
        if all(limit in one.metadata for one in of.values())
    }
    kind: Any = Annotated[get_type_hints(NAMED[next(iter(of))])[name], Field(**limits)]
    told: list[str] = []
    for description in dict.fromkeys(one.metadata["description"] for one in of.values()):
        alike = {schedule: one for schedule, one in of.items() if one.metadata["description"] == description}
        defaults = ", ".join(_said(one.default) for one in alike.values() if not needed(one))
        told.append(f"{', '.join(alike)}: {description}{defaults and f'; {defaults}'}.")
    return kind | None, Field(None, description=" ".join(told))


def _said(default: Any) -> str:
    return "no" if default is False else short(default)


_Fields: type[Way] = create_model("_Fields", __base__=Way, **_option_fields())


class Schedule(_Fields):
    """Which examples each epoch visits (``trainmap.schedules``), or a proxy that filters each batch
    (``trainmap.training.proxy``). Only the options of the one that is named may be given."""

    if TYPE_CHECKING:
        name: str
        model: str | None

        def __init__(self, name: str, **options: Any) -> None: ...

    chooser: ClassVar = "name"
    options: ClassVar = {
        name: {one.name: ... if needed(one) else one.default for one in fields(options)}
        for name, options in NAMED.items()
    }

    newer: ClassVar = {
        name: {one.name for one in fields(options) if one.metadata["newer"]} for name, options in NAMED.items()
    }

    def settled(self) -> dict[str, Any]:
        """The schedule and its options; one that is newer than others, only where it is not at its default."""
        unsaid = {one for one in self.newer[self.name] if getattr(self, one) in (None, self.options[self.name][one])}
        return {option: value for option, value in super().settled().items() if option not in unsaid}

    @model_validator(mode="after")
    def _within_limits(self) -> Schedule:
        self.made()
        return self

    def made(self) -> Options:
        """The schedule's options."""
        settled = self.settled()
        return NAMED[settled.pop("name")](**settled)


class Without(Section):
    """A cut before a map's subset is chosen: labels that look wrong (``trainmap.audits.audit``) are not taken."""

    audit: Share
    """So large a share of the examples, the most suspicious; sizes stay shares of all examples."""
    rule: Words = "combined"
    """A key of ``trainmap.audits.suspicion.RULES``."""


class Compression(Way):
    """How a trained student gets smaller (``trainmap.compression.measure``). It is tuned and calibrated on the examples
    that the student was trained on, with the labels alone."""

    method: Literal["prune-channels", "magnitude", "sparsify", "int8", "int8-trained", "int8-onnx"]
    """Fewer channels; the smallest weights zero at once, or little by little over a training; 8 bits after training,
    trained for it, or as a file for ONNX Runtime."""
    name: str = ""
    """What its column is called; made from the options by default."""
    ratio: Share | None = None
    """prune-channels: share of the channels that go."""
    importance: Literal["magnitude", "random"] | None = None
    """prune-channels: of a channel; magnitude."""
    round_to: Count | None = None
    """prune-channels: channels are kept in multiples of it; 1."""
    sparsity: Share | None = None
    """magnitude, sparsify: share of the weights that become zero."""
    finetune_epochs: Annotated[int, Field(ge=0)] | None = None
    """Further training; 1, for magnitude 0, for sparsify 4 (its last cut comes at three quarters of them)."""
    rate: Upto1 | None = None
    """Of the student's peak learning rate, in that training; 0.5, for int8-trained 0.1."""

    chooser: ClassVar = "method"
    options: ClassVar = {
        "prune-channels": {"ratio": ..., "importance": "magnitude", "round_to": 1, "finetune_epochs": 1, "rate": 0.5},
        "magnitude": {"sparsity": ..., "finetune_epochs": 0, "rate": 0.5},
        "sparsify": {"sparsity": ..., "finetune_epochs": 4, "rate": 0.5},
        "int8": {},
        "int8-trained": {"finetune_epochs": 1, "rate": 0.1},
        "int8-onnx": {},
    }

    @model_validator(mode="after")
    def _trains(self) -> Compression:
        if self.method in ("sparsify", "int8-trained") and self.finetune_epochs == 0:
            raise ValueError(f"{self.method} is done by training; finetune_epochs must be at least 1")
        return self


class TeacherCompression(Compression):
    """How a teacher gets smaller while it is recorded: trained as it is for its epochs, made smaller, and trained
    further for ``finetune_epochs``, which alone are recorded. Ways without further training have nothing to record."""

    fresh: bool = False
    """sparsify and int8-trained: its own epochs, from fresh weights on, are the training in the smaller form; all of
    them are recorded."""

    @model_validator(mode="after")
    def _records(self) -> TeacherCompression:
        if self.method in ("int8", "int8-onnx"):
            raise ValueError(f"{self.method} trains nothing, so there is nothing to record; take int8-trained")
        if self.fresh and self.method not in ("sparsify", "int8-trained"):
            raise ValueError(f"{self.method} needs a trained network; fresh goes with sparsify and int8-trained")
        if self.fresh and {"finetune_epochs", "rate"} & self.model_fields_set:
            raise ValueError("a fresh network is trained for its teacher's epochs, at its rate; leave these out")
        if not self.fresh and not self.settled()["finetune_epochs"]:
            raise ValueError(f"{self.method} is recorded in the further training; finetune_epochs must be at least 1")
        return self
