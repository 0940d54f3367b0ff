"""Several processes, here one after the other: what they record together equals what one records alone."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.utils.data import DistributedSampler

from recorded import Run, same
from trainmap.dynamics.manifest import read_manifest
from trainmap.dynamics.processes import part_folder
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError

Batch = tuple[Any, Any, Any]


def share(run: Run, rank: int, world: int, epoch: int, padded: bool = True) -> Iterator[Batch]:
    """The batches that a shuffling DistributedSampler gives one process; it pads with copies."""
    sampler = DistributedSampler(run.ids, world, rank, shuffle=True, seed=3, drop_last=False)  # type: ignore[arg-type]
    sampler.set_epoch(epoch)
    rows = np.array(list(sampler))
    if not padded:
        rows = np.random.default_rng(epoch).permutation(len(run.ids))[rank::world]
    for start in range(0, len(rows), run.batch):
        here = rows[start : start + run.batch]
        yield run.ids[here], run.logits(epoch, here), run.labels[here]


def record(run: Run, path: Path, world: int, epochs: int | None = None, **options: Any) -> Path:
    """Every process records its share, one process after the other."""
    for rank in range(world):
        with run.recorder(path, rank=rank, world_size=world, **options) as recorder:
            for epoch in range(recorder.epoch, run.epochs if epochs is None else epochs):
                for batch in share(run, rank, world, epoch):
                    recorder.update(*batch)
                recorder.end_epoch()
    return path


LEARNED = {"ids": None, "labels": None}


@settings(max_examples=12, deadline=None)
@given(st.integers(1, 23), st.integers(2, 5), st.sampled_from([{}, {"labels": None}, LEARNED]), st.booleans())
def test_the_join_of_any_number_of_processes_is_what_one_would_have_recorded(
    tmp_path_factory: pytest.TempPathFactory, examples: int, world: int, options: Any, names: bool
) -> None:
    generator = np.random.default_rng(examples)
    ids = generator.permutation(examples) + 5
    run = Run(ids.astype(str) if names else ids, generator.integers(0, 3, examples), 3, batch=4)
    level = "logits" if examples % 2 else "signals"
    dynamics = Dynamics.open(record(run, tmp_path_factory.mktemp("p") / "d", world, level=level, **options))
    assert dynamics.ids.tolist() == sorted(run.ids.tolist())
    assert dynamics.block().complete
    same(dynamics, run.block())
    whole = run.record(tmp_path_factory.mktemp("p") / "w", level=level, rank=0, world_size=1)
    for entry in whole.manifest.epochs:
        assert (dynamics.path / entry.file).read_bytes() == (whole.path / entry.file).read_bytes()
    dynamics.verify()


def test_of_the_copies_that_a_sampler_pads_with_the_original_is_kept(tmp_path: Path) -> None:
    """Three examples on two processes: rank 1 gets example 0 again, last, with other numbers (dropout, say)."""
    shown = {0: [(0, 1.0), (2, 3.0)], 1: [(1, 2.0), (0, 9.0)]}
    for rank, examples in shown.items():
        with Recorder(tmp_path / "d", 2, ids=range(3), rank=rank, world_size=2) as recorder:
            for name, logit in examples:
                recorder.update([name], [[logit, 0.0]], [0])
            recorder.end_epoch()
    assert Dynamics.open(tmp_path / "d").column(0, "margin").tolist() == [1.0, 2.0, 3.0]


def test_a_copy_on_a_lower_rank_that_arrived_later_is_not_kept(tmp_path: Path) -> None:
    shown = {0: [(0, 1.0), (2, 9.0)], 1: [(2, 3.0), (1, 2.0)]}
    for rank, examples in shown.items():
        with Recorder(tmp_path / "d", 2, ids=range(3), rank=rank, world_size=2) as recorder:
            for name, logit in examples:
                recorder.update([name], [[logit, 0.0]], [0])
            recorder.end_epoch()
    assert Dynamics.open(tmp_path / "d").column(0, "margin").tolist() == [1.0, 2.0, 3.0]


def test_of_copies_that_arrived_at_once_the_lower_ranks_is_kept(tmp_path: Path) -> None:
    for rank in (1, 0):
        with Recorder(tmp_path / "d", 2, ids=range(1), rank=rank, world_size=2) as recorder:
            recorder.update([0], [[rank + 1.0, 0.0]], [0])
            recorder.end_epoch()
    assert Dynamics.open(tmp_path / "d").column(0, "margin").tolist() == [1.0]


def test_the_join_is_made_once_and_again_when_there_is_more(run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2, epochs=1)
    same(Dynamics.open(path), run.but(epochs=1).block())
    stamp = (path / "manifest.json").stat().st_ino
    Dynamics.open(path)
    assert (path / "manifest.json").stat().st_ino == stamp
    record(run, path, 2)
    same(Dynamics.open(path), run.block())


def test_parts_that_were_recorded_anew_are_joined_anew(run: Run, tmp_path: Path) -> None:
    """As many epochs of as many examples, but other numbers: the old join must not be taken for the new one."""
    path = record(run, tmp_path / "d", 2)
    Dynamics.open(path)
    shutil.rmtree(path / "parts")
    other = run.but(labels=(run.labels + 1) % 4)
    shutil.move(record(other, tmp_path / "e", 2) / "parts", path)
    same(Dynamics.open(path), other.block())


def test_a_join_without_its_parts_is_a_recording_that_one_process_can_continue(run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2, epochs=2)
    Dynamics.open(path)
    shutil.rmtree(path / "parts")
    same(Dynamics.open(path), run.but(epochs=2).block())
    with pytest.raises(StoreError, match=r"holds a join whose parts are gone; 2 processes need another folder"):
        run.recorder(path, rank=0, world_size=2)
    dynamics = run.record(path)
    same(dynamics, run.block())
    assert dynamics.manifest.joined is None


@pytest.mark.parametrize("lost", ["examples.parquet", "epochs/00001.arrow", "manifest.json"])
def test_a_join_that_was_damaged_is_made_again_from_the_parts(lost: str, run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2)
    Dynamics.open(path)
    (path / lost).unlink()
    same(Dynamics.open(path), run.block())


def test_parts_in_a_folder_that_cannot_be_written_are_joined_elsewhere(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = record(run, tmp_path / "d", 2)
    before = sorted(path.rglob("*"))
    monkeypatch.setattr("trainmap.dynamics.parts._writable", lambda folder: False)
    dynamics = Dynamics.open(path)
    assert dynamics.path != path
    same(dynamics, run.block())
    assert sorted(path.rglob("*")) == before


def test_examples_that_no_process_saw_are_an_error_unless_allowed(run: Run, tmp_path: Path) -> None:
    for allowed in (False, True):
        path = tmp_path / str(allowed)
        for rank in range(2):
            with run.recorder(path, rank=rank, world_size=2) as recorder:
                for epoch in range(2):
                    rows = np.arange(rank, 40 - 4 * epoch, 2)
                    recorder.update(run.ids[rows], run.logits(epoch, rows), run.labels[rows])
                    recorder.end_epoch(allow_missing=allowed)
        if not allowed:
            with pytest.raises(
                StoreError, match=r"epoch 1: 4 of 40 ids were recorded by no process \(a sampler with drop_last"
            ):
                Dynamics.open(path)
        else:
            dynamics = Dynamics.open(path)
            assert [entry.seen for entry in dynamics.manifest.epochs] == [40, 36]
            assert np.isnan(dynamics.column(1, "loss")).sum() == 4


def test_what_a_sampler_dropped_is_kept_as_missing_when_the_reader_allows_it(run: Run, tmp_path: Path) -> None:
    for rank in range(2):
        with run.recorder(tmp_path / "d", rank=rank, world_size=2) as recorder:
            rows = np.arange(rank, 38, 2)
            recorder.update(run.ids[rows], run.logits(0, rows), run.labels[rows])
            recorder.end_epoch()
    with pytest.raises(StoreError, match=r"open it once with Dynamics.open\(path, allow_missing=True\)"):
        Dynamics.open(tmp_path / "d")
    for _ in range(2):
        dynamics = Dynamics.open(tmp_path / "d", allow_missing=True)
        assert dynamics.manifest.allow_missing
        assert np.isnan(dynamics.column(0, "loss")).sum() == 2
    assert Dynamics.open(tmp_path / "d").manifest.epochs[0].seen == 38


def test_allowing_missing_examples_in_one_part_is_allowing_them(run: Run, tmp_path: Path) -> None:
    """A kill between the ends of two processes, of which only one was told so by then."""
    for rank, allowed in enumerate((False, True)):
        with run.recorder(tmp_path / "d", rank=rank, world_size=2) as recorder:
            rows = np.arange(rank, 38, 2)
            recorder.update(run.ids[rows], run.logits(0, rows), run.labels[rows])
            recorder.end_epoch(allow_missing=allowed)
    dynamics = Dynamics.open(tmp_path / "d")
    assert dynamics.manifest.allow_missing
    assert dynamics.manifest.epochs[0].seen == 38


def test_a_process_checks_the_labels_and_ids_that_it_is_given(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d", rank=0, world_size=2)
    with pytest.raises(RecordingError, match=r"1 of 1 ids are unknown"):
        recorder.update([7], np.zeros((1, 4)), [0])
    with pytest.raises(RecordingError, match=r"labels changed"):
        recorder.update(run.ids[:1], np.zeros((1, 4)), (run.labels[:1] + 1) % 4)


def test_a_process_without_examples_in_an_epoch_is_an_error(run: Run, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=r"nothing was recorded"):
        run.recorder(tmp_path / "d", rank=0, world_size=2).end_epoch()


# --- resume ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [{}, LEARNED], ids=["given", "learned"])
@pytest.mark.parametrize("ahead", [0, 1])
def test_processes_that_were_killed_at_different_epochs_go_on_at_the_last_common_one(
    ahead: int, options: Any, run: Run, tmp_path: Path
) -> None:
    path = tmp_path / "d"
    recorders = [run.recorder(path, rank=rank, world_size=2, **options) for rank in range(2)]
    for rank, recorder in enumerate(recorders):
        for epoch in range(2 if rank == ahead else 1):
            for ids, logits, labels in share(run, rank, 2, epoch):
                recorder.update(ids, logits + epoch, labels)  # epoch 1 will come out otherwise
            recorder.end_epoch()
        run.as_killed(recorder)
    same(Dynamics.open(path), run.but(epochs=1).block())

    again = [run.recorder(path, rank=rank, world_size=2, **options) for rank in range(2)]
    assert [recorder.epoch for recorder in again] == [1, 1]
    manifest = read_manifest(part_folder(path, ahead, 2))
    assert len(manifest.epochs) == 1, "what will be written anew is listed no longer"
    same(Dynamics.open(path), run.but(epochs=1).block())
    for recorder in again:
        recorder.close()
    record(run, path, 2, **options)
    same(Dynamics.open(path), run.block())


def test_a_first_epoch_that_only_one_process_finished_is_recorded_anew(run: Run, tmp_path: Path) -> None:
    path = tmp_path / "d"
    first, second = (run.recorder(path, rank=rank, world_size=2, **LEARNED) for rank in range(2))
    for batch in share(run, 0, 2, 0):
        first.update(*batch)
    first.end_epoch()
    assert second.epoch == 0
    with pytest.raises(StoreError, match=r"no epoch was finished by all 2 processes \(rank 1 has none"):
        Dynamics.open(path)
    for recorder in (first, second):
        run.as_killed(recorder)
    with run.recorder(path, rank=0, world_size=2, **LEARNED) as recorder:
        assert recorder.epoch == 0
    with pytest.raises(StoreError, match=r"no epoch was finished by all 2 processes \(rank 1 has none"):
        Dynamics.open(path)
    record(run, path, 2, **LEARNED)
    same(Dynamics.open(path), run.block())


def test_a_recorder_does_not_go_on_beside_a_lost_part_and_keeps_its_own(run: Run, tmp_path: Path) -> None:
    """Going on at the common epoch would be epoch 0, and the whole recording lost."""
    path = record(run, tmp_path / "d", 2)
    shutil.rmtree(part_folder(path, 1, 2))
    with pytest.raises(StoreError, match=r"1 of 2 parts are lost \(rank 1\)"):
        run.recorder(path, rank=0, world_size=2)
    assert len(read_manifest(part_folder(path, 0, 2)).epochs) == 3


def test_ids_given_before_must_be_given_again(run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2, epochs=1)
    with pytest.raises(StoreError, match=r"was recorded with ids=, now it is without"):
        run.recorder(path, rank=0, world_size=2, **LEARNED)


# --- what is refused -------------------------------------------------------------------------------------------------


def other_labels(run: Run, path: Path) -> None:
    record(run, path, 2, epochs=1, **LEARNED)
    shutil.rmtree(part_folder(path, 1, 2))
    (path / "parts" / "0001-of-0002").mkdir()
    changed = run.but(labels=(run.labels + 1) % 4)
    with changed.recorder(path, rank=1, world_size=2, **LEARNED) as recorder:
        for batch in share(changed, 1, 2, 0):
            recorder.update(*batch)
        for batch in share(changed, 0, 2, 0):
            recorder.update(*(array[:1] for array in batch))
            break
        recorder.end_epoch()


def other_classes(run: Run, path: Path) -> None:
    with run.recorder(path, rank=0, world_size=2) as recorder:
        for batch in share(run, 0, 2, 0):
            recorder.update(*batch)
        recorder.end_epoch()
    with Recorder(path, 5, run.ids, run.labels, rank=1, world_size=2) as recorder:
        for ids, logits, labels in share(run, 1, 2, 0):
            recorder.update(ids, np.pad(logits, ((0, 0), (0, 1))), labels)
        recorder.end_epoch()


def other_ids(run: Run, path: Path) -> None:
    for rank in range(2):
        with run.recorder(path, rank=rank, world_size=2, ids=run.ids + rank) as recorder:
            for ids, logits, labels in share(run, rank, 2, 0):
                recorder.update(ids + rank, logits, labels)
            recorder.end_epoch()


def swap(path: Path) -> None:
    zero, one = part_folder(path, 0, 2), part_folder(path, 1, 2)
    zero.rename(path / "aside")
    one.rename(zero)
    (path / "aside").rename(one)


WRONG: dict[str, tuple[Callable[[Run, Path], Any], str]] = {
    "a lost part": (
        lambda run, path: shutil.rmtree(part_folder(record(run, path, 3), 1, 3)),
        r"1 of 3 parts are lost \(rank 1\); copy every process's part into",
    ),
    "the last part lost": (
        lambda run, path: shutil.rmtree(part_folder(record(run, path, 2), 1, 2)),
        r"1 of 2 parts are lost \(rank 1\)",
    ),
    "a part without a manifest": (
        lambda run, path: (part_folder(record(run, path, 2), 0, 2) / "manifest.json").unlink(),
        r"no epoch was finished by all 2 processes \(rank 0 has none, or its manifest.json is lost\)",
    ),
    "no part at all": (lambda run, path: (path / "parts").mkdir(parents=True), "it holds no parts"),
    "parts of two runs": (
        lambda run, path: shutil.copytree(part_folder(record(run, path, 2), 0, 2), part_folder(path, 0, 3)),
        "must hold the parts of one number of processes, it holds parts of 2, 3 processes",
    ),
    "parts exchanged": (
        lambda run, path: swap(record(run, path, 2)),
        "is part 1 of 2 by its manifest; it was misplaced",
    ),
    "a torn epoch": (
        lambda run, path: (part_folder(record(run, path, 2), 1, 2) / "epochs/00001.arrow").write_bytes(b"x"),
        "00001.arrow is torn",
    ),
    "an epoch missing": (
        lambda run, path: (part_folder(record(run, path, 2), 1, 2) / "epochs/00002.arrow").unlink(),
        "00002.arrow is listed in the manifest and missing",
    ),
    "labels that differ": (other_labels, r"epoch 0: the processes recorded different labels for 1 ids \(first: \d+\)"),
    "classes that differ": (other_classes, "the processes recorded with different classes: 4, 5"),
    "ids that differ": (other_ids, "the processes were given different ids=; every one needs all of them"),
}


@pytest.mark.parametrize("name", WRONG)
def test_parts_that_do_not_make_a_whole_are_refused(name: str, run: Run, tmp_path: Path) -> None:
    make, message = WRONG[name]
    make(run, tmp_path / "d")
    with pytest.raises(StoreError, match=message):
        Dynamics.open(tmp_path / "d")


def test_damage_inside_a_part_is_found_when_it_is_joined(run: Run, tmp_path: Path) -> None:
    file = part_folder(record(run, tmp_path / "d", 2), 1, 2) / "epochs/00001.arrow"
    data = bytearray(file.read_bytes())
    data[700] ^= 1
    file.write_bytes(data)
    with pytest.raises(StoreError, match=r"00001.arrow is damaged"):
        Dynamics.open(tmp_path / "d")


def test_one_part_is_not_opened_for_the_whole(run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2)
    with pytest.raises(StoreError, match=r"is the part of one of 2 processes; open .*d, the join"):
        Dynamics.open(part_folder(path, 0, 2))


def test_a_single_process_does_not_record_into_a_folder_of_parts(run: Run, tmp_path: Path) -> None:
    """Joined or not: its epoch would be lost at the next join."""
    path = record(run, tmp_path / "d", 2, epochs=1)
    for _ in range(2):
        with pytest.raises(StoreError, match=r"several processes or folds; a single recorder needs another folder"):
            run.recorder(path)
        Dynamics.open(path)


def test_several_processes_do_not_record_over_the_recording_of_one(run: Run, tmp_path: Path) -> None:
    """The join would replace it."""
    run.record(tmp_path / "d")
    for rank in range(2):
        with pytest.raises(
            StoreError, match=r"holds the recording of a single process; 2 processes need another folder"
        ):
            run.recorder(tmp_path / "d", rank=rank, world_size=2)
    same(Dynamics.open(tmp_path / "d"), run.block())


def test_parts_moved_into_the_recording_of_one_process_do_not_replace_it(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d")
    record(run, tmp_path / "p", 2)
    shutil.move(tmp_path / "p" / "parts", tmp_path / "d" / "parts")
    with pytest.raises(StoreError, match=r"the recording of a single process and parts of several; separate them"):
        Dynamics.open(tmp_path / "d")


def test_another_number_of_processes_is_refused_before_it_trains(run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2)
    with pytest.raises(StoreError, match=r"holds the parts of 2 processes, this is one of 3; go on with as many"):
        run.recorder(path, rank=0, world_size=3)


def test_a_join_that_has_no_room_is_an_error(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = record(run, tmp_path / "d", 2)

    def full(*_: Any) -> None:
        raise OSError(28, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr("os.fsync", full)
        with pytest.raises(
            StoreError, match=r"the parts of .*d could not be joined: No space left on device; make room"
        ):
            Dynamics.open(path)
    same(Dynamics.open(path), run.block())


def test_two_that_open_at_once_get_the_same_join(run: Run, tmp_path: Path) -> None:
    path = record(run, tmp_path / "d", 2)
    with ThreadPoolExecutor(4) as pool:
        for dynamics in pool.map(Dynamics.open, [path] * 8):
            same(dynamics, run.block())
    assert not list(path.rglob("*.tmp"))
