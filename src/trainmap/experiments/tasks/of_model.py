"""A task of a network that may start from published weights: which ones is part of what the task is."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import model_validator

from trainmap.errors import TrainmapError
from trainmap.experiments.tasks.task import Task
from trainmap.models.encoders import encoder_weights


class OfModel(Task):
    """A task that trains networks of one name.

    Attributes:
        model: the name.
        weights: the fingerprint of what a pretrained text encoder starts from, found when the task is planned; "" for
            every other network, and then no part of its identity.
    """

    model: str
    weights: str = ""

    @model_validator(mode="before")
    @classmethod
    def _with_its_weights(cls, told: Any) -> Any:
        if isinstance(told, Mapping) and "weights" not in told and isinstance(model := told.get("model"), str):
            return {**told, "weights": encoder_weights(model)}
        return told

    def identity(self) -> dict[str, Any]:
        told = super().identity()
        return told if self.weights else {name: value for name, value in told.items() if name != "weights"}

    def check_weights(self) -> None:
        """Refuse to start from other weights than the plan's.

        Raises:
            TrainmapError: the folder changed.
        """
        if encoder_weights(self.model) != self.weights:
            raise TrainmapError(f"the weights of {self.model} changed since the experiment was planned; plan it again")
