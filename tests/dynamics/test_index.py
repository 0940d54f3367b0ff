"""From ids to rows."""

from __future__ import annotations

from typing import Any

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmap.dynamics.index import (
    MISSING,
    build_index,
    find_rows,
    ids_from_arrow,
    ids_to_arrow,
    lowest,
    rising,
    rows_of,
    sort_ids,
)
from trainmap.errors import RecordingError, TrainmapError

LOW, HIGH = -(2**63), 2**63 - 1
near = st.integers(-30, 30)
anywhere = st.integers(LOW, HIGH)
everywhere = st.one_of(near, anywhere, st.sampled_from([LOW, LOW + 1, -1, 0, 1, HIGH - 1, HIGH]))


def look_up(ids: list[Any], asked: list[Any]) -> list[int]:
    kind = np.int64 if isinstance(ids[0], int) else np.str_
    return build_index(np.array(sorted(ids), kind)).rows(np.array(asked, kind)).tolist()


@given(st.sets(near, min_size=1), st.lists(everywhere))
def test_integer_ids_close_together_are_found_and_all_others_are_missing(ids: set[int], asked: list[int]) -> None:
    asked = [*asked, *ids]
    row_of = {name: row for row, name in enumerate(sorted(ids))}
    assert look_up(list(ids), asked) == [row_of.get(name, MISSING) for name in asked]


@given(st.sets(everywhere, min_size=1), st.lists(everywhere))
def test_integer_ids_far_apart_are_found_and_all_others_are_missing(ids: set[int], asked: list[int]) -> None:
    asked = [*asked, *ids]
    row_of = {name: row for row, name in enumerate(sorted(ids))}
    assert look_up(list(ids), asked) == [row_of.get(name, MISSING) for name in asked]


@given(st.integers(LOW, HIGH - 20), st.lists(everywhere))
def test_ids_without_a_gap_are_found_wherever_they_begin(low: int, asked: list[int]) -> None:
    asked = [*asked, low, low + 9, *(name for name in (low - 1, low + 10) if LOW <= name <= HIGH)]
    assert look_up(list(range(low, low + 10)), asked) == [n - low if low <= n < low + 10 else MISSING for n in asked]


@given(st.sets(st.text(max_size=3).filter(lambda name: not name.endswith("\0")), min_size=1))
def test_strings_are_found_and_others_are_missing(names: set[str]) -> None:
    assert look_up(list(names), [*sorted(names), "another"]) == [*range(len(names)), MISSING]


def test_looking_up_does_not_change_the_ids() -> None:
    ids = np.array([5, 900, 3])
    build_index(np.arange(10)).rows(ids)
    build_index(np.arange(3, 10)).rows(ids)
    assert ids.tolist() == [5, 900, 3]


def test_ids_are_sorted_by_value_and_strings_by_code_point() -> None:
    ordered, order = sort_ids(np.array(["b", "a", "B", "é"]))
    assert ordered.tolist() == ["B", "a", "b", "é"]
    assert order.tolist() == [2, 1, 0, 3]


def test_an_id_given_twice_is_refused_by_name() -> None:
    with pytest.raises(RecordingError, match=r"2 came more than once \(first: 4, 9\)"):
        sort_ids(np.array([9, 4, 9, 1, 4, 4]))


def test_no_ids_are_refused() -> None:
    with pytest.raises(RecordingError, match=r"at least one example"):
        sort_ids(np.array([], np.int64))


@pytest.mark.parametrize("ids", [np.array([-5, 2**62]), np.array(["häus", "z", ""]), np.array([7])])
def test_ids_come_back_from_arrow_and_from_polars_as_they_were(ids: np.ndarray) -> None:
    column = ids_to_arrow(ids)
    for back in (column, pa.chunked_array([column]), pl.Series(column).to_arrow(), column.cast(column.type)):
        found = ids_from_arrow(back)
        assert found.dtype == ids.dtype
        assert found.tolist() == ids.tolist()


@given(
    st.lists(st.sampled_from([0.0, -0.0, 0.5, 1.0, np.inf, -np.inf, np.nan]), max_size=40),
    st.integers(0, 45),
    st.booleans(),
)
def test_the_lowest_are_the_first_of_the_whole_order(values: list[float], count: int, names: bool) -> None:
    ids = np.arange(len(values)) * 7 - 3
    given_ids = ids.astype(np.str_) if names else ids
    expected = rising(np.array(values, float), given_ids)[:count]
    assert lowest(np.array(values, float), given_ids, count).tolist() == expected.tolist()


@given(st.sets(everywhere), st.lists(everywhere), st.randoms(use_true_random=False), st.booleans())
def test_ids_are_found_among_ids_in_any_order(ids: set[int], asked: list[int], random: Any, names: bool) -> None:
    known = list(ids)
    random.shuffle(known)
    asked = [*asked, *known]
    kind = np.str_ if names else np.int64
    row_of = {name: row for row, name in enumerate(known)}
    rows = find_rows(np.array(known, kind), np.array(asked, kind))
    assert rows.tolist() == [row_of.get(name, MISSING) for name in asked]


def test_ids_that_must_be_there_are_refused_in_words() -> None:
    known = np.array([3, 1, 2])
    assert rows_of(known, np.array([2, 3, 2]), "this map").tolist() == [2, 0, 2]
    with pytest.raises(TrainmapError, match=r"^2 ids are not in this map \(first: 9, 8\); look again$"):
        rows_of(known, np.array([9, 1, 8]), "this map", "look again")
    with pytest.raises(TrainmapError, match=r"ids must be of the kind of this map's, int64, got <U1"):
        rows_of(known, np.array(["1"]), "this map")
    with pytest.raises(TrainmapError, match="ids must not repeat, 1 of 3 do"):
        rows_of(known, np.array([2, 1, 2]), "this map", distinct=True)
    assert find_rows(known, np.array(["1"])).tolist() == [MISSING]
    assert find_rows(np.empty(0, np.int64), np.array([1])).tolist() == [MISSING]
