"""The card of a selection: saved, opened, checked against a dataset, compared, and refused when it was changed."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from trainmap.errors import StoreError, TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.schedules import RepeatedRandom
from trainmap.selection.card import Selection
from trainmap.selection.select import select

MakeMap = Callable[..., DataMap]


@pytest.fixture
def datamap(make_map: MakeMap) -> DataMap:
    return make_map(40)


@pytest.fixture
def selection(datamap: DataMap) -> Selection:
    return select(datamap, "25% ambiguous + 3 random", seed=5)


def ids_of(card: Path) -> Path:
    (found,) = card.parent.glob(f"{card.stem}.ids-????????????.parquet")
    return found


def alike(one: Selection, other: Selection) -> bool:
    return one.ids.dtype == other.ids.dtype and vars(one) | {"ids": one.ids.tolist()} == vars(other) | {
        "ids": other.ids.tolist()
    }


@pytest.mark.parametrize("ids", [np.arange(40) - 20, np.array([f"häus/{i:02}" for i in range(40)])])
def test_a_saved_card_opens_as_it_was(make_map: MakeMap, tmp_path: Path, ids: Any) -> None:
    datamap = make_map(40, ids=ids)
    selection = select(datamap, "25% ambiguous + 3 random", seed=5, balance="equal")
    path = selection.save(tmp_path / "deep" / "card.v1.json")
    assert alike(Selection.open(path), selection)
    assert {item.name for item in path.parent.iterdir()} == {ids_of(path).name, "card.v1.json"}


def test_ids_that_a_schedule_chose_become_a_card(datamap: DataMap, tmp_path: Path) -> None:
    ids = RepeatedRandom(datamap.ids, 15, seed=3).plan(2).ids
    selection = Selection.of(datamap, ids[::-1], "repeated random, epoch 2", seed=3)
    assert (selection.ids.tolist(), selection.fraction, selection.seed) == (ids.tolist(), 15 / 40, 3)
    opened = Selection.open(selection.save(tmp_path / "card.json"))
    assert alike(opened, selection)
    opened.verify(datamap.ids, datamap.labels)
    assert selection.diff(select(datamap, "100%")).overlap == 15 / 40


@pytest.mark.parametrize(
    ("ids", "message"),
    [
        ([], "at least one example"),
        ([3, 4, 3], "must be distinct"),
        ([3, 40], r"1 selected ids are not in the dataset \(first: 40\)"),
        (["3"], "the selection's ids are strings, the dataset's are integers"),
        ([1.5], "ids must be integers or strings"),
    ],
)
def test_ids_that_are_no_part_of_the_map_become_no_card(datamap: DataMap, ids: list[Any], message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        Selection.of(datamap, ids, "by hand")


def test_a_card_is_read_without_trainmap(selection: Selection, tmp_path: Path) -> None:
    path = selection.save(tmp_path / "card.json")
    about = json.loads(path.read_text())
    assert (about["size"], about["examples"], about["seed"], about["spec"]) == (13, 40, 5, "25% ambiguous + 3 random")
    assert about["parts"][0] == {"part": "25% ambiguous", "size": 10, "passed_over": 0}
    assert pl.read_parquet(path.parent / about["ids"])["id"].to_list() == selection.ids.tolist()


def test_a_card_and_its_ids_move_together(selection: Selection, tmp_path: Path) -> None:
    path = selection.save(tmp_path / "here" / "card.json")
    moved = path.parent.rename(tmp_path / "there")
    assert alike(Selection.open(moved / "card.json"), selection)


def test_saving_over_a_card_replaces_it(datamap: DataMap, selection: Selection, tmp_path: Path) -> None:
    selection.save(tmp_path / "card.json")
    other = select(datamap, "5 random")
    other.save(tmp_path / "card.json")
    assert alike(Selection.open(tmp_path / "card.json"), other)
    assert len(list(tmp_path.iterdir())) == 2, "the ids of the old card are gone"
    other.save(tmp_path / "card.json")
    assert alike(Selection.open(tmp_path / "card.json"), other)


def test_saving_over_a_copy_of_a_card_leaves_the_ids_of_the_first(
    datamap: DataMap, selection: Selection, tmp_path: Path
) -> None:
    first = selection.save(tmp_path / "first.json")
    copy = tmp_path / "copy.json"
    copy.write_bytes(first.read_bytes())
    select(datamap, "5 random").save(copy)
    assert alike(Selection.open(first), selection)


@pytest.mark.parametrize("last", ["card.json", ".parquet"])
def test_a_kill_while_a_card_is_saved_over_leaves_the_old_selection(
    last: str, datamap: DataMap, selection: Selection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = selection.save(tmp_path / "card.json")
    real = os.replace

    def killed(source: Any, target: Any) -> None:
        if str(target).endswith(last):
            raise KeyboardInterrupt
        real(source, target)

    monkeypatch.setattr(os, "replace", killed)
    with pytest.raises(KeyboardInterrupt):
        select(datamap, "5 random").save(path)
    assert alike(Selection.open(path), selection)


def test_a_card_where_nothing_can_be_written_is_an_error_in_one_line(selection: Selection, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(StoreError, match=r"^\S+ cannot be written: \w[ \w]+ \(\S+file\)$"):
        selection.save(tmp_path / "file" / "card.json")


def test_a_card_is_saved_as_json_alone(selection: Selection, tmp_path: Path) -> None:
    with pytest.raises(TrainmapError, match=r"its name must end in \.json, got card\.yaml"):
        selection.save(tmp_path / "card.yaml")


# --- verify and mask ------------------------------------------------------------------------------------------------


def test_a_selection_verifies_against_its_dataset_in_any_order(datamap: DataMap, selection: Selection) -> None:
    ids, labels = datamap.ids, datamap.labels
    selection.verify(ids, labels)
    order = np.random.default_rng(0).permutation(40)
    selection.verify(ids[order].tolist(), labels[order].tolist())
    selection.verify(SimpleNamespace(ids=ids[order], y=labels[order]))
    selection.verify(ids.astype(np.int32), labels.astype(np.int8))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda i, y: (i[:-1], y[:-1]), "was made from 40 examples, this dataset has 39"),
        (lambda i, y: (i, (y + 1) % 4), "this dataset has other ids or labels"),
        (lambda i, y: (np.roll(i, 1), y), "this dataset has other ids or labels"),
        (lambda i, y: (i + 100, y), r"13 selected ids are not in the dataset \(first: "),
        (lambda i, y: (i.astype(str), y), "the selection's ids are integers, the dataset's are strings"),
        (lambda i, y: (i.astype(float), y), "ids must be integers or strings, got float64"),
        (lambda i, y: (i, None), "verify needs ids and labels, or a dataset that has both"),
        (lambda i, y: (np.where(i == 39, 38, i), y), "not in the dataset|other ids or labels"),
    ],
)
def test_another_dataset_does_not_verify(datamap: DataMap, selection: Selection, change: Any, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        selection.verify(*change(datamap.ids, datamap.labels))


def test_the_mask_says_which_examples_are_selected(datamap: DataMap, selection: Selection) -> None:
    order = np.random.default_rng(0).permutation(40)
    mask = selection.mask(datamap.ids[order])
    assert sorted(datamap.ids[order][mask].tolist()) == selection.ids.tolist()
    with pytest.raises(TrainmapError, match="selected ids are not in the dataset"):
        selection.mask(selection.ids[1:])


# --- diff -----------------------------------------------------------------------------------------------------------


def test_two_selections_are_compared_example_by_example(datamap: DataMap) -> None:
    one, other = select(datamap, "10 ambiguous"), select(datamap, "8 ambiguous + 4 random", seed=1)
    found = one.diff(other)
    assert found.shared.tolist() == sorted(set(one.ids.tolist()) & set(other.ids.tolist()))
    assert found.only_first.tolist() == sorted(set(one.ids.tolist()) - set(other.ids.tolist()))
    assert found.only_second.tolist() == sorted(set(other.ids.tolist()) - set(one.ids.tolist()))
    assert found.overlap == len(found.shared) / len(set(one.ids.tolist()) | set(other.ids.tolist()))
    assert one.diff(one).overlap == 1


def test_selections_of_two_datasets_are_not_compared(make_map: MakeMap, selection: Selection) -> None:
    with pytest.raises(TrainmapError, match="were made from different datasets"):
        selection.diff(select(make_map(41), "10 random"))


# --- tampered and missing -------------------------------------------------------------------------------------------


def test_what_is_no_card_is_refused(selection: Selection, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="there is no card at"):
        Selection.open(tmp_path / "none.json")
    (tmp_path / "list.json").write_text("[1, 2]")
    with pytest.raises(StoreError, match="is not a card of trainmap: 'format' must be"):
        Selection.open(tmp_path / "list.json")
    (tmp_path / "torn.json").write_text('{"format": "trainmap-sel')
    with pytest.raises(StoreError, match="is not a card"):
        Selection.open(tmp_path / "torn.json")
    (tmp_path / "binary.json").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(StoreError, match="is not a card"):
        Selection.open(tmp_path / "binary.json")
    with pytest.raises(StoreError, match=r"is a folder; that is not a card, a \.json file"):
        Selection.open(tmp_path)
    path = selection.save(tmp_path / "card.json")
    ids_of(path).unlink()
    with pytest.raises(
        StoreError, match=r"there is no file of the ids of card\.json at .*card\.ids-[0-9a-f]{12}\.parquet"
    ):
        Selection.open(path)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda about: about | {"version": 3}, "has card version 3, this trainmap reads up to 2: upgrade"),
        (lambda about: about | {"version": None}, "has card version None"),
        (lambda about: about | {"format": "other"}, "'format' must be 'trainmap-selection'"),
        (lambda about: about | {"size": 12}, "what it says does not match its checksum"),
        (lambda about: about | {"sha256": "0" * 64}, "what it says does not match its checksum"),
        (lambda about: {k: v for k, v in about.items() if k != "seed"}, "'seed' is missing or does not belong"),
        (lambda about: about | {"extra": 1}, "'extra' is missing or does not belong"),
        (lambda about: about | {"parts": [{"part": "x"}]}, "it cannot be read"),
        (lambda about: about | {"parts": 3}, "it cannot be read"),
        (lambda about: about | {"ids": 5}, "it cannot be read \\('ids' cannot be 5\\)"),
        (lambda about: about | {"seed": "0"}, "'seed' cannot be \"0\""),
        (lambda about: about | {"balance": 1}, "'balance' cannot be 1"),
        (lambda about: about | {"numbered": 1}, "'numbered' cannot be 1"),
    ],
)
def test_a_card_that_was_changed_is_refused(selection: Selection, tmp_path: Path, change: Any, message: str) -> None:
    path = selection.save(tmp_path / "card.json")
    path.write_text(json.dumps(change(json.loads(path.read_text()))))
    with pytest.raises(StoreError, match=message):
        Selection.open(path)


@pytest.mark.parametrize(
    "change",
    [
        lambda ids: ids[:-1],
        lambda ids: [*ids[:-1], 999],
        lambda ids: ids[::-1],
        lambda ids: [str(i) for i in ids],
    ],
)
def test_ids_that_were_changed_are_refused(selection: Selection, tmp_path: Path, change: Any) -> None:
    path = selection.save(tmp_path / "card.json")
    pq.write_table(pa.table({"id": change(selection.ids.tolist())}), ids_of(path))
    with pytest.raises(StoreError, match=r"was changed: its ids are not those of card\.json"):
        Selection.open(path)


def test_ids_of_another_selection_beside_a_card_are_seen(
    datamap: DataMap, selection: Selection, tmp_path: Path
) -> None:
    path = selection.save(tmp_path / "card.json")
    beside = ids_of(path)
    ids_of(select(datamap, "13 random", seed=9).save(tmp_path / "other.json")).replace(beside)
    with pytest.raises(StoreError, match="was changed"):
        Selection.open(path)
    beside.write_bytes(b"PAR1 torn")
    with pytest.raises(StoreError, match=r"is not a file of the ids of card\.json"):
        Selection.open(path)
    pq.write_table(pa.table({"name": [1]}), beside)
    with pytest.raises(StoreError, match=r"is not a file of the ids of card\.json"):
        Selection.open(path)


@pytest.mark.parametrize(
    "name", ["card.ids.parquet", "card.ids-mine.parquet", "card.ids-0123456789ab.parquet", "x.parquet"]
)
def test_saving_over_a_card_deletes_nothing_that_the_card_did_not_write(
    datamap: DataMap, tmp_path: Path, name: str
) -> None:
    path = select(datamap, "10 random", seed=1).save(tmp_path / "card.json")
    first, mine = ids_of(path), tmp_path / name
    first.rename(mine) if name != "x.parquet" else mine.write_bytes(first.read_bytes())
    path.write_text(path.read_text().replace(first.name, name))  # a card that was changed to name another file
    content = mine.read_bytes()
    select(datamap, "12 random", seed=2).save(path)
    assert mine.read_bytes() == content
    assert len(Selection.open(path)) == 12


def test_a_copy_of_a_card_keeps_the_ids_that_both_name(datamap: DataMap, tmp_path: Path) -> None:
    path = select(datamap, "10 random", seed=1).save(tmp_path / "card.json")
    copy = tmp_path / "copy.json"
    copy.write_bytes(path.read_bytes())
    select(datamap, "12 random", seed=2).save(path)
    assert (len(Selection.open(copy)), len(Selection.open(path))) == (10, 12)
    copy.unlink()
    select(datamap, "14 random", seed=2).save(path)
    assert len(list(tmp_path.glob("card.ids-*.parquet"))) == 2  # those of the copy, which is gone, are nobody's


def test_ids_that_were_changed_are_not_the_cards_to_delete(datamap: DataMap, tmp_path: Path) -> None:
    path = select(datamap, "10 random", seed=1).save(tmp_path / "card.json")
    beside = ids_of(path)
    beside.write_bytes(b"somebody's")
    select(datamap, "12 random", seed=2).save(path)
    assert beside.read_bytes() == b"somebody's"
