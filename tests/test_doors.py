"""Every reader goes through one door: whatever is wrong with a file is one line of ours, and no file takes more memory
or time than it has bytes for."""

from __future__ import annotations

import gzip
import io
import json
import os
import socket
import struct
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import trainmap as tm
import trainmap.files
import trainmap.limits
from trainmap.array_files import read_npy, read_npz
from trainmap.data.image_folders import MOST_PIXELS, folder_rows
from trainmap.data.sources import _read_idx
from trainmap.dynamics.exchange import study_json as study_file
from trainmap.dynamics.exchange.allenai import epoch_files, import_allenai
from trainmap.errors import LONGEST, StoreError, TrainmapError
from trainmap.experiments.file.variants import load_experiment
from trainmap.experiments.file.yamlfile import read as read_yaml
from trainmap.experiments.runs.job import read_record
from trainmap.files import parse_json, read_json, read_text, reading, writing
from trainmap.limits import check_room
from trainmap.machine import parse_bytes
from trainmap.parquet_files import read_frame, read_parquet

# --- the door -------------------------------------------------------------------------------------------------------


class Panic(BaseException):
    """What polars raises where Rust panics."""


Panic.__name__ = "PanicException"

FOREIGN = (
    (ValueError("bad\nvalue"), "is not a map (bad value); restore it"),
    (RecursionError("maximum recursion depth exceeded"), "is not a map (maximum recursion depth exceeded)"),
    (KeyError("id"), "is not a map ('id')"),
    (pa.ArrowInvalid("no magic"), "is not a map (no magic)"),
    (Panic("called unwrap"), "is not a map (called unwrap)"),
    (OSError("a library calls bytes so"), "is not a map (a library calls bytes so)"),
    (PermissionError(13, "Permission denied"), "cannot be read: Permission denied"),
    (MemoryError(), "asks for more memory than there is"),
    (FileNotFoundError(2, "No such file", "x.map"), "there is no map at x.map"),
    (ValueError("x" * 9000), "..."),
)


@pytest.mark.parametrize(
    ("error", "message"), FOREIGN, ids=[f"{n} {type(one[0]).__name__}" for n, one in enumerate(FOREIGN)]
)
def test_whatever_a_library_raises_is_one_line_with_the_path(
    tmp_path: Path, error: BaseException, message: str
) -> None:
    with pytest.raises(StoreError) as caught, reading(tmp_path / "a.map", "map"):
        raise error
    said = str(caught.value)
    assert message in said
    assert "\n" not in said
    assert max(map(len, said.split())) <= LONGEST


@pytest.mark.parametrize("error", [KeyboardInterrupt(), SystemExit(1), GeneratorExit()])
def test_what_is_no_mistake_in_a_file_passes_the_door(error: BaseException) -> None:
    with pytest.raises(type(error)), reading("x"):
        raise error


def test_a_message_is_one_line_of_short_words_whatever_it_is_made_of() -> None:
    said = str(TrainmapError(f"{'p' * 5000}/x is wrong:\n\x1b[31m{'9' * 4500} \ud800\u202e\ufeff" + " word" * 3000))
    assert said.isprintable()
    assert said.startswith("ppp")
    assert "/x is wrong: [31m999" in said
    assert max(map(len, said.split())) <= LONGEST
    assert len(said) <= 4000


@pytest.mark.parametrize("make", ["pipe", "socket", "device", "folder", "nowhere", "itself"])
@pytest.mark.parametrize(
    "read",
    [
        read_json,
        read_text,
        read_yaml,
        tm.DataMap.open,
        tm.Selection.open,
        read_parquet,
        lambda p: read_npz(p, ["a"]),
        read_npy,
    ],
)
def test_what_is_no_file_is_refused_at_once(tmp_path: Path, make: str, read: Callable[[Path], Any]) -> None:
    path = tmp_path / "a"
    match make:
        case "pipe":
            os.mkfifo(path)
        case "socket":
            here = os.getcwd()
            os.chdir(tmp_path)
            with socket.socket(socket.AF_UNIX) as own:
                own.bind("a")
            os.chdir(here)
        case "device":
            path.symlink_to("/dev/zero")
        case "folder":
            path.mkdir()
        case "nowhere":
            path.symlink_to("nowhere")
        case _:
            path.symlink_to("a")
    with pytest.raises(TrainmapError):
        read(path)


@pytest.mark.parametrize("name", ["a" * 300, "a\0b", "\ud800", "x/" * 3000])
def test_names_that_no_file_can_have_are_refused(tmp_path: Path, name: str) -> None:
    for use in (read_json, tm.DataMap.open, tm.Selection.open, read_yaml, tm.Dynamics.open, epoch_files, read_parquet):
        with pytest.raises(TrainmapError) as caught:
            use(f"{tmp_path}/{name}")
        assert len(str(caught.value)) < 1000
    with pytest.raises(StoreError), writing(f"{tmp_path}/{name}") as handle:
        handle.write(b"x")


def test_a_folder_that_may_not_be_read_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "training_dynamics").mkdir()

    def refuse(self: Path) -> Any:
        raise PermissionError(13, "Permission denied", str(self))

    monkeypatch.setattr(Path, "iterdir", refuse)
    with pytest.raises(StoreError, match="cannot be read: Permission denied"):
        epoch_files(tmp_path)


def test_a_full_disk_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(trainmap.files.os, "fsync", full)
    with pytest.raises(StoreError, match=r"a\.json cannot be written: No space left on device"):
        trainmap.files.write_json(tmp_path / "a.json", {})
    assert list(tmp_path.iterdir()) == []


# --- JSON -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"[" * 200_000, "recursion"),
        (b'{"a":' * 200_000, "recursion"),
        (b"9" * 5000, "4300"),
        (b'{"a": "\xff"}', "utf-8"),
        (b'{"a": 1, "b": {"c": 1, "c": 2}}', "the key 'c' stands twice"),
        (b"", "Expecting value"),
        (b"\xff\xfe{\0}\0", "utf-8"),
    ],
)
def test_json_that_breaks_readers_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    (tmp_path / "a.json").write_bytes(content)
    with pytest.raises(StoreError, match=rf"a\.json is not a card .*{message}"):
        read_json(tmp_path / "a.json", "card")


def test_a_byte_order_mark_is_no_part_of_a_text(tmp_path: Path) -> None:
    (tmp_path / "a.json").write_bytes(b'\xef\xbb\xbf{"a": [1]}')
    assert read_json(tmp_path / "a.json") == {"a": [1]}
    (tmp_path / "a.yaml").write_bytes(b"\xef\xbb\xbftitle: x\n")
    assert read_yaml(tmp_path / "a.yaml").value == {"title": "x"}


def test_a_key_that_stands_twice_is_found_in_linear_time() -> None:
    text = "{" + ", ".join(f'"{at}": 0' for at in range(200_000)) + ', "199999": 1}'
    with pytest.raises(ValueError, match="'199999' stands twice"):
        parse_json(text)


def test_the_memory_of_json_is_checked_before_it_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(trainmap.limits, "memory_of_machine", lambda: 1 << 20)
    (tmp_path / "a.json").write_text(json.dumps([[]] * 10_000))
    with pytest.raises(StoreError, match=r"asks for 960 kB of memory, a file may take 524 kB"):
        read_json(tmp_path / "a.json")


# --- files of allenai and of the study ------------------------------------------------------------------------------


def epochs(folder: Path, *contents: bytes) -> Path:
    (folder / "training_dynamics").mkdir(exist_ok=True)
    for epoch, content in enumerate(contents):
        (folder / "training_dynamics" / f"dynamics_epoch_{epoch}.jsonl").write_bytes(content)
    return folder


def lines(epoch: int, names: tuple[str, ...] = ("a", "b")) -> bytes:
    return "".join(
        json.dumps({"guid": name, f"logits_epoch_{epoch}": [0.5, 1.5], "gold": 0}) + "\n" for name in names
    ).encode()


@pytest.mark.parametrize("allow", [False, True])
def test_a_byte_order_mark_is_accepted_in_every_epoch(tmp_path: Path, allow: bool) -> None:
    marked = [b"\xef\xbb\xbf" + lines(epoch) for epoch in range(3)]
    dynamics = import_allenai(epochs(tmp_path, *marked), tmp_path / "out", allow_missing=allow)
    assert dynamics.ids.tolist() == ["a", "b"]


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("content", [b"", b"\n\n", b" \n\t\n"])
@pytest.mark.parametrize("epoch", [0, 1, 2])
def test_an_epoch_without_lines_is_refused_wherever_it_stands(
    tmp_path: Path, epoch: int, content: bytes, allow: bool
) -> None:
    contents = [lines(number) for number in range(3)]
    contents[epoch] = content
    with pytest.raises(StoreError, match=rf"dynamics_epoch_{epoch}\.jsonl"):
        import_allenai(epochs(tmp_path, *contents), tmp_path / "out", allow_missing=allow)


@pytest.mark.parametrize("allow", [False, True])
@pytest.mark.parametrize("epoch", [0, 2])
@pytest.mark.parametrize(
    "line",
    [
        b'{"guid": "\xff\xfe", "logits_epoch_E": [0.5, 1.5], "gold": 0}\n',
        b'{"guid": ' + b"[" * 100_000 + b"\n",
        b'{"guid": "c", "logits_epoch_E": [0.5, ' + b"1" * 5000 + b'], "gold": 0}\n',
        b'{"guid": "c", "logits_epoch_E": [0.5, 1.5], "gold": ' + b"1" * 5000 + b"}\n",
        b'{"guid": "c", "guid": "d", "logits_epoch_E": [0.5, 1.5], "gold": 0}\n',
        b'{"guid": "\\ud800", "logits_epoch_E": [0.5, 1.5], "gold": 0}\n',
    ],
)
def test_a_line_that_breaks_readers_is_refused_with_file_and_line(
    tmp_path: Path, line: bytes, epoch: int, allow: bool
) -> None:
    contents = [lines(number) for number in range(3)]
    contents[epoch] += line.replace(b"_E", f"_{epoch}".encode())
    with pytest.raises(StoreError, match=rf"dynamics_epoch_{epoch}\.jsonl") as caught:
        import_allenai(epochs(tmp_path, *contents), tmp_path / "out", allow_missing=allow)
    assert len(str(caught.value)) < 1000
    assert not (tmp_path / "out").exists()


def test_an_epoch_of_a_huge_number_is_a_gap_and_takes_no_memory(tmp_path: Path) -> None:
    epochs(tmp_path, lines(0))
    (tmp_path / "training_dynamics" / "dynamics_epoch_999999999.jsonl").write_bytes(lines(1))
    with pytest.raises(StoreError, match=r"dynamics_epoch_1\.jsonl is missing \(and 999999997 more\)"):
        epoch_files(tmp_path)


def test_a_long_value_is_decoded_a_few_times_and_not_for_each_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(study_file, "TEXT_CHARACTERS", 64)
    entry = {
        "gold_label_probs": [0.5] * 20_000,
        "confidence": 0.5,
        "variability": 0,
        "correctness": 1,
        "forgetfulness": 0,
    }
    (tmp_path / "a.json").write_text(json.dumps({"0": entry}))
    decoded = 0

    def counting(stream: Any, path: Path, handle: Any) -> None:
        first(stream, path, handle)
        decode = stream.decode

        def counted(text: str, at: int) -> Any:
            nonlocal decoded
            decoded += 1
            return decode(text, at)

        stream.decode = counted

    first = study_file._Stream.__init__
    monkeypatch.setattr(study_file._Stream, "__init__", counting)
    assert list(study_file._entries(tmp_path / "a.json")) == [("0", entry)]
    assert decoded < 20  # 1,600 pieces of 64 characters


# --- arrays ---------------------------------------------------------------------------------------------------------


def declared(shape: tuple[int, ...], kind: str = "<f8", content: bytes = b"") -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array_header_1_0(out, {"descr": kind, "fortran_order": False, "shape": shape})
    return out.getvalue() + content


@pytest.mark.parametrize("shape", [(10**13,), (2**40, 2**40), (-1,), (2**62, 4)])
def test_an_array_that_declares_more_than_its_file_holds_is_refused(tmp_path: Path, shape: tuple[int, ...]) -> None:
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", declared(shape, content=bytes(800)))
    (tmp_path / "a.npy").write_bytes(declared(shape, content=bytes(800)))
    for read in (lambda: read_npz(tmp_path / "a.npz", ["a"]), lambda: read_npy(tmp_path / "a.npy")):
        with pytest.raises(StoreError, match=r"is not what its .* bytes hold|negative side"):
            read()


def test_arrays_come_back_as_numpy_wrote_them(tmp_path: Path) -> None:
    arrays = {
        "a": np.arange(12.0).reshape(3, 4),
        "b": np.array("x"),
        "c": np.zeros((0, 3)),
        "d": np.asfortranarray(np.eye(3)),
    }
    for save in (np.savez, np.savez_compressed):
        save(tmp_path / "a.npz", **arrays)
        found = read_npz(tmp_path / "a.npz", ["a", "b"], ["c", "d", "e"])
        assert list(found) == ["a", "b", "c", "d"]
        for name, array in found.items():
            np.testing.assert_array_equal(array, arrays[name], strict=True)
    for array in arrays.values():
        np.save(tmp_path / "a.npy", array)
        np.testing.assert_array_equal(read_npy(tmp_path / "a.npy"), array, strict=True)


def test_the_other_kinds_of_zip_archives_are_refused_or_read(tmp_path: Path) -> None:
    out = io.BytesIO()
    np.save(out, np.arange(3))
    with zipfile.ZipFile(tmp_path / "a.npz", "w") as file:
        file.writestr("a.npy", out.getvalue())
    data = bytearray((tmp_path / "a.npz").read_bytes())
    for at in (8, data.index(b"PK\1\2") + 10):  # the method of compression, in both places: one that Python lacks
        data[at : at + 2] = struct.pack("<H", 97)
    (tmp_path / "a.npz").write_bytes(data)
    with pytest.raises(StoreError, match="compression method is not supported"):
        read_npz(tmp_path / "a.npz", ["a"])


def test_compressed_data_may_grow_only_so_far(tmp_path: Path) -> None:
    check_room("x", 1 << 28, 1000)
    check_room("x", 100 << 24, 1 << 24)
    with pytest.raises(StoreError, match=r"unpacks 3.3 MB to 2 GB; beyond 268 MB at most 100 times"):
        check_room("x", 2 * 10**9, 3_300_000)
    bomb = struct.pack(">4B3I", 0, 0, 8, 3, 40_000, 256, 256) + bytes(1 << 20)
    (tmp_path / "a.gz").write_bytes(gzip.compress(bomb))
    with pytest.raises(StoreError, match=r"unpacks .* to 2\.62 GB"):
        _read_idx(tmp_path / "a.gz")
    (tmp_path / "b.gz").write_bytes(gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 10) + bytes(1 << 24)))
    with pytest.raises(TrainmapError, match=r"must hold \(10,\) = 10 values, got more"):
        _read_idx(tmp_path / "b.gz")


# --- tables ---------------------------------------------------------------------------------------------------------


def test_a_table_that_declares_more_than_fits_is_refused_before_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    word = "x" * 100_000
    many = pa.array([word, "y"]).dictionary_encode().take(pa.array(np.zeros(20_000, np.int32)))
    pq.write_table(pa.table({"text": many}), tmp_path / "words.parquet", store_schema=False)
    pq.write_table(pa.table({"a": np.zeros(1_000_000)}), tmp_path / "zeros.parquet")
    monkeypatch.setattr(trainmap.limits, "memory_of_machine", lambda: 10_000_000)
    for name, size in (("words", "2 GB"), ("zeros", "8 MB")):
        assert (tmp_path / f"{name}.parquet").stat().st_size < 300_000
        with pytest.raises(StoreError, match=rf"asks for {size} of memory, a file may take 5 MB"):
            read_parquet(tmp_path / f"{name}.parquet")


def test_a_table_comes_back_as_polars_reads_it(tmp_path: Path) -> None:
    frame = pl.DataFrame(
        {
            "a": ["x", None, "y"],
            "b": [1, None, 3],
            "c": pl.Series(["p", "q", "p"], dtype=pl.Categorical),
            "d": [0.5, 1, 2],
        }
    )
    frame.write_parquet(tmp_path / "a.parquet")
    assert read_frame(tmp_path / "a.parquet").equals(pl.read_parquet(tmp_path / "a.parquet"))
    pq.write_table(frame.to_arrow(), tmp_path / "b.parquet")
    assert read_frame(tmp_path / "b.parquet").equals(frame)


def test_text_that_is_not_utf8_and_columns_that_come_twice_are_refused(tmp_path: Path) -> None:
    bad = pa.StringArray.from_buffers(1, pa.py_buffer(struct.pack("<2i", 0, 1)), pa.py_buffer(b"\xff"))
    pq.write_table(pa.table({"a": bad}), tmp_path / "a.parquet")
    with pytest.raises(StoreError, match=r"UTF8|UTF-8"):
        read_parquet(tmp_path / "a.parquet")
    pq.write_table(pa.table([pa.array([1]), pa.array([2])], ["a", "a"]), tmp_path / "b.parquet")
    with pytest.raises(StoreError, match="has a column twice"):
        read_parquet(tmp_path / "b.parquet")
    for column in (pa.array([1]), pa.StructArray.from_arrays([pa.array([1])], names=["b\0c"])):
        pq.write_table(pa.table([column], ["a\0" if column.type == pa.int64() else "a"]), tmp_path / "c.parquet")
        with pytest.raises(StoreError, match="NUL character in the name of a column"):
            read_frame(tmp_path / "c.parquet")


def test_pictures_are_measured_before_they_are_unpacked(tmp_path: Path) -> None:
    from PIL import Image

    (tmp_path / "p" / "cats").mkdir(parents=True)
    Image.new("1", (9000, 9000)).save(tmp_path / "p" / "cats" / "a.png")
    assert (tmp_path / "p" / "cats" / "a.png").stat().st_size < 50_000
    with pytest.raises(TrainmapError, match=rf"9,000 x 9,000 pixels, at most {MOST_PIXELS:,} are taken"):
        folder_rows(tmp_path / "p")


# --- experiments ----------------------------------------------------------------------------------------------------

BOMB = "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(
    f"{new}: &{new} [{', '.join([f'*{old}'] * 9)}]\n" for old, new in zip("abcdefgh", "bcdefghi")
)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (BOMB, r"a\.yaml:\d+: more than 10,000 values, each alias counted"),
        ("a: &a [*a]\n", r"a\.yaml:1: nested more than 50 deep"),
        ("a: " + "[" * 100 + "]" * 100, r"a\.yaml:1: nested more than 50 deep"),
        ("a: " + "[" * 20_000, r"a\.yaml: nested more than 50 deep"),
        ("a: 1\nb: " + "9" * 5000, r"a\.yaml:2: a number has at most 300 digits, got 5,000"),
        ("a: '" + "x" * 2_000_000 + "'", r"a\.yaml has 2,000,005 bytes, an experiment file has at most 1,048,576"),
        ("a: \x00", r"a\.yaml: not YAML"),
    ],
)
def test_yaml_that_grows_or_never_ends_is_refused_with_its_line(tmp_path: Path, text: str, message: str) -> None:
    (tmp_path / "a.yaml").write_text(text)
    with pytest.raises(TrainmapError, match=message):
        read_yaml(tmp_path / "a.yaml")


def experiment(tmp_path: Path, more: str) -> Path:
    (tmp_path / "a.yaml").write_text(
        "title: x\ndata: {names: [digits]}\nteachers: [{model: mlp-256}]\nstudents: [{model: mlp-256}]\n" + more
    )
    return tmp_path / "a.yaml"


def test_a_grid_is_counted_before_it_is_made(tmp_path: Path) -> None:
    long = json.dumps(list(range(1, 2000)))
    path = experiment(tmp_path, f"grid:\n  cross:\n    data.split_seed: {long}\n    data.noise_seed: {long}\n")
    with pytest.raises(TrainmapError, match=r"a\.yaml:6: grid\.cross: the lists make 3,996,001 points"):
        load_experiment(path)
    path = experiment(
        tmp_path, f"subsets: [random]\nseeds: {long}\nsizes: {json.dumps([at / 2000 for at in range(1, 2000)])}\n"
    )
    with pytest.raises(TrainmapError, match="make more than 200,000 runs"):
        load_experiment(path)


def test_a_section_put_over_the_file_keeps_the_places_of_both(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text("a: {b: 1, c: {d: 2}}\nsmall:\n  a:\n    c: {e: 3}\n    b: [4]\n")
    found = read_yaml(tmp_path / "a.yaml")
    small = found.part("small")
    assert small is not None
    merged = found.without(["small"]).merged(small)
    assert merged.value == {"a": {"b": [4], "c": {"d": 2, "e": 3}}}
    told = {".".join(map(str, at)): place.rpartition(":")[2] for at, place in merged.places.items() if at}
    assert told == {"a": "1", "a.b": "5", "a.b.0": "5", "a.c": "1", "a.c.d": "1", "a.c.e": "4"}


@pytest.mark.parametrize(
    "value", [None, [], 3, "x", {"result": 3, "seconds": 1.0}, {"result": {}, "seconds": "1"}, {"result": {}}]
)
def test_a_result_that_is_none_is_named(tmp_path: Path, value: Any) -> None:
    (tmp_path / "a.json").write_text(json.dumps(value))
    with pytest.raises(StoreError, match=r"a\.json .*remove it"):
        read_record(tmp_path / "a.json", "remove it")


# --- values ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("text", ["9" * 400 + "TB", "1" + "0" * 15 + "GB", "1e3GB", "-1", "", "٣GB", "1" * 10_000])
def test_an_amount_of_memory_has_a_size(text: str) -> None:
    with pytest.raises(TrainmapError, match="an amount of memory is a number of at most 15 digits"):
        parse_bytes(text)
    assert parse_bytes("1.5 GB") == 1_500_000_000


@pytest.mark.parametrize(
    ("rank", "world"), [("0", 2), (0, "2"), (0.0, 2), (True, 2), (0, 0), (-1, 2), (2, 2), (10**400, 2)]
)
def test_a_rank_is_a_whole_number_below_the_world_size(tmp_path: Path, rank: Any, world: Any) -> None:
    with pytest.raises(TrainmapError, match=r"rank must be|world_size must be"):
        tm.Recorder(tmp_path / "d", classes=3, rank=rank, world_size=world)


@pytest.mark.parametrize("classes", [10**9, 10**30, 1 << 25])
def test_classes_that_no_memory_holds_are_refused_at_the_door(tmp_path: Path, classes: int) -> None:
    with pytest.raises(TrainmapError, match="classes must be at most"):
        tm.Recorder(tmp_path / "d", classes=classes)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    "arguments",
    [
        ["show", "none.parquet"],
        ["show", "a" * 300],
        ["map", "folder"],
        ["run", "deep.yaml", "--out", "out"],
        ["report", "folder"],
        ["status", "."],
        ["score", "folder", "--max-memory", "9" * 50 + "TB", "--out", "s.parquet"],
        ["schema", "--out", "a.json/b.json"],
    ],
)
def test_the_command_says_one_line_and_ends_with_2(tmp_path: Path, arguments: list[str]) -> None:
    (tmp_path / "folder").mkdir()
    (tmp_path / "a.json").write_text("{")
    (tmp_path / "deep.yaml").write_text("a: " + "[" * 5000)
    command = [sys.executable, "-m", "trainmap", *arguments]
    env = os.environ | {"PYTHONPATH": str(Path(tm.__file__).parents[1])}
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, check=False, env=env)
    assert done.returncode == 2, done.stderr
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("trainmap: ")
    assert len(done.stderr) < 1000
