"""Which data an experiment is of: how they are split, drawn and labelled, and what no network is trained on."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from trainmap.data.leave_out import LeaveOut as LeftOut
from trainmap.data.raw_rows import Limit as PartLimit
from trainmap.experiments.file.fields import Count, Section, Seed, Words


class Limit(Section):
    """How many examples of each part are kept, each class in proportion (``trainmap.data.Limit``)."""

    train: Count | None = None
    """All by default, as of the others."""
    validation: Count | None = None
    test: Count | None = None
    seed: Seed = 0
    """Of the draw."""

    def made(self) -> PartLimit:
        """The value of the library."""
        return PartLimit(**self.model_dump())


class LeaveOut(Section):
    """Examples that no network is trained on, told by a column (``trainmap.data.leave_out.LeaveOut``): a shift of the
    test set, "left out" in reports. The column is no feature then."""

    column: Words
    """Of a table or of texts; ``speaker`` of fsdd and speech-commands."""
    values: Annotated[list[str | int | float | bool], Field(min_length=1)] | None = None
    """Those with one of these values."""
    above: float | None = None
    """Those with a number above this one."""
    below: float | None = None
    """Those with a number below this one."""

    @model_validator(mode="after")
    def _one_of_them(self) -> LeaveOut:
        self.made()
        return self

    def made(self) -> LeftOut:
        """The value of the library."""
        return LeftOut(self.column, tuple(self.values or ()), self.above, self.below)


class Data(Section):
    """Which datasets, and how they are split."""

    names: Annotated[list[Words], Field(min_length=1)]
    """Names or paths, as ``trainmap.data.dataset.load_splits`` takes them."""
    root: str | None = None
    """Folder with the files; not part of a run's identity."""
    split_seed: Seed = 42
    """Of the validation split, shared by teachers and students."""
    validation: Annotated[float, Field(ge=0, lt=1)] = 0.2
    """Share of the training data that is set aside."""
    limit: Limit | None = None
    """A small draw of a large dataset; all of it by default."""
    label_noise: Annotated[float, Field(ge=0, le=0.5)] = 0.0
    """Share of the training labels that are replaced by another class, drawn evenly."""
    noise_seed: Seed = 0
    labels: Annotated[str, Field(pattern=r"^(.+\.npz:\w+|.+\.(csv|parquet))?$")] = ""
    """``FILE.npz:ARRAY`` in the root: labels in place of those of the training part, such as the mistakes that people
    make; entry i is that of the id i. Or a sheet of ids and labels, ``FILE.csv`` or ``FILE.parquet``, as
    `trainmap explore` writes it: the others keep their labels, and those with the decision "drop" are left out."""
    leave_out: LeaveOut | None = None
    """Examples that no network is trained on; networks are judged on them as well."""
