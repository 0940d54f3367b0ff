"""Active learning: rounds of training, of looking at what has no label yet, and of asking for the next labels.

``rounds`` is the loop, with anybody's training; ``PoolWatch`` looks at a pool while ``fit`` trains.
"""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.special import softmax
from torch import nn

from trainmap.checksums import read_sealed, write_sealed
from trainmap.data.dataset import Dataset
from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.index import sort_ids
from trainmap.errors import StoreError, TrainmapError, some, whole
from trainmap.models.budget import inference_flops
from trainmap.models.cost import forward_flops
from trainmap.models.predict import predict
from trainmap.selection.acquisitions import Acquisition, Draw, Question, acquire, acquisition_of
from trainmap.selection.guesses import Guesses, watched
from trainmap.selection.pool import Features
from trainmap.training.features import features_of
from trainmap.typed import as_type

Array = NDArray[Any]


@dataclass(frozen=True, eq=False)
class Round:
    """One training, on all the labels that are there.

    Attributes:
        number: from 0 on.
        ids: (m,) of the labelled examples, in the order in which they were asked for.
        labels: (m,) int64.
        new: how many of them, the last ones, are new in this round.
        last: whether no label is asked for after it.
        told: what ``learn`` said of it.
        choosing_seconds, choosing_cpu_seconds: of choosing what to ask for next.
    """

    number: int
    ids: Array
    labels: NDArray[np.int64]
    new: int
    last: bool
    told: Mapping[str, Any] = field(default_factory=dict)
    choosing_seconds: float = 0.0
    choosing_cpu_seconds: float = 0.0


Learn = Callable[[Round], tuple[Guesses | None, Mapping[str, Any]]]
Oracle = Callable[[Array], Any]


def rounds(
    ids: Any,
    sizes: Sequence[int],
    learn: Learn,
    oracle: Oracle,
    *,
    strategy: str | Acquisition | Draw = "entropy",
    seed: int = 0,
    file: str | Path | None = None,
) -> Iterator[Round]:
    """Every round, as it ends.

    The first labels are of examples drawn at random, without a look at any label; they follow from ``seed`` and the
    ids, so that all strategies of a seed begin alike. Nothing that chooses can reach a label that was not asked for:
    the oracle alone knows them, and it is asked for the chosen ids.

    Args:
        ids: (N,) of all examples, int64 or strings, unique, in any order.
        sizes: how many labels each round has, rising, at most N.
        learn: trains on ``round.ids`` and ``round.labels``, from the start or not, and returns what the network guesses
            of all N examples (``watched(ids, classes).after(...)``; None where the strategy reads nothing, and after
            the last round) and what is to be told of the round, as JSON has it.
        oracle: ids (k,) -> their labels (k,), class indices: a person, a file. It may raise: the next call asks again.
            What it answered is kept at once, and no label is asked for twice.
        strategy: a key of ``ACQUISITIONS``, or a function (question, size, generator) -> rows of the question's pool.
        seed: of the first examples and of what the strategy draws.
        file: of what was done; a call that finds it goes on after the last finished round, and yields the earlier ones
            from it. None: nothing is kept.

    Raises:
        TrainmapError: sizes that do not rise or do not fit, labels that are none, guesses of other examples.
        StoreError: the file is damaged, or of other ids, sizes, another seed or strategy.
    """
    known, _ = sort_ids(to_ids(ids))
    chosen, wanted = acquisition_of(strategy), _checked(sizes, len(known))
    about = {
        "ids": hashlib.sha256("\0".join(map(str, known.tolist())).encode()).hexdigest(),
        "sizes": wanted,
        "strategy": chosen.name,
        "seed": whole(seed, "seed"),
    }
    kept = _Kept.open(None if file is None else Path(file), about)
    return _rounds(known, wanted, learn, oracle, chosen, seed, kept)


def _rounds(
    known: Array, wanted: list[int], learn: Learn, oracle: Oracle, chosen: Acquisition, seed: int, kept: _Kept
) -> Iterator[Round]:
    if not kept.done and kept.answers is None:
        kept.next = known[_generator(seed, 0).choice(len(known), wanted[0], replace=False)].tolist()
    ours, labels = known[:0], np.empty(0, np.int64)
    for number, size in enumerate(wanted):
        fresh = number >= len(kept.done)
        asked = _as_ids(kept.next if fresh else kept.done[number].asked, known)
        answers = kept.answered(oracle, asked) if fresh else np.array(kept.done[number].labels, np.int64)
        ours, labels = np.concatenate([ours, asked]), np.concatenate([labels, answers])
        one = Round(number, ours, labels, len(asked), number + 1 == len(wanted))
        if not fresh:
            past = kept.done[number]
            yield replace(one, told=past.told, **past.took())
            continue
        guesses, told = learn(one)
        wall, cpu, later = time.perf_counter(), time.process_time(), []
        if not one.last:
            question = _question(known, guesses, ours, labels)
            later = acquire(chosen, question, wanted[number + 1] - size, _generator(seed, number + 1)).tolist()
        took = time.perf_counter() - wall, time.process_time() - cpu
        past = _Past(asked.tolist(), answers.tolist(), _plain(told), *took)
        kept.add(past, later)
        yield replace(one, told=past.told, **past.took())


class PoolWatch:
    """For ``fit``'s ``on_epoch``: what the network guesses of all examples, after as many epochs as the strategy reads.

    Args:
        model: under training.
        dataset: all N examples; their labels are not looked at.
        strategy: its ``reads`` says when to look.
        epochs: of the training.
        sweeps: after how many of them to look, where the strategy reads them: so many, evenly, the last among them.
        device: where to compute.

    Attributes:
        guesses: so far.
        flops: of the looking.
        seconds, cpu_seconds: it took.
    """

    def __init__(
        self, model: nn.Module, dataset: Dataset, strategy: Acquisition, epochs: int, sweeps: int, device: str
    ) -> None:
        self.model, self.dataset, self.strategy, self.device = model, dataset, strategy, device
        self.at = looks(strategy, epochs, sweeps)
        self.guesses = watched(dataset.ids, dataset.classes)
        self.flops, self.seconds, self.cpu_seconds = 0, 0.0, 0.0

    def __call__(self, epoch: int, loss: float) -> None:
        if epoch not in self.at:
            return
        wall, cpu = time.perf_counter(), time.process_time()
        logits = predict(self.model, self.dataset, device=self.device)
        self.guesses = self.guesses.after(self.dataset.ids, softmax(logits.astype(np.float64), axis=1))
        passes = 1
        if epoch == max(self.at) and self.strategy.features:
            values = features_of(self.model, self.dataset, device=self.device)
            self.guesses = self.guesses.with_features(Features(self.dataset.ids, values))
            passes = 2
        self.flops += passes * inference_flops(forward_flops(self.model, self.dataset.inputs), len(self.dataset))
        self.seconds += time.perf_counter() - wall
        self.cpu_seconds += time.process_time() - cpu


def looks(strategy: Acquisition, epochs: int, sweeps: int) -> frozenset[int]:
    """The epochs (from 0 on) after which a strategy looks: none, the last, or ``sweeps`` of them, evenly."""
    count = {"nothing": 0, "last": 1, "epochs": min(sweeps, epochs)}[strategy.reads]
    return frozenset(math.ceil((place + 1) * epochs / count) - 1 for place in range(count))


@dataclass(frozen=True)
class _Past:
    """A finished round as the file has it."""

    asked: tuple[int, ...] | tuple[str, ...]
    labels: tuple[int, ...]
    told: Mapping[str, Any]
    choosing_seconds: float
    choosing_cpu_seconds: float

    def took(self) -> dict[str, float]:
        return {name: getattr(self, name) for name in ("choosing_seconds", "choosing_cpu_seconds")}


@dataclass
class _Kept:
    """What was done, what is asked next, and its answers once they are there."""

    path: Path | None
    about: Mapping[str, Any]
    done: list[_Past] = field(default_factory=list)
    next: list[Any] = field(default_factory=list)
    answers: list[int] | None = None

    @classmethod
    def open(cls, path: Path | None, about: Mapping[str, Any]) -> _Kept:
        if path is None or not path.exists():
            return cls(path, about)
        cure = "remove it to begin anew"
        held = read_sealed(path, "file of rounds", cure)
        if differs := [name for name in about if held.get("run", {}).get(name) != about[name]]:
            raise StoreError(f"{path} is of other rounds (other {', '.join(differs)}); {cure}, or name another file")
        done = as_type(list[_Past], held.get("rounds"), path, cure)
        asked = as_type(list[int] | list[str], held.get("next"), path, cure)
        return cls(path, about, done, asked, as_type(list[int] | None, held.get("answers"), path, cure))

    def answered(self, oracle: Oracle, asked: Array) -> NDArray[np.int64]:
        """The labels of what is asked next. They are kept before anything is trained: no label is asked for twice."""
        if self.answers is None:
            self.answers = _answers(oracle(asked), asked).tolist()
            self.save()
        return np.array(self.answers, np.int64)

    def add(self, past: _Past, later: list[Any]) -> None:
        self.done.append(past)
        self.next, self.answers = later, None
        self.save()

    def save(self) -> None:
        if self.path is not None:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            held = {"rounds": [asdict(one) for one in self.done], "next": self.next, "answers": self.answers}
            write_sealed(self.path, {"run": self.about, **held})


def _question(known: Array, guesses: Guesses | None, ours: Array, labels: Array) -> Question:
    """What the strategy is asked, of the pool that is left."""
    order = np.argsort(ours, kind="stable")
    mine = np.isin(known, ours)
    if guesses is None:
        return Question(known[~mine])
    if not np.array_equal(guesses.ids, known):
        raise TrainmapError("learn must return guesses of all the examples, those with labels too")
    return Question(known[~mine], guesses.rows(~mine), guesses.rows(mine), labels[order])


def _checked(sizes: Sequence[int], examples: int) -> list[int]:
    wanted = [whole(size, "sizes", 1) for size in sizes]
    if not wanted or any(b <= a for a, b in pairwise(wanted)) or wanted[-1] > examples:
        raise TrainmapError(f"sizes must rise and be 1 to {examples} (the examples), got {some(wanted, 6) or 'none'}")
    return wanted


def _answers(given: Any, asked: Array) -> NDArray[np.int64]:
    labels = to_labels(given)
    if len(labels) != len(asked) or (len(labels) and labels.min() < 0):
        raise TrainmapError(f"the oracle must give a class index for each of {len(asked)} ids, got {some(labels)}")
    return labels


def _as_ids(asked: Any, known: Array) -> Array:
    return np.array(asked, known.dtype)


def _plain(told: Mapping[str, Any]) -> dict[str, Any]:
    """What is told, as the file gives it back."""
    try:
        return json.loads(json.dumps(dict(told), allow_nan=False))
    except (TypeError, ValueError) as error:
        raise TrainmapError(f"learn must tell what JSON can hold: {error}") from error


def _generator(seed: int, number: int) -> np.random.Generator:
    return np.random.default_rng([seed, number])
