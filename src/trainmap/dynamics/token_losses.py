"""The loss of every counted token, and whether it was the likeliest one, some tokens at a time.

(B, T, V) logits of a language model are large (V = 50,000: 200 KB a token), so no copy of them is made: chunks of
tokens are worked on where they lie, in torch for torch's tensors (on their own device, where nothing waits) and in
numpy for all others. The numbers of a token never depend on the others.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

CHUNK_ELEMENTS = 1 << 22  # 16 MiB of float32, and as much for its exponentials


def losses(logits: Array, gold: Array, probabilities: bool = False) -> tuple[Array, Array]:
    """-log p of the gold tokens, and whether they were the likeliest.

    Args:
        logits: (n, V) real numbers; -inf is a masked token.
        gold: (n,) integers in [0, V).
        probabilities: they are that already.

    Returns:
        (n,) float64, infinite or NaN where the logits are; (n,) bool, the smaller number wins a tie.
    """
    size, vocabulary = logits.shape
    loss, right = np.empty(size), np.empty(size, bool)
    step = max(1, CHUNK_ELEMENTS // max(1, vocabulary))
    for start in range(0, size, step):
        here = slice(start, start + step)
        z = np.ascontiguousarray(logits[here], dtype=np.float64 if logits.dtype.itemsize > 4 else np.float32)
        rows, labels = np.arange(len(z)), gold[here]
        right[here] = z.argmax(axis=1) == labels
        with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
            if probabilities:
                bad = ~((z >= 0).all(axis=1) & (np.abs(z.sum(axis=1, dtype=np.float64) - 1) <= 1e-2))
                loss[here] = np.where(bad, np.nan, -np.log(z[rows, labels].astype(np.float64)))
                continue
            top = z.max(axis=1, keepdims=True)
            z = z - top
            picked = z[rows, labels].astype(np.float64)
            loss[here] = np.log(np.exp(z, out=z).sum(axis=1, dtype=np.float64)) - picked
    return loss, right


def torch_losses(logits: Any, gold: Any, probabilities: bool = False) -> tuple[Any, Any]:
    """The same of tensors, on their device: (n,) float32 and (n,) bool."""
    import torch

    size, vocabulary = logits.shape
    step = max(1, CHUNK_ELEMENTS // max(1, vocabulary))
    loss, right = [], []
    for start in range(0, size, step):
        z, labels = logits[start : start + step], gold[start : start + step]
        right.append(z.argmax(dim=1) == labels)
        wide = z if z.dtype == torch.float64 else z.float()
        if probabilities:
            fine = (wide >= 0).all(dim=1) & ((wide.sum(dim=1) - 1).abs() <= 1e-2)
            picked = -wide.gather(1, labels[:, None])[:, 0].log()
            loss.append(torch.where(fine, picked, torch.nan).float())
        else:
            loss.append(torch.nn.functional.cross_entropy(wide, labels, reduction="none").float())
    if not loss:
        return logits.new_zeros(0, dtype=torch.float32), logits.new_zeros(0, dtype=torch.bool)
    return torch.cat(loss), torch.cat(right)
