"""``on_error="warn"``: a batch is lost rather than a training, and that is told and counted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from test_recorder import REFUSED, far

from recorded import Run, same
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError

WARN: dict[str, Any] = {"on_error": "warn"}


@pytest.mark.parametrize("learned", [False, True])
@pytest.mark.parametrize("name", REFUSED)
def test_every_refused_batch_is_left_out_told_once_and_counted(
    name: str, learned: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = Run(np.arange(10), np.arange(10) % 2, 4, epochs=2, batch=6)
    batch, _ = REFUSED[name]
    with run.recorder(tmp_path / "d", labels=None if learned else run.labels, **WARN) as recorder:
        run.feed(recorder, 0)
        recorder.end_epoch()
        assert recorder.refused == (0, 0)
        recorder.update([0, 1, 2], run.logits(1, slice(0, 3)), run.labels[:3])
        for _ in range(3):
            recorder.update(*batch)
        assert recorder.refused == (3, 3 * len(batch[0]))
        (told,) = caplog.messages
        assert told.startswith("left out of the recording: ")
        assert told.endswith("(further ones for this reason are only counted)")
        recorder.update(np.arange(3, 10), run.logits(1, slice(3, 10)), run.labels[3:])
        recorder.end_epoch()
    dynamics = Dynamics.open(tmp_path / "d")
    same(dynamics, run.block())
    assert [entry.refused for entry in dynamics.manifest.epochs] == [0, 3 * len(batch[0])]


def test_kinds_of_mistakes_are_told_one_by_one(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    bad = np.full((1, 4), np.nan)
    with run.recorder(tmp_path / "d", **WARN) as recorder:
        for number in range(3):
            recorder.update(run.ids[number : number + 1], bad, run.labels[:1])
            recorder.update([-number - 1], np.zeros((1, 4)), [0])
        run.feed(recorder, 0)
        recorder.end_epoch()
    assert recorder.refused == (6, 6)
    assert ["finite" in text for text in caplog.messages] == [True, False]
    assert "unknown" in caplog.messages[1]


@pytest.mark.parametrize("device", [np.asarray, far])
def test_what_was_refused_is_missing_from_the_epoch(
    device: Any, run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with run.recorder(tmp_path / "d", **WARN) as recorder:
        for epoch in range(3):
            for number, (ids, logits, labels) in enumerate(run.batches(epoch)):
                recorder.update(ids, device(np.full_like(logits, np.nan) if number == epoch == 1 else logits), labels)
            recorder.end_epoch()
        assert recorder.refused == (1, 7)
    dynamics = Dynamics.open(tmp_path / "d")
    assert [(entry.seen, entry.refused) for entry in dynamics.manifest.epochs] == [(40, 0), (33, 7), (40, 0)]
    assert dynamics.manifest.allow_missing
    lost = np.isnan(dynamics.column(1, "loss"))
    assert lost.sum() == 7
    np.testing.assert_array_equal(dynamics.block()["loss"][:, ~lost], run.block()["loss"][:, ~lost])
    assert len(caplog.messages) == 1


@pytest.mark.parametrize("level", ["signals", "stats"])
@pytest.mark.parametrize("labels", [True, False])
def test_an_epoch_of_nothing_is_kept_as_missing(level: Any, labels: bool, run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", level=level, labels=run.labels if labels else None, **WARN) as recorder:
        for epoch in range(3):
            if epoch != 1:
                run.feed(recorder, epoch)
            recorder.end_epoch()
            assert recorder.epoch == epoch + 1
    dynamics = Dynamics.open(tmp_path / "d")
    if level == "stats":
        assert dynamics.stats["visits"].tolist() == [2] * 40
    else:
        assert np.isnan(dynamics.column(1, "loss")).all()
        np.testing.assert_array_equal(dynamics.block()["loss"][[0, 2]], run.block()["loss"][[0, 2]])


def test_where_nobody_ever_came_there_is_no_epoch(run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with run.recorder(tmp_path / "d", ids=None, labels=None, **WARN) as recorder:
        recorder.end_epoch()
        recorder.end_epoch()
        assert recorder.epoch == 0
        run.feed(recorder, 0)
        recorder.end_epoch()
    assert len(caplog.messages) == 1
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


@pytest.mark.parametrize("options", [{}, {"ids": None, "labels": None}], ids=str)
@pytest.mark.parametrize("names", [False, True])
@pytest.mark.parametrize("silent", [0, 1, 2])
def test_a_process_that_saw_nothing_keeps_step_with_the_others(
    silent: int, names: bool, options: Any, run: Run, tmp_path: Path
) -> None:
    if names:
        run = run.but(ids=run.ids.astype(str))
    for rank in range(2):
        with run.recorder(tmp_path / "d", rank=rank, world_size=2, **options | WARN) as recorder:
            for epoch in range(3):
                if rank == 0 or epoch != silent:
                    rows = np.arange(rank, 40, 2)
                    recorder.update(run.ids[rows], run.logits(epoch, rows), run.labels[rows])
                recorder.end_epoch()
    found, whole = Dynamics.open(tmp_path / "d"), run.block()
    assert [entry.seen for entry in found.manifest.epochs] == [20 if epoch == silent else 40 for epoch in range(3)]
    for epoch in range(3):
        seen = ~np.isnan(found.column(epoch, "loss"))
        np.testing.assert_array_equal(found.column(epoch, "loss")[seen], whole["loss"][epoch][seen])


def test_newcomers_are_taken(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 4, **WARN) as recorder:
        for ids in ([2, 3], [1, 3]):
            recorder.update(ids, np.zeros((2, 4)), [0, 1])
            recorder.end_epoch()
    assert recorder.refused == (0, 0)
    assert Dynamics.open(tmp_path / "d").ids.tolist() == [1, 2, 3]


def test_a_call_that_was_broken_off_costs_the_epoch_so_far_and_no_training(
    run: Run, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with run.recorder(tmp_path / "d", **WARN) as recorder:
        batches = list(run.batches(0))
        recorder.update(*batches[0])
        recorder._broken = True
        for batch in batches[1:]:
            recorder.update(*batch)
        recorder.end_epoch()
        assert recorder.refused == (1, 7)
    assert "broken off inside" in caplog.messages[0]
    (entry,) = Dynamics.open(tmp_path / "d").manifest.epochs
    assert (entry.seen, entry.refused) == (33, 7)


@pytest.mark.parametrize("device", [np.asarray, far])
def test_what_an_interrupt_cost_is_in_the_manifest_refused_and_held_batches_and_the_broken_one_included(
    device: Any, run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, refused, broken, *others = run.batches(0)
    with run.recorder(tmp_path / "d", **WARN) as recorder:
        recorder.update(first[0], device(first[1]), first[2])
        recorder.update(refused[0], np.full_like(refused[1], np.nan), refused[2])
        where = (recorder._held, "add") if device is far else (recorder._numbers, "add")
        with monkeypatch.context() as patch:
            patch.setattr(*where, interrupt)
            with pytest.raises(KeyboardInterrupt):
                recorder.update(broken[0], device(broken[1]), broken[2])
        for batch in others:
            recorder.update(*batch)
        recorder.end_epoch()
        assert recorder.refused == (3, 21)
        run.feed(recorder, 1)
        recorder.end_epoch()
    entries = Dynamics.open(tmp_path / "d").manifest.epochs
    assert [(entry.seen, entry.refused) for entry in entries] == [(19, 21), (40, 0)]


def interrupt(*_: Any) -> None:
    raise KeyboardInterrupt


def test_a_rewind_begins_the_count_of_its_epoch_anew(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", **WARN) as recorder:
        recorder.update(run.ids[:2], np.full((2, 4), np.nan), run.labels[:2])
        recorder.rewind(0)
        run.feed(recorder, 0)
        recorder.end_epoch()
        assert recorder.refused == (1, 2)
    assert Dynamics.open(tmp_path / "d").manifest.epochs[0].refused == 0


def test_batches_are_recorded_in_the_order_of_the_calls_wherever_they_lie(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 2, repeats="first") as recorder:
        recorder.update([0, 1], far([[1.0, 0.0], [2.0, 0.0]]), [0, 0])
        recorder.update([1, 2], np.array([[8.0, 0.0], [3.0, 0.0]]), [0, 0])
        recorder.update([2, 3], far([[9.0, 0.0], [4.0, 0.0]]), [0, 0])
        recorder.end_epoch()
    assert Dynamics.open(tmp_path / "d").column(0, "margin").tolist() == [1.0, 2.0, 3.0, 4.0]


def test_several_batches_that_are_refused_at_once_are_counted_in_the_message(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    for number, (ids, logits, labels) in enumerate(run.batches(0)):
        recorder.update(ids, far(np.full_like(logits, np.nan) if number in (1, 3) else logits), labels)
    with pytest.raises(RecordingError, match=r"7 of 7 .*\(the first of 2 batches refused of 6 held back\)$"):
        recorder.end_epoch()
    with pytest.raises(RecordingError, match=r"14 of 40 ids were not recorded"):
        recorder.end_epoch()


def test_a_caller_may_still_insist_on_a_whole_epoch(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d", **WARN)
    recorder.update(*next(iter(run.batches(0))))
    with pytest.raises(RecordingError, match=r"33 of 40 ids were not recorded"):
        recorder.end_epoch(allow_missing=False)


def test_the_start_is_no_batch(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    with pytest.raises(StoreError, match=r"holds 1 epoch already"):
        run.recorder(tmp_path / "d", resume=False, **WARN)
    with run.recorder(tmp_path / "d", **WARN) as recorder:
        pass
    with pytest.raises(RecordingError, match=r"closed"):
        run.feed(recorder, 1)


def test_an_epoch_resumed_in_its_middle_says_how_to_go_on(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    with run.recorder(tmp_path / "d") as recorder:
        for batch in list(run.batches(1))[3:]:
            recorder.update(*batch)
        with pytest.raises(
            RecordingError,
            match=r"21 of 40 ids were not recorded .*pass allow_missing=True to keep them as NaN; an epoch that was "
            r"resumed in its middle .* after rewind\(1\), or allow it",
        ):
            recorder.end_epoch()
        recorder.rewind(1)
        run.feed(recorder, 1)
        recorder.end_epoch()
        recorder.update(*next(iter(run.batches(2))))
        with pytest.raises(RecordingError, match=r"keep them as NaN$"):
            recorder.end_epoch()
        recorder.rewind(2)
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=2).block())
