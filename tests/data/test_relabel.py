"""Labels from a sheet: what a person decided becomes the training set's labels."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import trainmap as tm
from trainmap.data.dataset import load_splits
from trainmap.data.relabel import relabelled


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_sheet_relabels_drops_and_leaves_the_others(tmp_path: Path, suffix: str) -> None:
    train = load_splits("digits").train
    a, b, c, d, e = train.ids[[0, 5, 9, 20, 21]].tolist()
    decisions = ["relabel", "drop", "keep", "unsure", None]
    sheet = pl.DataFrame({"id": [e, d, c, b, a], "label": [7, 1, 1, 1, 7], "decision": decisions[::-1]})
    sheet.write_csv(tmp_path / "s.csv") if suffix == ".csv" else sheet.write_parquet(tmp_path / "s.parquet")
    made = relabelled(train, f"s{suffix}", tmp_path)
    assert len(made) == len(train) - 1
    assert b not in made.ids
    changed = made.ids[made.y != train.y[train.rows(made.ids)]]
    assert set(changed.tolist()) <= {a, e}
    assert made.y[made.rows([a, e])].tolist() == [7, 7]


def test_a_sheet_without_decisions_says_the_labels(tmp_path: Path) -> None:
    train = load_splits("digits").train
    pl.DataFrame({"id": train.ids[:3], "label": [9, 8, 7]}).write_csv(tmp_path / "s.csv")
    made = relabelled(train, str(tmp_path / "s.csv"), tmp_path)
    assert made.y[:3].tolist() == [9, 8, 7]
    np.testing.assert_array_equal(made.y[3:], train.y[3:])


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": [0], "klass": [1]}, "must have columns id and label, it lacks label"),
        ({"id": ["a"], "label": [1]}, "the column 'id' must hold whole numbers"),
        ({"id": [1, 1], "label": [1, 2]}, "each of them once"),
        ({"id": [10**6], "label": [1]}, "1 id of the sheet not among those of digits's training"),
        ({"label": [10]}, "labels of digits must be 0 to 9"),
        ({"label": [1], "decision": ["burn"]}, "unknown decision of s.csv 'burn'"),
    ],
)
def test_a_sheet_that_does_not_fit_is_told_in_one_line(
    tmp_path: Path, columns: dict[str, list[object]], message: str
) -> None:
    train = load_splits("digits").train
    pl.DataFrame({"id": [int(train.ids[0])]} | columns if "id" not in columns else columns).write_csv(
        tmp_path / "s.csv"
    )
    with pytest.raises(tm.TrainmapError, match=message):
        relabelled(train, "s.csv", tmp_path)
    with pytest.raises(tm.TrainmapError, match="is not there"):
        relabelled(train, "t.csv", tmp_path)
