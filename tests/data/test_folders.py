from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from trainmap.data.dataset import load_splits
from trainmap.data.image_folders import pixels
from trainmap.errors import TrainmapError


def picture(level: int, size: tuple[int, int] = (8, 8), mode: str = "L") -> Image.Image:
    array = np.full((*size, 3), level, np.uint8)
    array[:, :, 2] = 255 - level
    return Image.fromarray(array) if mode == "RGB" else Image.fromarray(array[:, :, 0])


def write(root: Path, *parts: str, each: int = 5, mode: str = "L") -> Path:
    for part in parts or (".",):
        for label, name in enumerate(("cat", "dog")):
            folder = root / part / name
            folder.mkdir(parents=True)
            for number in range(each):
                picture(100 * label + number, mode=mode).save(folder / f"{number}.png")
    return root


def test_a_folder_with_parts_keeps_them(tmp_path: Path) -> None:
    root = write(tmp_path / "pets", "train", "val", "test", each=2)
    for name in (str(root), f"folder:{root}"):
        splits = load_splits(name)
        assert [len(part) for part in vars(splits).values()] == [4, 4, 4]
        assert splits.train.name == "pets"
        assert splits.train.inputs.shape == (1, 8, 8)
        assert splits.train.y.tolist() == [0, 0, 1, 1]
        np.testing.assert_array_equal(splits.train.x[:, 0, 0, 0], [0, 1, 100, 101])


def test_class_folders_alone_give_a_fixed_fifth_for_testing(tmp_path: Path) -> None:
    root = write(tmp_path / "pets", each=10)
    one, other = load_splits(str(root), seed=1), load_splits(str(root), seed=2)
    assert [len(part) for part in vars(one).values()] == [13, 3, 4]
    assert np.bincount(one.test.y).tolist() == [2, 2]
    np.testing.assert_array_equal(one.test.ids, other.test.ids)


def test_colour_pictures_have_three_channels_and_grey_ones_beside_them_as_well(tmp_path: Path) -> None:
    x = pixels("made", [picture(10, mode="RGB"), picture(20)], None)
    assert x.shape == (2, 3, 8, 8)
    np.testing.assert_array_equal(x[:, :, 3, 3], [[10, 10, 245], [20, 20, 20]])


def test_pictures_are_scaled_by_the_shorter_side_and_cut_around_the_middle(tmp_path: Path) -> None:
    array = np.zeros((16, 32), np.uint8)
    array[:, 8:24] = 200
    x = pixels("made", [Image.fromarray(array), picture(7, (40, 20))], 8)
    assert x.shape == (2, 1, 8, 8)
    np.testing.assert_array_equal(x[0, 0, :, 2:6], 200)
    np.testing.assert_array_equal(x[1], 7)


@pytest.mark.parametrize("kind", [np.uint16, np.int32, np.float32])
def test_pictures_with_more_than_eight_bits_are_an_error_and_not_cut_off(kind: type) -> None:
    deep = Image.fromarray((np.arange(64).reshape(8, 8) * 1000).astype(kind))
    with pytest.raises(TrainmapError, match=r"8 bits a channel, got Pillow's mode [IF].*scale them"):
        pixels("made", [picture(1), deep], None)


def test_pictures_of_many_sizes_need_a_size_after_the_name(tmp_path: Path) -> None:
    root = write(tmp_path / "pets")
    picture(9, (10, 12)).save(root / "cat" / "wide.png")
    with pytest.raises(TrainmapError, match=r"one size, got 2 .*write @32 after"):
        load_splits(str(root))
    for name in (f"{root}@16", f"folder:{root}@16"):
        assert load_splits(name).train.inputs.shape == (1, 16, 16)


def test_pictures_higher_than_wide_stay_so(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / "tall" / name).mkdir(parents=True)
        for number in range(3):
            picture(number, (12, 9)).save(tmp_path / "tall" / name / f"{number}.png")
    assert load_splits(str(tmp_path / "tall"), validation=0).train.inputs.shape == (1, 12, 9)


def test_a_class_that_no_part_trains_is_an_error_and_one_missing_from_the_test_is_not(tmp_path: Path) -> None:
    root = write(tmp_path / "pets", "train", "test")
    (root / "train" / "bird").mkdir()
    picture(1).save(root / "train" / "bird" / "a.png")
    splits = load_splits(str(root), validation=0)
    assert (splits.test.classes, np.unique(splits.test.y).tolist()) == (3, [1, 2])
    (root / "test" / "fish").mkdir()
    picture(1).save(root / "test" / "fish" / "a.png")
    with pytest.raises(TrainmapError, match="every class must have training images; without: fish"):
        load_splits(str(root))


def test_folders_that_hold_no_images_or_broken_ones_say_so(tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match="is not a folder"):
        load_splits(f"folder:{tmp_path / 'none'}")
    (tmp_path / "empty").mkdir()
    with pytest.raises(TrainmapError, match="must hold a folder of images for each class"):
        load_splits(str(tmp_path / "empty"))
    root = write(tmp_path / "pets")
    (root / "cat" / "0.png").write_bytes(b"no image")
    with pytest.raises(TrainmapError, match=r"0\.png is not a readable image"):
        load_splits(str(root))
