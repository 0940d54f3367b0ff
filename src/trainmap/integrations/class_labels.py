"""Labels where a batch has them, and those of two classes as torch's losses of one logit take them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from trainmap.dynamics.arrays import on_accelerator
from trainmap.integrations.identified import is_plain_sequence

LABELS = ("labels", "label", "y", "target", "targets")


def labels_in(batch: Any) -> Any:
    """The labels of a batch: at the one name for them that a mapping or an object has (a dataclass, a named tuple, a
    graph), else the second of a pair; None where it does not tell."""
    if isinstance(batch, Mapping):
        names = [name for name in LABELS if name in batch]
        return batch[names[0]] if len(names) == 1 else None
    if isinstance(batch, list | tuple) and len(batch) == 2:
        return batch[1]
    names = [] if is_plain_sequence(batch) else [name for name in LABELS if hasattr(batch, name)]
    return getattr(batch, names[0]) if len(names) == 1 else None


def class_numbers(labels: Any, logits: Any) -> Any:
    """(B,) class numbers of labels beside one logit an example, as ``BCEWithLogitsLoss`` takes them: floats, (B,) or
    (B, 1). All else as it came: the recorder says what is wrong with it.

    Args:
        labels: a tensor, or anything else.
        logits: (B,) or (B, 1); of other shapes nothing is changed.
    """
    alone = logits.ndim == 1 or (logits.ndim == 2 and logits.shape[1] == 1)
    if not alone or not hasattr(labels, "is_floating_point"):
        return labels
    if labels.ndim == 2 and labels.shape[1] == 1:
        labels = labels[:, 0]
    if not labels.is_floating_point() or labels.ndim != 1:
        return labels
    whole = labels == labels.floor()
    if on_accelerator(labels):  # whose values are not waited for: what is no class is refused when it arrives
        return whole.long() * (labels.nan_to_num().long() + 1) - 1
    return labels.long() if bool(whole.all()) else labels
