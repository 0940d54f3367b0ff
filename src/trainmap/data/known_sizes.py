"""A named dataset as an outline: its sizes, classes and form are known facts, its files need not be there."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from trainmap.data.dataset import Dataset, Splits
from trainmap.data.raw_rows import PARTS, Limit, Rows, divide, limited
from trainmap.data.sources import DATASETS, files_of


def is_missing(name: str, root: str | Path) -> bool:
    """Whether a dataset would have to be downloaded, and its sizes are known without."""
    return name in DATASETS and bool(DATASETS[name].train) and not files_of(name, Path(root))


def outline(name: str, seed: int = 0, validation: float = 0.2, limit: Limit | None = None) -> Splits:
    """The splits of a dataset without its files: as many examples of each class in each part as ``load_splits`` gives,
    with the shape of its images, which are black. For plans and for measuring how fast a network is.

    Args:
        name: a key of ``DATASETS`` with official parts.
        seed, validation, limit: see ``load_splits``; which ids fall into which part is not that of the real dataset.
    """
    source = DATASETS[name]
    y = np.concatenate([np.repeat(np.arange(source.classes), counts) for counts in (source.train, source.test)])
    part = np.repeat(np.array(["train", "test"], "<U24"), [sum(source.train), sum(source.test)])
    image = np.zeros((source.channels, source.size, source.size), np.uint8)
    made = Rows(name, y, source.classes, part, lambda train: (image, 0), names=source.names)
    rows = divide(made, seed, validation)
    rows = limited(rows, limit)
    found = []
    for one in PARTS:
        ids = np.flatnonzero(rows.part == one)
        x = np.broadcast_to(image, (len(ids), *image.shape))
        found.append(Dataset(name, ids, x, rows.y[ids], rows.classes, names=rows.called))
    return Splits(*found)
