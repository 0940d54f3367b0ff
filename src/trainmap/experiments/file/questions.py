"""Sections that ask something else than which subset: which hyperparameters, and whether people agree with a map."""

# ruff: noqa: RUF012  (pydantic copies defaults; ruff knows that of its direct subclasses alone)

from __future__ import annotations

from typing import Annotated

from pydantic import Field, field_validator

from trainmap.experiments.file.fields import Count, Section, Seed, Share, Words

Ends = Annotated[list[Annotated[float, Field(ge=0)]], Field(min_length=2, max_length=2)]


class Tuning(Section):
    """A search by Optuna over learning rate, temperature and weight, for every way in which a student is distilled
    (``trainmap.experiments.tasks.tuning``). Its trials are judged on the validation data; what it finds meets what the
    student had, on full data and the test set, under the experiment's seeds."""

    trials: Count = 40
    """For each way, that of the student's own values included."""
    seeds: Annotated[list[Seed], Field(min_length=1)] = [100, 101]
    """Of the students of every trial; others than those of the experiment."""
    seed: Seed = 0
    """Of the search."""
    peak_lr: Ends = [1e-3, 1.0]
    """The ends of what is tried; evenly in the logarithm, as the temperature."""
    temperature: Ends = [1.0, 20.0]
    weight: Ends = [0.0, 1.0]
    """Of the teacher's term; evenly."""

    @field_validator("peak_lr", "temperature", "weight")
    @classmethod
    def _ascend(cls, value: list[float]) -> list[float]:
        if value[0] >= value[1]:
            raise ValueError(f"must be two ends, the lower one first, got {value}")
        return value

    @field_validator("peak_lr", "temperature")
    @classmethod
    def _above_zero(cls, value: list[float]) -> list[float]:
        if value[0] == 0:
            raise ValueError("must begin above 0")
        return value


class Human(Section):
    """People's judgement of the test data beside a map of it (``trainmap.maps.human``). Every teacher records the test
    data after each epoch, and never learns from them."""

    counts: Words
    """An .npz file, as it stands or under ``data.root``, with ``counts`` (examples of the test set in the order of
    their ids, classes): how many people chose each class."""
    scores: Annotated[list[Words], Field(min_length=1)] = [
        *("confidence", "variability", "correctness", "forgetting", "aum"),
        *("el2n", "entropy", "loss", "learning_time"),
    ]
    """Of the map."""
    top: Share = 0.1
    """The share of the examples on which people disagree most, told from the others by each score (AUROC)."""
