"""What the snippets take from the reader, as small as it goes: examples, a loader, a network, recordings."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

import trainmap as tm

CLASSES, WIDTH = 10, 8


def arrays(count: int = 300, seed: int = 0) -> tuple[Any, Any]:
    """x (count, 8) float32 about the centre of its class, y (count,) of ten classes."""
    generator = np.random.default_rng(seed)
    y = np.arange(count) % CLASSES
    centres = np.random.default_rng(0).normal(0, 2, (CLASSES, WIDTH))
    return (centres[y] + generator.normal(0, 1, (count, WIDTH))).astype(np.float32), y


class Examples:
    """A map-style dataset: item i is (id, x, y), or (x, y) where ids are not asked for."""

    def __init__(self, count: int = 300, ids: bool = True) -> None:
        self.x, self.y = arrays(count)
        self.ids = ids

    def __len__(self) -> int:
        return len(self.y)

    def __getitem__(self, place: int) -> tuple[Any, ...]:
        item = self.x[place], int(self.y[place])
        return (place, *item) if self.ids else item


def loader(count: int = 300, ids: bool = True, **how: Any) -> Any:
    from torch.utils.data import DataLoader

    examples: Any = Examples(count, ids)
    return DataLoader(examples, batch_size=50, shuffle=True, **how)


def network(outputs: int = CLASSES) -> Any:
    import torch

    torch.manual_seed(0)
    return torch.nn.Linear(WIDTH, outputs)


def logits_over(epochs: int, labels: Any, classes: int = CLASSES, seed: int = 0) -> Iterator[Any]:
    """(N, classes) for each epoch: most labels are learned, each at its own pace."""
    generator = np.random.default_rng(seed)
    skill = np.random.default_rng(0).normal(1.2, 1, len(labels))
    for epoch in range(epochs):
        logits = generator.normal(size=(len(labels), classes)).astype(np.float32)
        logits[np.arange(len(labels)), labels] += skill * (epoch + 1)
        yield logits


def record(
    path: str | Path,
    ids: Any = None,
    labels: Any = None,
    *,
    epochs: int = 6,
    classes: int = CLASSES,
    seed: int = 0,
    **how: Any,
) -> tm.Dynamics:
    """A recording with logits of 600 examples, or of those that are given."""
    labels = np.arange(600 if ids is None else len(ids)) % CLASSES if labels is None else np.asarray(labels)
    ids = np.arange(len(labels)) if ids is None else ids
    how = {"level": "logits", "overwrite": True, **how}
    with tm.Recorder(path, classes, ids, labels, **how) as recorder:
        for logits in logits_over(epochs, labels, classes, seed):
            recorder.update(ids, logits, labels)
            recorder.end_epoch()
    return tm.Dynamics.open(path)


def map_of(path: str | Path, ids: Any = None, labels: Any = None, **how: Any) -> tm.DataMap:
    """The map of such a recording."""
    return tm.DataMap.from_dynamics(record(path, ids, labels, **how))


def splits_of(name: str | Path = "digits") -> Any:
    from trainmap.data import load_splits

    return load_splits(name)


def built(model: str, inputs: Any, classes: int = CLASSES) -> Any:
    from trainmap.models.build import build

    return build(model, classes, inputs, 0)


def short_recipe(model: str, inputs: Any) -> Any:
    """One epoch."""
    from trainmap.training import default_recipe

    return default_recipe(model, "digits", 1, inputs)


def write_texts(path: str | Path, count: int = 600, labels: tuple[str, ...] = ("negative", "positive")) -> None:
    """Sentences of which one word tells the label; a tenth says nothing."""
    generator = np.random.default_rng(0)
    words = ["film", "plot", "scene", "actor", "story", "the", "a", "and", "very"]
    telling = {label: [f"{label[:3]}{number}" for number in range(8)] for label in labels}
    said = [labels[number % len(labels)] for number in range(count)]
    texts = [
        " ".join([*generator.choice(words, 5), *generator.choice(telling[label], int(generator.random() < 0.9))])
        for label in said
    ]
    pl.DataFrame({"text": texts, "label": said}).write_parquet(path)
