from __future__ import annotations

import datetime
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_wine
from sklearn.preprocessing import OneHotEncoder, StandardScaler

from trainmap.data.dataset import load_splits
from trainmap.data.tables import learn_encoding
from trainmap.errors import TrainmapError


def test_an_encoding_by_hand() -> None:
    train = pl.DataFrame({"age": [1, 3], "colour": ["red", "blue"], "same": [5.0, 5.0], "new": [True, False]})
    encoding = learn_encoding(train)
    names = ["age", "same", "colour=blue", "colour=red", "colour=?", "new=false", "new=true", "new=?"]
    assert encoding.names == names
    test = pl.DataFrame({"age": [4, 2], "colour": ["red", "green"], "same": [5.0, 6.0], "new": [True, True]})
    np.testing.assert_array_equal(encoding.encode(test), [[2, 0, 0, 1, 0, 0, 1, 0], [0, 1, 0, 0, 1, 0, 1, 0]])


def table(n: int = 60) -> pl.DataFrame:
    draws = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "age": draws.integers(18, 90, n),
            "hours": draws.normal(40, 9, n),
            "work": draws.choice(["private", "state", "none"], n),
            "sex": draws.choice(["f", "m"], n),
            "salary": draws.choice(["<=50K", ">50K"], n),
        }
    )


def test_a_table_is_encoded_as_scikit_learn_does_from_the_training_part_alone(tmp_path: Path) -> None:
    frame = table()
    (tmp_path / "adult").mkdir()
    frame.write_parquet(tmp_path / "adult" / "adult.parquet")
    splits = load_splits("adult", tmp_path)
    train = frame[splits.train.ids]
    numbers = StandardScaler().fit(train.select("age", "hours").to_numpy())
    words = OneHotEncoder(handle_unknown="ignore", sparse_output=False).fit(train.select("work", "sex").to_numpy())
    for part in vars(splits).values():
        rows = frame[part.ids]
        scaled: Any = numbers.transform(rows.select("age", "hours").to_numpy())
        hot: Any = words.transform(rows.select("work", "sex").to_numpy())
        np.testing.assert_allclose(part.x[:, :2], scaled, rtol=1e-5, atol=1e-6)
        np.testing.assert_array_equal(part.x[:, [2, 3, 4, 6, 7]], hot)
        assert not part.x[:, [5, 8]].any()
        assert part.y.tolist() == [int(label == ">50K") for label in rows["salary"]]


def test_a_category_that_was_never_trained_on_is_unknown(tmp_path: Path) -> None:
    path = tmp_path / "t.parquet"
    split = ["train", "train", "test"]
    pl.DataFrame({"c": ["a", "b", "z"], "label": [0, 1, 1], "split": split, "id": [7, 9, 8]}).write_parquet(path)
    splits = load_splits(str(path), validation=0)
    np.testing.assert_array_equal(splits.test.x, [[0, 0, 1]])
    assert splits.train.ids.tolist() == [7, 9]
    assert splits.test.ids.tolist() == [8]
    assert len(splits.validation) == 0


def test_labels_that_are_numbers_keep_their_order_and_one_that_is_missing_is_an_error(tmp_path: Path) -> None:
    labels = [11, 2, 10, 0, 1, 9, 3, 8, 4, 7, 5, 6]
    path = tmp_path / "t.parquet"
    pl.DataFrame({"c": labels, "label": labels}).write_parquet(path)
    splits = load_splits(str(path), validation=0)
    for part in vars(splits).values():
        assert [labels[row] for row in part.ids] == part.y.tolist()
    pl.DataFrame({"c": [1, 2], "label": [1.0, float("nan")]}).write_parquet(path)
    with pytest.raises(TrainmapError, match=r"1 have none .first: row 1"):
        load_splits(str(path))


@pytest.mark.parametrize("broken", [0.25, float("inf")])
def test_labels_are_classes_and_not_measurements(tmp_path: Path, broken: float) -> None:
    path, labels = tmp_path / "t.parquet", [3.0, 1.0, 3.0, 10.0] * 5
    pl.DataFrame({"c": range(20), "label": labels}).write_parquet(path)
    splits = load_splits(str(path), validation=0)
    assert splits.train.classes == 3
    assert splits.train.y.tolist() == [[1.0, 3.0, 10.0].index(labels[row]) for row in splits.train.ids]
    pl.DataFrame({"c": range(20), "label": [*labels[:-1], broken]}).write_parquet(path)
    with pytest.raises(TrainmapError, match=rf"1 of 20 are not whole \(first: {broken}\); regression is not supported"):
        load_splits(str(path))


@pytest.mark.parametrize(("ids", "got"), [(["a", "b"], "String with 0 missing"), ([7, None], "Int64 with 1 missing")])
def test_ids_of_a_table_are_integers_in_every_row(tmp_path: Path, ids: list[Any], got: str) -> None:
    pl.DataFrame({"c": [1, 2], "label": [0, 1], "id": ids}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TrainmapError, match=f"must hold an integer in every row, got {got}"):
        load_splits(str(tmp_path / "t.parquet"))


def test_a_column_that_was_constant_in_training_does_not_explode_in_the_test(tmp_path: Path) -> None:
    """The mean of seven times 0.1 is not 0.1, so their standard deviation is not 0."""
    values, path = [0.1] * 7, tmp_path / "t.parquet"
    assert np.std(values) > 0
    split = ["train"] * 7 + ["test"]
    pl.DataFrame({"c": [*values, 0.2], "label": [0, 1] * 4, "split": split}).write_parquet(path)
    assert load_splits(str(path), validation=0).test.x[0, 0] == pytest.approx(0.1)


def test_rows_may_stand_in_any_order(tmp_path: Path) -> None:
    frame = table().rename({"salary": "label"}).with_columns(id=pl.arange(100, 160))
    frame.write_parquet(tmp_path / "one.parquet")
    frame.sample(fraction=1, shuffle=True, seed=0).write_parquet(tmp_path / "other.parquet")
    one, other = load_splits(str(tmp_path / "one.parquet")), load_splits(str(tmp_path / "other.parquet"))
    for mine, theirs in zip(vars(one).values(), vars(other).values(), strict=True):
        np.testing.assert_array_equal(mine.ids, theirs.ids)
        np.testing.assert_allclose(mine.x, theirs.x, rtol=1e-5, atol=1e-6)


def test_the_tables_of_scikit_learn_keep_its_rows() -> None:
    splits = load_splits("wine")
    x, y = load_wine(return_X_y=True)
    scaled = StandardScaler().fit(x[splits.train.ids])  # type: ignore[index]
    for part in vars(splits).values():
        np.testing.assert_allclose(part.x, scaled.transform(x[part.ids]), rtol=1e-5, atol=1e-6)  # type: ignore[index]
        np.testing.assert_array_equal(part.y, y[part.ids])
    assert load_splits("breast-cancer").train.inputs.shape == (30,)


@pytest.mark.parametrize(
    ("column", "message"),
    [
        ([1.0, float("nan"), 2.0], r"'c' must have a finite value in every row, 1 of 3 .*first: row 1.*fill them in"),
        ([1.0, 2.0, float("inf")], "first: row 2"),
        ([1.0, None, 2.0], "1 of 3 have none"),
        (["a", None, "b"], "1 of 3 have none"),
        ([datetime.date(2026, 1, 1)] * 3, "must hold numbers, words or booleans, got Date"),
        ([None, None, None], "got Null"),
    ],
)
def test_values_that_are_missing_or_no_features_are_an_error(tmp_path: Path, column: list[Any], message: str) -> None:
    pl.DataFrame({"c": column, "label": [0, 1, 1]}, strict=False).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TrainmapError, match=message):
        load_splits(str(tmp_path / "t.parquet"))


def test_a_column_of_names_is_no_category(tmp_path: Path) -> None:
    names = [f"name {row}" for row in range(1001)]
    pl.DataFrame({"c": names, "label": [0] * 1001}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TrainmapError, match="1001 different words"):
        load_splits(str(tmp_path / "t.parquet"))


def test_a_table_without_labels_or_features_says_so(tmp_path: Path) -> None:
    pl.DataFrame({"c": [1]}).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TrainmapError, match=r"must be a column 'label', got 'c'"):
        load_splits(str(tmp_path / "t.parquet"))
    pl.DataFrame({"label": [1]}).write_parquet(tmp_path / "u.parquet")
    with pytest.raises(TrainmapError, match="must be a column of features"):
        load_splits(str(tmp_path / "u.parquet"))
