"""Maps made from columns that a test has at hand."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainmap.dynamics.store import fingerprint
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import assign

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
