from __future__ import annotations

import gzip
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch
from sklearn.datasets import load_digits

from trainmap.data.dataset import Dataset, as_tensor, augment, load_splits, to_float
from trainmap.data.raw_rows import draw
from trainmap.data.sources import IDX_FILES
from trainmap.errors import TrainmapError

STARTS = {"mnist": [5, 0, 4, 1, 9, 2, 1, 3, 1, 4], "fashion-mnist": [9, 0, 0, 3, 0, 2, 7, 2, 5, 5]}


def made(n: int = 40, classes: int = 4, first_id: int = 100) -> Dataset:
    draws = np.random.default_rng(0)
    ids = np.arange(first_id, first_id + n, dtype=np.int64)
    return Dataset("made", ids, draws.integers(0, 256, (n, 1, 8, 8)).astype(np.uint8), ids % classes, classes)


def arrays(n: int = 50, shape: tuple[int, ...] = (28, 28), start: list[int] | None = None) -> dict[str, np.ndarray]:
    draws = np.random.default_rng(1)
    y = np.array([*(start or [0] * 10), *draws.integers(0, 10, n - 10)])
    return {
        "x_train": draws.integers(0, 256, (n, *shape)).astype(np.uint8),
        "y_train": y.astype(np.uint8),
        "x_test": draws.integers(0, 256, (20, *shape)).astype(np.uint8),
        "y_test": np.arange(20).astype(np.uint8) % 10,
    }


def savez(path: Path, **parts: Any) -> None:
    np.savez(path, allow_pickle=False, **parts)


def write_idx(folder: Path, parts: dict[str, np.ndarray], zipped: bool) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, array in zip(IDX_FILES, parts.values(), strict=True):
        raw = bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.tobytes()
        if zipped:
            (folder / f"{name}.gz").write_bytes(gzip.compress(raw))
        else:
            (folder / name).write_bytes(raw)


# --- digits and the split -----------------------------------------------------------------------------------------


def test_digits_have_three_disjoint_parts_that_cover_them() -> None:
    splits = load_splits("digits")
    ids = np.concatenate([part.ids for part in (splits.train, splits.validation, splits.test)])
    assert sorted(ids) == list(range(1797))
    assert (len(splits.train), len(splits.validation), len(splits.test)) == (1078, 270, 449)


def test_an_id_of_the_digits_is_its_row_in_scikit_learn_and_its_pixels_keep_their_17_levels() -> None:
    x, y = load_digits(return_X_y=True)
    for part in vars(load_splits("digits")).values():
        np.testing.assert_array_equal(part.y, y[part.ids])
        levels = np.unique(part.x)
        assert (len(levels), levels[0], levels[-1]) == (17, 0, 255)
        np.testing.assert_array_equal(np.searchsorted(levels, part.x.reshape(len(part), 64)), x[part.ids])


def test_the_seed_moves_the_validation_split_and_never_the_test_split() -> None:
    one, same, other = load_splits("digits", seed=1), load_splits("digits", seed=1), load_splits("digits", seed=2)
    np.testing.assert_array_equal(one.validation.ids, same.validation.ids)
    assert set(one.validation.ids) != set(other.validation.ids)
    np.testing.assert_array_equal(one.test.ids, other.test.ids)


def test_the_split_takes_from_each_class_in_proportion() -> None:
    splits = load_splits("digits", validation=0.3)
    rest = np.bincount(np.concatenate([splits.train.y, splits.validation.y]))
    assert np.abs(np.bincount(splits.validation.y) - 0.3 * rest).max() < 1
    assert len(splits.validation) == round(0.3 * rest.sum())


def test_the_split_depends_on_the_ids_and_not_on_the_order_of_the_rows() -> None:
    dataset, order = made(), np.random.default_rng(5).permutation(40)
    np.testing.assert_array_equal(
        draw(dataset.ids, dataset.y, 4, 0.3, seed=1), draw(dataset.ids[order], dataset.y[order], 4, 0.3, seed=1)
    )


def test_no_validation_split_leaves_everything_for_training() -> None:
    splits = load_splits("digits", validation=0)
    assert (len(splits.train), len(splits.validation)) == (1348, 0)


@pytest.mark.parametrize("validation", [-0.1, 1.0, float("nan")])
def test_a_validation_share_out_of_range_is_an_error(validation: float) -> None:
    with pytest.raises(TrainmapError, match="validation must be a fraction"):
        load_splits("digits", validation=validation)


# --- Dataset ------------------------------------------------------------------------------------------------------


def test_a_subset_has_its_rows_in_the_order_of_the_ids() -> None:
    subset = made().subset([120, 101, 139])
    np.testing.assert_array_equal(subset.ids, [120, 101, 139])
    np.testing.assert_array_equal(subset.x, made().x[[20, 1, 39]])
    np.testing.assert_array_equal(subset.y, made().y[[20, 1, 39]])


@pytest.mark.parametrize(
    ("ids", "message"),
    [([101, 99], "1 of 2 ids are not in made"), ([140], "first: 140"), ([101, 101], "unique"), ([1.5], "integers")],
)
def test_a_subset_of_strange_ids_is_an_error(ids: list[Any], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        made().subset(ids)


def test_an_empty_subset_is_a_dataset_that_has_no_ids() -> None:
    empty = made().subset([])
    assert len(empty) == 0
    with pytest.raises(TrainmapError, match="0 examples"):
        empty.subset([101])


def test_the_fingerprint_sees_every_part_and_not_the_order_of_the_rows() -> None:
    base = made()
    x = base.x.copy()
    x[3, 0, 0, 0] ^= 1
    y = base.y.copy()
    y[3] = (y[3] + 1) % 4
    others = [
        Dataset("made", base.ids + 1, base.x, base.y, 4),
        Dataset("made", base.ids, x, base.y, 4),
        Dataset("made", base.ids, base.x, y, 4),
        Dataset("made", base.ids, base.x, base.y, 5),
        base.subset(base.ids[:-1]),
    ]
    assert len({dataset.fingerprint() for dataset in [base, *others]}) == 6
    assert base.subset(base.ids[::-1]).fingerprint() == base.fingerprint()


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x": np.zeros((40, 8, 9), np.uint8)}, "channels, H, W"),
        ({"x": np.zeros((40, 1, 8, 8), np.float32)}, "uint8"),
        ({"x": np.zeros((39, 1, 8, 8), np.uint8)}, "same N"),
        ({"y": np.zeros(40, np.int32)}, "int64"),
        ({"y": np.full(40, 4)}, "0 to 3"),
        ({"y": np.full(40, -1)}, "0 to 3"),
        ({"ids": np.zeros(40, np.int64)}, "unique"),
    ],
)
def test_arrays_that_are_no_dataset_are_an_error(change: dict[str, np.ndarray], message: str) -> None:
    parts: dict[str, Any] = {"name": "made", "ids": made().ids, "x": made().x, "y": made().y, "classes": 4}
    with pytest.raises(TrainmapError, match=message):
        Dataset(**{**parts, **change})


# --- files --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("spelling", ["fashion_mnist.npz", "fashion-mnist.npz"])
def test_an_npz_file_in_the_data_root_is_found(tmp_path: Path, spelling: str) -> None:
    parts = arrays()
    savez(tmp_path / spelling, **parts)
    splits = load_splits("fashion-mnist", tmp_path, validation=0)
    np.testing.assert_array_equal(splits.train.x[:, 0], parts["x_train"])
    np.testing.assert_array_equal(splits.train.ids, np.arange(50))
    np.testing.assert_array_equal(splits.test.ids, np.arange(50, 70))
    np.testing.assert_array_equal(splits.test.y, parts["y_test"])


@pytest.mark.parametrize("zipped", [True, False])
@pytest.mark.parametrize("folder", ["mnist", "."])
def test_idx_files_are_found_in_the_data_root_and_in_its_folder(tmp_path: Path, folder: str, zipped: bool) -> None:
    parts = arrays(start=STARTS["mnist"])
    write_idx(tmp_path / folder, parts, zipped)
    splits = load_splits("mnist", tmp_path, validation=0)
    np.testing.assert_array_equal(splits.train.x[:, 0], parts["x_train"])
    np.testing.assert_array_equal(splits.test.y, parts["y_test"])


def test_the_files_of_one_dataset_are_not_taken_for_the_other(tmp_path: Path) -> None:
    write_idx(tmp_path, arrays(start=STARTS["fashion-mnist"]), zipped=True)
    with pytest.raises(TrainmapError, match="these files are fashion-mnist"):
        load_splits("mnist", tmp_path)


def test_a_path_to_an_npz_file_is_a_dataset_with_colour_images_in_either_order(tmp_path: Path) -> None:
    parts = arrays(shape=(12, 12, 3))
    savez(tmp_path / "last.npz", **parts)
    first = {name: array.transpose(0, 3, 1, 2) if array.ndim == 4 else array for name, array in parts.items()}
    savez(tmp_path / "first.npz", **first)
    one, other = (load_splits(str(tmp_path / f"{name}.npz")) for name in ("last", "first"))
    assert one.train.x.shape[1:] == (3, 12, 12)
    assert one.train.name == "last"
    assert one.train.classes == 10
    assert one.train.fingerprint() == other.train.fingerprint()


def test_a_path_to_a_file_may_be_one_under_the_data_root(tmp_path: Path) -> None:
    savez(tmp_path / "mine.npz", **arrays())
    pl.DataFrame({"text": ["good", "bad"] * 10, "label": [1, 0] * 10}).write_parquet(tmp_path / "texts.parquet")
    assert load_splits("mine.npz", tmp_path).train.name == "mine"
    assert load_splits("texts.parquet", tmp_path).train.inputs.form == "tokens"


@pytest.mark.parametrize("name", ["other.npz", "other.parquet", "other.parquet+embeddings"])
def test_a_file_that_is_nowhere_is_an_error_that_names_the_root(tmp_path: Path, name: str) -> None:
    with pytest.raises(
        TrainmapError, match=rf"^other\.\w+ is not there, nor under the data root {tmp_path}; a dataset is"
    ):
        load_splits(name, tmp_path)


def test_the_classes_of_an_npz_file_are_its_different_labels_in_their_order(tmp_path: Path) -> None:
    parts = arrays()
    tens = {name: y.astype(np.int64) * 10 + 5 if name.startswith("y") else y for name, y in parts.items()}
    savez(tmp_path / "plain.npz", **parts)
    savez(tmp_path / "tens.npz", **tens)
    splits, tenfold = (load_splits(str(tmp_path / f"{name}.npz"), validation=0) for name in ("plain", "tens"))
    assert tenfold.train.classes == 10
    np.testing.assert_array_equal(tenfold.test.y, parts["y_test"])
    assert tenfold.train.fingerprint() == splits.train.fingerprint()


def test_a_named_dataset_keeps_its_official_labels(tmp_path: Path) -> None:
    savez(tmp_path / "mnist.npz", **arrays() | {"y_train": np.full(50, 7), "y_test": np.full(20, 7)})
    train = load_splits("mnist", tmp_path).train
    assert (train.classes, set(train.y.tolist())) == (10, {7})


def test_labels_in_one_column_are_taken_as_they_are_meant(tmp_path: Path) -> None:
    parts = arrays(shape=(32, 32, 3))
    savez(tmp_path / "cifar10.npz", **(parts | {"y_train": parts["y_train"][:, None]}))
    np.testing.assert_array_equal(load_splits("cifar10", tmp_path, validation=0).train.y, parts["y_train"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"x_train": np.zeros((50, 28, 28), np.float32)}, "uint8"),
        ({"x_train": np.zeros((50, 784), np.uint8)}, "N, H, W"),
        ({"x_train": np.zeros((50, 27, 27), np.uint8)}, r"\(1, 28, 28\), got \(1, 27, 27\)"),
        ({"y_train": np.zeros(49, np.uint8)}, "same N"),
        ({"y_train": np.zeros((50, 2), np.uint8)}, "labels must be integers"),
        ({"y_train": np.zeros(50)}, "labels must be integers"),
        ({"y_test": np.full(20, 10)}, "0 to 9"),
    ],
)
def test_files_that_hold_something_else_are_an_error(
    tmp_path: Path, change: dict[str, np.ndarray], message: str
) -> None:
    savez(tmp_path / "mnist.npz", **(arrays() | change))
    with pytest.raises(TrainmapError, match=message):
        load_splits("mnist", tmp_path)


def test_an_npz_file_without_an_array_names_it(tmp_path: Path) -> None:
    parts = arrays()
    del parts["y_test"]
    savez(tmp_path / "mnist.npz", **parts)
    with pytest.raises(TrainmapError, match="missing: y_test"):
        load_splits("mnist", tmp_path)


@pytest.mark.parametrize("junk", [b"", b"PK\x03\x04 torn", b"no archive at all"])
def test_a_broken_npz_file_is_an_error(tmp_path: Path, junk: bytes) -> None:
    (tmp_path / "mnist.npz").write_bytes(junk)
    with pytest.raises(TrainmapError, match=r"not a readable \.npz"):
        load_splits("mnist", tmp_path)


def test_an_npz_file_of_python_objects_is_an_error(tmp_path: Path) -> None:
    whole = dict.fromkeys(("x_train", "y_train", "x_test", "y_test"), np.array([None]))
    np.savez(tmp_path / "mnist.npz", **whole)
    with pytest.raises(TrainmapError, match=r"'x_train' holds Python objects"):
        load_splits("mnist", tmp_path)


@pytest.mark.parametrize("keep", [2, 7, 1000])
def test_a_torn_idx_file_is_an_error(tmp_path: Path, keep: int) -> None:
    write_idx(tmp_path, arrays(start=STARTS["mnist"]), zipped=False)
    path = tmp_path / IDX_FILES[0]
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(TrainmapError, match=r"idx file|torn"):
        load_splits("mnist", tmp_path)


@pytest.mark.parametrize("torn", [lambda raw: raw[:1000], lambda raw: raw[:500] + bytes(500) + raw[1000:]])
def test_a_torn_gzip_file_is_an_error(tmp_path: Path, torn: Callable[[bytes], bytes]) -> None:
    write_idx(tmp_path, arrays(start=STARTS["mnist"]), zipped=True)
    path = tmp_path / f"{IDX_FILES[0]}.gz"
    path.write_bytes(torn(path.read_bytes()))
    with pytest.raises(TrainmapError, match="gzip"):
        load_splits("mnist", tmp_path)


def test_without_files_and_torchvision_the_error_says_what_would_do(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "torchvision.datasets", None)
    with pytest.raises(TrainmapError, match=r"cifar10\.npz .* or install torchvision"):
        load_splits("cifar10", tmp_path)
    with pytest.raises(TrainmapError, match="train-images-idx3-ubyte"):
        load_splits("mnist", tmp_path)


def test_a_failed_download_says_what_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(*_: Any, **__: Any) -> None:
        raise OSError("no network")

    monkeypatch.setitem(sys.modules, "torchvision.datasets", type(sys)("torchvision.datasets"))
    monkeypatch.setattr(sys.modules["torchvision.datasets"], "CIFAR100", fails, raising=False)
    with pytest.raises(TrainmapError, match=r"could not be downloaded \(no network\); put .*cifar100\.npz"):
        load_splits("cifar100", tmp_path)


def test_a_download_becomes_a_dataset(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    parts = arrays(shape=(32, 32, 3))

    class Reader:
        def __init__(self, root: Path, train: bool, download: bool) -> None:
            assert (root, download) == (tmp_path / "new", True)
            self.data = parts["x_train" if train else "x_test"]
            self.targets = parts["y_train" if train else "y_test"].tolist()

    monkeypatch.setitem(sys.modules, "torchvision.datasets", type(sys)("torchvision.datasets"))
    monkeypatch.setattr(sys.modules["torchvision.datasets"], "CIFAR10", Reader, raising=False)
    splits = load_splits("cifar10", tmp_path / "new", validation=0)
    np.testing.assert_array_equal(splits.train.x, parts["x_train"].transpose(0, 3, 1, 2))
    assert len(splits.test) == 20


def test_a_misspelt_dataset_names_the_nearest_and_a_missing_file_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="did you mean 'mnist'"):
        load_splits("mnits")
    with pytest.raises(TrainmapError, match="is not there"):
        load_splits(str(tmp_path / "none.npz"))


# --- tensors ------------------------------------------------------------------------------------------------------


def test_pixels_become_floats_of_about_unit_size() -> None:
    x = torch.tensor([[[[0, 255]]]], dtype=torch.uint8)
    np.testing.assert_allclose(to_float(x), [[[[-127.5 / 64, 127.5 / 64]]]])
    assert x.dtype == torch.uint8


def test_a_read_only_array_becomes_a_tensor_without_a_warning() -> None:
    array = np.arange(3)
    array.flags.writeable = False
    assert as_tensor(array, "cpu").tolist() == [0, 1, 2]


def test_flips_mirror_about_half_of_the_images_and_say_which() -> None:
    x = torch.arange(400 * 2 * 4).reshape(400, 2, 1, 4)
    out, flipped = augment(x, torch.Generator().manual_seed(0), flips=True, crop=0)
    assert torch.equal(out[flipped], x[flipped].flip(-1))
    assert torch.equal(out[~flipped], x[~flipped])
    assert 150 < flipped.sum() < 250


def test_a_crop_moves_each_image_by_itself_and_fills_with_zeros() -> None:
    x = torch.ones(300, 2, 3, 3, dtype=torch.uint8)
    x[:, 1] = 2
    x[:, :, 1, 1] += 6
    out, flipped = augment(x, torch.Generator().manual_seed(0), flips=False, crop=1)
    assert not flipped.any()
    assert torch.equal(out[:, 0] > 0, out[:, 1] > 0), "the channels of an image move together"
    places = {tuple(place) for place in (out[:, 0] == 7).nonzero()[:, 1:].tolist()}
    assert places == {(row, column) for row in range(3) for column in range(3)}
    assert set(out[:, 0].flatten().tolist()) == {0, 1, 7}


def test_augmentation_follows_from_its_own_generator_alone() -> None:
    x = torch.arange(50 * 16).reshape(50, 1, 4, 4)
    before = torch.get_rng_state()
    one, same, other = (augment(x, torch.Generator().manual_seed(s), flips=True, crop=2)[0] for s in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)
    assert torch.equal(torch.get_rng_state(), before)


def test_without_augmentation_the_images_stay() -> None:
    x = torch.arange(32).reshape(2, 1, 4, 4)
    out, flipped = augment(x, torch.Generator(), flips=False, crop=0)
    assert torch.equal(out, x)
    assert not flipped.any()
