"""What the sections of an experiment file are made of: strict fields, and ways with options of their own."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, ClassVar, Literal

from pydantic import BaseModel, ConfigDict, Field, model_validator

Budget = Literal["equal epochs", "equal steps"]
Seed = Annotated[int, Field(ge=0, lt=2**32)]
SeedOrPaired = Seed | Literal["paired"]
"""One seed for all runs, or one for each of the experiment's seeds, in their order."""
Count = Annotated[int, Field(ge=1)]
Share = Annotated[float, Field(gt=0, lt=1)]
Words = Annotated[str, Field(min_length=1)]


class Section(BaseModel):
    """Part of an experiment: unknown fields are refused and nothing is converted (``"3"`` is no number)."""

    model_config = ConfigDict(
        extra="forbid", strict=True, frozen=True, allow_inf_nan=False, use_attribute_docstrings=True
    )


class Way(Section):
    """A section with options that go with some of its ways alone; an option of another way is refused."""

    chooser: ClassVar[str]
    """The field that says which way."""
    options: ClassVar[Mapping[str, Mapping[str, Any]]]
    """Way -> its options with their defaults; ``...`` where one must be given."""

    @model_validator(mode="after")
    def _has_its_options(self) -> Way:
        way = getattr(self, self.chooser)
        own = self.options[way]
        given = {field for field in self.model_fields_set if getattr(self, field) is not None}
        if strange := sorted((given & {name for options in self.options.values() for name in options}) - own.keys()):
            raise ValueError(f"{way} has no '{strange[0]}'; it takes {', '.join(own) or 'no options'}")
        if missing := [name for name, value in own.items() if value is ... and name not in given]:
            raise ValueError(f"{way} needs '{missing[0]}'")
        return self

    def settled(self) -> dict[str, Any]:
        """The way and every one of its options."""
        way = getattr(self, self.chooser)
        said = {name: getattr(self, name) for name in self.options[way]}
        return {self.chooser: way} | {
            name: self.options[way][name] if value is None else value for name, value in said.items()
        }

    def told(self) -> str:
        """The way with the options that differ from its defaults: "infobatch, ratio 0.3"."""
        way, settled = getattr(self, self.chooser), self.settled()
        said = [name for name, value in self.options[way].items() if settled.get(name, value) != value]
        return ", ".join([way, *(f"{name} {short(settled[name])}" for name in said)])


def short(value: Any) -> str:
    """A value as a name says it: 0.1, "(peak_lr 0.1, batch 64)", "(full, random)", "none"."""
    if isinstance(value, Mapping):
        return f"({', '.join(f'{key} {short(part)}' for key, part in value.items())})"
    if isinstance(value, list | tuple):
        return f"({', '.join(map(short, value))})"
    if value is None:
        return "none"
    return f"{value:g}" if isinstance(value, float) else str(value)


def written(value: Any) -> str:
    """A value of a grid as titles say it: a number as it is written, so that two values stay two."""
    return short(value) if value is None or isinstance(value, Mapping | list) else str(value)
