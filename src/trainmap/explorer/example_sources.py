"""Where the examples are: from whatever a user calls the data to a function, id -> what a person sees."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.data import Roles, check_name, folder_files, hub_parts, in_order, is_named, open_rows
from trainmap.data.names import representation
from trainmap.dynamics.index import MISSING, find_rows, sort_ids
from trainmap.errors import TrainmapError, shown, some
from trainmap.explorer.shown import Shown, to_shown
from trainmap.files import is_dir, is_file, reading
from trainmap.kinds import as_path
from trainmap.parquet_files import read_frame
from trainmap.text_tables import TEXT_TABLES, read_text_table

Array = NDArray[Any]

TABLES = (".parquet", *TEXT_TABLES)
MEDIA = (".png", ".jpg", ".jpeg", ".gif", ".webp", ".bmp", ".tif", ".tiff", ".ppm", ".pgm", ".svg", ".wav", ".mp3")
MEDIA += (".ogg", ".flac", ".txt")
"""Endings of files that are examples."""
PATH_COLUMNS = ("path", "file", "file_name", "filename", "image_path")
"""Columns of a table that name a file beside it."""
ID_COLUMNS = ("id", "Id", "ID", "idx", "guid")
GROUPS_HELD = 2
"""Row groups of a Parquet file in memory."""


@dataclass(frozen=True, eq=False)
class Examples:
    """The examples behind the ids of a map.

    Attributes:
        show: an id -> anything that ``to_shown`` takes. It is asked for one example when somebody looks at it.
        name: for people.
        class_names: of the classes, where the data has them.
        texts: whether they are texts, so that words in them can be looked for.
    """

    show: Callable[[Any], Any]
    name: str
    class_names: tuple[str, ...] = ()
    texts: bool = False

    def of(self, key: Any) -> Shown:
        """One example.

        Raises:
            TrainmapError: it is not there, or cannot be shown.
        """
        plain = key.item() if isinstance(key, np.generic) else key
        try:
            found = self.show(plain)
        except (KeyError, IndexError) as error:
            raise TrainmapError(f"{self.name} has no example {shown(plain)}") from error
        return to_shown(found, f"example {shown(plain)}")


def examples_of(data: Any, ids: Array, data_root: str | Path | None = None) -> Examples:
    """The examples of a map.

    Args:
        data: the name of a dataset of ``trainmap.data.load_splits``; a folder of files whose ids are their paths in
            it, or (with whole numbers as ids) their places in the order of ``folder:``; a Parquet, CSV, TSV or JSON
            Lines file with a column ``id`` (without one an id is the number of its row), in which a column ``path`` or
            ``file`` may name a file beside the table; a Hugging Face dataset or saved folder; a list of paths or
            texts, an array, a torch dataset (anything that is indexed): an id is a place; or a function, id ->
            example.
        ids: (N,) those of the map.
        data_root: where named datasets are; the folder ``data`` unless told.

    Raises:
        TrainmapError: data of another kind, files that are missing, ids that are not those of the data.
    """
    if isinstance(data, Examples):
        return data
    if isinstance(data, str | Path):
        return _of_path(str(data), ids, as_path("data" if data_root is None else data_root))
    if hasattr(data, "features") and hasattr(data, "column_names"):
        return _of_hugging_face(data, ids)
    if callable(data) and not hasattr(data, "__getitem__"):
        return Examples(data, getattr(data, "__name__", "a function"))
    if hasattr(data, "__getitem__") and hasattr(data, "__len__"):
        return _of_sequence(data, ids)
    raise TrainmapError(
        "data must be the name of a dataset, a folder, a Parquet or CSV file, a Hugging Face or torch dataset, a list "
        f"or a function, id -> example; got {shown(data)}"
    )


def own_paths(ids: Array) -> Examples | None:
    """Ids that are paths of files in the working folder: the examples are those files; else None."""
    if ids.dtype.kind != "U":
        return None
    here = Path.cwd()
    first = [str(one) for one in ids[:5]]
    fits = all(one.lower().endswith(MEDIA) and not Path(one).is_absolute() and is_file(here / one) for one in first)
    return Examples(partial(_file_in, here), here.name) if fits and first else None


def _of_path(name: str, ids: Array, root: Path) -> Examples:
    whole, said = name, Roles.of(name)
    name = said.name
    if is_named(name):  # before a folder that is called so by chance
        return _of_named(name, ids, root)
    path = next((one for one in (Path(name), root / name) if is_dir(one) or is_file(one)), Path(name))
    if is_dir(path) and _is_saved(path):
        return _of_hugging_face(_parts_of(hub_parts(str(path))), ids, path.name)
    if is_dir(path) and not name.startswith(("hf:", "folder:")):
        return _of_folder(path, ids)
    if is_file(path) and path.suffix.lower() in TABLES:
        return _of_table(path, ids, said.columns.get("id"))
    if name.startswith("folder:"):
        inner = name.removeprefix("folder:").partition("@")[0]
        return _of_folder(next((one for one in (Path(inner), root / inner) if is_dir(one)), Path(inner)), ids)
    if name.startswith("hf:"):
        return _of_hugging_face(_parts_of(hub_parts(name.removeprefix("hf:").partition("@")[0])), ids, name)
    return _of_named(check_name(whole), ids, root)


def _of_named(name: str, ids: Array, root: Path) -> Examples:
    plain, _ = representation(name)  # embeddings and tokens are no examples for people
    rows = open_rows(plain, root)
    known = np.arange(len(rows.y), dtype=np.int64) if rows.ids is None else rows.ids
    place = _places(known, ids, plain)
    columns = rows.groups if rows.texts is not None or rows.table is None else {}
    x = rows.encode(np.arange(len(rows.y)))[0] if rows.texts is None and rows.table is None else None

    def show(key: Any) -> dict[str, Any]:
        row = place(key)
        whole: dict[str, Any] = {}
        if rows.texts is not None:
            whole["text"] = rows.texts[row]
            if rows.pairs is not None:
                whole["text_pair"] = rows.pairs[row]
        elif rows.table is not None:
            whole |= rows.table.row(row, named=True)
        if rows.sound is not None:
            whole["sound"] = dict(zip(("array", "sampling_rate"), rows.sound(row)))
        if x is not None:
            whole["image"] = x[row][:, ::-1] if rows.sound is not None else x[row]  # low tones stand below
        return whole | {column: values[row] for column, values in columns.items()}

    return Examples(show, rows.name, rows.called, rows.texts is not None)


def _places(known: Array, ids: Array, name: str) -> Callable[[Any], int]:
    """id -> its row among ``known``; the ids of the map must be there."""
    order = sort_ids(known)[1] if (known[1:] < known[:-1]).any() else None
    missing = ids[find_rows(known, ids, order) == MISSING] if len(known) else ids
    if len(missing) == len(ids):
        raise TrainmapError(
            f"none of the {len(ids):,} ids of this map is in {name} (first: {some(ids)}); name its data"
        )

    def place(key: Any) -> int:
        row = int(find_rows(known, np.asarray([key]), order)[0])
        if row == MISSING:
            raise KeyError(key)
        return row

    return place


def _of_folder(folder: Path, ids: Array) -> Examples:
    """Ids are paths in the folder; or places in the order in which ``folder:`` counts its images."""
    if ids.dtype.kind == "U":
        first = str(ids[0])
        show = partial(_file_in, folder)
        show(first)  # says now that it is not there
        return Examples(show, folder.name)
    files = [path for _, path in folder_files(folder)]
    if int(ids[-1]) >= len(files) or int(ids[0]) < 0:
        raise TrainmapError(
            f"{folder} has {len(files):,} images, ids 0 to {len(files) - 1}, but this map has the id {int(ids[-1])}; "
            "name the folder that was trained on"
        )
    names = tuple(sorted({path.parent.name for path in files}))
    return Examples(lambda key: _inside(folder, files[key]), folder.name, names)


def _file_in(folder: Path, key: Any) -> Path:
    path = Path(str(key))
    return _inside(folder, path if path.is_absolute() else folder / path)


def _inside(folder: Path, path: Path) -> Path:
    """A file in a folder: neither ``..`` nor a link leads out of it.

    Raises:
        TrainmapError: it is not there, or elsewhere.
    """
    with reading(path, "file of an example"):
        whole, home = path.resolve(), folder.resolve()
        inside = whole.is_relative_to(home)
    if not inside:
        raise TrainmapError(f"{path} lies outside {folder}; name the folder that holds the examples")
    if not is_file(whole):
        raise TrainmapError(f"there is no file {path.name} in {folder}; name the folder that the ids are paths in")
    return whole


def _of_table(path: Path, ids: Array, named: str | None = None) -> Examples:
    """Rows of a table; of a Parquet file only the row groups that somebody looks at are read."""
    kind = path.suffix.lower()
    if kind == ".parquet":
        import pyarrow.parquet as pq

        with reading(path, "readable Parquet file"):
            file = pq.ParquetFile(path)
            names = file.schema_arrow.names
            row_of = partial(_row_of_parquet, path, file, OrderedDict())
            total = file.metadata.num_rows
            column = _id_column(path, names, named)
            known = None if column is None else read_frame(path, "table of examples", [column])[column]
    else:
        names_of_ids = ID_COLUMNS if named is None else (named,)
        frame = read_text_table(path, names_of_ids if ids.dtype.kind == "U" else ())
        names, total = frame.columns, frame.height
        row_of = partial(frame.row, named=True)
        column = _id_column(path, names, named)
        known = None if column is None else frame[column]
    if known is None:
        keys = np.arange(total, dtype=np.int64)
    else:
        keys = known.cast(_text_or_number(known, ids)).to_numpy()
        keys = keys.astype(np.str_) if ids.dtype.kind == "U" else keys.astype(np.int64)
    place = _places(keys, ids, path.name)

    def show(key: Any) -> dict[str, Any]:
        row = dict(row_of(place(key)))
        for name in PATH_COLUMNS:
            value = row.get(name)
            if isinstance(value, str) and value.lower().endswith(MEDIA) and is_file(path.parent / value):
                row[name] = _inside(path.parent, path.parent / value)
        return row

    return Examples(show, path.name, texts=any(name in names for name in ("text", "sentence", "content")))


def _text_or_number(known: Any, ids: Array) -> Any:
    import polars as pl

    if ids.dtype.kind != "U" and not known.dtype.is_integer():
        raise TrainmapError(
            f"the ids of this map are whole numbers, but the column '{known.name}' holds {known.dtype}; name the table "
            "whose ids were recorded"
        )
    return pl.String if ids.dtype.kind == "U" else pl.Int64


def _id_column(path: Path | str, names: Sequence[str], named: str | None = None) -> str | None:
    if named is not None and named not in names:
        raise TrainmapError(f"{path}: there must be a column '{named}', got {some(names, 20)}")
    return named or next((name for name in ID_COLUMNS if name in names), None)


def _row_of_parquet(path: Path, file: Any, held: OrderedDict[int, Any], row: int) -> Mapping[str, Any]:
    with reading(path, "readable Parquet file"):
        start, group = 0, 0
        while row >= start + file.metadata.row_group(group).num_rows:
            start += file.metadata.row_group(group).num_rows
            group += 1
        if group not in held:
            held[group] = file.read_row_group(group)
            while len(held) > GROUPS_HELD:
                held.popitem(last=False)
        return held[group].slice(row - start, 1).to_pylist()[0]


def _is_saved(folder: Path) -> bool:
    return any((folder / name).exists() for name in ("dataset_dict.json", "dataset_info.json", "state.json"))


def _parts_of(parts: Mapping[str, Any]) -> list[Any]:
    return [parts[key] for key in (in_order(parts) or parts)]


def _of_hugging_face(data: Any, ids: Array, name: str = "") -> Examples:
    """A dataset of the datasets library, or several parts one after the other; read row by row."""
    if isinstance(data, Mapping):
        data = _parts_of(data)
    files = not isinstance(data, list)  # what a dataset in hand names, its owner may see; a folder shows what is in it
    parts = [_as_stored(part) for part in (data if isinstance(data, list) else [data])]
    lengths = np.cumsum([0, *map(len, parts)])
    columns = list(parts[0].column_names)
    features = parts[0].features
    named = next((one for one in features.values() if type(one).__name__ == "ClassLabel"), None)
    names = tuple(map(str, named.names)) if named is not None else ()
    if (column := _id_column("data", columns)) is not None:
        keys = np.concatenate([np.asarray(part[column][:]) for part in parts])
        keys = keys.astype(np.str_) if ids.dtype.kind == "U" else keys
        if keys.dtype.kind not in "iuU":
            raise TrainmapError(f"the column '{column}' must hold whole numbers or texts, got {keys.dtype}")
    else:
        keys = np.arange(int(lengths[-1]), dtype=np.int64)
    title = name or str(getattr(parts[0].info, "dataset_name", None) or "a Hugging Face dataset")
    place = _places(keys, ids, title)

    def show(key: Any) -> Mapping[str, Any]:
        row = place(key)
        part = int(np.searchsorted(lengths, row, side="right")) - 1
        found = dict(parts[part][row - int(lengths[part])])
        return {key: _stored_file(value, files) for key, value in found.items()}

    texts = any(getattr(features[one], "dtype", "") in ("string", "large_string") for one in columns)
    return Examples(show, title, names, texts)


def _as_stored(part: Any) -> Any:
    """A part whose pictures and sounds are the bytes of their files, not decoded."""
    plain = part.with_format(None)
    for name, feature in plain.features.items():
        if type(feature).__name__ in ("Image", "Audio"):
            plain = plain.cast_column(name, type(feature)(decode=False))
    return plain


def _stored_file(value: Any, files: bool) -> Any:
    if isinstance(value, Mapping) and set(value) == {"bytes", "path"} and value["bytes"] is None:
        return Path(value["path"]) if files and value["path"] else str(value["path"])
    return value


def _of_sequence(data: Any, ids: Array) -> Examples:
    if isinstance(data, Mapping):
        return Examples(data.__getitem__, "a dict")
    if ids.dtype.kind == "U":
        places = {str(one): Path(one) for one in data if isinstance(one, str | Path)}
        if not set(map(str, ids[:5].tolist())) <= set(places):
            raise TrainmapError(
                f"the ids of this map are texts (first: {some(ids)}); give a folder that they are paths in, a list of "
                "those paths, a dict or a function, id -> example"
            )
        return Examples(places.__getitem__, "a list of paths")
    if int(ids[-1]) >= len(data) or int(ids[0]) < 0:
        raise TrainmapError(
            f"data has {len(data):,} examples, ids 0 to {len(data) - 1}, but this map has ids {int(ids[0])} to "
            f"{int(ids[-1])}; give the data that was trained on, or a function, id -> example"
        )
    texts = isinstance(data[0], str) and not data[0].lower().endswith(MEDIA)

    def show(key: int) -> Any:
        value = data[key]
        return Path(value) if isinstance(value, str) and value.lower().endswith(MEDIA) else value

    return Examples(show, "a list" if isinstance(data, list) else f"a {type(data).__name__}", texts=texts)
