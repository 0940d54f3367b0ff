"""From the name of a dataset to its rows: which file is looked for where, and who reads it."""

from __future__ import annotations

import re
from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from trainmap.data.audio import fsdd_rows, speech_commands_rows
from trainmap.data.column_roles import Roles
from trainmap.data.hub import hub_rows
from trainmap.data.image_folders import folder_rows
from trainmap.data.pairs import cad_nli_rows
from trainmap.data.raw_rows import Rows
from trainmap.data.sources import DATASETS, find
from trainmap.data.subwords import subwords
from trainmap.data.synthetic import SYNTHETIC, Synthetic, is_synthetic, synthetic_rows
from trainmap.data.tables import parquet_rows, scikit_rows, text_table_rows
from trainmap.data.texts import embeddings, joined
from trainmap.errors import TrainmapError, shown, unknown
from trainmap.files import as_it_stands_or_under, is_dir, is_file
from trainmap.parquet_files import read_frame
from trainmap.text_tables import TEXT_TABLES

DIGITS_TEST = 0.25
"""The digits have no official test set: this share is set aside, the same for every seed."""
EMBEDDINGS = "+embeddings"
TOKENS = "+tokens:"
"""In front of the path of a pretrained encoder."""
TABLES = (".parquet", *TEXT_TABLES)
FILES = (".npz", *TABLES)
CONVERTED = {
    ".json": "read_json",
    ".xlsx": "read_excel",
    ".feather": "read_ipc",
    ".arrow": "read_ipc",
}
"""Files that are no datasets here, and how polars reads them."""
OTHERS = (*FILES, ".npy", ".pkl", ".pickle", ".arff", ".gz", ".zip", ".h5", ".hdf5", ".txt", ".mat", ".pt")
"""Endings of files that are no datasets here and are no names either."""


def open_rows(name: str | Path, root: Path) -> Rows:
    """The rows of a dataset; see ``data.load_splits`` for what a name may be.

    Raises:
        TrainmapError: an unknown name, files that are missing or not what they must be, a failed download.
    """
    name = check_name(name)
    said, how = representation(name)
    roles = _roles(said)
    plain = roles.name
    if plain.endswith(FILES):
        plain = str(as_it_stands_or_under(root, plain))
        if is_dir(plain):
            joined = f"polars.read_parquet('{plain}/*.parquet').write_parquet('one.parquet')"
            cure = (
                f"write its parts (of Spark, dask) into one: {joined}" if plain.endswith(".parquet") else "name a file"
            )
            raise TrainmapError(f"{plain} is a folder, but must be one file; {cure}")
        if not is_file(plain):
            raise TrainmapError(
                f"{plain} is not there, nor under the data root {root}; a dataset is a file, a folder or one of: "
                f"{', '.join(dict.fromkeys([*READERS, *DATASETS]))}"
            )
    path, size = _with_number(plain)
    if is_synthetic(plain):
        rows = synthetic_rows(plain)
    elif plain in READERS:
        rows = READERS[plain](root)
    elif plain in DATASETS or plain.endswith(".npz"):
        rows = _images(plain, root)
    elif plain.endswith(".parquet"):
        rows = parquet_rows(plain, columns=roles.columns)
    elif plain.endswith(TEXT_TABLES):
        rows = text_table_rows(plain, roles.columns)
    elif plain.startswith("hf:"):
        rows = hub_rows(path.removeprefix("hf:"), size, roles.columns)
    else:
        rows = folder_rows(as_it_stands_or_under(root, path.removeprefix("folder:")), size)
    return represented(rows, how, root)


def represented(rows: Rows, how: str, root: Path) -> Rows:
    """Texts in another form.

    Args:
        rows: of texts; any for "".
        how: "+embeddings", "+tokens:PATH", or "" for what they are.
        root: where embeddings are kept.

    Raises:
        TrainmapError: rows that are no texts, or no such encoder.
    """
    if not how:
        return rows
    if rows.texts is None:
        what = "embeddings" if how == EMBEDDINGS else "tokens"
        raise TrainmapError(f"{what} are made of texts, but {rows.name} has none; leave out {how}")
    if how == EMBEDDINGS:
        encode = embeddings(joined(rows.texts, rows.pairs), root / "embeddings")
        return replace(rows, name=rows.name + how, encode=encode, learn=None)
    path, longest = _with_number(how.removeprefix(TOKENS))
    encode, learn, word = subwords(rows.texts, path, longest, rows.pairs)
    title = f"{rows.name}{TOKENS}{Path(path).name}" + (f"@{longest}" if longest else "")
    return replace(rows, name=title, encode=encode, learn=learn, tokenizer=word)


def is_named(name: str) -> bool:
    """Whether a dataset is called so, whatever files and folders there are."""
    plain = representation(name)[0]
    return plain in READERS or plain in DATASETS or is_synthetic(plain)


def representation(name: str) -> tuple[str, str]:
    """``sst2+tokens:bert`` → sst2, +tokens:bert."""
    if TOKENS in name:
        plain, mark, path = name.partition(TOKENS)
        return plain, mark + path
    plain = name.removesuffix(EMBEDDINGS)
    return plain, name.removeprefix(plain)


def short_name(name: str) -> str:
    """What people call it: the file without folder, ending and what is said of its columns; any other name as it is."""
    said, how = representation(name)
    plain = _roles(said).name
    return (Path(plain).stem + how) if plain.endswith(FILES) else Path(name).name


def check_name(name: str | Path) -> str:
    """The name as text, where it can be that of a dataset; before anything is read.

    Raises:
        TrainmapError: it cannot.
    """
    if not isinstance(name, str | Path):
        said = shown(name) if name is None or isinstance(name, int | float) else f"a {type(name).__name__}"
        raise TrainmapError(
            f"a dataset is a name ('digits') or the path of a file or folder, got {said}; write a table to a .parquet "
            "file, images to a .npz file, and give its path"
        )
    name = str(name)
    said, how = representation(name)
    roles = _roles(said)
    plain = roles.name
    if how == TOKENS:
        raise TrainmapError(f"'{name}' must say whose tokens: {name}minilm-l6-v2, or the path of an encoder")
    if is_synthetic(plain):
        Synthetic.of(plain)
        return name
    if roles.columns and not (plain.endswith(TABLES) or plain.startswith("hf:")):
        raise TrainmapError(f"columns are those of a table ({', '.join(TABLES)}) or of hf:..., got '{name}'")
    known = plain in READERS or plain in DATASETS
    if known or plain.endswith(FILES) or plain.startswith(("hf:", "folder:")):
        return name
    if not is_dir(_with_number(plain)[0]):
        suffix = Path(plain).suffix.lower()
        if suffix in CONVERTED or suffix in OTHERS or is_file(plain):
            raise TrainmapError(
                "a dataset's file is .parquet, .csv, .tsv or .jsonl (a table: label, perhaps text) or .npz (images), "
                f"got {name}; {_conversion(plain, suffix)}"
            )
        if (small := plain.lower()) in READERS or small in DATASETS or is_synthetic(small):
            raise TrainmapError(f"unknown dataset {shown(name)}; did you mean '{small}'? Names are in small letters")
        raise unknown("dataset", name, dict.fromkeys([*READERS, *DATASETS]))
    return name


def _roles(said: str) -> Roles:
    """What a name says of columns; the settings of synthetic data are none."""
    return Roles(said, {}) if is_synthetic(said) else Roles.of(said)


def _conversion(path: str, suffix: str) -> str:
    """What to do with a file that is no dataset."""
    if suffix in FILES:
        return f"rename it to '{Path(path).with_suffix(suffix).name}'"
    if suffix not in CONVERTED:
        return "convert it to .parquet or .npz"
    return f"convert it: polars.{CONVERTED[suffix]}('{path}').write_parquet('{Path(path).stem}.parquet')"


def _with_number(name: str) -> tuple[str, int | None]:
    """``pictures@32`` → pictures, 32: a size, or a length."""
    path, at, number = name.rpartition("@")
    return (path, int(number)) if at and re.fullmatch("[1-9][0-9]{0,5}", number) else (name, None)


def _images(name: str, root: Path) -> Rows:
    found = find(name, root)
    for x, y in ((found.x_train, found.y_train), (found.x_test, found.y_test)):
        if len(x) != len(y):
            raise TrainmapError(f"{name}: images and labels must have the same N, got {len(x)} and {len(y)}")
    x, y = np.concatenate([found.x_train, found.x_test]), np.concatenate([found.y_train, found.y_test])
    part = np.repeat(np.array(["train", "test"], "<U24"), [len(found.y_train), len(found.y_test)])
    title = Path(name).stem if name.endswith(".npz") else name
    names = DATASETS[name].names if name in DATASETS else found.names
    return Rows(title, y, found.classes, part, lambda train: (x, 0), names=names)


def _digits(root: Path) -> Rows:
    from sklearn.datasets import load_digits

    bunch: Any = load_digits()
    x = (bunch.images * 255 // 16).astype(np.uint8)[:, None]  # the 17 levels 0..16 → 17 levels in 0..255
    y = bunch.target.astype(np.int64)
    return Rows("digits", y, 10, np.full(len(y), "train", "<U24"), lambda train: (x, 0), test_share=DIGITS_TEST)


def _file(name: str, root: Path, *others: str, suffix: str = ".parquet") -> Path:
    """The first that exists of root/<name>/<name>.parquet, root/<name>.parquet and the same under other names."""
    places = [root / inner / f"{stem}{suffix}" for stem in (name, *others) for inner in (stem, ".")]
    for place in places:
        if is_file(place):
            return place
    raise TrainmapError(f"{name} is not there: put {places[0]} or {places[1]}")


def _parquet(root: Path, name: str, label: str = "label", others: tuple[str, ...] = ()) -> Rows:
    return parquet_rows(str(_file(name, root, *others)), label, name)


def _clinc150(root: Path) -> Rows:
    """150 intents; the texts of none are outside. Ids are the rows of the file.

    Source: Larson et al. 2019, arXiv:1909.02027.
    """
    rows = _parquet(root, "clinc150")
    import polars as pl

    path = _file("clinc150", root)
    frame = read_frame(path, "table of clinc150", ["label", "is_oos"])
    if frame["is_oos"].dtype != pl.Boolean or frame["is_oos"].null_count():
        raise TrainmapError(f"{path}: the column 'is_oos' must be true or false in every row")
    outside = frame["is_oos"].to_numpy()
    inside = sorted(set(frame.filter(~pl.col("is_oos"))["label"]))
    place = {label: number for number, label in enumerate(inside)}
    y = np.array([place.get(label, 0) for label in frame["label"]], dtype=np.int64)
    part = np.where(outside, np.strings.add("outside ", rows.part), rows.part).astype("<U24")
    return replace(rows, y=y, classes=len(inside), part=part, names=tuple(inside))


def _cad_nli(root: Path) -> Rows:
    places = (root / "cad_nli" / "cad_nli.parquet", root / "cad_nli.parquet")
    path = next((place for place in places if is_file(place)), None)
    if path is None:
        raise TrainmapError(f"the counterfactual pairs of cad_nli are not there: put cad_nli.parquet into {root}")
    return cad_nli_rows(path)


def _usps(root: Path) -> Rows:
    """Digits of another source: 7,291 to train on and 2,007 for testing, 16 x 16, white on black."""
    path = _file("usps", root, suffix=".npz")
    return replace(_images(str(path), root), name="usps")


def _speech_commands(root: Path) -> Rows:
    folders = [root / "speech_commands", root / "speech-commands"]
    folder = next((folder for folder in folders if is_dir(folder)), None)
    if folder is None:
        raise TrainmapError(f"speech-commands is not there: unpack the download into {folders[0]}")
    return speech_commands_rows(folder)


def _scikit(root: Path, name: str) -> Rows:
    import sklearn.datasets as ready

    try:
        if name == "covtype":
            return scikit_rows(name, ready.fetch_covtype(data_home=str(root)))
        return scikit_rows(name, ready.load_wine() if name == "wine" else ready.load_breast_cancer())
    except OSError as error:
        raise TrainmapError(
            f"{name} could not be downloaded ({error}); put scikit-learn's copy of it into {root}"
        ) from error


READERS: dict[str, Callable[[Path], Rows]] = {
    SYNTHETIC: lambda root: synthetic_rows(SYNTHETIC),
    "digits": _digits,
    "clinc150": _clinc150,
    "sst2": partial(_parquet, name="sst2"),
    "cad_nli": _cad_nli,
    "usps": _usps,
    "fsdd": lambda root: fsdd_rows(_file("fsdd", root, suffix=".npz")),
    "speech-commands": _speech_commands,
    "adult": partial(_parquet, name="adult", label="salary", others=("adult_train",)),
    "breast-cancer": partial(_scikit, name="breast-cancer"),
    "wine": partial(_scikit, name="wine"),
    "covtype": partial(_scikit, name="covtype"),
}
"""The datasets that have a name, beside the images of ``sources.DATASETS``."""
