"""What a client counts, and the thresholds that are read from the sum: by hand, and against exact ranks."""

from __future__ import annotations

from decimal import Decimal
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from trainmap import DataMap, Dynamics, Recorder
from trainmap.errors import StoreError, TrainmapError
from trainmap.federated import Choice, Thresholds
from trainmap.federated.global_thresholds import Cut, axis_of, thresholds
from trainmap.federated.histograms import CONFIDENCE, EDGES, SHAPE, VARIABILITY, histogram, possible
from trainmap.selection import parse
from trainmap.selection.select import select

Array = NDArray[Any]


def counts(cells: dict[tuple[int, int], float]) -> Array:
    made = np.zeros(SHAPE)
    for cell, value in cells.items():
        made[cell] = value
    return made


@pytest.fixture(scope="module")
def example_map(tmp_path_factory: pytest.TempPathFactory) -> DataMap:
    """2,000 examples that are learned sooner or later, over 6 epochs."""
    generator, ids = np.random.default_rng(0), np.arange(2000)
    folder = tmp_path_factory.mktemp("map")
    speed = generator.normal(0, 1.5, 2000)
    with Recorder(folder / "dynamics", 2, ids=ids, labels=np.zeros(2000, np.int64)) as recorder:
        for epoch in range(6):
            gold = speed + 0.8 * epoch - 1 + generator.normal(0, 0.7, 2000)
            recorder.update(ids, np.stack([gold, np.zeros(2000)], 1), np.zeros(2000, np.int64))
            recorder.end_epoch()
    return DataMap.from_dynamics(Dynamics.open(folder / "dynamics"), workers=1)


def test_examples_are_counted_where_they_lie_and_those_never_seen_nowhere() -> None:
    confidence = np.array([0.0, 1 / 24, 0.5, 1.0, np.nan, 0.3])
    variability = np.array([0.0, 0.0, 0.5, 0.0, 0.1, np.nan])
    made = histogram(confidence, variability)
    assert made.dtype == np.int64
    assert {tuple(map(int, cell)): int(made[tuple(cell)]) for cell in np.argwhere(made)} == {
        (0, 0): 1,
        (1, 0): 1,
        (12, 15): 1,
        (23, 0): 1,
    }


def test_it_is_numpys_histogram() -> None:
    generator = np.random.default_rng(0)
    confidence, variability = generator.random(500), generator.random(500) / 2
    theirs = np.histogram2d(confidence, variability, [CONFIDENCE, VARIABILITY])[0]
    np.testing.assert_array_equal(histogram(confidence, variability), theirs)


@pytest.mark.parametrize(("confidence", "variability"), [(1.1, 0.1), (-0.1, 0.1), (0.5, 0.51), (np.inf, 0.1)])
def test_what_cannot_be_is_not_counted_in_silence(confidence: float, variability: float) -> None:
    with pytest.raises(TrainmapError, match="must be 0 to"):
        histogram(np.array([confidence]), np.array([variability]))
    with pytest.raises(TrainmapError, match="each example has"):
        histogram(np.zeros(3), np.zeros(2))


@settings(max_examples=200, deadline=None)
@given(st.lists(st.floats(0, 1, width=32), min_size=2, max_size=12))
def test_no_example_is_where_none_can_be(p_gold: list[float]) -> None:
    values = np.array(p_gold)
    made = histogram(np.array([values.mean()]), np.array([values.std()]))
    assert made[possible()].sum() == 1


def test_a_threshold_by_hand() -> None:
    # 10 examples in the two bins of the highest variability that confidence 1/2 can have: 4 in the last, 6 before it
    made = counts({(12, 15): 4, (12, 14): 6})
    last, before, low = VARIABILITY[16], VARIABILITY[15], VARIABILITY[14]
    two, seven, all_of_them = (thresholds(made, parse(f"{share}% ambiguous")) for share in (20, 70, 100))
    assert two == Thresholds((Cut("variability", "high", last - (last - before) / 2),))
    assert seven == Thresholds((Cut("variability", "high", before - (before - low) / 2),))
    assert all_of_them is not None
    assert all_of_them.cuts[0].at == pytest.approx(low)


def test_a_part_takes_from_what_earlier_parts_left() -> None:
    # 10 ambiguous ones of confidence 1/2; 20 of low confidence, 30 of high confidence, all of little variability
    made = counts({(12, 14): 10, (0, 0): 20, (23, 0): 30, (11, 1): 40})
    found = thresholds(made, parse("10% ambiguous + 10% hard-to-learn + 15% easy-to-learn"))
    assert found is not None
    ambiguous, hard, easy = found.cuts
    assert (ambiguous.score, ambiguous.side, ambiguous.at) == ("variability", "high", pytest.approx(VARIABILITY[14]))
    assert (hard.score, hard.side, hard.at) == ("confidence", "low", pytest.approx(CONFIDENCE[1] / 2))
    assert (easy.score, easy.side, easy.at) == ("confidence", "high", pytest.approx((CONFIDENCE[23] + 1) / 2))
    # half of the ambiguous ones are gone: the next ones by variability are the other half
    first, second = thresholds(made, parse("5% ambiguous + 5% top variability")).cuts  # type: ignore[union-attr]
    assert first.at == pytest.approx((VARIABILITY[14] + VARIABILITY[15]) / 2)
    assert second.at == pytest.approx(VARIABILITY[14])


def test_negative_counts_take_from_their_neighbours_and_never_make_examples() -> None:
    plain = counts({(12, 15): 4, (12, 14): 6})
    # an impossible bin does not count at all
    assert not possible()[0, 15]
    assert thresholds(plain + counts({(0, 15): 1000}), parse("20% ambiguous")) == thresholds(
        plain, parse("20% ambiguous")
    )
    # -2 beside 6 in one bin of the axis are 4; the total is 8, and a half of it is the whole last bin
    half = thresholds(plain + counts({(13, 14): -2}), parse("50% ambiguous"))
    assert half is not None
    assert half.cuts[0].at == pytest.approx(VARIABILITY[15])
    # sums 4, 2, 8 do not rise: the nearest that do are 3, 3, 8, and 3 of 8 are the whole last bin
    uneven = counts({(12, 15): 4, (12, 14): -2, (12, 13): 6})
    found = thresholds(uneven, parse("37.5% ambiguous"))
    assert found is not None
    assert found.cuts[0].at == pytest.approx(VARIABILITY[15])


@pytest.mark.parametrize("made", [np.zeros(SHAPE), -np.ones(SHAPE)])
def test_noise_alone_has_no_threshold(made: Array) -> None:
    assert thresholds(made, parse("33% ambiguous")) is None


@pytest.mark.parametrize("made", [np.zeros((3, 3)), np.full(SHAPE, np.nan), np.full(SHAPE, np.inf)])
def test_other_counts_are_refused(made: Array) -> None:
    with pytest.raises(TrainmapError, match="counts must be"):
        thresholds(made, parse("33% ambiguous"))


SPECS = {
    "ambiguous": ("variability", "high"),
    "easy-to-learn": ("confidence", "high"),
    "hard-to-learn": ("confidence", "low"),
    "top confidence": ("confidence", "high"),
    "bottom confidence": ("confidence", "low"),
    "hardest confidence": ("confidence", "low"),
    "easiest confidence": ("confidence", "high"),
    "top variability": ("variability", "high"),
    "bottom variability": ("variability", "low"),
}


@pytest.mark.parametrize("word", [*SPECS, "hardest variability", "easiest variability"])
@pytest.mark.parametrize("share", [10, 33, 80, 100])
def test_a_threshold_keeps_the_examples_that_select_would(word: str, share: int, example_map: DataMap) -> None:
    plan = parse(f"{share}% {word}")
    if word in SPECS:
        assert axis_of(plan.parts[0]) == SPECS[word]
    made = histogram(example_map.values("confidence"), example_map.values("variability"))
    found = thresholds(made, plan)
    assert found is not None
    kept, exact = set(found.beyond(example_map)), set(select(example_map, plan).ids)
    assert abs(len(kept) - len(exact)) <= 0.03 * len(example_map)
    assert kept <= exact or exact <= kept  # the same order: one is the beginning of the other


def test_parts_together_keep_what_select_would(example_map: DataMap) -> None:
    plan = parse("20% ambiguous + 10% hard-to-learn + 25% easy-to-learn")
    made = histogram(example_map.values("confidence"), example_map.values("variability"))
    found = thresholds(made, plan)
    assert found is not None
    kept, exact = set(found.beyond(example_map)), set(select(example_map, plan).ids)
    assert len(kept ^ exact) <= 0.05 * len(example_map)


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 2**32 - 1), st.floats(0, 200), st.lists(st.sampled_from(sorted(SPECS)), min_size=1, max_size=3))
def test_whatever_the_noise_thresholds_are_on_the_axis_and_more_asked_for_is_never_less(
    seed: int, noise: float, words: list[str]
) -> None:
    generator = np.random.default_rng(seed)
    made = generator.integers(0, 300, SHAPE) + noise * generator.standard_normal(SHAPE)
    shares = [Decimal(10), Decimal(25), Decimal(30)][: len(words)]
    spec = " + ".join(f"{share}% {word}" for share, word in zip(shares, words))
    found = thresholds(made, parse(spec))
    if found is None:
        return
    for cut in found.cuts:
        assert 0 <= cut.at <= EDGES[cut.score][-1]
    wider = thresholds(made, parse(f"35% {words[0]}"))
    assert wider is not None
    first = found.cuts[0]
    assert wider.cuts[0].at <= first.at if first.side == "high" else wider.cuts[0].at >= first.at


def test_thresholds_travel_as_text() -> None:
    made = Thresholds((Cut("variability", "high", 0.1), Cut("confidence", "low", 1 / 3)))
    assert Thresholds.from_json(made.to_json()) == made
    with pytest.raises(StoreError, match="cannot be read"):
        Thresholds.from_json('{"cuts": [{"score": "aum", "side": "high", "at": 0.1}]}')


@pytest.mark.parametrize(
    "spec", ["33% auto", "33% ccs", "33% top aum", "middle 33% confidence", "9% ambiguous + 9% random"]
)
@pytest.mark.parametrize("bounds", ["global", "mixed"])
def test_words_without_a_threshold_are_refused_where_the_choice_is_made(spec: str, bounds: Any) -> None:
    with pytest.raises(TrainmapError, match="has no threshold that clients could share"):
        Choice(spec, bounds=bounds)
