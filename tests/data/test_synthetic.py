"""Synthetic data: exact counts, what each kind is, the posterior by hand and against others, the grammar of names."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import binomtest, multivariate_normal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from trainmap.data.dataset import load_splits
from trainmap.data.names import check_name
from trainmap.data.synthetic import KINDS, Synthetic, best_accuracy, truth_of, write_truth
from trainmap.errors import TrainmapError

NOTHING: dict[str, Any] = dict.fromkeys(("overlap", "wrong", "duplicates", "near", "rare", "outliers"), 0.0)
SMALL = Synthetic(examples=200, tests=50, seed=3)


def posterior(truth: pl.DataFrame) -> np.ndarray:
    return np.array(truth["posterior"].to_list())


# --- what the kinds are -------------------------------------------------------------------------------------------


def test_the_counts_of_the_training_part_are_exact() -> None:
    settings = Synthetic(examples=1000, wrong=0.1, overlap=0.05, duplicates=0.02, near=0.03, rare=0.04, outliers=0.01)
    train = truth_of(settings).filter(part="train")
    counts = dict(train["kind"].value_counts().iter_rows())
    told = {"clean": 750, "overlap": 50, "wrong-label": 100, "duplicate": 20, "near-duplicate": 30}
    assert counts == {**told, "rare-group": 40, "outlier": 10} == settings.counts
    groups = dict(train.filter(kind="rare-group")["group"].value_counts().iter_rows())
    assert groups == {f"rare {g}": 8 for g in range(5)}
    for kind in ("clean", "wrong-label", "overlap", "outlier"):
        assert np.ptp(np.bincount(train.filter(kind=kind)["clean"])) <= 1, "every class as often"


def test_the_data_are_the_truth_s_examples_in_the_order_of_their_ids() -> None:
    splits, truth = load_splits(SMALL.name), truth_of(SMALL)
    assert truth["id"].to_list() == list(range(300))
    for name, part in vars(splits).items():
        told = truth.filter(part=name)
        np.testing.assert_array_equal(part.ids, told["id"])
        np.testing.assert_array_equal(part.y, told["label"])
    assert (splits.train.name, splits.train.classes, splits.train.x.shape) == (SMALL.name, 5, (200, 32))


def test_wrong_labels_alone_differ_from_the_clean_ones_and_reach_every_class() -> None:
    train = truth_of(Synthetic(examples=2000, seed=1)).filter(part="train")
    assert set(train.filter(pl.col("label") != pl.col("clean"))["kind"]) == {"wrong-label"}
    wrong = train.filter(kind="wrong-label")
    assert (wrong["label"] != wrong["clean"]).all()
    assert len(wrong.unique(["label", "clean"])) == 20, "all pairs of five classes"


def test_a_copy_says_of_which_clean_example_it_is() -> None:
    truth, x = truth_of(SMALL), load_splits(SMALL.name).train.x
    copies = truth.filter(pl.col("of").is_not_null())
    assert set(copies["kind"]) == {"duplicate", "near-duplicate"}
    assert copies["of"].n_unique() == len(copies) == 20
    originals = truth[copies["of"].to_list()]
    assert set(originals["kind"]) == {"clean"}
    assert originals["label"].to_list() == copies["label"].to_list()
    assert originals["group"].to_list() == copies["group"].to_list()
    moved = np.linalg.norm(x[copies["id"]] - x[originals["id"]], axis=1)
    near = (copies["kind"] == "near-duplicate").to_numpy()
    assert (moved[~near] == 0).all()
    np.testing.assert_allclose(moved[near], 0.1 * np.sqrt(32), rtol=0.5)


def test_outliers_lie_far_out_and_have_no_posterior() -> None:
    truth, x = truth_of(SMALL).filter(part="train"), load_splits(SMALL.name).train.x
    outlier = (truth["kind"] == "outlier").to_numpy()
    assert np.linalg.norm(x[outlier], axis=1).min() > 10 > np.linalg.norm(x[~outlier], axis=1).max()
    assert truth["posterior"].is_null().to_numpy().tolist() == outlier.tolist()
    assert set(truth.filter(kind="outlier")["group"]) == {"outlier"}


def test_the_parts_that_judge_have_no_wrong_labels_copies_or_outliers() -> None:
    truth = truth_of(Synthetic(examples=1000, overlap=0.2, outliers=0.2, tests=400))
    for part in ("validation", "test"):
        counts = dict(truth.filter(part=part)["kind"].value_counts().iter_rows())
        assert counts == {"clean": 275, "overlap": 100, "rare-group": 25}


def test_more_of_one_kind_leaves_the_examples_of_the_others_what_they_are() -> None:
    few, many = Synthetic(examples=400), Synthetic(examples=400, wrong=0.3)
    for kind in ("overlap", "rare-group", "outlier"):
        rows = []
        for settings in (few, many):
            its = truth_of(settings).filter(part="train", kind=kind)
            x = load_splits(settings.name).train.x[its["id"]]
            rows.append(x[np.lexsort(x.T)])
        np.testing.assert_array_equal(*rows)


def test_the_seed_alone_decides_and_an_id_tells_nothing() -> None:
    one, other = load_splits(SMALL.name), load_splits(SMALL.name.replace("seed=3", "seed=4"))
    assert one.fingerprint() == load_splits(SMALL.name, seed=9, validation=0.5).fingerprint()
    assert one.fingerprint() != other.fingerprint()
    kinds = truth_of(Synthetic()).filter(part="train")["kind"]
    halves = [kinds[:1000].value_counts().sort("kind"), kinds[1000:].value_counts().sort("kind")]
    for kind, first, second in zip(halves[0]["kind"], *(half["count"] for half in halves), strict=True):
        assert binomtest(first, first + second).pvalue > 1e-4, kind


def test_the_examples_are_those_of_every_other_machine() -> None:
    """numpy keeps the streams of its generators; a change here is another dataset under an old name."""
    train = load_splits("synthetic:examples=40,tests=5,duplicates=0,near=0,rare=0,outliers=0.1").train
    np.testing.assert_allclose(train.x[0, :4], RECORDED, rtol=1e-6)
    assert train.y[:20].tolist() == RECORDED_LABELS


RECORDED = [0.803215503692627, -0.027292903512716293, 1.918196678161621, 2.3747875690460205]
RECORDED_LABELS = [2, 1, 1, 4, 2, 1, 0, 3, 0, 4, 4, 1, 4, 2, 4, 1, 2, 0, 4, 3]


def test_images_have_the_same_geometry_in_waves_of_grey() -> None:
    settings = Synthetic(examples=4000, side=8, tests=5, seed=1, **NOTHING)
    train = load_splits(settings.name).train
    assert (str(train.inputs), train.x.dtype) == ("1 x 8 x 8 pixels", np.uint8)
    means = np.array([train.x[train.y == label].mean(axis=0).ravel() for label in range(5)]) / 16
    for a in range(5):
        for b in range(a):
            assert np.linalg.norm(means[a] - means[b]) == pytest.approx(5, abs=0.4)
    spread = train.x[train.y == 0].astype(float).std(axis=0) / 16
    np.testing.assert_allclose(spread, 1, atol=0.15)


# --- what can be known of a label -----------------------------------------------------------------------------------


def test_the_posterior_of_two_classes_is_a_logistic_function_of_the_difference_of_two_features() -> None:
    settings = Synthetic(examples=20, classes=2, features=2, separation=2, tests=30, **NOTHING)
    x = np.concatenate([part.x for part in vars(load_splits(settings.name)).values()]).astype(float)
    by_hand = 1 / (1 + np.exp(-(2 / np.sqrt(2)) * (x[:, 0] - x[:, 1])))
    np.testing.assert_allclose(posterior(truth_of(settings))[:, 0], by_hand, rtol=1e-5)


def test_the_posterior_is_that_of_the_mixture_by_scipy() -> None:
    settings = Synthetic(
        examples=400, classes=3, features=6, groups=2, overlap=0.25, rare=0.1, outliers=0, tests=40, wrong=0.2
    )
    x = np.concatenate([part.x for part in vars(load_splits(settings.name)).values()]).astype(float)
    axes = 5 / np.sqrt(2) * np.eye(6)
    parts = [(0.65 / 3, axes[c], np.eye(3)[c]) for c in range(3)]
    for a, b in ((0, 1), (1, 2), (2, 0)):
        parts.append((0.25 / 3, (axes[a] + axes[b]) / 2, (np.eye(3)[a] + np.eye(3)[b]) / 2))
    parts += [(0.1 / 2, axes[3], np.eye(3)[0]), (0.1 / 2, axes[4], np.eye(3)[1])]
    joint = sum(
        (weight * multivariate_normal(mean).pdf(x)[:, None] * labels for weight, mean, labels in parts), np.zeros(3)
    )
    np.testing.assert_allclose(posterior(truth_of(settings)), joint / joint.sum(axis=1, keepdims=True), atol=1e-5)


def test_discriminant_analysis_of_a_huge_sample_comes_to_the_posterior() -> None:
    settings = Synthetic(examples=40_000, classes=3, features=4, separation=3, tests=1000, seed=2, **NOTHING)
    splits = load_splits(settings.name)
    learned = LinearDiscriminantAnalysis().fit(splits.train.x, splits.train.y)
    truth = truth_of(settings).filter(part="test")
    np.testing.assert_allclose(learned.predict_proba(splits.test.x), posterior(truth), atol=0.03)
    assert learned.score(splits.test.x, splits.test.y) == pytest.approx(best_accuracy(settings), abs=0.03)


def test_the_bayes_rule_is_as_accurate_as_it_says_on_a_huge_sample() -> None:
    settings = Synthetic(tests=60_000, overlap=0.2, seed=5)
    truth = truth_of(settings).filter(part="test")
    chances, labels = posterior(truth), truth["label"].to_numpy()
    right = int((chances.argmax(axis=1) == labels).sum())
    interval = binomtest(right, len(labels)).proportion_ci(0.999)
    assert interval.low < best_accuracy(settings) < interval.high


def test_examples_between_two_classes_are_truly_ambiguous() -> None:
    """Of those to which the posterior gives two classes alike, it is right about every second one."""
    truth = truth_of(Synthetic(tests=40_000, overlap=0.2, seed=7)).filter(part="test")
    chances, labels = posterior(truth), truth["label"].to_numpy()
    unsure = (chances.max(axis=1) > 0.45) & (chances.max(axis=1) < 0.55)
    right = int((chances.argmax(axis=1) == labels)[unsure].sum())
    interval = binomtest(right, int(unsure.sum())).proportion_ci(0.999)
    assert interval.low < chances[unsure].max(axis=1).mean() < interval.high
    of_kind = (truth["kind"] == "overlap").to_numpy()
    assert of_kind[unsure].mean() > 0.5 > 3 * of_kind.mean() / 2, "most of them lie between two classes"
    assert chances[of_kind].max(axis=1).mean() < 0.8 < 0.9 < chances[~of_kind].max(axis=1).mean()


# --- names ------------------------------------------------------------------------------------------------------------

SHARES = st.floats(0, 0.1)
VALID = st.builds(
    Synthetic,
    examples=st.integers(200, 10_000),
    classes=st.integers(2, 9),
    features=st.integers(20, 60),
    separation=st.floats(0, 100),
    overlap=SHARES,
    wrong=SHARES,
    duplicates=SHARES,
    near=SHARES,
    rare=st.one_of(st.just(0.0), st.floats(0.05, 0.1)),
    groups=st.integers(1, 9),
    outliers=SHARES,
    tests=st.integers(1, 2000),
    seed=st.integers(0, 10**15),
)


@given(VALID)
def test_settings_and_their_name_are_the_same(settings: Synthetic) -> None:
    assert Synthetic.of(settings.name) == settings
    assert Synthetic.of(settings.without_seed) == Synthetic.of(settings.name.replace(f"seed={settings.seed}", "seed=0"))
    assert check_name(settings.name) == settings.name


@given(st.text(alphabet="synthetic:=,.0123456789abcdefgh e-", max_size=30))
def test_whatever_stands_behind_the_colon_is_settings_or_one_error(told: str) -> None:
    try:
        found = Synthetic.of(f"synthetic:{told}")
    except TrainmapError:
        return
    assert Synthetic.of(found.name) == found


def test_a_name_says_what_differs_from_the_defaults_in_one_order() -> None:
    assert Synthetic().name == "synthetic"
    assert Synthetic.of("synthetic:seed=3,wrong=0.20,examples=2000").name == "synthetic:wrong=0.2,seed=3"
    assert Synthetic(separation=4.0, overlap=-0.0).name == "synthetic:separation=4,overlap=0"
    assert Synthetic(seed=3).without_seed == "synthetic"
    assert Synthetic(seed=31, wrong=0.25).without_seed == "synthetic:wrong=0.25"


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("synthetic:wrongs=0.1", "unknown setting of synthetic 'wrongs'; did you mean 'wrong'?"),
        ("synthetic:", "synthetic data are 'synthetic' or 'synthetic:wrong=0.1,seed=3', got 'synthetic:'"),
        ("synthetic:wrong", "settings are key=value with commas between, got 'wrong'"),
        ("synthetic:wrong=0.1,,seed=1", "settings are key=value with commas between, got ''"),
        ("synthetic:wrong=0.1, seed=1", "unknown setting of synthetic ' seed'; did you mean 'seed'?"),
        ("synthetic:seed=1,seed=1", "seed stands twice"),
        ("synthetic:wrong=-0.1", "wrong must be a number, not negative, as wrong=1, got '-0.1'"),
        ("synthetic:wrong=nan", "wrong must be a number, not negative"),
        ("synthetic:wrong=10%", "wrong must be a number, not negative"),
        ("synthetic:seed=1.5", "seed must be a whole number, not negative"),
        ("synthetic:wrong=1.5", "wrong must be a finite number from 0 to 1, got 1.5"),
        ("synthetic:separation=200", "separation must be a finite number from 0 to 100"),
        ("synthetic:classes=1", "classes must be a whole number of at least 2, got 1"),
        ("synthetic:tests=0", "tests must be a whole number of at least 1, got 0"),
        ("synthetic:examples=0", "examples must be a whole number of at least 1, got 0"),
        ("synthetic:examples=1", "the shares take 0 of 1 examples and leave 1 clean; at least 5 must be"),
        ("synthetic:wrong=0.9", "leave 0 clean; at least 200 must be: one of each class, and one for each copy"),
        ("synthetic:duplicates=0.4", "leave 500 clean; at least 900 must be"),
        ("synthetic:outliers=1", "leave 0 clean"),
        ("synthetic:rare=0.001", "2 examples cannot be 5 rare groups; lower groups or raise rare"),
        ("synthetic:features=9", "features must be at least 10, got 9"),
        ("synthetic:side=3", "features must be at least 10, side=3 has 9 pixels"),
        ("synthetic:side=8,features=64", "images of side 8 have no features=64; leave one"),
        ("synthetic:examples=100000000000000", "of memory, at most"),
        ("synthetic:examples=1" + 20 * "0", "examples must be a whole number, not negative"),
        ("Synthetic", "unknown dataset 'Synthetic'; did you mean 'synthetic'?"),
        ("Synthetic:seed=1", "did you mean 'synthetic:seed=1'?"),
        ("synthetic+embeddings", "embeddings are made of texts, but synthetic has none"),
    ],
)
def test_a_name_that_cannot_be_is_one_error_before_any_work(name: str, message: str) -> None:
    with pytest.raises(TrainmapError) as caught:
        load_splits(name)
    assert message in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value"),
    [(one.name, value) for one in fields(Synthetic) for value in ("3", None, True, float("nan"), -1, 10**16)],
)
def test_settings_of_another_type_or_range_are_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(TrainmapError, match=f"synthetic: {field} must be"):
        Synthetic(**{field: value})


def test_shares_may_all_be_zero_and_numbers_of_numpy_are_numbers() -> None:
    of_numpy: dict[str, Any] = {"examples": np.int64(10), "separation": np.float32(4)}
    settings = Synthetic(tests=3, **of_numpy, **NOTHING)
    assert settings.counts == {**dict.fromkeys(KINDS, 0), "clean": 10}
    assert Synthetic.of(settings.name) == settings
    assert set(truth_of(settings)["kind"]) == {"clean"}
    assert len(load_splits(settings.name).train) == 10


def test_the_truth_is_kept_as_a_parquet_file(tmp_path: Path) -> None:
    path = write_truth("synthetic:examples=90,groups=2,tests=5,seed=2", tmp_path / "truth.parquet")
    assert pl.read_parquet(path).equals(truth_of(Synthetic(examples=90, groups=2, tests=5, seed=2)))
    with pytest.raises(TrainmapError, match=r"must end in .parquet, got truth.csv"):
        write_truth("synthetic", tmp_path / "truth.csv")
