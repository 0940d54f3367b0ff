"""What to keep: from a map, a plan in words and an exact size to a card with ids.

A new word of the mini-language is one function and one line in the table of ``strategies.py``.

Its files, in reading order::

    pool.py        the examples that a strategy chooses from
    quotas.py      how a number is shared among groups
    coverage.py    strategies over the distribution of a score
    diversity.py   strategies over features
    auto.py        what to keep when a map and a budget are all that is known
    strategies.py  STRATEGIES, and the one way to run them
    words.py       the mini-language of subsets
    card.py        Selection, the card that is kept
    subset.py      items of a dataset at given places
    select.py      a map, a plan and a size -> a Selection
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from trainmap.faces import lazily

if TYPE_CHECKING:
    from trainmap.selection.auto import Advice, drawn, read_map, weighed
    from trainmap.selection.card import FORMAT, Selection
    from trainmap.selection.coverage import (
        band,
        beta,
        beta_parameters,
        ccs,
        direction,
        dual_beta,
        log_beta,
        s2l,
        teacher_loss,
        weighted_sample,
    )
    from trainmap.selection.diversity import d2, moderate, neighbour_graph
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
    from trainmap.selection.select import advise, auto_pool, select_by
    from trainmap.selection.strategies import STRATEGIES, Strategy, check_epochs, check_request, choose, named, usable
    from trainmap.selection.words import Part, Plan, check_size, parse
else:
    __getattr__, __dir__ = lazily(
        __name__,
        {
            "auto": "Advice drawn read_map weighed",
            "card": "FORMAT Selection",
            "coverage": "band beta beta_parameters ccs direction dual_beta log_beta s2l teacher_loss weighted_sample",
            "diversity": "d2 moderate neighbour_graph",
            "pool": "Features Pool",
            "quotas": "Balance at_least equal first_by_class proportional smallest_first within_class",
            "select": "advise auto_pool select_by",
            "strategies": "STRATEGIES Strategy check_epochs check_request choose named usable",
            "words": "Part Plan check_size parse",
        },
    )

# fmt: off
__all__ = [
    "FORMAT", "STRATEGIES", "Advice", "Balance", "Features", "Part", "Plan", "Pool", "Selection", "Strategy",
    "advise", "at_least", "auto_pool", "band", "beta", "beta_parameters", "ccs", "check_epochs", "check_request",
    "check_size", "choose", "d2", "direction", "drawn", "dual_beta", "equal", "first_by_class", "log_beta",
    "moderate", "named", "neighbour_graph", "parse", "proportional", "read_map", "s2l", "select_by", "smallest_first",
    "teacher_loss", "usable", "weighed", "weighted_sample", "within_class",
]
# fmt: on
