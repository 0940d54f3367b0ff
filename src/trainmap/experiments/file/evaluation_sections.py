"""What networks are judged on besides their test set, and for which datasets that holds."""

# ruff: noqa: RUF012  (pydantic copies defaults; ruff knows that of its direct subclasses alone)

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field, model_validator

from trainmap.experiments.file.fields import Section, Words

Class = Annotated[str, BeforeValidator(lambda value: str(value) if type(value) is int else value), Field(min_length=1)]
"""A class by its name; of those without one, its number."""


class Set(Section):
    """A set from elsewhere; a bare word is its name."""

    name: Words
    """Of a dataset or a file, as under ``data``."""
    called: str = ""
    """In reports; its name by default, without folders and endings."""

    @model_validator(mode="before")
    @classmethod
    def _from_word(cls, value: Any) -> Any:
        return {"name": value} if isinstance(value, str) else value


class Shift(Set):
    """Examples of the same classes from another source (``trainmap.evaluation.shifts.load_shift``)."""

    part: Literal["test", "all"] = "test"
    """Its test part, official or a fixed fifth, or all of it."""
    labels: dict[str, Class | None] = {}
    """Class there → class here, where their names differ; null leaves its examples out."""


class Pairs(Set):
    """Test examples that people revised until the label changed: of the dataset itself (``cad_nli``), or a .parquet
    file with the column ``pair`` (``trainmap.data.elsewhere.load_pairs``)."""


class Outliers(Set):
    """Examples of none of the classes: those of the dataset itself (``clinc150``), or another dataset
    (``trainmap.data.elsewhere.load_outside``)."""

    part: Literal["test", "all"] = "test"
    """Its test part, official or a fixed fifth, or all of it."""
    score: Literal["max_softmax", "max_logit", "energy", "entropy"] = "max_softmax"
    """What tells them (``trainmap.evaluation.ood.OUTLIER_SCORES``)."""


class Evaluation(Section):
    """What every network is judged on besides its test set (``trainmap.evaluation``)."""

    for_: Annotated[list[Words], Field(min_length=1)] | None = Field(None, alias="for")
    """The datasets for which it holds; all by default."""
    corruptions: list[Words] = []
    """Of images: keys of ``trainmap.evaluation.corruptions.CORRUPTIONS``; the mean over them and the severities is
    told."""
    severities: Annotated[list[Annotated[int, Field(ge=1, le=5)]], Field(min_length=1)] = [1, 2, 3, 4, 5]
    shifts: list[Shift] = []
    """Sets from elsewhere with the same classes; what ``data.leave_out`` leaves out is one without being named."""
    pairs: list[Pairs] = []
    """Counterfactual pairs: each set of revisions is a shift, and the consistency over the pairs is told."""
    outliers: list[Outliers] = []
    """Examples of none of the classes: how well the network tells them from its test set (AUROC, FPR95)."""
