"""The sections of an experiment file and their fields, as pydantic models: what may be said, and its limits."""

# ruff: noqa: RUF012  (pydantic copies defaults; ruff knows that of its direct subclasses alone)

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from trainmap.experiments.file.data_sections import Data
from trainmap.experiments.file.evaluation_sections import Evaluation
from trainmap.experiments.file.federated_sections import Federated
from trainmap.experiments.file.fields import Budget, Count, Section, Seed, SeedOrPaired, Share, Words
from trainmap.experiments.file.questions import Human
from trainmap.experiments.file.teacher_sections import Map, Recipe, Subset, Teacher
from trainmap.experiments.file.way_sections import Compression


class Distillation(Section):
    """How a student learns from a teacher (``trainmap.distillation.settings.Distillation``); null takes the loss's own
    default. Losses on logits use cached ones; losses on features, and recipes with crops, run the teacher itself."""

    teacher: str = ""
    """The name of a teacher; the first by default."""
    seed: SeedOrPaired | None = None
    """Which of its runs; the first by default. ``paired``: the first student learns from the teacher's first seed, the
    second from the second, ..."""
    loss: Words = "hinton"
    """A key of ``trainmap.distillation.losses.LOSSES``."""
    temperature: Annotated[float, Field(gt=0)] | None = None
    weight: Annotated[float, Field(ge=0)] | None = None
    """Of the teacher's term."""
    gold: Annotated[float, Field(ge=0)] | None = None
    """Of the labels' cross-entropy."""
    warmup: Annotated[float, Field(ge=0, le=1)] | None = None
    """Share of the training in which the weight climbs from 0."""
    options: dict[str, bool | int | float | str] = {}
    """Further arguments of the loss."""


class Student(Section):
    """A model that is trained on the subsets."""

    model: Words
    name: str = ""
    epochs: Count | None = None
    """Of full data; the recipe's by default."""
    recipe: Recipe = Recipe()
    distillation: Annotated[list[Distillation | None], Field(min_length=1)] = [None]
    """Each a column: null trains without a teacher."""
    compress: Annotated[list[Compression | None], Field(min_length=1)] = [None]
    """Each a column: what becomes of the trained student; null is the student as it is."""
    patience: Count | None = None
    """Stop after so many epochs without a better validation loss."""


class Active(Section):
    """Active learning: a network asks for the labels of the training data, round after round, and is trained anew on
    all that it has (``trainmap.training.active``). Each strategy is run for each of the experiment's seeds; random and
    entropy are among them always."""

    model: Words
    name: str = ""
    strategies: Annotated[list[Words], Field(min_length=1)] = ["random", "entropy", "margin", "variability"]
    """Keys of ``trainmap.selection.ACQUISITIONS``."""
    start: Annotated[int, Field(ge=2)]
    """Labels of the first round, of examples drawn at random; the same for all strategies of a seed."""
    step: Count
    """Labels that each further round adds."""
    rounds: Annotated[int, Field(ge=2)]
    """Trainings, the first among them."""
    epochs: Count | None = None
    """Of each; the recipe's by default."""
    steps: Count | None = None
    """Optimizer steps of each, in place of epochs: then few labels are trained on for as long as many."""
    sweeps: Annotated[int, Field(ge=2)] = 10
    """How often strategies that read the epochs look at the pool in each training, evenly."""
    recipe: Recipe = Recipe()

    @model_validator(mode="after")
    def _one_length(self) -> Active:
        if self.epochs is not None and self.steps is not None:
            raise ValueError("takes epochs or steps, and not both")
        return self


Ends = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)]


class Tuning(Section):
    """A search by Optuna over hyperparameters (``trainmap.experiments.tasks.tuning``): of a distilled student learning
    rate, temperature and weight, of a plain one or a teacher learning rate and weight decay. Its trials are judged on
    the validation data; what it finds meets what the student had, on full data and the test set, under the experiment's
    seeds."""

    of: Annotated[list[Words], Field(min_length=1)] = ["distilled"]
    """What is searched: ``distilled`` (every way in which a student is distilled), ``plain`` (students without a
    teacher), ``students`` (both), ``teachers``, or the name of a student or a teacher."""
    subset: Annotated[list[Subset | None], Field(min_length=1)] = [None]
    """What the trials train on, each another search: null is all the data; a row that stays the same during training,
    of one size (its own, or the experiment's first)."""
    map: str = ""
    """The name of the map that such a row reads; the first by default."""
    trials: Count = 40
    """For each way, that of the student's own values included."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = [100, 101]
    """Of the students of every trial; others than those of the experiment."""
    seed: Annotated[list[Seed], Field(min_length=1)] = [0]
    """Of the search, and of the subset that it draws; several are several searches."""
    peak_lr: Ends = [1e-3, 1.0]
    """The ends of what is tried; evenly in the logarithm, as the temperature and the weight decay."""
    temperature: Ends = [1.0, 20.0]
    weight: Ends = [0.0, 1.0]
    """Of the teacher's term; evenly."""
    weight_decay: Ends = [1e-5, 1e-1]

    @field_validator("seed", mode="before")
    @classmethod
    def _one_or_several(cls, value: Any) -> Any:
        return [value] if isinstance(value, int) and not isinstance(value, bool) else value

    @field_validator("of", "seed")
    @classmethod
    def _each_once(cls, value: list[Any]) -> list[Any]:
        if len(set(value)) < len(value):
            raise ValueError(f"must name each once, got {value}")
        return value

    @field_validator("peak_lr", "temperature", "weight", "weight_decay")
    @classmethod
    def _ascend(cls, value: list[float]) -> list[float]:
        if value[0] >= value[1]:
            raise ValueError(f"must be two ends, the lower one first, got {value}")
        return value

    @field_validator("peak_lr", "temperature", "weight_decay")
    @classmethod
    def _above_zero(cls, value: list[float]) -> list[float]:
        if value[0] == 0:
            raise ValueError("must begin above 0")
        return value


class Wandb(Section):
    """Weights & Biases: one run of it for each training run."""

    project: str = "trainmap"
    mode: Literal["online", "offline"] = "offline"


class Tracking(Section):
    """Where the epochs of each run are written besides their CSV file."""

    wandb: Wandb | None = None
    tensorboard: bool = False


class Ray(Section):
    """How runs are given to Ray."""

    address: str | None = None
    """Of a running cluster, or ``auto``; a local one is started by default."""
    gpus: Annotated[float, Field(ge=0)] = 0.0
    """For each run."""


class Slurm(Section):
    """How runs are given to SLURM, by submitit."""

    cluster: Literal["slurm", "local"] = "slurm"
    """``local`` starts the jobs as processes of this machine."""
    parameters: dict[str, str | int | float | bool] = {}
    """As submitit takes them: ``timeout_min``, ``mem_gb``, ``gpus_per_node``, ``slurm_partition``, ..."""


class Launch(Section):
    """Settings of the launchers; not part of a run's identity."""

    ray: Ray = Ray()
    slurm: Slurm = Slurm()


class Experiment(Section):
    """One experiment: what is trained on what, how often."""

    title: Words
    label: str | None = None
    """Of a point of a grid, for the reports, in place of its values: points that share one stand in one table. ""
    where the dataset tells enough."""
    data: Data
    teachers: list[Teacher] = []
    maps: list[Map] | None = None
    """By default one for each teacher."""
    subsets: list[Subset] = []
    sizes: Annotated[list[Share], Field(min_length=1)] = [0.33]
    """Of the subsets, as shares of the training data."""
    students: list[Student] = []
    seeds: Annotated[list[Seed], Field(min_length=1)] = [0, 1, 2]
    """Of the students: one run each."""
    budgets: Annotated[list[Budget], Field(min_length=1)] = ["equal epochs"]
    """Equal epochs: a subset is visited as often as all the data. Equal steps: trained for as many steps."""
    evaluation: list[Evaluation] = []
    """One, or several for some datasets each; those that hold for a dataset are joined."""
    active: Active | None = None
    """Active learning on the training data, whose labels are hidden."""
    federated: Federated | None = None
    """Federated learning on the training data, parted among clients."""
    tuning: Tuning | None = None
    """A search for hyperparameters of students and teachers."""
    human: Human | None = None
    """People's judgement beside maps of the test data."""
    device: str = "cpu"
    notes: list[str] = []
    """Sentences for the report."""
    level: Annotated[float, Field(gt=0.5, lt=1)] = 0.95
    """Of the intervals."""
    tracking: Tracking = Tracking()
    launch: Launch = Launch()

    @field_validator("evaluation", mode="before")
    @classmethod
    def _one_evaluation(cls, value: Any) -> Any:
        return [value] if isinstance(value, dict) else value


class Grid(Section):
    """One experiment for each combination of values; a path is dotted, ``*`` is every entry of a list."""

    cross: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """Every combination, as ``students.*.recipe.peak_lr: [0.05, 0.1]``."""
    zip: dict[str, Annotated[list[Any], Field(min_length=1)]] = {}
    """The first values together, then the second, ..."""


class ExperimentFile(Experiment):
    """A file: an experiment, what ``--scale`` puts over it, and its grid."""

    small: dict[str, Any] | None = None
    """What differs at ``--scale small``: mappings are joined, lists replaced."""
    paper: dict[str, Any] | None = None
    """What differs at ``--scale paper``."""
    grid: Grid = Grid()
