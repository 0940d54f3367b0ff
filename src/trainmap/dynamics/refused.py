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


class Tally:
    """Counts what was refused; ``in_epoch`` examples of it since ``start_epoch``."""

    def __init__(self) -> None:
        self.refused, self.in_epoch = Refused(), 0
        self._told: set[object] = set()

    def add(self, error: TrainmapError, examples: int, batches: int = 1) -> None:
        self.refused = Refused(self.refused.batches + batches, self.refused.examples + examples)
        self.in_epoch += examples
        kind = _kind(error)
        if kind not in self._told:
            self._told.add(kind)
            log.warning("left out of the recording: %s (further ones for this reason are only counted)", error)

    def start_epoch(self) -> None:
        self.in_epoch = 0


def _kind(error: TrainmapError) -> object:
    """Mistakes of one kind are refused by one line of code, whatever ids and values the message names."""
    place = error.__traceback__
    while place is not None and place.tb_next is not None:
        place = place.tb_next
    return re.sub(r"\d+", "", str(error)) if place is None else (place.tb_frame.f_code, place.tb_lineno)
