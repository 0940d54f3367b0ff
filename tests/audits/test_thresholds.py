"""Thresholds by class: a rare class is not suspected wholesale, wrong labels in it are still found, balanced data do
not change."""

from __future__ import annotations

import io
import logging
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from trainmap.audits.audit import audit, audit_threshold_samples
from trainmap.audits.planted import plan_flips, plan_threshold_samples
from trainmap.audits.suspicion import RULES
from trainmap.audits.thresholds import FEWEST, by_class, same_for_all, told, warnings_of
from trainmap.dynamics.recorder import Recorder
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError

Learn = Callable[..., Dynamics]
N = 4000


@pytest.fixture
def learn(tmp_path: Path) -> Learn:
    """learn(truth, labels): logits of the truth that grow, against a head start of the frequent classes: a rare class
    is preferred by nobody at first, then by one after another of its examples, and learned in the end."""

    def learn(
        truth: np.ndarray, labels: np.ndarray, name: str = "dynamics", classes: int = 0, epochs: int = 8
    ) -> Dynamics:
        classes = classes or int(truth.max()) + 1
        rng, n = np.random.default_rng(0), len(truth)
        start = np.log(np.bincount(truth, minlength=classes) + 1.0)
        skill = rng.uniform(0.6, 1.4, n)
        with Recorder(tmp_path / name, classes, np.arange(n), labels, rank=0, world_size=1) as recorder:
            for epoch in range(epochs):
                logits = rng.normal(0, 0.5, (n, classes)) + start
                logits[np.arange(n), truth] += skill * epoch * 1.6
                recorder.update(np.arange(n), logits, labels)
                recorder.end_epoch()
        return Dynamics.open(tmp_path / name)

    return learn


def classes_of(share: float, classes: int = 2) -> np.ndarray:
    """(N,) labels; the last class has that share, the others as much as each other."""
    rare = np.arange(N) < share * N
    return np.where(rare, classes - 1, np.arange(N) % (classes - 1))


@pytest.mark.parametrize("classes", [2, 3, 10])
@pytest.mark.parametrize("share", [0.1, 0.02, 0.005])
@pytest.mark.parametrize("rule", RULES)
def test_without_wrong_labels_few_of_a_rare_class_are_suspected(
    learn: Learn, rule: str, share: float, classes: int
) -> None:
    truth = classes_of(share, classes)
    rare = np.flatnonzero(truth == classes - 1)
    dynamics = learn(truth, truth)
    found = audit(dynamics, rule)
    few = 0.1 if rule != "mixture" else 0.2  # which finds two heaps wherever there is one
    if (rule, share, classes) != ("mixture", 0.1, 10):  # as frequent as the others: the rule's own threshold
        assert np.isin(rare, found.suspected).mean() <= few
    row = found.by_class.row(-1, named=True)
    assert (row["label"], row["examples"]) == (classes - 1, len(rare))
    if share < 0.1 and rule == "combined":
        alike = audit(dynamics, rule, threshold=RULES[rule].threshold)
        assert np.isin(rare, alike.suspected).mean() > 0.14, "what one threshold for all makes of it"


@pytest.mark.parametrize("share", [0.5, 0.1, 0.02])
@pytest.mark.parametrize("rule", ["combined", "aum", "confidence"])
def test_wrong_labels_in_a_rare_class_are_found(learn: Learn, rule: str, share: float) -> None:
    truth = classes_of(share)
    wrong = np.random.default_rng(1).choice(np.flatnonzero(truth == 0), round(share * N / 9), replace=False)
    labels = truth.copy()
    labels[wrong] = 1  # one in ten of the class
    found = audit(learn(truth, labels), rule)
    assert np.isin(wrong, found.suspected).mean() > 0.8
    assert np.isin(found.suspected, wrong).mean() > 0.6


def test_rare_labels_given_to_a_frequent_class_are_found(learn: Learn) -> None:
    truth = classes_of(0.1)
    labels = truth.copy()
    labels[:80] = 0  # of the rare class
    assert np.isin(np.arange(80), audit(learn(truth, labels)).suspected).mean() > 0.8


@pytest.mark.parametrize("rule", RULES)
def test_balanced_classes_have_the_rules_own_threshold(learn: Learn, rule: str) -> None:
    rng = np.random.default_rng(0)
    truth = rng.integers(0, 4, N)  # not exactly as many of each
    labels = np.where(rng.random(N) < 0.3, (truth + rng.integers(1, 4, N)) % 4, truth)
    dynamics = learn(truth, labels)
    found, alike = audit(dynamics, rule), audit(dynamics, rule, threshold=RULES[rule].threshold)
    assert found.table.equals(alike.table)
    assert found.warnings == []
    np.testing.assert_array_equal(found.first(100), found.table["id"][:100])


def test_a_threshold_that_is_told_holds_for_every_class(learn: Learn) -> None:
    truth = classes_of(0.02)
    found = audit(learn(truth, truth), threshold=0.1)
    assert found.by_class["threshold"].to_list() == [0.1, 0.1]
    assert found.table["suspected"].to_list() == (found.table["suspicion"] >= 0.1).to_list()


def test_a_class_too_small_to_tell_is_said_and_not_suspected(learn: Learn, caplog: pytest.LogCaptureFixture) -> None:
    truth = classes_of((FEWEST - 5) / N)
    with caplog.at_level(logging.WARNING, "trainmap"):
        found = audit(learn(truth, truth))
    assert len(found.suspected) == 0
    assert found.by_class["note"].to_list() == [None, "too small to tell"]
    assert found.by_class["threshold"].to_list() == [RULES["combined"].threshold, np.inf]
    (line,) = found.warnings
    assert line in caplog.text
    assert "class 1 has fewer than 20 labels" in line


def test_small_classes_are_judged_together(learn: Learn) -> None:
    truth = np.where(np.arange(N) < 100, 1 + np.arange(N) // 10, 0)  # ten classes of ten
    labels = truth.copy()
    labels[3900:3905] = 1 + np.arange(5)  # five wrong ones among them
    found = audit(learn(truth, labels))
    assert np.isin(np.arange(3900, 3905), found.suspected).all()
    assert np.isin(np.arange(100), found.suspected).mean() <= 0.1
    assert "10 classes (1, 2, 3, ...) have fewer than 20 labels" in found.warnings[0]


def test_a_class_that_was_never_learned_is_said_to_be_late_or_wrong(learn: Learn) -> None:
    truth = classes_of(0.02)
    found = audit(learn(truth, truth, epochs=2))
    row = found.by_class.row(1, named=True)
    assert row["preferred"] > row["examples"] / 3
    assert row["suspected"] <= row["examples"] / 10
    assert row["note"] == "learned late or mostly wrong"
    assert "the recording cannot tell which" in found.warnings[0]


def test_a_rare_class_of_which_most_labels_are_wrong_is_said(learn: Learn) -> None:
    truth = classes_of(0.02)
    labels = truth.copy()
    labels[np.random.default_rng(0).choice(np.flatnonzero(truth == 0), 200, replace=False)] = 1
    found = audit(learn(truth, labels))
    assert found.by_class["note"].to_list()[1] in ("learned late or mostly wrong", "mostly suspected")
    assert len(found.warnings) == 1
    assert found.by_class.row(1, named=True)["preferred"] > 180


def test_what_stands_out_first_is_no_rare_class_wholesale(learn: Learn) -> None:
    truth = classes_of(0.02)
    labels = truth.copy()
    labels[3000:3100] = 1 - labels[3000:3100]
    found = audit(learn(truth, labels))
    cut = found.first(100)
    assert len(np.unique(cut)) == 100
    assert (cut < 80).mean() < 0.2


def test_planted_flips_estimate_what_is_suspected_by_class(learn: Learn) -> None:
    truth = classes_of(0.1, 4)
    flips = plan_flips(truth, 0.05, seed=1)
    dynamics = learn(truth, flips.apply(np.arange(N), truth))
    found = audit(dynamics, flips=flips)
    assert found.quality is not None
    assert found.quality.suspected == len(found.suspected)
    plain = audit(dynamics)
    assert found.quality.caught == np.isin(flips.ids, plain.suspected).sum()
    assert found.by_class["examples"].sum() == N - len(flips)
    by_flips = audit(dynamics, flips=flips, threshold="flips")
    assert np.isin(np.flatnonzero(truth == 3), by_flips.suspected).mean() < 0.1


def test_threshold_samples_spare_a_rare_class(learn: Learn) -> None:
    truth, ids = classes_of(0.02), np.arange(N)
    plan = plan_threshold_samples(truth)
    runs = [learn(truth, plan.apply(run, ids, truth), name=f"run{run}", classes=3) for run in (0, 1)]
    found = audit_threshold_samples(runs[0], runs[1])
    assert np.isin(np.flatnonzero(truth == 1), found.suspected).mean() <= 0.1
    assert found.by_class["label"].to_list() == [0, 1]


def test_the_cut_lies_above_what_is_usual_in_the_class_by_hand() -> None:
    labels = np.repeat([0, 1], [1000, 30])
    suspicion = np.concatenate([np.full(1000, -0.9), np.linspace(0, 0.29, 30)])
    other = 1 - labels
    found = by_class(suspicion, labels, other, np.where(labels == 0, 1.0, 0.1), 0.1, 0.0)
    middle = 0.145
    mad = np.median(np.abs(suspicion[1000:] - middle))
    np.testing.assert_allclose(found.values, [0.1, middle + 2.5 * 1.4826 * mad])
    exchanged = by_class(suspicion, labels, other, np.ones(1030), 0.1, -0.3)  # half of class 0 is at 0.9, exchanged 0.3
    np.testing.assert_allclose(exchanged.values, [0.1, 0.3])
    assert same_for_all(suspicion, labels, 0.2).values.tolist() == [0.2, 0.2]


def test_two_heaps_in_a_rare_class_are_parted_by_the_rules_threshold() -> None:
    rng, labels = np.random.default_rng(0), np.repeat([0, 1], [1000, 60])
    heaps = np.concatenate([rng.normal(-0.8, 0.05, 20), rng.normal(0.8, 0.05, 40)])
    suspicion = np.concatenate([np.full(1000, -0.9), heaps])
    found = by_class(suspicion, labels, 1 - labels, np.where(labels == 0, 1.0, 1 / 3), 0.1, 0.0)
    assert found.values.tolist() == [0.1, 0.1]


def test_values_that_are_not_known_say_nothing() -> None:
    labels = np.array([0, 1, -1, 1])
    found = by_class(np.array([0.5, np.nan, 0.9, np.nan]), labels, 1 - labels, np.ones(4), 0.1, 0.0)
    assert (found.classes.tolist(), found.examples.tolist()) == ([0], [1])
    assert found.of(labels).tolist() == [0.1, np.inf, np.inf, np.inf]
    nothing = by_class(np.full(4, np.nan), labels, 1 - labels, np.ones(4), 0.1, 0.0)
    assert nothing.of(labels).tolist() == [np.inf] * 4


def test_a_confusion_of_very_many_classes_is_refused_before_it_takes_memory(learn: Learn) -> None:
    truth = classes_of(0.5)
    with pytest.raises(TrainmapError, match=r"100000 classes takes 80 GB .*count the pairs"):
        audit(learn(truth, truth)).confusion(100_000)


def test_the_terminal_shows_the_classes_that_cannot_be_told(learn: Learn) -> None:
    from rich.console import Console

    from trainmap.views.side_by_side import of_audit

    truth = classes_of(0.002)
    console = Console(width=140, record=True, file=io.StringIO())
    console.print(of_audit(audit(learn(truth, truth))))
    assert "too small" in console.export_text()


def test_a_rare_class_of_which_a_quarter_is_suspected_is_said_and_a_frequent_one_is_not() -> None:
    labels = np.repeat([0, 1], [1000, 30])
    suspected = np.zeros(1030, bool)
    suspected[:300], suspected[1000:1013] = True, True
    thresholds = same_for_all(np.zeros(1030), labels, 0.1)
    thresholds.rare[1] = True
    table = told(thresholds, labels, suspected, suspected)
    assert table["note"].to_list() == [None, "many suspected"]
    assert "class 1 has fewer labels than others, and many of them suspected (13 of 30)" in warnings_of(table)[0]


def test_a_class_without_a_judged_label_has_no_row() -> None:
    thresholds = same_for_all(np.zeros(4), np.array([0, 0, 1, 1]), 0.1)
    table = told(thresholds, np.array([0, 0, -1, -1]), np.zeros(4, bool), np.zeros(4, bool))
    assert table.select("label", "examples").rows() == [(0, 2)]
