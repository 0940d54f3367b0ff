"""Where the arrays of a named dataset come from: .npz files, the official idx files, or a download by torchvision."""

from __future__ import annotations

import gzip
import importlib
import math
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.array_files import read_npz
from trainmap.errors import TrainmapError, unknown
from trainmap.files import is_file, reading
from trainmap.limits import check_room

Arrays = tuple[NDArray[Any], NDArray[Any], NDArray[Any], NDArray[Any]]
"""x_train, y_train, x_test, y_test."""


@dataclass(frozen=True)
class Source:
    """What a named dataset must look like, and where it comes from."""

    size: int
    channels: int
    classes: int
    torchvision: str | None = None
    idx: bool = False
    flips: bool = False
    """Whether a mirror image is as good an example of its class as the image."""
    system: str | None = None
    """Folder of the operating system's package."""
    starts: tuple[int, ...] = ()
    """The first labels of the official training set: tells the two datasets apart that share their file names."""
    names: tuple[str, ...] = ()
    """Of the classes, where they are no numbers."""
    train: tuple[int, ...] = ()
    test: tuple[int, ...] = ()
    """How many examples of each class the official parts have; () for one without official parts."""


@dataclass(frozen=True)
class Images:
    """A training and a test set as they come: x (N, channels, size, size) uint8, y (N,) int64."""

    x_train: NDArray[np.uint8]
    y_train: NDArray[np.int64]
    x_test: NDArray[np.uint8]
    y_test: NDArray[np.int64]
    classes: int
    names: tuple[str, ...] = ()
    """Of the classes of a file: its labels."""


def find(name: str, root: Path) -> Images:
    """The images of a named dataset, or of the .npz file ``name``; see ``data.load_splits`` for where it looks.

    A named dataset keeps its official labels; those of a file are numbered in their order, so that there are as many
    classes as different labels.

    Raises:
        TrainmapError: an unknown name, files that are missing or not what they must be, a failed download.
    """
    if name.endswith(".npz"):
        found = _checked(name, _read_npz(Path(name)), None)
        known, y = np.unique(np.concatenate([found.y_train, found.y_test]), return_inverse=True)
        y_train, y_test = np.split(y.astype(np.int64), [len(found.y_train)])
        return replace(found, y_train=y_train, y_test=y_test, classes=len(known), names=tuple(map(str, known.tolist())))
    if name not in DATASETS:
        raise unknown("dataset", name, DATASETS)
    source, files = DATASETS[name], files_of(name, root)
    if not files:
        return _checked(name, _download(name, source, root), source)
    if len(files) == 1:
        return _checked(name, _read_npz(files[0]), source)
    train_x, train_y, test_x, test_y = (_read_idx(path) for path in files)
    return _checked(name, (train_x, train_y, test_x, test_y), source)


def files_of(name: str, root: Path) -> list[Path]:
    """The .npz file of a named dataset, or its four idx files; none where it would have to be downloaded."""
    source = DATASETS[name]
    for path in (root / f"{name}.npz", root / f"{name.replace('-', '_')}.npz"):
        if is_file(path):
            return [path]
    for folder in (root / name, root, *([Path(source.system)] if source.system else [])):
        if source.idx and (files := _idx_files(folder)):
            return files
    return []


def _read_npz(path: Path) -> Arrays:
    x_train, y_train, x_test, y_test = read_npz(path, ("x_train", "y_train", "x_test", "y_test")).values()
    return x_train, y_train, x_test, y_test


IDX_FILES = (
    "train-images-idx3-ubyte",
    "train-labels-idx1-ubyte",
    "t10k-images-idx3-ubyte",
    "t10k-labels-idx1-ubyte",
)


def _idx_files(folder: Path) -> list[Path] | None:
    """The four files, each plain or .gz; None when one is missing."""
    found = [
        next((path for path in (folder / name, folder / f"{name}.gz") if is_file(path)), None) for name in IDX_FILES
    ]
    return [path for path in found if path] if all(found) else None


def _read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of unsigned bytes: 0, 0, type 8, number of dimensions, sizes (big-endian uint32), values.

    The sizes are checked before the values are unpacked, and no more of them is unpacked than the sizes say.
    """
    packed = path.suffix == ".gz"
    with reading(path, "gzip file" if packed else "idx file"):
        with gzip.open(path) if packed else open(path, "rb") as handle:
            head = handle.read(4)
            sides = (
                handle.read(4 * head[3]) if len(head) == 4 and head[:3] == b"\x00\x00\x08" and 0 < head[3] <= 4 else b""
            )
            if not sides or len(sides) < 4 * head[3]:
                raise TrainmapError(f"{path} is not an idx file of unsigned bytes")
            shape = tuple(int(side) for side in np.frombuffer(sides, ">u4"))
            size = math.prod(shape)
            check_room(path, size, path.stat().st_size if packed else None)
            values = handle.read(size + 1)
        if len(values) != size:
            got = "more" if len(values) > size else len(values)
            raise TrainmapError(f"{path} must hold {shape} = {size} values, got {got}; is it torn?")
        return np.frombuffer(values, np.uint8).reshape(shape).copy()


def _download(name: str, source: Source, root: Path) -> Arrays:
    files = f"{root / name}.npz (x_train, y_train, x_test, y_test)"
    if source.idx:
        files += f" or the idx files {', '.join(IDX_FILES)} (plain or .gz) in {root / name} or {root}"
    try:
        reader = getattr(importlib.import_module("torchvision.datasets"), str(source.torchvision))
    except ModuleNotFoundError as error:
        raise TrainmapError(f"{name} is not there: put {files}, or install torchvision to download it") from error
    try:
        root.mkdir(parents=True, exist_ok=True)
        train, test = (reader(root, train=part, download=True) for part in (True, False))
    except (OSError, RuntimeError) as error:
        raise TrainmapError(f"{name} could not be downloaded ({error}); put {files}") from error
    return np.asarray(train.data), np.asarray(train.targets), np.asarray(test.data), np.asarray(test.targets)


def _checked(name: str, arrays: Arrays, source: Source | None) -> Images:
    x_train, x_test = (_images(name, x) for x in (arrays[0], arrays[2]))
    y_train, y_test = (_labels(name, y) for y in (arrays[1], arrays[3]))
    start = tuple(y_train[:10].tolist())
    for other, known in DATASETS.items():
        if source and source is not known and known.starts and start == known.starts:
            raise TrainmapError(f"{name}: these files are {other}; give the folder of {name}, or load {other}")
    classes = source.classes if source else int(max(y_train.max(initial=0), y_test.max(initial=0))) + 1
    for x in (x_train, x_test):
        if source and x.shape[1:] != (source.channels, source.size, source.size):
            wanted = (source.channels, source.size, source.size)
            raise TrainmapError(f"{name}: an image must be (channels, height, width) = {wanted}, got {x.shape[1:]}")
    return Images(x_train, y_train, x_test, y_test, classes)


def _images(name: str, x: NDArray[Any]) -> NDArray[np.uint8]:
    """(N, H, W), (N, H, W, channels) or (N, channels, H, W) → (N, channels, H, W), channels 1 or 3."""
    last, first = x.ndim == 4 and x.shape[3] in (1, 3), x.ndim == 4 and x.shape[1] in (1, 3)
    if x.dtype != np.uint8 or not (x.ndim == 3 or last != first):
        raise TrainmapError(
            f"{name}: images must be uint8 (N, H, W), (N, H, W, channels) or (N, channels, H, W) with 1 or 3 channels, "
            f"got {x.dtype} {x.shape}"
        )
    return x[:, None] if x.ndim == 3 else np.ascontiguousarray(x.transpose(0, 3, 1, 2)) if last else x


def _labels(name: str, y: NDArray[Any]) -> NDArray[np.int64]:
    """(N,) or, as Keras keeps CIFAR's, (N, 1) integers → (N,) int64."""
    flat = y[:, 0] if y.ndim == 2 and y.shape[1] == 1 else y
    if flat.ndim != 1 or not np.issubdtype(y.dtype, np.integer):
        raise TrainmapError(f"{name}: labels must be integers (N,), got {y.dtype} {y.shape}")
    return flat.astype(np.int64)


# fmt: off
FINE = (
    "apple", "aquarium_fish", "baby", "bear", "beaver", "bed", "bee", "beetle", "bicycle", "bottle", "bowl", "boy",
    "bridge", "bus", "butterfly", "camel", "can", "castle", "caterpillar", "cattle", "chair", "chimpanzee", "clock",
    "cloud", "cockroach", "couch", "crab", "crocodile", "cup", "dinosaur", "dolphin", "elephant", "flatfish",
    "forest", "fox", "girl", "hamster", "house", "kangaroo", "keyboard", "lamp", "lawn_mower", "leopard", "lion",
    "lizard", "lobster", "man", "maple_tree", "motorcycle", "mountain", "mouse", "mushroom", "oak_tree", "orange",
    "orchid", "otter", "palm_tree", "pear", "pickup_truck", "pine_tree", "plain", "plate", "poppy", "porcupine",
    "possum", "rabbit", "raccoon", "ray", "road", "rocket", "rose", "sea", "seal", "shark", "shrew", "skunk",
    "skyscraper", "snail", "snake", "spider", "squirrel", "streetcar", "sunflower", "sweet_pepper", "table", "tank",
    "telephone", "television", "tiger", "tractor", "train", "trout", "tulip", "turtle", "wardrobe", "whale",
    "willow_tree", "wolf", "woman", "worm",
)
# fmt: on
"""The classes of CIFAR-100, in the order of their numbers."""

DATASETS: dict[str, Source] = {
    "digits": Source(8, 1, 10),
    "mnist": Source(
        28,
        1,
        10,
        "MNIST",
        idx=True,
        starts=(5, 0, 4, 1, 9, 2, 1, 3, 1, 4),
        train=(5_923, 6_742, 5_958, 6_131, 5_842, 5_421, 5_918, 6_265, 5_851, 5_949),
        test=(980, 1_135, 1_032, 1_010, 982, 892, 958, 1_028, 974, 1_009),
    ),
    "fashion-mnist": Source(
        28,
        1,
        10,
        "FashionMNIST",
        idx=True,
        flips=True,
        system="/usr/share/datasets/fashion-mnist",
        starts=(9, 0, 0, 3, 0, 2, 7, 2, 5, 5),
        names=("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "boot"),
        train=(6_000,) * 10,
        test=(1_000,) * 10,
    ),
    "cifar10": Source(
        32,
        3,
        10,
        "CIFAR10",
        flips=True,
        train=(5_000,) * 10,
        test=(1_000,) * 10,
        names=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    ),
    "cifar100": Source(32, 3, 100, "CIFAR100", flips=True, train=(500,) * 100, test=(100,) * 100, names=FINE),
}
