"""Items of a dataset at given places, for the kinds of dataset that are indexed by position."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.errors import TrainmapError

Array = NDArray[Any]


def check_indexed(dataset: Any) -> None:
    """Refuse what has no items at positions: a stream, a mapping, a table (whose index is a column or a label).

    Raises:
        TrainmapError: says what it is.
    """
    sized = hasattr(dataset, "__len__") and hasattr(dataset, "__getitem__")
    a_table = hasattr(dataset, "iloc") or (hasattr(dataset, "columns") and hasattr(dataset, "shape"))
    if not sized or a_table or isinstance(dataset, Mapping | str | bytes):
        raise TrainmapError(
            "a dataset must have a length and an item for every position, as a map-style PyTorch dataset has; got "
            f"{type(dataset).__name__} (of a table take the rows by selection.mask(ids))"
        )


def taken(dataset: Any, places: Array) -> Any:
    """The items at ``places`` (k,) int64: for a Hugging Face dataset or an array one of its kind, else a ``Subset``."""
    if isinstance(dataset, np.ndarray):
        return dataset[places]
    if hasattr(dataset, "column_names") and hasattr(dataset, "select"):
        return dataset.select(places)
    from torch.utils.data import Subset

    return Subset(dataset, places.tolist())
