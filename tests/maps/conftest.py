"""Recordings made from logits that a test has at hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics

Record = Callable[..., Dynamics]
Random = Callable[..., Block]


@pytest.fixture
def record(tmp_path: Path) -> Record:
    """record(logits, labels, ids=None, level="signals", order=None): a recording; rows of NaN logits were not seen."""

    def record(
        logits: Any, labels: Any, ids: Any = None, level: Any = "signals", name: str = "dynamics", order: Any = None
    ) -> Dynamics:
        logits, labels = np.asarray(logits, dtype=np.float32), np.asarray(labels)
        names = np.arange(len(labels)) if ids is None else np.asarray(ids)
        shown = np.arange(len(labels)) if order is None else np.asarray(order)
        with Recorder(
            tmp_path / name, logits.shape[2], names, labels, level=level, allow_missing=True, rank=0, world_size=1
        ) as recorder:
            for epoch in logits:
                rows = shown[~np.isnan(epoch[shown]).any(axis=1)]
                recorder.update(names[rows], epoch[rows], labels[rows])
                recorder.end_epoch()
        return Dynamics.open(tmp_path / name)

    return record


@pytest.fixture
def random_block() -> Random:
    """random_block(seed, epochs, n, classes, missing=0): logits of every kind; a share of the visits is missing."""

    def random_block(seed: int, epochs: int, n: int, classes: int, missing: float = 0.0) -> Block:
        generator = np.random.default_rng(seed)
        logits = generator.normal(0, generator.choice([0.1, 3, 30]), (epochs, n, classes)).astype(np.float32)
        logits[generator.random((epochs, n)) < missing] = np.nan
        return Block.from_logits(logits, generator.integers(0, classes, n))

    return random_block
