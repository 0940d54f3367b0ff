"""Every published score that one recording gives, in one table with what one must know to use each.

A score is a pure function of a block, (E, n) in and (n,) out. Each says its formula, its range, its source, and where
papers and codes differ from each other and from us. Epochs in which an example was not seen are left out of its score
(a windowed score of such an example is NaN); an example that was never seen is NaN. A score of your own is a plain
function of a block: pass it where a name can stand.

    cartography.py   confidence, variability, threshold closeness, aleatoric uncertainty, slope
    events.py        correctness, forgetting, first learned, learning time
    averages.py      AUM, EL2N, entropy, loss
    windows.py       dynamic uncertainty, DUAL, TDDS
    trajectories.py  whole loss trajectories and their clusters (not a score: nothing is hard or easy)
    second_split.py  second-split forgetting time (needs two recordings)
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.arrays import to_ids, to_numpy
from trainmap.dynamics.index import rising
from trainmap.dynamics.signals import Block
from trainmap.dynamics.supervision import Kind, Signal
from trainmap.errors import TrainmapError, shown, unknown
from trainmap.kinds import check_name
from trainmap.scores.averages import aum, el2n, entropy, loss
from trainmap.scores.cartography import aleatoric, confidence, slope, threshold_closeness, variability
from trainmap.scores.events import correctness, first_learned, forgetting, learning_time
from trainmap.scores.score_entry import Score as Score
from trainmap.scores.signal_family import end_in, known_by_name
from trainmap.scores.windows import WINDOW, dual, dyn_unc, tdds

Array = NDArray[Any]


OF_P_GOLD: tuple[Kind, ...] = ("classes", "multilabel", "tokens")
"""The kinds whose recordings have a probability of what was given, and a cross entropy."""

CARTOGRAPHY = "Swayamdipta et al. 2020, arXiv:2009.10795"
TONEVA = "Toneva et al. 2019, arXiv:1812.05159"
MAINI = "Maini et al. 2022, arXiv:2210.15031"

SCORES: dict[str, Score] = {
    score.name: score
    for score in (
        Score("confidence", confidence, "low", ("p_gold",), "[0, 1]", CARTOGRAPHY, kinds=OF_P_GOLD),
        Score(
            "variability", variability, "high", ("p_gold",), "[0, 0.5]", CARTOGRAPHY,
            conventions={"allenai": {}, "allenai_ci": {"include_ci": True}, "ftft": {"ddof": 1}}, kinds=OF_P_GOLD,
        ),
        Score(
            "correctness", correctness, "low", ("predicted",), "0 to E", CARTOGRAPHY,
            conventions={"allenai": {}, "paper": {"fraction": True}},
        ),
        Score(
            "forgetting", forgetting, "high", ("predicted",), "0 to E / 2, inf", TONEVA,
            conventions={
                "data_diet": {"never_learned": math.inf},
                "toneva": {"never_learned": "epochs"},
                "allenai": {"never_learned": 1000},
                "deepcore": {"never_learned": 0},
                "ccs": {"never_learned": 0},
            },
        ),
        Score("slope", slope, "low", ("p_gold",), "[-1, 1]", "Hromadka and Rex 2024, L46_datamaps", 2, kinds=OF_P_GOLD),
        Score(
            "threshold_closeness", threshold_closeness, "high", ("p_gold",), "[0, 0.25]", CARTOGRAPHY, kinds=OF_P_GOLD
        ),
        Score(
            "aum", aum, "low", ("margin",), "unbounded", "Pleiss et al. 2020, arXiv:2001.10528",
            conventions={"pleiss": {}, "ccs": {"probability": True, "total": True}, "datacull": {"probability": True}},
            convention_needs=("loss",),
        ),
        Score(
            "el2n", el2n, "high", ("el2n",), "[0, 1.415]", "Paul et al. 2021, arXiv:2107.07075",
            conventions={
                "ccs": {"total": True},
                "data_diet": {"window": (19, 20)},
                "cho": {"window": (20, 21)},
            },
            convention_epochs={"data_diet": 20, "cho": 21},
        ),
        Score(
            "entropy", entropy, "high", ("entropy",), "[0, log C]", "Coleman et al. 2020, arXiv:1906.11829",
            conventions={"ccs": {"last": True}},
        ),
        Score(
            "loss", loss, "high", ("loss",), "0 or more", "cross entropy", conventions={"ccs": {"last": True}},
            kinds=OF_P_GOLD,
        ),
        Score(
            "aleatoric", aleatoric, "high", ("p_gold",), "[0, 0.25]", "Seedat et al. 2022, arXiv:2210.13043",
            kinds=OF_P_GOLD,
        ),
        Score("first_learned", first_learned, "high", ("predicted",), "0 to E - 1, inf", TONEVA),
        Score(
            "learning_time", learning_time, "high", ("predicted",), "0 to E - 1, inf", MAINI,
            conventions={"maini": {"never_learned": "epochs"}},
        ),
        Score(
            "dyn_unc", dyn_unc, "high", ("p_gold",), "[0, 0.53]", "He et al. 2024, arXiv:2306.05175", epochs=WINDOW,
            conventions={"baai": {"last_window": False, "scale": 10.0}, "cho": {"scale": 10.0}},
            convention_epochs={"baai": WINDOW + 1}, kinds=OF_P_GOLD,
        ),
        Score(
            "dual", dual, "high", ("p_gold",), "[0, 0.339]", "Cho et al. 2025, arXiv:2502.06905", epochs=WINDOW,
            conventions={"cho": {"scale": 10.0}}, kinds=OF_P_GOLD,
        ),
        Score(
            "tdds", tdds, "high", ("logits",), "0 or more", "Zhang et al. 2024, arXiv:2311.13613", epochs=WINDOW,
            conventions={"zhang": {}},
        ),
    )
}  # fmt: skip


def _of_several(name: str) -> Callable[..., Array]:
    def refuse(block: Block) -> Array:
        raise of_several(name)

    return refuse


DEPEWEG = "Depeweg et al. 2018, arXiv:1710.07283"

OF_SEVERAL: dict[str, Score] = {
    name: Score(name, _of_several(name), "high", ("p_gold",), "[0, 0.5]", source, kinds=get_args(Kind))
    for name, source in (("pooled_variability", CARTOGRAPHY), ("disagreement", DEPEWEG))
}
"""The columns that only a map of several recordings has (``trainmap.maps.ensemble``); no block of one gives them."""


def of_several(name: str) -> TrainmapError:
    """The error for such a column of one recording."""
    return TrainmapError(f"{name} is of several recordings; DataMap.from_dynamics([a, b, ...]) has it")


def score(name: str, convention: str | None = None) -> Score:
    """The score of that name, by its default or by a published code's convention: a function of a block.

    ``score("forgetting", "allenai")`` is also what the name ``"forgetting_allenai"`` stands for wherever a score is
    named, and its column is called that.

    Raises:
        TrainmapError: an unknown score or convention, with the nearest known one and the list.
    """
    check_name(name, "a score")
    if convention is not None:
        return score(name).under(convention)
    if name in SCORES or name in OF_SEVERAL:
        return SCORES.get(name) or OF_SEVERAL[name]
    if (of_signal := known_by_name(name)) is not None:
        return of_signal
    for base in SCORES.values():
        if base.conventions and name.startswith(f"{base.name}_"):
            return base.under(name.removeprefix(f"{base.name}_"))
    raise unknown("score", name, (*SCORES, *OF_SEVERAL))


score_named = score


def hard_end(column: str, signals: Iterable[Signal] = ()) -> Literal["high", "low"] | None:
    """Which end of a map's column is hard, by its name (with a convention or without); None for one of your own.

    Args:
        signals: of the map, where it is of plain numbers or the like.
    """
    if signals and (found := end_in(column, signals)) is not None:
        return found[0]
    try:
        return score_named(column).direction
    except TrainmapError:
        return None


def hard_first(score: str | Score, values: Array, ids: Array) -> Array:
    """The ids from the hardest to the easiest, so that nobody picks the wrong end.

    Args:
        score: which one ``values`` (n,) are; its ``direction`` decides.
        values: (n,) as the score gave them.
        ids: (n,) the examples.

    Returns:
        (n,) ids. Equals stand in the order of a fixed hash of their ids; NaN (never seen) comes last.
    """
    if not isinstance(score, Score):
        check_name(score, "a score")
    direction = (score_named(score) if isinstance(score, str) else score).direction
    values, ids = to_numpy(values, "values"), to_ids(ids)
    if values.dtype.kind not in "fiub":
        raise TrainmapError(f"values must be numbers, as the score gave them, got {values.dtype}")
    values = values.astype(np.float64)
    if values.ndim != 1 or values.shape != ids.shape:
        raise TrainmapError(f"values and ids must be one-dimensional and alike, got {values.shape} and {ids.shape}")
    if direction is None:
        raise TrainmapError(f"{shown(score)} has no hard end; take one that has, such as a loss or a variability")
    return ids[rising(-values if direction == "high" else values, ids)]
