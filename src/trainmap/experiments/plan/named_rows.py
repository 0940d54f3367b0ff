"""The rows that have a name of their own: the study's first table (Tag 1), and the opponents that make it honest."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from trainmap.experiments.tasks.draws import (
    Chosen,
    Draw,
    Full,
    IndependentRandom,
    Priced,
    Raced,
    Random,
    RepeatedAuto,
    RepeatedRaced,
)
from trainmap.maps.regions import Rule


@dataclass(frozen=True)
class NamedRow:
    """A row with a name.

    Attributes:
        key: in an experiment file, and on the command line.
        what: what a reader calls it, without its size.
        spec: in the mini-language, with ``{percent}`` for the size.
        rule: of the regions.
        draw: which examples its trainings visit.
        steps: how long it is trained: its "own" epochs, or (all the data) the steps of a "subset".
    """

    key: str
    what: str
    spec: str = "{percent} random"
    rule: Rule = "quantile"
    draw: type[Draw] = Chosen
    steps: Literal["own", "subset"] = "own"


ROWS: Mapping[str, NamedRow] = {
    row.key: row
    for row in (
        NamedRow("full", "full data", draw=Full),
        NamedRow("full-equal-steps", "full data, equal steps", draw=Full, steps="subset"),
        NamedRow("random", "random", draw=Random),
        NamedRow("repeated-random", "repeated random", draw=IndependentRandom),
        NamedRow("random-at-cost", "random at the map's cost", draw=Priced),
        NamedRow("auto", "auto", "{percent} auto"),
        NamedRow("repeated-auto", "repeated auto", "{percent} auto", draw=RepeatedAuto),
        NamedRow("raced", "raced", draw=Raced),
        NamedRow("repeated-raced", "repeated raced", draw=RepeatedRaced),
        NamedRow("ambiguous", "ambiguous = high variability", "{percent} ambiguous"),
        NamedRow("hard", "hard-to-learn = low confidence", "{percent} hard-to-learn"),
        NamedRow("easy", "easy-to-learn = high confidence", "{percent} easy-to-learn"),
        NamedRow("low-variability", "low variability", "bottom {percent} variability"),
        NamedRow("high-correctness", "high correctness", "top {percent} correctness"),
        NamedRow("low-correctness", "low correctness", "bottom {percent} correctness"),
        NamedRow("high-forgetfulness", "high forgetfulness (steep slope)", "top {percent} slope"),
        NamedRow("low-forgetfulness", "low forgetfulness (flat slope)", "bottom {percent} slope"),
        NamedRow("ambiguous-corner", "ambiguous, nearest to its corner", "{percent} ambiguous", "corner"),
        NamedRow("hard-corner", "hard-to-learn, nearest to its corner", "{percent} hard-to-learn", "corner"),
        NamedRow("easy-corner", "easy-to-learn, nearest to its corner", "{percent} easy-to-learn", "corner"),
    )
}
"""By their keys."""


ENDS_SAID = {"top": "high ", "bottom": "low ", "": ""}


def percent(fraction: float) -> str:
    """0.33 -> "33", 0.165 -> "16.5"."""
    return f"{round(100 * fraction, 6):g}"


def said(spec: str, sizes: bool = True) -> str:
    """A spec of the mini-language as a reader says it; without ``sizes``, which those of several parts keep.

    ``"33% ambiguous"`` → "ambiguous 33 %", ``"top 33% slope"`` → "high forgetfulness 33 %" (the study's word for the
    slope), ``"17% ambiguous + 25% easy-to-learn"`` → "ambiguous 17 % + easy-to-learn 25 %", ``"100%"`` → "full data".
    What is written in another order stays as it is.
    """
    texts = spec.split(" + ")
    told = [_part_said(text.split(), sizes or len(texts) > 1) for text in texts]
    return spec if None in told else " + ".join(map(str, told))


def _part_said(words: list[str], size: bool) -> str | None:
    end = words.pop(0) if words and words[0] in ENDS_SAID else ""
    if len(words) not in (1, 2) or not words[0].rstrip("%").replace(".", "", 1).isdigit():
        return None
    amount, name = words[0], (words[1] if len(words) > 1 else "")
    if not name:
        return f"{ENDS_SAID[end]}full data" if amount == "100%" else None
    told = "forgetfulness" if name == "slope" else name.replace("_", " ")
    amount = f" {amount[:-1]} %" if amount.endswith("%") else f", {amount} examples"
    return f"{ENDS_SAID[end]}{told}{amount if size else ''}"
