"""From which epoch on the ranking of a map no longer moves, so that recording can stop.

Agreement of two maps (seeds, models, numbers of epochs) is in ``trainmap.maps.agreement``, intervals over several
recordings in ``trainmap.maps.over_seeds``.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics
from trainmap.errors import TrainmapError, number, whole
from trainmap.kinds import check_kind
from trainmap.maps.agreement import spearman, top_overlap
from trainmap.maps.over_seeds import SAMPLE as SAMPLE
from trainmap.maps.over_seeds import agreement_matrix as agreement_matrix
from trainmap.maps.over_seeds import intervals as intervals
from trainmap.scores.compute import compute, resolve, score_of
from trainmap.scores.table import Score

Array = NDArray[Any]


@dataclass(frozen=True)
class Convergence:
    """What ``converged`` found.

    Attributes:
        epoch: the number of epochs after which recording can stop; None if the ranking still moves.
        epochs: how many are recorded.
        score, window, threshold, overlap, fraction, patience: the rule.
        table: what it was decided on, see ``agreement_by_epoch``.
    """

    epoch: int | None
    epochs: int
    score: str
    window: float
    threshold: float
    overlap: float
    fraction: float
    patience: int
    table: pl.DataFrame

    def __bool__(self) -> bool:
        return self.epoch is not None

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON; the table as a list of rows."""
        return {
            **{name: value for name, value in vars(self).items() if name != "table"},
            "table": self.table.to_dicts(),
        }

    def __str__(self) -> str:
        rule = (
            f"Spearman >= {self.threshold:g} and top {self.fraction:.0%} overlap >= {self.overlap:g} with "
            f"{_words(self.window)}, {self.patience} in a row"
        )
        if self.epoch is None:
            return f"{self.score}: the ranking still moves after {self.epochs} epochs ({rule})"
        return f"{self.score}: the ranking stands still from {self.epoch} of {self.epochs} epochs on ({rule})"


def converged(
    dynamics: Dynamics,
    score: str | Callable[[Block], Array] = "confidence",
    *,
    window: float = 0.5,
    threshold: float = 0.95,
    overlap: float = 0.8,
    fraction: float = 0.1,
    patience: int = 2,
    sample: int | None = SAMPLE,
    seed: int = 0,
) -> Convergence:
    """From how many epochs on the ranking by a score no longer moves, so that recording can stop.

    The rule: with S_e the score from the first e epochs and b = e - window, the ranking stands still at the first e
    for which

        Spearman(S_e, S_b) >= threshold   and   overlap of the hardest ``fraction`` of S_e and S_b >= overlap

    and both hold for ``patience`` values of e in a row (e is the last of them). A window below 1 is a share of e: with
    0.5, S_e is compared with S_{e/2}. That is the default because a score that averages over epochs agrees with its own
    value one epoch earlier more and more whatever the ranking does (only 1 / e of its terms are new), while a ranking
    that half of the epochs give as well has shown that doubling them changes nothing. A window of 1 or more is a fixed
    number of epochs.

    The rule uses the epochs up to e only, so calling it after every epoch of a running recording gives the same answer
    as calling it on the finished one:

        if converged(Dynamics.open("dynamics"), "aum"):
            break

    A learning rate that falls late, or data that are added late, can move a ranking again after it stood still: the
    rule knows what was recorded, not what will come.

    Args:
        score: a name, or a function of a block.
        sample, seed: follow so many examples, drawn once (None: all, in row blocks). See ``agreement_by_epoch``.

    Raises:
        TrainmapError: an unknown score, a value out of range.
    """
    check_kind(dynamics, Dynamics)
    for name, value in (("threshold", threshold), ("overlap", overlap)):
        if not 0 < number(value, name) <= 1:
            raise TrainmapError(f"{name} must be above 0 and at most 1, got {value}")
    whole(patience, "patience", 1)
    table = agreement_by_epoch(dynamics, score, window=window, fraction=fraction, sample=sample, seed=seed)
    epoch, held = None, 0
    for e, rho, top in table.select("epochs", "spearman", "top").iter_rows():
        # A missing value (no earlier ranking, or a constant one) is not agreement.
        held = held + 1 if rho is not None and rho >= threshold and top >= overlap else 0
        if held == patience:
            epoch = e
            break
    (name,) = resolve(dynamics, [score])
    return Convergence(epoch, dynamics.epochs, name, window, threshold, overlap, fraction, patience, table)


def telling_scores(dynamics: Dynamics) -> list[str]:
    """The scores by which ``trainmap compare`` asks whether a ranking stands still, where none is named."""
    wanted = ["confidence", "variability", "aum"]
    if dynamics.kind in ("multilabel", "tokens"):
        wanted = ["confidence", "variability", "loss"]
    if dynamics.kind in ("regression", "numbers"):
        wanted = [f"{dynamics.main_signal}_{what}" for what in ("mean", "variability")]
    return wanted


def agreement_by_epoch(
    dynamics: Dynamics,
    score: str | Callable[[Block], Array] = "confidence",
    *,
    window: float = 0.5,
    fraction: float = 0.1,
    sample: int | None = SAMPLE,
    seed: int = 0,
) -> pl.DataFrame:
    """How the ranking by a score from the first e epochs agrees with an earlier one and with the final one.

    Args:
        window: how much earlier, in epochs, or as a share of e when below 1; see ``converged``.
        fraction: of the top (the hard end) that is compared.
        sample: follow so many examples, the same for one dataset and seed; one pass over the epochs. None: all of
            them, in row blocks, which reads the first epochs again for every e.

    Returns:
        One row for each e: ``epochs`` (e), ``earlier`` (b), ``spearman`` and ``top`` (agreement with S_b), ``error``
        and ``top_error`` (half of a 95 % interval of each, for what the sample leaves out; 0 for all examples),
        ``final`` and ``final_top`` (agreement with the score from all epochs). Null where there is no earlier ranking
        or one of the two is constant.

        The errors: Fisher's z with variance (1 + rho^2 / 2) / (n - 3) (Bonett and Wright 2000) for Spearman, the
        binomial p (1 - p) / k for the overlap of k places, both with the finite-population factor 1 - n / N.
    """
    check_kind(dynamics, Dynamics)
    number(window, "window")
    whole(seed, "seed")
    if not (0 < window < 1 or (window >= 1 and float(window).is_integer())):
        raise TrainmapError(f"window must be a share of the epochs (0 to 1) or a whole number of epochs, got {window}")
    if not 0 < number(fraction, "fraction") <= 1:
        raise TrainmapError(f"fraction must be above 0 and at most 1, got {fraction}")
    if sample is not None and whole(sample, "sample") < 2:
        raise TrainmapError(f"sample must be at least 2 examples, got {sample}")
    if dynamics.epochs == 0:
        raise TrainmapError(f"{dynamics.path} has no finished epoch yet; a score needs at least one")
    if dynamics.level == "stats":
        raise TrainmapError("a recording at level 'stats' keeps sums and no epochs; record with level='signals'")
    (chosen,) = resolve(dynamics, [score]).values()
    sign = -1 if chosen.direction == "low" else 1
    followed = dynamics.examples if sample is None else min(sample, dynamics.examples)
    left_out = 1 - followed / dynamics.examples
    kept = {e: sign * values for e, values in _by_epoch(dynamics, score, chosen, sample, seed)}
    rows = []
    for e, values in kept.items():
        b = earlier(e, window)
        rho, error, top, top_error = None, None, None, None
        if b in kept:
            rho = spearman(values, kept[b])
            both = int((~np.isnan(values) & ~np.isnan(kept[b])).sum())
            error = _spearman_error(rho, both, left_out)
            places = top_overlap(values, kept[b], fraction)
            top = places.share
            top_error = 1.96 * math.sqrt(top * (1 - top) / max(1, places.count) * left_out)
        last = kept[dynamics.epochs]
        rows.append((e, b if b in kept else None, rho, error, top, top_error))
        rows[-1] += (spearman(values, last), top_overlap(values, last, fraction).share)
    columns = ("epochs", "earlier", "spearman", "error", "top", "top_error", "final", "final_top")
    types = [pl.Int64, pl.Int64, *[pl.Float64] * 6]
    return pl.DataFrame(rows, schema=dict(zip(columns, types, strict=True)), orient="row").fill_nan(None)


def earlier(epochs: int, window: float) -> int:
    """How many epochs the ranking that S_e is compared with was made from; 0 where there is none."""
    return epochs // 2 if window == 0.5 else math.floor(epochs * (1 - window)) if window < 1 else epochs - int(window)


def _by_epoch(
    dynamics: Dynamics, wanted: str | Callable[[Block], Array], score: Score, sample: int | None, seed: int
) -> Iterator[tuple[int, Array]]:
    """(e, the score from the first e epochs) for every e that the score can be made from."""
    span = range(score.epochs, dynamics.epochs + 1)
    if sample is None:
        for e in span:
            (values,) = compute(dynamics, [wanted], epochs=e).values()
            yield e, values
        return
    rows = np.arange(dynamics.examples)
    if sample < dynamics.examples:
        rows = np.sort(np.random.default_rng(seed).choice(dynamics.examples, sample, replace=False))
    columns = {name: np.stack([dynamics.column(e, name)[rows] for e in range(dynamics.epochs)]) for name in score.needs}
    logits = columns.pop("logits", None)
    complete = all(entry.seen == dynamics.examples for entry in dynamics.manifest.epochs)
    for e in span:
        signals = {name: column[:e] for name, column in columns.items()}
        part = None if logits is None else logits[:e]
        yield e, score_of(Block(dynamics.labels[rows], dynamics.classes, signals, complete, part), score)


def _spearman_error(rho: float, n: int, left_out: float) -> float | None:
    """Half of the 95 % interval of a Spearman on n examples, to the nearer end of the two being farther off."""
    if not left_out or math.isnan(rho):
        return 0.0 if not left_out else None
    if abs(rho) == 1:
        return 0.0
    if n <= 3:
        return None
    half = 1.96 * math.sqrt((1 + rho**2 / 2) / (n - 3) * left_out)
    z = math.atanh(rho)
    return max(math.tanh(z + half) - rho, rho - math.tanh(z - half))


def _words(window: float) -> str:
    return f"the first {1 - window:.0%} of the epochs" if window < 1 else f"the ranking {int(window)} epochs before"
