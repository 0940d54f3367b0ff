"""Scores of any signal, by hand and beside numpy; which kinds have which."""

from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import trainmap as tm
from trainmap.dynamics.signals import Block
from trainmap.scores import hard_end, scores_of
from trainmap.scores.signal_family import FAMILY

NAN = math.nan
S = np.array([[1.0, NAN, NAN, 0.5], [3.0, 2.0, NAN, 0.5], [2.0, 6.0, NAN, 0.5]], np.float32)


def block(values: Any) -> Block:
    return Block(np.full(values.shape[1], -1), 0, {"s": values}, complete=not np.isnan(values).any())


def of(values: Any, what: str) -> Any:
    return FAMILY[what](block(values), "s")


def test_the_family_by_hand_leaves_out_what_was_not_seen() -> None:
    expected = {
        "mean": [2, 4, NAN, 0.5],
        "variability": [math.sqrt(2 / 3), 2, NAN, 0],
        "slope": [0.5, 4, NAN, 0],
        "drop": [-1, -4, NAN, 0],
        "last": [2, 6, NAN, 0.5],
    }
    for what, values in expected.items():
        np.testing.assert_allclose(of(S, what), values, err_msg=what)
    np.testing.assert_allclose(of(S[:, 2:], "entropy"), [NAN, math.log(2)])
    np.testing.assert_array_equal(of(np.array([[0, 1]], np.float32), "entropy"), [0, 0])
    with pytest.raises(tm.TrainmapError, match=r"s_entropy needs a s from 0 to 1.* got a mean of 0.5 to 4"):
        of(S, "entropy")


@settings(max_examples=40, deadline=None)
@given(arrays(np.float32, st.tuples(st.integers(2, 6), st.integers(1, 5)), elements=st.floats(-1e3, 1e3, width=32)))
def test_the_family_is_numpys(values: Any) -> None:
    wide = values.astype(float)
    epochs = np.arange(len(values))
    np.testing.assert_allclose(of(values, "mean"), wide.mean(axis=0), atol=1e-9)
    np.testing.assert_allclose(of(values, "variability"), wide.std(axis=0), atol=1e-9)
    np.testing.assert_allclose(of(values, "slope"), np.polyfit(epochs, wide, 1)[0], atol=1e-6)
    np.testing.assert_array_equal(of(values, "drop"), wide[0] - wide[-1])
    np.testing.assert_array_equal(of(values, "last"), wide[-1])
    for what in FAMILY.keys() - {"entropy"}:
        alone = [of(values[:, [place]], what)[0] for place in range(values.shape[1])]
        np.testing.assert_array_equal(of(values, what), alone)


def test_the_hard_end_follows_that_of_the_signal(tmp_path: Path) -> None:
    said: dict[str, Any] = {"loss": None, "bleu": "low"}
    with tm.Recorder(tmp_path / "d", signals=said) as recorder:
        recorder.update([1, 2], {"loss": [1.0, 2.0], "bleu": [3.0, 9.0]})
        recorder.end_epoch()
    datamap = tm.DataMap.from_dynamics(tm.Dynamics.open(tmp_path / "d"))
    ends = {"loss_mean": "high", "loss_drop": "low", "loss_variability": "high", "loss_last": "high"}
    ends |= {"bleu_mean": "low", "bleu_drop": "high", "bleu_variability": "high", "confidence": "low"}
    assert {name: datamap.hard_end(name) for name in ends} == ends
    assert hard_end("bleu_mean") is None
    assert hard_end("loss_drop") == "low"
    assert tm.hard_first("loss_mean", np.array([1.0, 2.0]), np.array([1, 2])).tolist() == [2, 1]
    assert tm.select(datamap, "hardest 50% bleu_mean").ids.tolist() == [1]
    np.testing.assert_array_equal(datamap.values("confidence"), [-1, -2])
    assert np.isnan(datamap.values("correctness")).all()


def test_sequences_have_correctness_and_perplexity(tmp_path: Path) -> None:
    z = np.log(np.array([[[0.5, 0.25, 0.25], [0.2, 0.7, 0.1]]]))
    with tm.Recorder(tmp_path / "d", kind="tokens") as recorder:
        for labels in ([[0, 0]], [[0, 1]]):
            recorder.update(["a"], z, labels)
            recorder.end_epoch()
    found = tm.compute(tm.Dynamics.open(tmp_path / "d"))
    assert found["correctness"].tolist() == [1.5]
    p = [math.sqrt(0.5 * 0.2), math.sqrt(0.5 * 0.7)]
    np.testing.assert_allclose(found["confidence"], [np.mean(p)], rtol=1e-6)
    np.testing.assert_allclose(found["perplexity"], [math.exp(-np.mean(np.log(p)))], rtol=1e-6)
    assert {"p_gold_mean", "loss_mean"} & set(found) == set()
    assert {"p_gold_mean", "loss_mean"} < set(scores_of(tm.Dynamics.open(tmp_path / "d")))


def test_a_score_says_for_which_kinds_it_is_defined() -> None:
    assert tm.SCORES["confidence"].kinds == ("classes", "multilabel", "tokens")
    assert tm.SCORES["forgetting"].kinds == ("classes",)
    assert all("classes" in score.kinds for score in tm.SCORES.values())
