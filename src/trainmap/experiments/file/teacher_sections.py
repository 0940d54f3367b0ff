"""The sections of what is trained first: recipes, subsets of the data, teachers on them, and the maps of teachers."""

# ruff: noqa: RUF012  (pydantic copies defaults; ruff knows that of its direct subclasses alone)

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from trainmap.experiments.file.fields import Budget, Count, Section, Seed, SeedOrPaired, Share, Words
from trainmap.experiments.file.way_sections import Schedule, TeacherCompression, Without


class Recipe(Section):
    """What differs from the model's default recipe (``trainmap.training.recipes.Recipe``)."""

    batch: Count | None = None
    peak_lr: Annotated[float, Field(gt=0)] | None = None
    warmup: Annotated[float, Field(ge=0, lt=1)] | None = None
    optimizer: Literal["sgd", "adamw"] | None = None
    momentum: Annotated[float, Field(ge=0, lt=1)] | None = None
    weight_decay: Annotated[float, Field(ge=0)] | None = None
    label_smoothing: Annotated[float, Field(ge=0, le=1)] | None = None
    flips: bool | None = None
    crop: Annotated[int, Field(ge=0)] | None = None
    clip: Annotated[float, Field(gt=0)] | None = None


class Race(Section):
    """How the rows ``raced`` and ``repeated-raced`` are raced for (``trainmap.race``)."""

    model: Words = ""
    """The cheap network; cnn-4, mlp-32 or text-bag-8 by default."""
    epochs: Count | None = None
    """Of each of its trainings; by default twice its recipe's, where the student is another network."""
    wider: Words | None = ""
    """A network between that and the student, which is asked whether the winner leads by it as well, and by not clearly
    less; null for none. By default mlp-64 and text-bag-16, none for images, nor where you name the model."""
    limit: Annotated[float, Field(ge=0)] = 0.5
    """What the race may cost, as a share of what one training of the student on the subset saves."""


class Subset(Section):
    """A row of the table: a named one, a spec in the selection language, a strategy with its options, or a schedule. A
    bare word is the name of one."""

    key: str = ""
    """``full``, ``random``, ``repeated-random``, ``ambiguous``, ... (``trainmap.experiments.plan.named_rows.ROWS``)."""
    spec: str = ""
    """``"{percent} ambiguous"`` at each size, or ``"17% ambiguous + 10% easy-to-learn"`` as it stands."""
    strategy: str = ""
    """A key of ``trainmap.STRATEGIES``, at each of the sizes; what it needs of the map's teacher is made."""
    options: dict[str, bool | int | float | str] = {}
    """Of the strategy; s2l also takes ``clusters``, how many (100)."""
    schedule: Schedule | None = None
    """What changes during training, in place of a fixed subset."""
    race: Race | None = None
    """For ``raced`` and ``repeated-raced``: the race."""
    without: Without | None = None
    """For rows of a map: what is cut away before."""
    name: str = ""
    """What a reader calls it; made from the spec by default."""
    rule: Literal["quantile", "corner"] = "quantile"
    balance: Literal["equal", "proportional"] | None = None
    sizes: list[Share] | None = None
    """In place of the experiment's."""
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    """Some of the experiment's; all by default. An opponent needs fewer of them than a claim."""
    budgets: Annotated[list[Budget], Field(min_length=1)] | None = None
    """Some of the experiment's; all by default."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"key": value} if isinstance(value, str) else value

    @model_validator(mode="after")
    def _one_of_them(self) -> Subset:
        if sum(map(bool, (self.key, self.spec, self.strategy, self.schedule))) != 1:
            raise ValueError("must have a key or a spec, and not both, or a strategy or a schedule in their place")
        if self.options and not self.strategy:
            raise ValueError("options go with a strategy; there is none")
        if self.race is not None and self.key not in ("raced", "repeated-raced"):
            raise ValueError("race goes with the rows raced and repeated-raced")
        if self.strategy and self.rule != "quantile":
            raise ValueError("a strategy has no use for a rule; leave it out")
        if self.key and self.rule != "quantile":
            raise ValueError("a named row has its own rule; write a spec")
        if self.schedule and {"rule", "balance", "sizes", "without"} & self.model_fields_set:
            raise ValueError("a schedule takes a name and its own options alone")
        return self


class Teacher(Section):
    """A model that is trained while it is recorded; maps and teacher logits come from it. It is trained on all the
    data, or on a subset; as it is, or made smaller."""

    model: Words
    name: str = ""
    """What maps and students call it; the model's name by default."""
    epochs: Count | None = None
    """The recipe's by default."""
    recipe: Recipe = Recipe()
    seeds: Annotated[list[Seed], Field(min_length=1)] = [1000]
    """One run each; a map never comes from a seed of the runs that it helps."""
    record: Literal["train", "sweep", "held-out"] = "train"
    """Logits of the training step (free), or of an evaluation pass after each epoch; held-out: such a pass by networks
    that did not train on the examples, ``folds`` of them, each trained on the other folds."""
    folds: Annotated[int, Field(ge=2)] | None = None
    """Of record: held-out; 2 by default. Fold k trains with the teacher's seed + k."""
    level: Literal["signals", "logits"] = "signals"
    """What is kept of an example and epoch: what maps and scores read (22 bytes), or its logits as well (2 bytes a
    class more), for the score ``tdds`` and exports of logits or probabilities."""
    patience: Count | None = None
    """Stop after so many epochs without a better validation loss."""
    subset: Subset | None = None
    """What it is trained on: a spec (``33% ambiguous``), a row by its name, or a mapping as a row has it, at one size;
    all the data by default."""
    map: str = ""
    """From which the subset is chosen: an entry of the maps, or another teacher, whose whole recording is mapped."""
    budget: Budget = "equal epochs"
    """Of a teacher on a subset; equal steps: as many epochs as come nearest to the steps on all the data."""
    compress: TeacherCompression | None = None
    """The network is made smaller by training it further, and that training is recorded in place of the first one."""

    @field_validator("subset", mode="before")
    @classmethod
    def _spec_or_name(cls, value: Any) -> Any:
        return {"spec": value} if isinstance(value, str) and ("%" in value or " " in value) else value

    @model_validator(mode="after")
    def _fits(self) -> Teacher:
        if self.subset is None and (self.map or self.budget != "equal epochs"):
            what = "map" if self.map else "budget"
            raise ValueError(f"{what} goes with a subset; there is none")
        if self.subset is not None and (self.subset.schedule or {"seeds", "budgets"} & self.subset.model_fields_set):
            raise ValueError("the subset of a teacher stays the same: no schedule, and no seeds or budgets of a row")
        if self.subset is not None and self.compress is not None:
            raise ValueError("a teacher has a subset or is made smaller (compress), not both")
        if self.folds is not None and self.record != "held-out":
            raise ValueError(f"folds go with record: held-out, got record: {self.record}")
        if self.record == "held-out":
            for name in ("subset", "compress", "patience"):
                if getattr(self, name) is not None:
                    raise ValueError(
                        f"record: held-out trains several networks on all the data to their end; leave {name} out"
                    )
        if self.compress is not None and self.compress.fresh and self.patience is not None:
            raise ValueError("a training that starts in the smaller form goes to its end; leave patience out")
        return self


class Members(Section):
    """Runs of a teacher that are members of an ensemble. A bare word is the name of the teacher."""

    teacher: Words
    seeds: Annotated[list[Seed], Field(min_length=1)] | None = None
    """Some of the teacher's; all by default."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"teacher": value} if isinstance(value, str) else value


class Map(Section):
    """A map of a teacher's recording, or of several recordings together."""

    teacher: str = ""
    """The name of a teacher."""
    teachers: Annotated[list[Members], Field(min_length=1)] | None = None
    """In place of one: the members of an ensemble, two runs at least (``trainmap.maps.ensemble``)."""
    name: str = ""
    seed: SeedOrPaired | None = None
    """Which of the teacher's runs; the first by default. ``paired``: the first student reads the map of the teacher's
    first seed, the second that of the second, ...; so do teachers that are trained on a subset of it."""
    epochs: Count | None = None
    """The first so many epochs alone; its cost is counted in proportion."""
    scores: list[Words] | None = None
    """Besides the axes; all that the recording can give by default."""
    fraction: Annotated[float, Field(gt=0, le=1)] = 1 / 3
    """Share of each region (quantile rule)."""

    @model_validator(mode="after")
    def _one_or_several(self) -> Map:
        if bool(self.teacher) == bool(self.teachers):
            raise ValueError("must have a teacher, or teachers in its place, and not both")
        if self.teachers and self.seed is not None:
            raise ValueError("seed goes with one teacher; write teachers: [{teacher: NAME, seeds: [...]}]")
        return self

    @property
    def of(self) -> tuple[str, ...]:
        """The names of its teachers."""
        return (self.teacher,) if self.teacher else tuple(part.teacher for part in self.teachers or [])
