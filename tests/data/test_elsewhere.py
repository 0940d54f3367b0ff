from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from trainmap.data.dataset import Dataset, load_splits
from trainmap.data.elsewhere import load_elsewhere, load_left_out, load_outside, load_pairs
from trainmap.data.leave_out import LeaveOut
from trainmap.errors import TrainmapError


def write_images(path: Path, size: int, labels: tuple[int, ...], colours: bool = False) -> np.ndarray:
    """Two grey images of each label, one to train on and one for testing: its brightness is 20 times the label."""
    x = np.repeat(np.array(labels, np.uint8) * 20, size * size).reshape(-1, size, size)
    x = np.stack([x, x, x], axis=-1) if colours else x
    np.savez(path, x_train=x, y_train=np.array(labels), x_test=x, y_test=np.array(labels))
    return x


def write_table(path: Path, **columns: Sequence[object]) -> None:
    pl.DataFrame(columns).write_parquet(path)


def test_images_come_in_the_size_and_channels_of_the_dataset(tmp_path: Path) -> None:
    write_images(tmp_path / "own.npz", 8, (0, 1, 2))
    write_images(tmp_path / "large.npz", 16, (0, 1, 2), colours=True)
    test = load_splits("own.npz", tmp_path).test
    found = load_elsewhere("large.npz", test, tmp_path)
    assert found.inputs == test.inputs
    assert found.ids.tolist() == [3, 4, 5]  # its test part
    np.testing.assert_array_equal(found.x, test.x)  # grey stays the grey that it was
    assert found.y.tolist() == [0, 1, 2]
    assert len(load_elsewhere("large.npz", test, tmp_path, part="all")) == 6
    coloured = load_splits("large.npz", tmp_path).test
    np.testing.assert_array_equal(load_elsewhere("own.npz", coloured, tmp_path).x, coloured.x)


def test_classes_are_matched_by_name_and_not_by_number(tmp_path: Path) -> None:
    rows = {"a": [0.0, 1.0, 2.0, 3.0], "split": ["train", "train", "test", "test"]}
    write_table(tmp_path / "own.parquet", label=["cat", "dog", "cat", "dog"], **rows)
    write_table(tmp_path / "other.parquet", label=["dog", "hound", "dog", "hound"], **rows)
    test = load_splits("own.parquet", tmp_path).test
    assert test.names == ("cat", "dog")
    with pytest.raises(TrainmapError, match=r"must be those of own \('cat', 'dog'\); 'hound' is not among them"):
        load_elsewhere("other.parquet", test, tmp_path)
    assert load_elsewhere("other.parquet", test, tmp_path, labels={"hound": "dog"}).y.tolist() == [1, 1]
    left = load_elsewhere("other.parquet", test, tmp_path, labels={"hound": None})
    assert (left.y.tolist(), left.ids.tolist()) == ([1], [2])
    for labels, message in (
        ({"wolf": "dog"}, "other has no class 'wolf'"),
        ({"hound": "wolf"}, "own has no class 'wolf'"),
        ({"hound": None, "dog": None}, "no examples in its part 'test'"),
    ):
        with pytest.raises(TrainmapError, match=message):
            load_elsewhere("other.parquet", test, tmp_path, labels=labels)


def test_a_table_is_encoded_by_what_the_training_part_taught(tmp_path: Path) -> None:
    split = ["train", "train", "test"]
    write_table(tmp_path / "own.parquet", a=[0.0, 2.0, 1.0], b=["x", "y", "x"], label=["0", "1", "0"], split=split)
    other = {"b": ["x", "z", "z"], "a": [10.0, 20.0, 3.0], "more": [1, 2, 3]}
    write_table(tmp_path / "other.parquet", **other, label=["0", "1", "1"], split=split)  # columns in another order
    test = load_splits("own.parquet", tmp_path, validation=0.0).test
    # (3 - 1) / 1 by the own mean and deviation; z is no word of the own training part
    np.testing.assert_allclose(load_elsewhere("other.parquet", test, tmp_path).x, [[2, 0, 0, 1]])
    write_table(tmp_path / "less.parquet", a=[1.0, 2.0, 3.0], label=["0", "1", "1"], split=split)
    write_table(tmp_path / "wrong.parquet", a=["1", "2", "3"], b=["x"] * 3, label=["0", "1", "1"], split=split)
    with pytest.raises(TrainmapError, match="less must have the columns of own; it lacks 'b'"):
        load_elsewhere("less.parquet", test, tmp_path)
    with pytest.raises(TrainmapError, match="wrong: the column 'a' must hold numbers as in own"):
        load_elsewhere("wrong.parquet", test, tmp_path)


def texts(tmp_path: Path) -> Dataset:
    rows = {"text": ["red red", "blue blue", "red"], "label": ["r", "b", "r"], "split": ["train", "train", "test"]}
    write_table(tmp_path / "own.parquet", **rows)
    return load_splits("own.parquet", tmp_path, validation=0.0).test


def test_texts_are_written_in_the_vocabulary_of_the_training_part(tmp_path: Path) -> None:
    test = texts(tmp_path)
    other = {"text": ["blue", "red pink and long"], "label": ["b", "r"], "split": ["test", "test"]}
    write_table(tmp_path / "other.parquet", **other)
    found = load_elsewhere("other.parquet", test, tmp_path)
    assert found.inputs == test.inputs
    assert found.x.tolist() == [[2, 0], [3, 1]]  # blue; red and an unknown word, cut to the length
    with pytest.raises(TrainmapError, match="own is made of texts, but wine is not"):
        load_outside("wine", test, tmp_path)
    unknown = Dataset("made", test.ids, test.x, test.y, 2, test.vocabulary, test.names)
    with pytest.raises(TrainmapError, match="how the texts of made became tokens is not known"):
        load_elsewhere("other.parquet", unknown, tmp_path)


def test_outliers_are_of_no_class_of_the_dataset(tmp_path: Path) -> None:
    write_images(tmp_path / "own.npz", 8, (0, 1))
    test = load_splits("own.npz", tmp_path).test
    write_images(tmp_path / "other.npz", 8, (0, 5))
    assert load_outside("other.npz", test, tmp_path).y.tolist() == [0, 0]  # numbers of two files are no names
    with pytest.raises(TrainmapError, match="own has no examples outside its own classes"):
        load_outside("own.npz", test, tmp_path)
    digits = load_splits("digits").test
    with pytest.raises(TrainmapError, match="usps is not there"):
        load_outside("usps", digits, tmp_path)
    x = np.zeros((20, 16, 16), np.uint8)
    y = np.arange(20) % 10
    np.savez(tmp_path / "usps.npz", x_train=x, y_train=y, x_test=x, y_test=y)
    with pytest.raises(TrainmapError, match=r"usps shares '0', '1', '2', .* with digits"):
        load_outside("usps", digits, tmp_path)
    assert load_elsewhere("usps", digits, tmp_path).inputs == digits.inputs


def test_what_is_left_out_is_in_no_split_and_its_column_is_no_feature(tmp_path: Path) -> None:
    rows = {
        "a": [float(number) for number in range(20)],
        "site": ["north", "south"] * 10,
        "label": ["0", "0", "1", "1"] * 5,
    }
    write_table(tmp_path / "own.parquet", **rows)
    what = LeaveOut("site", ("south",))
    splits = load_splits("own.parquet", tmp_path, left_out=what)
    out = load_left_out("own.parquet", what, splits.test, tmp_path)
    assert out.ids.tolist() == [*range(1, 20, 2)]
    parts = (splits.train, splits.validation, splits.test)
    assert sorted(np.concatenate([part.ids for part in parts]).tolist()) == [*range(0, 20, 2)]
    assert splits.train.inputs.shape == out.inputs.shape == (1,)
    for one, ids in ((LeaveOut("a", above=16.5), [17, 18, 19]), (LeaveOut("a", below=2.0), [0, 1])):
        rest = load_splits("own.parquet", tmp_path, left_out=one)
        assert load_left_out("own.parquet", one, rest.test, tmp_path).ids.tolist() == ids
        assert rest.train.inputs.shape == (3,)  # site: north, south, another word
    with pytest.raises(TrainmapError, match="above and below are of numbers"):
        load_splits("own.parquet", tmp_path, left_out=LeaveOut("site", above=1.0))
    with pytest.raises(TrainmapError, match="no example of own is left out by a"):
        load_splits("own.parquet", tmp_path, left_out=LeaveOut("a", above=99.0))
    with pytest.raises(TrainmapError, match="told by one of values, above and below"):
        LeaveOut("a", above=1.0, below=2.0)


def test_a_class_that_would_never_be_trained_on_cannot_be_left_out(tmp_path: Path) -> None:
    write_table(tmp_path / "own.parquet", a=[*range(9)], site=["x"] * 6 + ["y"] * 3, label=["0", "1"] * 3 + ["2"] * 3)
    with pytest.raises(TrainmapError, match=r"have no training examples when these are left out \('2'\)"):
        load_splits("own.parquet", tmp_path, left_out=LeaveOut("site", ("y",)))


def test_speakers_of_spoken_digits_are_a_group(tmp_path: Path) -> None:
    draw = np.random.default_rng(0)
    digits, takes, speakers = (part.ravel() for part in np.meshgrid([0, 1], range(10), [0, 1], indexing="ij"))
    sound = draw.integers(-1000, 1000, 40 * 2000).astype(np.int16)
    arrays = {"audio": sound, "offsets": np.arange(41) * 2000, "digit": digits, "take": takes, "rate": np.array(8000)}
    np.savez(tmp_path / "fsdd.npz", **arrays, speaker=speakers, speaker_names=np.array(["ada", "bob"]))
    what = LeaveOut("speaker", ("bob",))
    splits = load_splits("fsdd", tmp_path, left_out=what)
    assert len(load_left_out("fsdd", what, splits.test, tmp_path)) == 20
    assert len(splits.test) == 10  # takes 0 to 4 of the two digits by the speaker who is left
    assert set(splits.train.group("speaker").tolist()) == {"ada"}
    with pytest.raises(TrainmapError, match=r"unknown value of speaker 'bo'; did you mean 'bob'"):
        load_splits("fsdd", tmp_path, left_out=LeaveOut("speaker", ("bo",)))
    np.savez(tmp_path / "fsdd.npz", **arrays)
    with pytest.raises(TrainmapError, match="fsdd has no columns to leave out by"):
        load_splits("fsdd", tmp_path, left_out=what)
    np.savez(tmp_path / "fsdd.npz", **arrays, speaker=speakers + 1, speaker_names=np.array(["ada", "bob"]))
    with pytest.raises(TrainmapError, match="speaker must be"):
        load_splits("fsdd", tmp_path)


def test_revised_examples_name_the_examples_that_they_revise(tmp_path: Path) -> None:
    test = texts(tmp_path)
    revised = {"text": ["blue", "blue blue"], "label": ["b", "b"], "pair": [2, 2], "id": [7, 5]}
    write_table(tmp_path / "revised.parquet", **revised)
    pairs = load_pairs("revised.parquet", test, tmp_path)["revised"]
    assert (pairs.revised.ids.tolist(), pairs.of.tolist(), pairs.revised.y.tolist()) == ([5, 7], [2, 2], [0, 0])
    write_table(tmp_path / "revised.parquet", **revised | {"pair": [2, 9]})
    with pytest.raises(TrainmapError, match="1 of 2 ids are not in own"):
        load_pairs("revised.parquet", test, tmp_path)
    write_table(tmp_path / "revised.parquet", **revised | {"pair": ["2", "2"]})
    with pytest.raises(TrainmapError, match=r"need a column 'pair' .* got String"):
        load_pairs("revised.parquet", test, tmp_path)
    with pytest.raises(TrainmapError, match="own has no revised examples of its own"):
        load_pairs("own.parquet", test, tmp_path)
