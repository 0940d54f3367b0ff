"""The index of a pandas frame is no feature, however it comes into a file; what is left out is said."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import datasets
import numpy as np
import pandas as pd
import polars as pl
import pyarrow.parquet as pq
import pytest

from trainmap.data.dataset import load_splits
from trainmap.data.index_columns import index_names, pandas_index
from trainmap.data.tables import table_rows
from trainmap.errors import TrainmapError

N = 120


def adult_like() -> pd.DataFrame:
    """Sorted by label, so that a row number gives it away."""
    draws = np.random.default_rng(0)
    return pd.DataFrame(
        {
            "age": draws.integers(18, 90, N),
            "work": draws.choice(["private", "state"], N),
            "label": np.repeat(["<=50K", ">50K"], N // 2),
        }
    )


def shuffled(frame: pd.DataFrame) -> pd.DataFrame:
    return frame.sample(frac=1, random_state=0)


def pandas_file(change: Callable[[pd.DataFrame], pd.DataFrame]) -> Callable[[Path], None]:
    return lambda path: change(adult_like()).to_parquet(path)


def again_by_polars(path: Path) -> None:
    shuffled(adult_like()).to_parquet(path)
    pl.read_parquet(path).write_parquet(path)


def again_by_pyarrow(path: Path) -> None:
    shuffled(adult_like()).to_parquet(path)
    pq.write_table(pq.read_table(path).replace_schema_metadata(None), path)


def from_hugging_face(path: Path) -> None:
    datasets.Dataset.from_pandas(shuffled(adult_like())).to_parquet(path)


def from_csv(path: Path) -> None:
    shuffled(adult_like()).to_csv(path.with_suffix(".csv"))
    pd.read_csv(path.with_suffix(".csv")).to_parquet(path)


def from_csv_by_polars(path: Path) -> None:
    shuffled(adult_like()).to_csv(path.with_suffix(".csv"))
    pl.read_csv(path.with_suffix(".csv")).write_parquet(path)


def levels(frame: pd.DataFrame) -> pd.DataFrame:
    return shuffled(frame.set_index([pd.Index(range(N), name="person"), pd.Index(range(N))]))


FILES: dict[str, tuple[Callable[[Path], None], list[str]]] = {
    "without a name": (pandas_file(shuffled), ["__index_level_0__"]),
    "named": (pandas_file(lambda f: shuffled(f.rename_axis("person"))), ["person"]),
    "words": (pandas_file(lambda f: shuffled(f.set_index(f["work"] + f.index.astype(str)))), ["__index_level_0__"]),
    "several levels": (pandas_file(levels), ["person", "__index_level_1__"]),
    "named as a column": (pandas_file(lambda f: shuffled(f.rename_axis("age"))), ["__index_level_0__"]),
    "times": (pandas_file(lambda f: f.set_index(pd.date_range("2020", periods=N, name="when"))), ["when"]),
    "counting, a note in the file": (pandas_file(lambda f: f), []),
    "saved again by polars": (again_by_polars, ["__index_level_0__"]),
    "saved again by pyarrow": (again_by_pyarrow, ["__index_level_0__"]),
    "through Hugging Face": (from_hugging_face, ["__index_level_0__"]),
    "through CSV": (from_csv, ["Unnamed: 0"]),
    "through CSV by polars": (from_csv_by_polars, [""]),
}


@pytest.mark.parametrize("kind", FILES)
def test_an_index_is_no_feature_and_that_is_said(kind: str, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    datasets.disable_progress_bars()
    write, index = FILES[kind]
    write(tmp_path / "t.parquet")
    splits = load_splits(str(tmp_path / "t.parquet"))
    assert splits.train.inputs.shape == (4,), "age, and private, state and the unknown"
    said = [record.message for record in caplog.records if record.levelno == logging.WARNING]
    assert len(said) == bool(index)
    assert all(repr(name) in said[0] for name in index)
    if index:
        assert "left out" in said[0]
        assert "reset_index()" in said[0]


def test_an_index_that_is_asked_for_is_taken(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """Ids, labels and parts may be the index; what reset_index() made a column is one, and is looked at like any."""
    frame = adult_like()
    frame["part"] = "all"
    frame.set_index(["label", pd.Index(range(1000, 1000 + N), name="id"), "part"]).rename_axis(
        ["label", "id", "split"]
    ).to_parquet(tmp_path / "t.parquet")
    splits = load_splits(str(tmp_path / "t.parquet"))
    assert splits.train.ids.min() >= 1000
    adult_like().rename_axis("id").iloc[::2].to_parquet(tmp_path / "e.parquet")  # ids 0, 2, 4, ...: a note in the file
    even = load_splits(str(tmp_path / "e.parquet"), validation=0)
    assert sorted([*even.train.ids, *even.test.ids]) == list(range(0, N, 2))
    assert not caplog.records
    shuffled(adult_like()).reset_index().to_parquet(tmp_path / "r.parquet")
    assert load_splits(str(tmp_path / "r.parquet")).train.inputs.shape == (5,)
    (record,) = caplog.records
    assert "column 'index' may give the label away: sorted by it, the classes come one after another" in record.message


def test_texts_have_no_index_to_leave_out(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    frame = pd.DataFrame({"text": ["good", "bad"] * 20, "label": [1, 0] * 20})
    frame.sample(frac=1).to_parquet(tmp_path / "t.parquet")
    assert load_splits(str(tmp_path / "t.parquet")).train.inputs.form == "tokens"
    labels = datasets.Features({"text": datasets.Value("string"), "label": datasets.ClassLabel(names=["bad", "good"])})
    made = datasets.Dataset.from_dict({name: frame[name].tolist() for name in ("text", "label")}, features=labels)
    datasets.disable_progress_bars()
    made.rename_column("text", "review").add_column("__index_level_0__", [f"row {k}" for k in range(40)]).save_to_disk(
        str(tmp_path / "hf")
    )
    assert load_splits(f"hf:{tmp_path / 'hf'}").train.inputs.form == "tokens"
    assert not caplog.records


def test_a_table_that_is_nothing_but_an_index_and_foreign_notes_are_errors(tmp_path: Path) -> None:
    frame = pl.DataFrame({"__index_level_0__": range(4), "label": [0, 1, 0, 1]})
    with pytest.raises(TrainmapError, match="there must be a column of features beside label, id, split and"):
        table_rows("t", frame)
    counted = b'{"index_columns": [{"name": "id", "start": 0, "stop": %d, "step": 1}]}'
    wrong = (
        b"{",
        b"[]",
        b'{"index_columns": 5}',
        b"\xff",
        b"[" * 100_000,
        counted % 5,
        counted % 10**15,
        counted % 10**30,
    )
    for notes in wrong:
        table = pq.read_table(tmp_path / "t.parquet") if (tmp_path / "t.parquet").exists() else frame.to_arrow()
        pq.write_table(table.replace_schema_metadata({"pandas": notes}), tmp_path / "t.parquet")
        with pytest.raises(TrainmapError, match=r"t\.parquet is not a readable Parquet file"):
            load_splits(str(tmp_path / "t.parquet"))


def test_names_of_an_index(tmp_path: Path) -> None:
    names = ["__index_level_0__", "__index_level_12__", "Unnamed: 0", "Unnamed: 0_level_1", "", "index", "level_0"]
    assert index_names([*names, "Unnamed", "my__index_level_0__", "unnamed: 0 "]) == names[:5]
    adult_like().to_parquet(tmp_path / "t.parquet")
    assert pandas_index(str(tmp_path / "t.parquet")) == ([], None)
