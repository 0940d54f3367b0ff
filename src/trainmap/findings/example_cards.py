"""Examples as cards: what a page shows of them, and those that are furthest in each region of a map."""

from __future__ import annotations

import base64
from collections.abc import Callable, Iterable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from trainmap.dynamics.index import rising
from trainmap.errors import TrainmapError, counted
from trainmap.explorer.encoded import SVG, Medium, small
from trainmap.explorer.example_sources import Examples
from trainmap.files import read_json, write_json
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS

Array = NDArray[Any]

TEMPLATES = Path(__file__).parent
"""Where ``example_cards.html.j2`` and its style are."""
REGION_EXAMPLES = 12
PIXELS = 160
"""Of a side of a picture on the page."""
LONGEST = 280
"""Characters of a text on a card."""
MOST_FIELDS = 6
MOST_BYTES = 400_000
"""Of a sound, or of a picture that cannot be made small, on the page."""
REGION_WORDS = {
    "easy-to-learn": "learned early and kept: the bulk of the task; a student that sees only these learns little",
    "ambiguous": "the network changed its mind about these: borderline cases, and what it learns from",
    "hard-to-learn": "hardly ever right: rare cases, outliers, and wrong labels",
}


@dataclass(frozen=True)
class Card:
    """One example on the page.

    Attributes:
        key: its id.
        said: lines below it.
        text, fields, pictures, sounds: what it is; media as data URIs.
        note: why it cannot be shown, "" where it can.
    """

    key: str
    said: tuple[str, ...]
    text: str = ""
    fields: tuple[tuple[str, str], ...] = ()
    pictures: tuple[str, ...] = ()
    sounds: tuple[str, ...] = ()
    note: str = ""


@dataclass(frozen=True)
class RegionCards:
    """A region of a map.

    Attributes:
        name, words: what it is called, and what it is.
        count: how many examples are in it.
        cards: those furthest in it.
    """

    name: str
    words: str
    count: int
    cards: tuple[Card, ...]


def region_cards(
    datamap: DataMap, examples: Examples | None, called: Callable[[int], str], most: int = REGION_EXAMPLES
) -> tuple[RegionCards, ...]:
    """The regions of a map with the examples that are furthest in them, equals by the hash of their ids.

    Args:
        examples: what the examples are; None: they are told by their ids.
        called: the name of a class.
        most: how many of each region.
    """
    confidence, variability = datamap.values("confidence"), datamap.values("variability")
    far = {"easy-to-learn": -confidence, "ambiguous": -variability, "hard-to-learn": confidence}
    made = []
    for region in REGIONS:
        inside = np.flatnonzero(datamap.table["region"].eq_missing(region).to_numpy())
        first = inside[rising(far[region][inside], datamap.ids[inside])[:most]]
        cards = []
        for row in first:
            label = int(datamap.labels[row])
            said = [f"label {called(label)}"] if label >= 0 else []
            said.append(f"confidence {confidence[row]:.2f}, variability {variability[row]:.2f}")
            cards.append(card(examples, datamap.ids[row].item(), said))
        made.append(RegionCards(region, REGION_WORDS[region], len(inside), tuple(cards)))
    return tuple(made)


def card(examples: Examples | None, key: Any, said: Iterable[str]) -> Card:
    """One example, as far as it can be shown."""
    lines = tuple(said)
    if examples is None:
        return Card(str(key), lines)
    try:
        shown = examples.of(key)
        pictures = [_shown(medium) for medium in shown.media if medium.kind == "image"]
    except TrainmapError as error:
        return Card(str(key), lines, note=str(error))
    sounds = [data_uri(one) for one in shown.media if one.kind == "audio" and len(one.content) <= MOST_BYTES]
    text = shown.text if len(shown.text) <= LONGEST else f"{shown.text[:LONGEST]}…"
    left = sum(medium.kind == "audio" for medium in shown.media) - len(sounds) + pictures.count("")
    return Card(
        str(key),
        lines,
        text,
        shown.fields[:MOST_FIELDS] if not (text or pictures) else (),
        tuple(one for one in pictures if one),
        tuple(sounds),
        f"{counted(left, 'file')} too large for this page" if left else "",
    )


def _shown(medium: Medium) -> str:
    """A picture made small, as a data URI; "" where it is too large and cannot be."""
    if medium.type == SVG:
        return data_uri(medium) if len(medium.content) <= MOST_BYTES else ""
    return data_uri(small(medium, PIXELS) or medium)


def data_uri(medium: Medium) -> str:
    """A picture or sound as the address of an element."""
    return f"data:{medium.type};base64,{base64.b64encode(medium.content).decode()}"


def write_cards(cards: Iterable[RegionCards], path: Path) -> None:
    """Keep the cards of a map, as JSON."""
    write_json(path, {"regions": [asdict(one) for one in cards]})


def read_cards(path: Path) -> tuple[RegionCards, ...]:
    """What ``write_cards`` kept; a damaged file is an error of ``trainmap.files.reading`` around it."""
    found = read_json(path)["regions"]
    return tuple(RegionCards(**one | {"cards": tuple(_card_of(card) for card in one["cards"])}) for one in found)


def _card_of(told: dict[str, Any]) -> Card:
    lists: dict[str, Any] = {name: tuple(told[name]) for name in ("said", "pictures", "sounds")}
    lists["fields"] = tuple((name, value) for name, value in told["fields"])
    return Card(**told | lists)
