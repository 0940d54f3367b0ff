from __future__ import annotations

import sys

import numpy as np
import pytest
from scipy.special import logsumexp, softmax
from scipy.stats import entropy as nats
from sklearn.metrics import roc_auc_score, roc_curve

from trainmap.errors import TrainmapError
from trainmap.evaluation.ood import OUTLIER_SCORES, detect, separation


def logits(n: int, scale: float, seed: int, dtype: type = np.float32) -> np.ndarray:
    return (np.random.default_rng(seed).normal(size=(n, 5)) * scale).astype(dtype)


def test_the_scores_are_their_formulas() -> None:
    z = logits(40, 3, 0).astype(np.float64)
    expected = {
        "max_softmax": -softmax(z, axis=1).max(axis=1),
        "max_logit": -z.max(axis=1),
        "energy": -logsumexp(z, axis=1),
        "entropy": nats(softmax(z, axis=1), axis=1),
    }
    assert expected.keys() == OUTLIER_SCORES.keys()
    for name, values in expected.items():
        np.testing.assert_allclose(OUTLIER_SCORES[name](z), values, atol=1e-5)


def test_auroc_is_scikit_learns_with_outliers_as_the_positive_class() -> None:
    inside, outside = logits(300, 4, 1), logits(100, 1, 2)
    found = detect(inside, outside)
    labels = np.repeat([0, 1], [300, 100])
    for name, score in OUTLIER_SCORES.items():
        values = np.concatenate([score(inside), score(outside)])
        assert found[name].auroc == pytest.approx(roc_auc_score(labels, values))
        false, true, _ = roc_curve(labels, values, drop_intermediate=False)
        assert found[name].fpr95 == pytest.approx(false[np.argmax(true >= 0.95)])
        false, true, _ = roc_curve(1 - labels, -values, drop_intermediate=False)
        assert found[name].fpr95_in == pytest.approx(false[np.argmax(true >= 0.95)])
        assert (found[name].inside, found[name].outside) == (300, 100)
        assert found[name].auroc > 0.7  # surer inside than outside: the right way round


def test_a_small_separation_by_hand() -> None:
    found = separation(np.array([0.0, 1.0, 2.0, 5.0]), np.array([3.0, 6.0]))
    assert found.auroc == pytest.approx(7 / 8)  # of 8 pairs one is the wrong way round: (5, 3)
    assert found.fpr95 == pytest.approx(1 / 4)  # both outliers are caught from 3 on; 5 is flagged with them
    assert found.fpr95_in == pytest.approx(1 / 2)  # all four pass up to 5, and so does 3


def test_sets_that_do_not_differ_are_guessed_and_sets_apart_are_told() -> None:
    same = logits(50, 1, 3)
    for found in detect(same, same).values():
        assert found.auroc == pytest.approx(0.5)
    sure = np.eye(5)[np.arange(50) % 5] * 20
    for found in detect(sure, same).values():
        assert (found.auroc, found.fpr95, found.fpr95_in) == (1.0, 0.0, 0.0)
        assert found.aupr == pytest.approx(1.0)


def test_one_example_on_each_side_is_enough() -> None:
    assert detect(logits(1, 9, 0), logits(1, 0.1, 0))["energy"].auroc == 1.0


def test_broken_logits_are_refused() -> None:
    good = logits(4, 1, 0)
    for inside, outside in ((good[:0], good), (good, good[:, :3]), (good[0], good)):
        with pytest.raises(TrainmapError, match="logits must be"):
            detect(inside, outside)
    bad = good.copy()
    bad[2, 1] = np.nan
    with pytest.raises(TrainmapError, match="1 of 4 rows of 'outside'"):
        detect(good, bad)


def test_without_pytorch_ood_the_error_names_the_command(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("pytorch_ood", "pytorch_ood.detector", "pytorch_ood.metrics"):
        monkeypatch.setitem(sys.modules, name, None)
    with pytest.raises(TrainmapError, match=r"pip install 'trainmap\[evaluate\]'"):
        detect(logits(4, 1, 0), logits(4, 1, 1))
