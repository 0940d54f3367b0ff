"""Kinds of supervision: what each records, by hand on tiny data and beside torch; what all of them have in common."""

from __future__ import annotations

import contextlib
import logging
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from test_recorder import Far, far

import trainmap as tm
from trainmap.dynamics.manifest import read_manifest
from trainmap.errors import RecordingError, StoreError

N = 12
rng = np.random.default_rng(0)
LOGITS = rng.normal(size=(3, N, 4)).astype(np.float32)
BINARY = (rng.random((N, 4)) < 0.4).astype(int)
SEQUENCES = rng.normal(size=(3, N, 5, 7)).astype(np.float32)
TAGS = rng.integers(0, 7, (N, 5))
TAGS[:, 4] = -100
NUMBERS = rng.normal(size=(3, N))
TARGETS = rng.normal(size=N)

Batch = Callable[[int, Any], tuple[Any, ...]]
KINDS: dict[str, tuple[dict[str, Any], Batch]] = {
    "classes": ({"classes": 4}, lambda e, i: (LOGITS[e, i], i % 4)),
    "one logit": ({"classes": 2}, lambda e, i: (LOGITS[e, i, 0], i % 2)),
    "named": ({"classes": ["a", "b", "c", "d"]}, lambda e, i: (LOGITS[e, i], np.array(list("abcd"))[i % 4])),
    "multilabel": ({"classes": 4, "kind": "multilabel"}, lambda e, i: (LOGITS[e, i], BINARY[i])),
    "each label": ({"classes": 4, "kind": "multilabel", "per": "label"}, lambda e, i: (LOGITS[e, i], BINARY[i])),
    "tokens": ({"classes": 7, "kind": "tokens"}, lambda e, i: (SEQUENCES[e, i], TAGS[i])),
    "each token": ({"classes": 7, "kind": "tokens", "per": "token"}, lambda e, i: (SEQUENCES[e, i], TAGS[i])),
    "log_probs": (
        {"kind": "tokens", "as_": "log_probs"},
        lambda e, i: (-np.abs(SEQUENCES[e, i, :, 0]), TAGS[i] != -100),
    ),
    "regression": ({"kind": "regression"}, lambda e, i: (NUMBERS[e, i], TARGETS[i])),
    "numbers": ({"signals": ["loss", "reward"]}, lambda e, i: ({"loss": NUMBERS[e, i] ** 2, "reward": NUMBERS[e, i]},)),
}
every_kind = pytest.mark.parametrize("name", KINDS)


def record(folder: Path, name: str, order: Any = None, batch: int = N, epochs: int = 3, **more: Any) -> tm.Dynamics:
    said, of = KINDS[name]
    order = np.arange(N) if order is None else order
    with tm.Recorder(folder, **{**said, **more}) as recorder:
        for epoch in range(recorder.epoch, epochs):
            for start in range(0, N, batch):
                here = order[start : start + batch]
                recorder.update(here, *of(epoch, here))
            recorder.end_epoch()
    return tm.Dynamics.open(folder)


def same(one: tm.Dynamics, other: tm.Dynamics) -> None:
    assert one.ids.tolist() == other.ids.tolist()
    assert one.signals == other.signals
    for epoch in range(other.epochs):
        for signal in other.signals:
            assert one.column(epoch, signal).tobytes() == other.column(epoch, signal).tobytes(), (epoch, signal)


# --- every kind -------------------------------------------------------------------------------------------------------


@every_kind
@settings(max_examples=6, deadline=None)
@given(st.permutations(range(N)), st.integers(1, N))
def test_no_bit_depends_on_the_order_or_the_size_of_batches(
    name: str, tmp_path_factory: pytest.TempPathFactory, order: list[int], batch: int
) -> None:
    folder = tmp_path_factory.mktemp("d")
    whole = record(folder / "whole", name)
    whole.verify()
    same(record(folder / "parts", name, np.array(order), batch), whole)


@every_kind
def test_a_recording_goes_on_back_and_anew(name: str, tmp_path: Path) -> None:
    whole = record(tmp_path / "whole", name)
    record(tmp_path / "d", name, epochs=2)
    with pytest.raises(StoreError, match="say resume=True"):
        record(tmp_path / "d", name)
    same(record(tmp_path / "d", name, resume=True), whole)
    with tm.Recorder(tmp_path / "d", **KINDS[name][0], resume=True) as recorder:
        recorder.rewind(1)
    same(record(tmp_path / "d", name, resume=True), whole)
    same(record(tmp_path / "d", name, overwrite=True), whole)
    other = {"classes": 5} if name != "numbers" else {"signals": ["reward", "loss"]}
    if name == "regression":
        other = {"classes": 4, "kind": "multilabel"}
    with pytest.raises(
        (StoreError, RecordingError), match=r"two kinds of recording are never mixed|needs|goes with|as_ must be"
    ):
        record(tmp_path / "d", name, resume=True, **{"kind": None, **other})


@every_kind
def test_a_second_visit_is_refused_or_the_first_or_the_mean_is_kept(name: str, tmp_path: Path) -> None:
    said, of = KINDS[name]
    one, two = tm.Recorder(tmp_path / "1", **said), tm.Recorder(tmp_path / "2", **said, repeats="first")
    three, ids = tm.Recorder(tmp_path / "3", **said, repeats="mean"), np.arange(N)
    for recorder in (one, two, three):
        recorder.update(ids, *of(0, ids))
    with pytest.raises(RecordingError, match="came twice"):
        one.update(ids, *of(1, ids))
    for recorder in (two, three):
        recorder.update(ids, *of(1, ids))
    for recorder in (one, two, three):
        recorder.end_epoch()
        recorder.close()
    first, kept, mean = (tm.Dynamics.open(tmp_path / str(number)) for number in (1, 2, 3))
    same(kept, first)
    other = record(tmp_path / "4", name)
    for signal in set(first.signals) - {"predicted"}:
        both = (first.column(0, signal).astype(float) + other.column(1, signal)) / 2
        np.testing.assert_allclose(mean.column(0, signal), both.astype(np.float32), rtol=1e-6)
    mean.verify()


@every_kind
def test_what_an_epoch_lacks_is_an_error_or_nan_and_newcomers_come_later(name: str, tmp_path: Path) -> None:
    said, of = KINDS[name]
    few, ids = np.arange(N - 3), np.arange(N)
    recorder = tm.Recorder(tmp_path / "d", **said, allow_missing=True)
    recorder.update(few, *of(0, few))
    recorder.end_epoch()
    recorder.update(ids, *of(1, ids))
    recorder.end_epoch()
    recorder.skip_to(3)
    recorder.close()
    made, whole = tm.Dynamics.open(tmp_path / "d"), record(tmp_path / "whole", name)
    made.verify()
    assert made.ids.tolist() == whole.ids.tolist()
    seen = np.isin([int(str(one).split("/")[0]) for one in made.ids.tolist()], few)
    for signal in set(whole.signals) - {"predicted"}:
        assert (np.isnan(made.column(0, signal)) == ~seen).all()
        assert made.column(1, signal).tobytes() == whole.column(1, signal).tobytes()
        assert np.isnan(made.column(2, signal)).all()
    strict = tm.Recorder(tmp_path / "e", **said)
    strict.update(ids, *of(0, ids))
    strict.end_epoch()
    strict.update(few, *of(1, few))
    with pytest.raises(RecordingError, match="allow_missing=True"):
        strict.end_epoch()


@every_kind
def test_two_processes_are_what_one_is(name: str, tmp_path: Path) -> None:
    said, of = KINDS[name]
    for rank in (0, 1):
        with tm.Recorder(tmp_path / "d", **said, rank=rank, world_size=2) as recorder:
            for epoch in range(3):
                mine = np.arange(rank, N, 2)
                recorder.update(mine, *of(epoch, mine))
                recorder.end_epoch()
    joined, whole = tm.Dynamics.open(tmp_path / "d"), record(tmp_path / "whole", name)
    same(joined, whole)
    joined.verify()
    assert (joined.kind, joined.class_names, joined.per) == (whole.kind, whole.class_names, whole.per)
    assert joined.fingerprint == whole.fingerprint


@every_kind
def test_a_refused_batch_leaves_no_trace_and_is_counted_by_who_warns(name: str, tmp_path: Path) -> None:
    said, of = KINDS[name]
    ids, whole = np.arange(N), record(tmp_path / "whole", name)
    bad = [np.full_like(value, np.nan, dtype=float) for value in of(0, ids)[:1] if not isinstance(value, dict)]
    broken = (*(bad or [{"loss": np.full(N, np.nan), "reward": np.zeros(N)}]), *of(0, ids)[1:])
    recorder = tm.Recorder(tmp_path / "d", **said)
    with pytest.raises(RecordingError, match=r"finite|diverged"):
        recorder.update(ids, *broken)
    recorder.close()
    with tm.Recorder(tmp_path / "d", **said, on_error="warn") as recorder:
        recorder.update(ids, *of(0, ids))
        recorder.end_epoch()
        recorder.update(ids, *broken)
        recorder.end_epoch()
        assert recorder.refused == (1, N)
    made = tm.Dynamics.open(tmp_path / "d")
    assert np.isnan(made.column(1, "loss")).all()
    assert made.column(0, "loss").tobytes() == whole.column(0, "loss").tobytes()


@every_kind
def test_tensors_on_an_accelerator_wait_there_and_give_the_same(name: str, tmp_path: Path) -> None:
    said, of = KINDS[name]

    def moved(value: Any) -> Any:
        if isinstance(value, dict):
            return {key: far(one) for key, one in value.items()}
        return far(value) if value.dtype.kind == "f" else value

    Far.fetched = 0
    with tm.Recorder(tmp_path / "d", **said) as recorder:
        for epoch in range(3):
            before = Far.fetched
            for start in range(0, N, 5):
                here = np.arange(N)[start : start + 5]
                recorder.update(here, *(moved(value) for value in of(epoch, here)))
            assert Far.fetched == before, "a step waited for the device"
            recorder.end_epoch()
    made, whole = tm.Dynamics.open(tmp_path / "d"), record(tmp_path / "whole", name)
    for epoch in range(3):
        for signal in whole.signals:
            np.testing.assert_allclose(made.column(epoch, signal), whole.column(epoch, signal), rtol=2e-6, atol=1e-6)


@every_kind
def test_only_what_is_new_is_written_as_version_3(name: str, tmp_path: Path) -> None:
    made = record(tmp_path / "d", name)
    version = read_manifest(made.path).version
    assert version == (2 if name in ("classes", "one logit") else 3)
    told = (made.path / "manifest.json").read_text()
    assert ('"kind"' in told) == (version == 3)


@every_kind
def test_levels_are_of_classes(name: str, tmp_path: Path) -> None:
    for level in ("stats", "logits"):
        if name in ("classes", "one logit", "named", "each label", "each token"):
            assert record(tmp_path / level, name, level=level).level == level
        else:
            with pytest.raises(RecordingError, match="other levels are of classes"):
                record(tmp_path / level, name, level=level)


# --- classes: more doors ----------------------------------------------------------------------------------------------


def test_one_logit_is_that_of_class_1(tmp_path: Path) -> None:
    z = np.array([-2.0, 0.5, 3.0], np.float32)
    two = np.stack([np.zeros_like(z), z], axis=1)
    for name, given_z, as_ in (
        ("two", two, None),
        ("one", z, None),
        ("column", z[:, None], None),
        ("torch", torch.tensor(z), None),
        ("p", 1 / (1 + np.exp(-z.astype(float))), "probabilities"),
    ):
        with tm.Recorder(tmp_path / name, 2, as_=as_) as recorder:  # type: ignore[arg-type]
            recorder.update([1, 2, 3], given_z, [0, 1, 1])
            recorder.end_epoch()
        made, plain = tm.Dynamics.open(tmp_path / name).block(), tm.Dynamics.open(tmp_path / "two").block()
        for signal in plain.signals:
            np.testing.assert_allclose(made[signal], plain[signal], rtol=1e-6)


def test_single_logits_that_look_like_probabilities_are_told_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    recorder = tm.Recorder(tmp_path / "d", 2)
    for start in range(0, 4000, 500):
        recorder.update(range(start, start + 500), np.linspace(0, 1, 500), np.arange(500) % 2)
    assert len([line for line in caplog.messages if "as_='probabilities'" in line]) == 1
    recorder.end_epoch()
    recorder.close()
    with tm.Recorder(tmp_path / "p", 2, as_="probabilities") as recorder:
        with pytest.raises(RecordingError, match="of class 1 must be 0 to 1"):
            recorder.update([1], [1.5], [0])
        recorder.update([1], [1.0], [1])
        recorder.end_epoch()


@pytest.mark.parametrize(
    ("names", "labels"),
    [
        (["cat", "dog", "owl"], ["owl", "cat", "dog"]),
        (["cat", "dog", "owl"], np.array(["owl", "cat", "dog"], object)),
        (["cat", "dog", "owl"], [2, 0, 1]),
        (range(1, 4), [3, 1, 2]),
        (np.array([30, 10, 20]), [20, 30, 10]),
        (list(np.array(["cat", "dog", "owl"])), ["owl", "cat", "dog"]),
        ((30, 10, 20), torch.tensor([20, 30, 10])),
    ],
)
def test_labels_are_looked_up_among_the_names_of_the_classes(names: Any, labels: Any, tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "d", names) as recorder:
        recorder.update([0, 1, 2], np.eye(3), labels)
        recorder.end_epoch()
    made = tm.Dynamics.open(tmp_path / "d")
    assert made.labels.tolist() == [2, 0, 1]
    assert made.class_names == tuple(np.asarray(names).tolist())
    with tm.Recorder(tmp_path / "d", names, ids=[2, 1, 0], labels=list(labels)[::-1], resume=True) as recorder:
        recorder.update([0, 1, 2], np.eye(3))
        recorder.end_epoch()
    with pytest.raises(StoreError, match="recorded with class_names="):
        tm.Recorder(tmp_path / "d", ["x", "y", "z"], resume=True)


@pytest.mark.parametrize(
    ("names", "labels", "message"),
    [
        (["cat", "dog"], ["cat", "dgo"], "unknown class 'dgo'; did you mean 'dog'"),
        ([1, 2], [0, 1], "must be among the names of the classes, 1, 2; got 0"),
        (["cat", "dog"], [0, 2], "labels must be 0 to 1, got 2"),
        (["cat", "dog"], [0.5, 2], "must be among the names of the classes"),
        (["cat", "dog"], [True, False], "must be among the names of the classes"),
        (2, ["cat", "dog"], "name the classes"),
    ],
)
def test_a_label_that_no_class_has_is_refused(names: Any, labels: Any, message: str, tmp_path: Path) -> None:
    recorder = tm.Recorder(tmp_path / "d", names)
    with pytest.raises(RecordingError, match=message):
        recorder.update([0, 1], np.eye(2), labels)


@pytest.mark.parametrize(
    "classes", [["a"], ["a", "a"], ["a", 1], [1.0, 2.0], [True, False], "ab", [["a"], ["b"]], None]
)
def test_what_cannot_be_classes_is_refused(classes: Any, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match="classes"):
        tm.Recorder(tmp_path / "d", classes)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize("as_kind", [np.array, torch.tensor, list])
def test_ignored_rows_are_left_out_counted_and_told_once(
    as_kind: Any, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING), tm.Recorder(tmp_path / "d", 4, ignore_index=-100) as recorder:
        for epoch in range(2):
            for half in (np.arange(6), np.arange(6, 12)):
                labels = np.where(half % 3 == 0, -100, half % 4)
                recorder.update(half, LOGITS[epoch, half], as_kind(labels.tolist()))
            recorder.end_epoch()
        assert recorder.ignored == 8
    assert len([line for line in caplog.messages if "ignore_index" in line]) == 1
    assert tm.Dynamics.open(tmp_path / "d").ids.tolist() == [i for i in range(12) if i % 3]
    with pytest.raises(RecordingError, match=r"leave these examples out of ids= and labels="):
        tm.Recorder(tmp_path / "e", 4, ignore_index=-100, ids=[1, 2], labels=[0, -100])


def test_shares_have_the_class_with_the_largest_as_gold(tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "d", 3) as recorder:
        recorder.update([0, 1, 2], np.eye(3), [[0.2, 0.5, 0.3], [1, 0, 0], [0, 0.1, 0.9]])
        recorder.end_epoch()
        for labels, message in (
            ([[0.5, 0.5, 0.0]], r"1 of 1 rows have no largest share .* no gold class"),
            ([[1, 1, 0]], "for several labels an example: kind='multilabel'"),
            ([[0.1, 2.5, 0.3]], "must sum to 1"),
            ([[0.1, -2.5, 0.3]], "from 0 up"),
            ([[0.1, 0.9]], "a share for each class need a column for each"),
        ):
            with pytest.raises(RecordingError, match=message):
                recorder.update([0], np.eye(3)[:1], labels)
    assert tm.Dynamics.open(tmp_path / "d").labels.tolist() == [1, 0, 2]


def test_labels_may_be_left_out_where_they_are_known(tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "d", 4, ids=range(N), labels=np.arange(N) % 4) as recorder:
        recorder.update(np.arange(N), LOGITS[0])
        recorder.end_epoch()
        recorder.update(np.arange(N), far(LOGITS[1]))
        recorder.end_epoch()
        with pytest.raises(RecordingError, match="1 of 1 ids are unknown"):
            recorder.update([99], LOGITS[0, :1])
    whole = record(tmp_path / "whole", "classes")
    same(tm.Dynamics.open(tmp_path / "d"), whole) if whole.epochs == 2 else None
    assert tm.Dynamics.open(tmp_path / "d").column(1, "loss").tobytes() == whole.column(1, "loss").tobytes()
    more: dict[str, Any]
    for more in ({}, {"ids": range(N)}):
        with pytest.raises(
            RecordingError, match=r"the labels of 12 ids are not known .*give the Recorder ids= and labels="
        ):
            tm.Recorder(tmp_path / f"e{len(more)}", 4, **more).update(np.arange(N), LOGITS[0])


# --- several labels, tokens, numbers: by hand and beside torch --------------------------------------------------------


def test_several_labels_by_hand(tmp_path: Path) -> None:
    logits = np.array([[0.0, 2.0], [-1.0, 3.0], [1.0, 1.0]])
    labels = np.array([[1, 0], [0, 1], [1, np.nan]])
    with tm.Recorder(tmp_path / "d", 2, kind="multilabel") as recorder:
        recorder.update([1, 2, 3], logits, labels)
        recorder.end_epoch()
    made = tm.Dynamics.open(tmp_path / "d")
    q = np.array([[0.5, 1 - 1 / (1 + np.exp(-2))], [1 / (1 + np.exp(-1)), 1 / (1 + np.exp(-3))]])
    last = 1 / (1 + np.exp(-1))
    np.testing.assert_allclose(made.column(0, "p_gold"), [*q.mean(axis=1), last], rtol=1e-6)
    np.testing.assert_allclose(made.column(0, "loss"), [*(-np.log(q)).mean(axis=1), -np.log(last)], rtol=1e-6)
    assert made.column(0, "accuracy").tolist() == [0.5, 1, 1]
    assert made.column(0, "exact").tolist() == [0, 1, 1]
    assert (made.kind, made.classes, made.labels.tolist()) == ("multilabel", 2, [-1, -1, -1])


@settings(max_examples=20, deadline=None)
@given(st.integers(1, 9), st.integers(1, 30), st.integers(0, 2**32), st.sampled_from([1.0, 30.0]))
def test_the_loss_of_several_labels_is_torchs(
    tmp_path_factory: pytest.TempPathFactory, count: int, size: int, seed: int, scale: float
) -> None:
    generator, folder = torch.Generator().manual_seed(seed), tmp_path_factory.mktemp("d")
    z = torch.randn(size, count, generator=generator) * scale
    y = (torch.rand(size, count, generator=generator) < 0.5).float()
    with tm.Recorder(folder, count, kind="multilabel") as recorder:
        recorder.update(range(size), z, y)
        recorder.end_epoch()
    expected = torch.nn.functional.binary_cross_entropy_with_logits(z.double(), y.double(), reduction="none").mean(1)
    np.testing.assert_allclose(tm.Dynamics.open(folder).column(0, "loss"), expected, rtol=2e-6, atol=1e-7)


@settings(max_examples=20, deadline=None)
@given(
    st.integers(2, 300),
    st.integers(1, 6),
    st.integers(1, 9),
    st.integers(0, 2**32),
    st.sampled_from(["numpy", "torch"]),
)
def test_the_loss_of_a_sequence_is_torchs_whatever_it_is_padded_with(
    tmp_path_factory: pytest.TempPathFactory, vocabulary: int, size: int, length: int, seed: int, kind: str
) -> None:
    generator, folder = torch.Generator().manual_seed(seed), tmp_path_factory.mktemp("d")
    z = torch.randn(size, length + 3, vocabulary, generator=generator) * 4
    y = torch.randint(0, vocabulary, (size, length + 3), generator=generator)
    y[:, length:] = -100
    y[:, 1:][torch.rand(size, length + 2, generator=generator) < 0.3] = -100
    with tm.Recorder(folder, kind="tokens", allow_missing=True) as recorder:
        for cut in (length + 3, length):
            batch = (z[:, :cut], y[:, :cut])
            recorder.update(range(size), *(map(torch.Tensor.numpy, batch) if kind == "numpy" else batch))
            recorder.end_epoch()
        assert recorder.ignored == 0
    made = tm.Dynamics.open(folder)
    losses = torch.nn.functional.cross_entropy(z.transpose(1, 2).double(), y, reduction="none", ignore_index=-100)
    counts = (y != -100).sum(1)
    expected = losses.sum(1) / counts
    np.testing.assert_allclose(made.column(0, "loss"), expected, rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(made.column(0, "p_gold"), torch.exp(-expected), rtol=1e-5, atol=1e-6)
    np.testing.assert_array_equal(made.column(0, "tokens"), counts)
    right = ((z.argmax(2) == y).sum(1) / counts).numpy()
    np.testing.assert_allclose(made.column(0, "accuracy"), right, rtol=1e-6)
    for signal in made.signals:
        assert made.column(0, signal).tobytes() == made.column(1, signal).tobytes()


def test_a_causal_model_is_shifted_and_a_sequence_without_a_token_left_out(tmp_path: Path) -> None:
    z, y = torch.randn(4, 6, 9), torch.randint(0, 9, (4, 6))
    y[2, 1:] = -100
    for name, said, batch in (
        ("shift", {"shift": True}, (z, y)),
        ("aligned", {}, (z[:, :-1], y[:, 1:])),
        ("given", {"as_": "log_probs"}, None),
    ):
        if batch is None:
            log_p = torch.log_softmax(z[:, :-1], 2).gather(2, y[:, 1:].clamp(0)[..., None])[..., 0]
            batch = (log_p, y[:, 1:] != -100)
        with tm.Recorder(tmp_path / name, kind="tokens", **said) as recorder:  # type: ignore[arg-type]
            recorder.update(["a", "b", "c", "d"], *batch)
            recorder.end_epoch()
            assert recorder.ignored == 1
    one, two, three = (tm.Dynamics.open(tmp_path / name) for name in ("shift", "aligned", "given"))
    same(one, two)
    assert one.ids.tolist() == ["a", "b", "d"]
    assert three.signals == ("p_gold", "loss", "tokens")
    np.testing.assert_allclose(three.column(0, "loss"), one.column(0, "loss"), rtol=1e-6)


def test_each_token_is_an_example_of_classes(tmp_path: Path) -> None:
    made = record(tmp_path / "d", "each token")
    assert (made.kind, made.per, made.classes) == ("classes", "token", 7)
    assert made.ids.tolist() == sorted(f"{i}/{t}" for i in range(N) for t in range(4))
    row = made.ids.tolist().index("3/2")
    z = SEQUENCES[1, 3, 2].astype(float)
    loss = np.log(np.exp(z - z.max()).sum()) - z[TAGS[3, 2]] + z.max()
    np.testing.assert_allclose(made.column(1, "loss")[row], loss, rtol=1e-6)
    assert made.labels[row] == TAGS[3, 2]
    shifted = record(tmp_path / "s", "each token", shift=True)
    assert set(shifted.ids.tolist()) == {f"{i}/{t}" for i in range(N) for t in range(1, 4)}


def test_each_label_is_an_example_of_two_classes_called_by_its_name(tmp_path: Path) -> None:
    made = record(tmp_path / "d", "each label", classes=["sky", "sea", "sun", "ice"])
    row = made.ids.tolist().index("3/sun")
    assert made.labels[row] == BINARY[3, 2]
    np.testing.assert_allclose(made.column(0, "margin")[row], (2 * BINARY[3, 2] - 1) * LOGITS[0, 3, 2], rtol=1e-6)
    with pytest.raises(RecordingError, match="must have no /"):
        tm.Recorder(tmp_path / "e", ["a/b", "c"], kind="multilabel", per="label")
    with pytest.raises(RecordingError, match="the first epoch tells which parts"):
        tm.Recorder(tmp_path / "e", 3, kind="multilabel", per="label", ids=[1, 2])
    recorder = tm.Recorder(tmp_path / "d", ["sky", "sea", "sun", "ice"], kind="multilabel", per="label", resume=True)
    with pytest.raises(RecordingError, match="they were int64, now string"):
        recorder.update(["3"], LOGITS[0, :1], BINARY[:1])


def test_regression_by_hand_keeps_targets_in_single_precision_and_refuses_that_they_change(tmp_path: Path) -> None:
    with tm.Recorder(tmp_path / "d", kind="regression") as recorder:
        recorder.update([2, 1], np.array([[1.5], [0.25]]), np.array([0.1, 0.5]))
        recorder.end_epoch()
        recorder.update([1, 2], torch.tensor([0.0, 0.0]), torch.tensor([0.5, 0.1]))
        with pytest.raises(RecordingError, match=r"1 targets changed \(id 1: 0.5, now 0.75\); .*keeps its target"):
            recorder.update([1], [0.0], [0.75])
        recorder.end_epoch()
        for batch, message in (
            (([1], [np.inf], [0.5]), "loss must be finite"),
            (([1], [0.0], [np.nan]), "targets must be finite"),
            (([1], [1e30], [0.5]), "loss must be finite and within single precision"),
            (([1], [[1.0, 2.0]], [0.5]), "several numbers an example"),
            (([1], 1.0, [0.5]), "reduction='none'"),
        ):
            with pytest.raises(RecordingError, match=message):
                recorder.update(*batch)
    made = tm.Dynamics.open(tmp_path / "d")
    assert made.targets is not None
    np.testing.assert_array_equal(made.targets, np.array([0.5, 0.1], np.float32))
    np.testing.assert_allclose(made.column(0, "residual"), [-0.25, 1.4])
    np.testing.assert_allclose(made.column(0, "loss"), [0.0625, 1.96])
    np.testing.assert_array_equal(made.column(1, "prediction"), [0, 0])
    with tm.Recorder(tmp_path / "g", kind="regression", ids=[1, 2], labels=[0.5, 0.1]) as recorder:
        recorder.update([2, 1], [1.5, 0.25])
        recorder.end_epoch()
    assert tm.Dynamics.open(tmp_path / "g").column(0, "loss").tobytes() == made.column(0, "loss").tobytes()
    assert tm.Dynamics.open(tmp_path / "g").fingerprint == made.fingerprint


@pytest.mark.parametrize(
    ("signals", "message"),
    [
        ([], "must be a list of names"),
        ("loss", "must be a list of names"),
        (["bleu"], "say which end of 'bleu' is hard, signals={'bleu': 'high'} or 'low'; it is known of loss"),
        ({"bleu": "up"}, "hard end of 'bleu' must be 'high' or 'low', got 'up'"),
        (["loss", "loss"], "distinct"),
        ([1], "must be names"),
        ({"label": "low"}, "cannot be called 'label'"),
        ({"my loss": "high"}, "letters, digits and _"),
        ({f"s{i}": "low" for i in range(65)}, "at most 64"),
    ],
)
def test_names_of_numbers_say_their_hard_end(signals: Any, message: str, tmp_path: Path) -> None:
    with pytest.raises(RecordingError, match=message):
        tm.Recorder(tmp_path / "d", signals=signals)
    assert not (tmp_path / "d").exists()


def test_numbers_come_in_a_mapping_or_by_name(tmp_path: Path) -> None:
    values = {"loss": [1.0, 2.0], "pass_rate": [0.5, 1.0], "bleu": [3, 4]}
    said: dict[str, Any] = {"loss": None, "pass_rate": None, "bleu": "low"}
    for name, call in (
        ("m", lambda r: r.update([0, 1], values)),
        ("k", lambda r: r.update([0, 1], **values)),
        ("b", lambda r: r.update([0, 1], {"loss": [1.0, 2.0]}, pass_rate=[0.5, 1.0], bleu=torch.tensor([3, 4]))),
    ):
        with tm.Recorder(tmp_path / name, signals=said) as recorder:
            call(recorder)
            recorder.end_epoch()
            for bad, message in (
                ({"loss": [1.0, 2.0]}, "lacks 'pass_rate', 'bleu'"),
                ({**values, "blue": [1, 2]}, "unknown signal 'blue'; did you mean 'bleu'"),
                ({**values, "pass_rate": [50, 100]}, "pass_rate must be 0 to 1; .*divide percentages by 100"),
                ({**values, "loss": [1.0, np.inf]}, r"loss must be finite .* have inf \(first: 1\)"),
                ({**values, "loss": [1.0]}, r"needs loss of shape \(2,\), got \(1,\)"),
                ({**values, "loss": ["a", "b"]}, "loss must be real numbers"),
            ):
                with pytest.raises(RecordingError, match=message):
                    recorder.update([0, 1], bad)
            with pytest.raises(RecordingError, match="no targets"):
                recorder.update([0, 1], values, [0, 1])
            with pytest.raises(RecordingError, match="hand the numbers over by name"):
                recorder.update([0, 1], [1.0, 2.0])
    same(tm.Dynamics.open(tmp_path / "m"), tm.Dynamics.open(tmp_path / "k"))
    same(tm.Dynamics.open(tmp_path / "m"), tm.Dynamics.open(tmp_path / "b"))
    with pytest.raises(RecordingError, match=r"numbers by name \('loss'\) go with a Recorder that was given signals="):
        tm.Recorder(tmp_path / "c", 3).update([0], np.eye(3)[:1], [0], loss=[1.0])


# --- what is said and what does not fit -------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"kind": "detection"}, "kind must be one of 'classes'"),
        ({"kind": "numbers"}, "needs signals="),
        ({"kind": "regression", "classes": 3}, "classes= goes with kind 'classes'"),
        ({"classes": 3, "signals": ["loss"]}, "classes= goes with kind"),
        ({"classes": 3, "kind": "classes", "signals": ["loss"]}, "signals= goes with kind 'numbers'"),
        ({"classes": 3, "per": "label"}, "per='label' goes with kind='multilabel'"),
        ({"classes": 3, "kind": "tokens", "per": "label"}, "per='label' goes with kind='multilabel'"),
        ({"classes": 3, "per": "word", "kind": "tokens"}, "per must be one of 'label', 'token'"),
        ({"classes": 3, "shift": True}, "shift= goes with kind 'tokens'"),
        ({"signals": ["loss"], "ignore_index": 3}, "ignore_index= goes with"),
        ({"classes": 3, "ignore_index": 1.5}, "ignore_index must be a whole number"),
        ({"signals": ["loss"], "as_": "logits"}, "takes numbers as they are: no as_"),
        ({"classes": 3, "as_": "log_probs"}, "as_ must be one of 'logits', 'probabilities', got 'log_probs'"),
        ({"kind": "tokens", "as_": "log_probs", "shift": True}, "come with their own mask"),
        ({"classes": 9, "kind": "tokens", "per": "token", "as_": "log_probs"}, "needs the logits of every class"),
        ({"classes": ["a", "b"], "kind": "tokens"}, "has no names"),
        ({"kind": "multilabel"}, "classes must be"),
        ({"signals": ["loss"], "ids": [1], "labels": [1]}, "labels= go with classes and regression"),
        ({"classes": 3, "step": "batch"}, "step must be one of 'epoch', 'steps'"),
        ({"classes": 3, "every": 0}, "every must be a whole number of at least 1"),
        ({"classes": 3, "on_error": "ignore"}, "on_error must be one of"),
    ],
)
def test_what_a_kind_does_not_take_is_refused_before_there_is_a_folder(
    said: dict[str, Any], message: str, tmp_path: Path
) -> None:
    with pytest.raises(tm.TrainmapError, match=message):
        tm.Recorder(tmp_path / "d", **said)
    assert not (tmp_path / "d").exists()


@pytest.mark.parametrize(
    ("said", "batch", "message"),
    [
        ({"classes": 3, "kind": "multilabel"}, (np.zeros((2, 3)), [0, 1]), "a gold class an example is kind='classes'"),
        ({"classes": 3, "kind": "multilabel"}, (np.zeros((2, 3)), None), "got none"),
        ({"classes": 2, "kind": "multilabel"}, (np.zeros((2, 2)), [[0, 2], [1, 1]]), "labels must be 0 or 1 .* got 2"),
        (
            {"classes": 2, "kind": "multilabel"},
            (np.zeros((2, 2)), [[0, -1], [1, 1]]),
            "ignore_index=-1 leaves them out",
        ),
        (
            {"classes": 2, "kind": "multilabel", "as_": "probabilities"},
            (np.full((2, 2), 3.0), np.eye(2)),
            "are these log",
        ),
        ({"kind": "tokens"}, (np.zeros((2, 4, 9)), np.zeros((2, 5), int)), r"labels\[:, 1:\], or all logits and shift"),
        ({"kind": "tokens"}, (np.zeros((2, 9, 4)), np.zeros((2, 4), int)), "turn the logits"),
        ({"kind": "tokens"}, (np.zeros((2, 4)), np.zeros((2, 4))), "as_='log_probs'"),
        ({"kind": "tokens", "classes": 8}, (np.zeros((2, 4, 9)), np.zeros((2, 4), int)), "the recorder classes=8"),
        ({"kind": "tokens"}, (np.zeros((2, 4, 9)), np.full((2, 4), 9)), "labels must be tokens, 0 to V - 1"),
        ({"kind": "tokens"}, (np.zeros((2, 4, 9)), np.zeros((2, 4))), "labels must be integers"),
        ({"kind": "tokens"}, (torch.zeros((2, 4, 9)), torch.zeros((2, 4))), "labels must be integers"),
        ({"kind": "tokens"}, (np.zeros((2, 4, 9)), None), "needs labels"),
        ({"kind": "tokens", "as_": "log_probs"}, (np.ones((2, 4)), np.ones((2, 4))), "finite and at most 0"),
        (
            {"kind": "tokens", "as_": "log_probs"},
            (-np.ones((2, 4)), np.full((2, 4), 7)),
            "a mask must be true or false",
        ),
        ({"kind": "tokens", "as_": "log_probs"}, (-np.ones((2, 4)), np.ones((2, 3))), "log-probabilities and a mask"),
        (
            {"kind": "tokens", "as_": "probabilities"},
            (np.ones((2, 4, 9)), np.zeros((2, 4), int)),
            "from 0 up and sum to 1",
        ),
        ({"kind": "tokens", "classes": 9, "per": "token"}, (np.zeros((2, 4, 9)), None), "needs labels"),
    ],
)
def test_a_batch_that_does_not_fit_its_kind_is_told_what_to_do(
    said: dict[str, Any], batch: tuple[Any, ...], message: str, tmp_path: Path
) -> None:
    with pytest.raises(RecordingError, match=message) as caught:
        tm.Recorder(tmp_path / "d", **said).update([0, 1], *batch)
    assert len(str(caught.value)) < 400


def test_a_masked_token_of_the_vocabulary_is_no_error_and_a_masked_gold_one_is(tmp_path: Path) -> None:
    z = np.zeros((1, 2, 5), np.float32)
    z[0, :, 4] = -np.inf
    for kind in (np.array, torch.tensor):
        recorder = tm.Recorder(tmp_path / kind.__name__, kind="tokens")
        with pytest.raises(RecordingError, match="gold token must not be masked"):
            recorder.update([0], kind(z), kind([[0, 4]]))
        recorder.update([0], kind(z), kind([[0, 1]]))
        recorder.end_epoch()
        assert tm.Dynamics.open(tmp_path / kind.__name__).column(0, "loss")[0] == pytest.approx(np.log(4))


def test_what_a_step_is_stands_in_the_manifest(tmp_path: Path) -> None:
    made = record(tmp_path / "d", "numbers", step="steps", every=100)
    assert (made.step, made.every) == ("steps", 100)
    with pytest.raises(StoreError, match="recorded with every=100, got 50"):
        record(tmp_path / "d", "numbers", step="steps", every=50, resume=True)


# --- paused, adapters -------------------------------------------------------------------------------------------------


@every_kind
def test_a_paused_recorder_records_nothing_whoever_calls(name: str, tmp_path: Path) -> None:
    said, of = KINDS[name]
    ids, whole = np.arange(N), record(tmp_path / "whole", name)
    with tm.Recorder(tmp_path / "d", **said) as recorder:
        for epoch in range(3):
            with recorder.paused(), recorder.paused():
                recorder.update(["anything"], "at all")
            with contextlib.suppress(KeyError), recorder.paused():
                thread = threading.Thread(target=recorder.update, args=(ids, None))
                thread.start()
                thread.join()
                raise KeyError
            recorder.update(ids, *of(epoch, ids))
            with pytest.raises(RecordingError, match="end the epoch outside of paused"), recorder.paused():
                recorder.end_epoch()
            recorder.end_epoch()
        assert recorder.refused == (0, 0)
    same(tm.Dynamics.open(tmp_path / "d"), whole)


def test_an_adapter_turns_what_was_not_said_into_a_warning(tmp_path: Path) -> None:
    unsaid = tm.Recorder(tmp_path / "a", 4)
    assert unsaid.on_error == "raise"
    assert unsaid.for_adapter() is unsaid
    assert unsaid.on_error == "warn"
    said = tm.Recorder(tmp_path / "b", 4, on_error="raise").for_adapter()
    assert said.on_error == "raise"
    unsaid.update([1, 2], LOGITS[0, :2], [0, 1])
    unsaid.end_epoch()
    unsaid.update([3], LOGITS[0, :1], [0])
    unsaid.update([4], LOGITS[0, :1] * np.nan, [0])
    unsaid.end_epoch()
    assert unsaid.refused == (1, 1)
    unsaid.close()
    said.close()
    assert tm.Dynamics.open(tmp_path / "a").ids.tolist() == [1, 2, 3]
