"""A recording as training_dynamics/dynamics_epoch_N.jsonl, the format that ``allenai`` reads."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.exchange.allenai_lines import FOLDER, ORDER
from trainmap.dynamics.exchange.whole_folder import kept_column, new_folder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, some
from trainmap.files import write_atomically
from trainmap.kinds import check_kind

Array = NDArray[Any]

EXPORT_VALUES = 1 << 18


def export_epochs(dynamics: Dynamics, out: str | Path, on_progress: Callable[[int], None] | None = None) -> Path:
    """Write ``out/training_dynamics/dynamics_epoch_N.jsonl``, a line for each example that the epoch saw.

    Numbers have nine significant digits, from which any reader gets the same float32 (or half precision) back. A masked
    class, -inf, is the least float32, -3.40282347e+38, for JSON has no infinity; an import masks it again. Lines
    come in the order in which an import first met the guids, otherwise by id. Logits that a Recorder keeps are in half
    precision: those are what is written, so whoever computes scores from the files gets them from rounded logits.

    Args:
        on_progress: called with 1 after each epoch.

    Raises:
        TrainmapError: the recording has no logits, or an example that no epoch saw (the format cannot say so).
    """
    check_kind(dynamics, Dynamics)
    dynamics.check_classes("dynamics_epoch_N.jsonl")
    if "logits" not in dynamics.signals:
        raise TrainmapError(
            f"dynamics_epoch_N.jsonl needs logits, this recording (level '{dynamics.level}') has none; record with "
            "level='logits', or export td_metrics.jsonl alone"
        )
    kept = kept_column(dynamics, ORDER)
    order = np.arange(len(dynamics)) if kept is None else np.argsort(kept)
    names = [json.dumps(name) for name in dynamics.ids[order].tolist()]
    gold = dynamics.labels[order].tolist()
    never = np.ones(len(dynamics), bool)
    target = Path(out) / FOLDER
    with new_folder(target) as folder:
        for epoch in range(dynamics.epochs):
            logits = dynamics.column(epoch, "logits")
            line = f'{{"guid": %s, "logits_epoch_{epoch}": [%s], "gold": %d}}\n'
            with write_atomically(folder / f"dynamics_epoch_{epoch}.jsonl") as handle:
                step = max(1, EXPORT_VALUES // dynamics.classes)
                for start in range(0, len(order), step):
                    rows = order[start : start + step]
                    values = logits[rows]
                    here = ~np.isnan(values[:, 0])
                    never[rows[here]] = False
                    handle.write(
                        "".join(
                            line % (names[place], numbers, gold[place])
                            for place, numbers, seen in zip(
                                range(start, start + step), _numbers(values), here.tolist(), strict=False
                            )
                            if seen
                        ).encode()
                    )
            if on_progress is not None:
                on_progress(1)
        if never.any():
            raise TrainmapError(
                f"{never.sum()} examples were seen in no epoch (first: {some(dynamics.ids[never][:4].tolist())}); the "
                "format has no place for them: nothing was written"
            )
    return target


def _numbers(logits: Array) -> Iterator[str]:
    """The logits of each example as JSON numbers of nine significant digits, which name one float32."""
    form = ", ".join(["%.9g"] * logits.shape[1])
    logits = np.where(logits == -np.inf, np.finfo(np.float32).min, logits)
    texts = (form % tuple(row) for row in logits.tolist())
    if (np.signbit(logits) & (logits == 0)).any():  # Python's json reads -0 as the integer 0
        return (re.sub(r"(?<![\d.e-])-0(?![\d.])", "-0.0", text) for text in texts)
    return texts
