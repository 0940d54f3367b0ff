"""Which score finds which kind: by hand, pair by pair, against another library's numbers, and the edges."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from trainmap.errors import TrainmapError
from trainmap.maps.found_kinds import FoundKind, find_kinds

KINDS = ["clean", "wrong", "clean", "wrong", "outlier"]


def by(found: list[FoundKind]) -> dict[tuple[str, str], FoundKind]:
    return {(one.score, one.kind): one for one in found}


def test_the_chance_that_a_pair_stands_in_order_by_hand() -> None:
    found = by(find_kinds({"loss": [0.0, 3.0, 1.0, 1.0, 2.0]}, KINDS))
    wrong = found["loss", "wrong"]
    # 3 beats 0, 1, 2; 1 beats 0, ties with 1, loses to 2
    assert wrong.auroc == pytest.approx((3 + 1.5) / 6)
    assert wrong.clean_auroc == pytest.approx((2 + 1.5) / 4)
    assert (wrong.examples, wrong.others, wrong.base) == (2, 3, 0.4)
    # from above: 3 (wrong), 2, then 1 and 1 together
    assert wrong.hard_precision == pytest.approx(0.5 * 1 + 0.5 * 2 / 4)
    assert wrong.easy_precision == pytest.approx(0.5 * 1 / 3 + 0.5 * 2 / 5)
    assert found["loss", "outlier"].auroc == pytest.approx(3 / 4)
    assert [kind for _, kind in found] == ["outlier", "wrong"]


def test_the_hard_end_counts_as_high_whichever_it_is() -> None:
    values = np.array([0.9, 0.1, 0.8, 0.3, 0.5])
    found = by(find_kinds({"confidence": values, "loss": -values, "of my own": -values}, KINDS))
    assert found["confidence", "wrong"].auroc == 1
    for score in ("loss", "of my own"):
        assert vars(found[score, "wrong"]) == vars(found["confidence", "wrong"]) | {"score": score}


def test_a_kind_at_the_easy_end_is_below_one_half_and_found_from_there() -> None:
    found = find_kinds({"variability": [0.5, 0.1, 0.4, 0.2, 0.3]}, KINDS, ["wrong"])[0]
    assert (found.auroc, found.easy_precision) == (0, 1)
    assert found.hard_precision < found.base + 0.1


@given(st.lists(st.tuples(st.integers(0, 5), st.booleans()), min_size=2, max_size=30))
def test_it_is_the_share_of_pairs_in_order_and_the_average_precision_of_scikit_learn(pairs: list[Any]) -> None:
    values, is_kind = (np.array(side) for side in zip(*pairs, strict=True))
    found = find_kinds({"loss": values}, np.where(is_kind, "kind", "clean"), ["kind"])[0]
    if is_kind.all() or not is_kind.any():
        assert math.isnan(found.auroc)
        return
    gaps = values[is_kind][:, None] - values[~is_kind][None]
    assert found.auroc == found.clean_auroc == pytest.approx(((gaps > 0) + (gaps == 0) / 2).mean())
    assert found.hard_precision == pytest.approx(average_precision_score(is_kind, values))


def test_infinite_scores_are_the_highest_and_examples_without_a_score_are_left_out() -> None:
    found = find_kinds({"forgetting": [0, math.inf, 1, math.nan, 2]}, KINDS, ["wrong"])[0]
    assert (found.auroc, found.examples, found.others) == (1, 1, 3)
    nothing = find_kinds({"loss": np.full(5, math.nan)}, KINDS, ["wrong"])[0]
    assert (nothing.examples, nothing.others) == (0, 0)
    assert all(map(math.isnan, (nothing.auroc, nothing.hard_precision, nothing.clean_auroc, nothing.base)))


def test_a_kind_that_is_not_there_or_is_all_there_is_has_no_number() -> None:
    assert math.isnan(find_kinds({"loss": [1, 2]}, ["a", "a"], ["b"])[0].auroc)
    assert math.isnan(find_kinds({"loss": [1, 2]}, ["a", "a"])[0].hard_precision)
    without = find_kinds({"loss": [1, 2]}, ["a", "b"])[0]
    assert (without.auroc, math.isnan(without.clean_auroc)) == (0, True)


def test_the_order_of_the_examples_does_not_matter() -> None:
    generator = np.random.default_rng(0)
    values, kinds = generator.integers(0, 9, 90) / 3, generator.choice(["clean", "a", "b"], 90)
    order = generator.permutation(90)
    assert find_kinds({"aum": values}, kinds) == find_kinds({"aum": values[order]}, kinds[order])


@pytest.mark.parametrize(
    ("scores", "kinds", "message"),
    [
        ({"loss": [1.0]}, ["a", "b"], r"loss must be one number for each of 2 examples, got \(1,\)"),
        ({"loss": ["x", "y"]}, ["a", "b"], "loss must be one number for each example"),
        ({"loss": []}, [], r"kinds must be one word for each example, got shape \(0,\)"),
        ({"loss": [1.0]}, [["a"]], "kinds must be one word for each example"),
    ],
)
def test_what_does_not_fit_is_refused(scores: Any, kinds: Any, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        find_kinds(scores, kinds)
