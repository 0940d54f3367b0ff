"""Whatever a user calls the data, the example behind an id is the right one; and nothing outside is read."""

from __future__ import annotations

import io
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from PIL import Image

import trainmap as tm
from trainmap.explorer import Shown, examples_of, to_shown
from trainmap.explorer.encoded import Medium, small
from trainmap.explorer.example_sources import own_paths

NUMBERS = np.arange(6)


def picture(level: int, form: str = "PNG", size: int = 8) -> bytes:
    out = io.BytesIO()
    Image.new("L", (size, size), level).save(out, form)
    return out.getvalue()


def level(shown: Shown) -> int:
    """The grey of a picture that is one grey."""
    return int(np.asarray(Image.open(io.BytesIO(shown.media[0].content)).convert("L"))[0, 0])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six pictures in two classes; the grey of each is 10 times its place."""
    for number in range(6):
        path = tmp_path / "pets" / ("cat" if number < 3 else "dog") / f"{number}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(picture(10 * number))
    return tmp_path / "pets"


def names(folder: Path) -> np.ndarray:
    return np.array(sorted(str(path.relative_to(folder)) for path in folder.rglob("*.png")))


def ways(folder: Path) -> dict[str, tuple[Any, np.ndarray]]:
    """One and the same data under many names, and the ids of its six examples."""
    paths = sorted(folder.rglob("*.png"))
    table = pl.DataFrame(
        {"id": [5, 4, 3, 2, 1, 0], "path": [f"pets/{one.parent.name}/{one.name}" for one in paths[::-1]]}
    )
    table.write_csv(folder.parent / "table.csv")
    table.write_ndjson(folder.parent / "table.jsonl")
    stored = table.with_columns(image=pl.Series([{"bytes": one.read_bytes(), "path": None} for one in paths[::-1]]))
    stored.drop("path").write_parquet(folder.parent / "table.parquet", row_group_size=2)
    pixels = np.full((6, 8, 8), 10 * np.arange(6)[:, None, None], np.uint8)
    return {
        "a folder, ids are places": (folder, NUMBERS),
        "folder: in words": (f"folder:{folder}", NUMBERS),
        "a folder, ids are paths in it": (folder, names(folder)),
        "a list of paths": ([str(one) for one in paths], NUMBERS),
        "a list of paths that are the ids": ([str(one) for one in paths], np.array([str(one) for one in paths])),
        "a CSV with paths": (folder.parent / "table.csv", NUMBERS),
        "JSON lines with paths": (str(folder.parent / "table.jsonl"), NUMBERS),
        "a Parquet file with bytes": (folder.parent / "table.parquet", NUMBERS),
        "an array": (pixels, NUMBERS),
        "an array as networks have it": (np.repeat(pixels[:, None], 3, axis=1), NUMBERS),
        "a torch dataset": ([(one, 0) for one in pixels], NUMBERS),
        "a dict": ({number: Image.fromarray(one) for number, one in enumerate(pixels)}, NUMBERS),
        "a function": (lambda key: paths[key], NUMBERS),
    }


@pytest.mark.parametrize("way", [
    "a folder, ids are places", "folder: in words", "a folder, ids are paths in it", "a list of paths",
    "a list of paths that are the ids", "a CSV with paths", "JSON lines with paths", "a Parquet file with bytes",
    "an array", "an array as networks have it", "a torch dataset", "a dict", "a function",
])  # fmt: skip
def test_the_example_behind_an_id_is_the_right_one(way: str, folder: Path) -> None:
    data, ids = ways(folder)[way]
    examples = examples_of(data, ids)
    assert [level(examples.of(one)) for one in ids] == [0, 10, 20, 30, 40, 50]


def test_a_hugging_face_dataset_is_read_row_by_row_in_hand_and_from_a_folder(folder: Path) -> None:
    datasets = pytest.importorskip("datasets")
    paths = sorted(folder.rglob("*.png"))
    features = datasets.Features(image=datasets.Image(), label=datasets.ClassLabel(names=["cat", "dog"]))
    made = datasets.Dataset.from_dict(
        {"image": [str(one) for one in paths], "label": [0, 0, 0, 1, 1, 1]}, features=features
    )
    made.save_to_disk(str(folder.parent / "saved"))
    for data in (made, str(folder.parent / "saved"), f"hf:{folder.parent / 'saved'}"):
        examples = examples_of(data, NUMBERS)
        assert [level(examples.of(one)) for one in NUMBERS] == [0, 10, 20, 30, 40, 50]
        assert examples.class_names == ("cat", "dog")


def test_named_datasets_show_pictures_texts_rows_and_sounds(tmp_path: Path) -> None:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    digits = examples_of("digits", np.array([1796]))
    pixels = np.asarray(Image.open(io.BytesIO(digits.of(1796).media[0].content)))
    np.testing.assert_array_equal(pixels, bunch.images[1796].astype(int) * 255 // 16)
    row = examples_of("breast-cancer", np.array([3])).of(3)
    assert len(row.fields) == 30
    assert not row.media
    texts = pl.DataFrame({"id": [7, 9], "text": ["good <b>film</b>", "bad film"], "label": ["pos", "neg"]})
    texts.write_parquet(tmp_path / "films.parquet")
    assert examples_of("films.parquet", np.array([7]), tmp_path).of(7).text == "good <b>film</b>"
    audio = np.arange(3000, dtype=np.int16)
    np.savez(
        tmp_path / "fsdd.npz", audio=audio, offsets=np.array([0, 1000, 3000]), digit=np.array([1, 2]),
        take=np.array([5, 6]), rate=np.array(8000),
    )  # fmt: skip
    sound = examples_of("fsdd", np.array([0, 1]), tmp_path).of(1)
    assert [one.kind for one in sound.media] == ["audio", "image"]
    assert sound.media[0].content[44:] == audio[1000:].astype("<i2").tobytes()


def test_the_name_of_a_dataset_comes_before_a_folder_that_is_called_so(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "digits").mkdir()
    assert examples_of("digits", np.array([3])).of(3).media


def test_ids_that_are_paths_in_the_working_folder_need_no_data(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    found = own_paths(names(folder))
    assert found is not None
    assert level(found.of("dog/4.png")) == 40
    assert own_paths(np.array(["nowhere.png"])) is None
    assert own_paths(NUMBERS) is None
    monkeypatch.chdir(folder.parent)
    assert own_paths(np.array([str(folder / "dog/4.png")])) is None  # elsewhere by a whole path: say where the data is


@pytest.mark.parametrize("key", ["../secret.txt", "dog/../../secret.txt", "link.txt", "inner/secret.txt", "{whole}"])
def test_no_file_outside_the_folder_is_read(folder: Path, key: str) -> None:
    (folder.parent / "secret.txt").write_text("secret")
    os.symlink(folder.parent / "secret.txt", folder / "link.txt")
    os.symlink(folder.parent, folder / "inner")
    examples = examples_of(folder, np.array(["cat/0.png"]))
    with pytest.raises(tm.TrainmapError, match="lies outside"):
        examples.of(key.format(whole=folder.parent / "secret.txt"))


def test_a_table_leads_to_no_file_outside_its_folder(folder: Path) -> None:
    (folder.parent / "secret.png").write_bytes(picture(99))
    pl.DataFrame({"id": [0, 1], "path": ["../secret.png", "cat/0.png"]}).write_csv(folder / "table.csv")
    examples = examples_of(folder / "table.csv", np.array([0, 1]))
    assert level(examples.of(1)) == 0
    with pytest.raises(tm.TrainmapError, match="lies outside"):
        examples.of(0)


WRONG: dict[str, tuple[Callable[[Path], Any], np.ndarray, str]] = {
    "a number": (lambda folder: 3, NUMBERS, "data must be the name of a dataset"),
    "an unknown name": (lambda folder: "digitz", NUMBERS, "unknown dataset 'digitz'; did you mean 'digits'"),
    "a folder that is too small": (lambda folder: folder, np.arange(7), "has 6 images, ids 0 to 5, but .* id 6"),
    "a list that is too small": (lambda folder: ["a", "b"], np.arange(3), "ids 0 to 1, but this map has ids 0 to 2"),
    "texts for whole numbers": (lambda folder: folder, np.array(["no.png"]), "no file no.png in .*pets"),
    "ids of something else": (
        lambda folder: "digits",
        np.array([-3, -2]),
        "none of the 2 ids .* is in digits",
    ),
    "a list for names": (lambda folder: ["a"], np.array(["x", "y"]), "the ids of this map are texts"),
}


@pytest.mark.parametrize("what", WRONG)
def test_data_that_does_not_fit_is_told_in_one_line(what: str, folder: Path) -> None:
    make, ids, message = WRONG[what]
    with pytest.raises(tm.TrainmapError, match=message) as caught:
        examples_of(make(folder), ids)
    assert "\n" not in str(caught.value)


def test_what_an_example_can_be() -> None:
    assert to_shown("a text").text == "a text"
    assert to_shown(None) == Shown()
    assert to_shown({"text": "t", "age": 3, "price": 0.5}) == Shown("t", (("age", "3"), ("price", "0.5")))
    assert to_shown(np.array([1.5, 2.0])).fields == (("0", "1.5"), ("1", "2"))
    assert to_shown(picture(3)).media[0].type == "image/png"
    assert to_shown(picture(3, "TIFF")).media[0].type == "image/png"
    assert to_shown(picture(3, "JPEG")).media[0].type == "image/jpeg"
    assert to_shown((np.zeros(800, np.float32), 8000)).media[0].type == "audio/wav"
    assert to_shown({"sound": {"array": np.zeros(800), "sampling_rate": 8000}}).media[0].kind == "audio"
    assert level(to_shown(np.full((3, 8, 8), 0.2, np.float32))) == 51
    assert to_shown("x" * 30_000).text.endswith("… (30,000 characters)")
    for wrong in (b"MZ no picture", object(), np.zeros((2, 2, 2, 2))):
        with pytest.raises(tm.TrainmapError, match=r"cannot be shown|neither a picture"):
            to_shown(wrong)


def test_loud_sounds_are_scaled_and_integers_are_as_they_are() -> None:
    loud = to_shown((np.array([0.0, 2.0, -1.0]), 8000)).media[0].content
    assert np.frombuffer(loud[44:], "<i2").tolist() == [0, 32767, -16384]
    plain = to_shown((np.array([0, 5, -7], np.int16), 8000)).media[0].content
    assert np.frombuffer(plain[44:], "<i2").tolist() == [0, 5, -7]


def test_a_small_picture_is_within_its_square_and_a_vector_picture_is_left() -> None:
    made = small(Medium(picture(7, size=500), "image/png"), 96)
    assert made is not None
    assert max(Image.open(io.BytesIO(made.content)).size) == 96
    assert small(Medium(b"<svg/>", "image/svg+xml"), 96) is None


@pytest.mark.parametrize("ids", [np.array(["007", "012"]), np.array([7, 12])])
def test_ids_of_a_text_file_are_found_as_they_were_recorded(ids: Any, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("id,text\n007,a\n012,b\n")
    found = examples_of(tmp_path / "t.csv", ids)
    assert [found.of(key).text for key in ids] == ["a", "b"]
