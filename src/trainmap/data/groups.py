"""What examples belong to, told by a column of their source: a speaker, a writer, a country."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.dynamics.index import MISSING, find_rows
from trainmap.errors import TrainmapError, some, unknown


@dataclass(frozen=True, eq=False)
class Groups:
    """The columns of all rows of a source, by id.

    Attributes:
        ids: (N,) int64 of all rows, whatever part they are in.
        columns: name -> (N,) values.
    """

    ids: NDArray[np.int64]
    columns: Mapping[str, pl.Series]

    def of(self, ids: NDArray[np.int64], column: str, name: str) -> NDArray[Any]:
        """What is in a column for these ids, (n,) in their order; None where it is words and there is none.

        Args:
            name: of the dataset, for messages.

        Raises:
            TrainmapError: no such column, or ids that the source does not have.
        """
        if column not in self.columns:
            raise unknown(f"column of {name} to group by", column, self.columns)
        rows = find_rows(self.ids, ids)
        if (strange := ids[rows == MISSING]).size:
            raise TrainmapError(f"{strange.size} of {len(ids)} ids are not in {name} (first: {some(strange.tolist())})")
        return self.columns[column].gather(rows).to_numpy()
