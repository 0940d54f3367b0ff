"""What would fail after the teacher was trained, found when planning: a strategy is run with its options on made
examples, as many as there are, so that its own checks speak; the epochs that scores need are counted."""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache
from typing import TYPE_CHECKING, Any

import numpy as np

from trainmap.errors import TrainmapError
from trainmap.experiments.choices import TEACHER_LOSS, Settled, columns, settled
from trainmap.experiments.tasks.draws import Chosen, RepeatedAuto
from trainmap.maps.regions import REGIONS
from trainmap.scores.table import score_named
from trainmap.selection.pool import Pool
from trainmap.selection.quotas import Balance
from trainmap.selection.strategies import STRATEGIES, check_epochs, choose
from trainmap.selection.words import parse

if TYPE_CHECKING:
    from trainmap.experiments.rows import Row

GRAPH = 300  # made examples for a strategy that reads features: their graph would take long on all


def rehearse(row: Row, epochs: int, classes: tuple[int, ...]) -> None:
    """Refuse a row of a map whose selection is bound to fail.

    Args:
        epochs: of the map.
        classes: how many examples each class has.

    Raises:
        TrainmapError: too few epochs for what is read, options that the strategy refuses, too few examples left.
    """
    if isinstance(row.draw, RepeatedAuto):
        draw = Chosen(count=row.count, spec=f"{row.count} auto")
    elif isinstance(row.draw, Chosen):
        draw = row.draw
    else:
        return
    examples = sum(classes)
    cut = 0 if draw.without is None else round(draw.without.audit * examples)
    if draw.count > examples - cut:
        raise TrainmapError(
            f"'{row.name}' takes {draw.count} examples, and of {examples} {examples - cut} are left after the cut; "
            "cut fewer or take fewer"
        )
    for strategy in _strategies(draw):
        check_epochs(strategy.name, STRATEGIES[strategy.name].epochs, epochs)
        for column in columns(strategy):
            check_epochs(column, score_named(column).epochs, epochs)
    if draw.strategy is None:
        for part in parse(draw.spec).parts:
            if part.what in REGIONS:
                check_epochs(part.what, 2, epochs)  # over one epoch nothing varies
            elif part.what not in (*STRATEGIES, "random", "all"):
                check_epochs(part.what, score_named(part.what).epochs, epochs)
        return
    if draw.strategy.clusters is not None and draw.strategy.clusters > examples:
        raise TrainmapError(f"clusters must be at most {examples}, the examples, got {draw.strategy.clusters}")
    left = classes if not cut else (examples - cut,)  # which classes are cut is not known before
    balance: Any = None if cut else draw.balance
    _run(draw.strategy.name, tuple(draw.strategy.options.items()), draw.count, left, examples, balance, epochs)


def _strategies(draw: Chosen) -> Iterator[Settled]:
    """The strategies of a row: its own, or those that its spec names."""
    if draw.strategy is not None:
        yield draw.strategy
        return
    for part in parse(draw.spec).parts:
        if part.what in STRATEGIES:
            yield settled(part.what, {})


@lru_cache(maxsize=1024)
def _run(
    name: str,
    options: tuple[tuple[str, Any], ...],
    size: int,
    classes: tuple[int, ...],
    examples: int,
    balance: Balance | None,
    epochs: int,
) -> None:
    """Run a strategy on made scores, features and clusters of examples with these classes."""
    strategy, given = STRATEGIES[name], dict(options)
    labels = np.repeat(np.arange(len(classes)), classes)
    kept = size / examples
    if "features" in strategy.needs and len(labels) > GRAPH:
        size = max(1, int(size / len(labels) * GRAPH))
        labels = labels[np.linspace(0, len(labels) - 1, GRAPH).astype(np.int64)]
    draw, n = np.random.default_rng(0), len(labels)
    pool = Pool(
        ids=np.arange(n),
        labels=labels,
        scores={column: draw.uniform(0.01, 0.3, n) for column in (*strategy.columns(given), TEACHER_LOSS)},
        kept=kept,
        features=draw.normal(size=(n, 2)),
        clusters=draw.integers(0, 10, n),
        epochs=epochs,
        examples=examples,
    )
    try:
        choose(strategy, pool, size, 0, balance, given)
    except TrainmapError:
        raise
    except Exception as error:  # a value that its own checks let through
        told = ", ".join(f"{key}={value!r}" for key, value in options)
        raise TrainmapError(f"{name} fails with {told}: {error!r}; change its options") from error
