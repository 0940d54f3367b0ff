from __future__ import annotations

from pathlib import Path
from typing import Any

import datasets
import numpy as np
import pytest
from PIL import Image

from trainmap.data.dataset import load_splits
from trainmap.errors import TrainmapError

LABEL = datasets.ClassLabel(names=["bad", "good"])
TEXTS = datasets.Features({"text": datasets.Value("string"), "label": LABEL})
IMAGES = datasets.Features({"img": datasets.Image(), "label": LABEL})


def texts(n: int) -> datasets.Dataset:
    columns = {"text": [f"word {row % 3}" for row in range(n)], "label": [row % 2 for row in range(n)]}
    return datasets.Dataset.from_dict(columns, features=TEXTS)


def save(made: Any, path: Path) -> str:
    made.save_to_disk(str(path))
    return f"hf:{path}"


@pytest.fixture(autouse=True)
def _quiet() -> Any:
    datasets.disable_progress_bars()
    yield
    datasets.enable_progress_bars()


def test_saved_texts_keep_their_parts(tmp_path: Path) -> None:
    made = datasets.DatasetDict({"test": texts(4), "train": texts(10), "validation": texts(6)})
    splits = load_splits(save(made, tmp_path / "reviews"))
    assert [part.ids.tolist() for part in vars(splits).values()] == [
        list(range(10)),
        list(range(10, 16)),
        list(range(16, 20)),
    ]
    assert splits.train.name == "reviews"
    assert splits.train.y.tolist() == [0, 1] * 5
    assert splits.train.vocabulary == 6  # padding, unknown, word, 0, 1, 2
    np.testing.assert_array_equal(splits.test.x, splits.train.x[:4])


def test_saved_images_become_pixels_and_one_part_alone_is_split(tmp_path: Path) -> None:
    pictures = [Image.fromarray(np.full((9, 9, 3), row, np.uint8)) for row in range(20)]
    made = datasets.Dataset.from_dict({"img": pictures, "label": [row % 2 for row in range(20)]}, features=IMAGES)
    name = save(made, tmp_path / "pictures")
    splits = load_splits(name)
    assert [len(part) for part in vars(splits).values()] == [13, 3, 4]
    np.testing.assert_array_equal(splits.train.x[:, 1, 4, 4], splits.train.ids)
    assert load_splits(f"{name}@16").test.inputs.shape == (3, 16, 16)


@pytest.mark.parametrize("form", ["torch", "numpy", "arrow", "pandas", "polars"])
def test_the_format_that_a_dataset_was_saved_in_changes_nothing(tmp_path: Path, form: str) -> None:
    plain = load_splits(save(texts(20), tmp_path / "plain"))
    same = load_splits(save(texts(20).with_format(form, columns=["text"]), tmp_path / "same"))
    for one, other in zip(vars(plain).values(), vars(same).values(), strict=True):
        np.testing.assert_array_equal(one.x, other.x)
        np.testing.assert_array_equal(one.y, other.y)
    pictures = [Image.fromarray(np.full((9, 9, 3), row, np.uint8)) for row in range(20)]
    made = datasets.Dataset.from_dict({"img": pictures, "label": [row % 2 for row in range(20)]}, features=IMAGES)
    splits = load_splits(save(made.with_format(form), tmp_path / "pictures"))
    np.testing.assert_array_equal(splits.train.x[:, 1, 4, 4], splits.train.ids)


def test_a_dataset_without_one_label_column_is_an_error(tmp_path: Path) -> None:
    plain = datasets.Dataset.from_dict({"text": ["a"], "label": [1]})
    with pytest.raises(TrainmapError, match="one ClassLabel column, got none"):
        load_splits(save(plain, tmp_path / "plain"))
    two = datasets.Features({"text": datasets.Value("string"), "coarse": LABEL, "fine": LABEL})
    made = datasets.Dataset.from_dict({"text": ["a"], "coarse": [0], "fine": [1]}, features=two)
    with pytest.raises(TrainmapError, match="one ClassLabel column, got 'coarse', 'fine'; drop the others"):
        load_splits(save(made, tmp_path / "two"))


def test_rows_without_a_label_or_a_text_are_an_error(tmp_path: Path) -> None:
    hidden = datasets.Dataset.from_dict({"text": ["a", "b"], "label": [0, -1]}, features=TEXTS)
    with pytest.raises(TrainmapError, match="1 have none"):
        load_splits(save(hidden, tmp_path / "hidden"))
    empty = datasets.Dataset.from_dict({"text": ["a", None], "label": [0, 1]}, features=TEXTS)
    with pytest.raises(TrainmapError, match="'text' must hold a text in every row, 1 have none"):
        load_splits(save(empty, tmp_path / "empty"))


def test_a_dataset_without_a_training_part_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="must have a part 'train', got 'test'"):
        load_splits(save(datasets.DatasetDict({"test": texts(4)}), tmp_path / "made"))


def test_a_dataset_that_cannot_be_loaded_says_what_would_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(name: str) -> None:
        raise ConnectionError(f"no way to {name}")

    monkeypatch.setattr(datasets, "load_dataset", fails)
    with pytest.raises(TrainmapError, match=r"hf:owner/name could not be loaded \(no way to owner/name\); save it"):
        load_splits("hf:owner/name")
    (tmp_path / "folder").mkdir()
    with pytest.raises(TrainmapError, match="could not be loaded"):
        load_splits(f"hf:{tmp_path / 'folder'}")


def test_a_dataset_by_name_is_what_the_library_loads(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(datasets, "load_dataset", lambda name: datasets.DatasetDict({"train": texts(10)}))
    splits = load_splits("hf:owner/name", validation=0)
    assert (splits.train.name, len(splits.train), len(splits.test)) == ("name", 8, 2)
