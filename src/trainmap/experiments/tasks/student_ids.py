"""Ids that students are trained on: drawn at random, and told by one hash."""

from __future__ import annotations

import hashlib

import numpy as np


def random_ids(ids: np.ndarray, count: int, seed: int) -> np.ndarray:
    """``count`` ids drawn without replacement: those that ``select(datamap, "... random", seed=seed)`` draws."""
    return np.sort(np.sort(ids)[np.random.Generator(np.random.PCG64(seed)).permutation(len(ids))[:count]])


def ids_hash(ids: np.ndarray) -> str:
    """SHA-256 (hex) of the ids of a Selection, which are ascending int64 here."""
    return hashlib.sha256(ids.tobytes()).hexdigest()
