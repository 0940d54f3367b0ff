"""cleanlab's labels and pred_probs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainmap.dynamics.exchange.arrays import export_pred_probs, import_pred_probs, pred_probs, read_pred_probs
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import StoreError, TrainmapError


def softmax(z: Any) -> Any:
    p = np.exp(z - z.max(axis=-1, keepdims=True))
    return p / p.sum(axis=-1, keepdims=True)


def some_probabilities(epochs: int = 3, examples: int = 20, classes: int = 4) -> tuple[Any, Any]:
    rng = np.random.default_rng(0)
    return softmax(rng.normal(size=(epochs, examples, classes)) * 3), np.arange(examples) % classes


@settings(max_examples=20, deadline=None)
@given(hnp.arrays(np.float64, (2, 6, 3), elements=st.floats(-12, 12)))
def test_probabilities_come_back_to_within_single_precision(tmp_path_factory: pytest.TempPathFactory, z: Any) -> None:
    p, labels = softmax(z), np.arange(6) % 3
    made = import_pred_probs(p, tmp_path_factory.mktemp("p") / "d", labels)
    for epoch in range(2):
        got_labels, got = pred_probs(made, epoch)
        np.testing.assert_allclose(got, p[epoch], atol=1e-6)
        np.testing.assert_array_equal(got_labels, labels)
    np.testing.assert_allclose(pred_probs(made)[1], p.mean(axis=0), atol=1e-6)
    np.testing.assert_allclose(made.block().p_gold, p[:, np.arange(6), labels], atol=1e-6)


def test_ids_decide_the_order_and_row_numbers_are_the_ids_of_nameless_arrays(tmp_path: Path) -> None:
    p, labels = some_probabilities()
    names = np.array([f"x{(7 * i) % 20:02}" for i in range(20)])
    made = import_pred_probs(list(p), tmp_path / "d", labels, names)
    order = np.argsort(names)
    assert made.ids.tolist() == names[order].tolist()
    np.testing.assert_allclose(pred_probs(made, 2)[1], p[2][order], atol=1e-6)
    assert import_pred_probs(p, tmp_path / "e", labels).ids.tolist() == list(range(20))


def test_a_zero_is_refused_and_a_floor_raises_it_openly(tmp_path: Path) -> None:
    p, labels = some_probabilities()
    p[1, 5] = [0.0, 1.0, 0.0, 0.0]
    with pytest.raises(
        TrainmapError, match=r"epoch 1: 1 rows of pred_probs hold a 0 \(first: row 5\).*pass floor=1e-8"
    ):
        import_pred_probs(p, tmp_path / "d", labels)
    assert not (tmp_path / "d").exists()
    made = import_pred_probs(p, tmp_path / "d", labels, floor=1e-8)
    np.testing.assert_allclose(pred_probs(made, 1)[1][5], np.array([1e-8, 1, 1e-8, 1e-8]) / (1 + 3e-8), rtol=1e-5)
    assert made.manifest.written_by["floor"] == "1e-08"


def test_rows_of_nan_are_examples_that_the_epoch_did_not_see(tmp_path: Path) -> None:
    p, labels = some_probabilities()
    p[1, 5] = np.nan
    made = import_pred_probs(p, tmp_path / "d", labels)
    assert [entry.seen for entry in made.manifest.epochs] == [20, 19, 20]
    np.testing.assert_allclose(pred_probs(made)[1][5], (p[0, 5] + p[2, 5]) / 2, atol=1e-6)
    with pytest.raises(TrainmapError, match=r"1 examples were not seen in epoch 1 \(first: 5\)"):
        pred_probs(made, 1)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda p: p * 1.1, "epoch 0: rows of pred_probs must be in 0 to 1 and sum to 1 .* 20 rows are not .*row 0"),
        (lambda p: np.log(p), "are these logits"),
        (lambda p: p[0], r"must be \(epochs, examples, classes\).*got \(20, 4\); a single array goes in a list"),
        (lambda p: p[:, :19], r"epoch 0: pred_probs must be \(20, 4\) floats, got \(19, 4\)"),
        (lambda p: [p[0], p[1][:, :3]], r"epoch 1: pred_probs must be \(20, 4\) floats, got \(20, 3\)"),
        (lambda p: p[:, :, :3] / p[:, :, :3].sum(axis=2, keepdims=True), "labels must be 0 to 2"),
        (lambda p: p[:0], "must be .epochs"),
        (lambda p: np.where(np.arange(4) == 2, np.nan, p), "rows of pred_probs must be in 0 to 1"),
    ],
)
def test_what_is_not_probabilities_is_refused(tmp_path: Path, change: Any, message: str) -> None:
    p, labels = some_probabilities()
    with pytest.raises(TrainmapError, match=message):
        import_pred_probs(change(p), tmp_path / "d", labels)
    assert not (tmp_path / "d").exists()


def test_a_file_holds_the_arrays_and_comes_back(tmp_path: Path) -> None:
    p, labels = some_probabilities()
    made = import_pred_probs(p, tmp_path / "d", labels, np.arange(20) * 3)
    arrays = read_pred_probs(export_pred_probs(made, tmp_path / "p.npz", epoch=1))
    assert arrays["pred_probs"].shape == (1, 20, 4)
    back = import_pred_probs(**arrays, out=tmp_path / "back")
    assert back.ids.tolist() == made.ids.tolist()
    np.testing.assert_allclose(pred_probs(back)[1], p[1], atol=1e-6)


def test_files_that_are_not_such_arrays_are_errors(tmp_path: Path) -> None:
    (tmp_path / "text.npz").write_text("hello")
    np.save(tmp_path / "one.npy", np.zeros(3))
    np.savez(tmp_path / "lacking.npz", pred_probs=np.zeros((2, 3)))
    for name, message in (
        ("none.npz", "there is no file"),
        ("text.npz", "is not a file of pred_probs"),
        ("one.npy", "it is one array"),
        ("lacking.npz", "missing: labels; it has 'pred_probs'"),
    ):
        with pytest.raises(StoreError, match=message):
            read_pred_probs(tmp_path / name)


def test_logits_are_needed(tmp_path: Path) -> None:
    with Recorder(tmp_path / "d", 3) as recorder:
        recorder.update([1, 2], np.eye(3)[:2], [0, 1])
        recorder.end_epoch()
    with pytest.raises(TrainmapError, match=r"pred_probs need logits.*record with level='logits'"):
        pred_probs(Dynamics.open(tmp_path / "d"))


def test_cleanlab_finds_flipped_labels_in_exported_arrays(tmp_path: Path) -> None:
    cleanlab_filter = pytest.importorskip("cleanlab.filter")
    rng = np.random.default_rng(0)
    truth = np.arange(300) % 3
    labels = truth.copy()
    labels[:15] = (labels[:15] + 1) % 3
    with Recorder(tmp_path / "d", 3, level="logits") as recorder:
        for _ in range(4):
            recorder.update(np.arange(300), 4 * np.eye(3)[truth] + rng.normal(size=(300, 3)) / 2, labels)
            recorder.end_epoch()
    found = cleanlab_filter.find_label_issues(*pred_probs(Dynamics.open(tmp_path / "d")), n_jobs=1)
    assert found[:15].all()
    assert not found[15:].any()
