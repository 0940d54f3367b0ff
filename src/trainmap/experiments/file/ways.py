"""Sections that choose a way and its options: how the examples change during training, how a network gets smaller."""

from __future__ import annotations

from typing import Annotated, ClassVar, Literal

from pydantic import Field, model_validator

from trainmap.experiments.file.fields import Count, Section, Share, Way, Words

Upto1 = Annotated[float, Field(gt=0, le=1)]


class Schedule(Way):
    """Which examples each epoch visits (``trainmap.schedules.protocol``), or a proxy that filters each batch
    (``trainmap.training.proxy``). Only the options of the one that is named may be given."""

    name: Literal["infobatch", "ordered-loss", "map-guided", "repeated-random", "proxy"]
    ratio: Annotated[float, Field(ge=0, lt=1)] | None = None
    """infobatch: share of the easy ones that is skipped; 0.5."""
    anneal: Annotated[float, Field(ge=0, le=1)] | None = None
    """infobatch: from this share of the epochs on everything is visited; 0.875."""
    pool: Upto1 | None = None
    """ordered-loss: share of the examples that is drawn; 0.5."""
    keep: Upto1 | None = None
    """ordered-loss, proxy: share of the pool that is trained on; 0.6, 0.5."""
    warmup: Annotated[int, Field(ge=0)] | None = None
    """ordered-loss, map-guided: epochs at the start that visit everything; 1, 2."""
    axis: Literal["variability", "hard", "easy"] | None = None
    """map-guided; variability."""
    start: Upto1 | None = None
    """map-guided: share that is visited at first; 0.5."""
    end: Upto1 | None = None
    """map-guided: share that is visited in the last epoch; 0.5."""
    explore: Annotated[float, Field(ge=0, le=1)] | None = None
    """map-guided: share of the visited that is random; 0.2."""
    cut: Annotated[float, Field(ge=0, lt=1)] | None = None
    """map-guided: share of the examples that never come from the top; 0."""
    size: Upto1 | None = None
    """repeated-random: share of the examples in an epoch."""
    replacement: bool | None = None
    """repeated-random: whether every epoch draws from all; no."""
    model: Words | None = None
    """proxy: the small network."""
    every: Count | None = None
    """proxy: it learns from every so-manieth pool; 4."""

    chooser: ClassVar = "name"
    options: ClassVar = {
        "infobatch": {"ratio": 0.5, "anneal": 0.875},
        "ordered-loss": {"pool": 0.5, "keep": 0.6, "warmup": 1},
        "map-guided": {
            "axis": "variability",
            "start": 0.5,
            "end": 0.5,
            "warmup": 2,
            "explore": 0.2,
            "cut": 0.0,
        },
        "repeated-random": {"size": ..., "replacement": False},
        "proxy": {"model": ..., "keep": 0.5, "every": 4},
    }


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
