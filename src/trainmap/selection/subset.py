"""Items of a dataset at given places, for the kinds of dataset that are indexed by position."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.errors import RecordingError

Array = NDArray[Any]


def taken(dataset: Any, places: Array) -> Any:
    """The items at ``places`` (k,) int64: for a Hugging Face dataset or an array one of its kind, else a ``Subset``."""
    if isinstance(dataset, np.ndarray):
        return dataset[places]
    if hasattr(dataset, "column_names") and hasattr(dataset, "select"):
        return dataset.select(places)
    from torch.utils.data import Subset

    return Subset(dataset, places.tolist())


def column_of_ids(dataset: Any) -> Array | None:
    """(N,) the column ``id`` of a Hugging Face dataset; None without one, or where it holds no ids."""
    if "id" not in (getattr(dataset, "column_names", None) or ()) or not hasattr(dataset, "with_format"):
        return None
    try:
        return to_ids(dataset.with_format(None)["id"][:])
    except RecordingError:
        return None
