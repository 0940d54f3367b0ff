"""Every word of the mini-language in one table, ``WORDS``: what it reads, what it draws, from how many epochs on.

    rankings.py    regions, the ends of a score, chance
    auto.py        what a map and a budget advise
    coverage.py    bands, strata (CCS), Beta sampling, trajectory clusters
    diversity.py   Moderate, D2: they need features
    clique.py      UGIES: the same
    entry.py       what a word is, and the one way to run a strategy
    pool.py        what a word is handed
    quotas.py      sharing a number among classes, strata, clusters

A new word is a function and a line of the table. A strategy of your own is a plain function of (pool, size, generator,
options) that returns ``size`` different rows of the pool: pass it to ``trainmap.select_by`` where a name can stand. A
keyword ``score`` of it names a column of the map.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any

from numpy.typing import NDArray

from trainmap.errors import TrainmapError, unknown
from trainmap.kinds import check_name
from trainmap.maps.regions import AMBIGUOUS, EASY, HARD
from trainmap.selection import rankings
from trainmap.selection.auto import auto, check_auto, reason
from trainmap.selection.auto_rule import READS
from trainmap.selection.clique import check_ugies, ugies
from trainmap.selection.coverage import (
    band,
    beta,
    ccs,
    check_band,
    check_beta,
    check_ccs,
    check_dual_beta,
    dual_beta,
    s2l,
)
from trainmap.selection.diversity import check_d2, check_moderate, d2, moderate
from trainmap.selection.entry import Ranking, Strategy, Word, check_epochs, check_request, choose, usable
from trainmap.selection.quotas import Balance

__all__ = [
    "AUTO",
    "EXPLAINED",
    "HELD_OUT",
    "STRATEGIES",
    "WORDS",
    "Balance",
    "Ranking",
    "Strategy",
    "Word",
    "check_epochs",
    "check_request",
    "choose",
    "named",
    "told_words",
    "usable",
]

Array = NDArray[Any]


def named(strategy: str | Strategy | Callable[..., Array]) -> Strategy:
    """The strategy of that name, or one made of a plain function."""
    if isinstance(strategy, Strategy):
        return strategy
    if callable(strategy):
        return Strategy(getattr(strategy, "__name__", "strategy"), strategy, "your own", random=True)
    check_name(strategy, "a strategy")
    if strategy not in STRATEGIES:
        if word := WORDS.get(strategy, WORDS.get(f"{strategy}-to-learn")):
            said = f"{strategy} SCORE" if word.source == "a score" else strategy
            raise TrainmapError(f"'{strategy}' is a word and no strategy: tm.select(datamap, '{said}', size=...)")
        raise unknown("strategy", str(strategy), STRATEGIES)
    return STRATEGIES[strategy]


AUTO = Strategy(
    "auto",
    auto,
    "ours: docs/selection.md",
    random=True,
    scores=READS,
    needs=("labels",),
    epochs=2,
    shares=True,
    held_out=True,
    explain=reason,
    check=check_auto,
)
_BETA = Strategy(
    "beta", beta, "Cho et al. 2025, arXiv:2502.06905; Wu et al. 2026, arXiv:2606.25488", random=True, check=check_beta
)
_BAND = Strategy("band", band, "a band of ranks", check=check_band)
_AXES = ("variability", "confidence")
_MAP = "Swayamdipta et al. 2020, arXiv:2009.10795"

WORDS: Mapping[str, Word] = {
    word.name: word
    for word in (
        Ranking("all", rankings.everything, "everything"),
        Ranking("random", rankings.chance, "chance", random=True),
        Ranking(EASY, rankings.easy, _MAP, scores=_AXES, epochs=2),
        Ranking(AMBIGUOUS, rankings.ambiguous, _MAP, scores=_AXES, epochs=2),
        Ranking(HARD, rankings.hard, _MAP, scores=_AXES, epochs=2),
        Ranking("top", rankings.top, "a score"),
        Ranking("bottom", rankings.bottom, "a score"),
        Ranking("middle", rankings.middle, "a score"),
        Ranking("hardest", rankings.hardest, "a score"),
        Ranking("easiest", rankings.easiest, "a score"),
        AUTO,
        _BAND,
        replace(_BAND, name="medium", source="Chen et al. 2025 (ICLR)", preset={"score": "teacher_loss"}),
        Strategy("ccs", ccs, "Zheng et al. 2023, arXiv:2210.15809", random=True, check=check_ccs),
        Strategy(
            "dual-beta",
            dual_beta,
            "Cho et al. 2025, arXiv:2502.06905",
            random=True,
            scores=("dual", "confidence"),
            check=check_dual_beta,
        ),
        _BETA,
        replace(_BETA, name="beta-distilled", preset={"distilled": True}),
        Strategy("s2l", s2l, "Yang et al. 2024, arXiv:2403.07384", random=True, needs=("clusters",)),
        Strategy("moderate", moderate, "Xia et al. 2023 (ICLR)", needs=("labels", "features"), check=check_moderate),
        Strategy("d2", d2, "Maharana et al. 2023, arXiv:2310.07931", needs=("features",), check=check_d2),
        Strategy(
            "ugies",
            ugies,
            "Wu et al. 2026, arXiv:2606.12913",
            needs=("labels", "features"),
            check=check_ugies,
        ),
    )
}
"""An end ("top", ...) takes the name of a score, its option ``score``."""

STRATEGIES: Mapping[str, Strategy] = {name: word for name, word in WORDS.items() if isinstance(word, Strategy)}
"""Those that look at the whole distribution: what ``trainmap.select_by`` takes by name."""

HELD_OUT = tuple(word for word in WORDS.values() if word.held_out)
EXPLAINED = tuple(word for word in WORDS.values() if word.explain)


def told_words(words: Iterable[Word]) -> str:
    """Words for a message: ``'auto'``."""
    return " or ".join(f"'{word.name}'" for word in words)
