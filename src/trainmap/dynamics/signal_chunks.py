"""The arithmetic of the six signals, over a chunk of examples that stays near the core; formulas in ``signals``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]


def fill_by_class(logits: Array, labels: Array, out: Mapping[str, Array], work: Array) -> None:
    """Fill ``out`` (n,) from logits (n, C) float32; ``work`` is (3, C, n) float32."""
    z, p, product = work
    classes, rows = z.shape
    np.copyto(z, logits.T)
    top = z.max(axis=0)
    # Of the classes at the top the smallest wins: rank them C, C - 1, ..., 1.
    rank = np.arange(classes, 0, -1, dtype=out["predicted"].dtype)[:, None]
    np.subtract(classes, ((z == top) * rank).max(axis=0), out=out["predicted"], casting="unsafe")
    z -= top
    at_gold = labels * rows + np.arange(rows)
    gold = z.ravel()[at_gold]
    np.exp(z, out=p)
    total = _sum_classes(p, product)
    log_total = np.log(total)  # new memory: total lies in product
    p *= 1 / total
    np.subtract(log_total, gold, out=out["loss"])
    np.multiply(p, z, out=product)
    np.maximum(log_total - _sum_classes(product, product), 0, out=out["entropy"])
    z.ravel()[at_gold] = -np.inf
    np.subtract(gold, z.max(axis=0), out=out["margin"])
    p_gold = p.ravel()[at_gold]
    out["p_gold"][:] = p_gold
    p.ravel()[at_gold] = p_gold - 1
    np.multiply(p, p, out=product)
    np.sqrt(_sum_classes(product, product), out=out["el2n"])


def fill_by_row(logits: Array, labels: Array, out: Mapping[str, Array], work: Array) -> None:
    """Fill ``out`` (n,) from logits (n, C) float32, row by row, whatever n; ``work`` is (2, n, C) float32."""
    z, p = work
    here = np.arange(len(z))
    best = logits.argmax(axis=1)
    out["predicted"][:] = best
    np.subtract(logits, logits[here, best][:, None], out=z)
    gold = z[here, labels]
    np.exp(z, out=p)
    total = np.einsum("ij->i", p)  # a fifth of the time of sum(axis=1), within 5e-7 of it at 4,096 classes
    log_total = np.log(total)
    np.subtract(log_total, gold, out=out["loss"])
    np.maximum(log_total - np.einsum("ij,ij->i", p, z) / total, 0, out=out["entropy"])
    z[here, labels] = -np.inf
    np.subtract(gold, z[here, z.argmax(axis=1)], out=out["margin"])  # argmax takes a fifth of the time of max
    p_gold = p[here, labels]
    np.divide(p_gold, total, out=out["p_gold"])
    p[here, labels] = p_gold - total
    np.divide(np.sqrt(np.einsum("ij,ij->i", p, p)), total, out=out["el2n"])


def _sum_classes(values: Array, work: Array) -> Array:
    """Sum over axis 0; ``work`` is overwritten and may be ``values``.

    By halves, so that the error grows with log C and not with C, and value by value, so that the result of an example
    does not depend on how many others there are.
    """
    rows = len(values)
    while rows > 1:
        half, keep = rows // 2, rows - rows // 2
        np.add(values[:half], values[keep:rows], out=work[:half])
        work[half:keep] = values[half:keep]
        values, rows = work, keep
    return values[0]
