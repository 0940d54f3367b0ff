"""Label errors from dynamics: how suspicious each label is, which ones are suspected, and what they may be instead.

A label error is an example that the network keeps giving another class than its label, while it learns from it. The
rules in ``suspicion.RULES`` turn the epochs of an example into one number, its suspicion, and say from which suspicion
on a label is suspected; a class that is rarer than the one it is taken for has its own threshold (``thresholds``).
Labels planted on purpose (``trainmap.audits.planted``) calibrate the answer.
"""

from __future__ import annotations

import logging
import math
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import polars as pl
from numpy.typing import NDArray

from trainmap.audits.number_audit import audit_numbers
from trainmap.audits.planted import Flips
from trainmap.audits.precision import best_separation, estimate_quality
from trainmap.audits.suspects import Audit, check_audit_name
from trainmap.audits.suspicion import RULES, Rule, epoch_weights, persistent
from trainmap.audits.thresholds import Thresholds, by_class, same_for_all, told
from trainmap.dynamics.index import MISSING, find_rows, ids_from_arrow, ids_to_arrow, rising
from trainmap.dynamics.part_reading import split_parts
from trainmap.dynamics.signals import Block
from trainmap.dynamics.store import Dynamics, fingerprint
from trainmap.errors import TrainmapError, number, some, unknown
from trainmap.kinds import check_kind
from trainmap.scores.averages import aum

__all__ = ["Audit", "audit", "audit_threshold_samples", "check_audit_name"]

Array = NDArray[Any]

log = logging.getLogger("trainmap")

BLOCK_BYTES = 8 << 20
PERCENTILE = 0.99


def audit(
    dynamics: Dynamics,
    rule: str = "combined",
    *,
    threshold: float | Literal["flips"] | None = None,
    flips: Flips | None = None,
    epochs: int | None = None,
) -> Audit:
    """Which labels of a recording look wrong.

    Args:
        dynamics: with one label for each example, the one it was trained with. Of regression, several labels or
            sequences: see ``number_audit``, which has one rule and no flips.
        rule: a key of ``suspicion.RULES``.
        threshold: suspected from this suspicion on in every class, in place of the rule's own and of those of rare
            classes. ``"flips"``: where the planted flips and the other labels separate best (see
            ``precision.best_separation``), in place of the rule's; rare classes have their own above it.
        flips: labels that were flipped for this recording. They give the estimate of precision and recall; in the table
            they have their original label again and no suspicion, since the recording tested another label. (A
            suggestion for them stands as it is: what was predicted against the planted label.)
        epochs: use only the first so many epochs. A network that learns its training set by heart ends up agreeing
            with wrong labels: stop before that.

    Raises:
        TrainmapError: an unknown rule, a signal that is not there, flips of another recording, nothing to audit.
    """
    check_kind(dynamics, Dynamics)
    if dynamics.kind != "classes":
        return _of_numbers(dynamics, rule, threshold, flips, epochs)
    if not isinstance(rule, str) or rule not in RULES:
        raise unknown("rule", rule, RULES)
    by_flips = isinstance(threshold, str) and threshold == "flips"
    if threshold is not None and not by_flips and not (isinstance(threshold, float) and math.isinf(threshold)):
        number(threshold, "threshold (where it is not 'flips')")
    if by_flips and flips is None:
        raise TrainmapError("threshold='flips' needs the flips that were planted; pass flips=plan_flips(...)")
    chosen = RULES[rule]
    weights = epoch_weights(dynamics, epochs)
    columns = _measure(dynamics, chosen.function, chosen.needs, dynamics.classes, weights)
    suspicion = columns.suspicion if chosen.whole is None else chosen.whole(columns.suspicion)
    labels, planted = _without_flips(dynamics, flips)
    alike = threshold is not None and not by_flips
    if by_flips:
        threshold = best_separation(suspicion[planted], suspicion[~planted])
    cut = chosen.threshold if threshold is None else float(threshold)
    above, thresholds = _judged(chosen, columns, suspicion, dynamics.labels, cut, alike)
    quality = estimate_quality(above[planted], above[~planted], 0.0) if flips is not None else None
    above[planted], suspicion = np.nan, np.where(planted, np.nan, suspicion)
    table = _table(dynamics.ids, labels, suspicion, above >= 0, columns)
    classes = told(thresholds, np.where(np.isnan(suspicion), -1, labels), suspicion >= cut, above >= 0)
    about = (dynamics.source, fingerprint(dynamics.ids, labels), len(weights))
    return _warned(_told(Audit(table, rule, cut, *about, quality, classes), dynamics))


def _of_numbers(dynamics: Dynamics, rule: str, threshold: Any, flips: Flips | None, epochs: int | None) -> Audit:
    """The audit of a recording without a gold class: it has one rule, and no flips."""
    if rule != "combined" or flips is not None or isinstance(threshold, str):
        raise TrainmapError(
            f"rule, flips and threshold='flips' are of classes; the recording is of kind '{dynamics.kind}', which "
            "has one rule of its own: leave them out"
        )
    cut = None if threshold is None else number(threshold, "threshold")
    return audit_numbers(dynamics, cut, epochs)


def _told(found: Audit, dynamics: Dynamics) -> Audit:
    """The audit with the names of its classes, and whose parts its examples are."""
    table = found.table
    if (names := dynamics.class_names) is not None:
        called = dict(enumerate(str(name) for name in names))
        table = table.with_columns(
            pl.col(column).replace_strict(called, default=None, return_dtype=pl.String).alias(f"{column}_name")
            for column in ("label", "suggested")
        )
    if dynamics.per is not None:
        ids = ids_from_arrow(table["id"].to_arrow())
        examples, parts = split_parts(ids, dynamics.manifest.example_type)
        table = table.with_columns(
            pl.Series("example", ids_to_arrow(examples)), pl.Series("part", parts.tolist(), dtype=pl.String)
        )
    return replace(found, table=table, per=dynamics.per, class_names=dynamics.class_names)


def _judged(
    rule: Rule, columns: _Columns, suspicion: Array, labels: Array, cut: float, alike: bool
) -> tuple[Array, Thresholds]:
    """How far each example is above the threshold of its class, (N,), suspected from 0 on; and the thresholds."""
    if alike:
        thresholds = same_for_all(suspicion, labels, cut)
        return suspicion - thresholds.of(labels), thresholds
    values, start = columns.suspicion, cut
    if rule.whole is not None:  # what it makes of the values may be the same for many: classes are told by the values
        start = float(np.min(values[suspicion >= cut], initial=math.inf))
    found = by_class(values, labels, columns.other, columns.label_share, start, rule.centre)
    above = np.minimum(values - found.of(labels), suspicion - cut)
    if rule.whole is None:
        return above, found
    ascending = np.argsort(values, kind="stable")[: np.count_nonzero(~np.isnan(values))]
    place = np.searchsorted(values[ascending], found.values)
    return above, replace(found, values=np.append(suspicion[ascending], math.inf)[place])


def _warned(found: Audit) -> Audit:
    for line in found.warnings:
        log.warning("audit: %s", line)
    return found


def audit_threshold_samples(
    first: Dynamics, second: Dynamics, percentile: float = PERCENTILE, *, epochs: int | None = None
) -> Audit:
    """AUM with threshold samples: a label is suspected when its margin looks like that of a class that does not exist.

    In each of the two recordings some examples (``planted.plan_threshold_samples``) carried an extra class. With alpha
    the ``percentile`` of their AUM, the suspicion of an example is alpha - AUM, from the run in which it had its own
    label; the mean of the two if it had it in both. Suspected at 0 and above, in rare classes at their own thresholds.

    Args:
        first, second: recordings of the two runs, with ``classes + 1`` classes, the extra one being the last.

    Raises:
        TrainmapError: the recordings do not belong together: other ids, classes or source, labels that differ
            elsewhere, no threshold samples, or an example that is one in both.

    Source: Pleiss et al. 2020, arXiv:2001.10528, sections 3.2 and 4 (99th percentile, two runs).
    Differs: the paper unites what is flagged in either run; the mean treats an example seen twice like one seen once.
    """
    check_kind(first, Dynamics)
    check_kind(second, Dynamics)
    first.check_classes("an audit with threshold samples")
    second.check_classes("an audit with threshold samples")
    if not 0 < number(percentile, "percentile") < 1:
        raise TrainmapError(f"percentile must lie between 0 and 1 (0.99 in the paper), got {percentile}")
    extra = first.classes - 1
    for what in ("classes", "source"):
        if getattr(first, what) != getattr(second, what):
            raise TrainmapError(
                f"the two runs must have the same {what}, got {getattr(first, what)} and {getattr(second, what)}"
            )
    if not np.array_equal(first.ids, second.ids):
        raise TrainmapError("the two runs must have recorded the same ids")
    samples = [run.labels == extra for run in (first, second)]
    if (twice := samples[0] & samples[1]).any():
        raise TrainmapError(
            f"{twice.sum()} ids carry the extra class {extra} in both runs (first: {some(first.ids[twice])})"
        )
    if not all(one.any() for one in samples):
        raise TrainmapError(
            f"each run needs threshold samples, with label {extra}, the last of its {extra + 1} classes"
        )
    if (wrong := (first.labels != second.labels) & ~(samples[0] | samples[1])).any():
        raise TrainmapError(
            f"the labels of the two runs differ for {wrong.sum()} ids that are no threshold samples "
            f"(first: {some(first.ids[wrong])})"
        )
    runs, distances, alphas = [], [], []
    for run, sample in zip((first, second), samples, strict=True):
        columns = _measure(run, lambda block, _: aum(block), ("margin",), extra, epoch_weights(run, epochs))
        alpha = float(np.nanquantile(columns.suspicion[sample], percentile))
        distances.append(np.where(sample, np.nan, alpha - columns.suspicion))
        alphas.append(alpha)
        runs.append(columns)
    both = np.stack(distances)
    present = ~np.isnan(both)
    suspicion = np.where(present, both, 0).sum(axis=0) / np.where(present.any(axis=0), present.sum(axis=0), np.nan)
    # What was predicted in a run in which the example had its own label; the first one where it had it in both.
    a, b = runs
    own = _Columns(
        suspicion,
        np.where(samples[0], b.other, a.other),
        np.where(samples[0], b.share, a.share),
        np.where(samples[0], b.label_share, a.label_share),
    )
    labels = np.where(samples[0], second.labels, first.labels)
    thresholds = by_class(suspicion, labels, own.other, own.label_share, 0.0, sum(alphas) / 2)
    suspected = suspicion >= thresholds.of(labels)
    about = (first.source, fingerprint(first.ids, labels), first.epochs if epochs is None else epochs)
    classes = told(thresholds, np.where(np.isnan(suspicion), -1, labels), suspicion >= 0, suspected)
    table = _table(first.ids, labels, suspicion, suspected, own)
    return _warned(Audit(table, "aum with threshold samples", 0.0, *about, None, classes))


@dataclass(frozen=True)
class _Columns:
    """(N,) each: the suspicion, the class other than the label that was predicted most, its share, the label's."""

    suspicion: Array
    other: Array
    share: Array
    label_share: Array


def _measure(
    dynamics: Dynamics,
    function: Callable[[Block, Array], Array],
    needs: tuple[str, ...],
    classes: int,
    weights: Array,
) -> _Columns:
    names = sorted({*needs, "predicted"})
    out = _Columns(*(np.empty(dynamics.examples, dtype) for dtype in (float, np.int64, float, float)))
    per_example = len(weights) * sum(dynamics.bytes_per_value(name) for name in names)
    start = 0
    for block in dynamics.blocks(max(256, BLOCK_BYTES // per_example), names, len(weights)):
        part = slice(start, start + len(block))
        out.suspicion[part] = function(block, weights)
        out.other[part], out.share[part], out.label_share[part] = persistent(
            block.predicted, block.labels, classes, weights
        )
        start += len(block)
    return out


def _without_flips(dynamics: Dynamics, flips: Flips | None) -> tuple[Array, Array]:
    """The labels before the flips, and which examples were flipped, (N,) each."""
    planted = np.zeros(dynamics.examples, bool)
    if flips is None:
        return dynamics.labels, planted
    check_kind(flips, Flips)
    rows = find_rows(dynamics.ids, flips.ids)
    if (rows == MISSING).any() or (dynamics.labels[rows] != flips.planted).any():
        raise TrainmapError("these flips were not planted in this recording: its ids or labels are others")
    labels = dynamics.labels.copy()
    labels[rows], planted[rows] = flips.original, True
    return labels, planted


def _table(ids: Array, labels: Array, suspicion: Array, suspected: Array, columns: _Columns) -> pl.DataFrame:
    wanted = (columns.other >= 0) & (columns.other != labels) & (suspected | (columns.share > columns.label_share))
    order = rising(-suspicion, ids)  # NaN comes last
    table = pl.DataFrame(
        {
            "id": pl.Series(ids_to_arrow(ids)),
            "label": pl.Series(labels),
            "suspicion": pl.Series(suspicion).fill_nan(None),
            "suspected": pl.Series(suspected),
            "suggested": pl.Series(np.where(wanted, columns.other, -1)),
            "support": pl.Series(np.where(wanted, columns.share, np.nan)).fill_nan(None),
        }
    )
    return table.with_columns(pl.col("label", "suggested").replace(-1, None))[order]
