"""cleanlab's labels and pred_probs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from trainmap.dynamics.exchange.pred_probs import export_pred_probs, import_pred_probs, pred_probs, read_pred_probs
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


def test_a_zero_of_the_gold_class_is_refused_and_a_floor_raises_it_openly(tmp_path: Path) -> None:
    p, labels = some_probabilities()
    p[1, 5], labels[5] = [0.0, 1.0, 0.0, 0.0], 2
    with pytest.raises(
        TrainmapError,
        match=r"epoch 1: 1 rows of pred_probs hold a 0 for the gold class \(first: row 5\).*pass floor=1e-8",
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
        (lambda p: p[0, 0, 0], r"must be \(epochs, examples, classes\).*got \(\)"),
        (lambda p: p[:0], r"must be \(epochs, examples, classes\).*got \(0,"),
        (lambda p: np.array(0.5), r"must be \(epochs, examples, classes\).*got \(\)"),
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


@pytest.mark.parametrize("kind", ["bfloat16", "float16", "float64", "requires_grad", "list", "one tensor"])
def test_probabilities_of_every_kind_are_imported(kind: str, tmp_path: Path) -> None:
    import torch

    p, labels = some_probabilities()
    tensors = [torch.tensor(one) for one in p]
    given: Any = {
        "bfloat16": [one.bfloat16() for one in tensors],
        "float16": [one.half() for one in tensors],
        "float64": p,
        "requires_grad": [one.float().requires_grad_() for one in tensors],
        "list": p.tolist(),
        "one tensor": torch.tensor(p, requires_grad=True),
    }[kind]
    made = import_pred_probs(given, tmp_path / "d", labels)
    close = {"bfloat16": 1e-2, "float16": 1e-3}.get(kind, 1e-6)
    np.testing.assert_allclose(pred_probs(made, 1)[1], p[1], atol=close)


def test_what_rounding_left_below_zero_is_raised_to_a_floor_or_says_so(tmp_path: Path) -> None:
    p, labels = some_probabilities()
    p[0, 3], labels[3] = [-1e-17, 1, 0, 0], 1
    with pytest.raises(TrainmapError, match=r"must be in 0 to 1 .*pass floor=1e-8, say: it raises what rounding left"):
        import_pred_probs(p, tmp_path / "d", labels)
    made = import_pred_probs(p, tmp_path / "d", labels, floor=1e-8)
    np.testing.assert_allclose(pred_probs(made, 0)[1][3], [1e-8, 1, 1e-8, 1e-8], rtol=1e-5)


def test_a_zero_of_another_class_is_a_masked_class(tmp_path: Path) -> None:
    p, labels = some_probabilities()
    p[1, 5], labels[5] = [0, 0.25, 0.75, 0], 2
    made = import_pred_probs(p, tmp_path / "d", labels)
    assert np.isneginf(made.column(1, "logits")[5]).tolist() == [True, False, False, True]
    np.testing.assert_allclose(pred_probs(made, 1)[1][5], p[1, 5], atol=1e-7)
    assert made.column(1, "p_gold")[5] == pytest.approx(0.75)


def test_every_export_is_taken_by_its_import_masks_and_extremes_included(tmp_path: Path) -> None:
    from trainmap.dynamics.exchange.allenai import export_epochs, import_allenai
    from trainmap.dynamics.exchange.study_json import export_study, import_study
    from trainmap.dynamics.recorder import Recorder

    z, labels = np.random.default_rng(0).normal(0, 3, (40, 4)), np.arange(40) % 4
    z[:8, 3], labels[:8] = -np.inf, 0
    z[8, :], labels[8] = [-3e4, 3e4, 0, 0], 0  # a probability beyond double precision
    z[9, :], labels[9] = [0, -np.inf, -np.inf, -np.inf], 0
    with Recorder(tmp_path / "d", 4, level="logits") as recorder:
        for _ in range(2):
            recorder.update(range(40), z, labels)
            recorder.end_epoch()
    made = Dynamics.open(tmp_path / "d")
    arrays = read_pred_probs(export_pred_probs(made, tmp_path / "p.npz", epoch=0))
    assert (arrays["pred_probs"] == 0).sum() == np.isneginf(z).sum()
    back = import_pred_probs(**arrays, out=tmp_path / "p")
    np.testing.assert_allclose(pred_probs(back)[1], pred_probs(made, 0)[1], atol=1e-6)
    mean = read_pred_probs(export_pred_probs(made, tmp_path / "mean.npz"))
    import_pred_probs(**mean, out=tmp_path / "mean")

    export_epochs(made, tmp_path / "model")
    text = (tmp_path / "model" / "training_dynamics" / "dynamics_epoch_0.jsonl").read_text()
    assert "Infinity" not in text
    assert "inf" not in text
    back = import_allenai(tmp_path / "model", tmp_path / "a")
    np.testing.assert_array_equal(back.column(1, "logits"), made.column(1, "logits").astype(np.float32))
    export_epochs(back, tmp_path / "again")
    assert (tmp_path / "again" / "training_dynamics" / "dynamics_epoch_0.jsonl").read_text() == text

    back = import_study(export_study(made, tmp_path / "s.json"), tmp_path / "s", 4)
    assert back.column(1, "p_gold").tobytes() == made.column(1, "p_gold").tobytes()
