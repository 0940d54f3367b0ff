"""Labels of two classes as torch's losses of one logit take them: floats, in the shape of the logits."""

from __future__ import annotations

from typing import Any

from trainmap.dynamics.arrays import on_accelerator


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
