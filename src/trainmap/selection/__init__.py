"""What to keep: from a map, a plan in words and an exact size to a card with ids.

A new word of the mini-language is one function and one line in the table of ``strategies.py``.

Its files, in reading order::

    pool.py           the examples that a strategy chooses from
    quotas.py         how a number is shared among groups
    entry.py          what a word is
    option_limits.py  what the options of a strategy must be
    rankings.py       words that put all examples in an order
    coverage.py       strategies over the distribution of a score
    diversity.py      strategies over features
    clique.py         one more of them, greedy for a heavy clique
    auto_rule.py      what a map and a budget say, and why
    auto.py           what is drawn by that
    strategies.py     STRATEGIES, and the one way to run them
    words.py          the mini-language of subsets
    requests.py       what is asked of a map, and whether it is bound to fail
    card.py           Selection, the card that is kept
    guesses.py        what a network guesses of examples without labels
    acquisitions.py   which labels to ask for next
    subset.py         items of a dataset at given places
    select.py         a map, a plan and a size -> a Selection
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.selection.acquisitions import ACQUISITIONS, Acquisition, Draw, Question, acquire, acquisition_of
    from trainmap.selection.auto import check_auto, drawn, reason, weighed
    from trainmap.selection.auto_rule import Advice, read_map
    from trainmap.selection.card import FORMAT, Selection
    from trainmap.selection.clique import check_ugies, ugies
    from trainmap.selection.coverage import (
        band,
        beta,
        beta_parameters,
        ccs,
        check_band,
        check_beta,
        check_ccs,
        check_dual_beta,
        direction,
        dual_beta,
        log_beta,
        s2l,
        teacher_loss,
        weighted_sample,
    )
    from trainmap.selection.diversity import check_d2, check_moderate, d2, moderate, neighbour_graph
    from trainmap.selection.entry import Strategy, check_epochs, choose
    from trainmap.selection.guesses import Guesses, watched
    from trainmap.selection.pool import Features, Pool
    from trainmap.selection.quotas import (
        Balance,
        at_least,
        equal,
        first_by_class,
        proportional,
        smallest_first,
        within_class,
    )
    from trainmap.selection.requests import Request, check_choice
    from trainmap.selection.select import advise, explained, known_pool, select_by
    from trainmap.selection.strategies import AUTO, EXPLAINED, STRATEGIES, named, told_words
    from trainmap.selection.words import Part, Plan, check_size, parse
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "acquisitions": "ACQUISITIONS Acquisition Draw Question acquire acquisition_of",
            "auto": "check_auto drawn reason weighed",
            "auto_rule": "Advice read_map",
            "card": "FORMAT Selection",
            "clique": "check_ugies ugies",
            "coverage": (
                "band beta beta_parameters ccs check_band check_beta check_ccs check_dual_beta direction dual_beta "
                "log_beta s2l teacher_loss weighted_sample"
            ),
            "diversity": "check_d2 check_moderate d2 moderate neighbour_graph",
            "entry": "Strategy check_epochs choose",
            "guesses": "Guesses watched",
            "pool": "Features Pool",
            "quotas": "Balance at_least equal first_by_class proportional smallest_first within_class",
            "requests": "Request check_choice",
            "select": "advise explained known_pool select_by",
            "strategies": "AUTO EXPLAINED STRATEGIES named told_words",
            "words": "Part Plan check_size parse",
        },
    )

# fmt: off
__all__ = [
    "ACQUISITIONS", "AUTO", "EXPLAINED", "FORMAT", "STRATEGIES", "Acquisition", "Advice", "Balance", "Draw",
    "Features", "Guesses", "Part", "Plan", "Pool", "Question", "Request", "Selection", "Strategy", "acquire",
    "acquisition_of", "advise", "at_least", "band", "beta", "beta_parameters", "ccs", "check_auto", "check_band",
    "check_beta", "check_ccs", "check_choice", "check_d2", "check_dual_beta", "check_epochs", "check_moderate",
    "check_size", "check_ugies", "choose", "d2", "direction", "drawn", "dual_beta", "equal", "explained",
    "first_by_class", "known_pool", "log_beta", "moderate", "named", "neighbour_graph", "parse", "proportional",
    "read_map", "reason", "s2l", "select_by", "smallest_first", "teacher_loss", "told_words", "ugies", "watched",
    "weighed", "weighted_sample", "within_class",
]
# fmt: on
