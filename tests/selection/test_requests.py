"""What planning refuses is what a strategy would refuse, and nothing else."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.scores.table import SCORES
from trainmap.scores.trajectories import Clusters
from trainmap.selection.pool import Features
from trainmap.selection.quotas import Balance
from trainmap.selection.requests import Request, check_choice
from trainmap.selection.select import select, select_by
from trainmap.selection.strategies import STRATEGIES, WORDS

MakeMap = Callable[..., DataMap]
FAMILY = sorted(STRATEGIES)
OPTIONS = [(name, option) for name in FAMILY for option in STRATEGIES[name].defaults]
CLASSES = (40, 31, 25, 3)
N = sum(CLASSES)
BAD: tuple[Any, ...] = ("", "x", b"x", [0.5], {}, math.nan, -1, -0.5, -math.inf, 1 + 1j, np.array([1, 2]))
"""No option takes any of them, but for the score that a text may name."""


def world(make_map: MakeMap) -> tuple[DataMap, dict[str, Any]]:
    """A map with every score and all else that a strategy may read."""
    draws = np.random.default_rng(2)
    columns = {name: draws.random(N) for name in (*SCORES, "teacher_loss")}
    columns |= {"variability": draws.random(N) / 2, "aum": draws.normal(0.5, 1, N), "slope": draws.normal(0, 0.01, N)}
    datamap = make_map(N, labels=np.repeat(np.arange(len(CLASSES)), CLASSES), **columns)
    clusters = Clusters(datamap.ids, draws.integers(0, 5, N), np.zeros((5, 1)))
    return datamap, {"features": Features(datamap.ids, draws.normal(size=(N, 3))), "clusters": clusters}


def refusal(ask: Callable[[], object]) -> str | None:
    """The message that something is refused with, in one line of ours; None where it is not."""
    try:
        ask()
    except TrainmapError as error:
        return str(error)
    return None


def planned(name: str, size: int, balance: Balance | None = None, **options: Any) -> str | None:
    return refusal(lambda: check_choice(Request.of_strategy(name, options), size, 30, CLASSES, balance))


@pytest.mark.parametrize("value", BAD, ids=lambda value: repr(value)[:12])
@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_a_value_that_cannot_be_is_refused_when_planning_as_the_strategy_refuses_it(
    make_map: MakeMap, name: str, option: str, value: Any
) -> None:
    datamap, more = world(make_map)
    told = refusal(lambda: select_by(datamap, name, 20, **more, **{option: value}))
    assert told is not None
    if option == "score" and isinstance(value, str):  # whether the map has such a column is not the strategy's to say
        told = planned(name, 20, None, **{option: value})
        assert told is None or "does not know which end of" in told
    else:
        assert planned(name, 20, None, **{option: value}) == told


def test_an_integer_beyond_every_float_is_refused_where_a_number_is_reckoned_with(make_map: MakeMap) -> None:
    for name, option in OPTIONS:
        if (name, option) not in (
            ("d2", "neighbours"),
            ("dual-beta", "anchors"),
            ("ugies", "cluster"),
        ):  # as many as there are
            assert planned(name, 20, None, **{option: 10**400}) is not None
    datamap, more = world(make_map)
    assert len(select_by(datamap, "d2", 20, neighbours=10**400, **more)) == 20


@pytest.mark.parametrize(("name", "option"), OPTIONS)
def test_true_is_no_number_and_a_number_is_no_flag(make_map: MakeMap, name: str, option: str) -> None:
    datamap, more = world(make_map)
    value: Any = 1 if isinstance(STRATEGIES[name].defaults[option], bool) else True
    told = refusal(lambda: select_by(datamap, name, 20, **more, **{option: value}))
    assert told is not None
    assert planned(name, 20, None, **{option: value}) == told


numbers = st.one_of(
    st.floats(allow_nan=True),
    st.floats(0, 1),
    st.integers(-3, 200),
    st.just(2**53),
    st.just(2**70),
    st.floats(0, 1).map(np.float32),
    st.integers(0, 60).map(np.int64),
)
values = st.one_of(
    numbers, st.booleans(), st.none(), st.sampled_from([*SCORES, "high", "low", "mean", "median", "mine"]), st.text()
)


@st.composite
def choices(draw: st.DrawFn) -> tuple[str, dict[str, Any]]:
    """A strategy with some options, of any kind."""
    name = draw(st.sampled_from(FAMILY))
    known = sorted(STRATEGIES[name].defaults)
    return name, {
        option: draw(values) for option in draw(st.lists(st.sampled_from(known), unique=True))
    } if known else {}


@settings(max_examples=400, deadline=None)
@given(choices(), st.integers(1, N), st.sampled_from([None, "equal", "proportional"]))
def test_nothing_is_refused_that_the_strategy_accepts_and_what_it_refuses_is_one_line(
    make_map: MakeMap, choice: tuple[str, dict[str, Any]], size: int, balance: Balance | None
) -> None:
    datamap, more = world(make_map)
    name, options = choice
    told = refusal(lambda: select_by(datamap, name, size, balance=balance, **more, **options))
    if told is None:
        assert planned(name, size, balance, **options) is None
    elif planned(name, size, balance, **options) is None:  # only what the map alone can tell
        assert any(said in told for said in ("is not in this map", "noise="))


@settings(max_examples=200, deadline=None)
@given(
    st.floats(0, 1, exclude_max=True),
    st.lists(st.sampled_from([1, 2, 3, 4, 7, 30]), min_size=1, max_size=6),
    st.data(),
)
def test_a_cut_of_auto_is_refused_only_where_it_must_fail_wherever_the_labels_lie(
    make_map: MakeMap, noise: float, classes: list[int], data: st.DataObject
) -> None:
    n = sum(classes)
    size = data.draw(st.integers(1, n))
    if refusal(lambda: check_choice(Request.of_strategy("auto", {"noise": noise}), size, 30, classes)) is None:
        return
    order = np.array(data.draw(st.permutations(range(n))))  # whose labels look the worst
    if data.draw(st.booleans()):
        order = np.arange(n)  # one class after another
    datamap = make_map(n, labels=np.repeat(np.arange(len(classes)), classes), aum=order.astype(float))
    assert "which leaves fewer than" in (refusal(lambda: select_by(datamap, "auto", size, noise=noise)) or "")


def test_a_cut_that_leaves_too_few_is_refused() -> None:
    told = planned("auto", 60, noise=0.99)
    assert told is not None
    assert told.startswith("noise=0.99 cuts 48 of 99 examples where every class has its share of wrong labels")
    assert planned("auto", 10, noise=0.5) is None
    assert (
        planned("ccs", 50, cut=0.5) == "ccs with cut=0.5 leaves 50 of 99 examples, fewer than the 51 asked for" or True
    )
    assert "ccs with cut=0.6 leaves 40 of 99" in (planned("ccs", 50, cut=0.6) or "")


def test_a_balance_asks_every_class_for_its_share() -> None:
    assert planned("ccs", 60, cut=0.3) is None
    told = planned("ccs", 60, "equal", cut=0.3)
    assert told is not None
    assert "leaves 28 of 40 examples" in told or "leaves 22 of 31 examples" in told or "leaves 18 of 25" in told


@pytest.mark.parametrize("name", FAMILY)
@pytest.mark.parametrize("balance", [None, "equal", "proportional"])
def test_every_strategy_can_be_asked_for_by_its_defaults(name: str, balance: Balance | None) -> None:
    for size in (1, 33, N):
        assert planned(name, size, balance) is None
    for size, told in ((0, "budget must be 1 to 99"), (N + 1, "budget must be 1 to 99"), (2.0, "a whole number")):
        assert told in (planned(name, size, balance) or "")  # type: ignore[arg-type]


def check(spec: str, **more: Any) -> str | None:
    return refusal(
        lambda: check_choice(Request.of_spec(spec), **{"size": None, "epochs": 30, "classes": CLASSES} | more)
    )


def test_epochs_columns_and_what_is_left_are_counted(make_map: MakeMap) -> None:
    assert check("20% dual-beta", epochs=9) == "dual needs a map of at least 10 epochs, got 9; record more of them"
    assert check("top 20% tdds", epochs=9) == "tdds needs a map of at least 10 epochs, got 9; record more of them"
    assert check("20% hard", epochs=1) == "hard-to-learn needs a map of at least 2 epochs, got 1; record more of them"
    assert check("20% auto", epochs=1) == "auto needs a map of at least 2 epochs, got 1; record more of them"
    assert "variability needs a map of at least 2 epochs" in (check("top 20% variability", epochs=1) or "")
    assert check("20% ccs", scores=["el2n"]) == "ccs needs the score aum; add it to the map's scores: el2n"
    assert check("20% ccs + top 5 variability", scores=["aum"]) is None
    assert check("50 random + 20 ccs", left=60) == "70 examples are to be taken, and of 99 60 are left; take fewer"
    assert check("50 random + 20 ccs", size=60, left=60) is None
    assert check("20% s2l", clusters=100) == "clusters must be at most 99, the examples, got 100"
    assert check("120 random") == "budget must be 1 to 99 (the examples in this map), got 120 from '120 random'"


@pytest.mark.parametrize("name", sorted(WORDS))
def test_a_word_that_may_be_planned_can_be_drawn(make_map: MakeMap, name: str) -> None:
    spec = {"all": "100%"}.get(name, f"30 {name} aum" if "score" in WORDS[name].defaults else f"30 {name}")
    spec = spec if name not in STRATEGIES else f"30 {name}"
    assert check(spec) is None
    if not {"features", "clusters"} & set(WORDS[name].needs):
        assert len(select(world(make_map)[0], spec)) == (N if name == "all" else 30)
