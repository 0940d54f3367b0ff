"""What the axes of a map's picture are called, by the kind of its recording."""

from __future__ import annotations

from typing import Any

from trainmap.views.style import CLASS_COLOURS, lettering

OF_P_GOLD = {"multilabel": "p(gold), the mean over labels,", "tokens": "p(gold) a token"}


def labels_of(datamap: Any) -> dict[str, str]:
    """Column -> what is written beside its axis, where that is not what it is of a map of classes."""
    kind = getattr(datamap, "kind", "classes")
    if kind == "classes":
        return {}
    if kind in OF_P_GOLD:
        return {
            "confidence": f"confidence  (mean of {OF_P_GOLD[kind]} over the epochs)",
            "variability": f"variability  (standard deviation of {OF_P_GOLD[kind]} over the epochs)",
        }
    name = lettering(datamap.signal.replace("_", " "))
    turned = datamap.signals[0].hard == "high"
    return {
        "confidence": f"{'less the mean' if turned else 'mean'} {name} over the epochs  (up is easy)",
        "variability": f"standard deviation of the {name} over the epochs",
    }


def colour_of(datamap: Any) -> str:
    """The column that the points are coloured by."""
    kind, table = getattr(datamap, "kind", "classes"), datamap.table
    if kind == "tokens" and "loss_last" in table.columns and not table["correctness"].is_finite().any():
        return "loss_last"  # of sequences that were recorded by the log-probabilities of their gold tokens
    if kind not in ("regression", "numbers"):
        return "correctness"
    last = f"{datamap.signal}_last"
    return last if last in datamap.table.columns else "confidence"


def names_of(datamap: Any) -> tuple[str, ...]:
    """What the classes are called where each can have a colour of its own; () where there are too many, or none."""
    labels = datamap.table["label"] if "label" in datamap.table.columns else None
    if labels is None or not labels.dtype.is_integer() or not len(labels) or labels.min() < 0:  # type: ignore[operator]
        return ()
    given = getattr(datamap, "class_names", None)
    known = len(given) if given else int(labels.max()) + 1  # type: ignore[arg-type]
    if known > len(CLASS_COLOURS):
        return ()
    return tuple(map(str, given or range(known)))
