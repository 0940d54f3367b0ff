"""Scores over a whole recording: row block by row block, on every core, never the whole in memory."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from numbers import Integral
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.manifest import Level
from trainmap.dynamics.signals import SIGNALS, Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, cause, shown, whole
from trainmap.kinds import check_kind
from trainmap.machine import cores, human, memory_held, parse_bytes
from trainmap.scores.by_kind import of_another_kind, score_in, scores_of, usual_scores
from trainmap.scores.from_stats import FROM_STATS, needs_epochs, score_from_stats
from trainmap.scores.table import OF_SEVERAL, SCORES, Score, hard_end, of_several, score_named

Array = NDArray[Any]

BLOCK_ROWS = 1 << 16  # enough that the work outweighs the calls
BLOCK_BYTES = 16 << 20  # of signals, where a row is long
LEAST_ROWS = 256  # below this the calls cost more than the work
TEMPORARY_BYTES = 512  # of one example, beside its signals: means, variances and results, in float64
TEMPORARY_COPIES = 4  # of an example's signals: right or wrong, probabilities, logarithms


def available(dynamics: Dynamics, epochs: int | None = None) -> list[str]:
    """The scores that the first ``epochs`` epochs (all of them) can give: their signals are there and they suffice."""
    taken = dynamics.epochs if epochs is None else whole(epochs, "epochs")
    enough = [score for score in usual_scores(dynamics) if taken >= score.epochs]
    if dynamics.level == "stats":
        return [score.name for score in enough if score.name in FROM_STATS]
    held = set(dynamics.signals)
    return [score.name for score in enough if held.issuperset(score.needs)]


def resolve(
    dynamics: Dynamics, scores: Sequence[str | Callable[[Block], Array]] | None, epochs: int | None = None
) -> dict[str, Score]:
    """Names and plain functions as scores that the recording's first ``epochs`` epochs can give; all of them for None.

    Raises:
        TrainmapError: an unknown name, a name twice, a signal that is not there, too few epochs.
    """
    check_question(dynamics, scores)
    taken = epochs_taken(dynamics, epochs)
    chosen: dict[str, Score] = {}
    for entry in available(dynamics, epochs) if scores is None else scores:
        score = _as_score(entry, dynamics)
        if OF_SEVERAL.get(score.name) is score:
            raise of_several(score.name)
        if score.name in chosen:
            raise TrainmapError(f"score '{score.name}' was asked for twice; give one of them another name")
        if taken < score.epochs:
            raise TrainmapError(f"{score.name} needs at least {score.epochs} epochs, got {taken}")
        if dynamics.level == "stats":
            if SCORES.get(score.name) is not score:  # a function or a convention; the name alone proves nothing
                raise needs_epochs(score.name)
            score = replace(score, function=score_from_stats(score.name), needs=())
        lacking = [name for name in score.needs if name not in dynamics.signals]
        if lacking:
            raise TrainmapError(
                f"{score.name} needs {', '.join(lacking)}; a recording at level '{dynamics.level}' has none"
            )
        chosen[score.name] = score
    return chosen


def check_score(name: str, epochs: int, level: Level = "signals") -> None:
    """Refuse a score that a recording of classes, of so many epochs, at the level "signals" or "logits", cannot give.

    Raises:
        TrainmapError: an unknown score, too few epochs, a score of the logits where they are not kept.
    """
    score = score_named(name)
    if "classes" not in score.kinds:
        raise of_another_kind(name, "classes", SCORES)
    check_epochs(name, score.epochs, epochs)
    if lacking := lacking_at(name, level):
        raise TrainmapError(f"{name} needs {', '.join(lacking)}; a recording at level '{level}' has none")


def lacking_at(column: str, level: Level) -> tuple[str, ...]:
    """What a score needs and a recording of classes at the level "signals" or "logits" does not keep; nothing for a
    column that is none of trainmap's scores."""
    if level == "logits" or hard_end(column) is None:
        return ()
    return tuple(need for need in score_named(column).needs if need not in SIGNALS)


def check_epochs(what: str, needed: int, epochs: int) -> None:
    """Refuse a map with fewer epochs than a score or a strategy needs.

    Raises:
        TrainmapError: says how many it must be.
    """
    if epochs < needed:
        raise TrainmapError(f"{what} needs a map of at least {needed} epochs, got {epochs}; record more of them")


def epochs_taken(dynamics: Dynamics, epochs: object) -> int:
    """How many of the first epochs are asked for: all of them for None.

    Raises:
        TrainmapError: none is finished, or not a whole number from 1 to those recorded.
    """
    if dynamics.epochs == 0:
        raise TrainmapError(f"{dynamics.path} has no finished epoch yet; a score needs at least one")
    if epochs is None:
        return dynamics.epochs
    if isinstance(epochs, bool) or not isinstance(epochs, Integral) or not 1 <= int(epochs) <= dynamics.epochs:
        raise TrainmapError(f"epochs must be 1 to {dynamics.epochs} (those recorded), got {shown(epochs)}")
    return int(epochs)


def check_progress(on_progress: object) -> None:
    """Refuse what cannot be called."""
    if on_progress is not None and not callable(on_progress):
        raise TrainmapError(f"on_progress must be a function of a number, got {shown(on_progress)}")


def check_question(dynamics: object, scores: object) -> None:
    """Refuse a path where a recording is needed, and one name where a list of them is."""
    check_kind(dynamics, Dynamics)
    if scores is not None and not isinstance(scores, Iterable):
        raise TrainmapError(f"scores must be a list of names or functions, got a {type(scores).__name__}")
    if isinstance(scores, str):
        raise TrainmapError(f"scores must be a list of names, got '{scores}'; pass ['{scores}']")


def _as_score(entry: str | Callable[[Block], Array], dynamics: Dynamics) -> Score:
    if isinstance(entry, Score):
        if dynamics.kind not in entry.kinds:
            raise of_another_kind(entry.name, dynamics.kind, scores_of(dynamics))
        return entry
    if isinstance(entry, str):
        return score_in(dynamics, entry)
    if not callable(entry):
        raise TrainmapError(f"a score must be a name or a function of a block, got a {type(entry).__name__}")
    name = getattr(entry, "__name__", type(entry).__name__)
    signals = tuple(signal for signal in dynamics.signals if signal != "logits")
    return Score(name, entry, "high", signals, "", "yours", kinds=(dynamics.kind,))


@dataclass(frozen=True)
class Estimate:
    """What scoring will take, before it starts.

    Attributes:
        rows: examples in a block.
        workers: blocks under way at a time.
        read_bytes: what is read from disk.
        memory_bytes: the most memory that the process will hold, what it holds already included.
    """

    rows: int
    workers: int
    read_bytes: int
    memory_bytes: int

    def __str__(self) -> str:
        return f"reads {human(self.read_bytes)}, holds at most {human(self.memory_bytes)} of memory"


def estimate(
    dynamics: Dynamics,
    chosen: dict[str, Score],
    *,
    epochs: int | None = None,
    workers: int | None = None,
    max_memory: int | str | None = None,
    collect: bool = True,
) -> Estimate:
    """How large the blocks may be, and what that costs.

    Args:
        chosen: what ``resolve`` gave.
        max_memory: bytes that the whole process may hold, or text such as "1GB"; None: as good speed needs.
        collect: the scores of all examples are kept (8 bytes each), not passed on block by block.

    Raises:
        TrainmapError: the limit is too small for a block of ``LEAST_ROWS`` examples; it says what would do.
    """
    taken = dynamics.epochs if epochs is None else epochs
    needs = _needs(chosen)
    signals = max(1, taken * sum(dynamics.bytes_per_value(name) for name in needs))
    if dynamics.level == "stats":
        signals = sum(column.itemsize for column in dynamics.stats.columns.values())
    example = signals * (1 + TEMPORARY_COPIES) + TEMPORARY_BYTES + 16 * len(chosen)
    workers = min(cores() if workers is None else whole(workers, "workers", 1), max(1, dynamics.examples))
    limit = _bytes(max_memory)
    rows = min(max(LEAST_ROWS, min(BLOCK_ROWS, BLOCK_BYTES // signals)), max(1, dynamics.examples))
    held = memory_held() + (8 * len(chosen) * dynamics.examples if collect else 0)
    if limit is not None:
        room = limit - held
        while workers > 1 and room < example * min(LEAST_ROWS, rows) * (workers + 1):
            workers -= 1
        rows = min(rows, room // (example * (workers + 1)))
        if rows < min(LEAST_ROWS, dynamics.examples):
            least = held + example * min(LEAST_ROWS, dynamics.examples) * 2
            raise TrainmapError(f"max_memory must be at least {human(least)} for this recording, got {human(limit)}")
    return Estimate(rows, workers, signals * dynamics.examples, held + example * rows * (workers + 1))


def score_blocks(
    dynamics: Dynamics, chosen: dict[str, Score], plan: Estimate, epochs: int | None = None
) -> Iterator[tuple[int, dict[str, Array]]]:
    """(first row, name -> (n,) float64) of every block, in row order; one more block is under way than workers.

    The same bits whatever the plan.
    """
    taken = dynamics.epochs if epochs is None else epochs
    needs = _needs(chosen)
    sums = dynamics.stats if dynamics.level == "stats" else None
    if sums is not None and taken != sums.epochs:
        raise TrainmapError(f"running sums are over all {sums.epochs} epochs, not over {taken}; record level='signals'")

    def work(start: int) -> tuple[int, dict[str, Array]]:
        stop = min(start + plan.rows, dynamics.examples)
        block = sums.rows(start, stop) if sums is not None else dynamics.block(start, stop, needs, taken)
        values = {name: score_of(block, score) for name, score in chosen.items()}
        for name, column in values.items():
            if column.shape != (stop - start,) or column.dtype.kind not in "fiub":
                raise TrainmapError(
                    f"score '{name}' must return ({stop - start},) numbers for a block of {stop - start} examples, "
                    f"got {column.dtype} {column.shape}"
                )
        return start, values

    with ThreadPoolExecutor(plan.workers) as pool:
        under_way: deque[Future[tuple[int, dict[str, Array]]]] = deque()
        for start in range(0, dynamics.examples, plan.rows):
            under_way.append(pool.submit(work, start))
            if len(under_way) > plan.workers:
                yield under_way.popleft().result()
        while under_way:
            yield under_way.popleft().result()


def score_of(block: Any, score: Score) -> Array:
    """A score of a block. What the function of a user raises says whose it is.

    Raises:
        TrainmapError: the function failed, with its error as the cause.
    """
    try:
        return np.asarray(score.function(block))
    except (TrainmapError, MemoryError):
        raise
    except Exception as error:  # a user's code: any kind
        raise TrainmapError(f"score '{score.name}' failed with {type(error).__name__}: {cause(error)}") from error


def compute(
    dynamics: Dynamics,
    scores: Sequence[str | Callable[[Block], Array]] | None = None,
    *,
    epochs: int | None = None,
    workers: int | None = None,
    max_memory: int | str | None = None,
    on_progress: Callable[[int], None] | None = None,
) -> dict[str, Array]:
    """Scores of every example of a recording.

    Args:
        scores: names from ``SCORES`` or functions of a block; None for all that the recording can give.
        epochs: only the first so many epochs.
        workers: threads; by default one for each core that this process may use.
        max_memory: bytes that the process may hold at most, or text such as "1GB"; see ``estimate``.
        on_progress: called with the number of examples done.

    Returns:
        name -> (N,) float64, in row order (``dynamics.ids``). The same bits whatever the blocks and workers.
    """
    chosen = resolve(dynamics, scores, epochs)
    check_progress(on_progress)
    plan = estimate(dynamics, chosen, epochs=epochs, workers=workers, max_memory=max_memory)
    out = {name: np.empty(dynamics.examples) for name in chosen}
    for start, values in score_blocks(dynamics, chosen, plan, epochs):
        rows = 0
        for name, column in values.items():
            rows = len(column)
            out[name][start : start + rows] = column
        if on_progress is not None:
            on_progress(rows)
    return out


def _needs(chosen: dict[str, Score]) -> list[str]:
    return sorted({name for score in chosen.values() for name in score.needs})


def _bytes(amount: object) -> int | None:
    return parse_bytes(amount) if isinstance(amount, str) else None if amount is None else whole(amount, "max_memory")
