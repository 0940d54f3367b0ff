"""The axes of a map by the kind of its recording: what is high where an example is easy, and how much it varies.

The two axes, and the colour::

    classes, multilabel, tokens   confidence (mean p(gold)), its standard deviation, correctness
    regression, numbers           the mean of the main signal, turned so that up is easy (less it, where high is hard),
                                  and the standard deviation of that signal; correctness is NaN

The main signal is the first of a recording: the loss of regression. The columns are called confidence, variability and
correctness in every map. Where the main signal is a share of which low is hard (a pass rate), confidence is 0 to 1 and
regions look at values, as they do for probabilities; otherwise they are thirds by rank.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.store import Dynamics
from trainmap.dynamics.supervision import Kind, Signal
from trainmap.maps.map_file import AXES

Array = NDArray[Any]


def is_bounded(kind: Kind, signals: Sequence[Signal]) -> bool:
    """Whether the confidence of a map lies in 0 to 1, and its variability in 0 to 1/2."""
    return kind not in ("regression", "numbers") or (signals[0].is_share and signals[0].hard == "low")


def axis_scores(dynamics: Dynamics) -> list[str]:
    """The scores that the axes of a recording's map are made of."""
    if dynamics.kind not in ("regression", "numbers"):
        # log-probabilities of gold tokens do not tell whether another token was likelier
        told = dynamics.kind == "classes" or "accuracy" in dynamics.signals
        return [name for name in AXES if told or name != "correctness"]
    main = (dynamics.manifest.signals or [])[0].name
    return [f"{main}_mean", f"{main}_variability"]


def with_axes(dynamics: Dynamics, values: Mapping[str, Array]) -> dict[str, Array]:
    """A map's columns: the axes, and the scores."""
    if dynamics.kind not in ("regression", "numbers"):
        unknown = {} if "correctness" in values else {"correctness": np.full(len(values["confidence"]), np.nan)}
        return {**values, **unknown}
    main = (dynamics.manifest.signals or [])[0]
    mean, spread = (values[name] for name in axis_scores(dynamics))
    turned = 0.0 - mean if main.hard == "high" else mean
    return {
        "confidence": turned,
        "variability": spread,
        "correctness": np.full(len(mean), np.nan),
        **values,
    }
