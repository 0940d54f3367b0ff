from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from trainmap.data.dataset import Dataset, load_splits
from trainmap.distillation.cache import read_card
from trainmap.errors import TrainmapError
from trainmap.evaluation.metrics import evaluate
from trainmap.models.build import build
from trainmap.models.predict import predict
from trainmap.training.boosting import boost, boosted_logits, boosted_teacher, deal
from trainmap.training.fit import Recipe, Teaching, fit


def made(n: int = 120, classes: int = 3) -> Dataset:
    draws = np.random.default_rng(0)
    y = draws.integers(0, classes, n)
    x = (draws.normal(size=(n, 4)) + 2 * y[:, None]).astype(np.float32)
    return Dataset("made", np.arange(50, 50 + n, dtype=np.int64), x, y, classes)


def test_logits_are_the_log_probabilities_of_the_trees() -> None:
    dataset = made()
    model = boost(dataset, iterations=5)
    logits = boosted_logits(model, dataset)
    np.testing.assert_allclose(np.exp(logits), np.maximum(model.predict_proba(dataset.x), 1e-6), rtol=1e-5)
    assert boosted_logits(model, dataset.subset([])).shape == (0, 3)


def test_a_class_that_was_never_shown_is_improbable() -> None:
    dataset = made()
    rest = dataset.subset(dataset.ids[dataset.y != 1])
    logits = boosted_logits(boost(rest, iterations=3), dataset)
    np.testing.assert_allclose(logits[:, 1], np.log(1e-6), rtol=1e-5)
    assert logits.shape == (120, 3)


def test_the_folds_are_even_in_all_and_in_each_class_and_follow_the_ids() -> None:
    dataset = made()
    part = deal(dataset, 5, seed=3)
    assert np.bincount(part).tolist() == [24] * 5
    counts = np.array([np.bincount(part[dataset.y == label], minlength=5) for label in range(3)])
    assert (counts.max(axis=1) - counts.min(axis=1)).max() <= 1
    order = np.random.default_rng(1).permutation(120)
    np.testing.assert_array_equal(deal(dataset.subset(dataset.ids[order]), 5, seed=3), part[order])
    assert (deal(dataset, 5, seed=4) != part).any()


def test_each_example_is_judged_by_trees_that_were_not_shown_it(tmp_path: Path) -> None:
    dataset = made()
    logits = boosted_teacher(dataset, tmp_path / "t.npy", folds=4, iterations=5)
    part = deal(dataset, 4, seed=0)
    held = part == 2
    trees = boost(dataset.subset(dataset.ids[~held]), iterations=5)
    expected = boosted_logits(trees, dataset.subset(dataset.ids[held])).astype(np.float16)
    np.testing.assert_array_equal(logits[held], expected)
    assert logits.dtype == np.float16
    assert isinstance(logits, np.memmap)


def test_the_labels_of_an_example_do_not_reach_its_own_logits(tmp_path: Path) -> None:
    """Noise: trees know their training labels by heart, held-out ones cannot."""
    dataset = replace(made(), x=np.random.default_rng(5).normal(size=(120, 4)).astype(np.float32))
    own = evaluate(boosted_logits(boost(dataset), dataset), dataset.y).accuracy
    held = evaluate(np.asarray(boosted_teacher(dataset, tmp_path / "t.npy"), np.float32), dataset.y).accuracy
    assert own > 0.95
    assert held < 0.5


def test_logits_are_kept_and_made_anew_for_other_data_or_settings(tmp_path: Path) -> None:
    path, dataset = tmp_path / "new" / "t.npy", made()
    one = np.array(boosted_teacher(dataset, path, iterations=3))
    written = path.stat().st_mtime_ns
    np.testing.assert_array_equal(boosted_teacher(dataset, path, iterations=3), one)
    assert path.stat().st_mtime_ns == written
    card = read_card(path)
    assert (card.dataset, card.flops, card.flips) == (dataset.fingerprint(), 0, False)
    assert card.seconds > 0
    assert (np.array(boosted_teacher(dataset, path, iterations=4)) != one).any()
    backwards = dataset.subset(dataset.ids[::-1])
    np.testing.assert_array_equal(boosted_teacher(backwards, path, iterations=3), one[::-1])


def test_a_student_learns_from_the_trees(tmp_path: Path) -> None:
    splits = load_splits("wine")
    logits = boosted_teacher(splits.train, tmp_path / "t.npy", iterations=20)
    model = build("linear", 3, splits.train.inputs, seed=0)
    fit(model, splits.train, Recipe(epochs=10, batch=16, peak_lr=0.1), seed=0, teaching=Teaching(logits))
    assert evaluate(predict(model, splits.validation), splits.validation.y).accuracy > 0.9


def test_what_trees_cannot_learn_from_is_an_error(tmp_path: Path) -> None:
    dataset, path = made(), tmp_path / "t.npy"
    with pytest.raises(TrainmapError, match="boosted trees take features, but digits has 1 x 8 x 8 pixels"):
        boosted_teacher(load_splits("digits").train, path)
    with pytest.raises(TrainmapError, match="take features"):
        boosted_logits(boost(dataset, iterations=2), load_splits("digits").train)
    with pytest.raises(TrainmapError, match="two classes, made has 1"):
        boost(dataset.subset(dataset.ids[dataset.y == 0]))
    for folds in (1, 121):
        with pytest.raises(TrainmapError, match="folds must be 2 to 120"):
            boosted_teacher(dataset, path, folds=folds)
    with pytest.raises(TrainmapError, match=r"kept in a \.npy file"):
        boosted_teacher(dataset, tmp_path / "t")
