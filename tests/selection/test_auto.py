"""``auto``: the rule by hand on small maps, its paragraph, and what it refuses."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.schedules.repeated_auto import RepeatedAuto
from trainmap.selection.auto import auto
from trainmap.selection.auto_rule import FEWEST, READS, SEEN, TILT
from trainmap.selection.auto_rule import read_map as advise
from trainmap.selection.pool import Pool
from trainmap.selection.quotas import proportional
from trainmap.selection.strategies import STRATEGIES, Balance, choose

EPOCHS = 5


@pytest.fixture
def a_map(make_map: Any) -> tm.DataMap:
    return make_map(1000, slope=np.full(1000, 0.03))


def pool_of(n: int, kept: float, **changed: Any) -> Pool:
    """n examples of two classes that are all learned: the later an id, the easier and the less ambiguous."""
    ease = (np.arange(n) + 0.5) / n
    scores = {
        "variability": 0.4 * (1 - ease),
        "correctness": np.full(n, float(EPOCHS)),
        "aum": 0.1 + ease,
        "slope": np.full(n, 0.05),
    }
    scores |= {name: np.asarray(values, float) for name, values in changed.items()}
    assert set(scores) == set(READS)
    return Pool(np.arange(n), np.arange(n) % 2, scores, kept, epochs=EPOCHS, examples=n)


def understood(n: int, kept: float, wrong: float = 0.1) -> Pool:
    """A pool of which the network contradicts so many at first, learns them, and errs as often on other data."""
    return pool_of(n, kept, **contradicted(n, round(wrong * n), rise=0.2))


def contradicted(n: int, wrong: int, rise: float) -> dict[str, Any]:
    """The first ``wrong`` of n examples are never right; their p(gold) rises by so much over the recording."""
    first = np.arange(n) < wrong
    return {
        "correctness": np.where(first, 0, EPOCHS),
        "aum": np.where(first, -1.0 - np.arange(n), 1.0),
        "slope": np.where(first, rise / (EPOCHS - 1), 0.05),
    }


@pytest.mark.parametrize(
    ("kept", "tilt"), [(0.05, TILT / 2), (0.1, TILT), (0.2, 1.5 * TILT), (0.3, 2 * TILT), (0.7, 2 * TILT)]
)
def test_the_more_is_kept_the_more_ambiguous_examples_are_preferred(kept: float, tilt: float) -> None:
    advice = advise(understood(10_000, kept), round(10_000 * kept), held_out=0.9)
    assert (advice.tilt, advice.cut) == (pytest.approx(tilt), 0)


def test_examples_that_are_still_being_learned_are_not_cut() -> None:
    advice = advise(pool_of(1000, 0.4, **contradicted(1000, 200, rise=0.06)), 400)
    assert (advice.cut, advice.contradicted) == (0, 0.2)
    assert advice.rise == pytest.approx(0.06)


def test_what_cannot_be_learned_is_cut_and_the_rest_drawn_evenly() -> None:
    pool = pool_of(1000, 0.4, **contradicted(1000, 200, rise=0.04))
    advice = advise(pool, 400)
    assert (advice.cut, advice.tilt) == (200, 0.0)
    rows = auto(pool, 400, np.random.default_rng(0))
    assert rows.min() >= 200, "a fifth is contradicted, in both classes"
    thirds = np.histogram(rows, [200, 467, 733, 1000])[0]
    assert thirds.min() > 110, "drawn evenly from what is left"


def test_a_map_that_may_have_been_learned_by_heart_prefers_nothing() -> None:
    pool = understood(10_000, 0.4)
    assert advise(pool, 4000).tilt == 0, "nothing is known of other data"
    at = 1 - 0.1 / SEEN  # of the errors there the map shows exactly the least share
    assert advise(pool, 4000, held_out=at + 0.001).tilt == 2 * TILT
    assert advise(pool, 4000, held_out=at - 0.001).tilt == 0
    by_heart = understood(10_000, 0.4, wrong=0.002)  # as on SUBJ: 0.2 % and 11 %
    assert advise(by_heart, 4000, held_out=0.89).tilt == 0
    nothing = advise(pool_of(10_000, 0.4), 4000, held_out=1.0)
    assert nothing.nothing, "where no label is contradicted none is known to be hard"


def test_a_map_of_a_network_that_understands_little_prefers_nothing() -> None:
    advice = advise(understood(10_000, 0.4, wrong=0.45), 4000, held_out=0.5)
    assert (advice.tilt, advice.cut) == (0, 0)
    assert "record a better network" in advice.reason
    assert advise(understood(10_000, 0.4, wrong=0.4499), 4000, held_out=0.5).tilt == 2 * TILT


def test_a_map_of_predictions_on_unseen_examples_prefers_nothing() -> None:
    pool = replace(understood(10_000, 0.4), source="held-out")
    advice = advise(pool, 4000, held_out=0.9)
    assert advice.nothing
    assert "predictions on unseen examples" in advice.reason


def test_no_class_loses_more_than_half() -> None:
    pool = pool_of(1000, 0.4, **contradicted(1000, 250, rise=0.0))
    pool = Pool(pool.ids, (pool.ids < 250).astype(int), pool.scores, 0.4, epochs=EPOCHS, examples=1000)
    assert advise(pool, 400).cut == 125
    rows = auto(pool, 400, np.random.default_rng(0))
    assert (rows < 250).sum() == round(400 * 125 / 875)


def test_a_rare_class_loses_no_more_than_its_share() -> None:
    pool = pool_of(1000, 0.4, **contradicted(1000, 150, rise=0.0))
    pool = Pool(pool.ids, (pool.ids < 50).astype(int), pool.scores, 0.4, epochs=EPOCHS, examples=1000)
    advice = advise(pool, 400)
    assert (advice.cut, advice.lowest) == (105, 150)  # 5 of the 50, as 100 of the other 950
    assert "nor a rare one more than its share" in advice.reason
    rows = auto(pool, 400, np.random.default_rng(0))
    assert (rows < 50).sum() == round(400 * 45 / 895)


@pytest.mark.parametrize("balance", [None, "proportional", "equal"])
@pytest.mark.parametrize("budget", [0.1, 0.25, 0.4, 0.55, 0.7])
@pytest.mark.parametrize("share", [0.02, 0.005])
@pytest.mark.parametrize("noise", [None, 0.0, 0.2])
def test_a_rare_class_that_is_learned_last_keeps_its_share_of_every_budget(
    make_map: Any, balance: Balance | None, budget: float, share: float, noise: float | None
) -> None:
    n = 2000
    labels = (np.arange(n) >= n * (1 - share)).astype(int)
    rare = labels == 1
    late = rare | (np.arange(n) % 10 == 0)  # a tenth of the others, too, is never right
    datamap = make_map(
        n,
        labels=labels,
        aum=np.where(rare, -3.0, np.where(late, -1.0, 1.0)),
        correctness=np.where(late, 0, 5),
        slope=np.where(late, 0.0, 0.05),
    )
    size = round(budget * n)
    fair = size * rare.sum() // n if noise != 0 or balance else 1  # nothing is cut then: it is random
    selection = tm.select_by(datamap, "auto", size, seed=1, balance=balance, noise=noise)
    assert len(selection.ids) == size
    assert rare[selection.ids].sum() >= max(1, fair)
    schedule = RepeatedAuto(datamap, size, seed=1, balance=balance, noise=noise)
    seen = [rare[schedule.plan(epoch).ids].sum() for epoch in range(3)]
    assert min(seen) >= max(1, fair) if noise != 0 or balance else True


def test_every_class_keeps_an_example_where_the_budget_has_room(make_map: Any) -> None:
    labels = np.concatenate([np.zeros(900, int), np.arange(1, 101)])  # a hundred classes of one example
    datamap = make_map(1000, labels=labels, slope=np.full(1000, 0.03))
    assert len(np.unique(labels[tm.select_by(datamap, "auto", 150).ids])) == 101
    few = tm.select_by(datamap, "auto", 50).ids
    assert len(few) == 50
    assert set(labels[few]) != {0}


@pytest.mark.parametrize("size", [200, 400])
def test_where_it_knows_nothing_it_takes_what_random_of_the_same_seed_takes(a_map: tm.DataMap, size: int) -> None:
    advice = tm.advise(a_map, size)
    assert (advice.tilt, advice.cut) == (0, 0)
    for seed in range(3):
        np.testing.assert_array_equal(
            tm.select_by(a_map, "auto", size, seed=seed).ids, tm.select(a_map, "random", size, seed).ids
        )


def test_where_a_class_would_have_few_the_classes_are_in_proportion(a_map: tm.DataMap) -> None:
    sizes = np.bincount(a_map.labels)
    assert np.bincount(a_map.labels[tm.select_by(a_map, "auto", 40).ids]).tolist() == proportional(sizes, 40).tolist()


def test_too_few_examples_are_refused() -> None:
    for n in (0, 399):
        with pytest.raises(tm.TrainmapError, match=f"auto needs 400 examples with a label .*; {n} have them"):
            advise(pool_of(1000, 0.4).rows(np.arange(n)), 400)


def test_no_more_is_cut_than_the_budget_can_spare() -> None:
    pool = pool_of(1000, 0.95, **contradicted(1000, 200, rise=0.0))
    assert advise(pool, 950).cut == 50
    assert len(auto(pool, 950, np.random.default_rng(0))) == 950


def test_a_known_share_of_wrong_labels_is_cut_in_place_of_what_the_map_says() -> None:
    pool = pool_of(1000, 0.4, **contradicted(1000, 200, rise=0.0))
    assert advise(pool, 400, noise=0.1).cut == 100
    assert advise(pool, 400, noise=0.0).cut == 0
    rows = auto(pool, 400, np.random.default_rng(0), noise=0.2)
    assert rows.min() >= 200


def test_ambiguous_examples_are_drawn_more_often_in_the_measure_of_the_weights() -> None:
    pool = understood(10_000, 0.1)  # few of them at a time, so that taking some leaves the odds of the others
    rows = np.concatenate([auto(pool, 100, np.random.default_rng(seed), held_out=0.9) for seed in range(60)])
    first, last = (rows < 1000).sum(), (rows >= 9000).sum()
    assert 0.6 * np.exp(TILT * 0.9) < first / last < 1.6 * np.exp(TILT * 0.9)


def test_below_the_fewest_examples_none_is_preferred() -> None:
    assert advise(understood(1000, (FEWEST - 1) / 1000), FEWEST - 1, held_out=0.9).tilt == 0
    assert advise(understood(1000, 0.3), FEWEST, held_out=0.9).tilt > 0


@pytest.mark.parametrize("size", [1, 7, 400, 1000])
def test_classes_keep_their_shares_and_the_size_is_exact(size: int) -> None:
    pool = pool_of(1000, size / 1000)
    rows = auto(pool, size, np.random.default_rng(3), balance="proportional")
    assert len(np.unique(rows)) == size
    assert abs(int(pool.labels[rows].sum()) - size / 2) <= 0.5


def test_a_map_and_its_name_give_the_same_selection_and_another_seed_another(a_map: tm.DataMap) -> None:
    size = round(0.4 * len(a_map))
    first, again = tm.select(a_map, "40% auto", seed=1), tm.select_by(a_map, "auto", size, seed=1)
    np.testing.assert_array_equal(first.ids, again.ids)
    assert not np.array_equal(first.ids, tm.select(a_map, "40% auto", seed=2).ids)


def test_the_advice_on_a_map_says_why(a_map: tm.DataMap) -> None:
    advice = tm.advise(a_map, round(0.4 * len(a_map)))
    for told in (f"{advice.size:,} of {advice.examples:,}", f"{advice.contradicted:.1%}", f"{a_map.epochs} epochs"):
        assert told in advice.reason
    assert "learns from a teacher" in tm.advise(a_map, 40, distilled=True).reason
    unknown = advise(understood(1000, 0.4), 400).reason
    assert unknown.startswith("Keep 400 of 1,000 examples (40.0%). For 10.0% of them")
    assert unknown.endswith(
        "(pass held_out=, the accuracy of the network on other data): it is random of the same seed."
    )
    assert "it learned the rest by heart" in advise(understood(1000, 0.4), 400, held_out=0.6).reason
    assert "(weights exp(8.0 rank), the rank by variability)" in advise(understood(1000, 0.4), 400, held_out=0.9).reason
    assert "the classes in proportion" in advise(understood(1000, 0.4), 400, balance="proportional").reason
    assert "10.0% of the labels are wrong" in tm.advise(a_map, 40, noise=0.1).reason


def test_the_reason_says_when_the_classes_are_in_proportion_though_nothing_is_preferred() -> None:
    pool, said = understood(1000, 0.05), "but for the classes, which are in proportion"
    rare = replace(pool, labels=np.where(np.arange(1000) % 10, 0, 1))
    for one, size, few in ((pool, 400, False), (rare, 400, False), (rare, 200, True), (rare, 50, True)):
        rows = auto(one, size, np.random.default_rng(5))
        same = np.array_equal(np.sort(rows), np.sort(np.random.default_rng(5).permutation(1000)[:size]))
        assert (said in advise(one, size).reason) == few
        assert few or same


@pytest.mark.parametrize(
    ("size", "options", "message"),
    [
        (40, {"noise": 1.0}, "noise must be a share of wrong labels, 0 to below 1, got 1.0"),
        (40, {"noise": -0.1}, "got -0.1"),
        (40, {"noise": "0.1"}, "noise must be a share of wrong labels, 0 to below 1, got '0.1'"),
        (40, {"held_out": "0.9"}, "held_out must be an accuracy, 0 to 1, got '0.9'"),
        (40, {"held_out": 95.0}, "held_out must be an accuracy, 0 to 1, got 95.0"),
        (900, {"noise": 0.2}, "noise=0.2 cuts 200 of 1000 examples, which leaves fewer than the 900 asked for"),
    ],
)
def test_what_cannot_be_is_refused(size: int, options: dict[str, Any], message: str) -> None:
    with pytest.raises(tm.TrainmapError, match=message):
        advise(pool_of(1000, size / 1000), size, **options)


def test_a_map_of_one_epoch_is_refused() -> None:
    pool = pool_of(1000, 0.4, slope=np.full(1000, np.nan))
    with pytest.raises(tm.TrainmapError, match="auto needs a map of at least 2 epochs, got 1; record more of them"):
        choose(STRATEGIES["auto"], replace(pool, epochs=1), 400)


def test_classes_have_equal_numbers_where_that_is_asked_for_and_the_rule_still_reads_the_whole_map() -> None:
    labels = (np.arange(2000) >= 1500).astype(np.int64)
    pool = replace(understood(2000, 0.4), labels=labels)
    cases: list[tuple[Balance | None, list[int]]] = [
        (None, [600, 200]),
        ("proportional", [600, 200]),
        ("equal", [400, 400]),
    ]
    for balance, wanted in cases:
        rows = choose(STRATEGIES["auto"], pool, 800, 3, balance, {"held_out": 0.9})
        assert np.bincount(labels[rows]).tolist() == wanted
    assert "as many of every class" in advise(pool, 800, balance="equal").reason
    few = replace(pool, labels=(np.arange(2000) >= 1900).astype(np.int64))  # fewer than FEWEST in a class
    first = choose(STRATEGIES["auto"], few, 800, 3, "equal", {"held_out": 0.9})
    assert pool.scores["variability"][first[first < 1900]].mean() > 0.25  # tilted, not drawn evenly (0.21)


def test_keeping_everything_leaves_nothing_to_explain() -> None:
    assert (
        advise(pool_of(1000, 1.0), 1000, held_out=0.9).reason == "Keep all 1,000 examples: there is nothing to choose."
    )


def test_a_cut_is_told_as_it_is_made_and_only_what_it_leaves_limits_the_size() -> None:
    labels = (np.arange(1000) >= 300).astype(np.int64)  # the 300 of lowest AUM are a class of their own
    pool = replace(pool_of(1000, 0.5, aum=np.arange(1000) - 300.0), labels=labels)
    advice = advise(pool, 500, noise=0.3)
    assert (advice.cut, advice.lowest) == (150, 300)
    spared = "because no class loses more than half, nor a rare one more than its share"
    assert f"the 300 of lowest AUM are cut (all but 150, {spared})" in advice.reason
    assert advise(pool, 850, noise=0.3).cut == 150
    with pytest.raises(tm.TrainmapError, match="cuts 150 of 1000 examples"):
        advise(pool, 851, noise=0.3)


def test_a_network_that_learns_everything_slowly_tells_nothing_of_what_cannot_be_learned() -> None:
    slow = contradicted(1000, 200, rise=0.04)
    slow["slope"] = np.where(np.arange(1000) < 200, 0.04, 0.06) / (EPOCHS - 1)
    advice = advise(pool_of(1000, 0.4, **slow), 400)
    assert advice.cut == 0
    assert "They are being learned" in advice.reason
    assert advise(pool_of(1000, 0.4, **contradicted(1000, 200, rise=0.04)), 400).cut == 200  # the others gain 0.2
