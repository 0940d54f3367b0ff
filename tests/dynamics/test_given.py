"""What is handed over in the wrong form is refused in one line that says what to hand over."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from scipy.special import softmax

import trainmap as tm
from trainmap.dynamics.exchange.pred_probs import import_pred_probs

Z = np.random.default_rng(0).normal(size=(4, 3))
P, Y = softmax(Z, axis=1), [0, 1, 2, 0]
ROWS = [torch.tensor(row, requires_grad=True) for row in Z]

BATCHES: dict[str, tuple[Any, Any, Any, str]] = {
    "a set of ids": ({0, 1, 2, 3}, Z, Y, r"got a set; pass list\(ids\)"),
    "a generator of ids": ((i for i in range(4)), Z, Y, r"got a generator; pass list\(ids\)"),
    "keys as ids": (dict.fromkeys(range(4)).keys(), Z, Y, r"got a dict_keys; pass list\(ids\)"),
    "bytes as ids": (np.array([b"a", b"b", b"c", b"d"]), Z, Y, r"astype\(str\)"),
    "a list of bytes": ([b"a", b"b", b"c", b"d"], Z, Y, r"astype\(str\)"),
    "an output": (range(4), SimpleNamespace(logits=Z), Y, r"pass output\.logits"),
    "a dict": (range(4), {"logits": Z}, Y, r"output\['logits'\]"),
    "a list of tensors": (range(4), ROWS, Y, r"torch\.stack\(logits\)"),
    "a tuple": (range(4), (torch.tensor(Z),), Y, r"output\[0\]"),
    "a scalar label": (range(4), Z, 0, r"one class index for each example, got 0; pass \[label\]"),
    "a generator of labels": (range(4), Z, (y for y in Y), r"pass list\(labels\)"),
    "NaN": (range(4), Z, [0, 1, np.nan, 0], r"float64 \(nan\): 1 of 4 have no label; drop these rows"),
    "None": (range(4), Z, [0, None, None, 0], r"object \(None\): 2 of 4 have no label; drop these rows"),
}


@pytest.mark.parametrize("name", BATCHES)
def test_a_batch_in_another_form_is_refused_with_the_cure(name: str, tmp_path: Path) -> None:
    ids, logits, labels, message = BATCHES[name]
    recorder = tm.Recorder(tmp_path / "d", 3)
    with pytest.raises(tm.RecordingError, match=message):
        recorder.update(ids, logits, labels)
    recorder.update(range(4), Z, Y)
    recorder.end_epoch()
    recorder.close()


IMPORTS: dict[str, tuple[Callable[[Path], Any], str]] = {
    "floor as text": (lambda out: import_pred_probs([P], out, Y, floor="1e-6"), "floor must be a number .*got '1e-6'"),  # type: ignore[arg-type]
    "a dict": (lambda out: import_pred_probs({"a": P}, out, Y), r"got a dict; list\(pred_probs.values\(\)\)"),  # type: ignore[arg-type]
    "a generator": (lambda out: import_pred_probs((p for p in [P]), out, Y), r"got a generator; list\(pred_probs\)"),  # type: ignore[arg-type]
    "None": (lambda out: import_pred_probs(None, out, Y), "got a NoneType"),  # type: ignore[arg-type]
    "exchanged": (lambda out: import_pred_probs(Y, out, P), "pred_probs come first and labels third"),  # type: ignore[arg-type]
    "exchanged arrays": (lambda out: import_pred_probs(np.array(Y), out, [P]), "pred_probs come first"),
    "a NUL": (lambda _: import_pred_probs([P], "a\0b", Y), "must have no NUL character"),
    "a NUL for a recorder": (lambda _: tm.Recorder("a\0b", 3), "must have no NUL character"),
    "rank": (lambda out: tm.Recorder(out, 3, rank=torch.tensor(0), world_size=1), r"pass int\(rank\)"),  # type: ignore[arg-type]
}


@pytest.mark.parametrize("name", IMPORTS)
def test_an_argument_of_another_kind_is_refused_in_one_line(name: str, tmp_path: Path) -> None:
    call, message = IMPORTS[name]
    with pytest.raises(tm.TrainmapError, match=message):
        call(tmp_path / "out")
    assert not (tmp_path / "out").exists()
