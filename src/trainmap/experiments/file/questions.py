"""A section that asks something else than which subset: whether people agree with a map."""

# ruff: noqa: RUF012  (pydantic copies defaults; ruff knows that of its direct subclasses alone)

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from trainmap.experiments.file.fields import Section, Share, Words


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
