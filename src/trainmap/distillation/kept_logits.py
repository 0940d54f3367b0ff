"""A file of logits on disk and the card beside it, which says what they are of and what their bytes must be."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap import checksums
from trainmap.array_files import read_npy
from trainmap.errors import StoreError
from trainmap.files import reading
from trainmap.typed import as_type

ANEW = "delete both to compute anew"


@dataclass(frozen=True)
class TeacherCard:
    """What a file of teacher logits came from, and what it cost to make; kept beside it as ``<file>.json``.

    ``bytes`` and ``crc32`` are of the whole file; cards of trainmap 0.1 have neither.
    """

    teacher: str
    dataset: str
    order: str
    flips: bool
    flops: int
    seconds: float
    cpu_seconds: float
    bytes: int | None = None
    crc32: int | None = None


def read_card(path: str | Path) -> TeacherCard:
    """The card of a file of teacher logits.

    Raises:
        StoreError: no card, or one that cannot be read.
    """
    card = checksums.card_of(Path(path))
    about: Any = checksums.read_sealed(card, "card of teacher logits", ANEW)
    with reading(card, "card of teacher logits", ANEW):
        as_type(TeacherCard, about, card, ANEW)
        return TeacherCard(**about)


def open_logits(path: str | Path, verify: bool = True) -> NDArray[np.float16]:
    """The logits of a file, (N, C) or (N, 2, C) float16, read-only and memory-mapped, once they are compared with their
    card (for each process once; a file without a card, or with one of 0.1, is taken as it is).

    Raises:
        StoreError: no file, or one that is damaged.
    """
    file = Path(path)
    if verify and checksums.card_of(file).exists():
        checksums.read_card(file, cure=ANEW)
    found = read_npy(file, "array of logits", ANEW)
    if found.dtype != np.float16 or found.ndim not in (2, 3) or not found.flags.c_contiguous:
        raise StoreError(f"{file} must hold (N, C) or (N, 2, C) float16, got {found.dtype} {found.shape}; {ANEW}")
    return found
