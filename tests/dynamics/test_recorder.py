"""The Recorder's contract, line by line."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_arrays import OnlyArray, OnlyDLPack

from recorded import Run, same
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import RecordingError, StoreError

NAN, INF = float("nan"), float("inf")


def test_a_recording_holds_the_signals_of_every_logit_it_was_given(run: Run, tmp_path: Path) -> None:
    dynamics = run.record(tmp_path / "d")
    assert (dynamics.epochs, dynamics.examples, dynamics.classes) == (3, 40, 4)
    assert (dynamics.source, dynamics.level) == ("train", "signals")
    assert dynamics.ids.tolist() == sorted(run.ids.tolist())
    same(dynamics, run.block())


@pytest.mark.parametrize(
    "as_kind", [torch.as_tensor, np.ndarray.tolist, OnlyDLPack, OnlyArray], ids=lambda f: f.__name__
)
def test_every_kind_of_array_is_recorded_alike(as_kind: Any, run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d", ids=as_kind(run.ids), labels=as_kind(run.labels)) as recorder:
        for epoch in range(3):
            for batch in run.batches(epoch):
                recorder.update(*map(as_kind, batch))
            recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.block())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16, torch.int32])
@pytest.mark.parametrize("level", ["signals", "logits"])
def test_logits_of_every_dtype_are_recorded_as_their_float32_values(dtype: Any, level: Any, tmp_path: Path) -> None:
    logits = (torch.arange(24).reshape(6, 4) * 37 % 19 - 9).to(dtype)
    if dtype.is_floating_point:
        logits = logits.requires_grad_()
    labels = torch.arange(6) % 4
    with Recorder(tmp_path / "d", 4, level=level) as recorder:
        recorder.update(torch.arange(6), logits, labels)
        recorder.end_epoch()
    expected = Block.from_logits(logits.detach().float().numpy()[None], labels.numpy())
    same(Dynamics.open(tmp_path / "d"), expected)


def test_logits_in_double_precision_are_taken_less_their_largest_before_they_are_cast(tmp_path: Path) -> None:
    logits = np.random.default_rng(0).normal(size=(5, 3))
    with Recorder(tmp_path / "d", 3) as recorder:
        recorder.update(range(5), logits, [0, 1, 2, 0, 1])
        recorder.end_epoch()
    less = (logits - logits.max(axis=1, keepdims=True)).astype(np.float32)
    same(Dynamics.open(tmp_path / "d"), Block.from_logits(less[None], np.array([0, 1, 2, 0, 1])))


def test_half_precision_logits_are_kept_at_level_logits(run: Run, tmp_path: Path) -> None:
    dynamics = run.record(tmp_path / "d", level="logits")
    same(dynamics, run.block())
    order = np.argsort(run.ids)
    for epoch in range(3):
        np.testing.assert_array_equal(dynamics.column(epoch, "logits"), run.logits(epoch)[order].astype(np.float16))


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 30), st.integers(0, 2**32), st.integers(2, 40), st.booleans())
def test_neither_the_size_nor_the_order_of_batches_matters(
    tmp_path_factory: pytest.TempPathFactory, batch: int, seed: int, classes: int, learned: bool
) -> None:
    generator = np.random.default_rng(seed)
    run = Run(generator.permutation(23), generator.integers(0, classes, 23), classes, epochs=2, batch=batch)
    options = {"ids": None, "labels": None} if learned else {}
    same(run.record(tmp_path_factory.mktemp("r") / "d", **options), run.block())


def test_a_batch_of_one_is_recorded(run: Run, tmp_path: Path) -> None:
    same(run.but(batch=1).record(tmp_path / "d"), run.block())


def test_an_empty_batch_is_recorded_as_nothing(run: Run, tmp_path: Path) -> None:
    nothing = ([], np.empty((0, 4), np.float32), [])
    with run.recorder(tmp_path / "d", ids=None, labels=None) as recorder:
        for epoch in range(3):
            recorder.update(*nothing)
            run.feed(recorder, epoch)
            recorder.update(*nothing)
            recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.block())


def test_more_examples_than_the_buffer_holds_are_recorded_alike(tmp_path: Path) -> None:
    generator = np.random.default_rng(0)
    run = Run(generator.permutation(1000), generator.integers(0, 700, 1000), 700, epochs=2, batch=333)
    same(run.record(tmp_path / "d"), run.block())
    same(run.record(tmp_path / "learned", ids=None, labels=None), run.block())


def test_what_the_caller_does_with_a_batch_afterwards_changes_nothing(run: Run, tmp_path: Path) -> None:
    for options in ({}, {"labels": None}, {"ids": None, "labels": None}):
        path = tmp_path / str(len(options))
        with run.recorder(path, **options) as recorder:
            for epoch in range(3):
                for batch in run.batches(epoch):
                    recorder.update(*batch)
                    for array in batch:
                        array[...] = 0
                recorder.end_epoch()
        same(Dynamics.open(path), run.block())


@pytest.mark.parametrize(
    "ids",
    [
        [f"image-{i:02}" for i in range(39, -1, -1)],
        [str(i) for i in range(40)],
        ["é", "\u4e2d", "", "a b", "\N{PILE OF POO}", *(f"{'x' * i}!" for i in range(35))],
        range(-20, 20),
        [-(2**63), 2**63 - 1, 0, -1, *(hash(str(i) * 3) or 7 for i in range(36))],
        [-(2**63), *range(-(2**63) + 900, -(2**63) + 939)],
        [2**63 - 1, *range(2**63 - 900, 2**63 - 861)],
    ],
    ids=["names", "digits", "unicode", "negative", "hashes", "lowest", "highest"],
)
@pytest.mark.parametrize("learned", [False, True])
def test_ids_of_every_kind_find_their_rows(ids: Any, learned: bool, run: Run, tmp_path: Path) -> None:
    run = run.but(ids=np.array(ids))
    dynamics = run.record(tmp_path / "d", **({"ids": None, "labels": None} if learned else {}))
    assert dynamics.ids.tolist() == sorted(ids)
    same(dynamics, run.block())


@pytest.mark.parametrize(
    "options",
    [{}, {"labels": None}, {"ids": None, "labels": None}],
    ids=["ids and labels given", "ids given", "nothing given"],
)
def test_ids_and_labels_are_the_same_given_or_learned(options: Any, run: Run, tmp_path: Path) -> None:
    dynamics = run.record(tmp_path / "d", **options)
    assert dynamics.manifest.ids_given == ("ids" not in options)
    same(dynamics, run.block())


# --- what is refused, with its message, and leaves no trace ----------------------------------------------------------

GOOD = np.zeros((2, 4), np.float32)
REFUSED: dict[str, tuple[Any, str]] = {
    "an id seen before": (([0, 9], GOOD, [0, 1]), r"epoch 1: 1 ids came twice \(first: 0\); .* call end_epoch\(\)"),
    "an id twice in the batch": (([9, 9], GOOD, [1, 1]), r"epoch 1: 1 ids came twice \(first: 9\)"),
    "an unknown id": (([9, 77], GOOD, [1, 0]), r"epoch 1: 1 of 2 ids are unknown \(first: 77\); the 10 examples"),
    "an unknown id far away": (
        ([9, 2**63 - 1], GOOD, [1, 0]),
        r"1 of 2 ids are unknown \(first: 9223372036854775807\)",
    ),
    "an unknown id below": (([9, -1], GOOD, [1, -1]), r"1 of 2 ids are unknown \(first: -1\)"),
    "ids of another kind": ((["8", "9"], GOOD, [0, 1]), "all integers or all strings: they were integers, now came st"),
    "a label that changes": (([8, 9], GOOD, [0, 3]), r"epoch 1: 1 labels changed \(id 9: 1, now 3\)"),
    "a label above the classes": (([8, 9], GOOD, [0, 4]), r"epoch 1: labels must be 0 to 3, got 4 \(ids 9\)"),
    "a label below the classes": (([8, 9], GOOD, [0, -1]), r"labels must be 0 to 3, got -1 \(ids 9\)"),
    "the label that ignores": (([8, 9], GOOD, [-100, 1]), r"labels must be 0 to 3, got -100 \(ids 8\)"),
    "a soft label": (([8, 9], GOOD, np.zeros((2, 4))), "2 of 2 rows have no largest share"),
    "a label of floats": (([8, 9], GOOD, [0.0, 1.0]), "labels must be integer class indices"),
    "NaN": (
        ([8, 9], [[0, 0, 0, NAN], [0] * 4], [0, 1]),
        r"epoch 1: logits must be finite; 1 of 2 .*\(first: 8\); has the",
    ),
    "infinity": (([8, 9], [[0] * 4, [0, 0, INF, 0]], [0, 1]), r"logits must be finite; 1 of 2 .* \(first: 9\)"),
    "a gold class that is masked": (
        ([8, 9], [[0] * 4, [0, -INF, 0, 0]], [0, 1]),
        r"the gold class must not be masked; .* 1 of 2 examples \(first: 9\): unmask .* log\(max\(p, 1e-6\)\)$",
    ),
    "nothing but masks": (([8, 9], [[0] * 4, [-INF] * 4], [0, 1]), "the gold class must not be masked"),
    "too large for a difference": (
        ([8, 9], [[0] * 4, [0, 3e38, 0, 0]], [0, 1]),
        r"within ±1.7e\+38 in single precision",
    ),
    "too large for a float32": (([8, 9], [[0] * 4, [0, -1e300, 0, 0]], [0, 1]), r"within ±1.7e\+38 .*\(first: 9\)"),
    "too few classes": (([8, 9], np.zeros((2, 3)), [0, 1]), r"2 ids needs logits of shape \(2, 4\) .* got \(2, 3\)"),
    "too few logits": (([8, 9], np.zeros((1, 4)), [0, 1]), r"needs logits of shape \(2, 4\)"),
    "flat logits": (([8, 9], np.zeros(8), [0, 1]), r"needs logits of shape \(2, 4\)"),
    "too few labels": (([8, 9], GOOD, [0]), r"labels of shape \(2,\), got \(2, 4\) and \(1,\)"),
    "one id for all": (([8], GOOD, [0, 1]), r"a batch of 1 ids needs logits of shape \(1, 4\)"),
    "an id that is a float": (([8.0, 9.0], GOOD, [0, 1]), "ids must be integers or strings"),
    "logits that are text": (([8, 9], [["a"] * 4] * 2, [0, 1]), "logits must be real numbers"),
}


@pytest.mark.parametrize("learned", [False, True], ids=["given", "learned"])
@pytest.mark.parametrize("name", REFUSED)
def test_a_refused_batch_says_why_and_leaves_no_trace(name: str, learned: bool, tmp_path: Path) -> None:
    """Batch 0 of epoch 1 is in, the bad one is refused, and the rest ends as if nothing had been."""
    run = Run(np.arange(10), np.arange(10) % 2, 4, epochs=2, batch=6)
    batch, message = REFUSED[name]
    with run.recorder(tmp_path / "d", labels=None if learned else run.labels) as recorder:
        run.feed(recorder, 0)
        recorder.end_epoch()
        recorder.update([0, 1, 2], run.logits(1, slice(0, 3)), run.labels[:3])
        with pytest.raises(RecordingError, match=message):
            recorder.update(*batch)
        recorder.update(np.arange(3, 10), run.logits(1, slice(3, 10)), run.labels[3:])
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.block())


FIRST_EPOCH = {
    name: REFUSED[name]
    for name in REFUSED
    if name not in ("an unknown id", "an unknown id far away", "an unknown id below", "a label that changes")
}


@pytest.mark.parametrize("given", [True, False], ids=["ids given", "ids learned"])
@pytest.mark.parametrize("name", FIRST_EPOCH)
def test_a_batch_refused_while_labels_are_being_learned_leaves_no_trace(name: str, given: bool, tmp_path: Path) -> None:
    run = Run(np.arange(10), np.arange(10) % 2, 4, epochs=1)
    batch, message = REFUSED[name]
    with run.recorder(tmp_path / "d", ids=run.ids if given else None, labels=None) as recorder:
        recorder.update([0, 1, 2], run.logits(0, slice(0, 3)), run.labels[:3])
        with pytest.raises(RecordingError, match=message.replace("epoch 1", "epoch 0")):
            recorder.update(*batch)
        recorder.update(np.arange(3, 10), run.logits(0, slice(3, 10)), run.labels[3:])
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.block())


def test_a_refused_batch_does_not_teach_its_labels(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 4, ids=range(3)) as recorder:
        with pytest.raises(RecordingError, match=r"came twice"):
            recorder.update([0, 1, 1], np.zeros((3, 4)), [2, 2, 2])
        recorder.update([0, 1, 2], np.zeros((3, 4)), [1, 0, 3])
        recorder.end_epoch()
    assert Dynamics.open(tmp_path / "d").labels.tolist() == [1, 0, 3]


def test_a_label_may_not_change_within_the_first_epoch_either_once_ids_are_given(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "d", 4, ids=range(3), labels=[0, 1, 2])
    with pytest.raises(RecordingError, match=r"1 labels changed \(id 1: 1, now 3\)"):
        recorder.update([0, 1], GOOD, [0, 3])


def test_a_logit_beyond_half_precision_is_refused_at_level_logits_only(tmp_path: Path) -> None:
    batch = ([0, 1], [[0, 0, 0, 70000.0], [0] * 4], [0, 1])
    with pytest.raises(RecordingError, match=r"±65504 to be kept in half precision; use level='signals'"):
        Recorder(tmp_path / "a", 4, level="logits").update(*batch)
    with Recorder(tmp_path / "b", 4) as recorder:
        recorder.update(*batch)
        recorder.end_epoch()


def test_a_large_batch_with_one_bad_logit_is_refused(tmp_path: Path) -> None:
    """Beyond the size at which the quick check by the sum of squares is taken."""
    logits = np.zeros((3000, 4), np.float32)
    logits[2999, 3] = NAN
    with pytest.raises(RecordingError, match=r"1 of 3000 examples have NaN or infinity \(first: 2999\)"):
        Recorder(tmp_path / "d", 4).update(range(3000), logits, np.zeros(3000, int))


def test_extreme_logits_within_the_limit_give_finite_signals(tmp_path: Path) -> None:
    logits = np.array([[1.7e38, -1.7e38, 0], [-1.7e38, 1.7e38, 1e-40], [1e30, 1e30, 1e30]])
    with Recorder(tmp_path / "d", 3) as recorder:
        recorder.update(range(3), logits, [0, 0, 0])
        recorder.end_epoch()
    for values in Dynamics.open(tmp_path / "d").block().signals.values():
        assert np.isfinite(values).all()


# --- what is refused at the start ------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 1}, "classes must be an integer of at least 2, got 1"),
        ({"classes": True}, "classes must be an integer"),
        ({"classes": 10.0}, "classes must be an integer of at least 2, got 10.0"),
        ({"classes": 10**9}, "classes must be at most 16,777,216 and leave room .* 1,000,000,000 classes need 512 GB"),
        ({"resume": True, "overwrite": True}, "either resume=True .* or overwrite=True .*; say one of them"),
        ({"repeats": "last"}, "repeats must be one of 'refuse', 'first', 'mean', got 'last'"),
        ({"repeats": "mean", "rank": 0, "world_size": 2}, "'mean' cannot be joined from several processes"),
        ({"on_error": "ignore"}, "on_error must be one of 'raise', 'warn', got 'ignore'"),
        ({"source": "test"}, "source must be one of 'train', 'sweep', 'held-out', got 'test'"),
        ({"level": "all"}, "level must be one of 'stats', 'signals', 'logits', got 'all'"),
        ({"labels": [0, 1]}, "labels need ids"),
        ({"ids": [1, 2, 1]}, r"ids must be distinct; 1 came more than once \(first: 1\)"),
        ({"ids": []}, "at least one example"),
        ({"ids": [1, 2], "labels": [0]}, r"2 ids need 2 labels, got shape \(1,\)"),
        ({"ids": [1, 2], "labels": [0, 4]}, r"labels must be 0 to 3, got 4 \(ids 2\)"),
        ({"ids": [1, 2], "labels": [0, -1]}, r"labels must be 0 to 3, got -1"),
        ({"rank": 0}, "rank and world_size go together"),
        ({"rank": 2, "world_size": 2}, "rank must be 0 to world_size - 1, got 2 of 2"),
        ({"rank": 0, "world_size": 2, "level": "stats"}, "'stats' cannot be joined"),
    ],
)
def test_a_wrong_argument_is_refused_and_makes_no_folder(options: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=message):
        Recorder(tmp_path / "d", **{"classes": 4, **options})
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("rank", ["", "x", None])
def test_half_an_environment_is_refused(rank: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    if rank is not None:
        monkeypatch.setenv("RANK", rank)
    with pytest.raises(RecordingError, match=r"RANK and WORLD_SIZE to whole numbers, or neither"):
        Recorder(tmp_path / "d", 4)


def test_a_world_of_one_needs_no_rank(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "1")
    assert Recorder(tmp_path / "d", 4).folder == tmp_path / "d"


def test_the_environment_of_torchrun_says_which_part_this_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORLD_SIZE", "2")
    monkeypatch.setenv("RANK", "1")
    assert Recorder(tmp_path / "d", 4).folder == tmp_path / "d" / "parts" / "0001-of-0002"
    assert Recorder(tmp_path / "whole", 4, rank=0, world_size=1).folder == tmp_path / "whole"


# --- epochs ----------------------------------------------------------------------------------------------------------


def test_an_incomplete_epoch_is_refused_and_can_be_completed(run: Run, tmp_path: Path) -> None:
    *most, last = run.batches(0)
    with run.recorder(tmp_path / "d") as recorder:
        for batch in most:
            recorder.update(*batch)
        first = ", ".join(map(str, sorted(last[0].tolist())[:3]))
        with pytest.raises(
            RecordingError, match=rf"epoch 0: 5 of 40 ids were not recorded \(first: {first}, ...\); pass"
        ):
            recorder.end_epoch()
        recorder.update(*last)
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


@pytest.mark.parametrize("where", ["recorder", "end_epoch"])
@pytest.mark.parametrize("level", ["signals", "logits"])
def test_an_incomplete_epoch_may_be_allowed(where: str, level: Any, run: Run, tmp_path: Path) -> None:
    seen = np.arange(3)
    with run.recorder(tmp_path / "d", level=level, allow_missing=where == "recorder") as recorder:
        run.feed(recorder, 0)
        recorder.end_epoch()
        recorder.update(run.ids[seen], run.logits(1, seen), run.labels[seen])
        recorder.end_epoch(**({} if where == "recorder" else {"allow_missing": True}))
    dynamics = Dynamics.open(tmp_path / "d")
    logits = np.stack([run.logits(0), np.full((40, 4), NAN, np.float32)])
    logits[1, seen] = run.logits(1, seen)
    order = np.argsort(run.ids)
    expected = Block.from_logits(logits[:, order], run.labels[order])
    same(dynamics, expected)
    assert [entry.seen for entry in dynamics.manifest.epochs] == [40, 3]
    assert dynamics.manifest.allow_missing
    assert not dynamics.block().complete
    assert dynamics.block(epochs=1).complete
    if level == "logits":
        assert np.isnan(dynamics.column(1, "logits")).any(axis=1).sum() == 37


def test_an_epoch_may_be_refused_although_the_recorder_allows_missing_examples(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d", allow_missing=True)
    recorder.update(run.ids[:2], run.logits(0, slice(2)), run.labels[:2])
    with pytest.raises(RecordingError, match=r"38 of 40"):
        recorder.end_epoch(allow_missing=False)


def test_a_label_that_was_never_learned_is_unknown(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 4, ids=range(4), allow_missing=True) as recorder:
        recorder.update([0, 1], GOOD, [3, 2])
        recorder.end_epoch()
        assert Dynamics.open(tmp_path / "d").labels.tolist() == [3, 2, -1, -1]
        recorder.update([1, 2], GOOD, [2, 1])
        recorder.end_epoch()
    dynamics = Dynamics.open(tmp_path / "d")
    assert dynamics.labels.tolist() == [3, 2, 1, -1]
    assert not dynamics.block().correct[:, 3].any()


def test_an_epoch_with_nothing_in_it_is_refused(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d", allow_missing=True)
    with pytest.raises(RecordingError, match=r"epoch 0: nothing was recorded"):
        recorder.end_epoch()
    run.feed(recorder, 0)
    recorder.end_epoch()
    with pytest.raises(RecordingError, match=r"epoch 1: nothing was recorded"):
        recorder.end_epoch()


def test_an_id_that_the_first_epoch_did_not_bring_is_unknown_in_the_second(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "d", 4)
    recorder.update([0, 1], GOOD, [0, 1])
    recorder.end_epoch()
    with pytest.raises(RecordingError, match=r"1 of 2 ids are unknown \(first: 2\); .* fixed by the first epoch: give"):
        recorder.update([1, 2], GOOD, [1, 0])


def test_integer_and_string_ids_do_not_mix_while_they_are_learned(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "d", 4)
    recorder.update([0, 1], GOOD, [0, 1])
    with pytest.raises(RecordingError, match=r"they were integers, now came strings"):
        recorder.update(["a", "b"], GOOD, [0, 1])
    recorder = Recorder(tmp_path / "e", 4, ids=["a", "b"])
    with pytest.raises(RecordingError, match=r"they were strings, now came integers"):
        recorder.update([0, 1], GOOD, [0, 1])


# --- close -----------------------------------------------------------------------------------------------------------


def test_closing_with_an_epoch_under_way_is_an_error(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    run.feed(recorder, 0)
    with pytest.raises(RecordingError, match=r"epoch 0 was not ended: 40 examples of it are dropped, nothing was kept"):
        recorder.close()
    recorder.close()
    with pytest.raises(StoreError, match=r"was an epoch ever finished"):
        Dynamics.open(tmp_path / "d")


def test_leaving_the_context_with_an_epoch_under_way_is_an_error_that_keeps_what_was_ended(
    run: Run, tmp_path: Path
) -> None:
    def train() -> None:
        with run.recorder(tmp_path / "d") as recorder:
            run.feed(recorder, 0)
            recorder.end_epoch()
            run.feed(recorder, 1)

    with pytest.raises(RecordingError, match=r"epoch 1 was not ended: 40 examples .* the epoch before it is kept"):
        train()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


def test_an_error_of_the_training_loop_is_not_hidden_by_the_unfinished_epoch(run: Run, tmp_path: Path) -> None:
    def train() -> None:
        with run.recorder(tmp_path / "d") as recorder:
            run.feed(recorder, 0)
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        train()


def test_a_closed_recorder_takes_nothing(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d") as recorder:
        pass
    with pytest.raises(RecordingError, match=r"closed; open a new one"):
        run.feed(recorder, 0)
    with pytest.raises(RecordingError, match=r"closed; open a new one"):
        recorder.end_epoch()
    recorder.close()


# --- resume ----------------------------------------------------------------------------------------------------------

GIVEN = [{}, {"labels": None}, {"ids": None, "labels": None}]


@pytest.mark.parametrize("before", GIVEN, ids=str)
@pytest.mark.parametrize("after", GIVEN, ids=str)
@pytest.mark.parametrize("level", ["signals", "logits"])
def test_a_recording_goes_on_where_it_stopped(before: Any, after: Any, level: Any, run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 2, level=level, **before)
    recorder = run.recorder(tmp_path / "d", level=level, **after)
    assert recorder.epoch == 2
    recorder.close()
    same(run.record(tmp_path / "d", level=level, **after), run.block())


def test_an_epoch_under_way_when_the_run_was_stopped_is_recorded_anew(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    recorder = run.recorder(tmp_path / "d")
    recorder.update(run.ids[:5], np.zeros((5, 4)), run.labels[:5])
    run.as_killed(recorder)
    same(run.record(tmp_path / "d"), run.block())


def test_what_a_kill_left_behind_is_cleared_away(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    left = [tmp_path / "d" / name for name in (".manifest.json.77.tmp", "epochs/.00001.arrow.77.tmp")]
    for file in [*left, tmp_path / "d" / "epochs" / "00001.arrow"]:
        file.write_bytes(b"torn")
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())
    same(run.record(tmp_path / "d"), run.block())
    assert not any(file.exists() for file in left)
    assert sorted(file.name for file in (tmp_path / "d" / "epochs").iterdir()) == [f"{e:05d}.arrow" for e in range(3)]


def test_labels_given_after_a_first_session_that_did_not_see_all_are_kept(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 4, ids=range(4), allow_missing=True) as recorder:
        recorder.update([0, 1], GOOD, [3, 2])
        recorder.end_epoch()
    with Recorder(tmp_path / "d", 4, ids=range(4), labels=[3, 2, 1, 0], allow_missing=True, resume=True) as recorder:
        recorder.update([0, 1], GOOD, [3, 2])
        recorder.end_epoch()
    dynamics = Dynamics.open(tmp_path / "d")
    assert dynamics.labels.tolist() == [3, 2, 1, 0]
    assert dynamics.manifest.allow_missing


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"classes": 5}, "was recorded with classes=4, got 5; two kinds of recording are never mixed"),
        ({"source": "sweep"}, "was recorded with source='train', got 'sweep'"),
        ({"level": "logits"}, "was recorded with level='signals', got 'logits'"),
        ({"level": "stats"}, "was recorded with level='signals', got 'stats'"),
        ({"ids": range(40), "labels": None}, r"was recorded with other ids \(40, now 40\)"),
        ({"ids": range(3), "labels": None}, r"was recorded with other ids \(40, now 3\)"),
        ({"ids": ["a"], "labels": None}, r"was recorded with other ids \(40, now 1\)"),
    ],
)
def test_a_recording_of_another_kind_is_not_continued(options: Any, message: str, run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    with pytest.raises(StoreError, match=message):
        run.recorder(tmp_path / "d", **options)
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


def test_other_labels_are_not_taken_when_going_on(run: Run, tmp_path: Path) -> None:
    run.record(tmp_path / "d", 1)
    other = run.labels.copy()
    other[3] = (other[3] + 1) % 4
    with pytest.raises(StoreError, match=rf"has other labels for 1 ids \(first: {run.ids[3]}\)"):
        run.recorder(tmp_path / "d", labels=other)


def test_an_epoch_number_beyond_five_digits_is_written_and_read(run: Run, tmp_path: Path) -> None:
    """The name of an epoch's file grows; its place in the manifest is what counts."""
    from trainmap.dynamics.manifest import EpochEntry

    assert EpochEntry(file="epochs/123456.arrow", seen=1, bytes=1, crc32=0).file == "epochs/123456.arrow"


# --- accelerators ----------------------------------------------------------------------------------------------------


class Far(torch.Tensor):
    """A tensor that says it lives on another device, and counts how often its values are brought over."""

    fetched = 0

    @property
    def is_cpu(self) -> bool:  # type: ignore[override]
        return False

    def numpy(self, *, force: bool = False) -> Any:
        Far.fetched += 1
        return self.as_subclass(torch.Tensor).numpy(force=force)


def far(array: Any) -> Far:
    return torch.as_tensor(np.array(array)).as_subclass(Far)


@pytest.mark.parametrize("everything", [False, True], ids=["logits only", "ids and labels as well"])
def test_nothing_is_fetched_from_an_accelerator_before_the_epoch_ends(
    everything: bool, run: Run, tmp_path: Path
) -> None:
    with run.recorder(tmp_path / "d") as recorder:
        for epoch in range(3):
            Far.fetched = 0
            for ids, logits, labels in run.batches(epoch):
                batch = (far(ids), far(logits), far(labels)) if everything else (ids, far(logits), labels)
                recorder.update(*batch)
                for array in batch:
                    array[...] = 0  # the loop may use its memory again
            assert Far.fetched == 0
            recorder.end_epoch()
            assert Far.fetched > 0
    same(Dynamics.open(tmp_path / "d"), run.block())


def test_an_accelerator_holds_back_no_more_than_so_many_bytes(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("trainmap.dynamics.taking.HELD_BYTES", 8 * 4 * 4 * 2)
    Far.fetched = 0
    run = run.but(batch=8)
    recorder = run.recorder(tmp_path / "d")
    for number, (ids, logits, labels) in enumerate(run.batches(0)):
        recorder.update(ids, far(logits), labels)
        assert Far.fetched == (number + 1) // 2
    recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


def test_wrong_shapes_are_refused_at_once_on_an_accelerator_too(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    with pytest.raises(RecordingError, match=r"needs logits of shape \(2, 4\)"):
        recorder.update(run.ids[:2], far(np.zeros((2, 3))), run.labels[:2])
    run.feed(recorder, 0)
    recorder.end_epoch()


def test_a_bad_batch_from_an_accelerator_is_refused_at_the_end_and_the_rest_is_kept(run: Run, tmp_path: Path) -> None:
    with run.recorder(tmp_path / "d") as recorder:
        first, *others = run.batches(0)
        recorder.update(first[0], far(np.full_like(first[1], NAN)), first[2])
        for ids, logits, labels in others:
            recorder.update(ids, far(logits), labels)
        with pytest.raises(RecordingError, match=r"epoch 0: logits must be finite; 7 of 7"):
            recorder.end_epoch()
        with pytest.raises(RecordingError, match=r"7 of 40 ids were not recorded"):
            recorder.end_epoch()
        recorder.update(*first)
        recorder.end_epoch()
    same(Dynamics.open(tmp_path / "d"), run.but(epochs=1).block())


def test_closing_with_batches_still_on_an_accelerator_is_an_error(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    ids, logits, labels = next(iter(run.batches(0)))
    recorder.update(ids, far(logits), labels)
    with pytest.raises(RecordingError, match=r"7 examples of it are dropped"):
        recorder.close()


def test_a_tensor_without_values_is_refused(run: Run, tmp_path: Path) -> None:
    recorder = run.recorder(tmp_path / "d")
    recorder.update(run.ids[:2], torch.zeros(2, 4, device="meta"), run.labels[:2])
    with pytest.raises(RecordingError, match=r"must be a dense tensor with values, got torch.float32 on meta"):
        recorder.end_epoch()


def test_epochs_that_were_sat_out_are_skipped_and_all_nan(tmp_path: Path) -> None:
    how: dict[str, Any] = {"ids": [1, 2, 3], "labels": [0, 1, 0], "allow_missing": True}
    with Recorder(tmp_path / "d", 2, **how) as recorder:
        recorder.skip_to(2)
        recorder.update([1, 2, 3], np.eye(3, 2), [0, 1, 0])
        with pytest.raises(RecordingError, match="epoch 2 is recorded or under way; cannot skip to 3"):
            recorder.skip_to(3)
        recorder.end_epoch()
        recorder.skip_to(3)
        with pytest.raises(RecordingError, match="epoch 3 is recorded or under way; cannot skip to 1"):
            recorder.skip_to(1)
    dynamics = Dynamics.open(tmp_path / "d")
    seen = [np.isfinite(dynamics.column(epoch, "p_gold")) for epoch in range(dynamics.epochs)]
    assert [one.tolist() for one in seen] == [[False] * 3, [False] * 3, [True] * 3]


@pytest.mark.parametrize("how", [{}, {"ids": [1, 2], "labels": [0, 1]}])
def test_skipping_needs_known_examples_that_may_be_missing(how: dict[str, Any], tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 2, **how) as recorder, pytest.raises(RecordingError, match="to skip epochs make"):
        recorder.skip_to(1)


def test_a_recorder_that_is_closed_without_an_epoch_says_so(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    Recorder(tmp_path / "d", 2).close()
    assert "closed, and nothing was recorded: end_epoch() was not called" in caplog.text
    recorder = Recorder(tmp_path / "e", 2, on_error="warn")
    recorder.update([1], [[1.0, 2.0]], [7])
    recorder.end_epoch()
    recorder.close()
    assert "closed, and nothing was recorded: what came was left out, and told" in caplog.text


@pytest.mark.parametrize("known", [True, False])
def test_an_epoch_of_which_nothing_could_be_recorded_is_what_it_says(
    known: bool, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = Recorder(tmp_path / "d", 2, ids=[1] if known else None, on_error="warn")
    recorder.update([1], [[1.0, 2.0]], [7])
    recorder.end_epoch()
    assert recorder.epoch == int(known)
    assert ("so it is kept as not seen" if known else "so it is not kept") in caplog.text
    recorder.leave_out([1, 2], RecordingError("an adapter could not read it"))
    assert recorder.refused == (2, 3)
    recorder.close()


@pytest.mark.filterwarnings("ignore:The PyTorch API of nested tensors:UserWarning")
@pytest.mark.parametrize("kind", ["classes", "multilabel", "tokens", "regression"])
@pytest.mark.parametrize("strange", ["nested", "meta", "object"])
def test_a_foreign_array_that_cannot_be_looked_at_is_a_refused_batch(kind: Any, strange: str, tmp_path: Path) -> None:
    labels: Any = [0, None]
    if strange == "meta":
        labels = torch.zeros(2, device="meta")
    elif strange == "nested":
        labels = torch.nested.nested_tensor([torch.zeros(2), torch.zeros(3)])
    how: Any = {"kind": kind} if kind in ("tokens", "regression") else {"kind": kind, "classes": 3}
    outputs = torch.zeros({"tokens": (2, 2, 3), "regression": (2,)}.get(kind, (2, 3)))
    with Recorder(tmp_path / "d", on_error="warn", **how) as recorder:
        recorder.update([1, 2], outputs, labels)
        assert recorder.refused == (1, 2)
    with Recorder(tmp_path / "e", **how) as recorder, pytest.raises(RecordingError):
        recorder.update([1, 2], outputs, labels)
