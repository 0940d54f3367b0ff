"""The rows of the comparison: the study's first table (Tag 1), and the opponents that make it honest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trainmap.maps.regions import Rule

Budget = Literal["epochs", "steps"]


@dataclass(frozen=True)
class Subset:
    """One row: which examples, drawn how.

    Attributes:
        key: short name, for the command line and for files.
        what: what a reader calls it, without its size.
        spec: in the mini-language, with ``{percent}`` for the size; None for all the data.
        rule: of the regions.
        kind: "map" (chosen by the map, one set for all seeds), "random" (another set for every seed), "repeated"
            (another random set in every epoch), "map-repeated" (the same by ``RepeatedAuto``), "full" (all the data).
        steps: how long all the data is trained: "own" (the same epochs) or "subset" (the steps of a subset run).
    """

    key: str
    what: str
    spec: str | None
    rule: Rule = "quantile"
    kind: Literal["map", "random", "repeated", "map-repeated", "full"] = "map"
    steps: Literal["own", "subset"] = "own"


def percent(fraction: float) -> str:
    """0.33 -> "33", 0.165 -> "16.5"."""
    return f"{round(100 * fraction, 6):g}"


SUBSETS: Mapping[str, Subset] = {
    subset.key: subset
    for subset in (
        Subset("full", "full data", None, kind="full"),
        Subset("full-equal-steps", "full data, equal steps", None, kind="full", steps="subset"),
        Subset("random", "random", "{percent} random", kind="random"),
        Subset("repeated-random", "repeated random", "{percent} random", kind="repeated"),
        Subset("auto", "auto", "{percent} auto"),
        Subset("repeated-auto", "repeated auto", "{percent} auto", kind="map-repeated"),
        Subset("ambiguous", "ambiguous = high variability", "{percent} ambiguous"),
        Subset("hard", "hard-to-learn = low confidence", "{percent} hard-to-learn"),
        Subset("easy", "easy-to-learn = high confidence", "{percent} easy-to-learn"),
        Subset("low-variability", "low variability", "bottom {percent} variability"),
        Subset("high-correctness", "high correctness", "top {percent} correctness"),
        Subset("low-correctness", "low correctness", "bottom {percent} correctness"),
        Subset("high-forgetfulness", "high forgetfulness (steep slope)", "top {percent} slope"),
        Subset("low-forgetfulness", "low forgetfulness (flat slope)", "bottom {percent} slope"),
        Subset("ambiguous-corner", "ambiguous, nearest to its corner", "{percent} ambiguous", "corner"),
        Subset("hard-corner", "hard-to-learn, nearest to its corner", "{percent} hard-to-learn", "corner"),
        Subset("easy-corner", "easy-to-learn, nearest to its corner", "{percent} easy-to-learn", "corner"),
    )
}
