"""Rules that every strategy keeps, alone, balanced, after a cut of wrong labels, and through the mini-language."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import trainmap as tm
from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.scores.trajectories import Clusters
from trainmap.selection.pool import Features, Pool
from trainmap.selection.select import select, select_by
from trainmap.selection.strategies import STRATEGIES

MakeMap = Callable[..., DataMap]
N = 60
FAMILY = sorted(STRATEGIES)
DRAWN = sorted(name for name, strategy in STRATEGIES.items() if strategy.random)
PLAIN = sorted(name for name, strategy in STRATEGIES.items() if not strategy.needs)


def world(make_map: MakeMap, order: Any = None, names: str = "int", ties: bool = False) -> tuple[DataMap, dict]:
    """A map of N examples with all that a strategy may read, its rows handed in in some order."""
    draws = np.random.default_rng(11)
    columns = {
        "confidence": draws.random(N),
        "variability": draws.random(N) / 2,
        "correctness": draws.integers(0, 6, N).astype(float),
        "dual": draws.random(N) / 4,
        "aum": draws.normal(0, 2, N),
        "el2n": draws.random(N),
        "loss": draws.exponential(1, N),
        "teacher_loss": draws.exponential(1, N),
        "entropy": draws.exponential(1, N),
        "slope": draws.random(N) / 10,
    }
    if ties:
        columns = {name: np.round(values, 0) + (name == "dual") for name, values in columns.items()}
    labels, clusters = draws.integers(0, 3, N), draws.integers(0, 7, N)
    vectors = np.repeat(draws.normal(0, 1, (N // 2, 4)), 2, axis=0) if ties else draws.normal(0, 1, (N, 4))
    ids: Any = draws.permutation(1000)[:N]
    if names == "str":
        ids = np.array([f"e{i:04d}" for i in ids])
    order = np.arange(N) if order is None else order
    datamap = make_map(N, ids=ids[order], labels=labels[order], **{k: v[order] for k, v in columns.items()})
    more = {
        "features": Features(ids[order], vectors[order]),
        "clusters": Clusters(ids[order], clusters[order], np.zeros((7, 1))),
    }
    return datamap, more


@pytest.mark.parametrize("balance", [None, "equal", "proportional"])
@pytest.mark.parametrize("name", FAMILY)
def test_the_size_is_exact_from_one_example_to_all(make_map: MakeMap, name: str, balance: Any) -> None:
    datamap, more = world(make_map)
    for size in (1, 2, N // 2, N - 1, N):
        selection = select_by(datamap, name, size, balance=balance, **more)
        assert len(selection) == size
        assert len(np.unique(selection.ids)) == size
        assert np.isin(selection.ids, datamap.ids).all()
        assert (np.diff(selection.ids) > 0).all()
        selection.verify(datamap.ids, datamap.labels)


@pytest.mark.parametrize("ties", [False, True])
@pytest.mark.parametrize("names", ["int", "str"])
@pytest.mark.parametrize("balance", [None, "equal"])
@pytest.mark.parametrize("name", FAMILY)
def test_the_order_of_the_rows_never_changes_the_answer(
    make_map: MakeMap, name: str, names: str, ties: bool, balance: Any
) -> None:
    expected = None
    for seed in range(4):
        order = np.random.default_rng(seed).permutation(N) if seed else None
        datamap, more = world(make_map, order, names, ties)
        found = select_by(datamap, name, 17, seed=3, balance=balance, **more)
        expected = expected or found
        assert found.ids.tolist() == expected.ids.tolist()
        assert found.spec == expected.spec
        assert found.map == expected.map


@pytest.mark.parametrize("name", FAMILY)
def test_the_seed_matters_where_examples_are_drawn_and_only_there(make_map: MakeMap, name: str) -> None:
    datamap, more = world(make_map)
    answers = {tuple(select_by(datamap, name, 20, seed=seed, **more).ids.tolist()) for seed in range(5)}
    assert (len(answers) > 1) == (name in DRAWN)
    assert tuple(select_by(datamap, name, 20, seed=2, **more).ids.tolist()) in answers


@pytest.mark.parametrize("name", FAMILY)
def test_equal_balance_takes_as_many_of_every_class(make_map: MakeMap, name: str) -> None:
    datamap, more = world(make_map)
    found = select_by(datamap, name, 31, balance="equal", **more)
    counts = np.bincount(datamap.labels[np.isin(datamap.ids, found.ids)])
    assert sorted(counts) == [10, 10, 11]


@pytest.mark.parametrize("name", FAMILY)
def test_proportional_balance_keeps_the_shares_of_the_classes(make_map: MakeMap, name: str) -> None:
    datamap, more = world(make_map)
    found = select_by(datamap, name, 30, balance="proportional", **more)
    counts = np.bincount(datamap.labels[np.isin(datamap.ids, found.ids)])
    np.testing.assert_allclose(counts, np.bincount(datamap.labels) / 2, atol=1)


@pytest.mark.parametrize("name", FAMILY)
def test_ids_left_out_are_never_taken_and_the_card_says_so(make_map: MakeMap, name: str) -> None:
    datamap, more = world(make_map)
    suspected = datamap.ids[::3][::-1]
    found = select_by(datamap, name, 40, without=suspected, **more)
    assert not np.isin(found.ids, suspected).any()
    assert len(found) == 40
    assert "without 20 ids" in found.spec
    again = select_by(datamap, name, 40, without=suspected[::-1], **more)
    assert found.ids.tolist() == again.ids.tolist()
    assert found.spec == again.spec
    with pytest.raises(TrainmapError, match="needs 41 examples and 40 are left"):
        select_by(datamap, name, 41, without=suspected, **more)


@pytest.mark.parametrize("name", FAMILY)
def test_an_example_that_lacks_what_is_read_is_never_taken(make_map: MakeMap, name: str) -> None:
    datamap, more = world(make_map)
    table = {score: datamap.values(score).copy() for score in datamap.scores}
    for values in table.values():
        values[5] = np.nan
    labels = datamap.labels.copy()
    labels[6] = -1
    holed = make_map(N, ids=datamap.ids, labels=labels, **table)
    clusters = more["clusters"].labels.copy()
    clusters[np.flatnonzero(more["clusters"].ids == datamap.ids[7])] = -1
    more["clusters"] = Clusters(more["clusters"].ids, clusters, more["clusters"].centres)
    strategy = STRATEGIES[name]
    lost = {5} if strategy.columns(strategy.defaults) else set()
    lost |= ({6} if "labels" in strategy.needs else set()) | ({7} if "clusters" in strategy.needs else set())
    found = select_by(holed, name, N - len(lost), **more)
    assert found.ids.tolist() == np.delete(datamap.ids, sorted(lost)).tolist()
    with pytest.raises(TrainmapError, match=f"needs {N} examples"):
        select_by(holed, name, N, **more)


@pytest.mark.parametrize("name", FAMILY)
def test_one_example_is_a_dataset(make_map: MakeMap, name: str) -> None:
    one = {column: [0.5] for column in ("dual", "el2n", "loss", "teacher_loss", "slope", "entropy")}
    datamap = make_map(1, ids=[7], labels=[0], **one)
    more: Any = {
        "features": Features(np.array([7]), np.ones((1, 2))),
        "clusters": Clusters(np.array([7]), np.array([0]), np.zeros((1, 1))),
    }
    assert select_by(datamap, name, 1, **more).ids.tolist() == [7]


@pytest.mark.parametrize("name", FAMILY)
def test_every_strategy_says_what_it_is(name: str) -> None:
    strategy = STRATEGIES[name]
    assert strategy.name == name
    assert strategy.source
    document = strategy.function.__doc__ or ""
    assert "Source:" in document
    for option in strategy.defaults:
        assert option in document or option in ("score", "strata", "neighbours")


@pytest.mark.parametrize("name", FAMILY)
def test_the_global_random_state_stays_untouched(make_map: MakeMap, name: str) -> None:
    datamap, more = world(make_map)
    before = np.random.get_state()[1].copy()  # type: ignore[index]  # noqa: NPY002
    select_by(datamap, name, 9, **more)
    np.testing.assert_array_equal(np.random.get_state()[1], before)  # type: ignore[index]  # noqa: NPY002


# --- the card -------------------------------------------------------------------------------------------------------


def test_the_card_says_what_was_used(make_map: MakeMap, tmp_path: Any) -> None:
    datamap, more = world(make_map)
    found = select_by(datamap, "ccs", 12, seed=4, cut=0.25)
    assert found.spec == "12 ccs(score=aum, cut=0.25, strata=50, hard=None)"
    assert (found.seed, found.examples, found.map) == (4, N, datamap.fingerprint)
    features = more["features"]
    spec = select_by(datamap, "d2", 12, features=features).spec
    assert spec.endswith(f", features {features.fingerprint()[:12]}")
    other = Features(features.ids, features.values + 1)
    assert select_by(datamap, "d2", 12, features=other).spec != spec
    assert "clusters" in select_by(datamap, "s2l", 12, clusters=more["clusters"]).spec
    opened = tm.Selection.open(found.save(tmp_path / "card.json"))
    assert opened.ids.tolist() == found.ids.tolist()
    assert opened.spec == found.spec


def test_a_function_of_ones_own_is_a_strategy(make_map: MakeMap) -> None:
    def every_other(pool: Pool, size: int, generator: np.random.Generator, *, start: int = 0) -> np.ndarray:
        assert {"aum", "confidence"} <= set(pool.scores)
        return start + 2 * np.arange(size)

    datamap, _ = world(make_map)
    found = select_by(datamap, every_other, 5, start=1)
    assert found.ids.tolist() == datamap.ids[1:11:2].tolist()
    assert found.spec == "5 every_other(start=1)"
    with pytest.raises(TrainmapError, match="must return 40 different rows"):
        select_by(datamap, every_other, 40)


# --- the mini-language ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", PLAIN)
def test_a_strategy_is_a_word_of_the_mini_language(make_map: MakeMap, name: str) -> None:
    datamap, _ = world(make_map)
    found = select(datamap, f"50% {name}", seed=6, balance="equal")
    assert found.ids.tolist() == select_by(datamap, name, N // 2, seed=6, balance="equal").ids.tolist()
    assert found.spec == f"50% {name}"
    both = select(datamap, f"10 ambiguous + 20 {name}")
    assert len(both) == 30
    assert np.isin(select(datamap, "10 ambiguous").ids, both.ids).all()


def test_a_strategy_in_a_plan_takes_from_what_is_left(make_map: MakeMap) -> None:
    datamap, _ = world(make_map)
    all_of_it = select(datamap, "59 ccs + 1 random", seed=1)
    assert all_of_it.ids.tolist() == datamap.ids.tolist()


def test_the_mini_language_leaves_ids_out_as_well(make_map: MakeMap) -> None:
    datamap, _ = world(make_map)
    worst = select(datamap, "20 hard-to-learn").ids
    found = select(datamap, "10 hard-to-learn + 10 random + 20 beta", without=worst)
    assert not np.isin(found.ids, worst).any()
    assert len(found) == 40
    assert found.spec.startswith("10 hard-to-learn + 10 random + 20 beta, without 20 ids ")
    assert select(datamap, "9 ambiguous", without=[]).spec == "9 ambiguous"
    everything = select(datamap, "40 random", without=worst)
    assert everything.ids.tolist() == np.setdiff1d(datamap.ids, worst).tolist()


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_mistakes_are_told(make_map: MakeMap) -> None:
    datamap, more = world(make_map)
    for arguments, message in (
        ({"strategy": "css"}, "unknown strategy 'css'; did you mean 'ccs'"),
        ({"strategy": "random"}, r"'random' is a word and no strategy: tm.select\(datamap, 'random', size=...\)"),
        ({"strategy": "easy"}, r"tm.select\(datamap, 'easy', size=...\)"),
        ({"strategy": "top"}, r"tm.select\(datamap, 'top SCORE', size=...\)"),
        ({"strategy": "ccs", "cuts": 0.1}, "unknown option of ccs 'cuts'; did you mean 'cut'"),
        ({"strategy": "s2l", "k": 3, **more}, "s2l has no options, got 'k'"),
        ({"strategy": "d2"}, "'d2' needs features"),
        ({"strategy": "s2l"}, "'s2l' needs clusters"),
        ({"strategy": "ccs", "score": "grand"}, "score 'grand' is not in this map"),
        ({"strategy": "ccs", "size": 0}, "budget must be 1 to 60"),
        ({"strategy": "ccs", "size": 61}, "budget must be 1 to 60"),
        ({"strategy": "ccs", "size": 2.0}, "size must be a whole number"),
        ({"strategy": "ccs", "seed": -1}, "seed must be"),
        ({"strategy": "ccs", "balance": "even"}, "unknown balance 'even'"),
        ({"strategy": "ccs", "without": [10**6]}, "1 ids of without are not in this map"),
        ({"strategy": "ccs", "without": ["a"]}, "without must be ids of the map's kind"),
    ):
        with pytest.raises(TrainmapError, match=message):
            select_by(datamap, **{"size": 5, **arguments})
    with pytest.raises(TrainmapError, match="did you mean 'dual-beta'"):
        select(datamap, "10 dual-bet")
    with pytest.raises(TrainmapError, match="'top' goes with a score"):
        select(datamap, "top 10 ccs")
    with pytest.raises(TrainmapError, match="'s2l' needs clusters"):
        select(datamap, "10 s2l")


def test_features_that_do_not_fit_are_refused(make_map: MakeMap) -> None:
    datamap, more = world(make_map)
    features = more["features"]
    some = Features(features.ids[3:], features.values[3:])
    with pytest.raises(TrainmapError, match="3 examples of the map have no features"):
        select_by(datamap, "d2", 5, features=some)
    with pytest.raises(TrainmapError, match="the features have ids of type"):
        select_by(datamap, "d2", 5, features=Features(features.ids.astype(str), features.values))
    with pytest.raises(TrainmapError, match="some ids repeat"):
        Features(np.array([1, 1]), np.zeros((2, 3)))
    with pytest.raises(TrainmapError, match="features must be numbers"):
        Features(np.array([1, 2]), np.zeros(2))
    with pytest.raises(TrainmapError, match="features must be finite"):
        Features(np.array([1, 2]), np.array([[1.0], [np.inf]]))


def test_every_strategy_stands_in_the_documentation() -> None:
    page = (Path(__file__).parents[2] / "docs" / "selecting.md").read_text()
    for name in FAMILY:
        assert f"`{name}`" in page
