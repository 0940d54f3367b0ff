"""Which examples each epoch visits, when that changes during training.

A schedule is asked before each epoch (``plan``), sees what the training step sees (``update``, as a Recorder does), and
hears of each epoch's end. Its draws depend on (seed, epoch) and on what it saw, so that ``state`` and ``restore`` make
a resumed run the uninterrupted one. ``samplers.py`` makes a PyTorch sampler of any of them::

    for epoch in range(epochs):
        visit = schedule.plan(epoch)                       # visit.ids, visit.weights
        for ids, x, labels in batches_of(visit.ids):
            logits = model(x)
            losses = cross_entropy(logits, labels, reduction="none") * visit.weights_of(ids)
            ...
            schedule.update(ids, logits, labels)
        schedule.end_epoch()

A schedule of your own is any object with these methods.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import on_accelerator, to_ids, to_labels, to_logits, to_numpy
from trainmap.dynamics.index import rising
from trainmap.dynamics.logit_precision import widened
from trainmap.dynamics.probabilities import refuse_probabilities
from trainmap.errors import TrainmapError, shown, some, whole

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Visit:
    """One epoch's examples.

    Attributes:
        ids: (n,) ascending.
        weights: (n,) float64, the factors of their losses; None where all are 1.
    """

    ids: Array
    weights: Array | None = None

    def __len__(self) -> int:
        return len(self.ids)

    def weights_of(self, ids: Any) -> Array:
        """(B,) float64: the weights of examples of this epoch, in the order of ``ids``."""
        places = _places(self.ids, to_ids(ids), "this epoch's examples")
        return np.ones(len(places)) if self.weights is None else self.weights[places]


class Schedule(Protocol):
    """What ``fit`` and ``ScheduleSampler`` need."""

    def plan(self, epoch: int) -> Visit:
        """The examples of an epoch; asked again before ``update``, the same answer."""
        ...

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """What a training step saw: (B,) ids, (B, C) logits, (B,) labels."""
        ...

    def end_epoch(self) -> None: ...

    def state(self) -> dict[str, Array]:
        """What it has learned, the epoch under way included, as plain arrays."""
        ...

    def restore(self, state: Mapping[str, Array]) -> None: ...


class RepeatedRandom:
    """A fresh random subset in every epoch.

    Without replacement the subsets of floor(N / size) successive epochs are disjoint parts of one permutation (the N
    mod size examples at its end wait for the next permutation); with replacement every epoch draws from all.

    Source: Okanovic et al. 2024, arXiv:2305.18424 (RS2), section 3.
    """

    def __init__(self, ids: Any, size: int, seed: int = 0, replacement: bool = False) -> None:
        self.ids, self.size, self.seed = _ascending(ids), whole(size, "size", 1), whole(seed, "seed")
        if size > len(self.ids):
            raise TrainmapError(f"size must be 1 to {len(self.ids)} (the examples), got {size}")
        self.replacement = replacement

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        subsets = 1 if self.replacement else len(self.ids) // self.size
        order = np.random.default_rng([self.seed, epoch // subsets]).permutation(len(self.ids))
        start = self.size * (epoch % subsets)
        return Visit(self.ids[np.sort(order[start : start + self.size])])

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        """Nothing is learned."""

    def end_epoch(self) -> None:
        """Nothing to do."""

    def state(self) -> dict[str, Array]:
        return {}

    def restore(self, state: Mapping[str, Array]) -> None:
        _check_state(state, {})


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
        places, losses = _places(self.ids, to_ids(ids), "the schedule's examples"), gold_loss(logits, labels)
        if len(losses) != len(places):
            raise TrainmapError(f"a step of {len(places)} ids needs as many logits and labels, got {len(losses)}")
        self._steps.append((places, losses))

    def end_epoch(self) -> None:
        """An example that came twice (as a distributed sampler pads) counts once, with what came last."""
        places, losses = self._pending()
        _, back = np.unique(places[::-1], return_index=True)
        places, losses = places[::-1][back], losses[::-1][back]
        p = np.exp(-losses)
        self.last[places] = losses
        self.visits[places] += 1
        deviation = p - self.mean[places]
        self.mean[places] += deviation / self.visits[places]
        self.squares[places] += deviation * (p - self.mean[places])
        self._steps = []

    def _pending(self) -> tuple[Array, Array]:
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
        places, losses = self._pending()
        kept = {name: getattr(self, name) for name in ("last", "visits", "mean", "squares")}
        return {**kept, "pending_places": places, "pending_losses": losses}

    def restore(self, state: Mapping[str, Array]) -> None:
        pending = np.shape(state.get("pending_places", ()))
        shapes = dict.fromkeys(("last", "visits", "mean", "squares"), self.ids.shape)
        _check_state(state, {**shapes, "pending_places": pending, "pending_losses": pending})
        for name in shapes:
            setattr(self, name, np.array(state[name]))
        self._steps = [(np.array(state["pending_places"]), np.array(state["pending_losses"]))] if pending[0] else []


class InfoBatch:
    """Skip half of what is already easy, and weigh the rest of it up, so that the expected gradient stays.

    Of the n examples whose last loss lies below the mean of all, round((1 - ratio) n) are kept, drawn anew for each
    epoch, with weight n / kept; the others are all visited with weight 1. The first epoch and those from ``anneal``
    times the epochs on are whole.

    Args:
        ids: the examples.
        epochs: of the whole training.
        ratio: r, the share of the easy ones that is skipped, 0 to below 1.
        anneal: delta, 0 to 1.
        seed: of the draws.

    Source: Qin et al. 2024, arXiv:2303.04947, sections 2.2 and 2.3 (r = 0.5, delta = 0.875).
    Differs: the weight is n / kept where the paper has 1 / (1 - r): the same but for rounding, and exactly unbiased.
    """

    def __init__(self, ids: Any, epochs: int, ratio: float = 0.5, anneal: float = 0.875, seed: int = 0) -> None:
        if not 0 <= ratio < 1 or not 0 <= anneal <= 1:
            raise TrainmapError(f"InfoBatch needs ratio 0 to below 1 and anneal 0 to 1, got {ratio} and {anneal}")
        self.ids, self.ratio, self.anneal = _ascending(ids), ratio, anneal
        self.epochs, self.seed = whole(epochs, "epochs", 1), whole(seed, "seed")
        self.memory = Memory(self.ids)

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        last = self.memory.last
        if epoch >= self.anneal * self.epochs or np.isnan(last).all():
            return Visit(self.ids)
        easy = np.flatnonzero(last < np.nanmean(last))  # what was never seen is not easy
        kept = max(1, round((1 - self.ratio) * len(easy))) if len(easy) else 0
        drawn = np.random.default_rng([self.seed, epoch]).permutation(easy)[:kept]
        weights = np.ones(len(self.ids))
        weights[easy] = 0
        weights[drawn] = len(easy) / max(1, kept)
        visited = np.flatnonzero(weights)
        return Visit(self.ids[visited], weights[visited])

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        self.memory.update(ids, logits, labels)

    def end_epoch(self) -> None:
        self.memory.end_epoch()

    def state(self) -> dict[str, Array]:
        return self.memory.state()

    def restore(self, state: Mapping[str, Array]) -> None:
        self.memory.restore(state)


class OrderedLoss:
    """A uniform pool, and of it the examples with the highest last loss.

    The pool is round(pool N) examples drawn for each epoch; round(keep pool) of them with the highest last loss are
    visited (one that was never seen counts as the highest). Visits need no weights: the pool is uniform, so that each
    epoch minimises the same average over the top of the losses.

    Args:
        ids: the examples.
        pool: share of the examples that is drawn, above 0 to 1.
        keep: share of the pool that is visited, above 0 to 1.
        warmup: epochs at the start that visit everything, so that every example has a loss.
        seed: of the draws.

    Source: ordered SGD, Kawaguchi and Lu 2020, arXiv:1907.04371, as OrderDP uses it for epochs (pool 0.5, keep 0.6).
    Differs: the last loss that training saw in place of a fresh forward pass over the pool, which would cost a third
        of training on it.
    """

    def __init__(self, ids: Any, pool: float = 0.5, keep: float = 0.6, warmup: int = 1, seed: int = 0) -> None:
        if not (0 < pool <= 1 and 0 < keep <= 1):
            raise TrainmapError(f"pool and keep must be above 0 to 1, got {pool} and {keep}")
        self.ids, self.pool, self.keep = _ascending(ids), pool, keep
        self.warmup, self.seed = whole(warmup, "warmup"), whole(seed, "seed")
        self.memory = Memory(self.ids)

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        if epoch < self.warmup:
            return Visit(self.ids)
        count = max(1, round(self.pool * len(self.ids)))
        pool = np.sort(np.random.default_rng([self.seed, epoch]).permutation(len(self.ids))[:count])
        last = np.where(np.isnan(self.memory.last), np.inf, self.memory.last)[pool]
        top = rising(-last, self.ids[pool])[: max(1, round(self.keep * count))]
        return Visit(self.ids[np.sort(pool[top])])

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        self.memory.update(ids, logits, labels)

    def end_epoch(self) -> None:
        self.memory.end_epoch()

    def state(self) -> dict[str, Array]:
        return self.memory.state()

    def restore(self, state: Mapping[str, Array]) -> None:
        self.memory.restore(state)


Axis = Literal["variability", "hard", "easy"]


class MapGuided:
    """A curriculum from the map so far: the epoch visits the examples that the dynamics up to now put first.

    The first ``warmup`` epochs visit everything. Then an epoch visits ``size(epoch)`` examples: a share ``explore`` at
    random, so that what the map thinks of the others does not grow old, the rest from the top of the axis. The size
    goes linearly from ``start`` to ``end`` times N over the epochs after the warm-up.

    Args:
        ids: the examples.
        epochs: of the whole training.
        axis: "variability" (ambiguous first), "hard" (low mean p(gold) first) or "easy" (high first).
        start, end: share of the examples in the first and the last epoch after the warm-up, above 0 to 1.
        warmup: at least 2 (a spread needs two visits).
        explore: share of the visited examples that is random, 0 to 1.
        cut: share of the examples, those of lowest mean p(gold), that is never taken from the top: labels that may be
            wrong. They still come up at random.
        seed: of the draws.

    Source: the map of Swayamdipta et al. 2020, arXiv:2009.10795, on the epochs so far.
    """

    def __init__(
        self,
        ids: Any,
        epochs: int,
        axis: Axis = "variability",
        start: float = 0.5,
        end: float = 0.5,
        warmup: int = 2,
        explore: float = 0.2,
        cut: float = 0.0,
        seed: int = 0,
    ) -> None:
        if axis not in ("variability", "hard", "easy"):
            raise TrainmapError(f"axis must be 'variability', 'hard' or 'easy', got {shown(axis)}")
        if not (0 < start <= 1 and 0 < end <= 1 and 0 <= explore <= 1 and 0 <= cut < 1):
            raise TrainmapError(
                "start and end must be above 0 to 1, explore 0 to 1, cut 0 to below 1, "
                f"got {start}, {end}, {explore}, {cut}"
            )
        self.ids, self.axis, self.start, self.end = _ascending(ids), axis, start, end
        self.epochs, self.warmup = whole(epochs, "epochs", 1), whole(warmup, "warmup", 2)
        self.explore, self.cut, self.seed = explore, cut, whole(seed, "seed")
        self.memory = Memory(self.ids)

    def size(self, epoch: int) -> int:
        """How many examples an epoch visits."""
        if epoch < self.warmup:
            return len(self.ids)
        done = (epoch - self.warmup) / max(1, self.epochs - 1 - self.warmup)
        share = self.start + (self.end - self.start) * min(1.0, done)
        return max(1, round(share * len(self.ids)))

    def ranking(self) -> Array:
        """(N,) places of the examples, the first to visit first; the cut and the unseen come last."""
        mean = np.where(self.memory.visits > 0, self.memory.mean, np.nan)
        value = {"variability": self.memory.spread, "hard": -mean, "easy": mean}[self.axis]
        value = np.where(np.isnan(value), -np.inf, value)
        value[rising(mean, self.ids)[: math.floor(self.cut * len(mean))]] = -np.inf
        return rising(-value, self.ids)

    def plan(self, epoch: int) -> Visit:
        whole(epoch, "epoch")
        size = self.size(epoch)
        if size == len(self.ids):
            return Visit(self.ids)
        order = self.ranking()
        top = size - round(self.explore * size)
        others = np.random.default_rng([self.seed, epoch]).permutation(order[top:])[: size - top]
        return Visit(self.ids[np.sort(np.concatenate([order[:top], others]))])

    def update(self, ids: Any, logits: Any, labels: Any) -> None:
        self.memory.update(ids, logits, labels)

    def end_epoch(self) -> None:
        self.memory.end_epoch()

    def state(self) -> dict[str, Array]:
        return self.memory.state()

    def restore(self, state: Mapping[str, Array]) -> None:
        self.memory.restore(state)


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


def check_schedule(schedule: object) -> None:
    """Refuse what is no schedule: a name, a class, an object that lacks one of the methods."""
    lacking = [name for name in ("plan", "update", "end_epoch", "state", "restore") if not hasattr(schedule, name)]
    if lacking or isinstance(schedule, type):
        got = f"the class {schedule.__name__}" if isinstance(schedule, type) else repr(schedule)
        raise TrainmapError(
            "a schedule is an object with plan, update, end_epoch, state and restore, such as "
            f"InfoBatch(ids, epochs), got {got}; make one"
        )


def has_learned(schedule: Schedule) -> bool:
    """Whether a schedule of this module has seen a training step; one of the user's own tells nothing."""
    memory = getattr(schedule, "memory", None)
    return isinstance(memory, Memory) and memory.used


def settings_of(thing: object) -> str:
    """What it is and the plain values that it holds: what tells two schedules apart, or any two objects."""
    plain = {name: value for name, value in vars(thing).items() if isinstance(value, bool | int | float | str)}
    return f"{type(thing).__name__} {plain}"


def _ascending(ids: Any) -> Array:
    array = np.sort(to_ids(ids))
    repeated = array[1:][array[1:] == array[:-1]]
    if not len(array) or len(repeated):
        raise TrainmapError(f"ids must be unique and at least one, got {len(array)}, repeated: {some(repeated) or '-'}")
    return array


def _places(known: Array, ids: Array, what: str) -> Array:
    if (ids.dtype.kind == "U") != (known.dtype.kind == "U"):
        raise TrainmapError(f"ids must be of the kind of {what} ({known.dtype}), got {ids.dtype}")
    places = np.minimum(np.searchsorted(known, ids), len(known) - 1)
    strange = ids[known[places] != ids]
    if len(strange):
        raise TrainmapError(f"{len(strange)} ids are not among {what} (first: {some(strange)})")
    return places


def _check_state(state: Mapping[str, Array], wanted: Mapping[str, tuple[int, ...]]) -> None:
    got = {name: np.shape(value) for name, value in state.items()}
    if got != dict(wanted):
        raise TrainmapError(f"a state of this schedule holds {dict(wanted)}, got {got}; was it saved by another one?")


SCHEDULES = {
    "repeated-random": RepeatedRandom,
    "infobatch": InfoBatch,
    "ordered-loss": OrderedLoss,
    "map-guided": MapGuided,
}
