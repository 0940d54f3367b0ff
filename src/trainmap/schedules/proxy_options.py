"""The proxy filter as it stands in an experiment file; ``trainmap.training.proxy`` is what filters, and needs torch."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from trainmap.errors import TrainmapError
from trainmap.schedules.options import Options, Run, option


@dataclass(frozen=True)
class ProxyOptions(Options):
    """Of ``ProxyFilter``: within each step a small network picks the examples that the large one learns from."""

    source: ClassVar[str] = "Jordan 2024, github.com/KellerJordan/cifar10-airbench"
    in_batches: ClassVar[bool] = True

    model: str = option(..., "the small network", min_length=1)
    keep: float = option(0.5, "share of the pool that is trained on", gt=0, le=1)
    every: int = option(4, "it learns from every so-manieth pool", ge=1)

    def share(self) -> float:
        return self.keep

    def flops(self, forward: int, seen: int) -> int:
        """What the small network is expected to cost.

        Args:
            forward: its FLOPs for one example.
            seen: examples that the large network trains on.
        """
        return round(forward * seen / self.keep * (1 + 2 / self.every))

    def make(self, run: Run) -> Any:
        """The filter that the run makes of the network: a run knows what it is trained on."""
        if run.network is None:
            raise TrainmapError("a proxy filter needs a run that makes its network; there is none")
        return run.network(self)
