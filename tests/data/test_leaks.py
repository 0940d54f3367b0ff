"""Columns that give the label away are said; honest ones, also strong ones, are not."""

from __future__ import annotations

import datetime
from collections.abc import Callable
from typing import Any

import numpy as np
import polars as pl
import pytest
from sklearn.datasets import load_breast_cancer, load_digits, load_iris, load_wine

from trainmap.data.leaks import leaks

CASES = [(2, 3000, False), (2, 3000, True), (10, 1000, False), (50, 600, False)]
"""Classes, rows, and whether the second class is 2 % of them."""


def honest(y: np.ndarray, draws: np.random.Generator) -> pl.DataFrame:
    """Columns as adult has them: some say a little about the class, one says much (95 % right)."""
    n = len(y)
    strong = np.where(draws.random(n) < 0.95, y, draws.permutation(y))
    return pl.DataFrame(
        {
            "age": draws.integers(18, 90, n),
            "hours": draws.normal(40, 9, n) + y,
            "strong": strong + draws.normal(0, 0.1, n),
            "work": draws.choice(["private", "state", "none"], n),
        }
    )


def labels_of(classes: int, n: int, rare: bool = False) -> np.ndarray:
    """Sorted, as files often are."""
    return np.repeat([0, 1], [n - n // 50, n // 50]) if rare else np.sort(np.arange(n) % classes)


def time_of(y: np.ndarray, draws: np.random.Generator) -> np.ndarray:
    return np.cumsum(draws.exponential(30, len(y))) + 1.7e9


PLANTED: dict[str, Callable[[np.ndarray, np.random.Generator], Any]] = {
    "row number of sorted data": lambda y, _: np.arange(len(y)),
    "row number that starts anywhere, as a float": lambda y, _: np.arange(len(y)) * 0.5 + 17.0,
    "time": time_of,
    "time as text": lambda y, draws: [
        datetime.datetime.fromtimestamp(int(t), tz=datetime.UTC).isoformat() for t in time_of(y, draws)
    ],
    "row number as text": lambda y, _: [f"row{place:07}" for place in range(len(y))],
    "path": lambda y, draws: [
        f"data/class{'abcdefghij'[k % 10] * (k // 10 + 1)}/{draws.integers(10**6)}.png" for k in y
    ],
    "name that begins with the class": lambda y, draws: [f"c{k}_{draws.integers(10**6)}" for k in y],
    "label as a number": lambda y, _: y * 10 + 3,
    "label in another spelling": lambda y, _: [f" Class-{k}. " for k in y],
    "label as a truth value or words": lambda y, _: y == 1 if y.max() == 1 else [f"k{k}" for k in y],
    "label, in two spellings": lambda y, draws: [f"{k}{'.' * int(draws.integers(2))}" for k in y],
    "made from the label": lambda y, draws: y + draws.uniform(-0.4, 0.4, len(y)),
}


@pytest.mark.parametrize("kind", PLANTED)
@pytest.mark.parametrize("case", CASES)
def test_a_column_that_gives_the_label_away_is_found_whatever_the_order_of_the_rows(
    kind: str, case: tuple[int, int, bool]
) -> None:
    draws = np.random.default_rng(1)
    y = labels_of(*case)
    table = honest(y, draws).with_columns(pl.Series("planted", PLANTED[kind](y, draws)))
    for order in (np.arange(len(y)), draws.permutation(len(y))):
        assert list(leaks(table[order], y[order])) == ["planted"]


def test_two_that_give_it_away_are_both_found() -> None:
    y = labels_of(3, 900)
    table = honest(y, np.random.default_rng(0)).with_columns(row=np.arange(900), name=pl.Series([f"c{k}" for k in y]))
    found = leaks(table, y)
    assert found["row"].startswith("sorted by it, the classes come one after another")
    assert found["name"].startswith("each of its values belongs to one class")
    assert list(found) == ["row", "name"]


@pytest.mark.parametrize("load", [load_iris, load_wine, load_breast_cancer, load_digits])
def test_honest_data_are_left_in_peace(load: Callable[[], Any]) -> None:
    bunch = load()
    assert leaks(pl.DataFrame(bunch.data), bunch.target) == {}


@pytest.mark.parametrize(
    "case", [(2, 3000, False), (2, 3000, True), (10, 1000, False), (50, 600, False), (2, 8, False)]
)
def test_strong_columns_are_left_in_peace(case: tuple[int, int, bool]) -> None:
    for seed in range(5):
        y = labels_of(*case)
        assert leaks(honest(y, np.random.default_rng(seed)), y) == {}


def test_where_classes_are_easy_every_column_is_good() -> None:
    y = labels_of(3, 600)
    centres = np.random.default_rng(0).normal(0, 50, (3, 8))
    table = pl.DataFrame(centres[y] + np.random.default_rng(1).normal(0, 1, (600, 8)))
    assert leaks(table, y) == {}


def test_a_row_number_is_said_even_of_shuffled_data() -> None:
    draws = np.random.default_rng(0)
    y = draws.integers(0, 2, 500)
    table = honest(y, draws).with_columns(index=draws.permutation(500) + 1, code=draws.permutation(5000)[:500])
    assert {name: why.split(":")[0] for name, why in leaks(table, y).items()} == {
        "index": "it has another whole number in each row, without a gap"
    }


def test_one_class_or_few_rows_say_nothing() -> None:
    for n in (1, 2, 3):
        assert leaks(pl.DataFrame({"a": range(n)}), np.arange(n)) == {}
        assert leaks(pl.DataFrame({"a": range(n)}), np.zeros(n, np.int64)) == {}
