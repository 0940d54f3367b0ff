"""Thresholds of all clients together, from a histogram of (confidence, variability)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from numpy.typing import NDArray

from trainmap.maps.datamap import DataMap


@dataclass(frozen=True)
class Thresholds:
    """What is kept of any client's map, part by part of a spec."""

    def beyond(self, datamap: DataMap) -> NDArray[Any]:
        """The ids of a map that are beyond them, ascending."""
        raise NotImplementedError
