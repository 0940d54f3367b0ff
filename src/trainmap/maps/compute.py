"""Scores over a whole recording: row block by row block, on every core, never the whole in memory."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError
from trainmap.maps.scores import SCORES, Score, score_named

Array = NDArray[Any]

BLOCK_BYTES = 2 << 20  # of signals: a block and a score's temporaries stay in the cache of a core
TEMPORARY_ROWS = 64  # float64 values per example that the scores of a block may hold at a time


def available(dynamics: Dynamics) -> list[str]:
    """The scores that this recording can give: their signals are there and the epochs suffice."""
    held = set(dynamics.signals)
    return [s.name for s in SCORES.values() if held.issuperset(s.needs) and dynamics.epochs >= s.epochs]


def resolve(dynamics: Dynamics, scores: Sequence[str | Callable[[Block], Array]] | None) -> dict[str, Score]:
    """Names and plain functions as scores that this recording can give; all of them for None.

    Raises:
        TrainmapError: an unknown name, a name twice, a signal or an epoch that is not there.
    """
    chosen: dict[str, Score] = {}
    for entry in available(dynamics) if scores is None else scores:
        if isinstance(entry, str):
            score = score_named(entry)
        else:
            name = getattr(entry, "__name__", type(entry).__name__)
            floats = tuple(n for n in dynamics.signals if n != "logits")
            score = Score(name, entry, "high", floats, "", "yours")
        if score.name in chosen:
            raise TrainmapError(f"score '{score.name}' was asked for twice; give one of them another name")
        if dynamics.epochs < score.epochs:
            raise TrainmapError(f"{score.name} needs at least {score.epochs} epochs, this recording has {dynamics.epochs}")
        lacking = [n for n in score.needs if n not in dynamics.signals]
        if lacking:
            raise TrainmapError(f"{score.name} needs {', '.join(lacking)}; a recording at level '{dynamics.level}' has none")
        chosen[score.name] = score
    return chosen


def compute(
    dynamics: Dynamics,
    scores: Sequence[str | Callable[[Block], Array]] | None = None,
    *,
    epochs: int | None = None,
    workers: int | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Array]:
    """Scores of every example of a recording.

    Args:
        scores: names from ``SCORES`` or functions of a block; None for all that the recording can give.
        epochs: only the first so many epochs.
        workers: threads; by default one for each core that this process may use.
        on_progress: called with the number of examples done.

    Returns:
        name -> (N,) float64, in row order (``dynamics.ids``). The same bits whatever the blocks and workers.
    """
    if dynamics.epochs == 0:
        raise TrainmapError(f"{dynamics.path} has no finished epoch yet; a score needs at least one")
    chosen = resolve(dynamics, scores)
    needs = sorted({name for score in chosen.values() for name in score.needs})
    taken = dynamics.epochs if epochs is None else epochs
    per_example = max(1, taken * sum(dynamics.bytes_per_value(name) for name in needs))
    rows = max(256, BLOCK_BYTES // per_example)
    out = {name: np.empty(dynamics.examples) for name in chosen}

    def work(start: int) -> int:
        stop = min(start + rows, dynamics.examples)
        block = dynamics.block(start, stop, needs, taken)
        for name, score in chosen.items():
            out[name][start:stop] = score.function(block)
        return stop - start

    workers = cores() if workers is None else workers
    with ThreadPoolExecutor(workers) as pool:
        for done in pool.map(work, range(0, dynamics.examples, rows)):
            if on_progress is not None:
                on_progress(done)
    return out


def cores() -> int:
    """How many cores this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
