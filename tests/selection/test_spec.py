"""The mini-language: what it reads, what it writes back, the sizes it gives, and what it refuses."""

from __future__ import annotations

from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from trainmap.errors import TrainmapError
from trainmap.selection.words import Part, Plan, parse

percents = st.integers(1, 10_000).map(lambda hundredths: Decimal(hundredths) / 100)
amounts = st.one_of(
    percents.map(lambda p: {"percent": p}), st.integers(1, 10**6).map(lambda n: {"count": n}), st.just({})
)
names = st.one_of(
    st.tuples(st.sampled_from(["ambiguous", "easy-to-learn", "hard-to-learn", "random"]), st.none()),
    st.tuples(
        st.sampled_from(["confidence", "aum", "forgetting_allenai", "my_Score"]),
        st.sampled_from(["top", "bottom", "middle", "hardest", "easiest"]),
    ),
)
parts = st.builds(lambda name, amount: Part(name[0], name[1], **amount), names, amounts)
plans = st.lists(parts, min_size=1, max_size=4).map(lambda chosen: Plan(tuple(chosen)))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("33% ambiguous", [Part("ambiguous", None, Decimal("33"))]),
        ("33 % ambiguous", [Part("ambiguous", None, Decimal("33"))]),
        ("1% ambiguous + 2% easy", [Part("ambiguous", None, Decimal(1)), Part("easy-to-learn", None, Decimal(2))]),
        ("17%easy", [Part("easy-to-learn", None, Decimal(17))]),
        ("1.5% easy + 5 hard", [Part("easy-to-learn", None, Decimal("1.5")), Part("hard-to-learn", None, None, 5)]),
        ("5% Hard to learn", [Part("hard-to-learn", None, Decimal(5))]),
        ("bottom 33% confidence", [Part("confidence", "bottom", Decimal(33))]),
        ("low 33% confidence", [Part("confidence", "bottom", Decimal(33))]),
        ("33% high confidence", [Part("confidence", "top", Decimal(33))]),
        ("Top 1000 variability", [Part("variability", "top", None, 1000)]),
        ("variability top 1000", [Part("variability", "top", None, 1000)]),
        ("middle 10% aum", [Part("aum", "middle", Decimal(10))]),
        ("hardest 10% aum+easiest 5 loss", [Part("aum", "hardest", Decimal(10)), Part("loss", "easiest", None, 5)]),
        ("10% top myScore", [Part("myScore", "top", Decimal(10))]),
        ("33% random", [Part("random", None, Decimal(33))]),
        ("RANDOM", [Part("random")]),
        ("100%", [Part("all", None, Decimal(100))]),
    ],
)  # fmt: skip
def test_a_spec_is_read_as_a_plan(text: str, expected: list[Part]) -> None:
    assert parse(text) == Plan(tuple(expected))


@given(plan=plans)
def test_a_plan_written_as_a_spec_is_read_back_as_itself(plan: Plan) -> None:
    assert parse(str(plan)) == plan
    assert parse(f"  {str(plan).replace(' ', '   ')} ") == plan


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "a part of a spec must be an amount and a name, for example '33% ambiguous'"),
        ("33% ambiguous +", "a part of a spec must be an amount and a name"),
        ("33% 34% ambiguous", "a part of a spec must be"),
        ("33% ambiguous random", "a part of a spec must be"),
        ("top bottom 3% aum", "a part of a spec must be"),
        ("33%", "'33%' does not say which examples"),
        ("50", "'50' does not say which examples"),
        ("top 33%", "'top 33%' does not say which examples"),
        ("top 100%", "'top 100%' does not say which examples"),
        ("33% ambigous", "unknown subset 'ambigous'; did you mean 'ambiguous'"),
        ("33% all", "unknown subset 'all'"),
        ("all", "unknown subset 'all'"),
        ("33% confidence", "'33% confidence' does not say which end of confidence: write 'top' or 'bottom'"),
        ("top 33% random", "'top' goes with a score, and 'random' is none"),
        ("hardest 33% ambiguous", "'hardest' goes with a score, and 'ambiguous' is none"),
        ("0% ambiguous", "a percentage must be above 0 and at most 100, got 0%"),
        ("100.5% ambiguous", "a percentage must be above 0 and at most 100, got 100.5%"),
        (
            "0 ambiguous",
            "an amount must be a percentage or a whole number above 0 of at most 18 digits, got 0",
        ),
        ("9" * 5001 + " ambiguous", "an amount must be .* at most 18 digits, got 9+"),
        (
            "2.5 ambiguous",
            "an amount must be a percentage or a whole number above 0 of at most 18 digits, got 2.5",
        ),
        ("-5% ambiguous", "a part of a spec must be"),
    ],
)
def test_what_is_no_spec_is_refused_with_one_that_is(text: str, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        parse(text)


@pytest.mark.parametrize(
    ("text", "examples", "sizes"),
    [
        ("33% ambiguous", 1000, [330]),
        ("33% ambiguous", 10, [3]),
        ("50% ambiguous", 5, [3]),  # half up
        ("50% ambiguous + 50% easy", 5, [3, 2]),
        ("16.5% easy + 16.5% ambiguous", 100, [17, 16]),
        ("33% easy + 33% hard + 34% ambiguous", 7, [2, 3, 2]),
        ("17% ambiguous + 25% easy", 60_000, [10_200, 15_000]),
        ("15.3% ambiguous + 1.7% easy", 50_000, [7_650, 850]),
        ("100%", 7, [7]),
        ("5 ambiguous + 3 easy", 100, [5, 3]),
        ("35% ambiguous + 5 easy", 10, [4, 5]),
        ("1% ambiguous + 50% random", 10, [0, 5]),
    ],
)
def test_sizes_are_exact_counts(text: str, examples: int, sizes: list[int]) -> None:
    assert parse(text).sizes(examples) == sizes


@given(hundredths=st.lists(st.integers(1, 2500), min_size=1, max_size=4), examples=st.integers(1, 10**7))
def test_the_total_is_the_sum_of_the_percentages_and_each_part_within_one(hundredths: list[int], examples: int) -> None:
    plan = Plan(tuple(Part("random", None, Decimal(h) / 100) for h in hundredths))
    exact = [Fraction(h * examples, 10_000) for h in hundredths]
    total = int(sum(exact) + Fraction(1, 2))
    if total == 0:
        with pytest.raises(TrainmapError, match="budget must be 1 to"):
            plan.sizes(examples)
        return
    sizes = plan.sizes(examples)
    assert sum(sizes) == total
    assert all(size >= 0 and abs(size - share) < 1 for size, share in zip(sizes, exact, strict=True))
    assert sizes[0] == int(exact[0] + Fraction(1, 2))


@given(cuts=st.lists(st.integers(1, 9_999), min_size=0, max_size=4, unique=True), examples=st.integers(1, 10**6))
def test_parts_that_make_100_percent_take_everything(cuts: list[int], examples: int) -> None:
    edges = [0, *sorted(cuts), 10_000]
    plan = Plan(tuple(Part("random", None, Decimal(b - a) / 100) for a, b in pairwise(edges)))
    assert sum(plan.sizes(examples)) == examples


@given(weights=st.lists(st.integers(1, 50), min_size=1, max_size=4), examples=st.integers(1, 10**6), data=st.data())
def test_with_a_size_the_parts_share_exactly_that(weights: list[int], examples: int, data: st.DataObject) -> None:
    size = data.draw(st.integers(1, examples))
    plan = Plan(tuple(Part("random", None, None, w) for w in weights))
    sizes = plan.sizes(examples, size)
    assert sum(sizes) == size
    assert all(abs(s - Fraction(w * size, sum(weights))) < 1 for s, w in zip(sizes, weights, strict=True))


def test_with_a_size_amounts_may_be_left_out() -> None:
    assert parse("ambiguous").sizes(100, 7) == [7]
    assert parse("ambiguous + easy + random").sizes(100, 7) == [2, 3, 2]
    assert parse("100%").sizes(9, 9) == [9]
    numpy_size: Any = np.int64(8)
    assert parse("30% ambiguous + 10% easy").sizes(100, numpy_size) == [6, 2]


@pytest.mark.parametrize(
    ("text", "size", "message"),
    [
        ("ambiguous", None, "'ambiguous' says no amount: write for example '33% ambiguous', or pass a size"),
        ("3% easy + ambiguous", None, "'ambiguous' says no amount"),
        ("3% easy + ambiguous", 7, "in '3% easy-to-learn \\+ ambiguous' every part needs an amount, or none of them"),
        ("ambiguous", 0, r"budget must be 1 to 100 \(the examples in this map\), got 0"),
        ("ambiguous", 101, "budget must be 1 to 100 .* got 101"),
        ("101 ambiguous", None, "budget must be 1 to 100 .* got 101 from '101 ambiguous'"),
        ("60% easy + 60% hard", None, "budget must be 1 to 100 .* got 120"),
        ("100% + 1 random", None, "budget must be 1 to 100 .* got 101"),
        ("0.4% easy", None, "budget must be 1 to 100 .* got 0"),
        ("100%", 10, "'100%' is every example, 100 of them; ask for 'random' to take 10"),
        ("ambiguous", 2.5, "size must be a whole number of examples, got 2.5"),
        ("ambiguous", 7.0, "size must be a whole number"),
        ("ambiguous", True, "size must be a whole number"),
        ("ambiguous", "7", "size must be a whole number"),
        ("ambiguous", float("nan"), "size must be a whole number"),
    ],
)
def test_a_budget_that_cannot_be_met_is_refused(text: str, size: Any, message: str) -> None:
    with pytest.raises(TrainmapError, match=message):
        parse(text).sizes(100, size)
