"""The folder on disk: read back, by others too, and refused with a clear word when it is not what it must be."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recorded import Run, same
from trainmap.checksums import crc32_of, sealed
from trainmap.dynamics import store
from trainmap.dynamics.columns import Layout, write_columns
from trainmap.dynamics.examples import read_examples, write_examples
from trainmap.dynamics.manifest import read_manifest, write_manifest
from trainmap.dynamics.signals import SIGNALS
from trainmap.dynamics.store import Dynamics, fingerprint
from trainmap.errors import StoreError, TrainmapError


@pytest.fixture
def folder(run: Run, tmp_path: Path) -> Path:
    return run.record(tmp_path / "d", level="logits").path


# --- read back -------------------------------------------------------------------------------------------------------


def test_the_folder_holds_what_the_format_says_and_nothing_else(folder: Path) -> None:
    files = sorted(file.relative_to(folder).as_posix() for file in folder.rglob("*") if file.is_file())
    assert files == [
        "epochs/00000.arrow",
        "epochs/00001.arrow",
        "epochs/00002.arrow",
        "examples.parquet",
        "manifest.json",
    ]
    manifest = json.loads((folder / "manifest.json").read_text())
    assert manifest["format"] == "trainmap-dynamics"
    assert manifest["version"] == 2
    assert {key: manifest[key] for key in ("examples", "classes", "id_type", "source", "level")} == {
        "examples": 40, "classes": 4, "id_type": "int64", "source": "train", "level": "logits",
    }  # fmt: skip
    assert [epoch["file"] for epoch in manifest["epochs"]] == files[:3]
    assert [epoch["bytes"] for epoch in manifest["epochs"]] == [(folder / name).stat().st_size for name in files[:3]]
    assert set(manifest["written_by"]) == {"trainmap", "numpy", "python"}


def test_pyarrow_and_polars_read_an_epoch_without_trainmap(folder: Path, run: Run) -> None:
    block = run.block()
    for table in (
        feather.read_table(folder / "epochs/00001.arrow"),
        pl.read_ipc(folder / "epochs/00001.arrow").to_arrow(),
    ):
        assert table.column_names == [*SIGNALS, "logits"]
        for name in SIGNALS:
            assert table[name].null_count == 0
            np.testing.assert_array_equal(table[name].to_numpy(), block[name][1])
    logits = feather.read_table(folder / "epochs/00001.arrow")["logits"]
    assert logits.type == pa.list_(pa.float16(), 4)


def test_pyarrow_and_polars_read_the_examples_without_trainmap(folder: Path, run: Run) -> None:
    order = np.argsort(run.ids)
    for table in (pq.read_table(folder / "examples.parquet"), pl.read_parquet(folder / "examples.parquet").to_arrow()):
        assert table.column_names == ["row", "id", "label"]
        assert table["row"].to_pylist() == list(range(40))
        assert table["id"].to_pylist() == run.ids[order].tolist()
        assert table["label"].to_pylist() == run.labels[order].tolist()


def test_a_label_that_is_not_known_is_null_on_disk(tmp_path: Path) -> None:
    write_examples(tmp_path, np.array(["a", "b"]), np.array([-1, 2]))
    assert pq.read_table(tmp_path / "examples.parquet")["label"].to_pylist() == [None, 2]


def test_every_signal_and_epoch_is_read_by_memory_map(folder: Path, run: Run) -> None:
    dynamics, block = Dynamics.open(folder), run.block()
    assert dynamics.signals == (*SIGNALS, "logits")
    for epoch in range(3):
        for name in SIGNALS:
            column = dynamics.column(epoch, name)
            assert not column.flags.writeable
            np.testing.assert_array_equal(column, block[name][epoch])
        assert dynamics.column(epoch, "logits").shape == (40, 4)


def test_columns_are_read_where_the_layout_says_they_lie(folder: Path, run: Run) -> None:
    """What a reader in another language would do with offset, type and width."""
    layout, data = Layout.of(folder / "epochs/00002.arrow"), (folder / "epochs/00002.arrow").read_bytes()
    for name in SIGNALS:
        offset, dtype, width = layout.places[name]
        assert width == 1
        assert offset % 8 == 0
        np.testing.assert_array_equal(np.frombuffer(data, dtype, 40, offset), run.block()[name][2])


@settings(max_examples=40, deadline=None)
@given(st.integers(1, 40), st.integers(1, 3), st.sampled_from(["signals", "logits"]))
def test_blocks_joined_are_the_whole_bit_for_bit(
    tmp_path_factory: pytest.TempPathFactory, rows: int, epochs: int, level: Any
) -> None:
    generator = np.random.default_rng(0)
    run = Run(generator.permutation(37), generator.integers(0, 3, 37), 3)
    dynamics = run.record(tmp_path_factory.mktemp("b") / "d", level=level)
    names = [*SIGNALS, "logits"] if level == "logits" else None
    whole, blocks = dynamics.block(signals=names, epochs=epochs), list(dynamics.blocks(rows, names, epochs))
    assert [len(block) for block in blocks[:-1]] == [rows] * (len(blocks) - 1)
    np.testing.assert_array_equal(np.concatenate([block.labels for block in blocks]), whole.labels)
    for name in SIGNALS:
        joined = np.concatenate([block[name] for block in blocks], axis=1)
        assert joined.tobytes() == whole[name].tobytes() == run.block()[name][:epochs].tobytes()
    if level == "logits":
        assert np.concatenate([block.logits for block in blocks], axis=1).tobytes() == whole.logits.tobytes()  # type: ignore[union-attr, misc]


def test_the_numbers_of_a_block_cannot_be_changed_by_a_score(folder: Path) -> None:
    block = Dynamics.open(folder).block()
    for name in SIGNALS:
        with pytest.raises(ValueError, match="read-only"):
            block[name][:] = 0


def test_a_block_takes_only_the_signals_asked_for(folder: Path) -> None:
    block = Dynamics.open(folder).block(5, 9, ["margin"])
    assert list(block.signals) == ["margin"]
    assert block["margin"].shape == (3, 4)
    assert block.logits is None


@pytest.mark.parametrize(
    ("ask", "message"),
    [
        (lambda d: d.block(5, 41), "rows must be within 0 to 40, got 5 to 41"),
        (lambda d: d.block(-1, 3), "rows must be within 0 to 40, got -1 to 3"),
        (lambda d: d.block(7, 3), "rows must be within 0 to 40, got 7 to 3"),
        (lambda d: d.block(epochs=4), r"epochs must be 1 to 3 \(those recorded\), got 4"),
        (lambda d: d.block(epochs=0), r"epochs must be 1 to 3"),
        (lambda d: d.block(signals=["gradient"]), r"\(level 'logits'\) holds p_gold, .*; 'gradient' is not in it"),
        (lambda d: d.column(3, "loss"), "epoch must be 0 to 2, got 3"),
        (lambda d: d.column(-1, "loss"), "epoch must be 0 to 2, got -1"),
        (lambda d: d.column(0, "gradient"), "epoch 0 holds p_gold, .*; got 'gradient'"),
        (lambda d: d.stats, "running sums are kept at level 'stats'"),
    ],
)
def test_what_is_not_there_cannot_be_asked_for(ask: Callable[[Dynamics], Any], message: str, folder: Path) -> None:
    with pytest.raises(TrainmapError, match=message):
        ask(Dynamics.open(folder))


def test_the_fingerprint_is_of_ids_and_labels_in_any_order(run: Run, tmp_path: Path) -> None:
    print_ = run.record(tmp_path / "d", 1).fingerprint
    assert print_ == fingerprint(run.ids, run.labels) == fingerprint(run.ids[::-1], run.labels[::-1])
    assert print_ == fingerprint(run.ids, run.labels.astype(np.uint8))
    other = run.labels.copy()
    other[0] += 1
    assert fingerprint(run.ids, other) != print_
    assert fingerprint(run.ids + 1, run.labels) != print_
    assert fingerprint(run.ids.astype(str), run.labels) != print_
    with pytest.raises(TrainmapError, match=r"ids and labels must be alike, got 40 ids and 39 labels"):
        fingerprint(run.ids, run.labels[1:])


def test_the_fingerprint_tells_apart_names_that_run_together() -> None:
    assert fingerprint(np.array(["ab", "c"]), np.zeros(2, int)) != fingerprint(np.array(["a", "bc"]), np.zeros(2, int))


def test_a_recording_is_read_while_it_grows(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d") as recorder:
        for epoch in range(3):
            run.feed(recorder, epoch)
            recorder.end_epoch()
            same(Dynamics.open(tmp_path / "d"), run.but(epochs=epoch + 1).block())


def test_sums_that_a_recorder_replaces_while_they_are_opened_are_looked_for_again(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another epoch ends between the reading of the manifest and of what it lists."""
    recorder = run.recorder(tmp_path / "d", level="stats")
    run.feed(recorder, 0)
    recorder.end_epoch()
    real, moments = store.read_examples, [1, 2]

    def later(*arguments: Any) -> Any:
        if moments:
            run.feed(recorder, moments.pop(0))
            recorder.end_epoch()
        return real(*arguments)

    monkeypatch.setattr(store, "read_examples", later)
    dynamics = Dynamics.open(tmp_path / "d")
    assert dynamics.epochs == dynamics.stats.epochs == 3
    (tmp_path / "d" / "stats" / "00003.arrow").unlink()
    with pytest.raises(StoreError, match="is listed in the manifest and missing"):
        Dynamics.open(tmp_path / "d")


@pytest.mark.parametrize(
    ("ids", "labels", "message"),
    [
        ([1.2], [0], "an id is a name, never a measurement"),
        ([1], [0.5], "labels must be integer class indices"),
        ([[1]], [0], "ids must have one dimension"),
    ],
)
def test_a_fingerprint_is_of_ids_and_labels_alone(ids: Any, labels: Any, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        fingerprint(ids, labels)


# --- refused ---------------------------------------------------------------------------------------------------------


def edit_manifest(folder: Path, **changes: Any) -> None:
    path = folder / "manifest.json"
    path.write_text(json.dumps(sealed(json.loads(path.read_text()) | changes)))


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:-9])


def flip(file: Path, place: int) -> None:
    data = bytearray(file.read_bytes())
    data[place] ^= 0x20
    file.write_bytes(data)


def swap_entries(folder: Path) -> None:
    manifest = read_manifest(folder)
    write_manifest(folder, manifest.model_copy(update={"classes": 4, "examples": 39}))


BROKEN: dict[str, tuple[Callable[[Path], Any], str]] = {
    "no folder": (shutil.rmtree, r"is not a dynamics folder: it has no manifest.json \(was an epoch ever finished\?\)"),
    "no manifest": (lambda d: (d / "manifest.json").unlink(), "is not a dynamics folder: it has no manifest.json"),
    "a file": (lambda d: (shutil.rmtree(d), d.write_text("x")), "is a file; a dynamics folder is needed"),
    "a manifest that is a folder": (
        lambda d: ((d / "manifest.json").unlink(), (d / "manifest.json").mkdir()),
        "manifest.json cannot be read: Is a directory",
    ),
    "a torn manifest": (
        lambda d: cut(d / "manifest.json"),
        "manifest.json is not a manifest in JSON .* restore it from a copy",
    ),
    "bytes for a manifest": (lambda d: (d / "manifest.json").write_bytes(b"\xff\xfe\x00"), "is not a manifest in JSON"),
    "an empty manifest": (lambda d: (d / "manifest.json").write_text(""), "is not a manifest in JSON"),
    "a list": (lambda d: (d / "manifest.json").write_text("[]"), "was not written by trainmap: 'format' must be"),
    "another program": (lambda d: edit_manifest(d, format="other"), "was not written by trainmap"),
    "a newer format": (
        lambda d: edit_manifest(d, version=4),
        "has format version 4, this trainmap reads up to 3: upgrade",
    ),
    "a version in words": (lambda d: edit_manifest(d, version="one"), "has format version 'one'"),
    "a version that is true": (lambda d: edit_manifest(d, version=True), "has format version True"),
    "version 0": (lambda d: edit_manifest(d, version=0), "'version' is wrong"),
    "a field of another type": (lambda d: edit_manifest(d, classes="ten"), "'classes' is wrong"),
    "an unknown field": (lambda d: edit_manifest(d, colour="red"), "'colour' is wrong"),
    "a level unknown": (lambda d: edit_manifest(d, level="all"), "'level' is wrong"),
    "a file elsewhere": (
        lambda d: edit_manifest(d, epochs=[{"file": "../../etc/passwd", "seen": 1, "bytes": 1, "crc32": 1}]),
        "'epochs.0.file' is wrong",
    ),
    "other examples": (lambda d: edit_manifest(d, examples=41), "has 40 ids of type int64, the manifest says 41"),
    "fewer examples than were seen": (lambda d: edit_manifest(d, examples=39), "cannot have seen more than the 39"),
    "a manifest that was changed by hand": (
        lambda d: (d / "manifest.json").write_text((d / "manifest.json").read_text().replace('"train"', '"sweep"')),
        "what it says does not match its checksum",
    ),
    "a manifest whose checksum was removed": (
        lambda d: (d / "manifest.json").write_text((d / "manifest.json").read_text().replace("checksum", "check")),
        "'checksum' is missing",
    ),
    "an epoch twice": (
        lambda d: edit_manifest(d, epochs=json.loads((d / "manifest.json").read_text())["epochs"][:1] * 2),
        "each epoch must have a file of its own",
    ),
    "ids of another type": (lambda d: edit_manifest(d, id_type="string"), "40 ids of type int64, .* 40 of type string"),
    "no examples": (lambda d: (d / "examples.parquet").unlink(), "examples.parquet is missing; restore it"),
    "torn examples": (lambda d: cut(d / "examples.parquet"), "examples.parquet is torn"),
    "examples without ids": (
        lambda d: pq.write_table(pa.table({"name": [1]}), d / "examples.parquet"),
        "examples.parquet is torn",
    ),
    "torn examples that no manifest lists": (
        lambda d: (cut(d / "examples.parquet"), edit_manifest(d, examples_file=None)),
        "examples.parquet is not a table of examples",
    ),
    "examples without ids that no manifest lists": (
        lambda d: (
            pq.write_table(pa.table({"name": [1]}), d / "examples.parquet"),
            edit_manifest(d, examples_file=None),
        ),
        "examples.parquet is not a table of examples",
    ),
    "an epoch missing": (
        lambda d: (d / "epochs/00001.arrow").unlink(),
        "00001.arrow is listed in the manifest and miss",
    ),
    "an epoch torn": (
        lambda d: cut(d / "epochs/00001.arrow"),
        r"00001.arrow is torn: \d+ bytes, the manifest says \d+",
    ),
    "an epoch longer": (
        lambda d: (d / "epochs/00001.arrow").write_bytes((d / "epochs/00001.arrow").read_bytes() + b"x"),
        "00001.arrow is torn",
    ),
}


@pytest.mark.parametrize("name", BROKEN)
def test_a_broken_folder_is_refused_with_what_is_wrong(name: str, folder: Path) -> None:
    break_it, message = BROKEN[name]
    break_it(folder)
    with pytest.raises(StoreError, match=message):
        Dynamics.open(folder)


@pytest.mark.parametrize("name", [name for name in BROKEN if name not in ("no folder", "no manifest", "a file")])
def test_a_recorder_does_not_go_on_in_a_broken_folder_and_changes_nothing(name: str, folder: Path, run: Run) -> None:
    BROKEN[name][0](folder)
    before = {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()}
    with pytest.raises(StoreError):
        run.recorder(folder, level="logits")
    assert {file: file.read_bytes() for file in folder.rglob("*") if file.is_file()} == before


def test_damage_inside_a_file_is_found_by_verify(folder: Path) -> None:
    Dynamics.open(folder).verify()
    flip(folder / "epochs/00001.arrow", 2000)
    dynamics = Dynamics.open(folder)
    with pytest.raises(StoreError, match=r"00001.arrow is damaged: its bytes do not match the checksum"):
        dynamics.verify()


def test_damage_inside_the_examples_is_found_when_they_are_read(folder: Path) -> None:
    file = folder / "examples.parquet"
    for place in range(4, file.stat().st_size, 97):
        whole = file.read_bytes()
        flip(file, place)
        try:
            ids, labels = read_examples(folder, read_manifest(folder))
        except StoreError:
            continue
        finally:
            changed = file.read_bytes()
            file.write_bytes(whole)
        good_ids, good_labels = read_examples(folder, read_manifest(folder))
        np.testing.assert_array_equal(ids, good_ids, err_msg=str((place, changed[place])))
        np.testing.assert_array_equal(labels, good_labels)


def test_damage_anywhere_in_an_epoch_is_an_error_or_other_numbers_but_never_a_crash(folder: Path) -> None:
    file = folder / "epochs/00001.arrow"
    whole = file.read_bytes()
    for place in range(0, len(whole), 41):
        flip(file, place)
        try:
            dynamics = Dynamics.open(folder)
            dynamics.block()
            dynamics.column(1, "loss")
        except TrainmapError:
            pass
        with pytest.raises(StoreError, match=r"damaged"):
            dynamics.verify()
        file.write_bytes(whole)


def test_an_epoch_of_another_recording_is_refused(folder: Path, run: Run) -> None:
    other = run.but(ids=run.ids[:9], labels=run.labels[:9]).record(folder.parent / "other")
    shutil.copy(other.path / "epochs/00001.arrow", folder / "epochs/00001.arrow")
    with pytest.raises(StoreError, match=r"torn"):
        Dynamics.open(folder)
    manifest = read_manifest(folder)
    entries = [manifest.epochs[0], read_manifest(other.path).epochs[1], manifest.epochs[2]]
    write_manifest(folder, manifest.model_copy(update={"epochs": entries}))
    with pytest.raises(StoreError, match=r"00001.arrow has 9 rows, the manifest says 40"):
        Dynamics.open(folder).block()


def replace_epoch(folder: Path, columns: dict[str, Any]) -> None:
    manifest = read_manifest(folder)
    entry = write_columns(folder, "epochs/00001.arrow", columns, 40)
    write_manifest(folder, manifest.model_copy(update={"epochs": [manifest.epochs[0], entry, manifest.epochs[2]]}))


def test_an_epoch_with_a_column_of_another_type_is_refused(folder: Path) -> None:
    replace_epoch(folder, {"p_gold": np.zeros(40)})
    with pytest.raises(StoreError, match=r"00001.arrow has 'p_gold' as float64, it must be float32"):
        Dynamics.open(folder).block()


def test_a_compressed_epoch_is_refused(folder: Path) -> None:
    """Its columns do not lie anywhere."""
    table = feather.read_table(folder / "epochs/00001.arrow")
    file = folder / "epochs/00001.arrow"
    feather.write_feather(table, file, compression="lz4")
    manifest = read_manifest(folder)
    entry = manifest.epochs[1].model_copy(update={"bytes": file.stat().st_size, "crc32": crc32_of(file)})
    write_manifest(folder, manifest.model_copy(update={"epochs": [manifest.epochs[0], entry, manifest.epochs[2]]}))
    with pytest.raises(StoreError, match=r"00001.arrow must be uncompressed"):
        Dynamics.open(folder).block()


def test_an_epoch_that_is_no_arrow_file_is_refused(folder: Path) -> None:
    file = folder / "epochs/00001.arrow"
    file.write_bytes(b"\0" * file.stat().st_size)
    with pytest.raises(StoreError, match=r"00001.arrow is damaged"):
        Dynamics.open(folder).block()
    with pytest.raises(StoreError, match=r"00001.arrow is not a whole Arrow file"):
        Dynamics.open(folder, verify=False).block()


def test_an_epoch_cut_while_it_is_read_is_an_error(folder: Path) -> None:
    dynamics = Dynamics.open(folder)
    layout = dynamics.layouts[1]
    os.truncate(folder / "epochs/00001.arrow", 900)
    with pytest.raises(StoreError, match=r"00001.arrow is torn: 900 bytes"):
        dynamics.block()
    with (
        open(layout.path, "rb", buffering=0) as handle,
        pytest.raises(StoreError, match=r"ended early while it was read"),
    ):
        layout.read("el2n", 0, np.empty(40, np.float32), handle)
