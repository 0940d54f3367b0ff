"""What a schedule remembers of every example: its last loss, mean and spread of p(gold)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import on_accelerator, to_ids, to_labels, to_logits, to_numpy
from trainmap.dynamics.logit_precision import widened
from trainmap.dynamics.probabilities import refuse_probabilities
from trainmap.errors import TrainmapError, some
from trainmap.schedules.places import check_state, places_of

Array = NDArray[Any]


class Memory:
    """The last loss of every example, and mean and spread of its p(gold), from the training steps themselves.

    The loss is the plain cross entropy -log softmax(logits)[label], whatever the training minimises. Values of torch
    tensors stay on their device until the epoch ends: a step never waits for an accelerator.
    """

    def __init__(self, ids: Array) -> None:
        self.ids = ids
        self.last = np.full(len(ids), np.nan)
        self.visits = np.zeros(len(ids), np.int64)
        self.mean = np.zeros(len(ids))
        self.squares = np.zeros(len(ids))  # of deviations from the mean (Welford)
        self._steps: list[tuple[Array, Any]] = []

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """(B,) ids, (B, C) logits, (B,) labels; a refused step leaves no trace."""
        places, losses = places_of(self.ids, to_ids(ids), "the schedule's examples"), gold_loss(logits, labels)
        if len(losses) != len(places):
            raise TrainmapError(f"a step of {len(places)} ids needs as many logits and labels, got {len(losses)}")
        self._steps.append((places, losses))

    def end_epoch(self) -> None:
        """An example that came twice (as a distributed sampler pads) counts once, with what came last."""
        places, losses = self.pending()
        _, back = np.unique(places[::-1], return_index=True)
        places, losses = places[::-1][back], losses[::-1][back]
        p = np.exp(-losses)
        self.last[places] = losses
        self.visits[places] += 1
        deviation = p - self.mean[places]
        self.mean[places] += deviation / self.visits[places]
        self.squares[places] += deviation * (p - self.mean[places])
        self._steps = []

    def pending(self) -> tuple[Array, Array]:
        """What the epoch under way has seen: places and losses, in order."""
        places = [np.empty(0, np.int64), *(places for places, _ in self._steps)]
        losses = [np.empty(0), *(to_numpy(values, "losses").astype(np.float64) for _, values in self._steps)]
        at, loss = np.concatenate(places), np.concatenate(losses)
        if not np.isfinite(loss).all():
            wrong = self.ids[at[~np.isfinite(loss)]]
            raise TrainmapError(f"logits must be finite; those of {len(wrong)} examples are not (first: {some(wrong)})")
        return at, loss

    @property
    def used(self) -> bool:
        """Whether it has seen a step."""
        return bool(self._steps) or bool(self.visits.any())

    @property
    def spread(self) -> Array:
        """(N,) the standard deviation of p(gold) over an example's visits so far; NaN below two visits."""
        out = np.full(len(self.ids), np.nan)
        enough = self.visits > 1
        out[enough] = np.sqrt(self.squares[enough] / self.visits[enough])
        return out

    def state(self) -> dict[str, Array]:
        places, losses = self.pending()
        kept = {name: getattr(self, name) for name in ("last", "visits", "mean", "squares")}
        return {**kept, "pending_places": places, "pending_losses": losses}

    def restore(self, state: Mapping[str, Array]) -> None:
        pending = np.shape(state.get("pending_places", ()))
        shapes = dict.fromkeys(("last", "visits", "mean", "squares"), self.ids.shape)
        check_state(state, {**shapes, "pending_places": pending, "pending_losses": pending})
        for name in shapes:
            setattr(self, name, np.array(state[name]))
        self._steps = [(np.array(state["pending_places"]), np.array(state["pending_losses"]))] if pending[0] else []


class Remembers:
    """A schedule whose draws depend on what the training steps showed: it has a ``memory`` of them."""

    memory: Memory

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """What a training step saw."""
        self.memory.update(ids, logits, labels)

    def end_epoch(self) -> None:
        self.memory.end_epoch()

    def state(self) -> dict[str, Array]:
        """What it has learned, the epoch under way included."""
        return self.memory.state()

    def restore(self, state: Mapping[str, Array]) -> None:
        self.memory.restore(state)


class LearnsNothing:
    """A schedule whose draws depend on the epoch alone, whatever the training steps showed."""

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """Nothing is learned."""

    def end_epoch(self) -> None:
        """Nothing to do."""

    def state(self) -> dict[str, Array]:
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        check_state(state, {})


def gold_loss(logits: Any, labels: Any) -> Any:
    """-log softmax(logits)[label], (B,): a tensor on its device for torch tensors, else a numpy array.

    Args:
        logits: (B, C).
        labels: (B,) whole numbers, 0 to C - 1; of labels that lie on an accelerator with the logits the range is not
            checked, since the step would have to wait for it.

    Raises:
        TrainmapError: other shapes, labels that are no class.
    """
    tensors = hasattr(logits, "logsumexp")
    z: Any = logits.detach() if tensors else widened(to_logits(logits))
    z = z if not tensors or z.element_size() > 4 else z.float()
    there = tensors and on_accelerator(logits) and on_accelerator(labels)
    y = labels.long() if there else to_labels(labels)
    if z.ndim != 2 or tuple(y.shape) != tuple(z.shape[:1]):
        raise TrainmapError(f"logits must be (B, C) and labels (B,), got {tuple(z.shape)} and {tuple(y.shape)}")
    if not there and (outside := y[(y < 0) | (y >= z.shape[1])]).size:
        raise TrainmapError(f"labels must be 0 to {z.shape[1] - 1}, got {some(outside.tolist())}")
    if not on_accelerator(logits):
        refuse_probabilities(to_logits(logits), "hand over the logits, or log p, whose softmax is p")
    z = z - (z.amax(1, keepdim=True) if tensors else z.max(axis=1, keepdims=True))
    if tensors:
        places = y if there else logits.new_tensor(y, dtype=int)
        return z.logsumexp(1) - z.gather(1, places[:, None]).squeeze(1)
    z = z.astype(np.float64)
    return np.log(np.exp(z).sum(axis=1)) - z[np.arange(len(z)), y]
