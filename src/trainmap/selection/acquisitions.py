"""Which labels to ask for next: acquisition functions over what a network guesses of a pool without labels.

A value is a pure function of ``Guesses`` that returns (n,), the highest asked for first. What draws a whole batch is a
function (question, size, generator) -> (size,) rows of the pool, as is one of your own; ``acquire`` is the one way to
run either. None is handed a label of the pool: a ``Question`` has none.

With p_t the probabilities after epoch t of E, p = p_E, m = mean_t p_t and c = argmax p:

==================  ==========================================================================================
``random``          chance
``entropy``         H(p)
``margin``          1 - (p_(1) - p_(2)), of the two likeliest classes
``mean-entropy``    H(m)
``mean-margin``     1 - (m_(1) - m_(2))
``variability``     the standard deviation over the epochs of p_t(c)
``switches``        in how many epochs another class was likeliest than before
``dispersion``      1 - (the votes of the class with most) / E
``disagreement``    mean_t KL(p_t || m) = H(m) - mean_t H(p_t)
``density``         H(p) times how like the rest of the pool it is
``cartography``     how unsure a classifier on the labelled map is whether it would be learned early
``k-centers``       the example farthest from all that are labelled or taken, again and again
``badge``           k-means++ on the gradients of the last layer
==================  ==========================================================================================
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray
from scipy.special import entr

from trainmap.dynamics.index import lowest
from trainmap.errors import TrainmapError, counted, shown, unknown, whole
from trainmap.limits import memory_allowed
from trainmap.machine import human
from trainmap.selection.coverage import Generator
from trainmap.selection.guesses import Guesses

Array = NDArray[Any]
Reads = Literal["nothing", "last", "epochs"]
EXTRA = "skactiveml"
SEEDS = 2**31
FEWEST = 1e-12
"""A vector of less than this length has no direction."""


@dataclass(frozen=True, eq=False)
class Question:
    """What is known when labels are to be asked for. There are no labels of the pool in it.

    Attributes:
        ids: (n,) ascending, of the pool.
        pool: what was guessed of them; None where nobody looked.
        labelled: what was guessed of the m examples that have their labels; None where nobody looked.
        labels: (m,) int64, of those.
    """

    ids: Array
    pool: Guesses | None = None
    labelled: Guesses | None = None
    labels: Array | None = None


Draw = Callable[[Question, int, Generator], Array]


@dataclass(frozen=True)
class Acquisition:
    """A way to choose which labels to ask for.

    Attributes:
        name: of it.
        draw: (question, size, generator) -> (size,) rows of the pool.
        source: where it is from.
        reads: whether it looks at the pool not at all, after the last epoch, or after every one.
        features: whether it needs those of the last network.
        labelled: whether it looks at the labelled examples as well.
        extra: whether it needs scikit-activeml (``trainmap[active]``).
        random: whether it draws anything.
    """

    name: str
    draw: Draw
    source: str
    reads: Reads = "epochs"
    features: bool = False
    labelled: bool = False
    extra: bool = False
    random: bool = False

    @property
    def installed(self) -> bool:
        return not self.extra or find_spec(EXTRA) is not None


def acquire(strategy: str | Acquisition | Draw, question: Question, size: int, generator: Generator) -> Array:
    """The ids of the pool whose labels to ask for next, (size,) ascending.

    Args:
        strategy: a key of ``ACQUISITIONS``, or a function of your own, (question, size, generator) -> rows.
        question: see there.
        size: 1 to n.
        generator: of what is drawn.

    Raises:
        TrainmapError: an unknown strategy, a size out of range, a question without what the strategy reads, or rows
            that are not ``size`` different ones of the pool.
    """
    chosen = acquisition_of(strategy)
    if whole(size, "size", 1) > len(question.ids):
        raise TrainmapError(f"size must be 1 to {len(question.ids)} (the examples of the pool), got {size}")
    _check(chosen, question)
    rows = np.asarray(chosen.draw(question, size, generator))
    fits = rows.shape == (size,) and rows.dtype.kind in "iu" and len(np.unique(rows)) == size
    if not fits or rows.min() < 0 or rows.max() >= len(question.ids):
        raise TrainmapError(
            f"{chosen.name} must return {size} different rows, 0 to {len(question.ids) - 1}, got {shown(rows.tolist())}"
        )
    return question.ids[np.sort(rows)]


def acquisition_of(strategy: str | Acquisition | Draw) -> Acquisition:
    """The acquisition of that name, or one made of a plain function, of whose question nothing is demanded.

    Raises:
        TrainmapError: an unknown name, or one whose library is not installed.
    """
    if isinstance(strategy, Acquisition):
        found = strategy
    elif callable(strategy):
        name = getattr(strategy, "__name__", "strategy")
        return Acquisition(name, strategy, "your own", reads="nothing", random=True)
    elif strategy in ACQUISITIONS:
        found = ACQUISITIONS[strategy]
    else:
        raise unknown("acquisition", strategy, ACQUISITIONS)
    if not found.installed:
        raise TrainmapError(f"{found.name} needs scikit-activeml: pip install 'trainmap[active]'")
    return found


# --- after the last epoch ---------------------------------------------------------------------------------------------


def entropy(pool: Guesses) -> Array:
    """H(p) in nats, 0 to log C. Source: Settles 2009, Active Learning Literature Survey (TR 1648), section 3.1."""
    return entr(pool.last).sum(axis=1)


def margin(pool: Guesses) -> Array:
    """``1 - (p_(1) - p_(2))`` of the two likeliest classes, 0 to 1. Source: Scheffer et al. 2001; Settles 2009, 3.1."""
    return _close(pool.last)


def density(pool: Guesses) -> Array:
    """H(p) times the mean over the pool of ``(1 + cos(x, u)) / 2``: unsure, and like many others. 0 to log C.

    Source: Settles and Craven 2008 (information density, beta 1); Settles 2009, section 5.1. Differs: the cosine is of
    the network's features and brought to [0, 1], since theirs of word counts is never negative.
    """
    assert pool.features is not None
    features = pool.features.astype(np.float64)
    length = np.linalg.norm(features, axis=1, keepdims=True)
    unit = np.divide(features, length, out=np.zeros_like(features), where=length > FEWEST)
    return entropy(pool) * (1 + unit @ unit.mean(axis=0)) / 2


# --- over the epochs --------------------------------------------------------------------------------------------------


def mean_entropy(pool: Guesses) -> Array:
    """H(m), 0 to log C.

    Source: Kye et al. 2023 (TiDAL), arXiv:2210.06788, section 3 (entropy of the training dynamics). Differs: they learn
    to predict m from labelled examples, to spare the passes over the pool; here the passes are made.
    """
    return entr(pool.mean).sum(axis=1)


def mean_margin(pool: Guesses) -> Array:
    """``1 - (m_(1) - m_(2))``, 0 to 1. Source: as ``mean_entropy`` (their margin is of the predicted class)."""
    return _close(pool.mean)


def variability(pool: Guesses) -> Array:
    """The standard deviation over the epochs of the probability of the class that is predicted at the end, 0 to 0.5.

    Source: Swayamdipta et al. 2020, arXiv:2009.10795, section 2. Differs: the predicted class stands for the gold one.
    """
    return np.sqrt(pool.variance[np.arange(len(pool)), pool.predicted])


def switches(pool: Guesses) -> Array:
    """Epochs in which another class was likeliest than in the one before, 0 to E - 1.

    Source: Toneva et al. 2019, arXiv:1812.05159 (forgetting). Differs: any change counts, as no class is right.
    """
    return pool.switches.astype(np.float64)


def dispersion(pool: Guesses) -> Array:
    """``1 - (most votes of a class) / E``, 0 to ``1 - 1 / E``. Source: Bengar et al. 2021, arXiv:2107.14707."""
    return 1 - pool.votes.max(axis=1) / pool.epochs


def disagreement(pool: Guesses) -> Array:
    """``mean_t KL(p_t || m) = H(m) - mean_t H(p_t)``, 0 to log C: the epochs as a committee.

    Source: McCallum and Nigam 1998 (KL to the mean); Settles 2009, section 3.2. Differs: the members are the epochs of
    one training.
    """
    return np.maximum(mean_entropy(pool) - pool.mean_entropy, 0)


def cartography(question: Question) -> Array:
    """``-|q - 1/2|``, q the probability that an example would be learned early, by a logistic regression on features.

    It is fitted to the labelled examples; early are those whose correctness (epochs in which the gold label was
    likeliest) is above the median of all. Where there is nothing to tell apart, all are equal.

    Source: Zhang and Plank 2021 (CAL), arXiv:2109.04282, section 2. Differs: a logistic regression for their
    perceptron, and the median for a constant threshold, above which a network on few labels has all of them.
    """
    from sklearn.linear_model import LogisticRegression
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    pool, labelled, labels = question.pool, question.labelled, question.labels
    assert pool is not None
    assert labelled is not None
    assert labels is not None
    correctness = labelled.votes[np.arange(len(labels)), labels]
    early = correctness > np.median(correctness)
    if not early.any():
        return np.zeros(len(pool))
    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=1000))
    model.fit(labelled.features, early)
    return -np.abs(model.predict_proba(pool.features)[:, 1] - 0.5)


# --- a batch at once --------------------------------------------------------------------------------------------------


def chance(question: Question, size: int, generator: Generator) -> Array:
    """Any, each as likely."""
    return generator.choice(len(question.ids), size, replace=False)


def k_centers(question: Question, size: int, generator: Generator) -> Array:
    """Greedily the example farthest from what is labelled or taken, Euclidean in the features (equals at random).

    Source: Sener and Savarese 2018, arXiv:1708.00489, algorithm 1; ``skactiveml.pool.CoreSet``.
    """
    from skactiveml.pool import CoreSet

    pool, labelled = question.pool, question.labelled
    assert pool is not None
    assert labelled is not None
    x = np.concatenate([pool.features, labelled.features])  # pyright: ignore[reportArgumentType, reportCallIssue]
    known = np.concatenate([np.full(len(pool), np.nan), np.zeros(len(labelled))])  # which are labelled, not how
    return np.asarray(CoreSet(random_state=_seed(generator)).query(x, known, batch_size=size))


def badge(question: Question, size: int, generator: Generator) -> Array:
    """k-means++ on ``(p - onehot(c)) x features``, the gradient of the last layer under its own prediction.

    Takes n C D numbers of memory.

    Source: Ash et al. 2020 (BADGE), arXiv:1906.03671, algorithm 1; ``skactiveml.pool.Badge``.
    """
    from skactiveml.base import SkactivemlClassifier
    from skactiveml.pool import Badge

    pool = question.pool
    assert pool is not None
    assert pool.features is not None
    features, last = pool.features.astype(np.float64), pool.last
    if (needed := 2 * 8 * last.size * features.shape[1]) > (most := memory_allowed()):
        raise TrainmapError(
            f"badge needs {human(needed)} of memory for {len(pool)} examples, {last.shape[1]} classes and "
            f"{features.shape[1]} features, of {human(most)}; use a smaller pool, or k-centers"
        )

    class Told(SkactivemlClassifier):
        """Predictions that are there already."""

        def fit(self, X: Any, y: Any, sample_weight: Any = None) -> Any:
            return self

        def predict_proba(self, X: Any) -> Any:
            return last, features

    unknown_ = np.full(len(pool), np.nan)
    rows = Badge(random_state=_seed(generator)).query(features, unknown_, Told(), fit_clf=False, batch_size=size)
    return np.asarray(rows)


def _close(p: Array) -> Array:
    two = np.partition(p, -2, axis=1)
    return 1 - (two[:, -1] - two[:, -2])


def _seed(generator: Generator) -> int:
    return int(generator.integers(SEEDS))


def _highest(value: Callable[[Guesses], Array], question: Question, size: int, generator: Generator) -> Array:
    """The rows with the highest values; equals by the hash of their ids."""
    assert question.pool is not None
    return lowest(-value(question.pool), question.ids, size)


def _least_sure(question: Question, size: int, generator: Generator) -> Array:
    return lowest(-cartography(question), question.ids, size)


def _check(chosen: Acquisition, question: Question) -> None:
    """Refuse a question without what is read."""
    if chosen.reads == "nothing":
        return
    parts = {"pool": question.pool} | ({"labelled": question.labelled} if chosen.labelled else {})
    least = 2 if chosen.reads == "epochs" else 1
    for name, part in parts.items():
        if part is None:
            raise TrainmapError(f"{chosen.name} reads what was guessed of the examples; give the question's {name}")
        if part.epochs < least:
            raise TrainmapError(f"{chosen.name} needs guesses of {counted(least, 'epoch')} or more, got {part.epochs}")
        if chosen.features and part.features is None:
            raise TrainmapError(f"{chosen.name} needs the features of the {name}; see Guesses.with_features")
    if question.pool is not None and not np.array_equal(question.ids, question.pool.ids):
        raise TrainmapError("the question's ids and its guesses are of other examples; take pool.ids")
    if chosen.labelled and len(question.labelled or ()) != len(() if question.labels is None else question.labels):
        raise TrainmapError(f"{chosen.name} reads the labelled examples; give the label of each")
    labelled, labels = question.labelled, question.labels
    if not chosen.labelled or labelled is None or labels is None:
        return
    if labels.max() >= (classes := labelled.last.shape[1]):
        raise TrainmapError(f"labels must be 0 to {classes - 1} (the classes guessed), got {labels.max()}")


def _ranked(name: str, value: Callable[[Guesses], Array], source: str, **how: Any) -> Acquisition:
    return Acquisition(name, partial(_highest, value), source, **how)


_SETTLES = "Settles 2009 (TR 1648), section 3.1"
_TIDAL = "Kye et al. 2023, arXiv:2210.06788"

ACQUISITIONS: Mapping[str, Acquisition] = {
    one.name: one
    for one in (
        Acquisition("random", chance, "chance", reads="nothing", random=True),
        _ranked("entropy", entropy, _SETTLES, reads="last"),
        _ranked("margin", margin, _SETTLES, reads="last"),
        _ranked("mean-entropy", mean_entropy, _TIDAL),
        _ranked("mean-margin", mean_margin, _TIDAL),
        _ranked("variability", variability, "Swayamdipta et al. 2020, arXiv:2009.10795"),
        _ranked("switches", switches, "Toneva et al. 2019, arXiv:1812.05159"),
        _ranked("dispersion", dispersion, "Bengar et al. 2021, arXiv:2107.14707"),
        _ranked("disagreement", disagreement, "McCallum and Nigam 1998"),
        _ranked("density", density, "Settles and Craven 2008", reads="last", features=True),
        Acquisition("cartography", _least_sure, "Zhang and Plank 2021, arXiv:2109.04282", features=True, labelled=True),
        Acquisition(
            "k-centers",
            k_centers,
            "Sener and Savarese 2018, arXiv:1708.00489",
            reads="last",
            features=True,
            labelled=True,
            extra=True,
            random=True,
        ),
        Acquisition(
            "badge",
            badge,
            "Ash et al. 2020, arXiv:1906.03671",
            reads="last",
            features=True,
            extra=True,
            random=True,
        ),
    )
}
"""Every acquisition by its name."""
