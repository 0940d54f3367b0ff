"""For all tests; recordings made from logits and maps made from columns that a test has at hand."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import settings

from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics, fingerprint
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import assign

settings.register_profile("trainmap", deadline=None)  # a busy machine is no failure
settings.load_profile("trainmap")

Record = Callable[..., Dynamics]
Random = Callable[..., Block]


@pytest.fixture(scope="module", autouse=True)
def fast_workers(request: pytest.FixtureRequest) -> Iterator[None]:
    """The grids of tests have workers that start in no time, but where workers themselves are tested."""
    if "SPAWNED" in vars(request.module):
        yield
        return
    from forked_workers import ForkedWorker
    from trainmap.experiments.runs import worker

    before, worker.SpawnProcess = worker.SpawnProcess, ForkedWorker  # type: ignore[misc]
    yield
    worker.SpawnProcess = before  # type: ignore[misc]


@pytest.fixture
def one_thread() -> Iterator[None]:
    """As in a worker: the last bit of a sum depends on the threads."""
    import torch  # which few of these tests need

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


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


MakeMap = Callable[..., DataMap]


@pytest.fixture(scope="session")
def make_map() -> MakeMap:
    """make_map(n, seed=0, ids=None, labels=None, order=None, rule=..., **columns): a map of n random examples."""

    def make_map(
        n: int,
        seed: int = 0,
        ids: Any = None,
        labels: Any = None,
        rule: Any = "quantile",
        **columns: Any,
    ) -> DataMap:
        generator = np.random.default_rng(seed)
        names = np.arange(n) if ids is None else np.asarray(ids)
        gold = generator.integers(0, 4, n) if labels is None else np.asarray(labels)
        values = {
            "confidence": generator.random(n),
            "variability": generator.random(n) / 2,
            "correctness": generator.integers(0, 6, n).astype(float),  # many ties
            "aum": generator.normal(0, 1, n),
            "slope": np.linspace(0.01, 0.05, n),
        }
        values |= {name: np.asarray(column, dtype=np.float64) for name, column in columns.items()}
        order = np.argsort(names)
        names, gold = names[order], gold[order]
        values = {name: column[order] for name, column in values.items()}
        region = assign(values["variability"], values["confidence"], 5, rule)
        table = pl.DataFrame(
            {
                "id": names.tolist(),
                "label": pl.Series(gold).set(pl.Series(gold) == -1, None),
                **values,
                "region": pl.Series(region.tolist(), dtype=pl.String),
            }
        )
        return DataMap(table, 5, rule, 1 / 3, "train", fingerprint(names, gold))

    return make_map
