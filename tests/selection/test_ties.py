"""Equal values: a fixed hash of the id decides, so that no class comes first where the ids follow the classes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
import torch

import trainmap as tm
from trainmap.dynamics.index import id_hash
from trainmap.maps.datamap import DataMap
from trainmap.maps.regions import REGIONS
from trainmap.schedules import (
    SCHEDULES,
    AlignPrune,
    Curriculum,
    DisjointRandom,
    FilteredBatches,
    IndependentRandom,
    InfoBatch,
    MapGuided,
    OrderedLoss,
    RePB,
    RepeatedAuto,
    RepeatedRandom,
    SeTa,
    ranking_of,
)
from trainmap.scores.table import SCORES
from trainmap.scores.trajectories import Clusters
from trainmap.selection.pool import Features
from trainmap.selection.quotas import equal, proportional
from trainmap.selection.select import select, select_by
from trainmap.selection.strategies import STRATEGIES
from trainmap.selection.words import ENDS

MakeMap = Callable[..., DataMap]

CLASSES, EACH = 10, 60
N = CLASSES * EACH
LABELS = np.repeat(np.arange(CLASSES), EACH)  # the ids follow the classes
LEVELS = np.tile([0.1, 0.5, 0.5, 0.9], N // 4)  # three values, in every class as often

WORDS = (
    *(f"40 {region}" for region in REGIONS),
    *(f"{end} 40 {score}" for end in sorted(set(ENDS)) for score in ("correctness", "forgetting", "aum")),
    "hardest 40 variability",
    "40 random",
    *(f"40 {name}" for name in sorted(STRATEGIES) if not {"features", "clusters"} & set(STRATEGIES[name].needs)),
)


def flat_map(make_map: MakeMap, ids: Any, order: Any = None, rule: str = "quantile") -> DataMap:
    """A map all of whose scores have three values, whichever they are."""
    order = np.arange(N) if order is None else order
    columns = dict.fromkeys((*SCORES, "teacher_loss"), LEVELS[order])
    columns |= {"variability": (LEVELS / 2)[order], "correctness": (LEVELS * 10)[order]}
    return make_map(N, ids=np.asarray(ids)[order], labels=LABELS[order], rule=rule, **columns)


def assert_fair(taken: Any) -> None:
    """Chi square of the classes among what was taken; one class after another would give 70 and more."""
    counts = np.bincount(LABELS[taken], minlength=CLASSES)
    expected = counts.sum() / CLASSES
    assert ((counts - expected) ** 2 / expected).sum() < 33.7, counts  # 9 degrees of freedom, p = 1e-4


# --- the hash ---------------------------------------------------------------------------------------------------------


def test_the_hash_is_the_same_on_every_machine() -> None:
    numbers = np.array([0, 1, 2, -1, 50_000, 2**63 - 1, -(2**63)])
    assert [f"{number:016x}" for number in id_hash(numbers)] == [
        "e220a8397b1dcdaf",  # the first output of SplitMix64 seeded with 0, as published
        "910a2dec89025cc1",
        "975835de1c9756ce",
        "e4d971771b652c20",
        "b29773cbf56890f9",
        "2a67d7552e039ea7",
        "481ec0a212a9f3db",
    ]
    names = np.array(["", "a", "ab", "img_00001.png", "é", "日本", "😀", "a\0b"])
    assert [f"{number:016x}" for number in id_hash(names)] == [by_hand(name) for name in names.tolist()]
    golden = {"img_00001.png": "688594d3ce7ba4e9", "日本": "e144f0f3def00a26"}
    assert {name: by_hand(name) for name in golden} == golden


def by_hand(name: str) -> str:
    """FNV-1a over the code points, then SplitMix64, in whole numbers of Python."""
    last, state = 2**64 - 1, 0xCBF29CE484222325
    for letter in name:
        state = (state ^ ord(letter)) * 0x100000001B3 & last
    state = state + 0x9E3779B97F4A7C15 & last
    state = (state ^ state >> 30) * 0xBF58476D1CE4E5B9 & last
    state = (state ^ state >> 27) * 0x94D049BB133111EB & last
    return f"{state ^ state >> 31:016x}"


@pytest.mark.parametrize("dtype", ["int8", "uint8", "int16", "int32", "uint32", "int64", "uint64", ">i4", ">i8"])
def test_the_width_and_byte_order_of_an_integer_do_not_matter(dtype: str) -> None:
    ids = np.arange(100)
    assert id_hash(ids.astype(dtype)).tolist() == id_hash(ids).tolist()


@pytest.mark.parametrize("dtype", ["<U4", ">U4", "<U5", "<U50", ">U50"])
def test_the_width_and_byte_order_of_strings_do_not_matter(dtype: str) -> None:
    ids = np.array(["", "a", "b9", "c日", "d123"])
    assert id_hash(ids.astype(dtype)).tolist() == id_hash(ids).tolist()
    assert id_hash(ids[::-2].astype(dtype)).tolist() == id_hash(ids).tolist()[::-2]


def test_an_id_is_hashed_by_itself() -> None:
    ids = np.arange(-50, 50) * 7
    one_by_one = [int(id_hash(np.array([i]))[0]) for i in ids]
    assert id_hash(ids).tolist() == one_by_one
    assert id_hash(ids[:0]).tolist() == id_hash(np.array([], "U1")).tolist() == []
    assert len(set(one_by_one)) == 100


# --- the mini-language ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("names", ["numbers", "strings"])
@pytest.mark.parametrize("rule", ["quantile", "corner"])
@pytest.mark.parametrize("spec", WORDS)
def test_where_the_ids_follow_the_classes_no_word_favours_a_class(
    make_map: MakeMap, spec: str, rule: str, names: str
) -> None:
    ids: Any = np.arange(N) if names == "numbers" else np.array([f"{LABELS[i]}/{i:05d}" for i in range(N)])
    datamap = flat_map(make_map, ids, rule=rule)
    taken = np.flatnonzero(select(datamap, spec, seed=1).mask(ids))
    assert len(taken) == 40
    assert_fair(taken)
    order = np.random.default_rng(0).permutation(N)
    again = select(flat_map(make_map, ids, order, rule), spec, seed=1)
    assert np.flatnonzero(again.mask(ids)).tolist() == taken.tolist()


@pytest.mark.parametrize("start", [0, 10_000, -300])
@pytest.mark.parametrize("spec", ["40 hard-to-learn", "top 40 correctness", "40 band"])
def test_renumbering_may_change_a_tie_but_favours_no_class(make_map: MakeMap, spec: str, start: int) -> None:
    ids = np.arange(start, start + N)
    assert_fair(np.flatnonzero(select(flat_map(make_map, ids), spec).mask(ids)))


def test_string_and_integer_types_of_one_id_select_the_same(make_map: MakeMap) -> None:
    ids = np.array([f"{i:04d}" for i in range(N)])
    narrow, wide = (select(flat_map(make_map, ids.astype(kind)), "top 40 correctness") for kind in ("U4", "U60"))
    assert narrow.ids.tolist() == wide.ids.tolist()
    first, second = (select(flat_map(make_map, np.arange(N, dtype=k)), "20% band") for k in ("int32", "int64"))
    assert first.ids.tolist() == second.ids.tolist()


# --- strategies, scores -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", sorted(STRATEGIES))
def test_no_strategy_favours_a_class(make_map: MakeMap, name: str) -> None:
    ids = np.arange(N)
    values = np.tile([[0.0], [1.0], [1.0], [2.0]], (N // 4, 3))
    more = {
        "features": Features(ids, values),
        "clusters": Clusters(ids, np.tile([0, 1, 1, 2], N // 4), np.zeros((3, 1))),
    }
    datamap = flat_map(make_map, ids)
    assert_fair(np.flatnonzero(select_by(datamap, name, 40, seed=2, **more).mask(ids)))


@pytest.mark.parametrize("noise", [0.05, 0.1])
def test_what_auto_cuts_is_of_no_class_first(make_map: MakeMap, noise: float) -> None:
    ids = np.arange(N)
    assert_fair(
        np.flatnonzero(~select_by(flat_map(make_map, ids), "auto", int(N * (1 - noise)), noise=noise).mask(ids))
    )


@pytest.mark.parametrize("name", [*SCORES, "forgetting_allenai", "aum_ccs"])
def test_hard_first_of_no_score_favours_a_class(name: str) -> None:
    ids = np.arange(N)
    assert_fair(tm.hard_first(name, LEVELS, ids)[:40])
    order = np.random.default_rng(1).permutation(N)
    assert tm.hard_first(name, LEVELS[order], ids[order]).tolist() == tm.hard_first(name, LEVELS, ids).tolist()


@pytest.mark.parametrize("quotas", [equal, proportional])
def test_places_that_do_not_go_round_favour_no_run_of_classes(quotas: Any) -> None:
    given = quotas(np.full(1000, 3), 500)  # half a place for each
    assert sorted(set(given.tolist())) == [0, 1]
    thirds = given[:999].reshape(3, 333).sum(axis=1)
    assert np.abs(thirds - 166.5).max() < 40


# --- schedules --------------------------------------------------------------------------------------------------------

FAMILY: dict[str, Callable[[DataMap], Any]] = {
    "repeated-random": lambda m: RepeatedRandom(m.ids, 40, seed=1),
    "independent-random": lambda m: IndependentRandom(m.ids, 40, seed=1),
    "disjoint-random": lambda m: DisjointRandom(m.ids, 40, seed=1),
    "infobatch": lambda m: InfoBatch(m.ids, epochs=8, seed=1),
    "ordered-loss": lambda m: OrderedLoss(m.ids, pool=1, keep=0.07, seed=1),
    "map-guided": lambda m: MapGuided(m.ids, epochs=8, start=0.07, end=0.07, explore=0, cut=0.1, seed=1),
    "map-guided, hard": lambda m: MapGuided(m.ids, epochs=8, axis="hard", start=0.07, end=0.07, explore=0, seed=1),
    "map-guided, easy": lambda m: MapGuided(m.ids, epochs=8, axis="easy", start=0.07, end=0.07, explore=0, seed=1),
    "curriculum": lambda m: Curriculum(ranking_of(m, by_class=False), epochs=1000, start=0.07),
    "curriculum, by class": lambda m: Curriculum(ranking_of(m), epochs=1000, start=0.07),
    "align-prune": lambda m: AlignPrune(m.ids, epochs=8, seed=1),
    "repb": lambda m: RePB(m.ids, batches=5, seed=1),
    "seta": lambda m: SeTa(m.ids, epochs=8, seed=1),
    "repeated-auto": lambda m: RepeatedAuto(m, 40, seed=1, held_out=0.9),
}


def test_every_schedule_is_in_the_family() -> None:
    assert {name.split(",")[0] for name in FAMILY} == {name for name in SCHEDULES if name != "proxy"}


@pytest.mark.parametrize("name", FAMILY)
def test_no_schedule_favours_a_class(make_map: MakeMap, name: str) -> None:
    schedule = FAMILY[name](flat_map(make_map, np.arange(N)))
    for epoch in range(4):
        ids = schedule.plan(epoch).ids
        logits = np.zeros((len(ids), CLASSES))
        logits[np.arange(len(ids)), LABELS[ids]] = LEVELS[ids]
        if epoch == 3:
            assert_fair(ids)
        schedule.update(ids, logits, LABELS[ids])
        schedule.end_epoch()


def test_a_proxy_filter_takes_no_class_first_from_a_sorted_pool() -> None:
    batches = FilteredBatches(torch.utils.data.SequentialSampler(range(N)), N, 40, lambda pool: [1.0] * len(pool))
    assert_fair(next(iter(batches)))
