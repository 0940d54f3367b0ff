"""A map, a plan and an exact size -> a Selection. Deterministic; the order of the input never changes the answer."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids
from trainmap.dynamics.store import fingerprint
from trainmap.errors import TrainmapError, some
from trainmap.kinds import check_kind
from trainmap.maps.datamap import DataMap
from trainmap.scores.trajectories import Clusters
from trainmap.selection.auto_rule import Advice, read_map
from trainmap.selection.card import Selection, Taken, are_numbers
from trainmap.selection.entry import Ask, Strategy, Word, check_request, usable
from trainmap.selection.pool import Features, Pool, aligned
from trainmap.selection.quotas import Balance
from trainmap.selection.strategies import AUTO, EXPLAINED, HELD_OUT, WORDS, named, told_words
from trainmap.selection.words import Plan, check_size, parse

__all__ = ["Advice", "Balance", "advise", "explained", "known_pool", "select", "select_by"]

Array = NDArray[Any]


def select(
    datamap: DataMap,
    spec: str | Plan,
    size: int | None = None,
    seed: int = 0,
    balance: Balance | None = None,
    *,
    without: Any = (),
    held_out: float | None = None,
) -> Selection:
    """Choose examples.

    Args:
        spec: for example ``"17% ambiguous + 25% easy-to-learn"``; see ``trainmap.selection.words``. The parts are
            disjoint and the total is their sum: where a part would take what an earlier one has, it takes its next
            best instead.
        size: an exact total; the parts share it in proportion.
        seed: of the random parts. A smaller random sample is a part of a larger one with the same seed.
        balance: within each part, ``"equal"`` numbers of every class (a class that runs out leaves its places to the
            others) or numbers ``"proportional"`` to what the classes have left. None: as the scores fall.
        without: ids that are never taken, for example ``audit(dynamics).suspected``, or another selection; percentages
            stay of all examples.
        held_out: for a part ``auto``: accuracy of the map's network on data that it was not trained on.

    Returns:
        the ids and what they came from. Ties break by a fixed hash of the id, so that no class comes first; an example
        without a value (NaN: never seen) is never taken by its score, only at random; infinite values are values.

    Raises:
        TrainmapError: an unknown score, a budget outside 1 to N, too few examples with a value.
    """
    check_kind(datamap, DataMap)
    check_request(seed, balance, datamap.labels)
    if not isinstance(spec, str | Plan):
        raise TrainmapError(f"a spec must be text such as '33% ambiguous', or a plan, got {type(spec).__name__}")
    plan = parse(spec) if isinstance(spec, str) else spec
    if held_out is not None and not any(part.word.held_out for part in plan.parts):
        raise TrainmapError(f"held_out goes with {told_words(HELD_OUT)} alone, got '{plan}'")
    free = _left(datamap, without)
    chosen_rows = np.zeros(len(datamap), bool)
    taken: list[Taken] = []
    for part, count in zip(plan.parts, plan.sizes(len(datamap), size), strict=True):
        word, options = part.word, part.options
        options |= {"held_out": held_out} if word.held_out else {}
        pool = _pool(datamap, word, options, count / len(datamap))
        chosen, passed_over = word.draw(pool, free, Ask(count, int(seed), balance, options, str(part)))
        free[chosen], chosen_rows[chosen] = False, True
        taken.append(Taken(str(part), count, passed_over))
    told = [] if held_out is None else [f"held_out={held_out}"]
    return Selection(
        ids=datamap.ids[chosen_rows],
        spec=", ".join([str(plan), *told, *_said_without(without)]),
        seed=int(seed),
        balance=balance,
        rule=datamap.rule,
        examples=len(datamap),
        parts=tuple(taken),
        dataset=datamap.dataset,
        map=datamap.fingerprint,
        numbered=are_numbers(datamap.ids),
    )


def select_by(
    datamap: DataMap,
    strategy: str | Strategy | Callable[..., Array],
    size: int,
    seed: int = 0,
    balance: Balance | None = None,
    *,
    without: Any = (),
    features: Features | None = None,
    clusters: Clusters | None = None,
    **options: Any,
) -> Selection:
    """Choose examples by a strategy with options, features or clusters.

    Args:
        strategy: a name of ``trainmap.STRATEGIES``, or a function of your own (see ``trainmap.selection.strategies``).
        size: how many, 1 to N.
        seed: of the strategies that draw.
        balance: within each class, ``"equal"`` numbers or numbers ``"proportional"`` to the candidates.
        without: ids that are never taken, for example ``audit(dynamics).suspected``. What a strategy computes (strata,
            ranks, neighbours) is then computed on the others; the kept fraction stays one of all N.
        features: a vector for each example, for "moderate" and "d2".
        clusters: of ``trainmap.scores.trajectories.cluster``, for "s2l".
        options: of the strategy; ``trainmap.STRATEGIES[name].defaults`` has them.

    Returns:
        the ids and what they came from: the strategy with all its options, and fingerprints of what else was used.

    Raises:
        TrainmapError: an unknown strategy or option, a size outside 1 to N, something missing that the strategy reads.
    """
    check_kind(datamap, DataMap)
    check_request(seed, balance, datamap.labels)
    check_size(size, len(datamap))
    found = named(strategy)
    used = found.options(options)
    pool = _pool(datamap, found, used, int(size) / len(datamap), features, clusters)
    chosen, _ = found.draw(pool, _left(datamap, without), Ask(int(size), int(seed), balance, used))
    said = ", ".join(f"{name}={value}" for name, value in used.items())
    what = f"{size} {found.name}" + (f"({said})" if said else "")
    provenance = [
        *([f"features {features.fingerprint()[:12]}"] if features is not None else []),
        *([f"clusters {fingerprint(clusters.ids, clusters.labels)[:12]}"] if clusters is not None else []),
        *_said_without(without),
    ]
    return Selection(
        ids=datamap.ids[chosen],
        spec=", ".join([what, *provenance]),
        seed=int(seed),
        balance=balance,
        rule=datamap.rule,
        examples=len(datamap),
        parts=(Taken(what, int(size), 0),),
        dataset=datamap.dataset,
        map=datamap.fingerprint,
        numbered=are_numbers(datamap.ids),
    )


def advise(
    datamap: DataMap,
    size: int,
    *,
    noise: float | None = None,
    distilled: bool = False,
    held_out: float | None = None,
    balance: Balance | None = None,
    repeated: bool = False,
    without: Any = (),
) -> Advice:
    """What the strategy "auto" does with a map and a budget, and why.

    Args:
        size: how many are to be kept, 1 to N.
        noise: share of wrong labels, 0 to below 1, where it is known; None reads it off the map.
        distilled: whether the student learns from a teacher as well.
        held_out: accuracy of the network that made the map on data that it was not trained on, 0 to 1.
        balance: ``"equal"`` deals out as many places to every class; in proportion otherwise.
        repeated: for ``RepeatedAuto``, which draws afresh in every epoch.
        without: ids that are never taken, for example ``audit(dynamics).suspected``.

    Returns:
        the numbers of the rule, and ``reason``, a paragraph. ``select_by(datamap, "auto", size, noise=noise)`` does it.

    Raises:
        TrainmapError: a size or share out of range, a map that lacks a score, labels or epochs.
    """
    pool = known_pool(datamap, AUTO, size, balance, without)
    return read_map(pool, int(size), noise, distilled, held_out, balance, repeated)


def explained(
    datamap: DataMap,
    word: Word,
    size: int,
    balance: Balance | None = None,
    *,
    without: Any = (),
    **options: Any,
) -> str:
    """What a word that can tell (``word.explain``) makes of a map, in a paragraph.

    Args:
        word: of ``trainmap.selection.strategies.WORDS``.
        size, balance, without, options: as in ``select_by``.
    """
    if word.explain is None:
        raise TrainmapError(f"'{word.name}' tells nothing of a map; {told_words(EXPLAINED)} does")
    return word.explain(known_pool(datamap, word, size, balance, without), int(size), balance, **options)


def known_pool(
    datamap: DataMap, word: Word = AUTO, size: int = 1, balance: Balance | None = None, without: Any = ()
) -> Pool:
    """The examples that a word chooses from: what it reads of each that is not left out and has it."""
    check_kind(datamap, DataMap)
    check_request(0, balance, datamap.labels)
    check_size(size, len(datamap))
    pool = _pool(datamap, word, word.defaults, int(size) / len(datamap))
    pool = pool.rows(np.flatnonzero(_left(datamap, without)))
    return pool.rows(usable(word, pool, word.columns(word.defaults)))


def _pool(
    datamap: DataMap,
    word: Word,
    options: Mapping[str, Any],
    kept: float,
    features: Features | None = None,
    clusters: Clusters | None = None,
) -> Pool:
    """Every example of the map with the columns that a word reads; with all of them for a strategy of one's own."""
    word.check_map(datamap.epochs)
    if "labels" in word.needs and datamap.kind != "classes":
        raise TrainmapError(
            f"'{word.name}' needs a gold class for each example, which a map of kind '{datamap.kind}' has not; take "
            "a region, an end of a score, or random"
        )
    for what, given, kind in (("features", features, Features), ("clusters", clusters, Clusters)):
        if given is not None and not isinstance(given, kind):
            raise TrainmapError(f"{what} must be {kind.__name__}(ids, ...), got {type(given).__name__}")
    ids = datamap.ids
    columns = word.columns(options) if word.name in WORDS else datamap.scores
    return Pool(
        ids=ids,
        labels=datamap.labels,
        scores={name: datamap.values(name) for name in columns},
        kept=kept,
        features=None if features is None else aligned(ids, features.ids, features.values, "features"),
        clusters=None if clusters is None else aligned(ids, clusters.ids, clusters.labels, "clusters"),
        epochs=datamap.epochs,
        examples=len(datamap),
        rule=datamap.rule,
        ends={name: datamap.hard_end(name) for name in columns},
        source=datamap.source,
    )


def _left(datamap: DataMap, without: Any) -> Array:
    """(N,) bool: the examples that may be taken."""
    unwanted = _ids_of(without)
    if len(unwanted) == 0:
        return np.ones(len(datamap), bool)
    if (unwanted.dtype.kind == "U") != (datamap.ids.dtype.kind == "U"):
        raise TrainmapError(f"without must be ids of the map's kind, {datamap.table['id'].dtype}, got {unwanted.dtype}")
    strange = np.setdiff1d(unwanted, datamap.ids)
    if len(strange):
        raise TrainmapError(f"{len(strange)} ids of without are not in this map (first: {some(strange.tolist())})")
    return ~np.isin(datamap.ids, unwanted)


def _ids_of(without: Any) -> Array:
    """The ids in an array, a list, a set, or of another selection."""
    if isinstance(without, Selection):
        return without.ids
    return to_ids(sorted(without) if isinstance(without, set | frozenset) else without)


def _said_without(without: Any) -> list[str]:
    """What a card says of the ids that were left out."""
    unwanted = np.unique(_ids_of(without))
    if len(unwanted) == 0:
        return []
    return [f"without {len(unwanted)} ids {fingerprint(unwanted, np.zeros(len(unwanted), np.int64))[:12]}"]
