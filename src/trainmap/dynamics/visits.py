"""The numbers of an epoch that visits examples several times (sampling with replacement): means over the visits.

With J visits of an example in the epoch and s_1, ..., s_J a signal at each of them:

    p_gold, margin, loss, entropy, el2n, logits    (s_1 + ... + s_J) / J
    predicted                                      y where the mean margin is above 0; else the first wrong prediction

Sums are in double precision and rounded once, so the mean of equal values is that value. They are means of the
signals and not signals of the mean logits: the loss is the mean loss. ``predicted`` follows the mean margin, so that
right means for a mean what it means for a single visit.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.epoch import Epoch
from trainmap.dynamics.signals import FLOAT_SIGNALS, UNKNOWN_LABEL, predicted_dtype

Array = NDArray[Any]


class Means(Epoch):
    """An ``Epoch`` whose rows may come again; it takes 68 bytes an example (and 8 a class at level logits)."""

    def columns(self, rows: int) -> dict[str, Array]:
        """The means of the first ``rows`` examples; NaN, and -1 in ``predicted``, where there was no visit."""
        self._make_room(rows)
        self._flush()
        sums = {name: column[:rows] for name, column in self._columns.items()}
        visits = sums["visits"]
        means: dict[str, Array] = {
            name: np.divide(sums[name], visits, out=np.full(rows, np.nan), where=visits > 0).astype(np.float32)
            for name in FLOAT_SIGNALS
        }
        right = (means["margin"] > 0) | (sums["wrong"] == UNKNOWN_LABEL)
        means["predicted"] = np.where(right, sums["gold"], sums["wrong"]).astype(predicted_dtype(self.classes))
        if self.level == "logits":
            seen = (visits > 0)[:, None]
            out = np.full(sums["logits"].shape, np.nan)
            means["logits"] = np.divide(sums["logits"], visits[:, None], out=out, where=seen).astype(np.float16)
        return means

    def clear(self) -> None:
        self._columns, self._fill = self._empty(len(self._columns["visits"])), 0

    def _store(self, rows: Array, columns: Mapping[str, Array], labels: Array) -> None:
        np.add.at(self._columns["visits"], rows, 1)
        for name in FLOAT_SIGNALS:
            np.add.at(self._columns[name], rows, columns[name])
        self._columns["gold"][rows] = labels
        wrong = columns["predicted"] != labels
        where, first = np.unique(rows[wrong], return_index=True)
        new = self._columns["wrong"][where] == UNKNOWN_LABEL
        self._columns["wrong"][where[new]] = columns["predicted"][wrong][first[new]]

    def _keep_logits(self, rows: Array, logits: Array) -> None:
        np.add.at(self._columns["logits"], rows, logits)

    def _empty(self, rows: int) -> dict[str, Array]:
        columns: dict[str, Array] = {name: np.zeros(rows) for name in FLOAT_SIGNALS}
        if self.level == "logits":
            columns["logits"] = np.zeros((rows, self.classes))
        for name in ("gold", "wrong"):
            columns[name] = np.full(rows, UNKNOWN_LABEL, np.int32)
        return columns | {"visits": np.zeros(rows, np.int32)}
