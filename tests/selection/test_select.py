"""Selections from a map: exact, disjoint, deterministic, balanced, whatever the order of the rows."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import chain
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import trainmap as tm
from trainmap.dynamics.index import id_hash
from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.selection.select import select, select_by
from trainmap.selection.words import Part, parse

MakeMap = Callable[..., DataMap]
NAN, INF = np.nan, np.inf

BETTER: dict[str, Callable[[dict[str, Any]], float]] = {
    "ambiguous": lambda row: row["variability"],
    "hard-to-learn": lambda row: -row["confidence"],
    "easy-to-learn": lambda row: row["confidence"],
    "top correctness": lambda row: row["correctness"],
    "bottom correctness": lambda row: -row["correctness"],
    "hardest aum": lambda row: -row["aum"],
    "easiest aum": lambda row: row["aum"],
    "hardest variability": lambda row: row["variability"],
}

words = st.sampled_from(sorted(BETTER))
a_plan = st.lists(st.tuples(words, st.integers(1, 12)), min_size=1, max_size=4)


def write(chosen: list[tuple[str, int]]) -> str:
    """[("top correctness", 5)] -> "top 5 correctness"."""
    return " + ".join(f"{count} {word}" for word, count in chosen)


def brute(datamap: DataMap, chosen: list[tuple[str, int]]) -> list[list[Any]]:
    """What each part takes: go down the list from the best, ties by hash, and take who is still there."""
    taken: list[list[Any]] = []
    hashes = dict(zip(datamap.ids.tolist(), id_hash(datamap.ids).tolist(), strict=True))
    gone: set[Any] = set()
    for word, count in chosen:
        ranked = sorted(datamap.table.to_dicts(), key=lambda row: (-BETTER[word](row), hashes[row["id"]]))
        part = [row["id"] for row in ranked if row["id"] not in gone and not np.isnan(BETTER[word](row))][:count]
        gone |= set(part)
        taken.append(part)
    return taken


@settings(max_examples=150, deadline=None)
@given(chosen=a_plan, seed=st.integers(0, 10_000))
def test_each_part_takes_its_best_that_no_earlier_part_has(
    make_map: MakeMap, chosen: list[tuple[str, int]], seed: int
) -> None:
    datamap = make_map(50, seed)
    expected = brute(datamap, chosen)
    selection = select(datamap, write(chosen))
    assert selection.ids.tolist() == sorted(chain.from_iterable(expected))
    assert len(selection) == sum(count for _, count in chosen)
    assert [part.size for part in selection.parts] == [count for _, count in chosen]
    hashes = dict(zip(datamap.ids.tolist(), id_hash(datamap.ids).tolist(), strict=True))
    ranks = [
        sorted(datamap.table.to_dicts(), key=lambda r, w=word: (-BETTER[w](r), hashes[r["id"]])) for word, _ in chosen
    ]
    for position, (part, ranked) in enumerate(zip(expected, ranks, strict=True)):
        before = {row["id"] for row in ranked[: [row["id"] for row in ranked].index(part[-1])]}
        assert selection.parts[position].passed_over == len(before & set(chain.from_iterable(expected[:position])))


@settings(max_examples=60, deadline=None)
@given(
    chosen=a_plan,
    seed=st.integers(0, 10_000),
    kind=st.sampled_from(["int", "str"]),
    balance=st.sampled_from([None, "equal", "proportional"]),
)
def test_the_order_of_the_rows_never_changes_the_answer(
    make_map: MakeMap, tmp_path_factory: pytest.TempPathFactory, chosen: Any, seed: int, kind: str, balance: Any
) -> None:
    generator = np.random.default_rng(seed)
    ids: Any = generator.permutation(500)[:50]
    if kind == "str":
        ids = np.array([f"e{i}" for i in ids])
    columns = {"confidence": generator.integers(0, 3, 50) / 2, "variability": generator.integers(0, 3, 50) / 4}
    labels = generator.integers(0, 3, 50)
    order = generator.permutation(50)
    spec = f"{write(chosen)} + 2 random"
    one = select(
        make_map(50, ids=ids, labels=labels, correctness=ids_of(ids), aum=ids_of(ids), **columns), spec, balance=balance
    )
    moved = {name: column[order] for name, column in columns.items()}
    other = select(
        make_map(
            50, ids=ids[order], labels=labels[order], correctness=ids_of(ids)[order], aum=ids_of(ids)[order], **moved
        ),
        spec,
        balance=balance,
    )
    assert one.ids.tolist() == other.ids.tolist() == sorted(one.ids.tolist())
    assert one.ids.dtype.kind == ("i" if kind == "int" else "U")


def ids_of(ids: Any) -> np.ndarray[Any, Any]:
    """A number for each id, with ties."""
    return np.array([int(str(i).removeprefix("e")) % 5 for i in ids.tolist()], dtype=np.float64)


# --- regions and ends -----------------------------------------------------------------------------------------------


def test_the_specs_of_the_study_on_a_map_of_ten(make_map: MakeMap) -> None:
    datamap = make_map(
        10,
        variability=[0.1, 0.2, 0.3, 0.4, 0.5, 0.01, 0.02, 0.03, 0.04, 0.05],
        confidence=[0.5, 0.4, 0.3, 0.2, 0.1, 0.9, 0.8, 0.7, 0.65, 0.6],
    )
    assert select(datamap, "30% ambiguous").ids.tolist() == [2, 3, 4]
    assert select(datamap, "30% hard-to-learn").ids.tolist() == [2, 3, 4]
    assert select(datamap, "30% easy-to-learn").ids.tolist() == [5, 6, 7]
    assert select(datamap, "20% ambiguous + 20% hard").ids.tolist() == [1, 2, 3, 4]
    assert select(datamap, "bottom 30% confidence").ids.tolist() == [2, 3, 4]
    assert select(datamap, "top 2 variability").ids.tolist() == [3, 4]
    assert select(datamap, "hardest 2 confidence").ids.tolist() == [3, 4]
    assert select(datamap, "easiest 2 confidence").ids.tolist() == [5, 6]
    assert select(datamap, "100%").ids.tolist() == list(range(10))


def test_regions_follow_the_rule_of_the_map(make_map: MakeMap) -> None:
    columns = {"variability": [0.45, 0.5, 0.1], "confidence": [0.5, 0.95, 0.2]}
    assert select(make_map(3, **columns), "1 ambiguous").ids.tolist() == [1]
    corner = make_map(3, rule="corner", **columns)
    assert select(corner, "1 ambiguous").ids.tolist() == [0]
    assert select(corner, "1 ambiguous").rule == "corner"


@pytest.mark.parametrize(("count", "ids"), [(1, [2]), (2, [2, 3]), (3, [1, 2, 3]), (6, [0, 1, 2, 3, 4, 5])])
def test_the_middle_grows_from_the_median_out(make_map: MakeMap, count: int, ids: list[int]) -> None:
    datamap = make_map(7, aum=[5, 6, 7, 8, 9, 10, NAN])  # the median lies between ids 2 and 3
    assert select(datamap, f"middle {count} aum").ids.tolist() == ids


def test_what_has_no_value_is_never_taken_by_its_score(make_map: MakeMap) -> None:
    datamap = make_map(6, aum=[NAN, 3, 1, NAN, 2, 0])
    assert select(datamap, "top 2 aum").ids.tolist() == [1, 4]
    assert select(datamap, "bottom 4 aum").ids.tolist() == [1, 2, 4, 5]
    with pytest.raises(TrainmapError, match="'top 5 aum' needs 5 examples and 4 are left that have a value"):
        select(datamap, "top 5 aum")
    with pytest.raises(TrainmapError, match="'bottom 2 aum' needs 2 examples and 1 are left"):
        select(datamap, "top 3 aum + bottom 2 aum")
    assert select(datamap, "100%").ids.tolist() == list(range(6))
    assert len(select(datamap, "6 random")) == 6


def test_infinity_is_the_end_of_a_score(make_map: MakeMap) -> None:
    datamap = make_map(5, forgetting=[0, INF, 3, INF, NAN], aum=[0, -INF, 1, 2, NAN])
    assert select(datamap, "hardest 2 forgetting").ids.tolist() == [1, 3]
    assert select(datamap, "hardest 3 forgetting").ids.tolist() == [1, 2, 3]
    assert select(datamap, "bottom 1 aum").ids.tolist() == [1]
    assert select(datamap, "top 1 aum").ids.tolist() == [3]


def test_ties_go_by_the_hash_of_the_id_at_either_end(make_map: MakeMap) -> None:
    ids, flat = [30, 4, 11, 7, 100, 1], [0.2, 0.2, 0.2, 0.2, 0.2, NAN]
    datamap = make_map(6, ids=ids, aum=np.zeros(6), loss=flat)
    for spec in ("top 3 aum", "bottom 3 aum", "hardest 3 aum", "top 3 loss"):
        assert select(datamap, spec).ids.tolist() == [7, 11, 100]
    hard = make_map(7, ids=[*ids, 2], confidence=[0.1] * 6 + [0.9], variability=[0.1, 0.2] + [0.3] * 5)
    assert select(hard, "3 hard").ids.tolist() == [7, 11, 100]
    assert select(hard, "2 ambiguous").ids.tolist() == [11, 100]
    strings = make_map(3, ids=["b", "a10", "a9"], aum=np.zeros(3))
    assert select(strings, "top 1 aum").ids.tolist() == ["a9"]


def test_a_convention_has_the_hard_end_of_its_score_and_an_own_score_has_none(make_map: MakeMap) -> None:
    datamap = make_map(3, forgetting_allenai=[0, 1000, 2], own=[1, 2, 3])
    assert select(datamap, "hardest 1 forgetting_allenai").ids.tolist() == [1]
    assert select(datamap, "top 1 own").ids.tolist() == [2]
    with pytest.raises(TrainmapError, match="trainmap does not know which end of own is hard; write top or bottom"):
        select(datamap, "hardest 1 own")


# --- random ---------------------------------------------------------------------------------------------------------


@settings(max_examples=60, deadline=None)
@given(n=st.integers(1, 200), seed=st.integers(0, 2**63), data=st.data())
def test_a_smaller_random_sample_is_a_part_of_a_larger_one(
    make_map: MakeMap, n: int, seed: int, data: st.DataObject
) -> None:
    datamap = make_map(n)
    small, large = sorted(data.draw(st.tuples(st.integers(1, n), st.integers(1, n))))
    one, other = (set(select(datamap, f"{k} random", seed=seed).ids.tolist()) for k in (small, large))
    assert one <= other
    assert (len(one), len(other)) == (small, large)


def test_another_seed_draws_another_sample_and_the_same_seed_the_same(make_map: MakeMap) -> None:
    datamap = make_map(300)
    draws = [tuple(select(datamap, "20% random", seed=seed).ids.tolist()) for seed in range(20)]
    assert len(set(draws)) == 20
    assert tuple(select(datamap, "20% random", seed=7).ids.tolist()) == draws[7]
    counts = np.bincount(np.concatenate(draws), minlength=300)
    assert counts.mean() == 4
    assert counts.max() <= 12  # of 20 draws at one fifth: more would be one in thousands of seeds


def test_random_does_not_depend_on_the_scores_and_its_second_part_goes_on_with_it(make_map: MakeMap) -> None:
    one, other = make_map(100, seed=1), make_map(100, seed=2)
    assert select(one, "30 random", seed=3).ids.tolist() == select(other, "30 random", seed=3).ids.tolist()
    assert select(one, "10 random + 20 random", seed=3).ids.tolist() == select(one, "30 random", seed=3).ids.tolist()


def test_random_beside_a_region_is_drawn_from_the_others(make_map: MakeMap) -> None:
    datamap = make_map(20)
    ambiguous = select(datamap, "12 ambiguous").ids
    mixed = select(datamap, "12 ambiguous + 8 random")
    assert mixed.ids.tolist() == list(range(20))
    assert set(ambiguous.tolist()) <= set(select(datamap, "12 ambiguous + 3 random").ids.tolist())


@pytest.mark.parametrize("seed", [-1, 1.0, True, None, "0"])
def test_a_seed_is_a_whole_number(make_map: MakeMap, seed: Any) -> None:
    with pytest.raises(TrainmapError, match="seed must be a whole number of at least 0"):
        select(make_map(5), "2 random", seed=seed)


# --- balance --------------------------------------------------------------------------------------------------------


def test_equal_balance_takes_as_many_of_every_class_as_there_are(make_map: MakeMap) -> None:
    labels = [0] * 10 + [1] * 10 + [2] * 2
    datamap = make_map(22, labels=labels, variability=np.linspace(0.5, 0, 22))
    chosen = select(datamap, "9 ambiguous", balance="equal")
    assert np.bincount(np.array(labels)[chosen.ids]).tolist() == [3, 4, 2]  # the odd place by hash
    assert chosen.ids.tolist() == [0, 1, 2, 10, 11, 12, 13, 20, 21]  # the deepest of each
    assert np.bincount(np.array(labels)[select(datamap, "20 random", balance="equal").ids]).tolist() == [9, 9, 2]


def test_proportional_balance_keeps_the_shares_of_the_classes(make_map: MakeMap) -> None:
    labels = [0] * 50 + [1] * 30 + [2] * 20
    datamap = make_map(100, labels=labels)
    chosen = select(datamap, "10% ambiguous + 20% easy", balance="proportional")
    assert np.bincount(np.array(labels)[chosen.ids]).tolist() == [15, 9, 6]
    odd = select(datamap, "7 hard", balance="proportional")  # 3.5, 2.1, 1.4: the largest remainder gets the last place
    assert np.bincount(np.array(labels)[odd.ids]).tolist() == [4, 2, 1]


@settings(max_examples=150, deadline=None)
@given(
    n=st.integers(1, 60),
    classes=st.integers(1, 7),
    seed=st.integers(0, 10_000),
    balance=st.sampled_from(["equal", "proportional"]),
    data=st.data(),
)
def test_balance_keeps_the_size_and_gives_each_class_its_quota_of_its_best(
    make_map: MakeMap, n: int, classes: int, seed: int, balance: Any, data: st.DataObject
) -> None:
    labels = np.random.default_rng(seed).integers(0, classes, n)
    size = data.draw(st.integers(1, n))
    datamap = make_map(n, seed, labels=labels)
    chosen = select(datamap, "ambiguous", size=size, balance=balance)
    assert len(chosen) == size
    have, got = np.bincount(labels, minlength=classes), np.bincount(labels[chosen.ids], minlength=classes)
    if balance == "equal":
        open_ = got[got < have]  # classes that did not run out differ by one at most, and have no fewer than the others
        assert open_.size == 0 or (got.max() - open_.min() <= 1 and open_.max() - open_.min() <= 1)
    else:
        assert (np.abs(got - have * size / n) < 1).all()
    for label in range(classes):
        here = np.flatnonzero(labels == label)
        best = here[np.lexsort((here, -datamap.values("variability")[here]))][: got[label]]
        assert sorted(best.tolist()) == [i for i in chosen.ids.tolist() if labels[i] == label]


def test_balance_needs_every_label(make_map: MakeMap) -> None:
    with pytest.raises(TrainmapError, match="balance needs every label; 2 examples of this map have none"):
        select(make_map(4, labels=[0, -1, 1, -1]), "2 random", balance="equal")
    with pytest.raises(TrainmapError, match="unknown balance 'equl'; did you mean 'equal'"):
        select(make_map(4), "2 random", balance="equl")  # type: ignore[arg-type]
    assert len(select(make_map(4, labels=[0, -1, 1, -1]), "2 random")) == 2


# --- whole ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("n", [1, 2, 3, 7, 50, 101])
def test_parts_that_make_100_percent_take_every_example_once(make_map: MakeMap, n: int) -> None:
    spec = "33% ambiguous + 33% easy-to-learn + 17% random + 17% hard-to-learn"
    assert select(make_map(n), spec).ids.tolist() == list(range(n))
    assert select(make_map(n), spec, size=n).ids.tolist() == list(range(n))


def test_a_size_scales_the_parts(make_map: MakeMap) -> None:
    datamap = make_map(100)
    chosen = select(datamap, "30% ambiguous + 10% easy", size=8)
    assert [part.size for part in chosen.parts] == [6, 2]
    assert chosen.ids.tolist() == select(datamap, "6 ambiguous + 2 easy").ids.tolist()


def test_a_plan_stands_where_a_spec_can(make_map: MakeMap) -> None:
    datamap = make_map(30)
    assert select(datamap, parse("5 ambiguous")).ids.tolist() == tm.select(datamap, "5 ambiguous").ids.tolist()
    with pytest.raises(TrainmapError, match="a spec must be text such as '33% ambiguous', or a plan, got Part"):
        select(datamap, Part("ambiguous", None, None, 5))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("top 3 entropy", "score 'entropy' is not in this map; it has aum, confidence"),
        ("top 3 entrpy", "score 'entrpy' is not in this map"),
        ("top 3 label", "score 'label' is not in this map"),
        ("31 ambiguous", r"budget must be 1 to 30 \(the examples in this map\), got 31"),
    ],
)
def test_what_the_map_cannot_give_is_said(make_map: MakeMap, spec: str, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        select(make_map(30), spec)


def test_a_selection_says_what_it_came_from(make_map: MakeMap) -> None:
    datamap = make_map(30)
    chosen = select(datamap, " 10%  ambiguous+ 3 Random", seed=np.int64(4), balance="equal")  # type: ignore[arg-type]
    assert (chosen.spec, chosen.seed, chosen.balance) == ("10% ambiguous + 3 random", 4, "equal")
    assert (chosen.rule, chosen.examples, len(chosen), chosen.fraction) == ("quantile", 30, 6, 0.2)
    assert (chosen.dataset, chosen.map) == (datamap.dataset, datamap.fingerprint)
    assert [(part.part, part.size) for part in chosen.parts] == [("10% ambiguous", 3), ("3 random", 3)]
    assert select(datamap, chosen.spec, seed=4, balance="equal").ids.tolist() == chosen.ids.tolist()
    changed = replace(datamap, table=datamap.table.with_columns(aum=pl.col("aum") + 1))
    assert select(changed, "3 random").map != chosen.map


@pytest.mark.parametrize("region", ["ambiguous", "hard-to-learn", "easy"])
@pytest.mark.parametrize("rule", ["quantile", "corner"])
def test_a_map_of_one_epoch_has_no_regions_to_choose_from(make_map: MakeMap, rule: Any, region: str) -> None:
    one = replace(make_map(50, variability=np.zeros(50)), epochs=1).with_rule(rule)
    assert one.table["region"].null_count() == 50
    with pytest.raises(
        TrainmapError, match=r"cannot tell regions \(over one epoch nothing varies\); record more epochs"
    ):
        select(one, f"20% random + 10% {region}")
    with pytest.raises(TrainmapError, match="needs a map of at least 2 epochs"):
        select(one, "top 5 variability")
    assert len(select(one, "bottom 5 confidence")) == 5
    with pytest.raises(TrainmapError, match="auto needs a map of at least 2 epochs, got 1"):
        select(one, "33% auto")


@pytest.mark.parametrize("axis", ["variability", "confidence"])
def test_a_region_is_not_chosen_by_ties_alone(make_map: MakeMap, axis: str) -> None:
    datamap = make_map(50, **{axis: np.full(50, 0.25)})
    for region in ("ambiguous", "hard-to-learn", "easy-to-learn"):
        with pytest.raises(TrainmapError, match=f"all examples have the same {axis}, 0.25"):
            select(datamap, f"33% {region}")
    assert len(select(datamap, f"top 5 {axis}")) == 5
    assert select(make_map(1), "1 ambiguous").ids.tolist() == [0]


def test_what_is_no_map_is_told_what_it_should_be(make_map: MakeMap) -> None:
    datamap: Any = make_map(50)
    with pytest.raises(TrainmapError, match=r"a map is needed, got 'map\.parquet'; make one, DataMap\.from_dynamics"):
        select("map.parquet", "33% ambiguous")  # type: ignore[arg-type]
    with pytest.raises(TrainmapError, match=r"features must be Features\(ids, \.\.\.\), got ndarray"):
        select_by(datamap, "moderate", 5, features=np.ones((50, 2)))  # type: ignore[arg-type]
    with pytest.raises(TrainmapError, match="Did you mean 'variability'"):
        select(datamap, "top 5% variabilty")
    with pytest.raises(TrainmapError, match="held_out goes with 'auto' alone, got '33% ambiguous'"):
        select(datamap, "33% ambiguous", held_out=0.9)


def test_another_selection_or_a_set_is_left_out(make_map: MakeMap) -> None:
    datamap = make_map(50)
    first = select(datamap, "10 ambiguous")
    for without in (first, set(first.ids.tolist())):
        assert not np.isin(select(datamap, "20 ambiguous", without=without).ids, first.ids).any()
