"""What a client told of its map, kept with it: what is told again is told with the same noise, and never more than was
accounted for."""

from __future__ import annotations

import hashlib
import random
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.federated.federation import Federation
from trainmap.federated.privacy import noised
from trainmap.files import read_json, write_json
from trainmap.typed import as_type

Array = NDArray[Any]
CURE = "restore it from a copy; without it this client cannot know what it told, so begin another federation"


@dataclass(frozen=True)
class Release:
    """A histogram that was told.

    Attributes:
        round: in which.
        question: checksum of the exact counts and the variance of the noise.
        counts: with noise.
    """

    round: int
    question: str
    counts: tuple[tuple[int, ...], ...]


class Ledger:
    """Of one client in one federation.

    Args:
        file: where it is kept; one of another federation is begun anew.
        federation: its settings: how many histograms may be told.
    """

    def __init__(self, file: Path, federation: Federation) -> None:
        self.file, self.most = file, federation.releases
        self.about = hashlib.sha256(federation.to_json().encode()).hexdigest()

    def told(self, round_number: int, exact: Array, variance: Fraction, source: random.Random) -> Array | None:
        """A histogram as it may be told, int64.

        A server that goes on after a kill asks again for what it may have seen: with fresh noise it could take the mean
        of the two. So the same counts of the same round are told as they were. None where as many as were accounted for
        were told.

        Raises:
            StoreError: a damaged file.
        """
        question = hashlib.sha256(exact.astype("<i8").tobytes() + str(variance).encode()).hexdigest()
        releases = self._read()
        for one in releases:
            if (one.round, one.question) == (round_number, question):
                return np.array(one.counts, dtype=np.int64)
        if len(releases) >= self.most:
            return None
        counts = noised(exact, variance, source)
        self._write([*releases, Release(round_number, question, tuple(map(tuple, counts.tolist())))])
        return counts

    def has(self, round_number: int) -> bool:
        """Whether something was told in a round."""
        return any(one.round == round_number for one in self._read())

    def _read(self) -> list[Release]:
        if not self.file.exists():
            return []
        page = as_type(_Page, read_json(self.file, "ledger of what was told", CURE), self.file, CURE)
        return list(page.told) if page.federation == self.about else []

    def _write(self, releases: list[Release]) -> None:
        self.file.parent.mkdir(parents=True, exist_ok=True)
        write_json(self.file, asdict(_Page(self.about, tuple(releases))))


@dataclass(frozen=True)
class _Page:
    federation: str
    told: tuple[Release, ...]
