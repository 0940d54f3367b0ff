from __future__ import annotations

import json
import tracemalloc
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmap.audits.planted import Flips, ThresholdSamples, plan_flips, plan_threshold_samples
from trainmap.errors import StoreError, TrainmapError


@given(st.integers(1, 200), st.floats(0.001, 0.5), st.integers(2, 7), st.integers(0, 5))
def test_flips_change_exactly_the_planned_labels_to_another_class(
    n: int, fraction: float, classes: int, seed: int
) -> None:
    labels = np.arange(n) % classes
    ids = np.arange(n) * 3
    plan = plan_flips(labels, fraction, seed, ids=ids, classes=classes)
    changed = plan.apply(ids, labels)
    assert len(plan) == max(1, int(fraction * n + 0.5))
    np.testing.assert_array_equal(ids[changed != labels], plan.ids)
    np.testing.assert_array_equal(changed[np.isin(ids, plan.ids)], plan.planted)
    assert (plan.planted != plan.original).all()
    assert plan.planted.min() >= 0
    assert plan.planted.max() < classes


def test_the_order_of_the_examples_changes_no_plan() -> None:
    labels, ids = np.arange(60) % 3, np.array([f"n{i:02}" for i in range(60)])
    shuffled = np.random.default_rng(0).permutation(60)
    a, b = plan_flips(labels, 0.2, ids=ids), plan_flips(labels[shuffled], 0.2, ids=ids[shuffled])
    np.testing.assert_array_equal(a.ids, b.ids)
    np.testing.assert_array_equal(a.planted, b.planted)
    np.testing.assert_array_equal(b.apply(ids[shuffled], labels[shuffled]), a.apply(ids, labels)[shuffled])
    first = plan_threshold_samples(labels, ids=ids)
    np.testing.assert_array_equal(first.first, plan_threshold_samples(labels[shuffled], ids=ids[shuffled]).first)


def test_another_seed_is_another_plan() -> None:
    labels = np.arange(100) % 4
    assert not np.array_equal(plan_flips(labels, 0.1, 0).ids, plan_flips(labels, 0.1, 1).ids)


def test_flips_follow_the_confusion_that_is_given() -> None:
    labels = np.arange(3000) % 3
    confusion = [[9, 0, 1], [1, 5, 3], [2, 0, 0]]  # the diagonal says nothing
    plan = plan_flips(labels, 0.5, confusion=confusion)
    share = {
        (i, j): ((plan.original == i) & (plan.planted == j)).sum() / (plan.original == i).sum()
        for i in range(3)
        for j in range(3)
    }
    assert share[0, 2] == share[2, 0] == 1
    assert share[1, 0] == pytest.approx(0.25, abs=0.06)
    assert share[1, 2] == pytest.approx(0.75, abs=0.06)
    uniform = plan_flips(labels, 0.5)
    assert ((uniform.original == 0) & (uniform.planted == 1)).sum() == pytest.approx(250, abs=50)


@given(st.integers(1, 200), st.floats(0.001, 0.5), st.integers(2, 9), st.integers(0, 5), st.booleans())
def test_flips_are_the_same_as_of_a_matrix_of_all_pairs(
    n: int, fraction: float, classes: int, seed: int, uniform: bool
) -> None:
    random = np.random.default_rng(seed)
    labels = random.integers(0, classes, n)
    weights = np.ones((classes, classes)) if uniform else random.integers(0, 4, (classes, classes)) + 0.1
    given = None if uniform else weights.copy()
    plan = plan_flips(labels, fraction, seed, classes=classes, confusion=given)
    assert given is None or (given == weights).all(), "what was given is not changed"
    np.fill_diagonal(weights, 0)
    again = np.random.default_rng(seed)
    chosen = np.sort(again.choice(n, max(1, int(fraction * n + 0.5)), replace=False))
    steps = weights[labels[chosen]].cumsum(axis=1)
    planted = (again.random(len(chosen))[:, None] * steps[:, -1:] >= steps).sum(axis=1)
    np.testing.assert_array_equal(plan.planted, planted)


@pytest.mark.parametrize("make", [plan_flips, plan_threshold_samples])
def test_the_memory_of_a_plan_does_not_grow_with_the_square_of_the_classes(make: Any) -> None:
    classes = 100_000
    labels = np.arange(classes)
    tracemalloc.start()
    plan = make(labels, classes=classes)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert len(plan.ids if isinstance(plan, Flips) else plan.first) > 0
    assert most < 50e6, "a matrix of all pairs has 80 GB"


def test_the_memory_of_flips_by_a_confusion_does_not_grow_with_the_examples() -> None:
    classes, n = 300, 40_000
    confusion = np.random.default_rng(0).random((classes, classes))
    tracemalloc.start()
    plan_flips(np.arange(n) % classes, 0.5, confusion=confusion)
    _, most = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert most < 20e6, "a row of weights for each flip has 48 MB"


def test_the_number_of_classes_is_that_of_the_confusion() -> None:
    plan = plan_flips([0, 1, 0, 1], 0.5, confusion=[[0, 0, 1], [0, 0, 1], [1, 1, 0]])
    assert plan.classes == 3
    assert set(plan.planted.tolist()) == {2}
    with pytest.raises(TrainmapError, match="labels must be 0 to 1, got 0 to 4"):
        plan_flips([0, 4], 0.5, confusion=[[0, 1], [1, 0]])
    with pytest.raises(TrainmapError, match=r"confusion must be \(3, 3\), .* got \(2, 2\)"):
        plan_flips([0, 1], 0.5, classes=3, confusion=[[0, 1], [1, 0]])


@given(st.integers(2, 300), st.integers(1, 9), st.integers(0, 5))
def test_threshold_samples_are_disjoint_as_large_as_a_class_and_every_example_keeps_its_label_once(
    n: int, classes: int, seed: int
) -> None:
    labels = np.arange(n) % classes
    plan = plan_threshold_samples(labels, seed, classes=classes)
    size = min(max(1, round(n / (classes + 1))), n // 2)
    assert len(plan.first) == len(plan.second) == size
    assert not np.intersect1d(plan.first, plan.second).size
    runs = [plan.apply(run, np.arange(n), labels) for run in (0, 1)]
    np.testing.assert_array_equal(np.flatnonzero(runs[0] == classes), plan.first)
    np.testing.assert_array_equal(np.flatnonzero(runs[1] == classes), plan.second)
    assert ((runs[0] == labels) | (runs[1] == labels)).all()


@pytest.mark.parametrize("ids", [np.arange(40), np.array([f"img{i}" for i in range(40)])])
def test_plans_come_back_from_disk(tmp_path: Path, ids: Any) -> None:
    labels = np.arange(40) % 4
    flips = plan_flips(labels, 0.2, 3, ids=ids)
    opened = Flips.open(flips.save(tmp_path / "flips.json"))
    np.testing.assert_array_equal(opened.apply(ids, labels), flips.apply(ids, labels))
    assert (opened.seed, opened.classes, opened.dataset) == (3, 4, flips.dataset)
    samples = plan_threshold_samples(labels, ids=ids)
    again = ThresholdSamples.open(samples.save(tmp_path / "samples.json"))
    for run in (0, 1):
        np.testing.assert_array_equal(again.apply(run, ids, labels), samples.apply(run, ids, labels))


def test_files_that_are_no_plan_are_refused(tmp_path: Path) -> None:
    flips = plan_flips([0, 1, 0, 1], 0.5)
    with pytest.raises(TrainmapError, match=r"end in \.json"):
        flips.save(tmp_path / "flips.csv")
    path = flips.save(tmp_path / "flips.json")
    with pytest.raises(StoreError, match="not a plan of threshold samples"):
        ThresholdSamples.open(path)
    with pytest.raises(StoreError, match="there is no plan"):
        Flips.open(tmp_path / "nowhere.json")
    path.write_text("{")
    with pytest.raises(StoreError, match="not a plan"):
        Flips.open(path)
    about = json.loads(flips.save(path).read_text())
    path.write_text(json.dumps({**about, "version": 9}))
    with pytest.raises(StoreError, match="newer"):
        Flips.open(path)
    with pytest.raises(StoreError, match=r"cannot be read: Is a directory"):
        Flips.open(tmp_path)
    for wrong, message in (
        ({k: v for k, v in about.items() if k != "seed"}, "'seed' is missing or does not belong"),
        ({k: v for k, v in about.items() if k != "version"}, "'version' cannot be null"),
        (about | {"extra": 1}, "'extra' is missing or does not belong"),
        (about | {"classes": "2"}, "'classes' cannot be \"2\""),
        (about | {"ids": 3}, "'ids' cannot be 3"),
        (about | {"ids": [0.5, 1.5]}, "an id is a name, never a measurement"),
        (about | {"planted": ["a", "b"]}, "labels must be integer class indices"),
    ):
        path.write_text(json.dumps(wrong))
        with pytest.raises(StoreError, match=message):
            Flips.open(path)


def test_a_plan_is_applied_to_its_own_data_only() -> None:
    labels = np.array([0, 1, 0, 1])
    with pytest.raises(TrainmapError, match="other ids or labels"):
        plan_flips(labels, 0.5).apply(np.arange(4), 1 - labels)
    with pytest.raises(TrainmapError, match="labels must be integer class indices"):
        plan_flips(labels, 0.5).apply(np.arange(4), labels + 0.9)
    with pytest.raises(TrainmapError, match="an id is a name, never a measurement"):
        plan_flips(labels, 0.5, ids=[0.5, 1.5, 2.5, 3.5])
    with pytest.raises(TrainmapError, match="two runs, 0 and 1"):
        plan_threshold_samples(labels).apply(2, np.arange(4), labels)


@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lambda: plan_flips([0, 1], 0.0), "fraction of labels"),
        (lambda: plan_flips([0, 1], 2.0), "fraction of labels"),
        (lambda: plan_flips([0, 0]), "at least 2 classes"),
        (lambda: plan_flips([0, 5], classes=3), "labels must be 0 to 2"),
        (lambda: plan_flips([0, 1], ids=[7, 7]), "distinct"),
        (lambda: plan_flips([0.0, 1.0]), "class indices"),
        (lambda: plan_flips([]), "N > 0"),
        (lambda: plan_flips([0, 1], 0.5, confusion=[[0, 1]]), r"confusion must be \(2, 2\)"),
        (lambda: plan_flips([0, 1], 0.5, confusion=[[0, -1], [1, 0]]), "not negative"),
        (lambda: plan_flips([0, 1] * 9, 0.5, confusion=[[1, 0], [1, 0]]), "no class to flip to for the classes 0"),
        (lambda: plan_threshold_samples([0]), "at least 2 examples"),
    ],
)
def test_plans_that_cannot_be_made_say_why(make: Any, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        make()
