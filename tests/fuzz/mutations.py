"""How a file is damaged: bytes flip or go missing, headers lie, values have other types, a folder is in its place.

Every mutation is drawn from a ``random.Random``, so that a number names one input for good.
"""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import zipfile
from collections.abc import Callable
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

Mutation = Callable[[Random, bytes], bytes]

INTEGERS = (0, 1, 2, 127, 255, 2**15, 2**16 - 1, 2**24, 2**31 - 1, 2**31, 2**32 - 1, 2**40, 2**62, 2**63 - 1, 2**64 - 1)


def flip(random: Random, data: bytes) -> bytes:
    """One to eight bits."""
    changed = bytearray(data)
    for _ in range(random.choice((1, 1, 1, 2, 8))):
        if changed:
            changed[random.randrange(len(changed))] ^= 1 << random.randrange(8)
    return bytes(changed)


def truncate(random: Random, data: bytes) -> bytes:
    return data[: random.randrange(len(data) + 1)]


def insert(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + random.randbytes(random.choice((1, 4, 64, 4096))) + data[at:]


def cut_out(random: Random, data: bytes) -> bytes:
    at = random.randrange(len(data) + 1)
    return data[:at] + data[at + random.choice((1, 4, 64)) :]


def splice(random: Random, data: bytes) -> bytes:
    """A piece of the file at another place of it."""
    size = random.choice((4, 16, 256))
    start, at = random.randrange(len(data) + 1), random.randrange(len(data) + 1)
    return data[:at] + data[start : start + size] + data[at + size :]


def edit_header(random: Random, data: bytes) -> bytes:
    """A number of 1, 2, 4 or 8 bytes, of either end, near one end of the file or anywhere."""
    size = random.choice((1, 2, 4, 8))
    edge = random.choice((64, 512, len(data)))
    at = random.randrange(max(1, min(edge, len(data))))
    at = at if random.random() < 0.5 else max(0, len(data) - at - size)
    number = (random.choice(INTEGERS) & (256**size - 1)).to_bytes(size, random.choice(("little", "big")))
    return data[:at] + number + data[at + size :]


def zeros(random: Random, data: bytes) -> bytes:
    at, size = random.randrange(len(data) + 1), random.choice((8, 64, 512))
    return data[:at] + bytes(min(size, max(0, len(data) - at))) + data[at + size :]


def something_else(random: Random, data: bytes) -> bytes:
    return random.choice(
        (b"", b"\n\n \n", b"\xef\xbb\xbf" + data, b"PK\x03\x04", b"PAR1PAR1", b"ARROW1", b"text", data * 2)
    )


BYTES: tuple[Mutation, ...] = (
    flip,
    flip,
    truncate,
    insert,
    cut_out,
    splice,
    edit_header,
    edit_header,
    zeros,
    something_else,
)


# --- text and JSON --------------------------------------------------------------------------------------------------


def odd_value(random: Random) -> Any:
    """A value that a field may have in a file of somebody else."""
    return random.choice(
        (
            *(None, True, False, 0, 1, -1, 3, 2.5, -0.0, 1e308, float("nan"), float("inf"), -float("inf")),
            *(2**31, 2**53 + 1, 2**63, 2**64, -(2**63) - 1, 10**30, 10**400),
            *("", "x", "3", "nan", "\0", "a\0", "\ud800", "é" * 7, "../../etc/passwd", "/dev/zero", "x" * 5000),
            *([], [[]], [0], [1, 2, 3], ["a"], [None], {}, {"a": 1}, [{"a": []}], {"": None}, list(range(2000))),
        )
    )


def places(value: Any, here: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
    """The paths of all the parts of a JSON value."""
    found = [here]
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in items:
        found += places(part, (*here, key))
    return found


def change_json(random: Random, value: Any) -> Any:
    """One part exchanged, removed, doubled or added."""
    where = random.choice(places(value))
    if not where:
        return odd_value(random)
    parent = value
    for key in where[:-1]:
        parent = parent[key]
    match random.randrange(5):
        case 0 if isinstance(parent, dict):
            del parent[where[-1]]
        case 1 if isinstance(parent, dict):
            parent[str(odd_value(random))[:50]] = odd_value(random)
        case 2 if isinstance(parent, list):
            parent.insert(random.randrange(len(parent) + 1), odd_value(random))
        case 3 if isinstance(parent, list):
            del parent[where[-1]]
        case _:
            parent[where[-1]] = odd_value(random)
    return value


def text_trap(random: Random, data: bytes) -> bytes:
    """What breaks readers of text: depth, long numbers, half characters, keys that come twice."""
    at = random.randrange(len(data) + 1)
    depth = random.choice((300, 2000, 100_000))
    trap = random.choice(
        (
            *(b"[" * depth, b'{"a":' * depth, b"9" * 5000, b"-" + b"1" * 10_000, b"1e99999", b"NaN", b"-Infinity"),
            *(
                b"\xff\xfe",
                b"\xed\xa0\x80",
                b"\xf5\x80",
                b"\0",
                b"\\ud800",
                b"\xef\xbb\xbf",
                b"\r\n",
                b'"a": 1, "a": 2,',
            ),
            *(b"\x1b[31m", b"'" * 3, b'"', b"{", b"}", b"]", b",", b"\t", b"null"),
        )
    )
    return data[:at] + trap + data[at:]


def change_json_text(random: Random, data: bytes) -> bytes:
    return json.dumps(change_json(random, json.loads(data))).encode()


def change_line(random: Random, data: bytes) -> bytes:
    """One line of JSON lines."""
    lines = data.splitlines()
    at = random.randrange(len(lines))
    lines[at] = change_json_text(random, lines[at])
    if random.random() < 0.2:
        random.shuffle(lines)
    return b"\n".join(lines) + b"\n"


def double_key(random: Random, data: bytes) -> bytes:
    value = json.loads(data)
    if not isinstance(value, dict) or not value:
        return data
    key = random.choice(list(value))
    return data.rstrip()[:-1] + f", {json.dumps(key)}: {json.dumps(odd_value(random))}}}".encode()


YAML_TRAPS = (
    *("&a [*a]", "*nothing", "&a {b: *a}", "!!python/object:os.system ls", "!!binary aGk=", "<<: {a: 1}", "? [a]\n: 1"),
    *("a: &x [1,2]\nb: &y [*x,*x,*x]\nc: &z [*y,*y,*y]\n", "- - - - -", "\t- x", "%YAML 9.9\n---\n", "---\n---\n", "|"),
    *("1_000", "0x1F", "12:30:45", "2026-01-01", ".inf", "-.nan", "1e400", "~", "'", '"', "@", "`", "{{a}}", "[[b]]"),
)


def yaml_trap(random: Random, data: bytes) -> bytes:
    text = data.decode()
    trap = random.choice(YAML_TRAPS)
    spots = [at for at, letter in enumerate(text) if letter in " \n,:["] or [0]
    at = random.choice(spots) + 1
    end = random.choice((at, at + 1, at + 5, text.find("\n", at)))
    return (text[:at] + trap + text[max(at, end) :]).encode()


def change_yaml(random: Random, data: bytes) -> bytes:
    import yaml

    try:
        return yaml.safe_dump(change_json(random, yaml.safe_load(data)), allow_unicode=True).encode("utf-8", "replace")
    except (yaml.YAMLError, OverflowError, ValueError):
        return yaml_trap(random, data)


# --- arrays and tables ----------------------------------------------------------------------------------------------


def odd_array(random: Random, like: Any) -> Any:
    """An array of another shape or type."""
    size = len(like) if like.ndim else 1
    return random.choice(
        (
            lambda: like[: size // 2] if like.ndim else like,
            lambda: like.astype(np.float64) / 3 if like.dtype.kind in "iufb" else like,
            lambda: like.astype(np.complex64) if like.dtype.kind in "iufb" else like,
            lambda: like.astype(str),
            lambda: like.astype("S5"),
            lambda: np.full(size, np.nan),
            lambda: np.full(like.shape, -(2**63), np.int64),
            lambda: np.full(like.shape, 2**64 - 1, np.uint64),
            lambda: np.zeros((0, *like.shape[1:]), like.dtype),
            lambda: np.zeros((), like.dtype),
            lambda: like[None],
            lambda: like[..., None],
            lambda: like.reshape(-1),
            lambda: np.asfortranarray(like),
            lambda: like.astype(like.dtype.newbyteorder(">")),
            lambda: np.zeros(size, [("a", np.int32), ("b", np.float32)]),
            lambda: np.zeros(size, "M8[s]"),
            lambda: np.zeros(size, "V3"),
            lambda: np.zeros((2**40, 0), like.dtype),
            lambda: np.array([None] * size, object),
        )
    )()


def change_npz(random: Random, data: bytes) -> bytes:
    """An array exchanged, missing, added, doubled, declared larger than it is, or compressed by another method."""
    arrays = dict(np.load(io.BytesIO(data), allow_pickle=False))
    name = random.choice(list(arrays))
    kind, out = random.randrange(6), io.BytesIO()
    if kind == 0:
        arrays[name] = odd_array(random, arrays[name])
    elif kind == 1:
        del arrays[name]
    methods = (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED, zipfile.ZIP_BZIP2, zipfile.ZIP_LZMA)
    with zipfile.ZipFile(out, "w", random.choice(methods) if kind == 2 else zipfile.ZIP_DEFLATED) as file:
        for key, array in arrays.items():
            member = npy(array)
            if kind == 3 and key == name:
                member = declare(random, member, array)
            if kind == 4 and key == name:
                member = random.choice(BYTES)(random, member)
            file.writestr(f"{key}.npy", member)
    changed = out.getvalue()
    return edit_header(random, changed) if kind == 5 else changed


def npy(array: Any) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, np.asarray(array), allow_pickle=True)
    return out.getvalue()


def declare(random: Random, member: bytes, array: Any) -> bytes:
    """The same values under a header that says otherwise."""
    out = io.BytesIO()
    shape = random.choice(((10**12,), (2**63, 2), (-1,), (), (2**31, 2**31, 2**31), (len(member),), (0,), (1,) * 80))
    np.lib.format.write_array_header_1_0(
        out,
        {
            "descr": random.choice(("<f8", "|u1", "|O", "<U999999999", "|V9999", "<f4")),
            "fortran_order": False,
            "shape": shape,
        },
    )
    return out.getvalue() + np.asarray(array).tobytes()


def change_npy(random: Random, data: bytes) -> bytes:
    array = np.load(io.BytesIO(data), allow_pickle=False)
    return npy(odd_array(random, array)) if random.random() < 0.5 else declare(random, data, array)


def odd_column(random: Random, column: Any) -> Any:
    """A column of another type or with other values."""
    size = len(column)
    bad_text = pa.StringArray.from_buffers(
        size, pa.py_buffer(np.arange(size + 1, dtype=np.int32).tobytes()), pa.py_buffer(b"\xff" * size)
    )
    return random.choice(
        (
            pa.array([None] * size),
            pa.array([None] * size, column.type),
            pa.array(range(size)),
            pa.array([str(at) for at in range(size)]),
            pa.array([0] * size),
            pa.array(np.full(size, np.nan)),
            pa.array(np.full(size, 2**64 - 1, np.uint64)),
            pa.array([b"\xff"] * size),
            pa.array([[1, 2]] * size),
            pa.array([{"a": 1}] * size),
            pa.array([True] * size),
            pa.array([10**9] * size, pa.timestamp("s")),
            pa.array([1] * size, pa.decimal128(10, 2)),
            pa.array(["x", "y"] * size).slice(0, size).dictionary_encode(),
            pa.array(["a" * 3000] * size),
            pa.array(np.zeros(size, np.float16)),
            pa.nulls(size, pa.list_(pa.float32(), 3)),
            bad_text,
        )
    )


def change_table(random: Random, table: pa.Table) -> pa.Table:
    at = random.randrange(table.num_columns)
    name = table.schema.names[at]
    match random.randrange(7):
        case 0:
            return table.drop_columns([name])
        case 1:
            return table.append_column(name, table.column(at))
        case 2:
            return table.slice(0, random.randrange(table.num_rows + 1))
        case 3:
            return pa.concat_tables([table, table])
        case 4:
            about = {key: change_bytes(random, value) for key, value in (table.schema.metadata or {}).items()}
            return table.replace_schema_metadata(about)
        case 5:
            return table.rename_columns(
                [str(odd_value(random))[:20].encode("utf-8", "replace").decode() for _ in table.schema]
            )
        case _:
            return table.set_column(at, name, odd_column(random, table.column(at)))


def change_bytes(random: Random, data: bytes) -> bytes:
    try:
        return random.choice((change_json_text, text_trap, *BYTES))(random, data)
    except ValueError:
        return b"{}"


def change_parquet(random: Random, data: bytes) -> bytes:
    out = io.BytesIO()
    pq.write_table(change_table(random, pq.read_table(io.BytesIO(data))), out)
    return out.getvalue()


def change_arrow(random: Random, data: bytes) -> bytes:
    table = change_table(random, pa.ipc.open_file(data).read_all())
    batches = table.combine_chunks().to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
    out = io.BytesIO()
    with pa.ipc.new_file(out, table.schema) as writer:
        for batch in batches * random.choice((1, 1, 1, 2)):
            writer.write_batch(batch)
    return out.getvalue()


def change_gzip(random: Random, data: bytes) -> bytes:
    """The content changed before it is packed, or a bomb."""
    if random.random() < 0.02:
        return gzip.compress(data[:8] + bytes(1 << 24))
    return gzip.compress(random.choice(BYTES)(random, gzip.decompress(data)), 1)


AWARE: dict[str, tuple[Mutation, ...]] = {
    ".json": (change_json_text, change_json_text, change_json_text, change_json_text, double_key, text_trap, text_trap),
    ".jsonl": (change_line, change_line, change_line, text_trap, text_trap),
    ".yaml": (change_yaml, change_yaml, change_yaml, yaml_trap, yaml_trap, text_trap),
    ".npz": (change_npz,) * 6,
    ".npy": (change_npy,) * 4,
    ".parquet": (change_parquet,) * 5,
    ".arrow": (change_arrow,) * 6,
    ".gz": (change_gzip,) * 6,
    ".txt": (text_trap,) * 3,
    ".csv": (text_trap,) * 5,
    ".lock": (change_json_text, change_json_text, text_trap),
}


# --- things that are no file ----------------------------------------------------------------------------------------


def no_file(random: Random, path: Path) -> None:
    """A folder, a pipe, a socket, a device, a link to nowhere or to itself, or nothing, in place of a file."""
    path.unlink()
    match random.randrange(7):
        case 0:
            path.mkdir()
        case 1:
            os.mkfifo(path)
        case 2:
            here = os.getcwd()
            os.chdir(path.parent)  # the name of a socket is short
            try:
                with socket.socket(socket.AF_UNIX) as own:
                    own.bind(path.name[:90])
            finally:
                os.chdir(here)
        case 3:
            path.symlink_to("/dev/zero")
        case 4:
            path.symlink_to("nowhere")
        case 5:
            path.symlink_to(path.name)


def mutate(random: Random, path: Path) -> str:
    """Damage one file in place; what was done."""
    if random.random() < 0.02:
        no_file(random, path)
        return "no file"
    data = path.read_bytes()
    kinds = (*BYTES, *AWARE.get(path.suffix, ()))
    kind = random.choice(kinds)
    try:
        changed = kind(random, data)
    except (ValueError, TypeError, KeyError, OverflowError, pa.ArrowException, UnicodeError) as error:
        changed, kind = flip(random, data), flip
        del error
    path.write_bytes(changed)
    return kind.__name__
