"""Rules that every word of the mini-language keeps: what the table says of it is what it does."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS
from trainmap.scores.table import SCORES
from trainmap.selection.entry import Ask, Ranking, Strategy, Word
from trainmap.selection.pool import Pool
from trainmap.selection.quotas import Balance
from trainmap.selection.requests import Request
from trainmap.selection.select import explained, select
from trainmap.selection.strategies import EXPLAINED, HELD_OUT, STRATEGIES, WORDS
from trainmap.selection.words import ENDS, parse

MakeMap = Callable[..., DataMap]
N = 120
FAMILY = sorted(WORDS)


def options_of(word: Word) -> dict[str, Any]:
    """Its defaults, and for an end a score."""
    return {name: "aum" if value == "" else value for name, value in word.defaults.items()}


def spec_of(word: Word, count: int) -> str:
    return "100%" if word.name == "all" else f"{word.name} {count}" + (" aum" if word.name in ENDS else "")


def pool_of(seed: int = 0, columns: tuple[str, ...] | None = None) -> Pool:
    """Examples with every score, or with some alone."""
    draws = np.random.default_rng(seed)
    scores = {name: draws.random(N) for name in (*SCORES, "teacher_loss")}
    scores["variability"] /= 2
    kept = scores if columns is None else {name: scores[name] for name in columns}
    more: dict[str, Any] = {"features": draws.normal(size=(N, 3)), "clusters": draws.integers(0, 6, N)}
    return Pool(np.arange(N), draws.integers(0, 3, N), kept, 0.25, epochs=20, examples=N, **more)


def drawn(word: Word, pool: Pool, seed: int = 0, balance: Balance | None = None) -> list[int]:
    rows, passed_over = word.draw(pool, np.ones(N, bool), Ask(30, seed, balance, options_of(word), word.name))
    assert passed_over == 0
    return sorted(rows.tolist())


@pytest.mark.parametrize("name", FAMILY)
def test_it_is_named_by_its_key_and_says_where_it_comes_from(name: str) -> None:
    word = WORDS[name]
    assert word.name == name
    assert word.source
    assert inspect.getdoc(word.function)
    assert isinstance(word, Ranking) != isinstance(word, Strategy) == (name in STRATEGIES)


@pytest.mark.parametrize("name", FAMILY)
def test_it_reads_the_columns_that_it_says_and_no_others(name: str) -> None:
    word = WORDS[name]
    columns = word.columns(options_of(word))
    assert drawn(word, pool_of(columns=columns)) == drawn(word, pool_of())


@pytest.mark.parametrize("name", FAMILY)
def test_what_reads_no_map_draws_the_same_from_any(name: str) -> None:
    word = WORDS[name]
    alike = drawn(word, pool_of()) == drawn(word, pool_of(1))
    assert alike == (not word.reads_map)


@pytest.mark.parametrize("name", FAMILY)
def test_it_needs_what_it_says(name: str) -> None:
    word, pool = WORDS[name], pool_of()
    for need in ("features", "clusters"):
        lacking = replace(pool, **{need: None})
        if need in word.needs:
            with pytest.raises(ValueError, match=f"needs {need}"):
                drawn(word, lacking)
        else:
            assert drawn(word, lacking) == drawn(word, pool)


@pytest.mark.parametrize("balance", [None, "equal", "proportional"])
@pytest.mark.parametrize("name", FAMILY)
def test_the_seed_matters_where_it_says_so(name: str, balance: Balance | None) -> None:
    word, pool = WORDS[name], pool_of()
    answers = [drawn(word, pool, seed, balance) for seed in (0, 1, 0)]
    assert answers[0] == answers[2]
    assert (answers[0] != answers[1]) == word.random
    assert len(set(answers[0])) == 30


@pytest.mark.parametrize("name", FAMILY)
def test_a_map_of_as_many_epochs_as_it_says_will_do_and_one_of_fewer_will_not(name: str) -> None:
    word = WORDS[name]
    drawn(word, replace(pool_of(), epochs=word.epochs))
    if word.epochs > 1:
        with pytest.raises(ValueError, match="epoch"):
            drawn(word, replace(pool_of(), epochs=word.epochs - 1))


@pytest.mark.parametrize("name", FAMILY)
def test_it_explains_itself_or_does_not(make_map: MakeMap, name: str) -> None:
    word, datamap = WORDS[name], make_map(N)
    assert (word in EXPLAINED) == (word.explain is not None)
    assert (word in HELD_OUT) == word.held_out == ("held_out" in word.defaults)
    if word.explain is None:
        with pytest.raises(ValueError, match="tells nothing of a map; 'auto' does"):
            explained(datamap, word, 30)
    else:
        assert "30 of 120 examples" in explained(datamap, word, 30, **word.defaults)


@pytest.mark.parametrize("name", FAMILY)
def test_every_word_can_be_written_and_a_request_answers_for_it(name: str) -> None:
    word = WORDS[name]
    request = Request.of_spec(spec_of(word, 5))
    assert [found for found, _ in request.words] == [word]
    assert request.columns == word.columns(options_of(word))
    assert (request.reads_map, request.random, request.needs) == (word.reads_map, word.random, word.needs)
    assert request.held_out == word.held_out
    assert request.explains == (word if word.explain else None)
    both = Request.of_spec(f"{spec_of(word, 5)} + 3 random") if name != "all" else request
    assert both.explains is None
    assert both.random == (word.random or name != "all")
    assert both.epochs == request.epochs >= word.epochs


def test_a_strategy_by_itself_answers_with_its_options() -> None:
    request = Request.of_strategy("ccs", {"score": "dual", "cut": 0.2})
    assert (request.columns, request.epochs, request.random, request.plan) == (("dual",), 10, True, None)
    told, untold = (Request.of_strategy("auto", options) for options in ({"held_out": 0.9}, {}))
    assert (told.held_out, untold.held_out) == (False, True)


def test_the_language_has_no_word_that_the_table_lacks() -> None:
    assert set(ENDS.values()) <= set(WORDS)
    assert set(REGIONS) | {"random", "all"} | set(STRATEGIES) <= set(WORDS)
    for name in FAMILY:
        assert str(parse(spec_of(WORDS[name], 5)).parts[0].word.name) == name


GOLDEN = {
    "all": "f7f2e5dd1023",
    "ambiguous": "f18be6ceb2e1",
    "auto": "8a9fa5b44aa7",
    "band": "5b6bb36af8bc",
    "beta": "882d95a86580",
    "beta-distilled": "4c5804fe29d8",
    "bottom": "92fed8223213",
    "ccs": "dd7d19c0b605",
    "d2": "6159c46613a0",
    "dual-beta": "702bdcdbd8c5",
    "easiest": "bb7e36062ab4",
    "easy-to-learn": "0cc8ca8b7542",
    "hard-to-learn": "ff0fa74f40f3",
    "hardest": "92fed8223213",
    "medium": "cdd1769461aa",
    "middle": "6567093c0482",
    "moderate": "d79c23f41df4",
    "random": "db08013bfd97",
    "s2l": "2c6b7dcf036e",
    "top": "bb7e36062ab4",
    "ugies": "8aa216f499ad",
}


@pytest.mark.parametrize("name", FAMILY)
def test_draws_are_those_of_the_first_version(name: str) -> None:
    assert digest(WORDS[name]) == GOLDEN[name]


def digest(word: Word) -> str:
    """Of what a word draws with a few seeds and balances."""
    balances: tuple[Balance | None, ...] = (None, "equal", "proportional")
    draws = [drawn(word, pool_of(3), seed, balance) for seed in (0, 7) for balance in balances]
    return hashlib.sha256(str(draws).encode()).hexdigest()[:12]


def test_a_part_that_is_no_word_is_refused(make_map: MakeMap) -> None:
    from trainmap.selection.words import Part, Plan

    with pytest.raises(ValueError, match="does not say which end of aum"):
        select(make_map(N), Plan((Part("aum", None, None, 5),)))
