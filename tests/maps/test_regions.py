"""The two rules of regions: values and thirds, equals, edges, overlap; what a map that cannot tell says."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.figure import Figure
from rich.console import Console

from trainmap.dynamics.exchange.whole_folder import write_dynamics
from trainmap.errors import TrainmapError
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import AMBIGUOUS, EASY, HARD, assign, deepest_first, depth, overlap, unclear
from trainmap.views.plot import plot_map
from trainmap.views.summary import of_map

NAN = np.nan
ALL = (AMBIGUOUS, HARD, EASY)


def regions(points: list[tuple[float, float]], epochs: int = 5, **keywords: Any) -> list[str | None]:
    """Regions of (variability, confidence) points."""
    v, c = np.array(points, dtype=float).reshape(-1, 2).T
    return assign(v, c, epochs, **keywords).tolist()


# --- the quantile rule ------------------------------------------------------------------------------------------------


def test_an_example_is_in_the_third_whose_corner_its_values_lie_near() -> None:
    points = [(0.4, 0.5), (0.1, 0.1), (0.05, 0.95), (0.2, 0.6), (0.3, 0.55), (0.11, 0.2)]
    assert regions(points, fraction=1 / 6) == [AMBIGUOUS, HARD, EASY, None, None, None]
    assert regions(points, fraction=1 / 3) == [AMBIGUOUS, HARD, EASY, EASY, AMBIGUOUS, HARD]
    assert regions(points, fraction=1) == [AMBIGUOUS, HARD, EASY, AMBIGUOUS, AMBIGUOUS, HARD]


def near(v: float, c: float) -> list[str]:
    """The regions that the distances to the three corners do not contradict, the nearest first."""
    far = {AMBIGUOUS: np.hypot(v - 0.5, c - 0.5), HARD: np.hypot(v, c), EASY: np.hypot(v, c - 1)}
    against = {AMBIGUOUS: (HARD, EASY), HARD: (EASY,), EASY: (HARD,)}
    fits = [name for name in far if all(far[name] < far[other] - 1e-9 for other in against[name])]
    return sorted(fits, key=lambda name: far[name])


@settings(max_examples=150, deadline=None)
@given(n=st.integers(2, 40), seed=st.integers(0, 2**32 - 1), fraction=st.floats(0.05, 1), coarse=st.booleans())
def test_the_quantile_rule_is_the_nearest_corner_of_the_thirds_that_the_values_do_not_contradict(
    n: int, seed: int, fraction: float, coarse: bool
) -> None:
    generator = np.random.default_rng(seed)
    v, c = generator.random(n) / 2, generator.random(n)
    if coarse:
        v, c = np.round(v * 8) / 8, np.round(c * 8) / 8
    found = assign(v, c, 5, "quantile", fraction)
    if unclear(v, c, 5):
        assert not found.astype(bool).any()
        return
    count = int(fraction * n + 0.5)
    deep = {AMBIGUOUS: v, HARD: -c, EASY: c}
    for row in range(n):
        within = [name for name in near(v[row], c[row]) if (deep[name] > deep[name][row]).sum() < count]
        assert found[row] == (within[0] if within else None)


def test_what_a_network_never_learned_is_hard_and_what_it_fits_at_once_is_not_ambiguous() -> None:
    generator = np.random.default_rng(0)
    v = np.concatenate([np.full(42, 1e-14), np.exp(generator.uniform(-20, -4, 938)), generator.uniform(0.3, 0.4, 20)])
    c = np.concatenate([np.full(42, 1e-14), 1 - v[42:980], generator.uniform(0.4, 0.6, 20)])
    found = assign(v, c, 10)
    assert found[:42].tolist() == [HARD] * 42
    assert found[980:].tolist() == [AMBIGUOUS] * 20
    assert (found[42:980] == EASY).sum() == 333
    assert set(found[42:980]) == {EASY, None}


def test_equals_are_in_a_third_together() -> None:
    easy = [(0.0, 1.0)] * 6 + [(0.3, 0.5), (0.01, 0.1), (0.2, 0.9)]
    assert regions(easy, fraction=1 / 3) == [EASY] * 6 + [AMBIGUOUS, HARD, None]
    hard = [(0.0, 0.0)] * 6 + [(0.3, 0.5), (0.01, 0.9), (0.2, 0.1)]
    assert regions(hard, fraction=1 / 3) == [HARD] * 6 + [AMBIGUOUS, EASY, None]


@pytest.mark.parametrize(("n", "fraction", "count"), [(3, 1 / 3, 1), (4, 1 / 3, 1), (5, 0.5, 3), (10, 0.33, 3)])
def test_the_fraction_is_of_all_seen_examples_rounded_half_up(n: int, fraction: float, count: int) -> None:
    v = np.concatenate([np.linspace(0.1, 0.4, n), [NAN, NAN]])
    found = assign(v, np.where(np.isnan(v), NAN, 0.5 + np.arange(n + 2) / 100), 5, fraction=fraction)
    assert (found == AMBIGUOUS).sum() == count
    assert found[-2:].tolist() == [None, None]


def test_a_variability_that_is_missing_puts_an_example_in_no_region() -> None:
    assert regions([(NAN, 0.99), (0.1, 0.9), (0.2, 0.5)], fraction=0.5) == [None, EASY, AMBIGUOUS]
    assert regions([(NAN, 0.99), (0.1, 0.9)], rule="corner") == [None, EASY]


# --- edges ------------------------------------------------------------------------------------------------------------

EDGES: dict[str, tuple[list[tuple[float, float]], int, Sequence[str | None], str]] = {
    "none": ([], 5, [], "no example was seen"),
    "never seen": ([(NAN, NAN)] * 3, 5, [None] * 3, "no example was seen"),
    "one example": ([(0.1, 0.9)], 5, [None], "there is one example"),
    "one that was seen": ([(0.1, 0.9), (NAN, NAN)], 5, [None, None], "there is one example"),
    "one epoch": ([(0.0, c / 10) for c in range(10)], 1, [None] * 10, "over one epoch nothing varies"),
    "nothing varies": ([(0.0, c / 10) for c in range(10)], 5, [None] * 10, "all examples have the same variability, 0"),
    "one confidence": (
        [(v / 20, 0.5) for v in range(10)], 5, [None] * 10, "all examples have the same confidence, 0.5",
    ),
    "all equal": ([(0.0, 1.0)] * 4, 5, [None] * 4, "all examples have the same variability, 0"),
    "two values": ([(0.0, 1.0)] * 9 + [(0.4, 0.5)], 5, [EASY] * 9 + [AMBIGUOUS], ""),
    "two examples": ([(0.1, 0.1), (0.2, 0.95)], 5, [HARD, EASY], ""),
    "all right": ([(0.01, 0.98), (0.02, 0.97), (0.005, 0.99)], 5, [None, None, EASY], ""),
    "all wrong": ([(0.01, 0.02), (0.02, 0.03), (0.005, 0.01)], 5, [None, None, HARD], ""),
    "half and half for ever": ([(0.0, 0.5)] * 3 + [(0.1, 0.2)], 5, [None] * 3 + [HARD], ""),
}  # fmt: skip


@pytest.mark.parametrize("edge", EDGES)
def test_edges(edge: str) -> None:
    points, epochs, expected, why = EDGES[edge]
    v, c = np.array(points, dtype=float).reshape(-1, 2).T
    assert regions(points, epochs) == expected
    assert unclear(v, c, epochs) == why


@pytest.mark.parametrize("rule", ["quantile", "corner"])
@pytest.mark.parametrize("edge", [name for name, (points, *_) in EDGES.items() if points and name != "never seen"])
def test_table_picture_and_summary_say_alike_what_a_map_cannot_tell(edge: str, rule: Any, tmp_path: Path) -> None:
    points, epochs, expected, why = EDGES[edge]
    datamap = recorded(points, epochs, tmp_path).with_rule(rule)
    if rule == "corner":
        why = why if epochs == 1 else ""
    else:
        assert datamap.table["region"].to_list() == expected
    assert datamap.unclear == why
    assert not why or datamap.table["region"].null_count() == len(datamap)
    assert DataMap.open(datamap.save(tmp_path / "map.parquet")).table.equals(datamap.table)
    console = Console(width=160)
    with console.capture() as captured:
        console.print(of_map(datamap))
    assert ("this map cannot tell regions" in captured.get()) == bool(why)
    assert why in captured.get()
    said: list[str] = []
    saved = pytest.MonkeyPatch()
    saved.setattr(Figure, "savefig", lambda self, *_, **__: said.extend(text.get_text() for text in self.texts))
    plot_map(datamap, tmp_path / "map.png")
    saved.undo()
    assert any(f"no regions: {why}" in text for text in said) == bool(why)


def recorded(points: list[tuple[float, float]], epochs: int, folder: Path) -> DataMap:
    """A map with these values: of a recording that is as long, its table replaced."""
    n = len(points)
    p = np.full(n, 0.5, np.float32)
    seen = [({"p_gold": p, "predicted": np.zeros(n, np.int16)}, n)] * epochs
    made = DataMap.from_dynamics(
        write_dynamics(folder / "d", np.arange(n), np.zeros(n, np.int64), 2, "sweep", seen, {}), []
    )
    v, c = np.array(points, dtype=float).T
    table = made.table.with_columns(variability=v, confidence=c)
    return DataMap(table, epochs, "quantile", 1 / 3, "sweep", made.dataset).with_rule("quantile")


def test_a_map_of_an_earlier_version_opens_with_todays_regions(tmp_path: Path) -> None:
    datamap = recorded([(0.001, 0.0), (0.0, 1.0), (0.0, 0.99)], 5, tmp_path)
    assert datamap.table["region"].to_list() == [HARD, EASY, None]
    old = DataMap(datamap.table.with_columns(region=np.array([AMBIGUOUS, EASY, None])), *facts(datamap))
    assert DataMap.open(old.save(tmp_path / "map.parquet")).table.equals(datamap.table)


def facts(datamap: DataMap) -> tuple[Any, ...]:
    return datamap.epochs, datamap.rule, datamap.fraction, datamap.source, datamap.dataset


# --- the corner rule --------------------------------------------------------------------------------------------------


def test_by_corners_each_example_belongs_to_the_nearest() -> None:
    points = [(0.5, 0.5), (0.1, 0.05), (0.1, 0.95), (0.0, 0.51), (0.0, 0.49), (0.3, 0.5), (NAN, NAN)]
    assert regions(points, rule="corner") == [AMBIGUOUS, HARD, EASY, EASY, HARD, HARD, None]
    assert regions([(0.375, 0.5)], rule="corner") == [AMBIGUOUS]  # as far from all three corners
    assert regions(points, rule="corner", fraction=0.01) == regions(points, rule="corner")


# --- both -------------------------------------------------------------------------------------------------------------


def test_depth_is_the_order_of_selection_by_either_rule() -> None:
    v, c = np.array([0.1, 0.4, 0.2]), np.array([0.9, 0.5, 0.1])
    ids = np.arange(3)
    for rule in ("quantile", "corner"):
        assert deepest_first(depth(AMBIGUOUS, v, c, rule), ids)[0] == 1
        assert deepest_first(depth(HARD, v, c, rule), ids)[0] == 2
        assert deepest_first(depth(EASY, v, c, rule), ids)[0] == 0
    np.testing.assert_allclose(depth(AMBIGUOUS, v, c, "corner"), -np.hypot(v - 1, c - 0.5))


def test_deepest_first_leaves_out_what_has_no_value_and_keeps_infinity() -> None:
    values = np.array([1.0, NAN, np.inf, -np.inf, 1.0])
    assert deepest_first(values, np.array([4, 0, 2, 1, 3])).tolist() == [2, 4, 0, 3]


@settings(max_examples=60, deadline=None)
@given(
    n=st.integers(1, 30),
    seed=st.integers(0, 2**32 - 1),
    fraction=st.floats(0.01, 1),
    rule=st.sampled_from(["quantile", "corner"]),
)
def test_equal_values_have_one_region_whatever_the_order_of_the_rows(
    n: int, seed: int, fraction: float, rule: Any
) -> None:
    generator = np.random.default_rng(seed)
    v, c = generator.integers(0, 4, n) / 8, generator.integers(0, 5, n) / 4
    v[generator.random(n) < 0.1] = NAN
    order = generator.permutation(n)
    found = assign(v, c, 5, rule, fraction)
    assert assign(v[order], c[order], 5, rule, fraction).tolist() == found[order].tolist()
    by_value: dict[tuple[float, float], set[Any]] = {}
    for row in np.flatnonzero(~np.isnan(v)):
        by_value.setdefault((v[row], c[row]), set()).add(found[row])
    assert all(len(names) == 1 for names in by_value.values())
    shares = overlap(v, c, fraction)
    assert overlap(v[order], c[order], fraction) == shares
    assert all(0 <= share <= 1 for share in shares.values())


def test_overlap_is_the_share_of_a_third_that_is_in_another_too() -> None:
    v = np.array([0.4, 0.3, 0.2, 0.1, NAN])
    c = np.array([0.1, 0.5, 0.2, 0.9, NAN])
    found = overlap(v, c, fraction=0.5)
    assert found == {(EASY, AMBIGUOUS): 0.5, (EASY, HARD): 0.0, (AMBIGUOUS, HARD): 0.5}


@pytest.mark.parametrize("fraction", [0, -0.1, 1.01, NAN])
def test_a_fraction_outside_0_to_1_is_refused(fraction: float) -> None:
    with pytest.raises(TrainmapError, match="fraction must be"):
        regions([(0.1, 0.5)], fraction=fraction)
    with pytest.raises(TrainmapError, match="fraction must be"):
        overlap(np.array([0.1]), np.array([0.5]), fraction)


def test_an_unknown_rule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(TrainmapError, match="unknown rule 'quantiles'; did you mean 'quantile'"):
        regions([(0.1, 0.5)], rule="quantiles")


# --- the rule as it was written first, by sorting ---------------------------------------------------------------------


def sorted_third(region: str, variability: Any, confidence: Any, fraction: float) -> Any:
    seen = ~(np.isnan(variability) | np.isnan(confidence))
    values = depth(region, variability, confidence, "quantile")
    count = int(fraction * seen.sum() + 0.5)
    return seen & (values >= np.sort(values[seen])[-count]) if count else np.zeros(len(values), bool)


def by_sorting(variability: Any, confidence: Any, epochs: int, rule: Any, fraction: float) -> Any:
    region = np.full(len(variability), None, dtype=object)
    if unclear(variability, confidence, epochs, rule):
        return region
    if rule == "corner":
        seen = ~(np.isnan(variability) | np.isnan(confidence))
        nearest = np.stack([depth(name, variability, confidence, rule) for name in ALL])
        region[seen] = np.array(ALL, dtype=object)[nearest[:, seen].argmax(axis=0)]
        return region
    near = {EASY: confidence > 0.5, HARD: confidence < 0.5, AMBIGUOUS: variability > np.abs(confidence - 0.5)}
    for name, there in near.items():
        region[there & sorted_third(name, variability, confidence, fraction)] = name
    return region


@settings(max_examples=300, deadline=None)
@given(
    n=st.integers(0, 60),
    seed=st.integers(0, 2**32 - 1),
    epochs=st.integers(1, 3),
    fraction=st.floats(0.001, 1),
    rule=st.sampled_from(["quantile", "corner"]),
    steps=st.sampled_from([1, 2, 8, 10**6]),
    lost=st.sampled_from([0.0, 0.3]),
)
def test_a_partition_gives_the_regions_and_overlaps_that_sorting_gave(
    n: int, seed: int, epochs: int, fraction: float, rule: Any, steps: int, lost: float
) -> None:
    generator = np.random.default_rng(seed)
    v, c = generator.integers(0, steps + 1, n) / steps / 2, generator.integers(0, steps + 1, n) / steps
    v[generator.random(n) < lost], c[generator.random(n) < lost] = NAN, NAN
    assert assign(v, c, epochs, rule, fraction).tolist() == by_sorting(v, c, epochs, rule, fraction).tolist()
    thirds = {name: sorted_third(name, v, c, fraction) for name in (EASY, AMBIGUOUS, HARD)}
    for (a, b), share in overlap(v, c, fraction).items():
        assert share == (thirds[a] & thirds[b]).sum() / max(1, thirds[a].sum())


@pytest.mark.parametrize("rule", ["quantile", "corner"])
@pytest.mark.parametrize("fraction", [0.05, 1 / 3, 1.0])
def test_a_large_map_has_the_regions_that_sorting_gave(rule: Any, fraction: float) -> None:
    generator = np.random.default_rng(7)
    v = np.round(generator.beta(1, 4, 50_000) / 2, 3)  # ties at every cut
    c = np.round(generator.beta(4, 1, 50_000), 3)
    v[::97] = c[::97] = NAN
    assert (assign(v, c, 10, rule, fraction) == by_sorting(v, c, 10, rule, fraction)).all()
