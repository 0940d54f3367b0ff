"""Second-split forgetting: train on one half, then on the other, and see which examples of the first are lost.

Two recordings: the first while the model trains on the first split, the second while the same model goes on training
on the second split, with the examples of the **first** split shown to it after every epoch (``source="sweep"``).
"""

from __future__ import annotations

from typing import Any

import polars as pl
from numpy.typing import NDArray

from trainmap.dynamics.index import rows_of
from trainmap.dynamics.signals import UNKNOWN_LABEL
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, some
from trainmap.kinds import check_kind
from trainmap.maps.datamap import to_table
from trainmap.scores.compute import compute
from trainmap.scores.events import forgetting_time

Array = NDArray[Any]


def second_split(first: Dynamics, second: Dynamics) -> pl.DataFrame:
    """When each example of the first split was learned for good, and when it was then forgotten for good.

    Args:
        first: the recording of the first split while it was trained on.
        second: a recording that holds at least those examples, with the same labels, while the model trained on the
            second split.

    Returns:
        a table sorted by id: ``id``, ``label``, ``learning_time`` (epoch of the first recording, infinity if it was
        wrong at the end; high is hard) and ``forgetting_time`` (epoch of the second recording, infinity if it was
        right at the end; low is hard). NaN where it was never seen. Mislabelled examples are learned late and
        forgotten early, rare ones are learned late and forgotten late.

    Raises:
        TrainmapError: an example of the first recording that the second one does not have, or another label.

    Source: Maini et al. 2022, arXiv:2210.15031, section 3. Like the published code, an example that the first split
        never taught counts as forgotten from epoch 0 on: ``learning_time`` tells it apart.
    """
    check_kind(first, Dynamics)
    check_kind(second, Dynamics)
    cure = f"the second recording must show the examples of the first split, those of {first.path}"
    rows = rows_of(second.ids, first.ids, str(second.path), cure)
    known = (first.labels != UNKNOWN_LABEL) & (second.labels[rows] != UNKNOWN_LABEL)
    other = first.ids[known & (second.labels[rows] != first.labels)]
    if len(other):
        raise TrainmapError(
            f"{len(other)} examples have another label in {second.path} (first: {some(other.tolist())})"
        )
    learned = compute(first, ["learning_time"])["learning_time"]
    forgotten = compute(second, [forgetting_time])["forgetting_time"][rows]
    return to_table(first, {"learning_time": learned, "forgetting_time": forgotten})
