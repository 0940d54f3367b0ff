"""What a recorder leaves out when it is to lose a batch rather than a training: counted, and told once a kind."""

from __future__ import annotations

import logging
import re
from typing import NamedTuple

from trainmap.errors import TrainmapError

log = logging.getLogger("trainmap")


class Refused(NamedTuple):
    """How many batches were left out, and how many examples they had."""

    batches: int = 0
    examples: int = 0

    def and_(self, examples: int, batches: int) -> Refused:
        return Refused(self.batches + batches, self.examples + examples)


class Tally:
    """Counts what came and what of it was refused, since the beginning and since ``start_epoch``."""

    def __init__(self) -> None:
        self.refused = Refused()
        self._told: set[object] = set()
        self.start_epoch()

    @property
    def in_epoch(self) -> int:
        """How many examples were left out of this epoch."""
        return self._left_out.examples

    def come(self, examples: int) -> None:
        """A batch is here, whatever will become of it."""
        self._came = self._came.and_(examples, 1)

    def lose(self, error: TrainmapError) -> None:
        """All that came in this epoch is left out of it."""
        came, left_out = self._came, self._left_out
        self.add(error, came.examples - left_out.examples, came.batches - left_out.batches)

    def add(self, error: TrainmapError, examples: int, batches: int = 1) -> None:
        self.refused = self.refused.and_(examples, batches)
        self._left_out = self._left_out.and_(examples, batches)
        kind = _kind(error)
        if kind not in self._told:
            self._told.add(kind)
            log.warning("left out of the recording: %s (further ones for this reason are only counted)", error)

    def start_epoch(self) -> None:
        self._came = self._left_out = Refused()


def _kind(error: TrainmapError) -> object:
    """Mistakes of one kind are refused by one line of code, whatever ids and values the message names."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return re.sub(r"\d+", "", str(error)) if place is None else (place.tb_frame.f_code, place.tb_lineno)
