"""The ids of a schedule, the places of some of them, and what a state must hold."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.errors import TrainmapError, some

Array = NDArray[Any]


def ascending(ids: Any) -> Array:
    """The ids, sorted; refused where one repeats or there is none."""
    array = np.sort(to_ids(ids))
    repeated = array[1:][array[1:] == array[:-1]]
    if not len(array) or len(repeated):
        raise TrainmapError(f"ids must be unique and at least one, got {len(array)}, repeated: {some(repeated) or '-'}")
    return array


def places_of(known: Array, ids: Array, what: str) -> Array:
    """Where ``ids`` stand among those that are known, ascending; ``what`` names them in an error."""
    if (ids.dtype.kind == "U") != (known.dtype.kind == "U"):
        raise TrainmapError(f"ids must be of the kind of {what} ({known.dtype}), got {ids.dtype}")
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    strange = ids[known[places] != ids]
    if len(strange):
        raise TrainmapError(f"{len(strange)} ids are not among {what} (first: {some(strange)})")
    return places


def check_state(state: Mapping[str, Array], wanted: Mapping[str, tuple[int, ...]]) -> None:
    """Refuse a state that holds other arrays than those of the wanted shapes."""
    got = {name: np.shape(value) for name, value in state.items()}
    if got != dict(wanted):
        raise TrainmapError(f"a state of this schedule holds {dict(wanted)}, got {got}; was it saved by another one?")
