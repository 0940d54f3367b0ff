"""A curriculum from a map made elsewhere: examples come in the order of the map, as fast as a pacing function says."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any, ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_labels
from trainmap.dynamics.index import find_rows, rising
from trainmap.dynamics.store import fingerprint
from trainmap.errors import TrainmapError, whole
from trainmap.maps.datamap import DataMap
from trainmap.schedules.memory import LearnsNothing
from trainmap.schedules.options import Options, Run, option
from trainmap.schedules.pacing import Pacing, paced
from trainmap.schedules.places import ascending
from trainmap.schedules.protocol import Visit
from trainmap.scores.table import score_named

Array = NDArray[Any]
Order = Literal["easy-to-hard", "hard-to-easy", "ambiguous-first"]


class Curriculum(LearnsNothing):
    """A schedule: an epoch visits the first of a ranking, more of them from epoch to epoch, in the end all.

    Epoch e of E visits round(g(e / E) N) examples, one at least, where g is a pacing function. The pacing goes by
    epochs, each one pass over what is in use: the early ones are short, and so a curriculum is cheaper than as many
    epochs of everything. With ``weigh`` every epoch visits everything, and the factor of the loss of the example in
    place r = 0 ... N - 1 of the ranking is proportional to 1 - (1 - g(e / E)) r / (N - 1), with mean 1: at first the
    last one counts for ``start`` of what the first one does, in the end all count the same.

    Args:
        ranking: (N,) ids, each once, the one to come first first: ``ranking_of(datamap)``, or any order of your own.
        epochs: E, of the whole training.
        pacing: how the share grows: a key of ``trainmap.schedules.PACINGS``.
        start: b, the share in use at first, above 0 to 1.
        until: a, the share of the epochs after which all are in use, above 0 to 2; above 1: they never are.
        weigh: whether all are visited, with weights.

    Attributes:
        ids: (N,) ascending.
        order: SHA-256 of the ranking: a run that resumes must have the same.

    Raises:
        TrainmapError: no ids or repeated ones, values out of their limits.

    Source: Wu, Dyer and Neyshabur 2021, arXiv:2012.03107, algorithm 1; as weights, Bengio et al. 2009, section 3 (each
        weight grows to 1; theirs leave the form open, linear in the rank is ours).
    Differs: the paper counts steps and draws its batches from what is in use at each; here t / T is the share of the
        epochs that is done, so that every example in use is visited once in each.
    """

    def __init__(
        self,
        ranking: Any,
        epochs: int,
        pacing: Pacing = "linear",
        start: float = 0.2,
        until: float = 0.8,
        weigh: bool = False,
    ) -> None:
        CurriculumOptions(pacing=pacing, start=start, until=until, weigh=weigh)
        self.ids = ascending(ranking)
        self._places = np.empty(len(self.ids), np.int64)  # of each of the ids in the ranking
        self._places[find_rows(self.ids, to_ids(ranking))] = np.arange(len(self.ids))
        self.order = fingerprint(self.ids, self._places)
        self.epochs, self.start, self.until = whole(epochs, "epochs", 1), start, until
        self.pacing: Pacing = pacing
        self.weigh = bool(weigh)

    def share(self, epoch: int) -> float:
        """g(epoch / E): of the examples in use, or with ``weigh`` what the last one counts for beside the first."""
        return paced(self.pacing, epoch / self.epochs, self.start, self.until)

    def plan(self, epoch: int) -> Visit:
        share, examples = self.share(whole(epoch, "epoch")), len(self.ids)
        if share == 1:
            return Visit(self.ids)
        if self.weigh:
            weights = 1 - (1 - share) * self._places / max(1, examples - 1)
            return Visit(self.ids, weights / weights.mean())
        return Visit(self.ids[self._places < max(1, round(share * examples))])


def ranking_of(
    datamap: DataMap, order: Order = "easy-to-hard", score: str = "confidence", by_class: bool = True
) -> Array:
    """The ids of a map in the order of a curriculum.

    Args:
        datamap: made elsewhere, such as by a smaller network.
        order: easy-to-hard, hard-to-easy, by the score; ambiguous-first, by high variability.
        score: of the map, for the first two; the end that is hard follows from its name (``SCORES``).
        by_class: every class has its share of the first n, for any n, but for rounding; else the easiest classes may
            come before all others. As in the code of Wu et al. (google-research/understanding-curricula).

    Returns:
        (N,) ids, the one to come first first. Equals stand in the order of a fixed hash of their ids; those that the
        score does not know (NaN) come last, of their class.

    Raises:
        TrainmapError: an unknown order, a score that the map does not have, a score with ambiguous-first, a column of
            your own, of which it is not known which end is hard, variability over one epoch.
    """
    datamap.values(score)
    hard = datamap.hard_end(score)
    if hard is None:
        raise TrainmapError(
            f"which end of '{score}' is hard is not known; order the ids yourself and give them to Curriculum"
        )
    options = CurriculumOptions(order, score, by_class=by_class)
    if not options.columns:
        raise TrainmapError("order must be one by the map, got 'random'; that is random_ranking")
    options.check_map(datamap.epochs)
    values = datamap.values(options.columns[0])
    first_low = order != "ambiguous-first" and (hard == "high") == (order == "easy-to-hard")
    places = rising(values if first_low else -values, datamap.ids)
    return datamap.ids[_by_class(places, datamap.labels) if by_class else places]


def random_ranking(ids: Any, seed: int = 0, labels: Any = None) -> Array:
    """The ids in random order: what a curriculum by a map has to be better than at the same pacing.

    Args:
        ids: (N,) each once.
        seed: another one, another order; the order in which ids are given changes nothing.
        labels: (N,) of the ids, whole numbers: every class has its share of the first n; None: as it comes.
    """
    known = ascending(ids)
    places = np.random.default_rng([whole(seed, "seed")]).permutation(len(known))
    if labels is None:
        return known[places]
    own = to_labels(labels)
    if len(own) != len(known):
        raise TrainmapError(f"labels must be one for each id, got {len(own)} for {len(known)}")
    return known[_by_class(places, own[find_rows(to_ids(ids), known)])]


def _by_class(places: Array, labels: Array) -> Array:
    """The places in an order that takes each class in proportion, and within a class as they stand."""
    own = labels[places]
    part = np.empty(len(places))
    for label in np.unique(own):
        its = np.flatnonzero(own == label)
        part[its] = (np.arange(len(its)) + 0.5) / len(its)
    return places[np.argsort(part, kind="stable")]


@dataclass(frozen=True)
class CurriculumOptions(Options):
    """Of ``Curriculum``."""

    source: ClassVar[str] = "Wu, Dyer and Neyshabur 2021, arXiv:2012.03107"
    reads_map: ClassVar[bool] = True

    order: Literal[Order, "random"] = option("easy-to-hard", "who comes first by the map; random reads none")
    score: str = option("confidence", "of the map, for easy-to-hard and hard-to-easy", min_length=1)
    pacing: Literal[Pacing] = option("linear", "how the share in use grows")
    start: float = option(0.2, "share that is in use at first", gt=0, le=1)
    until: float = option(0.8, "share of the epochs after which all are in use", gt=0, le=2)
    weigh: bool = option(False, "whether all are visited, with weights that become equal")
    by_class: bool = option(True, "whether every class has its share of those in use")

    def __post_init__(self) -> None:
        super().__post_init__()
        score_named(self.score)
        if self.score != "confidence" and self.order in ("ambiguous-first", "random"):
            raise TrainmapError(f"score goes with easy-to-hard and hard-to-easy, got {self.score} with {self.order}")

    @property
    def columns(self) -> tuple[str, ...]:
        if self.order == "random":
            return ()
        return ("variability",) if self.order == "ambiguous-first" else (self.score,)

    @property
    def needs_map(self) -> bool:
        return self.order != "random"

    @property
    def opponent(self) -> CurriculumOptions | None:
        """The same pacing in random order; None of it itself."""
        return None if self.order == "random" else replace(self, order="random", score="confidence")

    def share(self) -> float:
        return self.visits(1000, 1000) / 1000

    def visits(self, examples: int, epochs: int) -> int:
        if self.weigh:
            return examples
        shares = [paced(self.pacing, epoch / epochs, self.start, self.until) for epoch in range(epochs)]
        return max(1, round(sum(max(1, round(share * examples)) for share in shares) / epochs))

    def make(self, run: Run) -> Curriculum:
        if self.order == "random":
            if self.by_class and run.labels is None:
                raise TrainmapError("each class has its share by the labels; there is none")
            ranking = random_ranking(run.ids, run.seed, run.labels if self.by_class else None)
        elif run.datamap is None:
            raise TrainmapError("a curriculum orders by a map; there is none")
        else:
            ranking = ranking_of(run.datamap, self.order, self.score, self.by_class)
        paces = {name: value for name, value in asdict(self).items() if name in ("pacing", "start", "until", "weigh")}
        return Curriculum(ranking, run.epochs, **paces)
