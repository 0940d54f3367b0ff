"""Examples as cards: the furthest of each region, kept and read again, and nothing of the data can run."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import trainmap as tm
from hostile import HOSTILE
from trainmap.explorer import examples_of
from trainmap.findings import RegionCards, read_cards, region_cards, write_cards
from trainmap.maps.regions import REGIONS

N = 60


@pytest.fixture(scope="module")
def datamap(tmp_path_factory: pytest.TempPathFactory) -> tm.DataMap:
    draws, folder = np.random.default_rng(0), tmp_path_factory.mktemp("cards") / "d"
    with tm.Recorder(folder, 2) as recorder:
        for _ in range(4):
            recorder.update(np.arange(N), draws.normal(size=(N, 2)) * 3, np.arange(N) % 2)
            recorder.end_epoch()
    return tm.DataMap.from_dynamics(tm.Dynamics.open(folder))


def cards(datamap: tm.DataMap, text: str = "a text", most: int = 3) -> tuple[RegionCards, ...]:
    return region_cards(datamap, examples_of([text] * N, datamap.ids), lambda label: ["no", "yes"][label], most)


def test_a_region_shows_the_examples_that_are_furthest_in_it(datamap: tm.DataMap) -> None:
    easy, ambiguous, hard = cards(datamap)
    assert (easy.name, ambiguous.name, hard.name) == REGIONS
    confidence, variability = datamap.values("confidence"), datamap.values("variability")
    region = datamap.table["region"].to_numpy()
    for found, values in ((easy, -confidence), (ambiguous, -variability), (hard, confidence)):
        inside = np.flatnonzero(region == found.name)
        assert found.count == len(inside)
        assert [int(card.key) for card in found.cards] == inside[np.argsort(values[inside])][:3].tolist()
    one = easy.cards[0]
    assert one.said[0] == f"label {['no', 'yes'][int(one.key) % 2]}"


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_kept_cards_come_back_as_they_were(text: str, datamap: tm.DataMap, tmp_path: Path) -> None:
    made = cards(datamap, text)
    write_cards(made, tmp_path / "examples.json")
    assert read_cards(tmp_path / "examples.json") == made
    json.loads((tmp_path / "examples.json").read_text())


def test_without_the_data_they_are_told_by_their_ids(datamap: tm.DataMap) -> None:
    made = region_cards(datamap, None, str, 2)
    assert all(card.text == "" and not card.pictures and card.key for one in made for card in one.cards)
