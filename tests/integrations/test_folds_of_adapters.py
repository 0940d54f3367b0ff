"""Adapters record a fold by a sweep over the examples that it holds; without one they refuse it."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

import trainmap as tm
from trainmap.integrations.sweeping import asked, source_of

FOLD = tm.CrossFit(range(8), [0, 1] * 4)[0]


@pytest.mark.parametrize("sweep", [False, True])
def test_a_fold_needs_a_sweep_over_what_it_holds(sweep: bool) -> None:
    with pytest.raises(tm.TrainmapError, match="sweeps over what its network does not train on: say sweep=held"):
        source_of("x", asked(sweep, "epoch", None), {"fold": FOLD})


def test_the_source_of_a_fold_is_its_own(tmp_path: Path) -> None:
    assert source_of("x", asked([1, 2], "epoch", None), {"fold": FOLD}) == {}
    assert source_of("x", asked([1, 2], "epoch", None), {}) == {"source": "sweep"}
    with tm.Recorder(tmp_path / "d", 2, fold=FOLD) as recorder:
        assert source_of(recorder, asked([1, 2], "epoch", None), {}) == {}
        with pytest.raises(tm.TrainmapError, match="training steps are to be recorded"):
            source_of(recorder, asked(False, "epoch", None), {})


@pytest.mark.filterwarnings("ignore:__array__ implementation doesn't accept a copy:DeprecationWarning")  # Keras's
def test_keras_records_a_fold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("KERAS_BACKEND", os.environ.get("KERAS_BACKEND", "torch"))
    keras = pytest.importorskip("keras")
    x = np.random.default_rng(0).normal(size=(8, 3)).astype("float32")
    y = np.array([0, 1] * 4)
    for fold in tm.CrossFit(range(8), y):
        model = keras.Sequential([keras.layers.Input((3,)), keras.layers.Dense(2)])
        model.compile("sgd", keras.losses.SparseCategoricalCrossentropy(from_logits=True))
        sweep = (x[fold.held], y[fold.held], fold.held)
        tm.KerasRecorder(model, tmp_path / "d", sweep=sweep, fold=fold, classes=2)
        model.fit(x[fold.train], y[fold.train], epochs=2, batch_size=2, verbose=0)
    made = tm.Dynamics.open(tmp_path / "d")
    assert (made.source, made.folds, made.epochs, made.examples) == ("held-out", 2, 2, 8)
