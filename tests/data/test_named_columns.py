"""Tables in text files, and names that say which column is what."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Any

import datasets
import numpy as np
import polars as pl
import pytest

from trainmap.data.column_roles import Roles
from trainmap.data.dataset import Splits, load_splits
from trainmap.data.names import check_name
from trainmap.errors import TrainmapError


def frame(n: int = 40) -> pl.DataFrame:
    draws = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "id": draws.permutation(n) + 100,
            "age": draws.integers(18, 90, n),
            "work": draws.choice(["private", "state"], n),
            "label": draws.choice(["no", "yes"], n),
        }
    )


def write(made: pl.DataFrame, path: Path) -> str:
    if path.suffix == ".parquet":
        made.write_parquet(path)
    elif path.suffix in (".csv", ".tsv"):
        made.write_csv(path, separator="," if path.suffix == ".csv" else "\t")
    else:
        made.write_ndjson(path)
    return path.name


def same(left: Splits, right: Splits) -> None:
    for one, other in zip(vars(left).values(), vars(right).values(), strict=True):
        assert one.ids.tolist() == other.ids.tolist()
        assert one.y.tolist() == other.y.tolist()
        np.testing.assert_array_equal(one.x, other.x)


@pytest.mark.parametrize("suffix", [".csv", ".tsv", ".jsonl", ".ndjson"])
def test_a_table_in_a_text_file_is_that_of_a_parquet_file(suffix: str, tmp_path: Path) -> None:
    expected = load_splits(write(frame(), tmp_path / "t.parquet"), tmp_path)
    same(load_splits(write(frame(), tmp_path / f"t{suffix}"), tmp_path), expected)


@pytest.mark.parametrize("suffix", [".parquet", ".csv", ".tsv", ".jsonl"])
def test_columns_of_other_names_are_said_in_the_name(suffix: str, tmp_path: Path) -> None:
    expected = load_splits(write(frame(), tmp_path / "t.parquet"), tmp_path)
    other = frame().rename({"label": "salary", "id": "row number"})
    name = write(other, tmp_path / f"u{suffix}")
    same(load_splits(f"{name}:label=salary,id=row number", tmp_path), expected)


def test_a_text_is_named_and_becomes_tokens(tmp_path: Path) -> None:
    texts = pl.DataFrame({"body": [f"word{n % 5}, and" for n in range(40)], "topic": ["a", "b"] * 20})
    name = write(texts, tmp_path / "t.csv")
    splits = load_splits(f"{name}:text=body,label=topic", tmp_path)
    same(splits, load_splits(write(texts.rename({"body": "text", "topic": "label"}), tmp_path / "u.csv"), tmp_path))
    assert splits.train.vocabulary > 5


def test_another_label_beside_the_one_that_is_named_is_no_feature(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    both = frame().with_columns(fine=pl.col("label").replace({"yes": "oui"}))
    name = write(both, tmp_path / "t.csv")
    with caplog.at_level(logging.WARNING, "trainmap"):
        splits = load_splits(f"{name}:label=fine", tmp_path)
    assert "t: left out 'label'; in its place is read 'fine'" in caplog.text
    assert splits.train.names == ("no", "oui")
    assert splits.train.x.shape[1] == 1 + 3  # age, and work in two words and an unknown one


def test_numbers_with_a_few_words_among_them_are_said_to_be_words(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    ages = frame()["age"].cast(pl.String).to_list()
    write(frame().with_columns(age=pl.Series([*ages[:-2], "NA", "NA"])), tmp_path / "t.csv")
    with caplog.at_level(logging.WARNING, "trainmap"):
        load_splits("t.csv", tmp_path)
    assert "column 'age' is read as words: 2 of 40 cells are no numbers ('NA')" in caplog.text


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("t.csv:lable=x", "unknown role of a column 'lable'; did you mean 'label'?"),
        ("t.csv:label=", "must name a column for each role: label=COLUMN"),
        ("t.csv:label=age,label=work", "names 'label' twice"),
        ("t.csv:label=age,id=age", "names 'age' twice"),
        ("t.csv:label=pay", "t: there must be a column 'pay' (the label), got 'id', 'age', 'work', 'label'"),
        ("digits:label=x", "columns are those of a table"),
        ("x.npz:label=y", "columns are those of a table"),
    ],
)
def test_a_role_that_cannot_be_is_refused(name: str, said: str, tmp_path: Path) -> None:
    write(frame(), tmp_path / "t.csv")
    with pytest.raises(TrainmapError) as error:
        load_splits(name, tmp_path)
    assert said in str(error.value)


@pytest.mark.parametrize("content", ["", "a,label\n1,x\n2\n", 'a,label\n"1,x\n', "a,a,label\n1,2,x\n", "a,label\n1,\n"])
def test_a_broken_text_table_is_one_line(content: str, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(TrainmapError) as error:
        load_splits("t.csv", tmp_path)
    assert "t" in str(error.value)
    assert "\n" not in str(error.value)


def test_bytes_that_are_no_utf8_are_refused(tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_bytes("a,label\nM\u00fcller,x\n".encode("latin-1"))
    with pytest.raises(TrainmapError, match=r"t\.csv"):
        load_splits("t.csv", tmp_path)


def test_names_are_taken_apart() -> None:
    assert Roles.of("t.csv") == Roles("t.csv", {})
    assert Roles.of("C:/data/t.csv:label=a b") == Roles("C:/data/t.csv", {"label": "a b"})
    assert Roles.of("hf:owner/name:text=q,text_pair=r") == Roles("hf:owner/name", {"text": "q", "text_pair": "r"})
    assert Roles.of("t.csv:label=a=b").columns == {"label": "a=b"}
    assert check_name("synthetic:wrong=0.2,seed=3") == "synthetic:wrong=0.2,seed=3"
    assert check_name("t.csv:text=body+embeddings") == "t.csv:text=body+embeddings"


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def test_columns_of_a_saved_hub_dataset_are_named(tmp_path: Path) -> None:
    columns = {
        "question": [f"q {n % 4}" for n in range(40)],
        "answer": [f"a {n % 3}" for n in range(40)],
        "stars": [1 + n % 3 for n in range(40)],
        "source": ["x", "y"] * 20,
    }
    datasets.Dataset.from_dict(columns).save_to_disk(str(tmp_path / "d"))
    splits = load_splits(f"hf:{tmp_path / 'd'}:label=stars,text=question,text_pair=answer", tmp_path)
    assert (splits.train.classes, splits.train.names) == (3, ("1", "2", "3"))
    assert load_splits(f"hf:{tmp_path / 'd'}:label=source,text=answer").train.names == ("x", "y")
    for name, said in (
        ("label=nix", "there must be a column 'nix'"),
        ("label=stars,text=stars", "names 'stars' twice"),
        ("label=source,text=stars", "column 'stars' must hold texts or images"),
        ("label=source,id=stars", "has columns of label, text and text_pair alone, got id="),
    ):
        with pytest.raises(TrainmapError, match=said):
            load_splits(f"hf:{tmp_path / 'd'}:{name}")
