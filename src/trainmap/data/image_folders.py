"""Pictures from anywhere, a folder of image files or a list of Pillow images, as pixels of one size."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps

from trainmap.data.raw_rows import PART_NAMES, Rows, label_numbers
from trainmap.errors import TrainmapError
from trainmap.files import is_dir, is_file, reading
from trainmap.limits import check_room

SUFFIXES = (".png", ".jpg", ".jpeg", ".bmp", ".gif", ".webp", ".tif", ".tiff", ".ppm", ".pgm")
GREY = ("1", "L", "LA")
logging.getLogger("PIL").addHandler(logging.NullHandler())  # what it cannot read it raises, too
MOST_PIXELS = 1 << 26
"""Of one picture, 8192 x 8192: what a compressed file of a few kB may unpack to is bounded by this."""
DEEP = ("I", "F")
"""How the modes begin whose values go beyond 255 (16 and 32 bits): Pillow would cut them off."""


def folder_rows(folder: Path, size: int | None = None) -> Rows:
    """A folder with a folder for each class, or with parts (``train``, ``test``, perhaps ``val``) that hold those.

    Ids count the files in the order of their paths, part by part. See ``rows.divide`` for parts that are missing.

    Args:
        folder: its name becomes the dataset's.
        size: height and width of the pictures; see ``pixels``.

    Raises:
        TrainmapError: no images, a file that cannot be read, a class that no part trains, or pictures of many sizes.
    """
    found = folder_files(folder)
    parts = any(part != folder for part, _ in found)
    labels = [path.relative_to(part).parts[0] for part, path in found]
    part = [PART_NAMES[part.name.lower()] if parts else "train" for part, _ in found]
    trained = {label for label, name in zip(labels, part, strict=True) if name == "train"}
    if untrained := sorted(set(labels) - trained):
        raise TrainmapError(f"{folder}: every class must have training images; without: {', '.join(untrained)}")
    y, names = label_numbers(folder.name, labels)
    x = pixels(folder.name, map(_open, (path for _, path in found)), size)
    return Rows(folder.name, y, len(names), np.array(part, "<U24"), lambda train: (x, 0), names=tuple(names))


def folder_files(folder: Path) -> list[tuple[Path, Path]]:
    """The files of a folder of images in the order of their ids, each behind the folder of its part.

    Raises:
        TrainmapError: no folder, or no images in it.
    """
    if not is_dir(folder):
        raise TrainmapError(
            f"{folder} is not a folder{', but a file' if is_file(folder) else ', nor under the data root'}"
        )
    parts = sorted(path for path in folder.iterdir() if path.is_dir() and path.name.lower() in PART_NAMES)
    found = [(part, path) for part in parts for path in _files(part)] or [(folder, path) for path in _files(folder)]
    if not found:
        raise TrainmapError(f"{folder} must hold a folder of images for each class ({', '.join(SUFFIXES)}), got none")
    return found


def pixels(name: str, pictures: Iterable[Image.Image], size: int | None) -> NDArray[np.uint8]:
    """Pictures → (N, channels, H, W) uint8: one channel when all of them are grey, else red, green and blue.

    Args:
        name: for the error.
        pictures: of any mode.
        size: scale the shorter side to this and cut the longer one around its middle; None to take the pictures as
            they are.

    Raises:
        TrainmapError: pictures of different sizes and no ``size``, or with more than 8 bits a channel.
    """
    arrays, total = [], 0
    for picture in pictures:
        arrays.append(_array(name, picture, size))
        check_room(name, total := total + arrays[-1].nbytes)
    if len(sizes := {array.shape[:2] for array in arrays}) > 1:
        raise TrainmapError(
            f"{name}: pictures must have one size, got {len(sizes)} ({min(sizes)} to {max(sizes)}); write @32 after "
            "the name to scale them to 32 x 32"
        )
    if all(array.ndim == 2 for array in arrays):
        return np.stack(arrays)[:, None]
    coloured = [np.repeat(array[..., None], 3, axis=2) if array.ndim == 2 else array for array in arrays]
    return np.ascontiguousarray(np.stack(coloured).transpose(0, 3, 1, 2))


def _array(name: str, picture: Image.Image, size: int | None) -> NDArray[np.uint8]:
    if picture.mode.startswith(DEEP):
        raise TrainmapError(
            f"{name}: pictures must have 8 bits a channel, got Pillow's mode {picture.mode}, whose values would be cut "
            "off at 255; scale them to 0 to 255 and save them so"
        )
    upright = ImageOps.exif_transpose(picture)
    converted = upright.convert("L" if upright.mode in GREY else "RGB")
    if size is not None:
        converted = ImageOps.fit(converted, (size, size), Image.Resampling.BILINEAR)
    return np.asarray(converted)


def _files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.glob("*/**/*") if path.suffix.lower() in SUFFIXES and path.is_file())


def _open(path: Path) -> Image.Image:
    with reading(path, "readable image"), warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of Pillow, on what is odd in a file; what it cannot read it raises
        with Image.open(path) as picture:
            if picture.width * picture.height > MOST_PIXELS:
                raise TrainmapError(
                    f"{path} has {picture.width:,} x {picture.height:,} pixels, at most {MOST_PIXELS:,} are taken; "
                    "scale it down"
                )
            picture.load()
            return picture
