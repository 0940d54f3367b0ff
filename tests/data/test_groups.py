"""What an example belongs to is told by its id, in every part and every subset."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trainmap.data import LeaveOut, Limit, load_splits
from trainmap.errors import TrainmapError

CITIES = ("Graz", "Linz", "Wels")


@pytest.fixture
def table(tmp_path: Path) -> Path:
    rows = range(60)
    frame = pl.DataFrame(
        {
            "id": [100 + 3 * (7 * row % 60) for row in rows],
            "label": [row % 2 for row in rows],
            "city": [CITIES[7 * row % 60 % 3] for row in rows],
            "age": [float(row) for row in rows],
        }
    )
    frame.write_parquet(tmp_path / "people.parquet")
    texts = frame.with_columns(text=pl.format("word {}", "age")).with_columns(
        city=pl.when(pl.col("age") < 3).then(None).otherwise("city")
    )
    texts.write_parquet(tmp_path / "letters.parquet")
    return tmp_path


def city(ids: np.ndarray) -> list[str]:
    return [CITIES[(one - 100) // 3 % 3] for one in ids.tolist()]


def test_groups_follow_the_ids_through_parts_limits_and_subsets(table: Path) -> None:
    splits = load_splits("people.parquet", table, limit=Limit(train=20))
    for part in (splits.train, splits.validation, splits.test):
        assert part.group("city").tolist() == city(part.ids)
    backwards = splits.train.subset(splits.train.ids[::-3])
    assert backwards.group("city").tolist() == city(backwards.ids)
    assert backwards.group("age").dtype == np.float64
    assert splits.fingerprint() == load_splits("people.parquet", table, limit=Limit(train=20)).fingerprint()


def test_a_column_that_was_left_out_by_is_still_a_group(table: Path) -> None:
    train = load_splits("people.parquet", table, left_out=LeaveOut("city", ("Graz",))).train
    assert set(train.group("city").tolist()) == {"Linz", "Wels"}


def test_columns_beside_texts_are_groups_and_may_have_nothing_in_a_row(table: Path) -> None:
    splits = load_splits("letters.parquet", table)
    told = [value for part in (splits.train, splits.validation, splits.test) for value in part.group("city").tolist()]
    assert told.count(None) == 3
    with pytest.raises(TrainmapError, match=r"unknown column of .* to group by 'citty'; did you mean 'city'\? Known: "):
        splits.train.group("citty")


def test_a_dataset_without_columns_says_which_have_some() -> None:
    with pytest.raises(TrainmapError, match="digits has no columns to group by; tables, texts with columns"):
        load_splits("digits").train.group("speaker")
