"""What may stand for a dataset, and what is said of what may not; numbers at the ends of float64."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainmap.data.dataset import load_splits
from trainmap.data.names import check_name
from trainmap.data.tables import learn_encoding
from trainmap.errors import TrainmapError
from trainmap.experiments.demo import plan_demo
from trainmap.experiments.file.teacher_sections import Subset
from trainmap.experiments.plan.rows import _by_name


@pytest.mark.parametrize("size", [1e-320, 1e-300, 1e-160, 1e-10, 1.0, 1e10, 1e150, 1e200, 1e300, 1e307])
@pytest.mark.parametrize("offset", [0.0, 3.0])
def test_a_column_of_any_size_is_standardised(size: float, offset: float) -> None:
    plain = np.random.default_rng(0).normal(size=200) + offset
    values = plain * size
    if size < 1e-308:  # fewer digits are kept there
        plain = values / size
    x = learn_encoding(pl.DataFrame({"c": values})).encode(pl.DataFrame({"c": values}))[:, 0]
    expected = (plain - plain.mean()) / plain.std()
    np.testing.assert_allclose(x, expected, rtol=1e-6 if size > 1e-308 else 1e-2, atol=1e-6 if size > 1e-308 else 1e-2)


def test_the_largest_numbers_of_both_signs_are_features_and_infinities_are_refused(tmp_path: Path) -> None:
    most = float(np.finfo(np.float64).max)
    frame = pl.DataFrame({"c": [most, -most] * 20, "d": list(range(0, 80, 2)), "label": [0, 1, 1, 0] * 10})
    frame.write_parquet(tmp_path / "t.parquet")
    x = load_splits("t.parquet", tmp_path, validation=0).train.x[:, 0]
    assert set(np.sign(x).tolist()) == {-1.0, 1.0}
    assert np.abs(x).max() < 1.2
    frame.with_columns(c=pl.Series([np.inf, 1.0] * 20)).write_parquet(tmp_path / "u.parquet")
    with pytest.raises(TrainmapError, match="'c' must have a finite value in every row, 20 of 40"):
        load_splits("u.parquet", tmp_path)


def test_a_path_may_stand_for_its_text(tmp_path: Path) -> None:
    pl.DataFrame({"c": [1.0, 2.0] * 20, "label": [0, 1] * 20}).write_parquet(tmp_path / "t.parquet")
    for name in (Path("t.parquet"), tmp_path / "t.parquet"):
        assert load_splits(name, tmp_path).fingerprint() == load_splits(str(name), str(tmp_path)).fingerprint()
    assert check_name(Path("t.parquet")) == "t.parquet"


@pytest.mark.parametrize(
    ("name", "got"),
    [(None, "None"), (3, "3"), (pl.DataFrame(), "a DataFrame"), (np.zeros(2), "a ndarray"), (b"digits", "a bytes")],
)
def test_what_is_no_name_is_refused_with_what_to_do(name: Any, got: str) -> None:
    with pytest.raises(
        TrainmapError, match=rf"or the path of a file or folder, got {got}; write a table to a .parquet"
    ):
        load_splits(name, ".")


def test_a_data_root_that_is_no_path_is_refused() -> None:
    with pytest.raises(TrainmapError, match="a path is needed, got a int"):
        load_splits("digits", 3)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("name", "cure"),
    [
        ("x.npy", "convert it to .parquet or .npz"),
        ("x.pkl", "convert it to .parquet or .npz"),
        ("x.arff", "convert it to .parquet or .npz"),
        ("x.parquet.gz", "convert it to .parquet or .npz"),
        ("x.strange", "convert it to .parquet or .npz"),
        ("x.PARQUET", "rename it to 'x.parquet'"),
        ("x.NPZ", "rename it to 'x.npz'"),
        ("x.CSV", "rename it to 'x.csv'"),
        ("x.json", "convert it: polars.read_json('x.json').write_parquet('x.parquet')"),
    ],
)
def test_a_file_of_another_kind_gets_its_own_cure(
    name: str, cure: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    Path(name).touch()
    with pytest.raises(TrainmapError, match=f"got {re.escape(name)}; {re.escape(cure)}$"):
        check_name(name)


@pytest.mark.parametrize("name", ["CIFAR10", "MNIST", "Digits", "Speech-Commands"])
def test_a_name_in_capitals_is_known_again(name: str) -> None:
    with pytest.raises(TrainmapError, match=f"did you mean '{name.lower()}'"):
        check_name(name)


def test_a_dataset_is_listed_once_and_a_folder_is_called_one(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="is not there") as error:
        load_splits("none.parquet", tmp_path)
    listed = str(error.value).rpartition("one of: ")[2].split(", ")
    assert len(listed) == len(set(listed))
    for name in ("spark.parquet", "x.npz"):
        (tmp_path / name).mkdir()
        with pytest.raises(TrainmapError, match=f"{name} is a folder, but must be one file; "):
            load_splits(name, tmp_path)


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["good", "bad"])])
def test_texts_of_few_kinds_are_texts(kind: Any, tmp_path: Path) -> None:
    frame = pl.DataFrame({"text": ["good", "bad"] * 20, "label": [1, 0] * 20})
    frame.write_parquet(tmp_path / "t.parquet")
    plain = load_splits("t.parquet", tmp_path).fingerprint()
    frame.with_columns(pl.col("text").cast(kind)).write_parquet(tmp_path / "t.parquet")
    assert load_splits("t.parquet", tmp_path).fingerprint() == plain
    frame.with_columns(text=1).write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TrainmapError, match="cast it to text"):
        load_splits("t.parquet", tmp_path)


@pytest.mark.parametrize("column", ["text", "c"])
def test_an_empty_table_says_that_it_has_no_rows(column: str, tmp_path: Path) -> None:
    frame = pl.DataFrame({column: ["a"], "label": ["b"]}).clear()
    frame.write_parquet(tmp_path / "t.parquet")
    with pytest.raises(TrainmapError, match=r"^t must have training examples, but has no rows at all; write some"):
        load_splits("t.parquet", tmp_path)


def test_a_student_of_a_demo_that_stands_twice_is_refused_before_any_work() -> None:
    with pytest.raises(TrainmapError, match=r"^students: 'cnn-8' stands twice; keep one of them$"):
        plan_demo("digits", students=["cnn-8", "linear", "cnn-8"])


@pytest.mark.parametrize("spec", ["33% ambiguous", "top 33% slope", "{percent} hard"])
def test_a_spec_in_the_place_of_a_name_is_told_how_to_be_one(spec: str) -> None:
    with pytest.raises(TrainmapError, match=re.escape(f'write {{spec: "{spec}"}}')):
        _by_name(Subset(key=spec), [0.33], 100, None)
