"""What loops hand over."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import pytest
import torch

from trainmap.dynamics.arrays import check_shapes, on_accelerator, to_ids, to_labels, to_logits, to_numpy
from trainmap.errors import RecordingError


class OnlyDLPack:
    """A tensor of some other library."""

    def __init__(self, array: Any) -> None:
        self.tensor = torch.as_tensor(array)

    def __dlpack__(self, **options: Any) -> Any:
        return self.tensor.__dlpack__(**options)

    def __dlpack_device__(self) -> Any:
        return self.tensor.__dlpack_device__()


class OnlyArray:
    def __init__(self, array: Any) -> None:
        self.values = np.asarray(array)

    def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
        return self.values if dtype is None else self.values.astype(dtype)


NAN = float("nan")
VALUES = [[0.5, -1.25], [3.0, 0.0]]  # exact in every float dtype below


@pytest.mark.parametrize(
    "value",
    [
        np.array(VALUES),
        np.array(VALUES, np.float16),
        VALUES,
        tuple(map(tuple, VALUES)),
        torch.tensor(VALUES),
        torch.tensor(VALUES, requires_grad=True),
        torch.tensor(VALUES, requires_grad=True) * 1,
        torch.tensor(VALUES, dtype=torch.bfloat16, requires_grad=True),
        torch.tensor(VALUES, dtype=torch.float8_e4m3fn),
        torch.tensor(VALUES, dtype=torch.float64).T.contiguous().T,
        torch.nn.Parameter(torch.tensor(VALUES)),
        torch.tensor(VALUES)._neg_view().neg(),
        OnlyDLPack(VALUES),
        OnlyArray(VALUES),
        OnlyArray(np.array(VALUES).astype(np.float16)),
    ],
    ids=lambda value: f"{type(value).__name__}-{getattr(value, 'dtype', '')}",
)
def test_logits_of_every_kind_have_the_same_values(value: Any) -> None:
    np.testing.assert_array_equal(to_logits(value), VALUES)


def test_a_numpy_array_and_a_cpu_tensor_are_not_copied() -> None:
    array, tensor = np.zeros(3), torch.zeros(3)
    assert to_numpy(array, "x") is array
    to_numpy(tensor, "x")[0] = 7
    assert tensor[0] == 7


def test_a_numpy_array_of_bfloat16_becomes_float32() -> None:
    got = to_logits(np.array(VALUES, ml_dtypes.bfloat16))
    assert got.dtype == np.float32
    np.testing.assert_array_equal(got, VALUES)


@pytest.mark.parametrize(
    ("value", "message"),
    [
        (["a", "b"], "real numbers"),
        ([True, False], "real numbers"),
        (np.array([1 + 2j]), "real numbers"),
        (np.array([None, 1.0]), "real numbers"),
        ([[1.0, 2.0], [3.0]], "numpy cannot read this list"),
        (np.ma.masked_array([1.0, 2.0], [True, False]), "masked"),
        ([1.0, "2"], "real numbers"),
        (torch.zeros(2, 2).to_sparse(), "dense tensor"),
        (torch.zeros(2, device="meta"), "dense tensor with values"),
        (object(), "real numbers"),
    ],
)
def test_what_is_no_array_of_numbers_is_refused(value: Any, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        to_logits(value)


def test_an_object_that_refuses_to_become_an_array_is_refused() -> None:
    class Symbolic:
        def __array__(self, dtype: Any = None, copy: Any = None) -> Any:
            raise TypeError("a tracer has no value")

    with pytest.raises(RecordingError, match=r"numpy cannot read this Symbolic: a tracer has no value"):
        to_logits(Symbolic())


@pytest.mark.parametrize(
    "value",
    [
        [3, 1, 2],
        (3, 1, 2),
        np.array([3, 1, 2], np.uint8),
        np.array([3, 1, 2], ">i8"),
        torch.tensor([3, 1, 2]),
        torch.tensor([3, 1, 2], dtype=torch.int32),
        OnlyDLPack([3, 1, 2]),
        OnlyArray([3, 1, 2]),
    ],
)
def test_ids_become_int64(value: Any) -> None:
    ids = to_ids(value)
    assert ids.dtype == np.int64
    assert ids.tolist() == [3, 1, 2]


@pytest.mark.parametrize(
    "value",
    [
        ["b", "a"],
        ("b", "a"),
        np.array(["b", "a"]),
        np.array(["b", "a"], object),
        np.array(["b", "a"], np.dtypes.StringDType()),
    ],
)
def test_ids_may_be_strings(value: Any) -> None:
    ids = to_ids(value)
    assert ids.dtype.kind == "U"
    assert ids.tolist() == ["b", "a"]


def test_ids_as_long_as_they_may_be_and_beyond_the_first_plane_are_kept() -> None:
    names = ["é" * 1000, "\U0001f600", "\ud7ff\ue000"]
    for value in (names, np.array(names), np.array(names, "U2000"), np.array(names, ">U1000")):
        assert to_ids(value).tolist() == names


def test_no_ids_are_no_ids() -> None:
    assert to_ids([]).tolist() == []


def test_the_largest_ids_are_kept_to_the_last_digit() -> None:
    extremes = [-(2**63), 2**63 - 1, 2**53 + 1]
    assert to_ids(extremes).tolist() == extremes
    assert to_ids(np.array([2**63 - 1], np.uint64)).tolist() == [2**63 - 1]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([1.5, 2.0], "got float64; an id is a name, never a measurement$"),
        ([1.0, 2.0], r"an id is a name.*: whole numbers come as integers, ids\.astype\('int64'\)"),
        ([1.0, NAN], "got float64; an id is a name, never a measurement$"),
        (np.array(["2026-01-01"], "datetime64[D]"), r"got datetime64\[D\]; .*as text, ids\.astype\(str\)"),
        (np.array([1, np.str_("a")], object), "got 1 among them"),
        (np.array([np.int64(1), np.float64(2)], object), r"got 1 among them"),
        ([True, False], "integers or strings, got bool"),
        ([1, "a"], "integers or of strings, got 1 among them"),
        (np.array([1, "a"], object), "got 1 among them"),
        (np.array(["a", None], object), "got None among them"),
        ([b"a"], "integers or strings"),
        ([[1, 2]], r"one dimension, got shape \(1, 2\)"),
        (5, r"one dimension, got shape \(\)"),
        ([2**63], "64-bit signed"),
        ([2**64], "got 18446744073709551616 among them"),
        ({1, 2}, "one dimension"),
        (["a\0"], "NUL"),
        (np.array(["a", "b\0"], object), "NUL"),
        (["a", "b\ud800"], r"text that UTF-8 can write, got 'b\\ud800'$"),
        (np.array(["a", "b\udfffc"]), r"text that UTF-8 can write, got 'b\\udfffc'$"),
        (np.array(["a", "b\ud900"], ">U9"), "text that UTF-8 can write"),
        (np.array(["a", "b\ud800"], object), "text that UTF-8 can write"),
        (["a", "é" * 1001], r"string ids must have at most 1000 characters, got 1001: 'éé"),
        (np.array(["a", "b" * 1001]), "at most 1000 characters, got 1001"),
    ],
)
def test_what_cannot_be_an_id_is_refused(value: Any, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        to_ids(value)


def test_labels_become_int64() -> None:
    for value in ([1, 0], np.array([1, 0], np.uint8), torch.tensor([1, 0], dtype=torch.int32)):
        assert to_labels(value).dtype == np.int64
        assert to_labels(value).tolist() == [1, 0]


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ([[0, 1], [1, 0]], "one-hot labels need a column for each class"),
        (np.eye(3)[[0, 1]], r"need a column for each class; or hand over the index, labels\.argmax\(axis=1\)"),
        ([[0.2, 0.8], [0.5, 0.5]], "a share for each class need a column for each; or hand over the index$"),
        (
            torch.tensor([[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]),
            "several labels an example have no one gold class",
        ),
        ([[0], [1]], r"got shape \(2, 1\); take the column: labels\[:, 0\]"),
        ([0.0, 1.0], r"integer class indices, got float64; cast them: labels\.astype\(int\)"),
        (
            [0.5, 1.0],
            r"integer class indices, got float64 \(0\.5\); numbers to be predicted go with .*regression",
        ),
        ([True, False], r"integer class indices, got bool; hand over 0 and 1: labels\.astype\(int\)"),
        (["cat"], r"got text \('cat'\); name the classes, Recorder\(path, classes="),
        (np.array(["cat"], object), r"got text \('cat'\); name the classes"),
        (np.array(["cat"], np.dtypes.StringDType()), r"got text \('cat'\); name the classes"),
        (np.array([None, 1], object), r"integer class indices, got object \(None\)"),
        (np.array([1 + 2j]), "integer class indices, got complex128"),
    ],
)
def test_what_is_no_class_index_is_refused(value: Any, message: str) -> None:
    with pytest.raises(RecordingError, match=message):
        to_labels(value)


@pytest.mark.parametrize(
    ("logits", "labels", "cure"),
    [
        ((6,), (6,), "one logit an example is for classes=2"),
        ((6, 1), (6,), "one logit an example is for classes=2"),
        ((6, 4, 1), (6,), r"logits\.squeeze\(\)"),
        ((6, 1, 4), (6,), r"logits\.squeeze\(\)"),
        ((6, 9, 4), (6,), "a sequence with one label is pooled first; for a label a token kind='tokens'"),
        ((4, 6), (6,), r"turn them: logits\.T"),
        ((6, 5), (6,), "the network has 5 outputs, the recorder classes=4: they must be the same"),
        ((5, 4), (6,), r"got \(5, 4\) and \(6,\)$"),
        ((6, 4), (5,), r"got \(6, 4\) and \(5,\)$"),
    ],
)
def test_a_batch_of_another_shape_is_told_what_to_do(logits: Any, labels: Any, cure: str) -> None:
    check_shapes(6, 4, (6, 4), (6,))
    with pytest.raises(RecordingError, match=rf"6 ids needs logits of shape \(6, 4\) .*{cure}"):
        check_shapes(6, 4, logits, labels)


def test_a_single_example_is_told_to_be_a_batch_of_one() -> None:
    with pytest.raises(RecordingError, match=r"a single example is a batch of one: logits\[None\]"):
        check_shapes(1, 4, (4,), (1,))


def test_series_and_frames_are_arrays() -> None:
    import pandas as pd

    assert to_ids(pd.Series([3, 1])).tolist() == [3, 1]
    assert to_ids(pd.Series(["b", "a"])).tolist() == ["b", "a"]
    assert to_labels(pd.Series([1, 0], dtype="Int64")).tolist() == [1, 0]
    np.testing.assert_array_equal(to_logits(pd.DataFrame(VALUES)), VALUES)
    with pytest.raises(RecordingError, match="name the classes"):
        to_labels(pd.Series(["b", "a"], dtype="category"))


def test_only_a_tensor_on_another_device_is_on_an_accelerator() -> None:
    assert on_accelerator(torch.zeros(2, device="meta"))
    for value in (torch.zeros(2), np.zeros(2), [0.0], OnlyArray([0.0])):
        assert not on_accelerator(value)
