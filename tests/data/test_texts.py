from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from trainmap.data.dataset import load_out_of_scope, load_splits
from trainmap.data.texts import Vocabulary, embeddings, minilm, vocabulary, words
from trainmap.errors import TrainmapError


def write_texts(path: Path, **columns: Any) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pl.DataFrame(columns).write_parquet(path)


def test_words_are_lower_case_with_inner_apostrophes_and_single_marks() -> None:
    assert words("Don't stop, Zoë!! 3.5%") == ["don't", "stop", ",", "zoë", "!", "!", "3", ".", "5", "%"]
    assert words("  \n") == []


def test_a_vocabulary_by_hand() -> None:
    made = vocabulary(["b a", "b a a c", "d"], least=2)
    assert made == Vocabulary(("a", "b"), length=4)
    np.testing.assert_array_equal(
        made.encode(["a b", "c b", "", "a a a a b", "B!"]),
        [[2, 3, 0, 0], [1, 3, 0, 0], [1, 0, 0, 0], [2, 2, 2, 2], [3, 1, 0, 0]],
    )
    assert len(made) == 4


def test_a_vocabulary_keeps_the_most_frequent_words_and_equals_in_alphabetical_order() -> None:
    assert vocabulary(["z z z b a b a c"], least=1, largest=3).words == ("z", "a", "b")
    assert vocabulary(["a " * 500]).length == 128
    assert vocabulary([""]) == Vocabulary((), 1)


def test_the_vocabulary_is_made_of_the_training_part_alone(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    write_texts(
        path,
        text=["one one", "two two", "three three three", "four four four four"],
        label=["x", "y", "x", "y"],
        split=["train", "train", "dev", "test"],
    )
    splits = load_splits(str(path))
    assert splits.train.vocabulary == 4  # padding, unknown, one, two
    np.testing.assert_array_equal(splits.train.x, [[2, 2], [3, 3]])
    np.testing.assert_array_equal(splits.validation.x, [[1, 1]])
    np.testing.assert_array_equal(splits.test.x, [[1, 1]])
    assert [part.ids.tolist() for part in vars(splits).values()] == [[0, 1], [2], [3]]
    assert splits.train.inputs == splits.test.inputs


def test_a_class_missing_from_a_part_is_still_a_class(tmp_path: Path) -> None:
    path = tmp_path / "made.parquet"
    write_texts(path, text=["a", "b", "c"], label=["x", "y", "z"], split=["train", "validation", "test"])
    splits = load_splits(str(path))
    assert [part.classes for part in vars(splits).values()] == [3, 3, 3]
    assert [part.y.tolist() for part in vars(splits).values()] == [[0], [1], [2]]


def test_texts_without_parts_get_a_fixed_test_and_a_drawn_validation_split(tmp_path: Path) -> None:
    path = tmp_path / "sms.parquet"
    labels = ["ham", "spam"] * 50
    write_texts(path, text=[f"text {row}" for row in range(100)], label=labels, split=["all"] * 100)
    one, other = load_splits(str(path), seed=1), load_splits(str(path), seed=2)
    assert [len(part) for part in vars(one).values()] == [64, 16, 20]
    assert np.bincount(one.test.y).tolist() == [10, 10]
    np.testing.assert_array_equal(one.test.ids, other.test.ids)
    assert set(one.validation.ids) != set(other.validation.ids)


def clinc(root: Path) -> None:
    write_texts(
        root / "clinc150" / "clinc150.parquet",
        text=["what", "pay my bill", "pay my card", "sing", "play a song", "who", "pay", "song", "why"],
        label=["oos", "bill", "bill", "song", "song", "oos", "bill", "song", "oos"],
        is_oos=[True, False, False, False, False, True, False, False, True],
        split=["train", "train", "train", "train", "val", "val", "test", "test", "test"],
    )


def test_out_of_scope_texts_are_kept_apart_and_encoded_alike(tmp_path: Path) -> None:
    clinc(tmp_path)
    inside, outside = load_splits("clinc150", tmp_path), load_out_of_scope("clinc150", tmp_path)
    assert [part.ids.tolist() for part in vars(inside).values()] == [[1, 2, 3], [4], [6, 7]]
    assert [part.ids.tolist() for part in vars(outside).values()] == [[0], [5], [8]]
    assert [part.classes for part in vars(inside).values()] == [2, 2, 2]
    assert [part.classes for part in vars(outside).values()] == [1, 1, 1]
    assert inside.train.inputs == outside.test.inputs
    assert inside.train.vocabulary == 4  # "pay" and "my" stand twice in the training part, nothing else does


def test_a_dataset_without_out_of_scope_texts_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="no examples outside its classes"):
        load_out_of_scope("wine")


def test_embeddings_are_computed_once_and_kept_by_their_texts(tmp_path: Path) -> None:
    calls: list[int] = []

    def embed(texts: object) -> np.ndarray:
        calls.append(1)
        return np.ones((len(list(texts)), 3), np.float32)  # type: ignore[call-overload]

    for texts, count in ((["a", "b"], 1), (["a", "b"], 1), (["a", "c"], 2)):
        x, size = embeddings(texts, tmp_path / "kept", embed, "ones")(np.arange(2))
        assert (x.shape, x.dtype, size, len(calls)) == ((2, 3), np.float32, 0, count)


def test_embeddings_need_texts(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="wine has none"):
        load_splits("wine+embeddings", tmp_path)


@pytest.mark.slow
@pytest.mark.filterwarnings("default")  # of the libraries that load the model
def test_frozen_sentence_embeddings_know_what_is_alike(tmp_path: Path) -> None:
    a, b, c = minilm(["play a song", "put on some music", "what is my account balance"])
    assert a.shape == (384,)
    np.testing.assert_allclose(np.linalg.norm([a, b, c], axis=1), 1, rtol=1e-5)
    assert a @ b > 2 * (a @ c)
    clinc(tmp_path)
    splits = load_splits("clinc150+embeddings", tmp_path)
    assert (splits.train.name, splits.train.x.shape) == ("clinc150+embeddings", (3, 384))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"text": ["a", None]}, "a text in every row.*1 missing"),
        ({"text": [1, 2]}, "a text in every row"),
        ({"label": ["x", None]}, "must have a label, 1 have none .first: row 1"),
        ({"split": ["train", "later"]}, "split must be one of .*got 'later'"),
        ({"split": ["test", "test"]}, "must have training examples"),
        ({"id": [5, 5]}, "ids must be unique"),
        ({"id": ["a", "b"]}, "'id' must hold an integer in every row"),
    ],
)
def test_a_file_of_texts_that_cannot_be_used_is_an_error(tmp_path: Path, change: dict[str, Any], message: str) -> None:
    columns: dict[str, Any] = {"text": ["a", "b"], "label": ["x", "y"], "split": ["train", "test"]}
    write_texts(tmp_path / "made.parquet", **(columns | change))
    with pytest.raises(TrainmapError, match=message):
        load_splits(str(tmp_path / "made.parquet"))


def test_a_text_dataset_that_is_not_there_says_where_it_belongs(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"sst2 is not there: put .*sst2\.parquet"):
        load_splits("sst2", tmp_path)
    (tmp_path / "sst2.parquet").write_bytes(b"no")
    with pytest.raises(TrainmapError, match=r"sst2\.parquet is not a readable Parquet file"):
        load_splits("sst2", tmp_path)
