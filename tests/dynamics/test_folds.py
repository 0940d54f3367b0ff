"""Recordings out of fold: who is in which fold, what a fold records, and what the join of the folds refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

import trainmap as tm
from trainmap.dynamics.folds import Fold
from trainmap.dynamics.manifest import SOURCES, read_manifest

Array = NDArray[Any]

IDS = np.random.default_rng(5).permutation(500)[:90]
LABELS = np.random.default_rng(6).integers(0, 3, 90)


def logits_of(ids: Array, epoch: int) -> Array:
    """Any fixed numbers for an example and epoch."""
    generator = [np.random.default_rng([int(one), epoch]) for one in ids]
    return np.array([one.normal(size=3) for one in generator], np.float32)


def gold(fold: Fold) -> Array:
    assert fold.labels is not None
    return fold.labels


def record(folder: Path, cross: tm.CrossFit, epochs: int = 3, **how: Any) -> None:
    for fold in cross:
        record_fold(folder, fold, epochs, **how)


def record_fold(folder: Path, fold: Fold, epochs: int, **how: Any) -> None:
    with tm.Recorder(folder, 3, fold=fold, **how) as recorder:
        for epoch in range(recorder.epoch, epochs):
            for half in np.array_split(np.arange(len(fold.held)), 2):
                recorder.update(fold.held[half], logits_of(fold.held[half], epoch), gold(fold)[half])
            recorder.end_epoch()


def test_every_example_is_held_once_and_by_a_network_that_does_not_train_on_it() -> None:
    cross = tm.CrossFit(IDS, LABELS, folds=4, seed=2)
    assert sorted(np.concatenate([fold.held for fold in cross]).tolist()) == sorted(IDS.tolist())
    for fold in cross:
        assert sorted([*fold.train.tolist(), *fold.held.tolist()]) == sorted(IDS.tolist())


@pytest.mark.parametrize("folds", [2, 3, 7])
def test_each_fold_has_its_share_of_each_class_and_of_all(folds: int) -> None:
    labels = np.repeat([0, 1, 2, 3], [40, 25, 13, 8])
    cross = tm.CrossFit(np.arange(len(labels)), labels, folds=folds)
    counts = np.array([np.bincount(gold(fold), minlength=4) for fold in cross])
    assert (np.ptp(counts, axis=0) <= 1).all()
    assert np.ptp(counts.sum(axis=1)) <= 1


def test_folds_depend_on_ids_labels_and_seed_and_not_on_the_order() -> None:
    order = np.random.default_rng(0).permutation(len(IDS))
    first = tm.CrossFit(IDS, LABELS, seed=3)
    again = tm.CrossFit(IDS[order], LABELS[order], seed=3)
    assert (first.ids.tolist(), first.fold_of.tolist()) == (again.ids.tolist(), again.fold_of.tolist())
    assert first.split == again.split
    assert tm.CrossFit(IDS, LABELS, seed=4).split != first.split


def test_folds_by_hand() -> None:
    cross = tm.CrossFit(["a", "b", "c", "d"], ["x", "x", "y", "y"])
    for fold in cross:
        assert sorted(gold(fold).tolist()) == ["x", "y"]
    assert len(cross) == 2
    assert cross[-1].number == 1
    assert [fold.number for fold in cross[:1]] == [0]


def test_a_group_stays_in_one_fold_and_classes_are_still_shared() -> None:
    groups = np.repeat(np.arange(30), 3)
    labels = np.repeat(np.arange(30) % 3, 3)
    cross = tm.CrossFit(np.arange(90), labels, folds=3, groups=groups)
    for fold in cross:
        assert not set(groups[fold.held]) & set(groups[fold.train])
        assert np.ptp(np.bincount(gold(fold))) <= 3
        assert len(fold.held) == 30


def test_single_examples_fill_up_what_groups_leave_uneven() -> None:
    groups = np.concatenate([np.zeros(6, int), np.arange(1, 15)])  # one of six, fourteen alone
    cross = tm.CrossFit(np.arange(20), np.zeros(20, int), groups=groups)
    assert [len(fold.held) for fold in cross] == [10, 10]
    assert len({int(cross.fold_of[place]) for place in range(6)}) == 1


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"labels": [0, 0, 0, 1]}, r"2 folds need at least 2 examples of each class, but class 1 has 1 example: leave"),
        ({"labels": list("aaab")}, r"class 'b' has 1 example"),
        ({"labels": [0, 0, 1, 2]}, r"class 1 has 1 example, as have too few 1 more"),
        ({"labels": [0, 0, 1, 1], "groups": [0, 1, 2, 2]}, r"2 folds need at least 2 groups of .* class 1 has 1 group"),
        ({"folds": 5}, "5 folds need at least 5 examples, got 4 examples"),
        ({"folds": 1}, "folds must be a whole number of at least 2, got 1"),
        ({"seed": 0.5}, "seed must be a whole number"),
        ({"labels": [0, 1]}, "4 ids need 4 labels, got 2"),
        ({"labels": [0.5, 1.0, 1.0, 0.5]}, "labels must be one whole number or name for each example, got float64"),
        ({"groups": [[0], [1], [2], [3]]}, "groups must be one whole number or name for each example"),
        ({"ids": [1, 1, 2, 3]}, "ids must be distinct"),
    ],
)
def test_what_cannot_be_divided_is_refused(how: dict[str, Any], message: str) -> None:
    with pytest.raises(tm.TrainmapError, match=message):
        tm.CrossFit(**{"ids": [1, 2, 3, 4], **how})


def test_groups_that_would_hide_a_class_from_a_network_are_refused() -> None:
    labels, groups = [2, 0, 2, 1, 2, 0, 1, 2], [1, 4, 2, 0, 4, 0, 2, 2]
    with pytest.raises(tm.RecordingError, match="the groups put all of class 0 into one fold"):
        tm.CrossFit(range(8), labels, groups=groups)


@pytest.mark.parametrize("folds", [2, 3])
def test_the_joined_recording_holds_what_each_network_said_of_what_it_did_not_see(folds: int, tmp_path: Path) -> None:
    cross = tm.CrossFit(IDS, LABELS, folds=folds)
    record(tmp_path / "d", cross)
    made = tm.Dynamics.open(tmp_path / "d")
    assert (made.source, made.folds, made.epochs, made.examples) == ("held-out", folds, 3, 90)
    assert made.ids.tolist() == sorted(IDS.tolist())
    assert made.labels.tolist() == LABELS[np.argsort(IDS)].tolist()
    for epoch in range(3):
        z = logits_of(made.ids, epoch).astype(np.float64)
        p = np.exp(z) / np.exp(z).sum(axis=1, keepdims=True)
        np.testing.assert_allclose(made.column(epoch, "p_gold"), p[np.arange(90), made.labels], rtol=1e-5)
        assert made.column(epoch, "predicted").tolist() == z.argmax(axis=1).tolist()


def test_a_recording_out_of_fold_equals_that_of_one_recorder_but_for_what_it_says_of_itself(tmp_path: Path) -> None:
    record(tmp_path / "folds", tm.CrossFit(IDS, LABELS))
    with tm.Recorder(tmp_path / "one", 3, source="held-out") as recorder:
        for epoch in range(3):
            recorder.update(IDS, logits_of(IDS, epoch), LABELS)
            recorder.end_epoch()
    one, folds = tm.Dynamics.open(tmp_path / "one"), tm.Dynamics.open(tmp_path / "folds")
    assert (one.source, one.folds, folds.folds) == ("held-out", None, 2)
    for entry in one.manifest.epochs:
        assert (one.path / entry.file).read_bytes() == (folds.path / entry.file).read_bytes()


def test_a_recording_out_of_fold_is_of_version_3_so_that_older_readers_say_upgrade(tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "d", 3, source="held-out") as recorder:
        recorder.update(IDS, logits_of(IDS, 0), LABELS)
        recorder.end_epoch()
    assert '"version": 3' in (tmp_path / "d" / "manifest.json").read_text()


def test_a_part_is_a_whole_recording_of_its_own_and_parts_of_two_divisions_are_not_mixed(tmp_path: Path) -> None:
    record_fold(tmp_path / "d", tm.CrossFit(IDS, LABELS)[0], 2)
    with pytest.raises(tm.StoreError, match="recorded by another division into folds"):
        tm.Recorder(tmp_path / "d", 3, fold=tm.CrossFit(IDS, LABELS, seed=1)[0], resume=True)
    record_fold(tmp_path / "d", tm.CrossFit(IDS, LABELS, seed=1)[1], 2)
    with pytest.raises(tm.StoreError, match="recorded with different folds"):
        tm.Dynamics.open(tmp_path / "d")


def test_another_number_of_folds_needs_another_folder(tmp_path: Path) -> None:
    record(tmp_path / "d", tm.CrossFit(IDS, LABELS))
    with pytest.raises(tm.StoreError, match="holds the parts of 2 folds, this is one of 3"):
        tm.Recorder(tmp_path / "d", 3, fold=tm.CrossFit(IDS, LABELS, folds=3)[0], resume=True)


def test_folds_that_are_still_to_come_or_shorter_are_named(tmp_path: Path) -> None:
    cross = tm.CrossFit(IDS, LABELS, folds=3)
    record_fold(tmp_path / "d", cross[1], 3)
    with pytest.raises(tm.StoreError, match=r"of 3 folds fold 0, 2 has no epoch yet, or its part is lost"):
        tm.Dynamics.open(tmp_path / "d")
    record_fold(tmp_path / "d", cross[0], 2)
    record_fold(tmp_path / "d", cross[2], 3)
    with pytest.raises(tm.StoreError, match=r"as many epochs as the others, but fold 0 has 2, fold 1 has 3, "):
        tm.Dynamics.open(tmp_path / "d")
    record_fold(tmp_path / "d", cross[0], 3, resume=True)
    assert tm.Dynamics.open(tmp_path / "d").epochs == 3


def test_going_on_with_a_fold_leaves_the_others_as_they_are(tmp_path: Path) -> None:
    cross = tm.CrossFit(IDS, LABELS, folds=3)
    record_fold(tmp_path / "d", cross[0], 5)
    record_fold(tmp_path / "d", cross[1], 2)
    before = read_manifest(tmp_path / "d" / "parts" / "0000-of-0003")
    with tm.Recorder(tmp_path / "d", 3, fold=cross[0], resume=True) as recorder:
        assert recorder.epoch == 5
    with tm.Recorder(tmp_path / "d", 3, fold=cross[1], resume=True) as recorder:
        assert recorder.epoch == 2
    assert read_manifest(tmp_path / "d" / "parts" / "0000-of-0003") == before


def test_a_folder_that_holds_a_fold_is_not_recorded_into_again_unless_one_says_how(tmp_path: Path) -> None:
    cross = tm.CrossFit(IDS, LABELS)
    record(tmp_path / "d", cross)
    with pytest.raises(tm.StoreError, match="holds 3 epochs already; say resume=True"):
        tm.Recorder(tmp_path / "d", 3, fold=cross[1])
    other = tm.CrossFit(IDS, LABELS, seed=9)
    record_fold(tmp_path / "d", other[0], 1, overwrite=True)
    with pytest.raises(tm.StoreError, match="the part of rank 1 is of the recording that the others have overwritten"):
        tm.Dynamics.open(tmp_path / "d")
    record_fold(tmp_path / "d", other[1], 1, overwrite=True)
    assert tm.Dynamics.open(tmp_path / "d").epochs == 1


def test_a_fold_takes_its_own_examples_alone_and_all_of_them(tmp_path: Path) -> None:
    fold = tm.CrossFit(IDS, LABELS)[0]
    with tm.Recorder(tmp_path / "d", 3, fold=fold) as recorder:
        with pytest.raises(tm.RecordingError, match=r"3 of 3 ids are not held out of this fold .* train it on"):
            recorder.update(fold.train[:3], logits_of(fold.train[:3], 0), [0, 0, 0])
        recorder.update(fold.held[:5], logits_of(fold.held[:5], 0))  # the labels are known
        with pytest.raises(tm.RecordingError, match="1 ids came twice"):
            recorder.update(fold.held[:1], logits_of(fold.held[:1], 0))
        with pytest.raises(tm.RecordingError, match=f"epoch 0: 40 of {len(fold.held)} ids were not recorded"):
            recorder.end_epoch()
        recorder.end_epoch(allow_missing=True)


def test_what_an_epoch_lacks_is_nan_where_that_is_allowed(tmp_path: Path) -> None:
    cross = tm.CrossFit(IDS, LABELS)
    for fold in cross:
        with tm.Recorder(tmp_path / "d", 3, fold=fold, allow_missing=True) as recorder:
            recorder.update(fold.held[1:], logits_of(fold.held[1:], 0))
            recorder.end_epoch()
    made = tm.Dynamics.open(tmp_path / "d")
    lost = sorted(int(fold.held[0]) for fold in cross)
    assert made.ids[np.isnan(made.column(0, "p_gold"))].tolist() == lost


@pytest.mark.parametrize(
    ("how", "message"),
    [
        ({"fold": 0}, "fold must be one of a CrossFit .* got a int"),
        ({"fold": tm.CrossFit(IDS, LABELS)}, "got a CrossFit"),
        ({"source": "sweep"}, "a fold is recorded with source='held-out', got 'sweep'"),
        ({"ids": IDS}, "a fold knows its ids: leave ids= out"),
        ({"rank": 0, "world_size": 2}, "a fold knows its rank: .* from one process"),
        ({"level": "stats"}, "level 'stats' cannot be joined from several processes or folds"),
        ({"per": "label", "kind": "multilabel"}, "a fold is recorded by whole examples: leave per='label' out"),
    ],
)
def test_what_a_fold_decides_is_not_said_again(how: dict[str, Any], message: str, tmp_path: Path) -> None:
    with pytest.raises(tm.TrainmapError, match=message):
        tm.Recorder(tmp_path / "d", 3, **{"fold": tm.CrossFit(IDS, LABELS)[0], **how})
    assert not (tmp_path / "d").exists()


def test_classes_by_name_and_other_kinds_are_recorded_by_folds_as_well(tmp_path: Path) -> None:
    names = np.array(["cat", "dog", "emu"])
    for fold in tm.CrossFit(IDS, names[LABELS]):
        with tm.Recorder(tmp_path / "names", names, fold=fold) as recorder:
            recorder.update(fold.held, logits_of(fold.held, 0))
            recorder.end_epoch()
    assert tm.Dynamics.open(tmp_path / "names").labels.tolist() == LABELS[np.argsort(IDS)].tolist()
    targets = dict(zip(IDS.tolist(), np.linspace(0, 1, 90).tolist(), strict=True))
    for fold in tm.CrossFit(IDS, folds=3):
        gold = [targets[int(one)] for one in fold.held]
        with tm.Recorder(tmp_path / "numbers", kind="regression", fold=fold) as recorder:
            recorder.update(fold.held, np.zeros(len(gold)), gold)
            recorder.end_epoch()
    made = tm.Dynamics.open(tmp_path / "numbers")
    assert made.targets is not None
    np.testing.assert_allclose(made.targets, [targets[int(one)] for one in made.ids], rtol=1e-6)


def test_the_map_and_the_audit_know_that_it_is_out_of_fold(tmp_path: Path) -> None:
    record(tmp_path / "d", tm.CrossFit(IDS, LABELS))
    with tm.Recorder(tmp_path / "train", 3) as recorder:
        for epoch in range(3):
            recorder.update(IDS, logits_of(IDS, epoch), LABELS)
            recorder.end_epoch()
    made, trained = tm.Dynamics.open(tmp_path / "d"), tm.Dynamics.open(tmp_path / "train")
    datamap, other = tm.DataMap.from_dynamics(made), tm.DataMap.from_dynamics(trained)
    datamap.save(tmp_path / "map.parquet")
    assert tm.DataMap.open(tmp_path / "map.parquet").source == "held-out"
    assert tm.audit(made).source == "held-out"
    with pytest.raises(tm.TrainmapError, match="source"):
        tm.compare(datamap, other)
    assert tm.compare(datamap, other, allow=["source"]).sources == ("held-out", "train")
    with pytest.raises(tm.TrainmapError, match=r"same source .* has held-out and .* train"):
        tm.DataMap.from_dynamics([made, trained])


SAYS: dict[str, Callable[[tm.Dynamics], str]] = {
    "told": lambda made: str(made),
    "summary": lambda made: _shown(made),
}


def _shown(made: tm.Dynamics) -> str:
    from rich.console import Console

    from trainmap.views.summary import of_dynamics

    console = Console(width=200)
    with console.capture() as caught:
        console.print(of_dynamics(made))
    return caught.get()


@pytest.mark.parametrize("name", SAYS)
def test_whoever_shows_a_recording_says_that_it_is_out_of_fold(name: str, tmp_path: Path) -> None:
    record(tmp_path / "d", tm.CrossFit(IDS, LABELS))
    assert SOURCES["held-out"] in SAYS[name](tm.Dynamics.open(tmp_path / "d"))


def test_no_manifest_says_what_cannot_be(tmp_path: Path) -> None:
    record(tmp_path / "d", tm.CrossFit(IDS, LABELS))
    tm.Dynamics.open(tmp_path / "d")
    about = read_manifest(tmp_path / "d").model_dump()
    for wrong in ({"source": "train"}, {"part": 0, "parts": 3}, {"folds": {"count": 1, "split": "0" * 64}}):
        with pytest.raises(ValueError, match=r"fold|greater"):
            type(read_manifest(tmp_path / "d")).model_validate({**about, **wrong})
